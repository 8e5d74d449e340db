-- Processes that ended, not as planned, while they held the task.
ALTER TABLE task ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
