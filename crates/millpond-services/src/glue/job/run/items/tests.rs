use super::*;
use crate::glue::job::testing::Pond;
use crate::glue::job::{Arguments, JobRunHandler, JobSpec, RUN, StartRun};
use crate::runtime::Handler;
use async_trait::async_trait;
use millpond_engine::decode::Reader;
use millpond_engine::query::Engine;
use millpond_engine::rows::{Cell, Each, Fault, Place as RowPlace, RowCheck, Rows, VisitSpec, visit_parquet};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// Tables of items in memory, with the key `id`; a row's id is the text of all of it where it has none.
#[derive(Debug)]
struct Memory {
    engine: Arc<Engine>,
    key: Vec<(String, &'static str)>,
    items: Mutex<BTreeMap<String, String>>,
    /// What goes wrong with the next loads, after the rows were put.
    faults: Mutex<Vec<LoadError>>,
}

fn id_of(rows: &Rows<'_>, row: usize) -> Option<String> {
    let mut text = String::new();
    match rows.columns().iter().find(|column| column.name == "id") {
        Some(column) => column.cells.get(row).write_text(&mut text),
        None => {
            let apart = |name: &str| APART.contains(&name) || name == ORDER;
            rows.columns()
                .iter()
                .filter(|column| !apart(column.name))
                .for_each(|column| column.cells.get(row).write_text(&mut text));
        }
    }
    (!text.is_empty()).then_some(text)
}

struct NeedsId;

impl RowCheck for NeedsId {
    fn check(&self, rows: &Rows<'_>) -> Vec<Fault> {
        let missing = |row: &usize| id_of(rows, *row).is_none();
        (0..rows.len()).filter(missing).map(|row| Fault::of_cell(row, "id", Cell::Null, "is missing")).collect()
    }
}

#[async_trait]
impl ItemLoader for Memory {
    async fn table(&self, name: &str) -> Result<Option<ItemTable>, LoadError> {
        let items = self.items.lock().unwrap().len() as u64;
        Ok((name == "company").then(|| ItemTable { key: self.key.clone(), items }))
    }

    async fn check(&self, _: &str, _: &ItemShape) -> Result<Arc<dyn RowCheck>, LoadError> {
        Ok(Arc::new(NeedsId))
    }

    async fn load(&self, load: &ItemLoad, _: &CancellationToken) -> Result<Loaded, LoadError> {
        let rows = Mutex::new(Vec::new());
        let spec = VisitSpec {
            reader: Reader { store: self.engine.store().clone(), handle: self.engine.handle() },
            files: load.files.clone(),
            threads: 2,
            cancel: Arc::default(),
        };
        let seen = |shown: &Rows<'_>, _: RowPlace| -> Result<(), ()> {
            for row in 0..shown.len() {
                let (mut order, mut line) = (0, String::new());
                for column in shown.columns() {
                    match column.cells.get(row) {
                        Cell::Int(number) if column.name == ORDER => order = number,
                        Cell::Null => {}
                        cell => {
                            line.push_str(&format!("{}=", column.name));
                            cell.write_text(&mut line);
                            line.push(' ');
                        }
                    }
                }
                rows.lock().unwrap().push((order, id_of(shown, row).unwrap(), line.trim_end().to_owned()));
            }
            Ok(())
        };
        tokio::task::block_in_place(|| visit_parquet(&spec, || Each(seen)))
            .map_err(|error| LoadError::Input(error.to_string()))?;
        let mut rows = rows.into_inner().unwrap();
        rows.sort();
        let mut items = self.items.lock().unwrap();
        let before: Vec<String> = items.keys().cloned().collect();
        let mut loaded = Loaded { rows: rows.len() as u64, ..Loaded::default() };
        let mut new = BTreeMap::new();
        rows.into_iter().for_each(|(_, id, line)| drop(new.insert(id, line)));
        loaded.duplicates = loaded.rows - new.len() as u64;
        loaded.replaced = new.keys().filter(|id| before.contains(id)).count() as u64;
        loaded.created = new.len() as u64 - loaded.replaced;
        items.extend(new);
        match self.faults.lock().unwrap().pop() {
            Some(fault) => Err(fault),
            None => Ok(loaded),
        }
    }
}

async fn pond() -> (Pond, Arc<Memory>) {
    let pond = Pond::new().await;
    let key = vec![("id".to_owned(), "S")];
    let memory = Arc::new(Memory { engine: pond.engine.clone(), key, items: Mutex::default(), faults: Mutex::default() });
    pond.glue.loaders.install(memory.clone());
    (pond, memory)
}

