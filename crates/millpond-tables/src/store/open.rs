//! Opening: the folder, its format, and bringing tables and indexes to what the service knows.
//!
//! | in the folder | |
//! |---|---|
//! | `format` | the number of the format, as text; written first |
//! | `db/` | fjall's |
//! | `load/` | runs of loads that are being sorted; removed when the store is opened |

use super::core::{Core, keyspace_name, table_of_keyspace, translate, translate_io};
use super::table::{Definition, IndexKind, Progress, Sums, Table};
use super::{Options, StoreError, TableId, TableSpec, keys};
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};
use millpond_core::env::SharedEnv;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The format of keys and values that this program writes. Older ones must be read for ever.
pub(super) const FORMAT: u32 = 1;

/// Where loads sort.
pub(super) fn load_folder(folder: &Path) -> PathBuf {
    folder.join("load")
}

/// Opens what is there for these tables, or makes it.
pub(super) fn open(folder: &Path, options: Options, env: SharedEnv, tables: &[TableSpec]) -> Result<Core, StoreError> {
    prepare(folder).map_err(|error| translate_io(folder, &error))?;
    check_format(folder)?;
    let database = Database::builder(folder.join("db"))
        .cache_size(options.cache_bytes)
        .max_cached_files(Some(options.files_max.max(16)))
        .max_journaling_size(options.write_buffer_bytes.saturating_mul(4).max(64 << 20))
        .worker_threads(2)
        .open()
        .map_err(|error| translate(folder, error))?;
    let core = Core::new(folder.to_owned(), options, env, database);
    let known: HashSet<TableId> = tables.iter().map(|table| table.id).collect();
    for name in core.database.list_keyspace_names() {
        match table_of_keyspace(&name) {
            Some(id) if known.contains(&id) => {}
            Some(id) => remove_keyspace(&core, id)?,
            None => return Err(core.damaged(format!("it has \"{name}\", which is no table"))),
        }
    }
    for table in tables {
        open_table(&core, table)?;
    }
    Ok(core)
}

/// Makes the folder, and removes what loads left behind.
fn prepare(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    match fs::remove_dir_all(load_folder(folder)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the store of no tables.
pub(super) fn remove(folder: &Path) -> Result<(), StoreError> {
    let io = |error: std::io::Error| translate_io(folder, &error);
    // The format goes last: without it, what is left would not be known.
    for part in ["load", "db"] {
        match fs::remove_dir_all(folder.join(part)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    fs::remove_dir_all(folder).map_err(io)
}

fn check_format(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join("format");
    let io = |error: std::io::Error| translate_io(folder, &error);
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(FORMAT) => Ok(()),
            Ok(version) => Err(StoreError::Version { folder: folder.to_owned(), version }),
            Err(_) => Err(StoreError::Damaged { folder: folder.to_owned(), reason: "its file \"format\" is no number".into() }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if folder.join("db").exists() {
                let reason = "its file \"format\" is missing".into();
                return Err(StoreError::Damaged { folder: folder.to_owned(), reason });
            }
            let new = folder.join("format.new");
            let mut file = File::create(&new).map_err(io)?;
            file.write_all(format!("{FORMAT}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
            fs::rename(&new, &path).map_err(io)?;
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}

/// Removes a table's keyspace; its files go when nobody reads them any more.
pub(super) fn remove_keyspace(core: &Core, id: TableId) -> Result<(), StoreError> {
    let keyspace = core.keyspace(id)?;
    core.database.delete_keyspace(keyspace).map_err(|error| core.error(error))
}

/// Does the database have this table?
pub(super) fn has_keyspace(core: &Core, id: TableId) -> bool {
    let name = keyspace_name(id);
    core.database.list_keyspace_names().iter().any(|other| **other == *name)
}

fn read(core: &Core, keyspace: &Keyspace, key: &[u8]) -> Result<Option<fjall::UserValue>, StoreError> {
    keyspace.get(key).map_err(|error| core.error(error))
}

/// Opens a table, or makes it; its indexes become those of `spec`.
pub(super) fn open_table(core: &Core, spec: &TableSpec) -> Result<(), StoreError> {
    let keyspace = core.keyspace(spec.id)?;
    let written = match read(core, &keyspace, &keys::DEFINITION)? {
        Some(bytes) => {
            Some(Definition::decode(&bytes).ok_or_else(|| core.damaged(format!("what table {} is cannot be read", spec.id)))?)
        }
        None => None,
    };
    let definition = match &written {
        Some(written) if written.key != spec.key => return Err(StoreError::Exists(format!("table {}", spec.id))),
        Some(written) => reconcile(written, spec),
        None => Definition::new(spec),
    };
    if written.as_ref() != Some(&definition) {
        let mut batch = OwnedWriteBatch::with_capacity(core.database.clone(), 1).durability(Some(PersistMode::SyncData));
        batch.insert(&keyspace, keys::DEFINITION, definition.encode());
        batch.commit().map_err(|error| core.error(error))?;
    }
    let mut sums = match read(core, &keyspace, &keys::SUMS)? {
        Some(bytes) => {
            Sums::decode(&bytes).ok_or_else(|| core.damaged(format!("the sums of table {} cannot be read", spec.id)))?
        }
        None => Sums::default(),
    };
    sums.sections.retain(|section, _| definition.indexes.iter().any(|index| index.section == *section));
    let mut cursors = Vec::new();
    for index in definition.indexes.iter().filter(|index| !index.active) {
        let bytes = read(core, &keyspace, &keys::cursor(index.section))?;
        cursors.push((index.section, bytes.map_or_else(Progress::start, |bytes| Progress::decode(&bytes))));
    }
    let progress = |section| {
        let found = cursors.iter().find(|(other, _)| *other == section);
        found.map_or_else(Progress::start, |(_, progress)| progress.clone())
    };
    core.insert_table(Table::new(spec.id, keyspace, definition, sums, progress));
    Ok(())
}

/// What is written, with the indexes that are wanted: others are dropped, new ones are to be built.
fn reconcile(written: &Definition, spec: &TableSpec) -> Definition {
    let secondary = spec.indexes.iter().cloned().map(IndexKind::Secondary);
    let wanted: Vec<IndexKind> = secondary.chain(spec.expiry.clone().map(IndexKind::Expiry)).collect();
    let mut definition = written.clone();
    for index in &written.indexes {
        if !wanted.contains(&index.kind) {
            definition.remove(index.section);
        }
    }
    for kind in wanted {
        if !definition.indexes.iter().any(|index| index.kind == kind) {
            definition.add(kind, false);
        }
    }
    definition
}
