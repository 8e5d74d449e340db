//! What the session of an open run does to objects, and what others see of it.

use super::complete::PART_SIZE_MIN;
use super::copy::{CopyObject, Source};
use super::delete::DeleteOne;
use super::get::{ByteRange, GetObject, ReadConditions};
use super::multipart::{ListUploads, UploadRef};
use super::notification::Notifications;
use super::put::PutObject;
use super::tests::{bytes, completion, open, with_bucket};
use super::*;
use crate::lake::objects::{ListSpec, ObjectMeta};
use crate::lake::staging::{self, StagingError};
use crate::runtime::Handler;
use futures::TryStreamExt;
use millpond_core::arn::Place;
use millpond_store::StoreError;

const RUN: &str = "jr_1";

/// The session of the run, the one of another run, and everybody else.
fn callers() -> (Caller, Caller, Caller) {
    let of = |run: &str| Caller { job_run: Some(run.into()), account: "000000000000".into(), ..Caller::default() };
    (of(RUN), of("jr_2"), Caller::default())
}

async fn opened() -> (tempfile::TempDir, S3) {
    let (directory, s3) = with_bucket().await;
    let open = s3.lake.store.write(|tx| {
        staging::open(tx, RUN, "job", "/jobs/output")?;
        staging::open(tx, "jr_2", "job", "/jobs/output")
    });
    open.await.unwrap();
    (directory, s3)
}

async fn put_if(s3: &S3, caller: &Caller, key: &str, body: &[u8], condition: WriteCondition) -> Result<Object, S3Error> {
    let meta = ObjectMeta { user: [("by".to_owned(), body.len().to_string())].into(), ..ObjectMeta::default() };
    let put = PutObject { bucket: "raw".into(), key: key.into(), payload: Payload::of(body.to_vec()), meta, condition };
    s3.put_object(caller, put).await
}

async fn put(s3: &S3, caller: &Caller, key: &str, body: &[u8]) -> Object {
    put_if(s3, caller, key, body, WriteCondition::default()).await.unwrap()
}

async fn get(s3: &S3, caller: &Caller, key: &str, range: Option<ByteRange>) -> Result<Vec<u8>, S3Error> {
    let asked = GetObject { bucket: "raw".into(), key: key.into(), range, ..GetObject::default() };
    let (_, stream) = s3.get_object(caller, asked).await?;
    Ok(stream.try_collect::<Vec<_>>().await?.concat())
}

async fn keys(s3: &S3, caller: &Caller) -> String {
    let page = s3.list_objects(caller, "raw", ListSpec { limit: 100, ..ListSpec::default() }).await.unwrap();
    page.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>().join(" ")
}

async fn delete(s3: &S3, caller: &Caller, key: &str) {
    s3.delete_object(caller, "raw", key, WriteCondition::default()).await.unwrap();
}

async fn publish(s3: &S3) -> staging::Published {
    let ended = s3.lake.store.write(|tx| {
        let published = staging::publish(tx, &Place::default(), RUN)?;
        staging::close(tx, RUN)?;
        Ok::<_, StagingError>(published)
    });
    ended.await.unwrap()
}

fn is_missing<T>(answer: &Result<T, S3Error>) -> bool {
    matches!(answer, Err(S3Error::NoSuchKey(_)))
}

