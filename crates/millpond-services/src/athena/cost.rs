//! What queries would cost at AWS, and what they were spared (Amazon Athena pricing: 5 USD a terabyte scanned, rounded up to the megabyte, 10
//! megabytes at the least; DDL and failed queries are free, stopped ones are not).

use super::model::{Execution, State, StatementKind};
use super::queue::Class;
use super::workgroups::require;
use super::{Athena, AthenaError, sql};
use serde::Serialize;

const MEGABYTE: u64 = 1 << 20;

/// The least that a query is billed that scans anything.
const BILLED_MIN: u64 = 10 * MEGABYTE;

const USD_PER_TERABYTE: f64 = 5.0;

/// Executions that one sum takes up at the most.
const EXECUTIONS_MAX: u64 = 100_000;

/// What an execution cost and was spared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Bytes read.
    pub scanned_bytes: u64,
    /// Bytes that AWS would bill.
    pub billed_bytes: u64,
    /// At AWS's price.
    pub usd: f64,
    /// Bytes that were not read: of partitions, row groups and columns that were left out, and of results that were used again.
    pub spared_bytes: u64,
    /// At AWS's price.
    pub spared_usd: f64,
    /// Whether the result is an earlier execution's.
    pub reused: bool,
}

/// What the executions of a workgroup came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Usage {
    /// All.
    pub executions: u64,
    /// That ended well.
    pub succeeded: u64,
    /// That failed.
    pub failed: u64,
    /// That were stopped.
    pub cancelled: u64,
    /// Whose results were used again.
    pub reused: u64,
    /// Milliseconds of the engine.
    pub engine_ms: i64,
    /// Milliseconds in the queue.
    pub queue_ms: i64,
    /// Sums.
    #[serde(flatten)]
    pub cost: Cost,
}

fn billed(bytes: u64) -> u64 {
    if bytes == 0 { 0 } else { bytes.div_ceil(MEGABYTE).saturating_mul(MEGABYTE).max(BILLED_MIN) }
}

fn usd(billed_bytes: u64) -> f64 {
    billed_bytes as f64 / (1_u64 << 40) as f64 * USD_PER_TERABYTE
}

impl Cost {
    /// Of one execution.
    pub fn of(execution: &Execution) -> Self {
        let statistics = &execution.statistics;
        let is_free =
            execution.state == State::Failed || (execution.kind != StatementKind::Dml && Class::of(execution) == Class::Ddl);
        let scanned_bytes = statistics.scanned_bytes;
        let whole = scanned_bytes.max(statistics.table_bytes).saturating_add(statistics.reused_bytes);
        let billed_bytes = if is_free { 0 } else { billed(scanned_bytes) };
        let spared_usd = if is_free { 0.0 } else { usd(billed(whole)) - usd(billed_bytes) };
        Self {
            scanned_bytes,
            billed_bytes,
            usd: usd(billed_bytes),
            spared_bytes: whole - scanned_bytes,
            spared_usd,
            reused: statistics.reused,
        }
    }

    fn add(&mut self, other: &Self) {
        self.scanned_bytes += other.scanned_bytes;
        self.billed_bytes += other.billed_bytes;
        self.usd += other.usd;
        self.spared_bytes += other.spared_bytes;
        self.spared_usd += other.spared_usd;
    }
}

impl Athena {
    /// What a workgroup's executions since a time came to, in milliseconds since the epoch: what AWS publishes as metrics of CloudWatch.
    pub async fn usage(&self, workgroup: String, since_ms: i64) -> Result<Usage, AthenaError> {
        let summed = self.lake.store.read(move |connection| {
            require(connection, &workgroup)?;
            let mut usage = Usage::default();
            sql::visit_executions(connection, &workgroup, |execution| {
                if execution.submitted_ms < since_ms || usage.executions >= EXECUTIONS_MAX {
                    return false;
                }
                usage.executions += 1;
                usage.succeeded += u64::from(execution.state == State::Succeeded);
                usage.failed += u64::from(execution.state == State::Failed);
                usage.cancelled += u64::from(execution.state == State::Cancelled);
                usage.reused += u64::from(execution.statistics.reused);
                usage.engine_ms += execution.statistics.engine_ms;
                usage.queue_ms += execution.statistics.queue_ms;
                usage.cost.add(&Cost::of(&execution));
                true
            })?;
            Ok(usage)
        });
        summed.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_up_and_have_a_floor() {
        for (bytes, expected) in
            [(0, 0), (1, BILLED_MIN), (BILLED_MIN, BILLED_MIN), (BILLED_MIN + 1, 11 * MEGABYTE), (1 << 40, 1 << 40)]
        {
            assert_eq!(billed(bytes), expected, "{bytes}");
        }
        assert!((usd(1 << 40) - 5.0).abs() < 1e-9 && (usd(BILLED_MIN) - 0.000_047_68).abs() < 1e-7);
    }
}
