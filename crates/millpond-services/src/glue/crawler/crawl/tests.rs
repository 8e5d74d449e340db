//! Crawls over a real store and engine.

use crate::glue::crawler::{CrawlState, CrawlerState, deliver_to_crawler};
use crate::glue::job::testing::{Pond, binary};
use crate::glue::{GlueError, classifier::CsvSpec};
use crate::lake::catalog::{self, PartitionQuery};
use millpond_core::catalog::Table;
use serde_json::{Value, json};

const FLIGHTS: &[u8] = b"year,month,carrier,delay\n2013,1,UA,2\n2013,1,AA,NA\n2013,2,B6,-4\n";

fn columns(table: &Table) -> String {
    table.storage.columns.iter().map(|column| format!("{}:{}", column.name, column.data_type)).collect::<Vec<_>>().join(" ")
}

fn keys(table: &Table) -> String {
    table.partition_keys.iter().map(|column| column.name.clone()).collect::<Vec<_>>().join(" ")
}

fn names(tables: &[Table]) -> String {
    tables.iter().map(|table| table.name.clone()).collect::<Vec<_>>().join(" ")
}

async fn partitions(pond: &Pond, table: &'static str) -> Vec<String> {
    let page =
        pond.lake.store.read(move |c| catalog::partitions(c, "raw", table, &PartitionQuery::default(), 100_000)).await.unwrap();
    page.partitions.into_iter().map(|partition| partition.values.join("/")).collect()
}

