//! What one caller's requests do to those of others, and limits over several items.

use super::*;
use millpond_core::env::SystemEnv;
use millpond_store::Store;
use millpond_tables::Value;
use millpond_tables::store::LoadOptions;
use serde_json::json;
use std::time::Duration;

const TABLE: &str = "items";

struct Pond {
    dynamodb: DynamoDb,
    _directory: tempfile::TempDir,
}

fn key(id: &str) -> Attributes {
    Attributes::from([("id".to_owned(), json!({ "S": id }))])
}

/// An item with a text of so many bytes; besides it has some 10.
fn item(id: &str, bytes: usize) -> Attributes {
    let text = ("text".to_owned(), json!({ "S": "x".repeat(bytes) }));
    key(id).into_iter().chain([text]).collect()
}

fn put(id: &str, bytes: usize) -> PutItem {
    PutItem { table: TABLE.into(), item: item(id, bytes), ..PutItem::default() }
}

impl Pond {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[COMPONENT], Arc::new(SystemEnv)).unwrap();
        let dynamodb = DynamoDb::open(&Lake { store, place: Arc::default() }).unwrap();
        let table = NewTable {
            name: TABLE.into(),
            definitions: vec![Definition { name: "id".into(), kind: KeyKind::S }],
            key: vec![KeyPart { name: "id".into(), hash: true }],
            pay_per_request: true,
            ..NewTable::default()
        };
        dynamodb.create_table(table).await.unwrap();
        Self { dynamodb, _directory: directory }
    }

    async fn put(&self, ids: impl IntoIterator<Item = usize>, bytes: usize) {
        for id in ids {
            self.dynamodb.put_item(put(&id.to_string(), bytes)).await.unwrap();
        }
    }

    async fn transact(&self, actions: impl IntoIterator<Item = TransactWrite>) -> Result<Transacted, DynamoError> {
        self.dynamodb.transact_write(actions.into_iter().collect(), None, Report::None, false).await
    }

    async fn count(&self) -> u64 {
        self.dynamodb.describe_table(TABLE).await.unwrap().items
    }
}

fn delete(id: usize) -> TransactWrite {
    TransactWrite::Delete(DeleteItem { table: TABLE.into(), key: key(&id.to_string()), ..DeleteItem::default() })
}

fn check(id: usize, condition: &str) -> TransactWrite {
    let condition = Condition { expression: Some(condition.into()), ..Condition::default() };
    let options = WriteOptions { condition, ..WriteOptions::default() };
    TransactWrite::Check(DeleteItem { table: TABLE.into(), key: key(&id.to_string()), options })
}

fn update(id: usize, expression: &str) -> TransactWrite {
    let update = Some(expression.to_owned());
    TransactWrite::Update(UpdateItem { table: TABLE.into(), key: key(&id.to_string()), update, ..UpdateItem::default() })
}

fn told(result: Result<Transacted, DynamoError>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, DynamoError::Validation(_)), "{error:?}");
    error.to_string()
}

/// Ten such items have less than 4 MB, eleven more.
const LARGE: usize = 390_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_has_four_megabytes_of_items_whatever_is_done_to_them() {
    let pond = Pond::new().await;
    pond.put(0..11, LARGE).await;
    let limit = "The aggregate size of the items in the transaction cannot exceed 4 MB";
    assert!(told(pond.transact((0..11).map(delete)).await).starts_with(limit));
    let checks = (0..10).map(|id| check(id, "attribute_exists(id)"));
    assert!(told(pond.transact(checks.clone().chain([delete(10)])).await).starts_with(limit));
    assert!(told(pond.transact((0..11).map(|id| update(id, "SET more = id"))).await).starts_with(limit));
    let put = |id: usize| TransactWrite::Put(put(&id.to_string(), LARGE));
    assert!(told(pond.transact(checks.clone().chain([put(20)])).await).starts_with(limit));
    assert_eq!(pond.count().await, 11, "nothing was done");
    // What an update takes away does not count, nor what a put replaces.
    pond.transact((0..11).map(|id| update(id, "REMOVE #t")).map(named)).await.unwrap();
    pond.transact((0..10).map(put).chain([check(30, "attribute_not_exists(id)"), delete(31)])).await.unwrap();
    pond.transact((0..10).map(delete)).await.unwrap();
    assert_eq!(pond.count().await, 1);
}

