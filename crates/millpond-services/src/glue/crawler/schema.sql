-- Crawlers. spec: the definition, as JSON. state: 0 ready, 1 running, 2 stopping. bookmark: the lake's seq up to which the last crawl that succeeded
-- has seen everything. schedule: whether it starts by its schedule.
CREATE TABLE crawler (
    name TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    bookmark INTEGER NOT NULL DEFAULT 0,
    scheduled INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 1,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Crawls, the latest of each crawler. state: RUNNING, COMPLETED, FAILED, STOPPED. summary: what it did, as JSON. log: what a person may want to know.
CREATE TABLE crawl (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    crawler TEXT NOT NULL,
    state TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    summary TEXT NOT NULL,
    error TEXT,
    log TEXT NOT NULL DEFAULT ''
);
CREATE INDEX crawl_crawler ON crawl (crawler, seq);
