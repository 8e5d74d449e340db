//! Crawlers: what they are told, when they run, and what they did.
//!
//! A *crawler* is a definition; a *crawl* is one run of it. A crawl is the task [`CRAWL`], keyed by the crawler's name, so that the deliveries of
//! ten thousand events become few crawls, and no two crawls of one crawler overlap. [`crawl`] does it.

mod crawl;
mod events;
pub mod history;
mod logging;
pub mod page;
pub mod rows;
pub mod spec;

pub use crawl::CrawlHandler;
pub(crate) use crawl::grouping::values as grouping_values;
pub use page::Page;
pub use rows::{COMPONENT, Crawl, CrawlState, CrawlSummary, Crawler, CrawlerState};
pub use spec::CrawlerSpec;

use super::tags::{self, Tags};
use super::{Glue, GlueError, schedule};
use crate::lake::Lake;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_core::arn::Place;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use serde_json::{Map, Value, json};

/// Tasks that crawl; the key is the crawler's name.
pub const CRAWL: &str = "glue.crawl";

/// Tasks that start a crawl by its schedule; the key is the crawler's name.
pub const SCHEDULE: &str = "glue.crawl-schedule";

/// The log group that crawls name.
pub const LOG_GROUP: &str = events::LOG_GROUP;

/// A crawler with what its crawls say.
#[derive(Debug, Clone, PartialEq)]
pub struct CrawlerStatus {
    /// The crawler.
    pub crawler: Crawler,
    /// The crawl under way.
    pub running: Option<Crawl>,
    /// The last crawl that ended.
    pub last: Option<Crawl>,
    /// How long the crawl under way has taken, in milliseconds; 0 where there is none.
    pub elapsed_ms: i64,
}

/// How long a crawler's crawls take, and what they did: `GetCrawlerMetrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct CrawlerMetrics {
    /// Whose.
    pub crawler: String,
    /// Whether a crawl is under way of which no former one tells the length.
    pub still_estimating: bool,
    /// Seconds that the crawl under way will still take, by the median.
    pub time_left_seconds: f64,
    /// Seconds.
    pub last_runtime_seconds: f64,
    /// Seconds.
    pub median_runtime_seconds: f64,
    /// What all crawls that are kept did together.
    pub tables_created: usize,
    /// Likewise.
    pub tables_updated: usize,
    /// Likewise.
    pub tables_deleted: usize,
}

fn missing(name: &str) -> GlueError {
    GlueError::EntityNotFound(format!("Crawler entry with name {name} does not exist"))
}

fn found(tx: &rusqlite::Connection, name: &str) -> Result<Crawler, GlueError> {
    rows::crawler(tx, name)?.ok_or_else(|| missing(name))
}

fn check_name(name: &str) -> Result<(), GlueError> {
    let sound = !name.trim().is_empty() && name.chars().count() <= 255 && !name.chars().any(char::is_control);
    let wrong = || {
        GlueError::InvalidInput(format!("Crawler name '{name}' must have 1 to 255 characters, none of them a control character."))
    };
    sound.then_some(()).ok_or_else(wrong)
}

/// The least and the most that a crawl waits which follows another, in milliseconds.
const PACE_MS: std::ops::RangeInclusive<i64> = 200..=1_000;

/// Asks for a crawl, in the caller's transaction: what a rule whose target is a crawler does. While a crawl waits to begin this adds nothing. While one
/// is under way, another follows it, but not at once: in a burst of files, waiting a moment makes few crawls (and few runs of the jobs behind them)
/// of many. A file that comes alone finds the crawler ready, and never waits.
///
/// # Errors
/// `EntityNotFound` where there is no such crawler.
pub fn deliver_to_crawler(tx: &Tx<'_>, name: &str) -> Result<(), GlueError> {
    let task = crawl_task(name);
    if found(tx, name)?.state != CrawlerState::Ready {
        let last = rows::last_crawl(tx, name)?.map_or(0, |crawl| crawl.summary.objects);
        let pace_ms = i64::try_from(last).unwrap_or(i64::MAX).clamp(*PACE_MS.start(), *PACE_MS.end());
        tx.enqueue(&task.at(tx.now_ms() + pace_ms))?;
    } else if !millpond_store::task::is_pending(tx, CRAWL, name)? {
        // (One that was leased but has not begun sees everything that was committed before it begins.)
        tx.enqueue(&task)?;
    }
    Ok(())
}

