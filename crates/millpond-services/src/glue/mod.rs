//! Glue: the data catalog's operations, crawlers and jobs.
//!
//! A file per group of operations, each of which adds its methods to [`Glue`]. The catalog's rows are the lake's ([`crate::lake::catalog`]), since
//! queries, crawls and jobs work on them too; what is here are Glue's rules: what a request may say, what it gets by default, and how it fails.

pub mod classifier;
pub mod crawler;
mod databases;
mod error;
pub mod iceberg;
pub mod job;
pub mod partitions;
mod schedule;
pub mod search;
mod tables;
pub mod tags;
pub mod trigger;
pub mod workflow;

pub use error::GlueError;
pub use tags::COMPONENT;

use crate::lake::Lake;
use crate::lake::items::Loaders;
use crate::runtime::Handler;
use crate::runtime::delivery::TargetKind;
use millpond_engine::query::Engine;
use std::sync::Arc;

/// The Glue service; clones share the lake.
#[derive(Debug, Clone)]
pub struct Glue {
    pub(crate) lake: Lake,
    /// Crawls and job runs under way.
    pub(crate) stops: job::stops::Stops,
    /// Who puts rows into tables of items.
    pub(crate) loaders: Loaders,
}

impl Glue {
    /// The service over a lake.
    pub fn new(lake: Lake) -> Self {
        Self { lake, stops: job::stops::Stops::default(), loaders: Loaders::default() }
    }

    /// Who puts rows into tables of items: to be installed once.
    pub fn loaders(&self) -> &Loaders {
        &self.loaders
    }

    /// The lake that it works on.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }
}

/// Who does the tasks of crawls, job runs, and what dropped tables leave behind.
pub fn handlers(glue: &Glue, engine: &Arc<Engine>) -> Vec<Arc<dyn Handler>> {
    vec![
        Arc::new(crawler::CrawlHandler { glue: glue.clone(), engine: engine.clone() }),
        Arc::new(crawler::ScheduleHandler),
        Arc::new(trigger::ScheduleHandler),
        Arc::new(trigger::ActionHandler),
        Arc::new(crate::lake::catalog::Sweeper),
        Arc::new(job::JobRunHandler { glue: glue.clone(), engine: engine.clone(), limits: job::Limits::default() }),
    ]
}

/// Crawlers and jobs as targets of rules.
pub fn target_kinds() -> Vec<Arc<dyn TargetKind>> {
    vec![Arc::new(job::targets::CrawlerTarget), Arc::new(job::targets::JobTarget), Arc::new(job::targets::WorkflowTarget)]
}