#[tokio::test]
async fn objects_of_a_run_are_read_by_its_session_alone() {
    let (_directory, s3) = opened().await;
    let (run, another, all) = callers();
    for (key, size) in [("small", 5), ("large", 300_000), ("empty", 0)] {
        let body = bytes(size, 3);
        let object = put(&s3, &run, key, &body).await;
        assert_eq!(get(&s3, &run, key, None).await.unwrap(), body);
        let head = GetObject { bucket: "raw".into(), key: key.into(), ..GetObject::default() };
        assert_eq!(s3.head_object(&run, head).await.unwrap().object, object);
        for other in [&another, &all] {
            assert!(is_missing(&get(&s3, other, key, None).await), "{key}");
        }
    }
    assert_eq!(get(&s3, &run, "large", Some(ByteRange::Last(7))).await.unwrap(), bytes(300_000, 3)[299_993..]);
    assert!(matches!(get(&s3, &run, "small", Some(ByteRange::From(5))).await, Err(S3Error::InvalidRange { size: 5 })));
    let etag = Some(Etag::Is("x".into()));
    let conditions = ReadConditions { if_match: etag, ..ReadConditions::default() };
    let unmatched = GetObject { bucket: "raw".into(), key: "small".into(), conditions, ..GetObject::default() };
    assert!(matches!(s3.head_object(&run, unmatched).await, Err(S3Error::PreconditionFailed { .. })));
    assert_eq!((keys(&s3, &run).await, keys(&s3, &all).await), ("empty large small".into(), String::new()));
    assert_eq!(publish(&s3).await.bytes, 300_005);
    assert_eq!(get(&s3, &all, "large", None).await.unwrap(), bytes(300_000, 3));
    assert_eq!((keys(&s3, &another).await, keys(&s3, &all).await), ("empty large small".into(), "empty large small".into()));
}

#[tokio::test]
async fn a_run_replaces_and_deletes_for_itself_until_it_ends() {
    let (_directory, s3) = opened().await;
    let (run, _, all) = callers();
    for key in ["a", "b", "c", "d"] {
        put(&s3, &all, key, b"before").await;
    }
    put(&s3, &run, "a", b"after").await;
    delete(&s3, &run, "b").await;
    let ones = ["c", "none"].map(|key| DeleteOne { key: key.into(), version: None, condition: WriteCondition::default() });
    let outcomes = s3.delete_objects(&run, "raw", ones.to_vec()).await.unwrap();
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
    s3.set_object_tags(&run, "raw", "d", vec![("k".into(), "v".into())]).await.unwrap();
    assert!(is_missing(&s3.set_object_tags(&run, "raw", "b", vec![]).await));
    assert_eq!((keys(&s3, &run).await, keys(&s3, &all).await), ("a d".into(), "a b c d".into()));
    assert_eq!(get(&s3, &all, "a", None).await.unwrap(), b"before");
    assert_eq!(get(&s3, &run, "a", None).await.unwrap(), b"after");
    assert!(is_missing(&get(&s3, &run, "b", None).await));
    assert_eq!(s3.object_tags(&run, "raw", "d").await.unwrap().len(), 1);
    assert_eq!(s3.object_tags(&all, "raw", "d").await.unwrap().len(), 0);
    publish(&s3).await;
    assert_eq!((keys(&s3, &all).await, s3.object_tags(&all, "raw", "d").await.unwrap().len()), ("a d".into(), 1));
    assert_eq!(get(&s3, &all, "a", None).await.unwrap(), b"after");
}

#[tokio::test]
async fn conditions_of_a_run_hold_against_what_it_sees() {
    let (_directory, s3) = opened().await;
    let (run, _, all) = callers();
    let absent = || WriteCondition { if_none_match: Some(Etag::Any), ..WriteCondition::default() };
    let only = |etag: &str| WriteCondition { if_match: Some(Etag::Is(etag.into())), ..WriteCondition::default() };
    let mine = put_if(&s3, &run, "k", b"1", absent()).await.unwrap();
    assert!(matches!(put_if(&s3, &run, "k", b"2", absent()).await, Err(S3Error::PreconditionFailed { .. })));
    put_if(&s3, &run, "k", b"22", only(&mine.etag)).await.unwrap();
    assert!(matches!(put_if(&s3, &all, "k", b"3", only(&mine.etag)).await, Err(S3Error::NoSuchKey(_))));
    let there = put(&s3, &all, "there", b"1").await;
    assert!(matches!(put_if(&s3, &run, "there", b"2", absent()).await, Err(S3Error::PreconditionFailed { .. })));
    let gone = s3.delete_object(&run, "raw", "there", only("x")).await;
    assert!(matches!(gone, Err(S3Error::PreconditionFailed { .. })));
    s3.delete_object(&run, "raw", "there", only(&there.etag)).await.unwrap();
    put_if(&s3, &run, "there", b"2", absent()).await.unwrap();
    put(&s3, &all, "there", b"somebody else").await;
    let conflict = s3.lake.store.write(|tx| staging::publish(tx, &Place::default(), RUN)).await;
    assert!(matches!(conflict, Err(StagingError::Conflict { ref key, .. }) if key == "there"), "{conflict:?}");
    assert_eq!(keys(&s3, &all).await, "there");
}

