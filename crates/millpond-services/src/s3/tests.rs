use super::checksum::{Algorithm, ChecksumType};
use super::complete::{Complete, CompletedPart, PART_SIZE_MIN};
use super::copy::{CopyObject, Source};
use super::delete::DeleteOne;
use super::get::{ByteRange, GetObject};
use super::multipart::{ListUploads, UploadRef};
use super::notification::Notifications;
use super::put::PutObject;
use super::*;
use crate::lake::objects::{ListSpec, ObjectMeta};
use futures::TryStreamExt;
use millpond_core::arn::Place;
use millpond_core::env::SystemEnv;
use millpond_store::{Store, StoreError};
use std::path::Path;
use std::sync::Arc;

/// The thread that writes ends a moment after the last handle is dropped: until then the directory is in use.
pub(super) fn open(directory: &Path) -> S3 {
    for _ in 0..200 {
        match Store::open(directory, &[objects::COMPONENT, COMPONENT], Arc::new(SystemEnv)) {
            Ok(store) => return S3::new(Lake { store, place: Arc::new(Place::default()) }, Targets::default()),
            Err(StoreError::InUse(_)) => std::thread::sleep(std::time::Duration::from_millis(10)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the store stays in use")
}

pub(super) async fn with_bucket() -> (tempfile::TempDir, S3) {
    let directory = tempfile::tempdir().unwrap();
    let s3 = open(directory.path());
    s3.create_bucket("raw", None, vec![]).await.unwrap();
    (directory, s3)
}

pub(super) fn bytes(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|n| ((n + seed) * 31 % 251) as u8).collect()
}

async fn put_if(s3: &S3, key: &str, bytes: &[u8], condition: WriteCondition) -> Result<Object, S3Error> {
    let put = PutObject {
        bucket: "raw".into(),
        key: key.into(),
        payload: Payload::of(bytes.to_vec()),
        meta: ObjectMeta::default(),
        condition,
    };
    s3.put_object(&Caller::default(), put).await
}

async fn put(s3: &S3, key: &str, bytes: &[u8]) -> Object {
    put_if(s3, key, bytes, WriteCondition::default()).await.unwrap()
}

async fn get(s3: &S3, key: &str, range: Option<ByteRange>, part: Option<u32>) -> Result<Vec<u8>, S3Error> {
    let asked = GetObject { bucket: "raw".into(), key: key.into(), range, part, ..GetObject::default() };
    let (_, stream) = s3.get_object(&Caller::default(), asked).await?;
    let chunks: Vec<_> = stream.try_collect().await?;
    Ok(chunks.concat())
}

async fn blobs_without_names(s3: &S3) -> i64 {
    let counted =
        s3.lake.store.read(|c| Ok::<_, StoreError>(c.query_row("SELECT count(*) FROM blob WHERE refs = 0", [], |r| r.get(0))?));
    counted.await.unwrap()
}

#[tokio::test]
async fn a_bucket_is_made_once_and_deleted_only_when_empty() {
    let (_directory, s3) = with_bucket().await;
    s3.create_bucket("raw", None, vec![]).await.expect("us-east-1 answers as if it were new");
    s3.create_bucket("west", Some("eu-west-1"), vec![("a".into(), "b".into())]).await.unwrap();
    let again = s3.create_bucket("west", Some("eu-west-1"), vec![]).await;
    assert!(matches!(again, Err(S3Error::BucketAlreadyOwnedByYou(_))));
    assert_eq!(s3.bucket_tags("west").await.unwrap(), [("a".to_owned(), "b".to_owned())]);
    put(&s3, "k", b"x").await;
    assert!(matches!(s3.delete_bucket(&Caller::default(), "raw").await, Err(S3Error::BucketNotEmpty(_))));
    s3.delete_object(&Caller::default(), "raw", "k", WriteCondition::default()).await.unwrap();
    let upload = s3.create_upload(&Caller::default(), "raw", "u", ObjectMeta::default(), None, None).await.unwrap();
    let at = UploadRef { bucket: "raw".into(), key: "u".into(), id: upload.id };
    s3.upload_part(&Caller::default(), &at, 1, Payload::of("part")).await.unwrap();
    s3.delete_bucket(&Caller::default(), "raw").await.unwrap();
    assert_eq!(blobs_without_names(&s3).await, 2, "those of the object and of the part");
    assert!(matches!(s3.head_bucket("raw").await, Err(S3Error::NoSuchBucket(_))));
    assert!(matches!(s3.head_bucket("R").await, Err(S3Error::InvalidBucketName { .. })));
}

#[tokio::test]
async fn objects_are_read_back_whole_and_in_ranges() {
    let (_directory, s3) = with_bucket().await;
    for size in [0, 5, 70_000, 2_500_000] {
        let expected = bytes(size, 1);
        let object = put(&s3, "k", &expected).await;
        assert_eq!(object.size, size as u64);
        assert_eq!(get(&s3, "k", None, None).await.unwrap(), expected);
        if size > 5 {
            assert_eq!(get(&s3, "k", Some(ByteRange::Between(3, 69_000)), None).await.unwrap(), expected[3..69_001]);
            assert_eq!(get(&s3, "k", Some(ByteRange::Last(7)), None).await.unwrap(), expected[size - 7..]);
        }
    }
    assert!(matches!(get(&s3, "none", None, None).await, Err(S3Error::NoSuchKey(_))));
    assert!(matches!(get(&s3, "k", Some(ByteRange::From(9_999_999)), None).await, Err(S3Error::InvalidRange { .. })));
    assert_eq!(blobs_without_names(&s3).await, 3, "of the versions that were overwritten");
}

#[tokio::test]
async fn a_small_put_is_one_transaction_with_its_event() {
    let (_directory, s3) = with_bucket().await;
    s3.set_notifications(&Caller::default(), "raw", Notifications { event_bridge: true, targets: vec![] }, false).await.unwrap();
    let caller = Caller { account: "111122223333".into(), source_ip: "10.0.0.1".into(), request_id: "R".into(), job_run: None };
    let put = PutObject {
        bucket: "raw".into(),
        key: "a b/é".into(),
        payload: Payload::of("x"),
        meta: ObjectMeta::default(),
        condition: WriteCondition::default(),
    };
    s3.put_object(&caller, put).await.unwrap();
    let events = s3.lake.store.write(|tx| tx.outbox(10)).await.unwrap();
    let detail = &events[0].event.detail;
    assert_eq!((events.len(), detail["reason"].as_str()), (1, Some("PutObject")));
    assert_eq!(detail["object"]["key"], "a b/é");
    assert_eq!((&detail["requester"], &detail["source-ip-address"]), (&"111122223333".into(), &"10.0.0.1".into()));
}

#[tokio::test]
async fn conditional_writes_hold_against_what_is_there() {
    let (_directory, s3) = with_bucket().await;
    let absent = || WriteCondition { if_none_match: Some(Etag::Any), ..WriteCondition::default() };
    let only = |etag: &str| WriteCondition { if_match: Some(Etag::Is(etag.into())), ..WriteCondition::default() };
    assert!(matches!(put_if(&s3, "k", b"0", only("x")).await, Err(S3Error::NoSuchKey(_))));
    let first = put_if(&s3, "k", b"1", absent()).await.unwrap();
    assert!(matches!(put_if(&s3, "k", b"2", absent()).await, Err(S3Error::PreconditionFailed { .. })));
    assert!(matches!(put_if(&s3, "k", b"2", only("x")).await, Err(S3Error::PreconditionFailed { .. })));
    put_if(&s3, "k", b"2", only(&first.etag)).await.unwrap();
    let gone = s3.delete_object(&Caller::default(), "raw", "k", only(&first.etag)).await;
    assert!(matches!(gone, Err(S3Error::PreconditionFailed { .. })));
    assert_eq!(get(&s3, "k", None, None).await.unwrap(), b"2");
    let (one, two) = tokio::join!(put_if(&s3, "race", b"1", absent()), put_if(&s3, "race", b"2", absent()));
    assert!(one.is_ok() != two.is_ok(), "exactly one wins");
}

#[tokio::test]
async fn a_copy_shares_the_bytes_and_outlives_its_source() {
    let (_directory, s3) = with_bucket().await;
    s3.create_bucket("other", None, vec![]).await.unwrap();
    let expected = bytes(200_000, 3);
    let source = put(&s3, "k", &expected).await;
    let from = Source { bucket: "raw".into(), key: "k".into(), ..Source::default() };
    let to = |bucket: &str, key: &str| CopyObject {
        source: from.clone(),
        bucket: bucket.into(),
        key: key.into(),
        ..CopyObject::default()
    };
    let copy = s3.copy_object(&Caller::default(), to("other", "c")).await.unwrap();
    assert_eq!((&copy.blob, &copy.etag), (&source.blob, &source.etag));
    let illegal = s3.copy_object(&Caller::default(), to("raw", "k")).await;
    assert!(matches!(illegal, Err(S3Error::InvalidRequest(_))));
    let user = [("a".to_owned(), "b".to_owned())].into();
    let replaced = CopyObject { meta: Some(ObjectMeta { user, ..ObjectMeta::default() }), ..to("raw", "k") };
    let replaced = s3.copy_object(&Caller::default(), replaced).await.unwrap();
    assert_eq!(replaced.meta.user["a"], "b");
    let summed = CopyObject { algorithm: Some(Algorithm::Sha256), ..to("raw", "summed") };
    let summed = s3.copy_object(&Caller::default(), summed).await.unwrap();
    let mut hasher = checksum::Hasher::new(Algorithm::Sha256);
    hasher.update(&expected);
    assert_eq!(summed.meta.checksums["SHA256"], checksum::base64(&hasher.finish()));
    for key in ["k", "summed"] {
        s3.delete_object(&Caller::default(), "raw", key, WriteCondition::default()).await.unwrap();
    }
    s3.lake.store.collect(Some(-1000)).await.unwrap();
    let asked = GetObject { bucket: "other".into(), key: "c".into(), ..GetObject::default() };
    let chunks: Vec<_> = s3.get_object(&Caller::default(), asked).await.unwrap().1.try_collect().await.unwrap();
    assert_eq!(chunks.concat(), expected);
    let missing = CopyObject { source: Source { key: "gone".into(), ..from.clone() }, ..to("raw", "x") };
    assert!(matches!(s3.copy_object(&Caller::default(), missing).await, Err(S3Error::NoSuchKey(_))));
}

#[tokio::test]
async fn many_objects_are_deleted_with_an_outcome_each() {
    let (_directory, s3) = with_bucket().await;
    let keys = ["a", "b", "c"];
    for key in keys {
        put(&s3, key, b"x").await;
    }
    let ones = ["a", "none", "b"].map(|key| DeleteOne { key: key.into(), version: None, condition: WriteCondition::default() });
    let mut ones = ones.to_vec();
    ones.push(DeleteOne { version: Some("v1".into()), ..ones[0].clone() });
    let outcomes = s3.delete_objects(&Caller::default(), "raw", ones).await.unwrap();
    assert_eq!(outcomes.iter().map(|(_, outcome)| outcome.is_ok()).collect::<Vec<_>>(), [true, true, true, false]);
    let left = s3.list_objects(&Caller::default(), "raw", ListSpec { limit: 10, ..ListSpec::default() }).await.unwrap();
    assert_eq!(left.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["c"]);
    let many = vec![outcomes[0].0.clone(); 1001];
    assert!(matches!(s3.delete_objects(&Caller::default(), "raw", many).await, Err(S3Error::MalformedXml(_))));
}

async fn begin(s3: &S3, algorithm: Option<Algorithm>, kind: Option<ChecksumType>) -> UploadRef {
    let upload = s3.create_upload(&Caller::default(), "raw", "big", ObjectMeta::default(), algorithm, kind).await.unwrap();
    UploadRef { bucket: "raw".into(), key: "big".into(), id: upload.id }
}

pub(super) fn completion(at: &UploadRef, parts: &[&sql::Part]) -> Complete {
    let part = |part: &&sql::Part| CompletedPart {
        number: part.number,
        etag: part.etag(),
        checksums: [(part.algorithm, checksum::base64(&part.checksum))].into(),
    };
    Complete {
        at: at.clone(),
        parts: parts.iter().map(part).collect(),
        checksum: None,
        checksum_type: None,
        size: None,
        condition: WriteCondition::default(),
    }
}

#[tokio::test]
async fn an_upload_survives_a_restart_and_becomes_one_object() {
    let (directory, s3) = with_bucket().await;
    let (first, second) = (bytes(PART_SIZE_MIN as usize, 5), bytes(70_000, 9));
    let at = begin(&s3, None, None).await;
    let replaced = s3.upload_part(&Caller::default(), &at, 2, Payload::of("to be replaced")).await.unwrap();
    let one = s3.upload_part(&Caller::default(), &at, 1, Payload::of(first.clone())).await.unwrap();
    drop(s3);
    let s3 = open(directory.path());
    let two = s3.upload_part(&Caller::default(), &at, 2, Payload::of(second.clone())).await.unwrap();
    let listed = s3.list_parts(&Caller::default(), &at, 0, 1).await.unwrap();
    assert!(listed.truncated && listed.parts[0].number == 1);
    let stale = s3.complete_upload(&Caller::default(), completion(&at, &[&one, &replaced])).await;
    assert!(matches!(stale, Err(S3Error::InvalidPart(2))));
    let wrong_size = Complete { size: Some(1), ..completion(&at, &[&one, &two]) };
    assert!(matches!(s3.complete_upload(&Caller::default(), wrong_size).await, Err(S3Error::InvalidRequest(_))));
    let object = s3.complete_upload(&Caller::default(), completion(&at, &[&one, &two])).await.unwrap();
    assert!(object.etag.ends_with("-2"));
    let again = s3.complete_upload(&Caller::default(), completion(&at, &[&one, &two])).await.unwrap();
    assert_eq!((again.seq, &again.etag), (object.seq, &object.etag), "asked again, answered again");
    let whole = [first.clone(), second.clone()].concat();
    assert_eq!(get(&s3, "big", None, None).await.unwrap(), whole);
    assert_eq!(get(&s3, "big", None, Some(2)).await.unwrap(), second);
    assert!(matches!(get(&s3, "big", None, Some(3)).await, Err(S3Error::InvalidPartNumber)));
    let mut hasher = checksum::Hasher::new(Algorithm::Crc64Nvme);
    hasher.update(&whole);
    assert_eq!(object.meta.checksums["CRC64NVME"], checksum::base64(&hasher.finish()));
    s3.lake.store.collect(Some(-1000)).await.unwrap();
    assert_eq!(get(&s3, "big", Some(ByteRange::Last(70_001)), None).await.unwrap(), whole[PART_SIZE_MIN as usize - 1..]);
    assert!(matches!(s3.abort_upload(&Caller::default(), &at).await, Err(S3Error::NoSuchUpload(_))));
}

#[tokio::test]
async fn completions_are_refused_for_the_documented_reasons() {
    let (_directory, s3) = with_bucket().await;
    let at = begin(&s3, Some(Algorithm::Crc32), None).await;
    let one = s3.upload_part(&Caller::default(), &at, 1, Payload::of("small")).await.unwrap();
    let two = s3.upload_part(&Caller::default(), &at, 2, Payload::of("last")).await.unwrap();
    let complete = async |complete: Complete| s3.complete_upload(&Caller::default(), complete).await;
    assert!(matches!(complete(completion(&at, &[])).await, Err(S3Error::MalformedXml(_))));
    assert!(matches!(complete(completion(&at, &[&two, &one])).await, Err(S3Error::InvalidPartOrder(1))));
    assert!(matches!(complete(completion(&at, &[&one, &two])).await, Err(S3Error::EntityTooSmall { part: 1, size: 5, .. })));
    let mut bare = completion(&at, &[&two]);
    bare.parts[0].checksums.clear();
    assert!(matches!(complete(bare).await, Err(S3Error::InvalidRequest(_))));
    let full = Complete { checksum_type: Some(ChecksumType::FullObject), ..completion(&at, &[&two]) };
    assert!(matches!(complete(full).await, Err(S3Error::InvalidRequest(_))));
    let wrong = Complete { checksum: Some((Algorithm::Crc32, "AAAAAA==-1".into())), ..completion(&at, &[&two]) };
    assert!(matches!(complete(wrong).await, Err(S3Error::ChecksumMismatch { .. })));
    let given = Given { algorithm: Algorithm::Sha1, value: GivenValue::None };
    let other = s3.upload_part(&Caller::default(), &at, 3, Payload { checksum: Some(given), ..Payload::of("x") }).await;
    assert!(matches!(other, Err(S3Error::InvalidRequest(_))));
    let object = complete(completion(&at, &[&two])).await.unwrap();
    assert!(object.meta.checksums["CRC32"].ends_with("-1"), "composite");
    assert_eq!(get(&s3, "big", None, None).await.unwrap(), b"last");
    let sha_whole = s3
        .create_upload(
            &Caller::default(),
            "raw",
            "k",
            ObjectMeta::default(),
            Some(Algorithm::Sha1),
            Some(ChecksumType::FullObject),
        )
        .await;
    assert!(matches!(sha_whole, Err(S3Error::InvalidRequest(_))));
}

#[tokio::test]
async fn parts_are_taken_from_objects() {
    let (_directory, s3) = with_bucket().await;
    let expected = bytes(300_000, 2);
    put(&s3, "k", &expected).await;
    let at = begin(&s3, None, None).await;
    let source = Source { bucket: "raw".into(), key: "k".into(), ..Source::default() };
    let beyond = s3.upload_part_copy(&Caller::default(), &at, 1, source.clone(), Some((0, 300_000))).await;
    assert!(matches!(beyond, Err(S3Error::InvalidArgument(_))));
    let part = s3.upload_part_copy(&Caller::default(), &at, 1, source.clone(), Some((10, 299_998))).await.unwrap();
    s3.complete_upload(&Caller::default(), completion(&at, &[&part])).await.unwrap();
    assert_eq!(get(&s3, "big", None, None).await.unwrap(), expected[10..299_999]);
    assert!(matches!(s3.upload_part(&Caller::default(), &at, 0, Payload::of("x")).await, Err(S3Error::InvalidArgument(_))));
}

#[tokio::test]
async fn pages_of_uploads_together_hold_each_once() {
    let (_directory, s3) = with_bucket().await;
    for key in ["a", "a", "b/1", "b/2", "b/2", "c", "d/x"] {
        s3.create_upload(&Caller::default(), "raw", key, ObjectMeta::default(), None, None).await.unwrap();
    }
    for (delimiter, whole) in [("", "a a b/1 b/2 b/2 c d/x"), ("/", "a a b/ c d/")] {
        for limit in 1..8 {
            let (mut seen, mut key_marker, mut id_marker) = (Vec::new(), String::new(), String::new());
            loop {
                let asked = ListUploads { delimiter: delimiter.into(), key_marker, id_marker, limit, ..ListUploads::default() };
                let page = s3.list_uploads(&Caller::default(), "raw", asked).await.unwrap();
                seen.extend(page.uploads.into_iter().map(|upload| upload.key).chain(page.common_prefixes));
                match page.next {
                    Some(next) => (key_marker, id_marker) = next,
                    None => break,
                }
            }
            seen.sort();
            assert_eq!(seen.join(" "), whole, "pages of {limit}");
        }
    }
    let only = s3
        .list_uploads(&Caller::default(), "raw", ListUploads { prefix: "b".into(), limit: 9, ..ListUploads::default() })
        .await
        .unwrap();
    assert_eq!(only.uploads.len(), 3);
}
