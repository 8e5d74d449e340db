-- Runs of jobs whose changes of objects wait to be published. ended_ms: since when what the run's session still asks to change is refused.
-- log_group: where its log stream lies. changes: rows in staged. uploads: whether it began multipart uploads.
CREATE TABLE staged_run (
    run TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    log_group TEXT NOT NULL,
    opened_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    changes INTEGER NOT NULL DEFAULT 0,
    uploads INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX staged_run_ended ON staged_run (ended_ms) WHERE ended_ms IS NOT NULL;

-- What such a run did to each key, its latest change only. kind: 0 put, 1 deleted, 2 tags of a published object changed (meta: the tags, null where
-- they were removed). seq: the order of the changes. bucket_name: to say which one is gone. base: the ETag that the published object must still
-- have, empty where there must be none; null where it may be what it is. held: 1 where it is never published, but taken. reason and the columns
-- after it: who asked, for the events.
CREATE TABLE staged (
    run TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    key TEXT NOT NULL,
    kind INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    blob TEXT,
    size INTEGER NOT NULL DEFAULT 0,
    etag TEXT NOT NULL DEFAULT '',
    modified_ms INTEGER NOT NULL,
    meta TEXT NOT NULL,
    bucket_name TEXT NOT NULL,
    base TEXT,
    held INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL,
    requester TEXT NOT NULL,
    source_ip TEXT NOT NULL,
    request_id TEXT NOT NULL,
    PRIMARY KEY (run, bucket, key)
) WITHOUT ROWID;
CREATE INDEX staged_order ON staged (run, held, seq);

-- Prefixes below which what such a run puts is held. until: text that all keys below it are less than, or an empty blob where there is none.
CREATE TABLE staged_hold (
    run TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    prefix TEXT NOT NULL,
    until BLOB NOT NULL,
    PRIMARY KEY (run, bucket, prefix)
) WITHOUT ROWID;