/// Starts a crawl of a crawler that is ready.
///
/// # Errors
/// `EntityNotFound` where there is no such crawler, `CrawlerRunning` where it is not ready.
pub(super) fn start(tx: &Tx<'_>, place: &Place, name: &str) -> Result<Crawl, GlueError> {
    match found(tx, name)?.state {
        CrawlerState::Ready => {}
        CrawlerState::Running => {
            return Err(GlueError::CrawlerRunning(format!("Crawler with name {name} has already started")));
        }
        CrawlerState::Stopping => {
            let text = format!("Crawler with name {name} is stopping; wait until it is READY");
            return Err(GlueError::CrawlerRunning(text));
        }
    }
    tx.enqueue(&crawl_task(name))?;
    rows::set_state(tx, name, CrawlerState::Running)?;
    let crawl = rows::start_crawl(tx, name)?;
    events::started(tx, place, &crawl)?;
    Ok(crawl)
}

fn crawl_task(name: &str) -> NewTask {
    NewTask::new(CRAWL, json!({ "crawler": name })).keyed(name)
}

/// Puts the task of a schedule's next time in place of the one that waits.
fn plan_schedule(tx: &Tx<'_>, name: &str, spec: &CrawlerSpec, scheduled: bool) -> Result<(), StoreError> {
    schedule::plan(tx, SCHEDULE, name, spec.schedule.as_deref().filter(|_| scheduled))
}

fn has_schedule(spec: &CrawlerSpec) -> bool {
    spec.schedule.as_deref().is_some_and(|text| !text.trim().is_empty())
}

fn status(connection: &rusqlite::Connection, crawler: Crawler, now_ms: i64) -> Result<CrawlerStatus, StoreError> {
    let running = match crawler.state {
        CrawlerState::Ready => None,
        _ => rows::running_crawl(connection, &crawler.name)?,
    };
    let last = rows::last_crawl(connection, &crawler.name)?;
    let elapsed_ms = running.as_ref().map_or(0, |crawl| (now_ms - crawl.started_ms).max(0));
    Ok(CrawlerStatus { crawler, running, last, elapsed_ms })
}

impl Glue {
    /// `CreateCrawler`.
    pub async fn create_crawler(&self, name: String, mut spec: CrawlerSpec, tags: Tags) -> Result<(), GlueError> {
        check_name(&name)?;
        spec.check()?;
        let arn = self.crawler_arn(&name);
        let made = self.lake.store.write(move |tx| {
            super::classifier::check_names(tx, &spec.classifiers)?;
            let scheduled = has_schedule(&spec);
            if !rows::insert(tx, &name, &spec, scheduled)? {
                return Err(GlueError::AlreadyExists(format!("Crawler already exists with name {name}")));
            }
            tags::set(tx, &arn, &tags)?;
            Ok(plan_schedule(tx, &name, &spec, scheduled)?)
        });
        made.await
    }

    /// `UpdateCrawler`: the members that `changes` has (in Glue's JSON form) replace those of the definition.
    pub async fn update_crawler(&self, name: String, changes: Map<String, Value>) -> Result<(), GlueError> {
        let updated = self.lake.store.write(move |tx| {
            let crawler = found(tx, &name)?;
            refuse_running(&crawler)?;
            let Value::Object(mut members) = serde_json::to_value(&crawler.spec).map_err(StoreError::from)? else {
                return Err(GlueError::Internal("a crawler's definition is no JSON object".into()));
            };
            members.extend(changes);
            let spec = serde_json::from_value::<CrawlerSpec>(Value::Object(members));
            let mut spec = spec.map_err(|error| GlueError::InvalidInput(error.to_string()))?;
            spec.check()?;
            super::classifier::check_names(tx, &spec.classifiers)?;
            let scheduled = has_schedule(&spec) && (crawler.scheduled || spec.schedule != crawler.spec.schedule);
            let targets_changed = spec.targets != crawler.spec.targets || spec.database_name != crawler.spec.database_name;
            rows::update(tx, &name, &spec, scheduled, targets_changed)?;
            Ok(plan_schedule(tx, &name, &spec, scheduled)?)
        });
        updated.await
    }

    /// `DeleteCrawler`. Its tables stay.
    pub async fn delete_crawler(&self, name: String) -> Result<(), GlueError> {
        let arn = self.crawler_arn(&name);
        let deleted = self.lake.store.write(move |tx| {
            refuse_running(&found(tx, &name)?)?;
            tags::forget(tx, &arn)?;
            tx.cancel_tasks(SCHEDULE, &name)?;
            tx.cancel_tasks(CRAWL, &name)?;
            rows::delete(tx, &name)?;
            Ok(())
        });
        deleted.await
    }

