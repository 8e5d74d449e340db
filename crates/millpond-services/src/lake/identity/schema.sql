-- IAM's names differ in more than case. id: AROA…; path begins and ends with '/'; boundary: a policy's ARN.
CREATE TABLE iam_role (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    path TEXT NOT NULL,
    description TEXT,
    created_ms INTEGER NOT NULL,
    session_seconds_max INTEGER NOT NULL,
    trust TEXT NOT NULL,
    boundary TEXT
) WITHOUT ROWID;

CREATE TABLE iam_role_policy (
    role TEXT NOT NULL REFERENCES iam_role (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (role, name)
) WITHOUT ROWID;

-- policy: an ARN, of the account's or of AWS's; seq orders them as they were attached.
CREATE TABLE iam_attachment (
    role TEXT NOT NULL REFERENCES iam_role (id) ON DELETE CASCADE,
    policy TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (role, policy)
) WITHOUT ROWID;

CREATE INDEX iam_attachment_policy ON iam_attachment (policy, role);

-- The account's own policies. id: ANPA…; last_version only grows.
CREATE TABLE iam_policy (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    path TEXT NOT NULL,
    description TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    default_version INTEGER NOT NULL,
    last_version INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE iam_policy_version (
    policy TEXT NOT NULL REFERENCES iam_policy (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (policy, version)
) WITHOUT ROWID;

-- id: AIPA…; a profile has one role at the most.
CREATE TABLE iam_instance_profile (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    path TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    role TEXT REFERENCES iam_role (id)
) WITHOUT ROWID;

CREATE INDEX iam_instance_profile_role ON iam_instance_profile (role);

-- owner: the id of a role, a policy or an instance profile; key as it was given first.
CREATE TABLE iam_tag (
    owner TEXT NOT NULL,
    key TEXT NOT NULL COLLATE NOCASE,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
