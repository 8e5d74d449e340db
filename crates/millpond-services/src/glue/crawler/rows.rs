//! The rows of crawlers and of their crawls. All SQL about them is here.

use super::spec::CrawlerSpec;
use millpond_core::env::EnvExt;
use millpond_store::{Component, StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

/// The tables of this module.
pub const COMPONENT: Component = Component { name: "crawlers", migrations: &[include_str!("schema.sql")] };

/// Crawls kept of one crawler.
pub const CRAWLS_KEPT: i64 = 1_000;

/// The oldest are removed with every so many new ones.
const PRUNE_EVERY: i64 = 16;

/// What a crawler is doing. Glue's `CrawlerState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrawlerState {
    /// Nothing.
    Ready,
    /// A crawl waits for its worker or is under way.
    Running,
    /// The crawl under way was told to stop.
    Stopping,
}

impl CrawlerState {
    /// As Glue writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
        }
    }

    fn code(self) -> i64 {
        match self {
            Self::Ready => 0,
            Self::Running => 1,
            Self::Stopping => 2,
        }
    }

    fn of(code: i64) -> Self {
        match code {
            0 => Self::Ready,
            1 => Self::Running,
            _ => Self::Stopping,
        }
    }
}

/// A crawler.
#[derive(Debug, Clone, PartialEq)]
pub struct Crawler {
    /// Unique, with case.
    pub name: String,
    /// Its definition.
    pub spec: CrawlerSpec,
    /// What it is doing.
    pub state: CrawlerState,
    /// The lake's seq up to which it has seen everything.
    pub bookmark: i64,
    /// Whether its schedule is on.
    pub scheduled: bool,
    /// Counts up from 1 with each update.
    pub version: i64,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    pub updated_ms: i64,
}

/// How a crawl ended, or that it has not. Glue's `CrawlerHistoryState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CrawlState {
    Running,
    Completed,
    Failed,
    Stopped,
}

impl CrawlState {
    /// As Glue writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
        }
    }

    fn of(text: &str) -> Self {
        match text {
            "RUNNING" => Self::Running,
            "COMPLETED" => Self::Completed,
            "STOPPED" => Self::Stopped,
            _ => Self::Failed,
        }
    }
}

/// What a crawl did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CrawlSummary {
    /// Names of new tables.
    pub tables_created: Vec<String>,
    /// Names of changed tables.
    pub tables_updated: Vec<String>,
    /// Names of removed (or deprecated) tables.
    pub tables_deleted: Vec<String>,
    /// New partitions.
    pub partitions_created: u64,
    /// Changed partitions.
    pub partitions_updated: u64,
    /// Removed (or deprecated) partitions.
    pub partitions_deleted: u64,
    /// Objects looked at.
    pub objects: u64,
    /// Objects that are in no table because they could not be understood.
    pub unclassified: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A crawl.
#[derive(Debug, Clone, PartialEq)]
pub struct Crawl {
    /// In the order of starts.
    pub seq: i64,
    /// A UUID.
    pub id: String,
    /// Whose.
    pub crawler: String,
    /// How it ended.
    pub state: CrawlState,
    /// Milliseconds since the epoch.
    pub started_ms: i64,
    /// Milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// What it did.
    pub summary: CrawlSummary,
    /// Why it failed; of one that succeeded: what it could not take in.
    pub error: Option<String>,
    /// Lines for people.
    pub log: String,
}

const CRAWLER: &str = "name, spec, state, bookmark, scheduled, version, created_ms, updated_ms";

fn crawler_row(row: &Row<'_>) -> rusqlite::Result<(Crawler, String)> {
    let crawler = Crawler {
        name: row.get(0)?,
        spec: CrawlerSpec::default(),
        state: CrawlerState::of(row.get(2)?),
        bookmark: row.get(3)?,
        scheduled: row.get(4)?,
        version: row.get(5)?,
        created_ms: row.get(6)?,
        updated_ms: row.get(7)?,
    };
    Ok((crawler, row.get(1)?))
}

