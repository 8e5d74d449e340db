//! `[athena]`: how many queries run and wait, how long, and with how much memory.

use super::check::Faults;
use super::raw::{RawAthena, Size};
use millpond_services::athena::{QueueLimits, Timeouts};
use std::time::Duration;
use toml::Spanned;

/// `[athena]`: bounds of queries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Athena {
    /// Queries and statements that write that run at a time.
    pub dml_queries: Option<usize>,
    /// Statements on the catalog that run at a time.
    pub ddl_queries: Option<usize>,
    /// Executions that wait at the most.
    pub queue: Option<usize>,
    /// How long a query or a statement that writes may run.
    pub timeout: Option<Duration>,
    /// Memory that one statement may take of that of all, in bytes; three quarters of it where absent.
    pub query_memory_bytes: Option<u64>,
}

impl Athena {
    /// With the usual numbers for what is not set.
    pub fn limits(&self) -> (QueueLimits, Timeouts) {
        let (usual, times) = (QueueLimits::default(), Timeouts::default());
        let queue = QueueLimits {
            dml: self.dml_queries.unwrap_or(usual.dml),
            ddl: self.ddl_queries.unwrap_or(usual.ddl),
            waiting: self.queue.unwrap_or(usual.waiting),
        };
        (queue, Timeouts { dml: self.timeout.unwrap_or(times.dml), ..times })
    }
}

fn count(faults: &mut Faults, at: Option<Spanned<u32>>, key: &str, most: u32) -> Option<usize> {
    at.and_then(|at| {
        let good = (1..=most).contains(at.get_ref());
        faults.take(&at, key, good.then_some(*at.get_ref() as usize).ok_or(format!("must be from 1 to {most}")))
    })
}

pub(super) fn check(faults: &mut Faults, raw: RawAthena, bytes: impl Fn(&Size) -> Result<u64, String>) -> Athena {
    Athena {
        dml_queries: count(faults, raw.dml_queries, "athena.dml_queries", 1_000),
        ddl_queries: count(faults, raw.ddl_queries, "athena.ddl_queries", 1_000),
        queue: count(faults, raw.queue, "athena.queue", 100_000),
        timeout: count(faults, raw.timeout_s, "athena.timeout_s", 7 * 24 * 3600).map(|s| Duration::from_secs(s as u64)),
        query_memory_bytes: raw.query_memory.and_then(|at| {
            let checked = bytes(at.get_ref()).and_then(|bytes| match bytes {
                0..0x100_0000 => Err("is less than 16MiB, with which no query can run; give it more".to_owned()),
                _ => Ok(bytes),
            });
            faults.take(&at, "athena.query_memory", checked)
        }),
    }
}
