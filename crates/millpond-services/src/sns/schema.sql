-- attributes: what the owner set, as JSON.
CREATE TABLE sns_topic (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    attributes TEXT NOT NULL,
    deleted_subscriptions INTEGER NOT NULL DEFAULT 0
);

-- seq orders them; id is the last part of the ARN; state: 0 pending, 1 confirmed; token confirms.
CREATE TABLE sns_subscription (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    topic INTEGER NOT NULL REFERENCES sns_topic (id) ON DELETE CASCADE,
    protocol TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    state INTEGER NOT NULL,
    token TEXT NOT NULL,
    token_ms INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    UNIQUE (topic, protocol, endpoint)
);

CREATE TABLE sns_tag (
    arn TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
) WITHOUT ROWID;

-- Messages kept in the lake, where no mail server is configured.
CREATE TABLE sns_mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ms INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL
);
