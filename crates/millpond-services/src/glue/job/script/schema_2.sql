-- The lake's last change when the run was opened: of what lies in a place that is the run's, what came later was written by it.
ALTER TABLE job_script ADD COLUMN opened_seq INTEGER NOT NULL DEFAULT 0;

-- Whether the script called job.commit() after it was given the version.
ALTER TABLE job_script_file ADD COLUMN committed INTEGER NOT NULL DEFAULT 0;
UPDATE job_script_file SET committed = (
    SELECT committed FROM job_script_source AS source WHERE source.run = job_script_file.run AND source.context = job_script_file.context
);
