//! What one caller's requests do to those of others, and limits over several items.

use super::*;
use crate::lake::objects;
use crate::runtime::Workers;
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

fn pond_table() -> NewTable {
    NewTable {
        name: TABLE.into(),
        definitions: vec![Definition { name: "id".into(), kind: KeyKind::S }],
        key: vec![KeyPart { name: "id".into(), hash: true }],
        pay_per_request: true,
        ..NewTable::default()
    }
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
        let store = Store::open(directory.path(), &[objects::COMPONENT, COMPONENT], Arc::new(SystemEnv)).unwrap();
        let dynamodb = DynamoDb::open(&Lake { store, place: Arc::default() }).unwrap();
        dynamodb.create_table(pond_table()).await.unwrap();
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

/// Statements, each of one of these items.
fn selects(ids: impl IntoIterator<Item = usize>, what: &str, and: &str) -> TransactStatements {
    let statements = ids.into_iter().map(|id| {
        let statement = format!("SELECT {what} FROM {TABLE} WHERE id = '{id}'{and}");
        BatchStatement::parse(StatementRequest { statement, ..StatementRequest::default() }).unwrap()
    });
    TransactStatements { statements: statements.collect(), token: None, report: Report::None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_reads_four_megabytes_of_items_whatever_it_answers_of_them() {
    let pond = Pond::new().await;
    pond.put(0..11, LARGE).await;
    let read = async |statements| pond.dynamodb.execute_transaction(statements).await;
    let limit = "The aggregate size of the items in the transaction cannot exceed 4 MB";
    for (what, and) in [("*", ""), ("id", ""), ("*", " AND attribute_exists(none)")] {
        let refused = read(selects(0..11, what, and)).await.unwrap_err();
        assert!(matches!(&refused, DynamoError::Validation(text) if text.starts_with(limit)), "{what}{and}: {refused:?}");
    }
    let gets = (0..11).map(|id| GetItem { table: TABLE.into(), key: key(&id.to_string()), ..GetItem::default() });
    let refused = pond.dynamodb.transact_get(gets.collect(), Report::None).await.unwrap_err();
    assert!(matches!(&refused, DynamoError::Validation(text) if text.starts_with(limit)), "{refused:?}");
    let (found, _) = read(selects(0..10, "id", "")).await.unwrap();
    assert_eq!(found, (0..10).map(|id| Some(key(&id.to_string()))).collect::<Vec<_>>());
    let (found, _) = read(selects([1, 20], "id", " AND size(\"text\") > 1")).await.unwrap();
    assert_eq!(found, [Some(key("1")), None]);
    let (found, _) = read(selects([1], "*", " AND size(\"text\") = 1")).await.unwrap();
    assert_eq!(found, [None]);
    let twice = read(selects([1, 1], "*", "")).await.unwrap_err();
    assert_eq!(twice.to_string(), "Transaction request cannot include multiple operations on one item");
    let mut number = selects([1, 2], "*", "");
    let statement = format!("SELECT * FROM {TABLE} WHERE id = 2");
    number.statements[1] = BatchStatement::parse(StatementRequest { statement, ..StatementRequest::default() }).unwrap();
    let DynamoError::Cancelled(reasons) = read(number).await.unwrap_err() else { panic!("it is the reason of one statement") };
    assert_eq!(reasons.iter().map(|reason| reason.code).collect::<Vec<_>>(), ["None", "ValidationError"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_table_cannot_be_made_fails() {
    let pond = Pond::new().await;
    let items = pond.dynamodb.table(TABLE).unwrap();
    let mut taken = items.spec();
    taken.id.0 += 1;
    taken.key.hash.name = "other".into();
    pond.dynamodb.items().create_table(&taken).unwrap();
    let table = NewTable { name: "imported".into(), ..pond_table() };
    let request = ImportRequest { bucket: "none".into(), format: "CSV".into(), table, ..ImportRequest::default() };
    let refused = pond.dynamodb.import_table(request.clone()).await.unwrap_err();
    assert!(matches!(refused, DynamoError::Items(_)), "{refused:?}");
    assert!(matches!(pond.dynamodb.describe_table("imported").await, Err(DynamoError::NoSuchTable(_))));
    let workers = Workers::start(&pond.dynamodb.lake, pond.dynamodb.handlers());
    let ended = async |at: usize| loop {
        let all = pond.dynamodb.imports(None, None, None).await.unwrap().all;
        if all[at].transfer.state != TransferState::InProgress {
            return all[at].clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let ended = async |at| tokio::time::timeout(Duration::from_secs(20), ended(at)).await.expect("the import ends");
    let failed = ended(0).await.transfer;
    assert_eq!((failed.state, failed.table_name.as_str()), (TransferState::Failed, "imported"));
    assert!(failed.failure_message.unwrap().contains("the table could not be made"));
    // The next one has a number of its own, and comes to look for its files.
    pond.dynamodb.import_table(request).await.unwrap();
    assert_eq!(ended(0).await.transfer.failure_code.as_deref(), Some("S3NoSuchBucket"));
    workers.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_import_is_for_one_request() {
    let pond = Pond::new().await;
    let table = NewTable { name: "imported".into(), ..pond_table() };
    let token = Some("token".to_owned());
    let first = ImportRequest { token, bucket: "none".into(), format: "CSV".into(), table, ..ImportRequest::default() };
    let arn = pond.dynamodb.import_table(first.clone()).await.unwrap().transfer.arn;
    let plain = ImportRequest { compression: Some("NONE".into()), ..first.clone() };
    assert_eq!(pond.dynamodb.import_table(plain).await.unwrap().transfer.arn, arn, "which is what it is without");
    for other in [
        ImportRequest { compression: Some("GZIP".into()), ..first.clone() },
        ImportRequest { bucket_owner: Some("123456789012".into()), ..first.clone() },
        ImportRequest { prefix: Some("a".into()), ..first.clone() },
    ] {
        let refused = pond.dynamodb.import_table(other).await.unwrap_err();
        assert!(matches!(refused, DynamoError::ImportConflict(_)), "{refused:?}");
    }
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
