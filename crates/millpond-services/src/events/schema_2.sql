-- Event buses. The default one has a row only where something was set. times in milliseconds since the epoch; policy: JSON.
CREATE TABLE events_bus (
    name TEXT PRIMARY KEY,
    created_ms INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    description TEXT,
    settings TEXT NOT NULL DEFAULT '{}',
    policy TEXT
) WITHOUT ROWID;
