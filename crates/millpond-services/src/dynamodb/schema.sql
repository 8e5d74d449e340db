-- id: what the store of items calls the table by; never used again. uuid: TableId. settings: JSON. state: 0 creating, 1 active.
CREATE TABLE dynamodb_table (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    uuid TEXT NOT NULL,
    state INTEGER NOT NULL,
    settings TEXT NOT NULL,
    created_ms INTEGER NOT NULL
);

CREATE TABLE dynamodb_tag (
    table_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (table_id, key)
) WITHOUT ROWID;

-- Imports (kind 0) and exports (kind 1). id: the end of the ARN. token: ClientToken. description: JSON.
CREATE TABLE dynamodb_transfer (
    seq INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    table_name TEXT NOT NULL,
    token TEXT,
    description TEXT NOT NULL,
    started_ms INTEGER NOT NULL
);
CREATE INDEX dynamodb_transfer_table ON dynamodb_transfer (kind, table_name, seq);
CREATE UNIQUE INDEX dynamodb_transfer_token ON dynamodb_transfer (kind, token) WHERE token IS NOT NULL;