    /// `GetCrawler`.
    pub async fn crawler(&self, name: String) -> Result<CrawlerStatus, GlueError> {
        let now_ms = self.lake.store.env().now_ms();
        self.lake.store.read(move |connection| Ok(status(connection, found(connection, &name)?, now_ms)?)).await
    }

    /// `GetCrawlers`.
    pub async fn crawlers(&self, token: Option<String>, limit: usize) -> Result<Page<CrawlerStatus>, GlueError> {
        let now_ms = self.lake.store.env().now_ms();
        let after = page::after(token.as_deref())?;
        let listed = self.lake.store.read(move |connection| {
            let crawlers = rows::crawlers(connection, &after, limit + 1)?;
            let statuses =
                crawlers.into_iter().map(|crawler| status(connection, crawler, now_ms)).collect::<Result<Vec<_>, _>>()?;
            Ok(Page::of(statuses, limit, |status| status.crawler.name.clone()))
        });
        listed.await
    }

    /// `ListCrawlers`: the names of those that have all these tags.
    pub async fn crawler_names(&self, wanted: Tags, token: Option<String>, limit: usize) -> Result<Page<String>, GlueError> {
        let (after, place) = (page::after(token.as_deref())?, self.lake.place.clone());
        let listed = self.lake.store.read(move |connection| {
            let arn = |name: &str| place.arn("glue", format_args!("crawler/{name}")).to_string();
            let names =
                rows::crawler_names(connection, &after, limit + 1, |name| tags::has_all(connection, &arn(name), &wanted))?;
            Ok(Page::of(names, limit, Clone::clone))
        });
        listed.await
    }

    fn crawler_arn(&self, name: &str) -> String {
        self.lake.place.arn("glue", format_args!("crawler/{name}")).to_string()
    }

    /// `BatchGetCrawlers`: those that there are, and the names of those that there are not.
    pub async fn crawlers_by_name(&self, names: Vec<String>) -> Result<(Vec<CrawlerStatus>, Vec<String>), GlueError> {
        let now_ms = self.lake.store.env().now_ms();
        let looked = self.lake.store.read(move |connection| {
            let (mut there, mut not_there) = (Vec::new(), Vec::new());
            for name in names {
                match rows::crawler(connection, &name)? {
                    Some(crawler) => there.push(status(connection, crawler, now_ms)?),
                    None => not_there.push(name),
                }
            }
            Ok((there, not_there))
        });
        looked.await
    }

    /// `StartCrawler`.
    pub async fn start_crawler(&self, name: String) -> Result<(), GlueError> {
        let place = self.lake.place.clone();
        self.lake.store.write(move |tx| start(tx, &place, &name).map(|_| ())).await
    }

    /// `StopCrawler`: the crawl under way ends without having changed the catalog.
    pub async fn stop_crawler(&self, name: String) -> Result<(), GlueError> {
        let stop_name = name.clone();
        let told = self.lake.store.write(move |tx| match found(tx, &name)?.state {
            CrawlerState::Ready => Err(GlueError::CrawlerNotRunning(format!("Crawler with name {name} is not running"))),
            CrawlerState::Stopping => Err(GlueError::CrawlerStopping(format!("Crawler with name {name} is already stopping"))),
            CrawlerState::Running => Ok(rows::set_state(tx, &name, CrawlerState::Stopping)?),
        });
        told.await?;
        self.stops.stop(CRAWL, &stop_name);
        Ok(())
    }

    /// `StartCrawlerSchedule` (`on`) and `StopCrawlerSchedule`.
    pub async fn set_crawler_schedule(&self, name: String, on: bool) -> Result<(), GlueError> {
        let set = self.lake.store.write(move |tx| {
            let crawler = found(tx, &name)?;
            match (has_schedule(&crawler.spec), crawler.scheduled, on) {
                (false, _, _) => return Err(GlueError::NoSchedule(format!("There is no schedule on crawler {name}"))),
                (_, true, true) => {
                    return Err(GlueError::SchedulerRunning(format!("The schedule of crawler {name} is on already")));
                }
                (_, false, false) => {
                    return Err(GlueError::SchedulerNotRunning(format!("The schedule of crawler {name} is off already")));
                }
                _ => {}
            }
            rows::update(tx, &name, &crawler.spec, on, false)?;
            Ok(plan_schedule(tx, &name, &crawler.spec, on)?)
        });
        set.await
    }

