//! Disks that fail.

use super::*;
use std::process::Command;

fn row(n: u64) -> Item {
    // Texts that do not compress.
    let text: String = (0..400u64).map(|at| format!("{:016x}", (n * 400 + at).wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    item([("id", format!("id{n}").as_str().into()), ("t", text.as_str().into())])
}

/// Names a folder on a file system of 100 MB.
const SMALL: &str = "MILLPOND_TABLES_SMALL_FOLDER";

/// Runs one test of this program again, where [`SMALL`] is a file system that only that process sees.
fn again_on_a_small_disk(test: &str) {
    let apart = |command: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount"]).args(command);
        unshare
    };
    if !apart(&["true"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this machine lets nobody mount a file system, nor is there one in {SMALL}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = apart(&["sh", "-c", "mount -t tmpfs -o size=100m none \"$0\" && exec \"$@\""])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(SMALL, folder.path())
        .output()
        .unwrap();
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", told(&output.stdout), told(&output.stderr));
    assert!(told(&output.stdout).contains("1 passed"), "the test ran: {}", told(&output.stdout));
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nobody else sees it");
}

#[test]
fn full_disk_stops_changes_and_loses_none() {
    let Ok(folder) = std::env::var(SMALL) else {
        return again_on_a_small_disk("store::tests::disk::full_disk_stops_changes_and_loses_none");
    };
    let folder = Path::new(&folder);
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![1; 40 << 20]).unwrap();
    let items = open(folder, &Arc::default(), &[table(1, None)]);
    let change = |n| items.change::<()>(vec![Op::put(TABLE, row(n))]);
    let (full, error) = (0..).find_map(|n| change(n).err().map(|error| (n, error))).unwrap();
    let ChangeError::Store(error) = error else { panic!("{error:?}") };
    assert!(matches!(error, StoreError::DiskFull(_)), "{error:?}");
    let again = change(full);
    assert!(matches!(again, Err(ChangeError::Store(StoreError::DiskFull(_) | StoreError::Stopped(_)))), "{again:?}");
    assert_eq!(items.get(TABLE, &key("id0")).unwrap(), Some(row(0)), "it can be read still");
    let loader = items.loader(TABLE, LoadOptions::default());
    drop((loader, items));
    std::fs::remove_file(&ballast).unwrap();
    let items = open(folder, &Arc::default(), &[table(1, None)]);
    for n in 0..full {
        assert_eq!(items.get(TABLE, &key(&format!("id{n}"))).unwrap(), Some(row(n)));
    }
    assert_eq!(items.counts(TABLE).unwrap().items, full);
    put(&items, row(full));
}

#[test]
fn damaged_files_are_errors() {
    for (number, damage) in [b"rubbish".as_slice(), b""].into_iter().enumerate() {
        let fixture = Fixture::new(&[table(1, None)]);
        let rows = (0..300).map(|n| Op::<()>::put(TABLE, row(n)));
        fixture.items.change(rows.collect()).unwrap();
        let keyspace = fixture.items.table(TABLE).unwrap().keyspace.clone();
        keyspace.rotate_memtable_and_wait().unwrap();
        let path = keyspace.path().join("tables");
        drop(keyspace);
        let Fixture { folder, clock, items } = fixture;
        drop(items);
        for file in std::fs::read_dir(path).unwrap() {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            if number == 0 {
                // In the middle of the items.
                let at = bytes.len() / 3;
                bytes[at..at + damage.len()].copy_from_slice(damage);
            } else {
                bytes.truncate(100);
            }
            std::fs::write(&path, bytes).unwrap();
        }
        let options = Options { cache_bytes: 1 << 20, ..Options::default() };
        let opened = Items::open(&folder.path().join("items"), options, clock as SharedEnv, &[table(1, None)]);
        let result = opened.and_then(|items| {
            for n in 0..300 {
                assert_eq!(items.get(TABLE, &key(&format!("id{n}")))?, Some(row(n)));
            }
            Ok(())
        });
        assert!(matches!(result, Err(StoreError::Damaged { .. })), "damage {number}: {result:?}");
    }
}
