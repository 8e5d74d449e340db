-- Counts the changes of rules and targets, so that the compiled ones are known to be the present ones.
CREATE TABLE events_version (version INTEGER NOT NULL);
INSERT INTO events_version VALUES (0);

-- rule: pattern, schedule, state, description, …, as JSON.
CREATE TABLE events_rule (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bus TEXT NOT NULL,
    name TEXT NOT NULL,
    rule TEXT NOT NULL,
    UNIQUE (bus, name)
);

-- target: its input, retry policy, …, as JSON.
CREATE TABLE events_target (
    rule INTEGER NOT NULL REFERENCES events_rule (id) ON DELETE CASCADE,
    target_id TEXT NOT NULL,
    arn TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (rule, target_id)
) WITHOUT ROWID;
CREATE INDEX events_target_arn ON events_target (arn, rule);

CREATE TABLE events_tag (
    arn TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
) WITHOUT ROWID;
