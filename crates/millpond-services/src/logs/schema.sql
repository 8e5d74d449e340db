-- bytes and events: what the group holds, as AWS counts bytes (each event's UTF-8 and 26 more).
-- class: AWS's name; protected: 1 where it must not be deleted.
CREATE TABLE log_group (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    class TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    retention_days INTEGER,
    protected INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE log_tag (
    group_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (group_id, key)
) WITHOUT ROWID;

-- Times are those of events; absent where there was none yet.
CREATE TABLE log_stream (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    first_ms INTEGER,
    last_ms INTEGER,
    ingested_ms INTEGER,
    UNIQUE (group_id, name)
);
CREATE INDEX log_stream_last ON log_stream (group_id, coalesce(last_ms, 0), name);

-- Events lie in the order in which a group is searched. The index gives the order of one stream. No foreign keys: what a group or a stream leaves
-- behind is removed in small steps after its row is gone.
CREATE TABLE log_event (
    group_id INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    ingested_ms INTEGER NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (group_id, time_ms, seq)
) WITHOUT ROWID;
CREATE INDEX log_event_stream ON log_event (stream_id, time_ms, seq);

-- Tasks of the lake whose lines are here while the lake may not know it yet: so that they are written once.
CREATE TABLE log_written (task INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL);
