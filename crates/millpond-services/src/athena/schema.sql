-- Executions. doc: the whole execution as JSON; the columns beside it are what is looked up by.
CREATE TABLE athena_execution (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    workgroup TEXT NOT NULL,
    token TEXT,
    doc TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX athena_execution_latest ON athena_execution (workgroup, seq);
CREATE UNIQUE INDEX athena_execution_token ON athena_execution (workgroup, token) WHERE token IS NOT NULL;

CREATE TABLE athena_workgroup (name TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE athena_named_query (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    workgroup TEXT NOT NULL,
    token TEXT UNIQUE,
    doc TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX athena_named_query_latest ON athena_named_query (workgroup, seq);
