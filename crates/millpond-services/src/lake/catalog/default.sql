-- Every account has a database of this name, which clients use where none is said. It is there from the first start, and can be dropped.
INSERT INTO catalog_database (name, body)
VALUES ('default', json_object('name', 'default', 'parameters', json_object(), 'created_ms', unixepoch() * 1000))
ON CONFLICT DO NOTHING;
