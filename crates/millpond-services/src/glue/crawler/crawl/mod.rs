//! One crawl, from its task to its commit.
//!
//! 1. [`begin`]: the crawler is RUNNING, its crawl has a row, and `Started` is told (all that StartCrawler did already, where it asked).
//! 2. [`gather`] finds the objects page by page, as the lake was at one seq; [`inspect`] looks into them on the engine's threads; [`plan`] sorts them
//!    into tables that exist and new ones ([`grouping`]).
//! 3. [`commit`], one transaction: tables, partitions, the crawl's row and log, the bookmark, the event, the end of the task.
//!
//! Nothing but 3. changes the catalog. After a crash at any point the task is taken up again and begins at 1.

mod commit;
mod gather;
mod gone;
pub(crate) mod grouping;
mod inspect;
mod naming;
mod plan;
mod schema;
mod tables;
#[cfg(test)]
mod tests;

use super::rows::{self, Crawl, CrawlState, CrawlSummary, Crawler, CrawlerState};
use super::{CRAWL, events, logging};
use crate::glue::{Glue, GlueError, classifier};
use crate::lake::{Lake, catalog};
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use gather::{Gather, GatherError};
use inspect::InspectError;
use millpond_engine::query::Engine;
use millpond_store::StoreError;
use millpond_store::task::Task;
use plan::{Known, Planner};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Crawls of different crawlers at the same time.
const CONCURRENCY: usize = 2;

/// Does the tasks [`CRAWL`].
#[derive(Debug)]
pub struct CrawlHandler {
    /// The service.
    pub glue: Glue,
    /// Looks into objects.
    pub engine: Arc<Engine>,
}

/// How a crawl ends other than well.
#[derive(Debug)]
enum CrawlError {
    /// It was told to stop.
    Stopped,
    /// The definition does not fit the lake: for people. The crawl has failed.
    Wrong(String),
    /// Another try may help.
    Transient(String),
}

impl From<StoreError> for CrawlError {
    fn from(error: StoreError) -> Self {
        Self::Transient(error.to_string())
    }
}

impl From<GlueError> for CrawlError {
    fn from(error: GlueError) -> Self {
        match error {
            GlueError::Store(error) => error.into(),
            GlueError::ConcurrentModification(text) => Self::Transient(text),
            other => Self::Wrong(other.to_string()),
        }
    }
}

impl From<catalog::CatalogError> for CrawlError {
    fn from(error: catalog::CatalogError) -> Self {
        GlueError::from(error).into()
    }
}

impl From<GatherError> for CrawlError {
    fn from(error: GatherError) -> Self {
        match error {
            GatherError::Wrong(text) => Self::Wrong(text),
            GatherError::Store(error) => error.into(),
        }
    }
}

impl From<InspectError> for CrawlError {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::Stopped => Self::Stopped,
            other => Self::Transient(other.to_string()),
        }
    }
}

#[async_trait]
impl Handler for CrawlHandler {
    fn kind(&self) -> &'static str {
        CRAWL
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    /// Files of others are decoded. Many: a server that is killed often for other reasons goes on with what it does.
    fn deaths_max(&self) -> Option<u32> {
        Some(10)
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let name = task.key.clone().ok_or_else(|| Failure::lasting("a crawl's task has no key"))?;
        let registered = self.glue.stops.register(CRAWL, &name);
        let Some((crawler, crawl)) = begin(lake, task, &name).await? else { return Ok(()) };
        if crawler.state == CrawlerState::Stopping {
            registered.token.cancel();
        }
        match self.crawl(lake, task, &crawler, &crawl, &registered.token).await {
            Ok(()) => Ok(()),
            Err(CrawlError::Transient(reason)) if !task.is_last_try() => Err(Failure::transient(reason)),
            Err(CrawlError::Transient(reason) | CrawlError::Wrong(reason)) => {
                Ok(end(lake, task, crawl, CrawlState::Failed, Some(reason)).await?)
            }
            Err(CrawlError::Stopped) => Ok(end(lake, task, crawl, CrawlState::Stopped, None).await?),
        }
    }

    async fn buried(&self, lake: &Lake, task: &Task, reason: &str) {
        let (place, reason) = (lake.place.clone(), reason.to_owned());
        let Some(name) = task.key.clone() else { return };
        let ended = lake.store.write(move |tx| {
            if let Some(crawl) = rows::running_crawl(tx, &name)? {
                rows::end_crawl(tx, crawl.seq, CrawlState::Failed, &crawl.summary, Some(&reason), &crawl.log)?;
                rows::set_state(tx, &name, CrawlerState::Ready)?;
                logging::ended(tx, &crawl, &reason)?;
                events::failed(tx, &place, &crawl, CrawlState::Failed, &reason)?;
            }
            Ok::<_, StoreError>(())
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "the end of a crawl could not be recorded");
        }
    }
}

