-- By whose end a condition came true: the id of the job's run (with the number of its attempt) or of the crawl; '' where that was not kept yet.
ALTER TABLE glue_trigger_met ADD COLUMN ended TEXT NOT NULL DEFAULT '';