#[tokio::test]
async fn a_run_copies_what_it_sees() {
    let (_directory, s3) = opened().await;
    let (run, _, all) = callers();
    let body = bytes(200_000, 1);
    put(&s3, &run, "mine", &body).await;
    put(&s3, &all, "theirs", b"x").await;
    let copy = |from: &str, to: &str| CopyObject {
        source: Source { bucket: "raw".into(), key: from.into(), ..Source::default() },
        bucket: "raw".into(),
        key: to.into(),
        ..CopyObject::default()
    };
    assert!(is_missing(&s3.copy_object(&all, copy("mine", "stolen")).await));
    let summed = CopyObject { algorithm: Some(checksum::Algorithm::Sha256), ..copy("mine", "copied") };
    s3.copy_object(&run, summed).await.unwrap();
    s3.copy_object(&run, copy("theirs", "copied too")).await.unwrap();
    // Spark renames by a copy and a deletion.
    delete(&s3, &run, "mine").await;
    assert_eq!((keys(&s3, &run).await, keys(&s3, &all).await), ("copied copied too theirs".into(), "theirs".into()));
    publish(&s3).await;
    s3.lake.store.collect(Some(-1000)).await.unwrap();
    assert_eq!(get(&s3, &all, "copied", None).await.unwrap(), body);
    assert_eq!(get(&s3, &all, "copied too", None).await.unwrap(), b"x");
}

#[tokio::test]
async fn an_upload_of_a_run_completes_into_what_waits() {
    let (_directory, s3) = opened().await;
    let (run, another, all) = callers();
    let begin = async |caller: &Caller| {
        let upload = s3.create_upload(caller, "raw", "big", ObjectMeta::default(), None, None).await.unwrap();
        UploadRef { bucket: "raw".into(), key: "big".into(), id: upload.id }
    };
    let listed = async |caller: &Caller| {
        s3.list_uploads(caller, "raw", ListUploads { limit: 9, ..ListUploads::default() }).await.unwrap().uploads.len()
    };
    let (first, second) = (bytes(PART_SIZE_MIN as usize, 5), bytes(70_000, 9));
    let at = begin(&run).await;
    let one = s3.upload_part(&run, &at, 1, Payload::of(first.clone())).await.unwrap();
    put(&s3, &run, "source", &second).await;
    let source = || Source { bucket: "raw".into(), key: "source".into(), ..Source::default() };
    let two = s3.upload_part_copy(&run, &at, 2, source(), None).await.unwrap();
    for other in [&another, &all] {
        assert!(matches!(s3.upload_part(other, &at, 3, Payload::of("x")).await, Err(S3Error::NoSuchUpload(_))));
        assert!(matches!(s3.list_parts(other, &at, 0, 9).await, Err(S3Error::NoSuchUpload(_))));
        let completed = s3.complete_upload(other, completion(&at, &[&one])).await;
        assert!(matches!(completed, Err(S3Error::NoSuchUpload(_))));
        assert!(matches!(s3.abort_upload(other, &at).await, Err(S3Error::NoSuchUpload(_))));
    }
    assert_eq!((listed(&run).await, listed(&another).await, listed(&all).await), (1, 0, 0));
    assert_eq!(s3.list_parts(&run, &at, 0, 9).await.unwrap().parts.len(), 2);
    let object = s3.complete_upload(&run, completion(&at, &[&one, &two])).await.unwrap();
    let again = s3.complete_upload(&run, completion(&at, &[&one, &two])).await.unwrap();
    assert_eq!(again.etag, object.etag, "asked again, answered again");
    assert!(is_missing(&get(&s3, &all, "big", None).await));
    let aborted = begin(&run).await;
    s3.abort_upload(&run, &aborted).await.unwrap();
    let left = begin(&run).await;
    s3.upload_part(&run, &left, 1, Payload::of("left")).await.unwrap();
    let theirs = begin(&all).await;
    publish(&s3).await;
    assert_eq!(get(&s3, &all, "big", None).await.unwrap(), [first, second].concat());
    // What the run began and did not end goes with it; what others began stays.
    let tasks = s3.lake.store.write(|tx| tx.lease_tasks(staging::DROP_UPLOADS, 9)).await.unwrap();
    UploadSweep.run(&s3.lake, &tasks[0]).await.unwrap();
    let count = |c: &Connection| Ok::<i64, StoreError>(c.query_row("SELECT count(*) FROM upload_part", [], |row| row.get(0))?);
    assert_eq!((s3.lake.store.read(count).await.unwrap(), listed(&all).await), (0, 1));
    s3.abort_upload(&all, &theirs).await.unwrap();
}

