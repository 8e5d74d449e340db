-- state of a subscription from here on also: 2 ended by its subscriber, who may restore it with the token for a while.
CREATE INDEX sns_subscription_by_topic ON sns_subscription (topic, seq);
CREATE INDEX sns_subscription_pending ON sns_subscription (topic, token_ms) WHERE state <> 1;

-- Messages that tasks still have to send: kept once, however many subscribers they go to. uses: tasks that refer to it.
CREATE TABLE sns_message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uses INTEGER NOT NULL,
    notice TEXT NOT NULL
);

-- What FIFO topics took within the last five minutes. scope: the message group, or nothing where the whole topic is one.
CREATE TABLE sns_seen (
    topic INTEGER NOT NULL REFERENCES sns_topic (id) ON DELETE CASCADE,
    scope TEXT NOT NULL,
    deduplication_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sequence_number TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (topic, scope, deduplication_id)
) WITHOUT ROWID;
CREATE INDEX sns_seen_until ON sns_seen (until_ms);

-- The key that signs messages, and its certificate. name: the file that the certificate is fetched as.
CREATE TABLE sns_key (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    certificate TEXT NOT NULL,
    private_key BLOB NOT NULL
);

-- Until here a topic took what rules sent without being asked. What went through goes through: topics that have no policy of their own get
-- one that says so; it can be changed like any other.
UPDATE sns_topic
SET attributes = json_set(attributes, '$.Policy', '{"Version":"2012-10-17","Statement":[{"Sid":"millpond-rules","Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sns:Publish","Resource":"*"}]}')
WHERE attributes ->> '$.Policy' IS NULL;
