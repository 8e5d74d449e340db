//! Trino's dialect and functions by example: every `tests/slt/**/*.slt` (format of sqllogictest), run by the engine, compared as text with what
//! `GetQueryResults` would give: `NULL`, `(empty)`, arrays, maps, rows, doubles and times in Athena's form.
//!
//! The expected values are taken from Trino's documentation of functions and of its SQL language. What does not hold yet is listed in
//! `tests/slt/known_failures.txt`, and must go on failing: a check that begins to pass is taken off that list
//! (`MILLPOND_UPDATE=1 cargo test -p millpond-engine --test slt`), so that it cannot be lost again. `MILLPOND_SLT=json` runs the files with
//! that in their names; `MILLPOND_SLT_REPORT=file` writes why checks fail.

use async_trait::async_trait;
use millpond_core::catalog::{Database, Table};
use millpond_engine::iceberg::Look;
use millpond_engine::query::{Engine, EngineConfig, QueryError, QueryRequest};
use millpond_engine::result::csv::write_csv;
use millpond_engine::result::page::read_page;
use millpond_engine::table::{FileGroup, ScanRequest, SourceError, TableSource};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path as Location;
use sqllogictest::{DBOutput, DefaultColumnType, Record, Runner};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A statement that takes longer hangs.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A lake with one database without tables.
#[derive(Debug)]
struct Empty;

#[async_trait]
impl TableSource for Empty {
    async fn table(&self, _: &str, _: &str) -> Result<Option<Table>, SourceError> {
        Ok(None)
    }

    async fn databases(&self) -> Result<Vec<Database>, SourceError> {
        Ok(vec![Database { name: "default".into(), ..Database::default() }])
    }

    async fn table_names(&self, database: &str) -> Result<Option<Vec<String>>, SourceError> {
        Ok((database == "default").then(Vec::new))
    }

    async fn scan(&self, _: &Table, _: &ScanRequest) -> Result<Vec<FileGroup>, SourceError> {
        Ok(Vec::new())
    }

    async fn look(&self, _: Look) -> Result<(), SourceError> {
        Err(SourceError::metastore("there are no objects here"))
    }

    async fn partitions(&self, _: &Table, _: &ScanRequest) -> Result<Vec<Vec<String>>, SourceError> {
        Ok(Vec::new())
    }
}

struct Athena {
    engine: Engine,
    store: Arc<InMemory>,
}

impl Athena {
    fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let config = EngineConfig { memory_bytes: 256 << 20, threads: 2, ..EngineConfig::default() };
        Self { engine: Engine::new(config, Arc::clone(&store) as Arc<dyn ObjectStore>), store }
    }

    /// The rows by the way that results go: the written CSV, read back in a page.
    async fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>, QueryError> {
        let request = QueryRequest::new(sql, Arc::new(Empty) as Arc<dyn TableSource>).in_database("default");
        let mut stream = self.engine.query(request).await?;
        let location = Location::from("result.csv");
        write_csv(&mut stream, Arc::clone(&self.store) as Arc<dyn ObjectStore>, &location).await?;
        let page = read_page(self.store.as_ref(), &location, 0, usize::MAX).await?;
        let shown = |value: Option<String>| match value {
            None => "NULL".to_owned(),
            Some(text) if text.is_empty() => "(empty)".to_owned(),
            Some(text) => text,
        };
        Ok(page.rows.into_iter().skip(1).map(|row| row.into_iter().map(shown).collect()).collect())
    }
}

#[async_trait]
impl sqllogictest::AsyncDB for Athena {
    type Error = QueryError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, QueryError> {
        let rows = tokio::time::timeout(STATEMENT_TIMEOUT, self.rows(sql)).await;
        let rows = rows.unwrap_or_else(|_| Err(QueryError::Internal("the statement hangs".into())))?;
        let columns = rows.first().map_or(1, Vec::len);
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Text; columns], rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "millpond"
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt")
}

/// All `.slt` files, by path.
fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            out.push(path);
        }
    }
}

/// What came of the checks of one file.
#[derive(Default)]
struct Outcome {
    passed: BTreeSet<String>,
    /// `file: statement`, and why.
    failed: Vec<(String, String)>,
}

fn statement(record: &Record<DefaultColumnType>) -> Option<&str> {
    match record {
        Record::Statement { sql, .. } | Record::Query { sql, .. } => Some(sql),
        _ => None,
    }
}

async fn run_file(path: &Path) -> Outcome {
    let name = path.strip_prefix(root()).expect("the file is below the root").display().to_string();
    let records = sqllogictest::parse_file::<DefaultColumnType>(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut runner = Runner::new(|| async { Ok(Athena::new()) });
    let mut outcome = Outcome::default();
    for record in records {
        let Some(sql) = statement(&record) else { continue };
        let key = format!("{name}: {}", sql.split_whitespace().collect::<Vec<_>>().join(" "));
        match runner.run_async(record).await {
            Ok(_) => {
                outcome.passed.insert(key);
            }
            Err(error) => outcome.failed.push((key, error.display(false).to_string())),
        }
    }
    outcome
}

#[test]
fn statements_give_what_trino_documents() {
    let mut paths = Vec::new();
    files(&root(), &mut paths);
    let only = std::env::var("MILLPOND_SLT").ok();
    if let Some(only) = &only {
        paths.retain(|path| path.to_string_lossy().contains(only.as_str()));
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads can be started");
    let outcomes: Vec<Outcome> = runtime.block_on(async {
        let running: Vec<_> = paths.into_iter().map(|path| tokio::spawn(async move { run_file(&path).await })).collect();
        futures::future::join_all(running).await.into_iter().map(|file| file.expect("a file's checks do not panic")).collect()
    });
    let mut report = String::new();
    let (mut passed, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for outcome in outcomes {
        for (key, why) in outcome.failed {
            writeln!(report, "{key}\n{}\n", why.trim()).expect("writing to a String does not fail");
            failed.insert(key);
        }
        passed.extend(outcome.passed);
    }
    if let Ok(path) = std::env::var("MILLPOND_SLT_REPORT") {
        std::fs::write(path, &report).expect("the report can be written");
    }
    let list = root().join("known_failures.txt");
    if std::env::var_os("MILLPOND_UPDATE").is_some() && only.is_none() {
        let lines: String = failed.iter().map(|key| format!("{key}\n")).collect();
        std::fs::write(&list, lines).expect("the list can be written");
        return;
    }
    let known = std::fs::read_to_string(&list).expect("the list can be read");
    let known: BTreeSet<String> = known.lines().map(str::to_owned).collect();
    let lost: Vec<&String> = failed.difference(&known).collect();
    let won: Vec<&String> = known.intersection(&passed).filter(|key| !failed.contains(*key)).collect();
    assert!(lost.is_empty(), "{} checks fail that passed before: {lost:#?}\n{report}", lost.len());
    assert!(won.is_empty(), "{} checks pass now; take them off known_failures.txt with MILLPOND_UPDATE=1: {won:#?}", won.len());
    if only.is_none() {
        let gone: Vec<&String> = known.iter().filter(|key| !failed.contains(*key)).collect();
        assert!(gone.is_empty(), "known_failures.txt names checks that are not there: {gone:#?}");
    }
}
