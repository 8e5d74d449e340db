-- The open run of a job that began an upload: what it completes waits for the run's end, and nobody else sees it.
ALTER TABLE upload ADD COLUMN run TEXT;
CREATE INDEX upload_run ON upload (run) WHERE run IS NOT NULL;
