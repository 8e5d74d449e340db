-- attributes: what the owner set, as JSON. version: changes with every change of the row. space: where its messages lie now; a purge gives it
-- another one, and a task empties the old. secret: signs receipts. dead_letter: the ARN of its RedrivePolicy.
CREATE TABLE sqs_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    space INTEGER NOT NULL,
    secret BLOB NOT NULL,
    attributes TEXT NOT NULL,
    dead_letter TEXT,
    created_ms INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    purged_ms INTEGER
);
CREATE INDEX sqs_queue_dead_letter ON sqs_queue (dead_letter) WHERE dead_letter IS NOT NULL;

-- How many messages a space holds: visible, delayed and in flight.
CREATE TABLE sqs_space (
    space INTEGER PRIMARY KEY,
    messages INTEGER NOT NULL
);

CREATE TABLE sqs_tag (
    queue INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;

-- What changes of a message; in the order in which messages expire. It may be received from visible_ms on: one that is later is in flight where
-- it was received before, else delayed. grp: its group in a FIFO queue. source: the ARN of the queue from which it was dead-lettered.
CREATE TABLE sqs_message (
    space INTEGER NOT NULL,
    sent_ms INTEGER NOT NULL,
    id INTEGER NOT NULL,
    visible_ms INTEGER NOT NULL,
    receives INTEGER NOT NULL,
    received_ms INTEGER,
    grp TEXT,
    source TEXT,
    PRIMARY KEY (space, sent_ms, id)
) WITHOUT ROWID;
CREATE INDEX sqs_message_visible ON sqs_message (space, visible_ms, receives);
CREATE INDEX sqs_message_group ON sqs_message (space, grp, id) WHERE grp IS NOT NULL;

-- What never changes of a message: written once, read when it is received. attributes: message attributes as JSON.
CREATE TABLE sqs_body (
    id INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    body TEXT NOT NULL,
    md5 TEXT NOT NULL,
    sender TEXT NOT NULL,
    attributes TEXT,
    attributes_md5 TEXT,
    trace TEXT,
    group_id TEXT,
    deduplication_id TEXT
);

-- The groups of FIFO queues that have messages. ready_ms: when the first message may be received; the others wait behind it.
CREATE TABLE sqs_group (
    space INTEGER NOT NULL,
    grp TEXT NOT NULL,
    ready_ms INTEGER NOT NULL,
    PRIMARY KEY (space, grp)
) WITHOUT ROWID;
CREATE INDEX sqs_group_ready ON sqs_group (space, ready_ms);

-- What was sent to FIFO queues in the last five minutes. scope: the group, or nothing where the whole queue is the scope.
CREATE TABLE sqs_deduplication (
    queue INTEGER NOT NULL,
    scope TEXT NOT NULL,
    deduplication_id TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (queue, scope, deduplication_id)
) WITHOUT ROWID;
CREATE INDEX sqs_deduplication_expires ON sqs_deduplication (queue, expires_ms);

-- What receives with a ReceiveRequestAttemptId handed out in the last five minutes. taken: JSON.
CREATE TABLE sqs_attempt (
    queue INTEGER NOT NULL,
    attempt TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    taken TEXT NOT NULL,
    PRIMARY KEY (queue, attempt)
) WITHOUT ROWID;
CREATE INDEX sqs_attempt_expires ON sqs_attempt (queue, expires_ms);

-- Message move tasks. status: RUNNING, COMPLETED, CANCELLING, CANCELLED, FAILED.
CREATE TABLE sqs_move (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    handle TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    destination TEXT,
    rate INTEGER,
    status TEXT NOT NULL,
    moved INTEGER NOT NULL DEFAULT 0,
    to_move INTEGER NOT NULL,
    up_to INTEGER NOT NULL,
    failure TEXT,
    started_ms INTEGER NOT NULL
);
CREATE INDEX sqs_move_source ON sqs_move (source, id);
