//! The process is killed at any time: what was acknowledged is there, changes are whole, counts are right.
//!
//! The killed process is this test program again, with the one test [`child`], which does nothing elsewhere.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "MILLPOND_TABLES_CRASH_FOLDER";

fn specs() -> [TableSpec; 2] {
    let by_owner = index("i", "owner", Some("v"), Projection::All);
    [TableSpec { indexes: vec![by_owner], ..table(1, None) }, table(2, None)]
}

fn row(id: &str, version: u64) -> Item {
    let text = "x".repeat(usize::try_from(version % 700).unwrap());
    item([
        ("id", id.into()),
        ("owner", format!("o{}", version % 5).as_str().into()),
        ("v", Value::from(version as i64)),
        ("t", text.as_str().into()),
    ])
}

/// Writes until it is killed: four threads put pairs, one loads. Tells what was acknowledged, a line each.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let items = open(Path::new(&folder), &Arc::default(), &specs());
    let start = all(&items, TABLE, None).iter().filter_map(|item| item["v"].as_number()?.to_i64()).max().unwrap_or(0);
    let tell = |line: String| writeln!(std::io::stdout().lock(), "{line}").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let items = &items;
            scope.spawn(move || {
                for n in 1.. {
                    let (id, version) = (format!("{thread}-{}", n % 150), start as u64 + n);
                    let ops = if n % 11 == 0 {
                        vec![Op::<()>::delete(TABLE, key(&id)), Op::delete(TableId(2), key(&id))]
                    } else {
                        vec![Op::put(TABLE, row(&id, version)), Op::put(TableId(2), row(&id, version))]
                    };
                    items.change(ops).unwrap();
                    tell(format!("ack {id} {}", if n % 11 == 0 { 0 } else { version }));
                }
            });
        }
        scope.spawn(|| {
            for n in 1.. {
                let loader = items.loader(TABLE, LoadOptions { memory_bytes: 200_000, writers: 1 }).unwrap();
                let mut writer = loader.writer();
                for row_number in 0..1500 {
                    writer.put(0, &row(&format!("load-{row_number}"), start as u64 + n)).unwrap();
                }
                writer.finish().unwrap();
                loader.finish(|_, _| true).unwrap();
                tell(format!("load {}", start as u64 + n));
            }
        });
    });
}

/// What a child said before it was killed: versions by id (0: deleted), and the last load.
fn run_and_kill(folder: &Path, after: Duration, told: &mut BTreeMap<String, u64>, loaded: &mut u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crash::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).collect::<Vec<_>>());
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    for line in reader.join().unwrap() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["ack", id, version] => {
                if let Ok(version) = version.parse() {
                    told.insert((*id).to_owned(), version);
                }
            }
            ["load", version] => *loaded = version.parse().unwrap_or(*loaded),
            _ => {}
        }
    }
}

fn versions(items: &Items, table: TableId, index: Option<&str>) -> BTreeMap<String, u64> {
    let version = |item: &Item| u64::try_from(item["v"].as_number().unwrap().to_i64().unwrap()).unwrap();
    all(items, table, index).iter().map(|item| (item["id"].as_str().unwrap().to_owned(), version(item))).collect()
}

#[test]
fn killed_store_has_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(20);
    let (mut told, mut loaded, mut said) = (BTreeMap::new(), 0, 0);
    for round in 0..20 {
        let after = Duration::from_millis(random.random_range(60..450));
        told.clear();
        run_and_kill(folder.path(), after, &mut told, &mut loaded);
        said += told.len();
        let items = open(folder.path(), &Arc::default(), &specs());
        let found = versions(&items, TABLE, None);
        for (id, version) in &told {
            let now = found.get(id).copied().unwrap_or(0);
            // Each thread may have made one change durable that it could not tell any more; the versions of an id grow by 150.
            let next = told.iter().filter(|(other, _)| other.split('-').next() == id.split('-').next()).map(|(_, v)| *v).max();
            let untold = now > *version || (now == 0 && next.is_some_and(|next| next >= version + 139));
            assert!(now == *version || untold, "round {round}: {id} has version {now}, {version} was acknowledged");
        }
        let pairs: BTreeMap<String, u64> =
            found.iter().filter(|(id, _)| !id.starts_with("load")).map(|(id, v)| (id.clone(), *v)).collect();
        assert_eq!(pairs, versions(&items, TableId(2), None), "round {round}: pairs are whole");
        assert_eq!(found, versions(&items, TABLE, Some("i")), "round {round}: the index agrees");
        let loads: Vec<u64> = found.iter().filter(|(id, _)| id.starts_with("load")).map(|(_, v)| *v).collect();
        assert!(
            loads.is_empty() && loaded == 0 || loads.len() == 1500 && loads.iter().all(|version| *version >= loaded),
            "round {round}"
        );
        for (table, index) in [(TABLE, None), (TABLE, Some("i")), (TableId(2), None)] {
            let found = all(&items, table, index);
            let bytes = found.iter().map(|item| crate::value::item_size(item) as u64).sum();
            let counts = index.map_or_else(|| items.counts(table), |index| items.index_counts(table, index)).unwrap();
            assert_eq!(counts, Counts { items: found.len() as u64, bytes }, "round {round}: counts of {table} {index:?}");
        }
    }
    assert!(said > 200 && loaded > 0, "the children did something: {said}, {loaded}");
}
