-- Runs of scripts, from the start of their process to their end. phase: 'running', or 'ended' where the script ended well and what follows its end
-- goes on after a crash. output: 'at-end' or 'as-written'. bookmark: as the job parameter says it. failure: what the launcher reported, as JSON.
CREATE TABLE job_script (
    run TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    phase TEXT NOT NULL,
    output TEXT NOT NULL,
    bookmark TEXT NOT NULL,
    engine TEXT NOT NULL,
    committed INTEGER NOT NULL DEFAULT 0,
    failure TEXT
) WITHOUT ROWID;

-- How far a run read a source, by its transformation context. generation, found: of the bookmark, as the run found it. committed: to be saved.
CREATE TABLE job_script_source (
    run TEXT NOT NULL,
    context TEXT NOT NULL,
    generation INTEGER,
    found INTEGER NOT NULL,
    until INTEGER NOT NULL,
    committed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, context)
) WITHOUT ROWID;

-- The object versions that a run was given to read.
CREATE TABLE job_script_file (
    run TEXT NOT NULL,
    context TEXT NOT NULL,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (run, context, bucket, key)
) WITHOUT ROWID;

-- What is to be done when a script has ended well, in order. kind: 'load' or 'table'; payload: what the script asked for, as JSON. bytes: of the
-- payload; partitions: in it. They stand before it, so that they are read without it.
CREATE TABLE job_script_step (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    partitions INTEGER NOT NULL,
    payload TEXT NOT NULL
);
CREATE INDEX job_script_step_run ON job_script_step (run, seq);

-- Where the bookmarks of a job were after each run that moved them. run_seq: the run's place among all runs.
CREATE TABLE job_bookmark_state (
    job TEXT NOT NULL,
    source TEXT NOT NULL,
    position INTEGER NOT NULL,
    run TEXT NOT NULL,
    run_seq INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (job, source, position)
) WITHOUT ROWID;