    /// `UpdateCrawlerSchedule`: another schedule, which is on; an empty one takes it away.
    pub async fn update_crawler_schedule(&self, name: String, schedule: Option<String>) -> Result<(), GlueError> {
        let set = self.lake.store.write(move |tx| {
            let mut crawler = found(tx, &name)?;
            crawler.spec.schedule = schedule;
            crawler.spec.check()?;
            let on = has_schedule(&crawler.spec);
            rows::update(tx, &name, &crawler.spec, on, false)?;
            Ok(plan_schedule(tx, &name, &crawler.spec, on)?)
        });
        set.await
    }

    /// `ListCrawls`: the history of a crawler, the latest first.
    pub async fn crawls(
        &self,
        name: String,
        filters: Vec<history::Filter>,
        token: Option<String>,
        limit: usize,
    ) -> Result<Page<Crawl>, GlueError> {
        filters.iter().try_for_each(history::Filter::check)?;
        let before = page::before(token.as_deref())?;
        let listed = self.lake.store.read(move |connection| {
            found(connection, &name)?;
            // Of one crawler no more than this are kept.
            let mut crawls = rows::crawls(connection, Some(&name), before, rows::CRAWLS_KEPT as usize)?;
            crawls.retain(|crawl| filters.iter().all(|filter| filter.holds(crawl)));
            Ok(Page::of(crawls, limit, |crawl| crawl.seq.to_string()))
        });
        listed.await
    }

    /// `GetCrawlerMetrics` of one crawler.
    pub async fn crawler_metrics(&self, name: String) -> Result<CrawlerMetrics, GlueError> {
        let now_ms = self.lake.store.env().now_ms();
        let measured = self.lake.store.read(move |connection| {
            let status = status(connection, found(connection, &name)?, now_ms)?;
            let crawls = rows::crawls(connection, Some(&name), i64::MAX, 1_000)?;
            Ok(metrics(&status, &crawls))
        });
        measured.await
    }
}

fn refuse_running(crawler: &Crawler) -> Result<(), GlueError> {
    let busy =
        || GlueError::CrawlerRunning(format!("Crawler with name {} is running; stop it or wait until it is READY", crawler.name));
    (crawler.state == CrawlerState::Ready).then_some(()).ok_or_else(busy)
}

fn metrics(status: &CrawlerStatus, crawls: &[Crawl]) -> CrawlerMetrics {
    let seconds = |crawl: &Crawl| crawl.ended_ms.map(|ended| (ended - crawl.started_ms).max(0) as f64 / 1000.0);
    let mut lengths: Vec<f64> = crawls.iter().filter_map(seconds).collect();
    lengths.sort_by(f64::total_cmp);
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or(0.0);
    let running = status.running.is_some();
    let sum = |count: fn(&CrawlSummary) -> usize| crawls.iter().map(|crawl| count(&crawl.summary)).sum();
    CrawlerMetrics {
        crawler: status.crawler.name.clone(),
        still_estimating: running && lengths.is_empty(),
        time_left_seconds: if running { (median - status.elapsed_ms as f64 / 1000.0).max(0.0) } else { 0.0 },
        last_runtime_seconds: status.last.as_ref().and_then(seconds).unwrap_or(0.0),
        median_runtime_seconds: median,
        tables_created: sum(|summary| summary.tables_created.len()),
        tables_updated: sum(|summary| summary.tables_updated.len()),
        tables_deleted: sum(|summary| summary.tables_deleted.len()),
    }
}

/// Starts crawls by their schedules, and plans each next one.
#[derive(Debug)]
pub struct ScheduleHandler;

#[async_trait]
impl Handler for ScheduleHandler {
    fn kind(&self) -> &'static str {
        SCHEDULE
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let task = task.clone();
        let started = lake.store.write(move |tx| {
            let name = task.key.clone().unwrap_or_default();
            tx.finish_task(&task)?;
            let Some(crawler) = rows::crawler(tx, &name)? else { return Ok(()) };
            if crawler.scheduled {
                tx.enqueue(&crawl_task(&name))?;
                plan_schedule(tx, &name, &crawler.spec, true)?;
            }
            Ok::<_, StoreError>(())
        });
        Ok(started.await?)
    }
}