fn event_mode() -> Value {
    json!({"RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVENT_MODE"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_file_becomes_a_table_as_glue_describes_it() {
    let pond = Pond::new().await;
    pond.put(&[("s3://raw/flights/jan.csv", FLIGHTS)]).await;
    let tables = pond.crawl("s3://raw/flights/", json!({})).await;
    assert_eq!(names(&tables), "flights");
    let table = &tables[0];
    assert_eq!(columns(table), "year:bigint month:bigint carrier:string delay:bigint");
    assert_eq!(table.storage.location.as_deref(), Some("s3://raw/flights/"));
    for (key, value) in [
        ("classification", "csv"),
        ("CrawlerSchemaDeserializerVersion", "1.0"),
        ("CrawlerSchemaSerializerVersion", "1.0"),
        ("UPDATED_BY_CRAWLER", "c"),
        ("delimiter", ","),
        ("skip.header.line.count", "1"),
        ("typeOfData", "file"),
        ("compressionType", "none"),
        ("columnsOrdered", "true"),
        ("objectCount", "1"),
        ("recordCount", "3"),
        ("sizeKey", "63"),
    ] {
        assert_eq!(table.parameters.get(key).map(String::as_str), Some(value), "{key}");
    }
    let status = pond.glue.crawler("c".into()).await.unwrap();
    assert_eq!(status.crawler.state, CrawlerState::Ready);
    assert_eq!(status.last.unwrap().state, CrawlState::Completed);
    let events = pond.events("Glue Crawler State Change").await;
    assert_eq!(events.iter().map(|event| event["state"].as_str().unwrap()).collect::<Vec<_>>(), ["Started", "Succeeded"]);
    assert_eq!((&events[1]["tablesCreated"], &events[1]["warningMessage"]), (&json!("1"), &json!("N/A")));
    assert_eq!(pond.sql("select sum(delay) from raw.flights").await, ["-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_become_partitions_and_a_query_sees_them() {
    let pond = Pond::new().await;
    pond.put(&[
        ("s3://raw/sales/year=2023/month=01/a.csv", b"id,price\n1,2.5\n"),
        ("s3://raw/sales/year=2024/month=01/a.csv", b"id,price\n2,3\n"),
        ("s3://raw/sales/year=2024/month=02/a.csv", b"id,price,vip\n3,4,true\n"),
    ])
    .await;
    let tables = pond.crawl("s3://raw/sales/", json!({})).await;
    assert_eq!((names(&tables).as_str(), keys(&tables[0]).as_str()), ("sales", "year month"));
    assert_eq!(columns(&tables[0]), "id:bigint price:double vip:boolean");
    assert_eq!(partitions(&pond, "sales").await, ["2023/01", "2024/01", "2024/02"]);
    assert_eq!(pond.sql("select sum(id) from raw.sales where year = '2024'").await, ["5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_folders_and_loose_files_becomes_a_table_for_each_schema() {
    let pond = Pond::new().await;
    pond.put(&[
        ("s3://raw/customers.csv", b"customer_id,name,email\n1,Ann,a@x\n"),
        ("s3://raw/orders/2024/a.json", b"{\"order\":1,\"total\":2.5,\"items\":[{\"sku\":\"x\"}]}\n"),
        ("s3://raw/orders/2025/a.json", b"{\"order\":2,\"total\":3.5,\"items\":[{\"sku\":\"y\"}]}\n"),
        ("s3://raw/_temporary/x.csv", b"q,r\n1,2\n"),
    ])
    .await;
    let tables = pond.crawl("s3://raw", json!({"TablePrefix": "in_"})).await;
    assert_eq!(names(&tables), "in_customers_csv in_orders");
    assert_eq!(tables[0].storage.location.as_deref(), Some("s3://raw/customers.csv"));
    assert_eq!(keys(&tables[1]), "partition_0");
    assert_eq!(columns(&tables[1]), "order:bigint total:double items:array<struct<sku:string>>");
    assert_eq!(pond.sql("select count(*), sum(customer_id) from raw.in_customers_csv").await, ["1|1"]);
    assert_eq!(pond.sql("select sum(total) from raw.in_orders").await, ["6.0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_grows_with_new_files_and_keeps_types_that_old_values_need() {
    let pond = Pond::new().await;
    pond.put(&[("s3://raw/t/1.csv", b"id,when,note\n1,2024-01-01,5\n2,2024-01-02,6\n")]).await;
    let tables = pond.crawl("s3://raw/t/", event_mode()).await;
    assert_eq!(columns(&tables[0]), "id:bigint when:date note:bigint");
    pond.put(&[("s3://raw/t/2.csv", b"id,when,note,more\n3.5,2024-01-03,seven,x\n4.5,2024-01-04,8,y\n")]).await;
    let tables = pond.crawl("s3://raw/t/", event_mode()).await;
    assert_eq!(columns(&tables[0]), "id:double when:date note:bigint more:string");
    assert_eq!((tables[0].version, tables[0].parameters["objectCount"].as_str()), (1, "2"));
    let status = pond.glue.crawler("c".into()).await.unwrap();
    assert_eq!(status.last.unwrap().summary.objects, 1, "event mode looks at what is new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_classified_is_told_and_holds_nothing_up() {
    let pond = Pond::new().await;
    pond.put(&[
        ("s3://raw/t/good.csv", FLIGHTS),
        ("s3://raw/t/empty.csv", b""),
        ("s3://raw/t/binary.csv", &binary()),
        ("s3://raw/t/broken.csv.gz", &[0x1f, 0x8b, 8, 0, 1, 2, 3]),
        ("s3://raw/t/header.csv", b"year,month,carrier,delay\n"),
    ])
    .await;
    let tables = pond.crawl("s3://raw/t/", json!({})).await;
    assert_eq!(names(&tables), "t");
    assert_eq!(columns(&tables[0]), "year:bigint month:bigint carrier:string delay:bigint");
    let last = pond.glue.crawler("c".into()).await.unwrap().last.unwrap();
    assert_eq!(last.state, CrawlState::Completed);
    assert!(last.summary.unclassified >= 3, "{}", last.log);
    for name in ["empty.csv", "binary.csv", "broken.csv.gz"] {
        assert!(last.log.contains(&format!("s3://raw/t/{name} is in no table")), "{name}: {}", last.log);
    }
    let events = pond.events("Glue Crawler State Change").await;
    assert!(events[1]["warningMessage"].as_str().unwrap().contains("need a look"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusions_single_objects_and_custom_classifiers_are_followed() {
    let pond = Pond::new().await;
    pond.put(&[("s3://raw/x/a.csv", b"1~2\n3~4\n"), ("s3://raw/x/skip/b.csv", b"p,q\n1,2\n")]).await;
    let spec: CsvSpec =
        serde_json::from_value(json!({"Delimiter": "~", "ContainsHeader": "ABSENT", "Header": ["left", "right"]})).unwrap();
    pond.glue.create_classifier("tilde".into(), spec).await.unwrap();
    let more = json!({"Classifiers": ["tilde"], "Targets": {"S3Targets": [{"Path": "s3://raw/x", "Exclusions": ["skip/**"]}]}});
    let tables = pond.crawl("", more).await;
    assert_eq!((names(&tables).as_str(), columns(&tables[0]).as_str()), ("x", "left:bigint right:bigint"));
    assert_eq!(tables[0].parameters["exclusions"], "[\"s3://raw/x/skip/**\"]");
    let changes = json!({"Targets": {"S3Targets": [{"Path": "s3://raw/x/skip/b.csv"}]}});
    pond.glue.update_crawler("c".into(), changes.as_object().unwrap().clone()).await.unwrap();
    pond.glue.start_crawler("c".into()).await.unwrap();
    pond.work().await;
    let tables = pond.tables().await;
    assert_eq!(names(&tables), "b_csv x");
    assert_eq!(pond.sql("select count(*) from raw.x").await, ["2"], "what is excluded is not in the table");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_is_deprecated_or_deleted_as_the_policy_says() {
    for (policy, tables_left, partitions_left) in [("DELETE_FROM_DATABASE", "kept", 1), ("DEPRECATE_IN_DATABASE", "gone kept", 2)]
    {
        let pond = Pond::new().await;
        pond.put(&[
            ("s3://raw/kept/p=1/a.csv", b"a,b\n1,2\n"),
            ("s3://raw/kept/p=2/a.csv", b"a,b\n1,2\n"),
            ("s3://raw/gone/a.csv", b"x,y,z\n1,2,3\n"),
        ])
        .await;
        let more = json!({"SchemaChangePolicy": {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": policy}});
        pond.crawl("s3://raw/", more.clone()).await;
        pond.delete("s3://raw/kept/p=2/a.csv").await;
        pond.delete("s3://raw/gone/a.csv").await;
        let tables = pond.crawl("s3://raw/", more.clone()).await;
        assert_eq!(names(&tables), tables_left, "{policy}");
        assert_eq!(partitions(&pond, "kept").await.len(), partitions_left, "{policy}");
        let deprecated = tables.iter().filter(|table| table.parameters.contains_key("DEPRECATED_BY_CRAWLER")).count();
        assert_eq!(deprecated, tables.len() - 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_deliveries_become_few_crawls() {
    let pond = Pond::new().await;
    pond.put(&[("s3://raw/t/1.csv", FLIGHTS)]).await;
    pond.crawl("s3://raw/t/", event_mode()).await;
    for at in 0..20 {
        pond.put(&[(&format!("s3://raw/t/{at}-more.csv"), FLIGHTS)]).await;
        pond.lake.store.write(|tx| deliver_to_crawler(tx, "c")).await.unwrap();
    }
    pond.work().await;
    let crawls = pond.glue.crawls("c".into(), Vec::new(), None, 100).await.unwrap().items;
    assert_eq!(crawls.len(), 2);
    assert_eq!(crawls[0].summary.objects, 20);
    let error = pond.lake.store.write(|tx| deliver_to_crawler(tx, "none")).await.unwrap_err();
    assert!(matches!(error, GlueError::EntityNotFound(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_are_glues_and_a_stopped_crawl_changes_nothing() {
    let pond = Pond::new().await;
    pond.put(&[("s3://raw/t/1.csv", FLIGHTS)]).await;
    pond.crawl("s3://raw/none/", json!({})).await;
    let stop = || pond.glue.stop_crawler("c".into());
    assert!(matches!(stop().await.unwrap_err(), GlueError::CrawlerNotRunning(_)));
    pond.glue.start_crawler("c".into()).await.unwrap();
    assert!(matches!(pond.glue.start_crawler("c".into()).await.unwrap_err(), GlueError::CrawlerRunning(_)));
    assert!(matches!(pond.glue.delete_crawler("c".into()).await.unwrap_err(), GlueError::CrawlerRunning(_)));
    stop().await.unwrap();
    assert!(matches!(stop().await.unwrap_err(), GlueError::CrawlerStopping(_)));
    pond.work().await;
    let status = pond.glue.crawler("c".into()).await.unwrap();
    assert_eq!((status.crawler.state, status.last.unwrap().state), (CrawlerState::Ready, CrawlState::Stopped));
    assert_eq!(names(&pond.tables().await), "");
    pond.glue.delete_crawler("c".into()).await.unwrap();
    assert!(matches!(pond.glue.crawler("c".into()).await.unwrap_err(), GlueError::EntityNotFound(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crawl_that_cannot_work_says_why() {
    let pond = Pond::new().await;
    pond.crawl("s3://nowhere/t/", json!({})).await;
    let last = pond.glue.crawler("c".into()).await.unwrap().last.unwrap();
    assert_eq!(last.state, CrawlState::Failed);
    assert!(last.error.unwrap().contains("bucket 'nowhere'"));
    let events = pond.events("Glue Crawler State Change").await;
    assert_eq!(events[1]["state"], "Failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crawl_goes_on_after_a_crash() {
    let pond = Pond::new().await;
    pond.put(&[("s3://raw/t/1.csv", FLIGHTS)]).await;
    pond.crawl("s3://raw/t/", event_mode()).await;
    pond.put(&[("s3://raw/t/2.csv", FLIGHTS)]).await;
    pond.glue.start_crawler("c".into()).await.unwrap();
    pond.lake.store.write(|tx| tx.lease_tasks("glue.crawl", 1)).await.unwrap();
    let pond = pond.reopen().await;
    pond.work().await;
    let status = pond.glue.crawler("c".into()).await.unwrap();
    assert_eq!(status.crawler.state, CrawlerState::Ready);
    assert_eq!(pond.table("raw", "t").await.unwrap().parameters["objectCount"], "2");
    assert_eq!(pond.glue.crawls("c".into(), Vec::new(), None, 100).await.unwrap().items.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_files_and_partitions_are_one_quick_crawl() {
    let pond = Pond::new().await;
    let names: Vec<String> = (0..3_000).map(|at| format!("s3://raw/many/day={:03}/{at}.csv", at % 300)).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), FLIGHTS)).collect();
    pond.put(&files).await;
    let tables = pond.crawl("s3://raw/many/", event_mode()).await;
    assert_eq!((tables.len(), tables[0].parameters["objectCount"].as_str()), (1, "3000"));
    assert_eq!(partitions(&pond, "many").await.len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_quotes_learns_them_from_a_later_file() {
    let pond = Pond::new().await;
    pond.put(&[("s3://raw/t/1.csv", b"id,text,n\n1,plain,1\n2,also,2\n")]).await;
    pond.crawl("s3://raw/t/", event_mode()).await;
    pond.put(&[("s3://raw/t/2.csv", b"id,text,n\n3,\"a, \"\"b\"\"\",3\n4,\"x\",4\n")]).await;
    let tables = pond.crawl("", json!({})).await;
    assert_eq!(tables[0].parameters["areColumnsQuoted"], "true");
    assert_eq!(pond.sql("select text from raw.t where id = 3").await, ["a, \"b\""]);
    let run = pond.convert("t", &[]).await;
    assert_eq!((run.stats.rows_out, run.stats.rows_quarantined), (4, 0));
}