#[tokio::test]
async fn requests_that_come_after_the_end_are_refused() {
    let (_directory, s3) = opened().await;
    let (run, _, all) = callers();
    let upload = s3.create_upload(&run, "raw", "big", ObjectMeta::default(), None, None).await.unwrap();
    let at = UploadRef { bucket: "raw".into(), key: "big".into(), id: upload.id };
    let part = s3.upload_part(&run, &at, 1, Payload::of("x")).await.unwrap();
    put(&s3, &run, "k", b"1").await;
    put(&s3, &all, "kept", b"1").await;
    s3.lake.store.write(|tx| staging::discard(tx, RUN)).await.unwrap();
    let ended = |error: S3Error| assert!(matches!(error, S3Error::Staging(StagingError::Ended { .. })), "{error}");
    ended(put_if(&s3, &run, "k", b"1", WriteCondition::default()).await.unwrap_err());
    ended(put_if(&s3, &run, "k", &bytes(100_000, 1), WriteCondition::default()).await.unwrap_err());
    ended(s3.delete_object(&run, "raw", "kept", WriteCondition::default()).await.unwrap_err());
    ended(s3.set_object_tags(&run, "raw", "kept", vec![]).await.unwrap_err());
    ended(s3.create_upload(&run, "raw", "big", ObjectMeta::default(), None, None).await.unwrap_err());
    ended(s3.upload_part(&run, &at, 2, Payload::of("x")).await.unwrap_err());
    ended(s3.complete_upload(&run, completion(&at, &[&part])).await.unwrap_err());
    assert_eq!((keys(&s3, &run).await, keys(&s3, &all).await), ("kept".into(), "kept".into()));
}

#[tokio::test]
async fn a_bucket_that_the_run_has_emptied_can_be_deleted_by_it() {
    let (_directory, s3) = opened().await;
    let (run, _, all) = callers();
    put(&s3, &all, "k", b"1").await;
    delete(&s3, &run, "k").await;
    assert!(matches!(s3.delete_bucket(&all, "raw").await, Err(S3Error::BucketNotEmpty(_))));
    put(&s3, &run, "new", b"1").await;
    assert!(matches!(s3.delete_bucket(&run, "raw").await, Err(S3Error::BucketNotEmpty(_))));
    delete(&s3, &run, "new").await;
    s3.delete_bucket(&run, "raw").await.unwrap();
}

#[tokio::test]
async fn what_waits_survives_a_restart_and_is_dropped_by_its_owner() {
    let (directory, s3) = opened().await;
    let (run, _, all) = callers();
    s3.set_notifications(&all, "raw", Notifications { event_bridge: true, targets: vec![] }, false).await.unwrap();
    put(&s3, &run, "k", &bytes(100_000, 1)).await;
    drop(s3);
    let s3 = open(directory.path());
    s3.lake.store.collect(Some(-1000)).await.unwrap();
    assert_eq!(get(&s3, &run, "k", None).await.unwrap(), bytes(100_000, 1), "the collector keeps its bytes");
    assert!(s3.lake.examine().await.unwrap().problems.is_empty());
    let left = s3.lake.store.read(staging::open_runs).await.unwrap();
    assert_eq!(left.iter().map(|open| open.run.as_str()).collect::<Vec<_>>(), ["jr_1", "jr_2"]);
    s3.lake.store.write(|tx| staging::discard(tx, RUN)).await.unwrap();
    assert_eq!(s3.lake.store.collect(Some(-1000)).await.unwrap().released, 1);
    assert!(s3.lake.store.write(|tx| tx.outbox(9)).await.unwrap().is_empty());
}
