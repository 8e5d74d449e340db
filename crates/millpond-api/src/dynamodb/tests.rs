use super::*;
use bytes::Bytes;
use http::StatusCode;
use millpond_core::env::{Env, SystemEnv};
use millpond_services::lake::{Lake, identity};
use millpond_store::Store;
use millpond_wire::dynamodb;
use serde_json::{Value, json};
use std::sync::Mutex;

/// Writes down what it is asked, and denies one table.
#[derive(Default)]
struct Recorder(Mutex<Vec<(&'static str, String)>>);

impl Authorizer for Recorder {
    fn authorize(&self, _: &Context, action: &'static str, resource: &str) -> Result<(), WireError> {
        self.0.lock().unwrap().push((action, resource.to_owned()));
        match resource.ends_with("table/denied") {
            true => Err(WireError::sender(StatusCode::FORBIDDEN, "AccessDeniedException", "no")),
            false => Ok(()),
        }
    }
}

struct Served {
    router: Router,
    recorder: Arc<Recorder>,
    _directory: tempfile::TempDir,
}

impl Served {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let components = [identity::COMPONENT, millpond_services::dynamodb::COMPONENT];
        let store = Store::open(directory.path(), &components, Arc::new(SystemEnv)).unwrap();
        let recorder = Arc::new(Recorder::default());
        let mut router = Router::new(recorder.clone());
        register(&mut router, DynamoDb::open(&Lake { store, place: Arc::default() }).unwrap());
        Self { router, recorder, _directory: directory }
    }

    async fn call(&self, operation: &'static str, body: Value) -> Result<Value, WireError> {
        let context = Context {
            account: "000000000000".into(),
            region: "us-east-1".into(),
            principal: crate::caller::Caller::root("000000000000", "AK"),
            source_ip: "127.0.0.1".into(),
            request_id: "r".into(),
            now_ms: SystemEnv.now_ms(),
            endpoint: "http://127.0.0.1:4566".into(),
            host: None,
        };
        let answer = self.router.call(&dynamodb::SERVICE, operation, context, Bytes::from(body.to_string())).await?;
        Ok(serde_json::from_slice(answer.body()).unwrap())
    }

    /// What was asked since the last time, without the tables' ARNs.
    fn asked(&self) -> Vec<(&'static str, String)> {
        let asked = std::mem::take(&mut *self.recorder.0.lock().unwrap());
        asked.into_iter().map(|(action, arn)| (action, arn.rsplit('/').next().unwrap_or_default().to_owned())).collect()
    }

    async fn create(&self, name: &str) {
        let table = json!({
            "TableName": name,
            "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
            "BillingMode": "PAY_PER_REQUEST",
        });
        self.call("CreateTable", table).await.unwrap();
        self.asked();
    }
}

fn key() -> Value {
    json!({ "id": { "S": "a" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_table_that_a_request_names_inside_is_brought_to_the_authorizer() {
    let served = Served::new();
    served.create("open").await;
    let writes = |name: &str| json!({ "RequestItems": { name: [{ "PutRequest": { "Item": key() } }] } });
    served.call("BatchWriteItem", writes("open")).await.unwrap();
    assert_eq!(served.asked()[1], ("dynamodb:BatchWriteItem", "open".into()));
    let gets = json!({ "RequestItems": { "open": { "Keys": [key()] } } });
    served.call("BatchGetItem", gets).await.unwrap();
    assert_eq!(served.asked()[1], ("dynamodb:BatchGetItem", "open".into()));
    let put = |name: &str| json!({ "Put": { "TableName": name, "Item": { "id": { "S": "b" } } } });
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/open";
    let check = json!({ "ConditionCheck": { "TableName": arn, "Key": key(), "ConditionExpression": "attribute_exists(id)" } });
    served.call("TransactWriteItems", json!({ "TransactItems": [put("open"), check] })).await.unwrap();
    let asked: Vec<_> = served.asked().into_iter().skip(1).collect();
    assert_eq!(asked, [("dynamodb:PutItem", "open".into()), ("dynamodb:ConditionCheckItem", "open".into())]);
    let statement = json!({ "Statement": "DELETE FROM \"open\" WHERE id = 'b'" });
    served.call("ExecuteStatement", statement.clone()).await.unwrap();
    assert_eq!(served.asked()[1], ("dynamodb:PartiQLDelete", "open".into()));
    for (operation, body) in [
        ("BatchWriteItem", writes("denied")),
        ("BatchGetItem", json!({ "RequestItems": { "denied": { "Keys": [key()] } } })),
        ("TransactWriteItems", json!({ "TransactItems": [put("open"), put("denied")] })),
        ("TransactGetItems", json!({ "TransactItems": [{ "Get": { "TableName": "denied", "Key": key() } }] })),
        ("ExecuteStatement", json!({ "Statement": "SELECT * FROM \"denied\"" })),
        (
            "BatchExecuteStatement",
            json!({ "Statements": [statement, { "Statement": "SELECT * FROM \"denied\" WHERE id = 'a'" }] }),
        ),
        ("ExecuteTransaction", json!({ "TransactStatements": [{ "Statement": "INSERT INTO \"denied\" VALUE {'id': 'x'}" }] })),
        ("PutItem", json!({ "TableName": "denied", "Item": key() })),
        (
            "ImportTable",
            json!({
                "S3BucketSource": { "S3Bucket": "bucket" },
                "InputFormat": "CSV",
                "TableCreationParameters": {
                    "TableName": "denied",
                    "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
                    "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
                },
            }),
        ),
    ] {
        let refused = served.call(operation, body).await.unwrap_err();
        assert_eq!((refused.status, &*refused.code), (StatusCode::FORBIDDEN, "AccessDeniedException"), "{operation}");
    }
    let scanned = served.call("Scan", json!({ "TableName": "open" })).await.unwrap();
    assert_eq!(scanned["Count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_carry_what_clients_read_from_them() {
    let served = Served::new();
    served.create("items").await;
    served.call("PutItem", json!({ "TableName": "items", "Item": key() })).await.unwrap();
    let put = json!({
        "TableName": "items",
        "Item": key(),
        "ConditionExpression": "attribute_not_exists(id)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let refused = served.call("PutItem", put.clone()).await.unwrap_err().into_response(&dynamodb::SERVICE, "r");
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let body: Value = serde_json::from_slice(refused.body()).unwrap();
    let expected =
        json!({ "__type": "ConditionalCheckFailedException", "message": "The conditional request failed", "Item": key() });
    assert_eq!(body, expected);
    let refused = served.call("TransactWriteItems", json!({ "TransactItems": [{ "Put": put }] })).await.unwrap_err();
    let body: Value = serde_json::from_slice(refused.into_response(&dynamodb::SERVICE, "r").body()).unwrap();
    let reason = json!({ "Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": key() });
    assert_eq!(body["CancellationReasons"], json!([reason]));
    assert!(body["Message"].as_str().unwrap().ends_with("[ConditionalCheckFailed]"));
}
