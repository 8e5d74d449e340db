-- Counters that must never go back: 'seq' orders changes in the order of their commits.
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counter VALUES ('seq', 0);

-- Events whose transaction is committed and that no rule has seen yet.
CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL);

-- All asynchronous work. state: 0 ready, 1 leased, 2 dead.
CREATE TABLE task (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key TEXT,
    payload TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    run_at_ms INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    failures_max INTEGER NOT NULL,
    lease INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
);
CREATE INDEX task_ready ON task (kind, run_at_ms, id) WHERE state = 0;
CREATE UNIQUE INDEX task_waiting_key ON task (kind, key) WHERE state = 0 AND key IS NOT NULL;
CREATE UNIQUE INDEX task_running_key ON task (kind, key) WHERE state = 1 AND key IS NOT NULL;
CREATE INDEX task_dead ON task (changed_ms) WHERE state = 2;

-- Object bytes. kind: 0 inline, 1 a file of its own, 2 the parts in blob_part one after another.
-- refs: how many names (objects, parts, concatenations) it has; at 0 released_ms says since when.
CREATE TABLE blob (
    id TEXT PRIMARY KEY,
    kind INTEGER NOT NULL,
    size INTEGER NOT NULL,
    refs INTEGER NOT NULL,
    released_ms INTEGER,
    bytes BLOB
);
CREATE INDEX blob_released ON blob (released_ms) WHERE released_ms IS NOT NULL;
CREATE TABLE blob_part (
    blob TEXT NOT NULL,
    idx INTEGER NOT NULL,
    part TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (blob, idx)
) WITHOUT ROWID;
