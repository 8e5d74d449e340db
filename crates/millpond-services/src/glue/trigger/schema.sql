-- Triggers. spec: the definition, as JSON. workflow: the one that it belongs to. state: CREATED, ACTIVATED, DEACTIVATED.
CREATE TABLE glue_trigger (
    name TEXT PRIMARY KEY,
    workflow TEXT,
    spec TEXT NOT NULL,
    state TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX glue_trigger_workflow ON glue_trigger (workflow, name) WHERE workflow IS NOT NULL;

-- What conditional triggers watch, found by what ends: watched is job/NAME or crawler/NAME, condition its place in the predicate, state the one it
-- waits for.
CREATE TABLE glue_trigger_watch (
    watched TEXT NOT NULL,
    state TEXT NOT NULL,
    trigger_name TEXT NOT NULL,
    condition INTEGER NOT NULL,
    PRIMARY KEY (watched, state, trigger_name, condition)
) WITHOUT ROWID;

-- Conditions that came true since their trigger fired; workflow_run is '' outside of workflows.
CREATE TABLE glue_trigger_met (
    trigger_name TEXT NOT NULL,
    workflow_run TEXT NOT NULL,
    condition INTEGER NOT NULL,
    PRIMARY KEY (trigger_name, workflow_run, condition)
) WITHOUT ROWID;

-- What triggers started and has not ended, and in runs of workflows also what has: job runs (without the number of their attempt) and crawls by id.
-- state: RUNNING, as job runs and crawls end, or ERROR where it could not be started.
CREATE TABLE glue_started (
    id TEXT PRIMARY KEY,
    node TEXT NOT NULL,
    trigger_name TEXT NOT NULL,
    workflow_run TEXT NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    started_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX glue_started_workflow ON glue_started (workflow_run) WHERE workflow_run <> '';

-- Workflows. spec: the definition, as JSON.
CREATE TABLE glue_workflow (
    name TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Their runs. properties: as JSON. state: RUNNING, STOPPING, STOPPED, COMPLETED, ERROR.
CREATE TABLE glue_workflow_run (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    workflow TEXT NOT NULL,
    properties TEXT NOT NULL,
    state TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    completed_ms INTEGER,
    error TEXT
);
CREATE INDEX glue_workflow_run_workflow ON glue_workflow_run (workflow, seq);
CREATE INDEX glue_workflow_run_open ON glue_workflow_run (workflow) WHERE completed_ms IS NULL;
