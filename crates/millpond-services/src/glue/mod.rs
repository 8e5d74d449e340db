//! Glue: the data catalog's operations, crawlers and jobs.
//!
//! A file per group of operations, each of which adds its methods to [`Glue`]. The catalog's rows are the lake's ([`crate::lake::catalog`]), since
//! queries, crawls and jobs work on them too; what is here are Glue's rules: what a request may say, what it gets by default, and how it fails.

mod error;

pub use error::GlueError;

use crate::lake::Lake;

/// The Glue service; clones share the lake.
#[derive(Debug, Clone)]
pub struct Glue {
    pub(crate) lake: Lake,
}

impl Glue {
    /// The service over a lake.
    pub fn new(lake: Lake) -> Self {
        Self { lake }
    }

    /// The lake that it works on.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }
}