fn with_spec((crawler, spec): (Crawler, String)) -> Result<Crawler, StoreError> {
    Ok(Crawler { spec: serde_json::from_str(&spec)?, ..crawler })
}

/// The crawler of this name.
pub fn crawler(connection: &Connection, name: &str) -> Result<Option<Crawler>, StoreError> {
    let select = format!("SELECT {CRAWLER} FROM crawler WHERE name = ?");
    connection.prepare_cached(&select)?.query_row([name], crawler_row).optional()?.map(with_spec).transpose()
}

/// Crawlers by name, from the first after `after` on.
pub fn crawlers(connection: &Connection, after: &str, limit: usize) -> Result<Vec<Crawler>, StoreError> {
    let select = format!("SELECT {CRAWLER} FROM crawler WHERE name > ? ORDER BY name LIMIT ?");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map(params![after, limit as i64], crawler_row)?;
    rows.map(|row| with_spec(row?)).collect()
}

/// The names of the first `limit` crawlers after `after` that `wanted` holds for.
pub fn crawler_names(
    connection: &Connection,
    after: &str,
    limit: usize,
    wanted: impl Fn(&str) -> Result<bool, StoreError>,
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name FROM crawler WHERE name > ? ORDER BY name")?;
    let mut rows = statement.query([after])?;
    let mut names = Vec::new();
    while let Some(row) = rows.next()?.filter(|_| names.len() < limit) {
        let name: String = row.get(0)?;
        if wanted(&name)? {
            names.push(name);
        }
    }
    Ok(names)
}

/// Adds a crawler; `false` where the name is taken.
pub fn insert(tx: &Tx<'_>, name: &str, spec: &CrawlerSpec, scheduled: bool) -> Result<bool, StoreError> {
    let insert =
        "INSERT INTO crawler (name, spec, scheduled, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT DO NOTHING";
    Ok(tx.prepare_cached(insert)?.execute(params![name, serde_json::to_string(spec)?, scheduled, tx.now_ms()])? > 0)
}

/// Replaces a crawler's definition. Where its targets are others, it has seen nothing of them yet.
pub fn update(tx: &Tx<'_>, name: &str, spec: &CrawlerSpec, scheduled: bool, targets_changed: bool) -> Result<(), StoreError> {
    let update = "UPDATE crawler SET spec = ?2, scheduled = ?3, version = version + 1, updated_ms = ?4,
                  bookmark = CASE WHEN ?5 THEN 0 ELSE bookmark END WHERE name = ?1";
    let values = params![name, serde_json::to_string(spec)?, scheduled, tx.now_ms(), targets_changed];
    tx.prepare_cached(update)?.execute(values)?;
    Ok(())
}

/// Removes a crawler and its history.
pub fn delete(tx: &Tx<'_>, name: &str) -> Result<bool, StoreError> {
    tx.prepare_cached("DELETE FROM crawl WHERE crawler = ?")?.execute([name])?;
    Ok(tx.prepare_cached("DELETE FROM crawler WHERE name = ?")?.execute([name])? > 0)
}

/// Sets what a crawler is doing.
pub fn set_state(tx: &Tx<'_>, name: &str, state: CrawlerState) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE crawler SET state = ? WHERE name = ?")?.execute(params![state.code(), name])?;
    Ok(())
}

/// Moves the bookmark. It never goes back.
pub fn set_bookmark(tx: &Tx<'_>, name: &str, seq: i64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE crawler SET bookmark = max(bookmark, ?) WHERE name = ?")?.execute(params![seq, name])?;
    Ok(())
}

