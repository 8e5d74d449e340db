-- Executions whose rows go straight to a connection, while they run: what is left here by a former process has ended with it.
CREATE TABLE athena_direct (id TEXT PRIMARY KEY) WITHOUT ROWID;
