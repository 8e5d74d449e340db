-- What runs with a table of items as their target have staged: the files of rows to put, and what the run will have done, as JSON. From the moment at which
-- it is decided which rows are put until the run ends.
CREATE TABLE job_items (run TEXT PRIMARY KEY, staged TEXT NOT NULL) WITHOUT ROWID;
