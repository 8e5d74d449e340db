use super::*;
use crate::blobs::{INLINE_MAX, NewBlob};
use crate::task::{self, NewTask};
use futures::TryStreamExt;
use millpond_core::env::SystemEnv;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};

fn open(directory: &Path) -> Store {
    let things = Component { name: "things", migrations: &["CREATE TABLE thing (n INTEGER PRIMARY KEY)"] };
    // The writer thread of a store that was just dropped lets go of the lock when it has folded its log in.
    for _ in 0..500 {
        match Store::open(directory, &[things], Arc::new(SystemEnv)) {
            Err(StoreError::InUse(_)) => std::thread::sleep(std::time::Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the lock of the dropped store is still held");
}

async fn add(store: &Store, n: i64) -> Result<i64, StoreError> {
    store
        .write(move |tx| {
            tx.execute("INSERT INTO thing VALUES (?)", [n])?;
            Ok(tx.next_seq())
        })
        .await
}

async fn count(store: &Store, table: &'static str) -> i64 {
    let count =
        store.read(move |c| Ok::<_, StoreError>(c.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0))?));
    count.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_survive_reopening_and_failed_ones_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let writes: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { add(&store, n).await })
        })
        .collect();
    let mut seqs = Vec::new();
    for write in writes {
        seqs.push(write.await.unwrap().unwrap());
    }
    assert!(add(&store, 7).await.is_err(), "a second 7 breaks the primary key");
    let failed: Result<(), StoreError> = store
        .write(|tx| {
            tx.execute("INSERT INTO thing VALUES (1000)", [])?;
            panic!("on purpose")
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Panicked)));
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 200);
    drop(store);
    let store = open(directory.path());
    assert_eq!(count(&store, "thing").await, 200);
    assert!(add(&store, 1000).await.unwrap() > *seqs.last().unwrap());
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_directory_is_open_once() {
    let directory = tempfile::tempdir().unwrap();
    let _store = open(directory.path());
    let second = Store::open(directory.path(), &[], Arc::new(SystemEnv));
    assert!(matches!(second, Err(StoreError::InUse(_))));
}

#[tokio::test]
async fn data_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let older = Component { name: "things", migrations: &[] };
    let opened = loop {
        match Store::open(directory.path(), &[older], Arc::new(SystemEnv)) {
            Err(StoreError::InUse(_)) => std::thread::sleep(std::time::Duration::from_millis(10)),
            opened => break opened,
        }
    };
    assert!(matches!(opened, Err(StoreError::TooNew { found: 1, known: 0, .. })), "{opened:?}");
}

async fn lease(store: &Store) -> Vec<task::Task> {
    store.write(|tx| tx.lease_tasks("t", 10)).await.unwrap()
}

#[tokio::test]
async fn tasks_coalesce_by_key_and_never_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let new = NewTask::new("t", 1).keyed("a");
    for expected in [true, false] {
        let new = new.clone();
        assert_eq!(store.write(move |tx| tx.enqueue(&new)).await.unwrap().is_some(), expected);
    }
    let first = lease(&store).await;
    assert_eq!(first.len(), 1);
    let again = new.clone();
    assert!(store.write(move |tx| tx.enqueue(&again)).await.unwrap().is_some(), "the first one runs already");
    assert!(lease(&store).await.is_empty(), "one of a key at a time");
    let done = first[0].clone();
    store.write(move |tx| tx.finish_task(&done)).await.unwrap();
    assert_eq!(lease(&store).await.len(), 1);
}

#[tokio::test]
async fn a_failing_task_is_retried_and_then_buried_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.write(|tx| tx.enqueue(&NewTask::new("t", 1).failures_max(2))).await.unwrap();
    let first = lease(&store).await.remove(0);
    let failed = first.clone();
    assert!(!store.write(move |tx| tx.fail_task(&failed, "no", true)).await.unwrap());
    assert!(lease(&store).await.is_empty(), "it waits");
    store.write(|tx| Ok::<_, StoreError>(tx.execute("UPDATE task SET run_at_ms = 0", [])?)).await.unwrap();
    let second = lease(&store).await.remove(0);
    let stale = store.write(move |tx| tx.finish_task(&first)).await;
    assert!(matches!(stale, Err(StoreError::LeaseLost(_))));
    assert!(store.write(move |tx| tx.fail_task(&second, "no again", true)).await.unwrap());
    let dead = store.read(|c| task::dead_letters(c, 10)).await.unwrap();
    assert_eq!((dead.len(), dead[0].reason.as_deref()), (1, Some("no again")));
    let id = dead[0].id;
    assert!(store.write(move |tx| tx.revive_task(id)).await.unwrap());
    assert_eq!(lease(&store).await.len(), 1);
}

