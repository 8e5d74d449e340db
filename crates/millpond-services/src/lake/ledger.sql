-- What each version of a source object contributed to, once for each job and generation of its bookmark. Written in the commit of the run's output.
-- generation: absent for runs without a bookmark, which may take an object again.
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL,
    generation INTEGER,
    run TEXT NOT NULL,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    rows_in INTEGER NOT NULL,
    rows_out INTEGER NOT NULL,
    rows_quarantined INTEGER NOT NULL,
    error TEXT
);
CREATE UNIQUE INDEX ledger_version ON ledger (job, generation, bucket, key, etag);
CREATE INDEX ledger_run ON ledger (run, id);