/// Marks the crawl as begun. `None`: the crawler is gone, and the task is done.
async fn begin(lake: &Lake, task: &Task, name: &str) -> Result<Option<(Crawler, Crawl)>, StoreError> {
    let (task, name, place) = (task.clone(), name.to_owned(), lake.place.clone());
    let begun = lake.store.write(move |tx| {
        let Some(crawler) = rows::crawler(tx, &name)? else {
            tx.finish_task(&task)?;
            return Ok(None);
        };
        if let Some(crawl) = rows::running_crawl(tx, &name)?.filter(|_| crawler.state != CrawlerState::Ready) {
            return Ok(Some((crawler, crawl)));
        }
        rows::set_state(tx, &name, CrawlerState::Running)?;
        let crawl = rows::start_crawl(tx, &name)?;
        events::started(tx, &place, &crawl)?;
        Ok(Some((crawler, crawl)))
    });
    begun.await
}

/// Ends a crawl that has changed nothing.
async fn end(lake: &Lake, task: &Task, crawl: Crawl, state: CrawlState, reason: Option<String>) -> Result<(), StoreError> {
    let (task, place) = (task.clone(), lake.place.clone());
    let ended = lake.store.write(move |tx| {
        tx.finish_task(&task)?;
        let log = reason.as_deref().unwrap_or("The crawl was stopped.");
        rows::end_crawl(tx, crawl.seq, state, &CrawlSummary::default(), reason.as_deref(), log)?;
        rows::set_state(tx, &crawl.crawler, CrawlerState::Ready)?;
        logging::ended(tx, &crawl, log)?;
        events::failed(tx, &place, &crawl, state, log)
    });
    ended.await
}

/// The tables of the crawler's database that it may change: its own, and those that bear the name that it would give them.
async fn known_tables(lake: &Lake, crawler: &Crawler) -> Result<Vec<Known>, CrawlError> {
    let (name, spec) = (crawler.name.clone(), crawler.spec.clone());
    let looked = lake.store.read(move |connection| {
        let database = spec.database_name.as_deref().unwrap_or_default();
        let prefix = spec.table_prefix.as_deref().unwrap_or_default();
        let mut known = Vec::new();
        if catalog::database(connection, database)?.is_none() {
            return Err(CrawlError::Wrong(format!(
                "Database {database} not found. Create it (glue create-database), and start the crawler again."
            )));
        }
        catalog::visit_tables(connection, database, "", |table| {
            let own = table.parameters.get("UPDATED_BY_CRAWLER") == Some(&name);
            known.extend(Known::of(&table).filter(|known| own || naming::table(prefix, &known.location) == known.name));
            Ok(true)
        })?;
        Ok::<_, CrawlError>(known)
    });
    looked.await
}

impl CrawlHandler {
    async fn crawl(
        &self,
        lake: &Lake,
        task: &Task,
        crawler: &Crawler,
        crawl: &Crawl,
        stop: &CancellationToken,
    ) -> Result<(), CrawlError> {
        let options = crawler.spec.options()?;
        let mut gather = Gather::start(&lake.store, &crawler.spec, crawler.bookmark).await?;
        let classifiers = Arc::new(self.classifiers(lake, crawler).await?);
        let known = known_tables(lake, crawler).await?;
        let mut planner = Planner::new(gather.targets.clone(), known.clone());
        let mut shapes = schema::Shapes::default();
        while let Some(page) = gather.next(&lake.store).await? {
            if stop.is_cancelled() {
                return Err(CrawlError::Stopped);
            }
            planner.add(inspect::inspect(&self.engine, &classifiers, page, &mut shapes, stop).await?);
        }
        if stop.is_cancelled() {
            return Err(CrawlError::Stopped);
        }
        let (objects, bytes) = (planner.objects, planner.bytes);
        let prefix = crawler.spec.table_prefix.clone().unwrap_or_default();
        let (tables, notes) = planner.finish(&prefix, &options);
        let gone = gone::find(&lake.store, crawler, known, &tables).await?;
        let work = commit::Work {
            place: lake.place.clone(),
            task: task.clone(),
            crawler: crawler.clone(),
            crawl: crawl.clone(),
            options,
            tables,
            gone,
            notes,
            objects,
            bytes,
            excluded: gather.excluded,
            until: gather.until,
            more: gather.more,
        };
        lake.store.write(move |tx| commit::commit(tx, work)).await
    }

    async fn classifiers(
        &self,
        lake: &Lake,
        crawler: &Crawler,
    ) -> Result<Vec<millpond_engine::infer::CsvClassifier>, StoreError> {
        let names = crawler.spec.classifiers.clone();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let found = lake.store.read(move |connection| {
            let mut found = Vec::with_capacity(names.len());
            for name in names {
                // One that was deleted since says nothing.
                found.extend(classifier::classifier(connection, &name)?.as_ref().map(inspect::classifier));
            }
            Ok::<_, StoreError>(found)
        });
        found.await
    }
}
