-- Buckets. settings: tags, notifications and the like, as JSON.
CREATE TABLE bucket (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    region TEXT NOT NULL,
    settings TEXT NOT NULL
);

-- The current version of each object. seq: when it came to be, in the order of commits. meta: headers, user metadata, checksums, tags, parts, as JSON.
CREATE TABLE object (
    bucket INTEGER NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    meta TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE UNIQUE INDEX object_seq ON object (bucket, seq);
