-- Jobs. spec: the definition, as JSON.
CREATE TABLE job (
    name TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Job runs. state: as Glue writes it. spec: the definition that the run began with. stats: what it did, as JSON.
CREATE TABLE job_run (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    job TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    previous TEXT,
    state TEXT NOT NULL,
    arguments TEXT NOT NULL,
    spec TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    begun_ms INTEGER,
    completed_ms INTEGER,
    message TEXT,
    stats TEXT NOT NULL
);
CREATE INDEX job_run_job ON job_run (job, seq);
CREATE INDEX job_run_open ON job_run (job, seq) WHERE completed_ms IS NULL;

-- How far a job has read each of its sources. generation: a number of its own for each life of the bookmark, from one reset to the next.
CREATE TABLE job_bookmark (
    job TEXT NOT NULL,
    source TEXT NOT NULL,
    generation INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    runs INTEGER NOT NULL DEFAULT 0,
    run TEXT,
    PRIMARY KEY (job, source)
) WITHOUT ROWID;
