use super::*;
use crate::lake::objects::{Cause, ListSpec, ObjectMeta, create_bucket};
use millpond_core::env::SystemEnv;
use millpond_store::Store;
use millpond_store::blobs::NewBlob;
use std::sync::Arc;

const RUN: &str = "jr_1";

struct Pond {
    _directory: tempfile::TempDir,
    lake: Lake,
    /// The bucket under test, and one to which the same is done at once.
    buckets: [Bucket; 2],
}

impl Pond {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[objects::COMPONENT], Arc::new(SystemEnv)).unwrap();
        let lake = Lake { store, place: Arc::default() };
        let made = lake.store.write(|tx| {
            open(tx, RUN, "job", "/jobs/output")?;
            let mut made = [create_bucket(tx, "raw", "r")?.unwrap(), create_bucket(tx, "mirror", "r")?.unwrap()];
            made[0].settings.event_bridge = true;
            objects::update_bucket(tx, made[0].id, &made[0].settings)?;
            Ok::<_, StoreError>(made)
        });
        let buckets = made.await.unwrap();
        Self { _directory: directory, lake, buckets }
    }

    /// Whether somebody is told what becomes of the bucket under test.
    async fn set_told(&mut self, told: bool) {
        self.buckets[0].settings.event_bridge = told;
        let settings = self.buckets[0].settings.clone();
        self.tx(move |tx, bucket| Ok(objects::update_bucket(tx, bucket.id, &settings)?)).await.unwrap();
    }

    async fn tx<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Tx<'_>, &Bucket) -> Result<T, StagingError> + Send + 'static,
    ) -> Result<T, StagingError> {
        let bucket = self.buckets[0].clone();
        self.lake.store.write(move |tx| change(tx, &bucket)).await
    }

    /// Keys and ETags of a bucket.
    async fn keys(&self, run: Option<&'static str>) -> String {
        let id = self.buckets[0].id;
        let listed = self.lake.store.read(move |c| {
            let page = View::of(c, run)?.list(c, id, &ListSpec { limit: 1000, ..ListSpec::default() })?;
            Ok::<_, StoreError>(page.objects.iter().map(|o| format!("{}={}", o.key, o.etag)).collect::<Vec<_>>().join(" "))
        });
        listed.await.unwrap()
    }

    /// Every blob has as many names as it counts.
    async fn check_names(&self) {
        let wrong = self.lake.store.read(|c| {
            let select = "SELECT count(*) FROM blob WHERE refs <> (SELECT count(*) FROM object WHERE object.blob = blob.id)
                          + (SELECT count(*) FROM staged WHERE staged.blob = blob.id)";
            Ok::<_, StoreError>(c.query_row(select, [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(wrong.await.unwrap(), 0);
    }

    async fn events(&self) -> Vec<String> {
        let events = self.lake.store.write(|tx| tx.outbox(1000)).await.unwrap();
        let line = |event: &millpond_core::event::Event| {
            format!("{} {}", event.detail_type, event.detail["object"]["key"].as_str().unwrap())
        };
        events.iter().map(|row| line(&row.event)).collect()
    }
}

fn new(tx: &Tx<'_>, key: &str, etag: &str) -> NewObject {
    let blob = tx.adopt(&NewBlob::Inline(etag.as_bytes().to_vec().into())).unwrap();
    NewObject { key: key.into(), blob, size: etag.len() as u64, etag: etag.into(), meta: ObjectMeta::default() }
}

fn put(tx: &Tx<'_>, view: View<'_>, bucket: &Bucket, key: &str, etag: &str) -> Result<Object, StagingError> {
    let cause = Cause { reason: "PutObject", requester: "me".into(), ..Cause::default() };
    view.put(tx, &Place::default(), bucket, new(tx, key, etag), false, &cause)
}

fn put_if(tx: &Tx<'_>, view: View<'_>, bucket: &Bucket, key: &str, etag: &str) -> Result<Object, StagingError> {
    view.put(tx, &Place::default(), bucket, new(tx, key, etag), true, &Cause::default())
}

fn delete(tx: &Tx<'_>, view: View<'_>, bucket: &Bucket, key: &str) -> Result<(), StagingError> {
    view.delete(tx, &Place::default(), bucket, key, false, &Cause { reason: "DeleteObject", ..Cause::default() })
}

fn tag(tx: &Tx<'_>, view: View<'_>, bucket: &Bucket, key: &str, tags: Option<&str>) -> Result<bool, StagingError> {
    let tags = tags.map(|value| vec![("t".to_owned(), value.to_owned())]);
    view.set_tags(tx, &Place::default(), bucket, key, tags, &Cause::default())
}

fn run_view<'a>(connection: &Connection) -> View<'a> {
    View::of(connection, Some(RUN)).unwrap()
}

#[tokio::test]
async fn what_waits_is_the_run_s_alone_until_it_is_published_in_its_order() {
    let pond = Pond::new().await;
    let done = pond.tx(|tx, bucket| {
        for key in ["old/1", "old/2", "kept"] {
            put(tx, View::LAKE, bucket, key, "0")?;
        }
        Ok(tx.clear_outbox(tx.outbox(10)?.last().unwrap().id)?)
    });
    done.await.unwrap();
    let done = pond.tx(|tx, bucket| {
        let view = run_view(tx);
        put(tx, view, bucket, "z", "1")?;
        delete(tx, view, bucket, "old/1")?;
        delete(tx, view, bucket, "never")?;
        put(tx, view, bucket, "a", "2")?;
        put(tx, view, bucket, "old/2", "3")?;
        put(tx, view, bucket, "z", "4")?;
        put(tx, view, bucket, "passing", "5")?;
        delete(tx, view, bucket, "passing")?;
        assert!(tag(tx, view, bucket, "kept", Some("new"))?);
        assert!(!tag(tx, view, bucket, "old/1", Some("new"))?);
        Ok(())
    });
    done.await.unwrap();
    assert_eq!(pond.keys(None).await, "kept=0 old/1=0 old/2=0");
    assert_eq!(pond.keys(Some(RUN)).await, "a=2 kept=0 old/2=3 z=4");
    assert_eq!(pond.keys(Some("jr_2")).await, pond.keys(None).await, "another run sees what everybody sees");
    assert_eq!(pond.events().await, [""; 0], "nobody is told");
    pond.check_names().await;
    let published = pond.tx(|tx, _| publish(tx, &Place::default(), RUN)).await.unwrap();
    assert_eq!(published, Published { puts: 3, deletes: 1, tags: 1, bytes: 3 });
    assert_eq!(pond.keys(None).await, "a=2 kept=0 old/2=3 z=4");
    let told = ["Object Deleted old/1", "Object Created a", "Object Created old/2", "Object Created z", "Object Tags Added kept"];
    assert_eq!(pond.events().await, told);
    pond.check_names().await;
    let again = pond.tx(|tx, _| publish(tx, &Place::default(), RUN)).await.unwrap();
    assert!(again.is_empty());
}

#[tokio::test]
async fn what_nobody_is_told_of_is_published_as_what_somebody_is() {
    for told in [true, false] {
        let mut pond = Pond::new().await;
        pond.set_told(told).await;
        let done = pond.tx(|tx, bucket| {
            for key in ["gone", "replaced", "tagged", "tmp/kept"] {
                put(tx, View::LAKE, bucket, key, "before")?;
            }
            let (view, before) = (run_view(tx), tx.last_seq());
            for key in ["z", "a", "replaced", "tmp/held"] {
                put(tx, view, bucket, key, "run")?;
            }
            delete(tx, view, bucket, "gone")?;
            tag(tx, view, bucket, "tagged", Some("new"))?;
            put(tx, view, bucket, "z", "again")?;
            hold(tx, RUN, &bucket.name, "tmp/")?;
            put(tx, View::LAKE, bucket, "other", "other")?;
            let published = publish(tx, &Place::default(), RUN)?;
            assert_eq!(published, Published { puts: 3, deletes: 1, tags: 1, bytes: 11 });
            let came = objects::since(tx, bucket.id, "", before, tx.last_seq(), 10)?;
            assert_eq!(came.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["other", "a", "replaced", "z"]);
            assert!(came.iter().all(|object| object.modified_ms == tx.now_ms()));
            put(tx, View::LAKE, bucket, "later", "0")?;
            assert_eq!(rows::changes(tx, RUN)?, 1, "what is held");
            Ok(objects::get(tx, bucket.id, "tagged")?.unwrap().meta.tags)
        });
        assert_eq!(done.await.unwrap(), [("t".to_owned(), "new".to_owned())], "told: {told}");
        let all = "a=run later=0 other=other replaced=run tagged=before tmp/kept=before z=again";
        assert_eq!(pond.keys(None).await, all, "told: {told}");
        assert_eq!(pond.events().await.len(), if told { 11 } else { 0 });
        pond.check_names().await;
    }
}

#[tokio::test]
async fn published_objects_count_as_new_and_keep_what_they_are() {
    let pond = Pond::new().await;
    let before = pond.tx(|tx, bucket| {
        let mut one = new(tx, "k", "e");
        one.meta.user.insert("a".into(), "b".into());
        let staged = run_view(tx).put(tx, &Place::default(), bucket, one, false, &Cause::default())?;
        put(tx, View::LAKE, bucket, "other", "0")?;
        Ok((staged.meta, tx.last_seq()))
    });
    let (meta, seq) = before.await.unwrap();
    let found = pond.tx(move |tx, bucket| {
        publish(tx, &Place::default(), RUN)?;
        Ok(objects::since(tx, bucket.id, "", seq, i64::MAX, 10)?)
    });
    let found = found.await.unwrap();
    assert_eq!(found.iter().map(|object| (object.key.as_str(), &object.meta)).collect::<Vec<_>>(), [("k", &meta)]);
}

#[tokio::test]
async fn a_discarded_run_leaves_nothing_and_changes_nothing_more() {
    let pond = Pond::new().await;
    let done = pond.tx(|tx, bucket| {
        put(tx, View::LAKE, bucket, "kept", "0")?;
        let view = run_view(tx);
        put(tx, view, bucket, "a", "1")?;
        put(tx, view, bucket, "kept", "2")?;
        began_upload(tx, RUN)?;
        assert!(is_open(tx, RUN)? && open_runs(tx)?[0].job == "job");
        Ok(discard(tx, RUN)?)
    });
    done.await.unwrap();
    assert_eq!(pond.keys(None).await, "kept=0");
    assert_eq!(pond.keys(Some(RUN)).await, "kept=0");
    pond.check_names().await;
    let late = pond.tx(|tx, bucket| put(tx, run_view(tx), bucket, "late", "1")).await;
    assert!(matches!(late, Err(StagingError::Ended { .. })));
    let late = pond.tx(|tx, bucket| delete(tx, run_view(tx), bucket, "kept")).await;
    assert!(matches!(late, Err(StagingError::Ended { .. })));
    let told = pond.tx(|tx, _| Ok((is_open(tx, RUN)?, open_runs(tx)?, tx.lease_tasks(DROP_UPLOADS, 9)?))).await.unwrap();
    assert_eq!((told.0, told.1.len(), told.2.len()), (false, 0, 1));
    assert_eq!(told.2[0].payload, RUN);
    // A run that was never opened writes at once.
    pond.tx(|tx, bucket| put(tx, View::of(tx, Some("as-written"))?, bucket, "now", "1")).await.unwrap();
    assert_eq!(pond.keys(None).await, "kept=0 now=1");
}

#[tokio::test]
async fn the_last_writer_wins_unless_the_run_wrote_under_a_condition() {
    let pond = Pond::new().await;
    let done = pond.tx(|tx, bucket| {
        let view = run_view(tx);
        put(tx, View::LAKE, bucket, "there", "0")?;
        put(tx, view, bucket, "plain", "run")?;
        put_if(tx, view, bucket, "absent", "run")?;
        put_if(tx, view, bucket, "there", "run")?;
        put(tx, view, bucket, "there", "run again")?;
        put(tx, View::LAKE, bucket, "plain", "other")?;
        Ok(())
    });
    done.await.unwrap();
    for (key, etag) in [("absent", "other"), ("there", "other")] {
        let fails = pond.tx(move |tx, bucket| {
            check(tx, RUN)?;
            put(tx, View::LAKE, bucket, key, etag)?;
            assert!(matches!(check(tx, RUN), Err(StagingError::Conflict { key: found, .. }) if found == key), "{key}");
            publish(tx, &Place::default(), RUN)
        });
        let error = fails.await.unwrap_err();
        assert!(matches!(&error, StagingError::Conflict { key: found, .. } if found == key), "{error}");
        assert!(error.to_string().contains(&format!("s3://raw/{key}")), "{error}");
    }
    assert_eq!(pond.keys(None).await, "plain=other there=0", "nothing was published");
    pond.tx(|tx, _| publish(tx, &Place::default(), RUN)).await.unwrap();
    assert_eq!(pond.keys(None).await, "absent=run plain=run there=run again");
    // A condition about what the run itself did says nothing about others.
    let done = pond.tx(|tx, bucket| {
        delete(tx, run_view(tx), bucket, "plain")?;
        put_if(tx, run_view(tx), bucket, "plain", "mine")?;
        put(tx, View::LAKE, bucket, "plain", "other")?;
        publish(tx, &Place::default(), RUN)
    });
    assert_eq!(done.await.unwrap().puts, 1);
    pond.check_names().await;
}

#[tokio::test]
async fn a_bucket_that_is_gone_is_named_and_nothing_is_published() {
    let pond = Pond::new().await;
    let mirror = pond.buckets[1].clone();
    let done = pond.tx(move |tx, bucket| {
        put(tx, run_view(tx), bucket, "a", "1")?;
        put(tx, run_view(tx), &mirror, "b", "1")?;
        objects::delete_bucket(tx, mirror.id)?;
        // Another one of the same name is another one.
        create_bucket(tx, "mirror", "r")?;
        Ok(())
    });
    done.await.unwrap();
    let looked = pond.lake.store.read(|c| check(c, RUN)).await;
    assert!(matches!(&looked, Err(StagingError::BucketGone { bucket, .. }) if bucket == "mirror"), "{looked:?}");
    let error = pond.tx(|tx, _| publish(tx, &Place::default(), RUN)).await.unwrap_err();
    assert!(matches!(&error, StagingError::BucketGone { bucket, .. } if bucket == "mirror"), "{error}");
    assert_eq!(pond.keys(None).await, "");
    pond.tx(|tx, _| Ok(discard(tx, RUN)?)).await.unwrap();
    pond.check_names().await;
}

#[tokio::test]
async fn files_of_a_load_are_listed_and_taken_out_of_what_is_published() {
    let pond = Pond::new().await;
    let taken = pond.tx(|tx, bucket| {
        let view = run_view(tx);
        for key in ["tmp/1", "tmp/2", "tmp0", "out"] {
            put(tx, view, bucket, key, key)?;
        }
        put(tx, View::LAKE, bucket, "tmp/3", "0")?;
        delete(tx, view, bucket, "tmp/3")?;
        hold(tx, RUN, "raw", "tmp/")?;
        hold(tx, RUN, "none", "")?;
        put(tx, view, bucket, "before", "before")?;
        put(tx, view, bucket, "tmp/2", "again")?;
        put(tx, view, bucket, "tmp/later", "later")?;
        put(tx, view, bucket, "tmp/gone", "gone")?;
        delete(tx, view, bucket, "tmp/gone")?;
        assert_eq!(publish(tx, &Place::default(), RUN)?.puts, 3, "tmp0, out and before");
        assert!(view.get(tx, bucket.id, "tmp/1")?.is_some() && objects::get(tx, bucket.id, "tmp/1")?.is_none());
        assert_eq!((rows::changes(tx, RUN)?, rows::waits(tx, RUN)?), (3, false));
        put(tx, view, bucket, "after", "after")?;
        let listed = files(tx, RUN, "raw", "tmp/")?;
        let taken = take(tx, RUN, "raw", "tmp/")?;
        assert_eq!(listed, taken);
        assert!(files(tx, RUN, "raw", "tmp/")?.is_empty() && take(tx, RUN, "none", "")?.is_empty());
        Ok(taken)
    });
    let taken = taken.await.unwrap();
    assert_eq!(taken.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["tmp/1", "tmp/2", "tmp/later"]);
    let published = pond.tx(|tx, _| publish(tx, &Place::default(), RUN)).await.unwrap();
    assert_eq!((published.puts, published.deletes), (1, 0));
    assert_eq!(pond.keys(None).await, "after=after before=before out=out tmp0=tmp0");
    let blobs: Vec<BlobId> = taken.into_iter().map(|object| object.blob).collect();
    pond.tx(move |tx, _| Ok(release(tx, &blobs)?)).await.unwrap();
    pond.check_names().await;
}

#[tokio::test]
async fn what_a_run_asks_of_others_publishes_first_and_its_log_says_so() {
    let pond = Pond::new().await;
    assert!(publish_before(&pond.lake, RUN, "sns:Publish").await.unwrap().is_empty());
    pond.tx(|tx, bucket| put(tx, run_view(tx), bucket, "a", "1")).await.unwrap();
    assert_eq!(publish_before(&pond.lake, RUN, "sns:Publish").await.unwrap().puts, 1);
    assert_eq!(pond.keys(None).await, "a=1");
    pond.tx(|tx, bucket| put(tx, run_view(tx), bucket, "b", "1")).await.unwrap();
    assert_eq!(pond.keys(None).await, "a=1", "the run is still open");
    let tasks = pond.lake.store.write(|tx| tx.lease_tasks(log::WRITE, 9)).await.unwrap();
    let lines = log::Lines::of(&tasks[0]).unwrap();
    assert_eq!((tasks.len(), lines.group.as_str(), lines.stream.as_str()), (1, "/jobs/output", RUN));
    assert!(lines.lines[0].1.contains("1 objects put") && lines.lines[0].1.contains("sns:Publish"), "{:?}", lines.lines);
    pond.tx(|tx, _| Ok(discard(tx, RUN)?)).await.unwrap();
    assert!(publish_before(&pond.lake, RUN, "sns:Publish").await.unwrap().is_empty());
}

/// All pages of a listing, each key with its ETag, each prefix, in order.
fn pages(connection: &Connection, view: View<'_>, bucket: i64, spec: &ListSpec) -> Vec<String> {
    let (mut seen, mut spec) = (Vec::new(), spec.clone());
    loop {
        let page = view.list(connection, bucket, &spec).unwrap();
        assert!(page.objects.len() + page.common_prefixes.len() <= spec.limit);
        let mut names: Vec<_> = page.objects.iter().map(|o| format!("{} {}", o.key, o.etag)).collect();
        names.extend(page.common_prefixes);
        names.sort();
        seen.extend(names);
        match page.next {
            Some(next) => spec.after = next,
            None => return seen,
        }
    }
}

/// Numbers that a seed decides (a linear congruential generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

fn one_step(tx: &Tx<'_>, rng: &mut Dice, buckets: &[Bucket; 2], number: usize) -> Result<(), StagingError> {
    let folders = ["", "a/", "a/b/", "b", "c/\u{10FFFF}/", "é/"];
    let key = format!("{}{}", rng.one_of(&folders), rng.below(6));
    let etag = number.to_string();
    let staged = run_view(tx);
    match rng.below(10) {
        0..=3 => {
            put(tx, staged, &buckets[0], &key, &etag)?;
            put(tx, View::LAKE, &buckets[1], &key, &etag)?;
        }
        4..=6 => {
            delete(tx, staged, &buckets[0], &key)?;
            delete(tx, View::LAKE, &buckets[1], &key)?;
        }
        7 => {
            let tags = (rng.below(2) == 0).then_some(etag.as_str());
            let changed = tag(tx, staged, &buckets[0], &key, tags)?;
            assert_eq!(changed, tag(tx, View::LAKE, &buckets[1], &key, tags)?, "{key}");
        }
        // Somebody else, under a key that the run has not changed.
        _ if rows::get(tx, RUN, buckets[0].id, &key)?.is_none() => {
            buckets.iter().try_for_each(|bucket| put(tx, View::LAKE, bucket, &key, &etag).map(|_| ()))?;
        }
        _ => {}
    }
    Ok(())
}

fn compare(connection: &Connection, rng: &mut Dice, buckets: &[Bucket; 2], view: View<'_>) {
    let spec = ListSpec {
        prefix: rng.one_of(&["", "a", "a/", "c/", "z"]).into(),
        delimiter: rng.one_of(&["", "/", "b/"]).into(),
        after: rng.one_of(&["", "a", "a/", "a/3", "b2"]).into(),
        limit: 1 + rng.below(7),
    };
    let mirrored = pages(connection, View::LAKE, buckets[1].id, &spec);
    assert_eq!(pages(connection, view, buckets[0].id, &spec), mirrored, "{spec:?}");
    for key in ["0", "a/1", "b2", "a/b/3", "é/4"] {
        let found = |view: View<'_>, bucket: &Bucket| {
            view.get(connection, bucket.id, key).unwrap().map(|object| (object.etag, object.meta.tags))
        };
        assert_eq!(found(view, &buckets[0]), found(View::LAKE, &buckets[1]), "{key}");
    }
}

/// Whatever a run does, it sees what it would see had it done it to the lake; and what is published is that.
#[tokio::test]
async fn a_run_sees_and_leaves_what_it_would_have_made_at_once() {
    for seed in 0..20 {
        let mut pond = Pond::new().await;
        pond.set_told(seed % 2 == 0).await;
        let buckets = pond.buckets.clone();
        let steps = pond.tx(move |tx, _| {
            let mut rng = Dice(seed);
            for number in 0..40 {
                let key = format!("{}{}", ["", "a/", "b"][number % 3], number % 6);
                buckets.iter().try_for_each(|bucket| put(tx, View::LAKE, bucket, &key, "0").map(|_| ()))?;
            }
            for number in 1..300 {
                one_step(tx, &mut rng, &buckets, number)?;
                if number % 7 == 0 {
                    compare(tx, &mut rng, &buckets, run_view(tx));
                }
                if number % 120 == 0 {
                    publish(tx, &Place::default(), RUN)?;
                    compare(tx, &mut rng, &buckets, View::LAKE);
                }
            }
            let counted: i64 = tx.query_row("SELECT count(*) FROM staged", [], |row| row.get(0))?;
            assert_eq!(rows::changes(tx, RUN)?, counted);
            publish(tx, &Place::default(), RUN)?;
            (0..50).for_each(|_| compare(tx, &mut rng, &buckets, View::LAKE));
            Ok(())
        });
        steps.await.unwrap();
        pond.check_names().await;
    }
}

#[tokio::test]
async fn a_listing_of_a_run_sorts_nothing() {
    let pond = Pond::new().await;
    let plan = pond.lake.store.read(|c| {
        let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {}", rows::listing()))?;
        let lines = statement.query_map(rusqlite::params![1, "a", "b", RUN], |row| row.get::<_, String>(3))?;
        Ok::<_, StoreError>(lines.collect::<Result<Vec<_>, _>>()?.join("\n"))
    });
    let plan = plan.await.unwrap();
    assert!(plan.contains("MERGE (UNION ALL)") && !plan.contains("TEMP B-TREE"), "{plan}");
    assert!(plan.contains("key>? AND key<?"), "{plan}");
}