#[tokio::test]
async fn a_dead_task_is_revived_by_the_one_that_waits_for_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let new = NewTask::new("t", 1).keyed("k");
    let (dead, waiting) = (new.clone(), new);
    let id = store.write(move |tx| tx.bury(&dead, "no")).await.unwrap();
    store.write(move |tx| tx.enqueue(&waiting)).await.unwrap();
    assert!(store.write(move |tx| tx.revive_task(id)).await.unwrap());
    assert!(store.read(|c| task::dead_letters(c, 10)).await.unwrap().is_empty());
    assert_eq!(lease(&store).await.len(), 1);
}

#[tokio::test]
async fn a_failure_can_say_when_to_try_again_and_that_it_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.write(|tx| tx.enqueue(&NewTask::new("t", 1).failures_max(2))).await.unwrap();
    for (counts, failures, dead) in [(false, 0, false), (true, 1, false), (false, 1, false), (true, 2, true)] {
        let held = lease(&store).await.remove(0);
        let buried = store.write(move |tx| tx.fail_task_until(&held, "not now", tx.now_ms(), counts)).await.unwrap();
        let found: u32 =
            store.read(|c| Ok::<_, StoreError>(c.query_row("SELECT failures FROM task", [], |row| row.get(0))?)).await.unwrap();
        assert_eq!((buried, found), (dead, failures));
    }
}

#[tokio::test]
async fn leased_tasks_are_ready_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.write(|tx| tx.enqueue(&NewTask::new("t", 1).keyed("k"))).await.unwrap();
    assert_eq!(lease(&store).await.len(), 1);
    store.write(|tx| tx.enqueue(&NewTask::new("t", 2).keyed("k"))).await.unwrap();
    drop(store);
    let store = open(directory.path());
    let tasks = lease(&store).await;
    assert_eq!((tasks.len(), tasks[0].failures), (1, 0), "the two became one, and no failure was counted");
    assert_eq!(tasks[0].deaths, 1, "but that its process ended");
    store.write(|tx| tx.release_tasks()).await.unwrap();
    let late = tasks[0].clone();
    assert!(matches!(store.write(move |tx| tx.finish_task(&late)).await, Err(StoreError::LeaseLost(_))));
    drop(store);
    let store = open(directory.path());
    assert_eq!(lease(&store).await[0].deaths, 1, "a planned end does not count");
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 % 251) as u8).collect()
}

async fn new_blob(store: &Store, bytes: &[u8]) -> NewBlob {
    let mut writer = store.blobs().writer();
    for chunk in bytes.chunks(100_000) {
        writer.write(chunk).await.unwrap();
    }
    writer.finish().await.unwrap()
}

#[tokio::test]
async fn blobs_of_every_size_are_read_back_whole_and_in_ranges() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut parts = Vec::new();
    let mut whole = Vec::new();
    for size in [0, 1, INLINE_MAX, INLINE_MAX + 1, 3_000_000] {
        let bytes = pattern(size);
        let new = new_blob(&store, &bytes).await;
        assert_eq!(matches!(new, NewBlob::Inline(_)), size <= INLINE_MAX);
        let id = store.write(move |tx| tx.adopt(&new)).await.unwrap();
        let read: Vec<_> = store.blobs().stream(&id, 0..size as u64).await.unwrap().try_collect().await.unwrap();
        assert_eq!(read.concat(), bytes);
        parts.push((id, size as u64));
        whole.extend(bytes);
    }
    let concat = store.write(move |tx| tx.concat(&parts)).await.unwrap();
    for range in [0..whole.len(), 10..20, INLINE_MAX - 3..INLINE_MAX + 200_000, whole.len() - 1..whole.len()] {
        let got = store.blobs().get_range(&concat.path(), range.start as u64..range.end as u64).await.unwrap();
        assert_eq!(got, whole[range]);
    }
    let beyond = whole.len() as u64;
    assert!(store.blobs().get_ranges(&concat.path(), std::slice::from_ref(&(0..beyond + 1))).await.is_err());
}

#[tokio::test]
async fn the_engine_writes_small_and_large_blobs_that_can_be_adopted() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (small, large) = (store.blobs().new_location(), store.blobs().new_location());
    store.blobs().put(&small.path(), pattern(10).into()).await.unwrap();
    let mut upload = WriteMultipart::new(store.blobs().put_multipart(&large.path()).await.unwrap());
    pattern(6_000_000).chunks(700_000).for_each(|chunk| upload.write(chunk));
    upload.finish().await.unwrap();
    for (id, size) in [(small.clone(), 10), (large.clone(), 6_000_000)] {
        let adopted = id.clone();
        store.write(move |tx| tx.adopt_written(&adopted)).await.unwrap();
        assert_eq!(store.blobs().get(&id.path()).await.unwrap().bytes().await.unwrap(), pattern(size));
    }
    assert!(store.blobs().get(&store.blobs().new_location().path()).await.is_err());
}