/// With `#t` for `text`, which is a reserved word.
fn named(action: TransactWrite) -> TransactWrite {
    let TransactWrite::Update(mut update) = action else { return action };
    update.options.expressions.names = Some([("#t".to_owned(), "text".to_owned())].into());
    TransactWrite::Update(update)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_transaction_is_told_in_the_order_of_aws() {
    let pond = Pond::new().await;
    let nowhere = || TransactWrite::Put(PutItem { table: "nowhere".into(), ..put("a", 1) });
    // All expressions are read before a table is looked for.
    assert!(told(pond.transact([nowhere(), check(1, "attribute_exists(")]).await).contains("Syntax error"));
    assert!(matches!(pond.transact([nowhere()]).await, Err(DynamoError::NotFound)));
    // What can be seen without the items is no reason of one action.
    let large = || TransactWrite::Put(put("a", 500_000));
    assert_eq!(told(pond.transact([large()]).await), "Item size has exceeded the maximum allowed size");
    let empty = || TransactWrite::Put(put("", 1));
    assert!(told(pond.transact([delete(1), empty()]).await).ends_with("cannot contain an empty string value. Key: id"));
    let mut number = put("a", 1);
    number.item.insert("id".into(), json!({ "N": "1" }));
    let DynamoError::Cancelled(reasons) = pond.transact([delete(1), TransactWrite::Put(number)]).await.unwrap_err() else {
        panic!("it is the reason of one action");
    };
    assert_eq!(reasons.iter().map(|reason| reason.code).collect::<Vec<_>>(), ["None", "ValidationError"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_are_told_to_come_back_while_too_many_changes_wait() {
    let pond = Pond::new().await;
    pond.put([0], 1).await;
    let table = pond.dynamodb.table(TABLE).unwrap().id();
    let loader = pond.dynamodb.items().loader(table, LoadOptions::default()).unwrap();
    let mut writer = loader.writer();
    writer.put(0, &[("id".to_owned(), Value::from("loaded"))].into()).unwrap();
    writer.finish().unwrap();
    // The table is held as long as the load does not go on.
    let (held, is_held) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let load = tokio::task::spawn_blocking(move || {
        let mut held = Some(held);
        loader.finish(|_, _| {
            if let Some(held) = held.take() {
                held.send(()).unwrap();
                released.recv().unwrap();
            }
            true
        })
    });
    is_held.await.unwrap();
    const WRITERS: usize = 200;
    let mut writers = tokio::task::JoinSet::new();
    for id in 0..WRITERS {
        let dynamodb = pond.dynamodb.clone();
        writers.spawn(async move { dynamodb.put_item(put(&format!("w{id}"), LARGE)).await });
    }
    // None can be done yet: those that end were refused, since 64 MB wait.
    let (mut done, mut busy) = (0, 0);
    while done + busy < WRITERS {
        let patience = Duration::from_secs(if busy == 0 { 60 } else { 1 });
        match tokio::time::timeout(patience, writers.join_next()).await {
            Ok(Some(Ok(Err(DynamoError::Busy)))) => busy += 1,
            Err(_) => break,
            other => panic!("{other:?}"),
        }
    }
    release.send(()).unwrap();
    load.await.unwrap().unwrap();
    while let Some(written) = writers.join_next().await {
        written.unwrap().unwrap();
        done += 1;
    }
    assert!((150..=172).contains(&done) && done + busy == WRITERS, "{done} were done, {busy} refused");
    assert_eq!(pond.count().await, 2 + done as u64, "those that were acknowledged, and no others");
    pond.put([1], LARGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_reads_leave_room_for_a_small_one() {
    let pond = Pond::new().await;
    pond.put([0], 1).await;
    let reads = &pond.dynamodb.shared.reads;
    let all = reads.acquire_many(u32::try_from(reads.available_permits()).unwrap()).await.unwrap();
    let keys = BatchKeys { keys: vec![key("0")], ..BatchKeys::default() };
    let mut batch =
        Box::pin(pond.dynamodb.batch_get(BatchGet { tables: [(TABLE.to_owned(), keys)].into(), report: Report::None }));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut batch).await.is_err(), "it waits for its turn");
    let get = pond.dynamodb.get_item(GetItem { table: TABLE.into(), key: key("0"), ..GetItem::default() });
    let got = tokio::time::timeout(Duration::from_secs(30), get).await.expect("it does not wait").unwrap();
    assert_eq!(got.item, Some(item("0", 1)));
    drop(all);
    assert_eq!(batch.await.unwrap().items[TABLE], [item("0", 1)]);
}
