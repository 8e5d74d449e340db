//! Tests of the store as a whole.

mod build;
mod crash;
mod disk;
mod expiry;
mod load;
mod model;
mod reads;
mod sharing;

use super::*;
use crate::value::key::{KeyAttribute, KeySchema, KeyType};
use crate::value::{Item, Value};
use millpond_core::env::Env;
use std::sync::atomic::{AtomicI64, Ordering};

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
struct Clock(AtomicI64);

impl Clock {
    fn set(&self, second: i64) {
        self.0.store(second * 1000, Ordering::Relaxed);
    }
}

impl Env for Clock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// A store in a folder of its own.
struct Fixture {
    folder: tempfile::TempDir,
    clock: Arc<Clock>,
    items: Items,
}

impl Fixture {
    fn new(tables: &[TableSpec]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Clock::default());
        let items = open(folder.path(), &clock, tables);
        Self { folder, clock, items }
    }

    fn reopen(self, tables: &[TableSpec]) -> Self {
        let Self { folder, clock, items } = self;
        drop(items);
        let items = open(folder.path(), &clock, tables);
        Self { folder, clock, items }
    }
}

fn open(folder: &Path, clock: &Arc<Clock>, tables: &[TableSpec]) -> Items {
    let options = Options { cache_bytes: 4 << 20, write_buffer_bytes: 4 << 20, files_max: 64 };
    Items::open(&folder.join("items"), options, Arc::clone(clock) as SharedEnv, tables).unwrap()
}

const TABLE: TableId = TableId(1);

fn attribute(name: &str, key_type: KeyType) -> KeyAttribute {
    KeyAttribute { name: name.into(), key_type }
}

fn key_of(hash: &str, range: Option<&str>) -> KeySchema {
    KeySchema { hash: attribute(hash, KeyType::String), range: range.map(|name| attribute(name, KeyType::Number)) }
}

fn table(id: u64, range: Option<&str>) -> TableSpec {
    TableSpec { id: TableId(id), key: key_of("id", range), indexes: Vec::new(), expiry: None }
}

fn index(name: &str, hash: &str, range: Option<&str>, projection: Projection) -> IndexSpec {
    IndexSpec { name: name.into(), key: key_of(hash, range), projection }
}

fn item<const N: usize>(attributes: [(&str, Value); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn key(id: &str) -> Item {
    item([("id", id.into())])
}

fn put(items: &Items, item: Item) {
    items.change::<()>(vec![Op::put(TABLE, item)]).unwrap();
}

fn all(items: &Items, table: TableId, index: Option<&str>) -> Vec<Item> {
    let mut found = Vec::new();
    let scan = Scan { table, index, segment: (0, 1), after: None, limits: Limits::NONE };
    let page = items.scan(&scan, |record| {
        found.push(record.item()?);
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!(page.unwrap().items, found.len());
    found
}

/// Waits until it is so, for the threads in the background.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("waited too long for: {what}");
}