/// Adds a crawl that starts now; removes the oldest beyond those that are kept.
pub fn start_crawl(tx: &Tx<'_>, crawler: &str) -> Result<Crawl, StoreError> {
    let id = tx.env().uuid();
    let summary = CrawlSummary::default();
    let insert = "INSERT INTO crawl (id, crawler, state, started_ms, summary) VALUES (?, ?, 'RUNNING', ?, ?)";
    tx.prepare_cached(insert)?.execute(params![id, crawler, tx.now_ms(), serde_json::to_string(&summary)?])?;
    let seq = tx.last_insert_rowid();
    if seq % PRUNE_EVERY == 0 {
        let prune = "DELETE FROM crawl WHERE crawler = ?1
                     AND seq <= (SELECT seq FROM crawl WHERE crawler = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
        tx.prepare_cached(prune)?.execute(params![crawler, CRAWLS_KEPT])?;
    }
    Ok(Crawl {
        seq,
        id,
        crawler: crawler.to_owned(),
        state: CrawlState::Running,
        started_ms: tx.now_ms(),
        ended_ms: None,
        summary,
        error: None,
        log: String::new(),
    })
}

/// Records how a crawl ended.
pub fn end_crawl(
    tx: &Tx<'_>,
    seq: i64,
    state: CrawlState,
    summary: &CrawlSummary,
    error: Option<&str>,
    log: &str,
) -> Result<(), StoreError> {
    let update = "UPDATE crawl SET state = ?2, ended_ms = ?3, summary = ?4, error = ?5, log = ?6 WHERE seq = ?1";
    let values = params![seq, state.as_str(), tx.now_ms(), serde_json::to_string(summary)?, error, log];
    tx.prepare_cached(update)?.execute(values)?;
    Ok(())
}

const CRAWL: &str = "seq, id, crawler, state, started_ms, ended_ms, summary, error, log";

fn crawl_row(row: &Row<'_>) -> rusqlite::Result<(Crawl, String)> {
    let crawl = Crawl {
        seq: row.get(0)?,
        id: row.get(1)?,
        crawler: row.get(2)?,
        state: CrawlState::of(&row.get::<_, String>(3)?),
        started_ms: row.get(4)?,
        ended_ms: row.get(5)?,
        summary: CrawlSummary::default(),
        error: row.get(7)?,
        log: row.get(8)?,
    };
    Ok((crawl, row.get(6)?))
}

fn with_summary((crawl, summary): (Crawl, String)) -> Result<Crawl, StoreError> {
    Ok(Crawl { summary: serde_json::from_str(&summary)?, ..crawl })
}

/// The crawl of this id.
pub fn crawl(connection: &Connection, id: &str) -> Result<Option<Crawl>, StoreError> {
    let select = format!("SELECT {CRAWL} FROM crawl WHERE id = ?");
    connection.prepare_cached(&select)?.query_row([id], crawl_row).optional()?.map(with_summary).transpose()
}

/// The crawl of a crawler that has not ended.
pub fn running_crawl(connection: &Connection, crawler: &str) -> Result<Option<Crawl>, StoreError> {
    let select = format!("SELECT {CRAWL} FROM crawl WHERE crawler = ? AND state = 'RUNNING' ORDER BY seq DESC LIMIT 1");
    connection.prepare_cached(&select)?.query_row([crawler], crawl_row).optional()?.map(with_summary).transpose()
}

/// The last crawl of a crawler that ended.
pub fn last_crawl(connection: &Connection, crawler: &str) -> Result<Option<Crawl>, StoreError> {
    let select = format!("SELECT {CRAWL} FROM crawl WHERE crawler = ? AND state <> 'RUNNING' ORDER BY seq DESC LIMIT 1");
    connection.prepare_cached(&select)?.query_row([crawler], crawl_row).optional()?.map(with_summary).transpose()
}

/// Crawls of one crawler (or of all), the latest first, those before `before_seq`.
pub fn crawls(connection: &Connection, crawler: Option<&str>, before_seq: i64, limit: usize) -> Result<Vec<Crawl>, StoreError> {
    let only = if crawler.is_some() { "crawler = ?1 AND" } else { "?1 IS NULL AND" };
    let select = format!("SELECT {CRAWL} FROM crawl WHERE {only} seq < ?2 ORDER BY seq DESC LIMIT ?3");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map(params![crawler, before_seq, limit as i64], crawl_row)?;
    rows.map(|row| with_summary(row?)).collect()
}