#[tokio::test]
async fn bytes_without_a_name_are_collected_and_others_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let bytes = pattern(INLINE_MAX + 1);
    let (kept, dropped, orphan) =
        (new_blob(&store, &bytes).await, new_blob(&store, &bytes).await, new_blob(&store, &bytes).await);
    let (kept, concat) = store
        .write(move |tx| {
            let (kept, dropped) = (tx.adopt(&kept)?, tx.adopt(&dropped)?);
            let size = tx.blob_size(&dropped)?;
            let concat = tx.concat(&[(dropped.clone(), size)])?;
            tx.release(&dropped)?;
            Ok::<_, StoreError>((kept, concat))
        })
        .await
        .unwrap();
    let nothing = store.collect(None).await.unwrap();
    assert_eq!(nothing, Default::default(), "all of it is younger than the grace");
    let orphans = store.collect(Some(-1000)).await.unwrap();
    assert_eq!((orphans.released, orphans.orphans), (0, 1), "{orphan:?}");
    let gone = concat.clone();
    store.write(move |tx| tx.release(&gone)).await.unwrap();
    assert_eq!(store.collect(Some(-1000)).await.unwrap().released, 1, "the concatenation");
    assert_eq!(store.collect(Some(-1000)).await.unwrap().released, 1, "then its part");
    assert!(store.blobs().get(&concat.path()).await.is_err());
    assert_eq!(store.blobs().get(&kept.path()).await.unwrap().bytes().await.unwrap(), bytes);
    assert_eq!(store.blobs().faults(10).unwrap(), Vec::<String>::new());
}

fn age(store: &Store, by: std::time::Duration) {
    for folder in std::fs::read_dir(store.directory().join("blobs")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = File::options().write(true).open(file.unwrap().path()).unwrap();
            file.set_modified(std::time::SystemTime::now() - by).unwrap();
        }
    }
}

#[tokio::test]
async fn files_under_way_are_left_alone_and_those_of_a_former_process_are_collected() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let bytes = pattern(INLINE_MAX + 1);
    let mut stalled = store.blobs().writer();
    stalled.write(&bytes).await.unwrap();
    age(&store, std::time::Duration::from_millis(3 * blobs::GRACE_MS as u64));
    // As if the store had been opened long ago.
    let since = store.env().now_ms() - 4 * blobs::GRACE_MS;
    store.blobs().set_opened_ms(since);
    assert_eq!(store.collect(None).await.unwrap().orphans, 0, "an upload may pause for hours");
    let new = stalled.finish().await.unwrap();
    let id = store.write(move |tx| tx.adopt(&new)).await.unwrap();
    assert_eq!(store.blobs().get(&id.path()).await.unwrap().bytes().await.unwrap(), bytes);

    new_blob(&store, &bytes).await;
    age(&store, std::time::Duration::from_secs(5));
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.collect(None).await.unwrap().orphans, 1, "whoever wrote it is gone");
    assert_eq!(store.blobs().get(&id.path()).await.unwrap().bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn a_file_that_was_removed_while_it_was_written_is_no_blob() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut writer = store.blobs().writer();
    writer.write(&pattern(INLINE_MAX + 1)).await.unwrap();
    assert_eq!(store.collect(Some(-1000)).await.unwrap().orphans, 1);
    assert!(writer.finish().await.is_err(), "else a row would name bytes that are not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_after_the_commit_of_their_transaction_and_only_then() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (told, heard) = std::sync::mpsc::channel();
    let (kept, failed, panicked) = (told.clone(), told.clone(), told);
    let write = store.write(move |tx| {
        tx.execute("INSERT INTO thing VALUES (1)", [])?;
        tx.after_commit(move || kept.send("kept").unwrap());
        Ok::<_, StoreError>(())
    });
    write.await.unwrap();
    assert_eq!(heard.try_recv(), Ok("kept"), "the hook ran before the write was answered");
    let write = store.write(move |tx| {
        tx.after_commit(move || failed.send("failed").unwrap());
        Err::<(), _>(StoreError::Corrupt("on purpose".into()))
    });
    write.await.unwrap_err();
    let write = store.write(move |tx| -> Result<(), StoreError> {
        tx.after_commit(move || panicked.send("panicked").unwrap());
        panic!("on purpose")
    });
    write.await.unwrap_err();
    assert_eq!(add(&store, 2).await.ok(), Some(1));
    assert!(heard.recv().is_err(), "what was undone runs no hooks");
}
