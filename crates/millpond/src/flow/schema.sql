-- The flows that were set up. definition: config::Flow as JSON. origin: 'file' (millpond.toml) or 'api'.
CREATE TABLE flow (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    origin TEXT NOT NULL,
    changed_ms INTEGER NOT NULL
) WITHOUT ROWID;
