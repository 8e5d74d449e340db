-- What a row holds and who listens, and a note for the listener. Rows of before are events of the default bus.
ALTER TABLE outbox ADD COLUMN channel TEXT NOT NULL DEFAULT 'events';
ALTER TABLE outbox ADD COLUMN route TEXT;
