-- The data catalog. body: the whole entry as JSON (millpond_core::catalog), so that what Glue carries is kept whatever it is.
CREATE TABLE catalog_database (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;

-- id: never used again, so that what is left of a dropped table cannot become part of a new one.
CREATE TABLE catalog_table (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    database TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (database, name)
);

-- The former versions of tables.
CREATE TABLE catalog_table_version (
    table_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (table_id, version)
) WITHOUT ROWID;

-- What the storage descriptors of a table's partitions have in common, once for all partitions that share it.
CREATE TABLE catalog_shape (
    id INTEGER PRIMARY KEY,
    table_id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (table_id, digest)
);

-- Partitions. sort: bytes that sort as the typed values compare (millpond_core::partition_expr::sort_bytes). slot: spreads partitions over
-- segments. k0 to k7: the typed values of the first keys, NULL where Hive's null or not of the type. vals: all values as text, a JSON array.
-- location: see partitions.rs. rest: what is the partition's own, as JSON.
CREATE TABLE catalog_partition (
    table_id INTEGER NOT NULL,
    sort BLOB NOT NULL,
    slot INTEGER NOT NULL,
    k0, k1, k2, k3, k4, k5, k6, k7,
    vals TEXT NOT NULL,
    shape INTEGER NOT NULL,
    location TEXT,
    created_ms INTEGER NOT NULL,
    rest TEXT,
    PRIMARY KEY (table_id, sort)
) WITHOUT ROWID;

-- Dropped tables whose partitions are still to be deleted.
CREATE TABLE catalog_dropped (table_id INTEGER PRIMARY KEY);
