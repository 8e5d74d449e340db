-- Prepared statements, by workgroup. doc: the whole statement as JSON.
CREATE TABLE athena_prepared_statement (
    workgroup TEXT NOT NULL,
    name TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workgroup, name)
) WITHOUT ROWID;

-- Further names of the lake's data catalog. doc: the whole catalog as JSON.
CREATE TABLE athena_data_catalog (name TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID;

-- What the result of a successful execution can be used again for: a digest of everything that decides it but the tables.
ALTER TABLE athena_execution ADD COLUMN reuse TEXT;
CREATE INDEX athena_execution_reuse ON athena_execution (reuse, seq) WHERE reuse IS NOT NULL;