/// Asks for a run of the job `j` from `raw.TABLE` into the table `company`.
async fn start(pond: &Pond, table: &str, more: &[(&str, &str)]) -> String {
    if pond.glue.job("j".into()).await.is_err() {
        let base = [("source-database", "raw"), ("source-table", table), ("target-table", "dynamodb:company")];
        let arguments: Arguments =
            base.iter().chain(more).map(|(key, value)| (format!("--{key}"), (*value).to_owned())).collect();
        let spec = json!({"Role": "r", "Command": {"Name": "millpond"}, "DefaultArguments": arguments});
        let spec: JobSpec = serde_json::from_value(spec).unwrap();
        pond.glue.create_job("j".into(), spec, Default::default()).await.unwrap();
    }
    pond.glue.start_job_run("j".into(), StartRun::default()).await.unwrap()
}

async fn ended(pond: &Pond, id: &str) -> JobRun {
    pond.glue.job_run("j".into(), id.to_owned()).await.unwrap()
}

async fn run(pond: &Pond, more: &[(&str, &str)]) -> JobRun {
    let id = start(pond, "company", more).await;
    pond.work().await;
    ended(pond, &id).await
}

fn items(memory: &Memory) -> Vec<String> {
    memory.items.lock().unwrap().values().cloned().collect()
}

