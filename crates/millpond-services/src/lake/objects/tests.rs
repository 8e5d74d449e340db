use super::*;
use millpond_core::env::SystemEnv;
use millpond_store::Store;
use millpond_store::blobs::NewBlob;
use std::sync::Arc;

async fn filled(keys: &'static [&'static str]) -> (tempfile::TempDir, Store, Bucket) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &[COMPONENT], Arc::new(SystemEnv)).unwrap();
    let bucket = store.write(|tx| create_bucket(tx, "raw", "us-east-1")).await.unwrap().unwrap();
    let to = bucket.clone();
    let written = store.write(move |tx| {
        for key in keys {
            put_one(tx, &to, key)?;
        }
        Ok::<_, StoreError>(())
    });
    written.await.unwrap();
    (directory, store, bucket)
}

fn put_one(tx: &Tx<'_>, bucket: &Bucket, key: &str) -> Result<Object, StoreError> {
    let blob = tx.adopt(&NewBlob::Inline(b"x".as_slice().into()))?;
    let new = NewObject { key: key.into(), blob, size: 1, etag: "e".into(), meta: ObjectMeta::default() };
    put(tx, &Place::default(), bucket, new, &Cause { reason: "PutObject", ..Cause::default() })
}

#[tokio::test]
async fn pages_of_a_listing_together_hold_each_key_and_prefix_once() {
    let keys = &["a", "a/1", "a/2", "b//x", "b/1", "c", "d/\u{10FFFF}", "e/\u{D7FF}z", "é"];
    let (_directory, store, bucket) = filled(keys).await;
    let whole = ["a", "a/", "b/", "c", "d/", "e/", "é"];
    for limit in 1..8 {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let spec = ListSpec { delimiter: "/".into(), after: after.clone(), limit, ..ListSpec::default() };
            let page = store.read(move |c| list(c, bucket.id, &spec)).await.unwrap();
            seen.extend(page.objects.into_iter().map(|object| object.key).chain(page.common_prefixes));
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        seen.sort();
        assert_eq!(seen, whole, "pages of {limit}");
    }
}

#[tokio::test]
async fn a_listing_keeps_to_its_prefix() {
    let (_directory, store, bucket) = filled(&["a", "b/1", "b/2/3", "b0", "c"]).await;
    for (prefix, delimiter, expected) in [("b/", "", "b/1 b/2/3"), ("b/", "/", "b/1 b/2/"), ("b", "/", "b0 b/"), ("x", "", "")] {
        let spec = ListSpec { prefix: prefix.into(), delimiter: delimiter.into(), limit: 10, ..ListSpec::default() };
        let page = store.read(move |c| list(c, bucket.id, &spec)).await.unwrap();
        let names: Vec<_> = page.objects.into_iter().map(|object| object.key).chain(page.common_prefixes).collect();
        assert_eq!(names.join(" "), expected, "{prefix} {delimiter}");
        assert_eq!(page.next, None);
    }
}

#[tokio::test]
async fn what_came_since_a_change_is_found_and_an_overwritten_key_counts_again() {
    let (_directory, store, bucket) = filled(&["f/1", "f/2", "g/1"]).await;
    let at = store.read(millpond_store::committed_seq).await.unwrap();
    let to = bucket.clone();
    store.write(move |tx| put_one(tx, &to, "f/1")).await.unwrap();
    let new = store.read(move |c| since(c, bucket.id, "f/", at, i64::MAX, 10)).await.unwrap();
    assert_eq!(new.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["f/1"]);
}

#[tokio::test]
async fn changes_cause_events_where_the_bucket_wants_them() {
    let (_directory, store, mut bucket) = filled(&["quiet"]).await;
    bucket.settings.event_bridge = true;
    let changed = store.write(move |tx| {
        put_one(tx, &bucket, "loud")?;
        delete(tx, &Place::default(), &bucket, "loud", &Cause { reason: "DeleteObject", ..Cause::default() })?;
        tx.outbox(10)
    });
    let events = changed.await.unwrap();
    let kinds: Vec<_> = events.iter().map(|row| row.event.detail_type.as_str()).collect();
    assert_eq!(kinds, ["Object Created", "Object Deleted"]);
    assert_eq!(events[0].event.detail["object"]["key"], "loud");
    assert!(events[0].event.detail["object"]["sequencer"].as_str() < events[1].event.detail["object"]["sequencer"].as_str());
}
