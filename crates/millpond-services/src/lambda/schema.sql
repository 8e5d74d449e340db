-- Packages of functions and layers, each once. refs: how many versions and layer versions have it.
CREATE TABLE lambda_code (
    sha256 TEXT PRIMARY KEY,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    unpacked INTEGER NOT NULL,
    refs INTEGER NOT NULL
) WITHOUT ROWID;

-- facts: tags and what else is set for all versions together, as JSON.
CREATE TABLE lambda_function (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    last_version INTEGER NOT NULL DEFAULT 0,
    reserved INTEGER,
    facts TEXT NOT NULL
);

-- version 0 is $LATEST. generation changes with code and configuration, revision with every change.
CREATE TABLE lambda_version (
    function INTEGER NOT NULL REFERENCES lambda_function (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    revision TEXT NOT NULL,
    generation INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    code TEXT NOT NULL,
    config TEXT NOT NULL,
    PRIMARY KEY (function, version)
) WITHOUT ROWID;

CREATE TABLE lambda_alias (
    function INTEGER NOT NULL REFERENCES lambda_function (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    other_version INTEGER,
    other_weight REAL,
    description TEXT NOT NULL,
    revision TEXT NOT NULL,
    PRIMARY KEY (function, name)
) WITHOUT ROWID;

-- Resource policies: the statements, as a JSON list. qualifier is empty for the function itself.
CREATE TABLE lambda_policy (
    function INTEGER NOT NULL REFERENCES lambda_function (id) ON DELETE CASCADE,
    qualifier TEXT NOT NULL,
    statements TEXT NOT NULL,
    PRIMARY KEY (function, qualifier)
) WITHOUT ROWID;

CREATE TABLE lambda_event_config (
    function INTEGER NOT NULL REFERENCES lambda_function (id) ON DELETE CASCADE,
    qualifier TEXT NOT NULL,
    config TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    PRIMARY KEY (function, qualifier)
) WITHOUT ROWID;

CREATE TABLE lambda_layer (name TEXT PRIMARY KEY, last_version INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE lambda_layer_version (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    code TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    facts TEXT NOT NULL,
    statements TEXT NOT NULL DEFAULT '[]',
    policy_revision TEXT NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;

CREATE TABLE lambda_mapping (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    function TEXT NOT NULL,
    qualifier TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    config TEXT NOT NULL,
    tags TEXT NOT NULL
);

-- Of the service itself: the key that signs links to packages.
CREATE TABLE lambda_secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