async fn staged_rows(pond: &Pond) -> i64 {
    let count = |connection: &rusqlite::Connection| connection.query_row("SELECT count(*) FROM job_items", [], |row| row.get(0));
    pond.lake.store.read(move |connection| Ok::<i64, millpond_store::StoreError>(count(connection)?)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_become_items_once_and_the_last_of_a_key_wins() {
    let (pond, memory) = pond().await;
    pond.put(&[("s3://raw/company/a.csv", b"id,name,size\n1,one,10\n2,two,20\n,none,30\n1,uno,11\n")]).await;
    pond.crawl("s3://raw/company/", json!({})).await;
    let done = run(&pond, &[]).await;
    assert_eq!(done.state, RunState::Succeeded, "{:?}", done.message);
    assert_eq!(items(&memory), ["id=1 name=uno size=11", "id=2 name=two size=20"]);
    let stats = &done.stats;
    assert_eq!((stats.rows_in, stats.rows_out, stats.duplicates, stats.rows_quarantined), (4, 2, 1, 1));
    assert_eq!(stats.target, "dynamodb:company");
    let message = done.message.unwrap();
    assert!(message.contains("1 of 4 rows were duplicates") && message.contains("raw.company_quarantine"), "{message}");
    let quarantined = pond.sql("select source_file, line, \"column\", reason from raw.company_quarantine").await;
    assert_eq!(quarantined, ["s3://raw/company/a.csv|4|id|is missing"]);

    // Nothing new; then a file that changes one.
    let again = run(&pond, &[]).await;
    assert_eq!((again.state, again.stats.files, again.message), (RunState::Succeeded, 0, None));
    pond.put(&[("s3://raw/company/b.csv", b"id,name,size\n2,deux,21\n3,three,30\n")]).await;
    let done = run(&pond, &[]).await;
    assert_eq!((done.stats.rows_out, done.stats.items_replaced, done.stats.duplicates), (2, 1, 0));
    assert_eq!(items(&memory), ["id=1 name=uno size=11", "id=2 name=deux size=21", "id=3 name=three size=30"]);
    assert_eq!(staged_rows(&pond).await, 0);
    let told = pond.events("Glue Job State Change").await;
    assert_eq!(told[0]["millpond"]["duplicates"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_are_items_once_whatever_file_they_come_in() {
    let (pond, memory) = pond().await;
    pond.put(&[("s3://raw/company/a.csv", b"name,size\none,007\ntwo,x\none,007\n")]).await;
    pond.crawl("s3://raw/company/", json!({})).await;
    let more = [("ingestion-timestamp", "true"), ("source-file", "true")];
    let done = run(&pond, &more).await;
    assert_eq!((done.stats.rows_in, done.stats.rows_out, done.stats.duplicates), (3, 2, 1), "{:?}", done.message);
    pond.put(&[("s3://raw/company/b.csv", b"name,size\ntwo,x\nthree,3\n")]).await;
    let done = run(&pond, &more).await;
    assert_eq!((done.stats.rows_in, done.stats.rows_out, done.stats.duplicates), (2, 1, 1));
    let items = items(&memory);
    assert_eq!(items.len(), 3);
    assert!(items.iter().all(|item| item.contains("ingestion_timestamp=20") && item.contains("source_file=s3://raw/company/")));
    assert!(items.iter().any(|item| item.contains("size=007")), "{items:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_was_cut_off_is_done_again_with_the_same_rows() {
    let (pond, memory) = pond().await;
    pond.put(&[("s3://raw/company/a.csv", b"id,name,size\n1,one,10\n2,two,20\n")]).await;
    pond.crawl("s3://raw/company/", json!({})).await;
    memory.faults.lock().unwrap().push(LoadError::Retry("the disk is slow".into()));
    let id = start(&pond, "company", &[("ingestion-timestamp", "true")]).await;
    let handler = JobRunHandler { glue: pond.glue.clone(), engine: pond.engine.clone(), limits: pond.limits };
    let task = pond.lake.store.write(|tx| tx.lease_tasks(RUN, 1)).await.unwrap().remove(0);
    handler.run(&pond.lake, &task).await.unwrap_err();
    assert_eq!((staged_rows(&pond).await, ended(&pond, &id).await.state), (1, RunState::Running));
    let before = items(&memory);
    // What comes or changes meanwhile is another run's.
    pond.put(&[("s3://raw/company/a.csv", b"id,name,size\n9,nine,90\n"), ("s3://raw/company/b.csv", b"id,name,size\n3,x,1\n")])
        .await;
    pond.lake.store.collect(Some(0)).await.unwrap();
    handler.run(&pond.lake, &task).await.unwrap();
    let done = ended(&pond, &id).await;
    assert_eq!((done.state, staged_rows(&pond).await), (RunState::Succeeded, 0));
    assert_eq!(items(&memory), before);
    // All rows are new, though the second try found them there.
    assert_eq!((done.stats.rows_in, done.stats.rows_out, done.stats.items_replaced), (2, 2, 0), "{:?}", done.message);
    let done = run(&pond, &[]).await;
    assert_eq!((done.stats.files, done.stats.rows_out), (2, 2));
    assert_eq!(memory.items.lock().unwrap().keys().cloned().collect::<Vec<_>>(), ["1", "2", "3", "9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_for_good_ends_the_run_and_moves_nothing() {
    let (pond, memory) = pond().await;
    pond.put(&[("s3://raw/company/a.csv", b"id,name,size\n1,one,10\n,two,20\n")]).await;
    pond.crawl("s3://raw/company/", json!({})).await;
    memory.faults.lock().unwrap().push(LoadError::Input("the table was deleted".into()));
    let done = run(&pond, &[]).await;
    assert_eq!((done.state, done.message.as_deref()), (RunState::Failed, Some("the table was deleted")));
    assert_eq!(staged_rows(&pond).await, 0);
    assert!(pond.table("raw", "company_quarantine").await.is_none());
    let done = run(&pond, &[]).await;
    assert_eq!((done.state, done.stats.rows_in), (RunState::Succeeded, 2));
    assert!(pond.table("raw", "company_quarantine").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_missing_or_has_another_key_is_told() {
    for (more, say) in [
        (
            ("target-table", "dynamodb:elsewhere"),
            "Table 'elsewhere' of items does not exist: create it (CreateTable) with the key id (S).",
        ),
        (("key", "pk,sk"), "has the key id (S), and the key is said to be pk, sk"),
    ] {
        let (pond, memory) = pond().await;
        pond.put(&[("s3://raw/company/a.csv", b"id,name,size\n1,one,10\n")]).await;
        pond.crawl("s3://raw/company/", json!({})).await;
        let done = run(&pond, &[more]).await;
        assert_eq!(done.state, RunState::Failed);
        let message = done.message.unwrap();
        assert!(message.contains(say), "{message}");
        assert!(items(&memory).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_of_the_job_makes_the_rows_and_typed_columns_stay_typed() {
    let (pond, memory) = pond().await;
    pond.put(&[("s3://raw/company/a.csv", b"id,name,size\n1,one,10\n2,two,20\n3,three,bad\n")]).await;
    pond.crawl("s3://raw/company/", json!({})).await;
    let done =
        run(&pond, &[("types", "typed"), ("sql", "select id, upper(name) as name, 2 * id as twice from input where id < 3")])
            .await;
    assert_eq!(done.state, RunState::Succeeded, "{:?}", done.message);
    assert_eq!(items(&memory), ["id=1 name=ONE twice=2", "id=2 name=TWO twice=4"]);
}
