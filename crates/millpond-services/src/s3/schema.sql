-- Multipart uploads. meta: what the object will have, as JSON. algorithm, checksum_type: as asked for, or the lake's choice (then by_default is 1).
-- done_ms, done: when it was completed, and with what answer (JSON), so that a completion that is asked for again is answered again.
CREATE TABLE upload (
    id TEXT PRIMARY KEY,
    bucket INTEGER NOT NULL,
    key TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    meta TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    checksum_type TEXT NOT NULL,
    by_default INTEGER NOT NULL,
    done_ms INTEGER,
    done TEXT
) WITHOUT ROWID;
CREATE INDEX upload_open ON upload (bucket, key, id) WHERE done_ms IS NULL;
CREATE INDEX upload_done ON upload (done_ms) WHERE done_ms IS NOT NULL;

-- Their parts. md5: its bytes. checksum: the value's bytes, of the upload's algorithm; given: the one its sender chose, where that is another.
CREATE TABLE upload_part (
    upload TEXT NOT NULL,
    number INTEGER NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    md5 BLOB NOT NULL,
    algorithm TEXT NOT NULL,
    checksum BLOB NOT NULL,
    modified_ms INTEGER NOT NULL,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
