//! The memory of one statement: no more than its share, and taken from what all columnar work has.

use datafusion::common::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// How many of the greatest consumers a message about exhausted memory names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::new(5).expect("5 is not 0");

/// Divides a statement's share fairly among its operators, so that those which can spill do, and asks the shared pool for every byte.
#[derive(Debug)]
pub(crate) struct StatementPool {
    own: TrackConsumersPool<FairSpillPool>,
    /// What the statement has of the shared pool: given back when the last operator has gone.
    shared: MemoryReservation,
    bytes_max: usize,
}

impl StatementPool {
    /// A pool of `bytes_max` at the most, out of `shared`.
    pub(crate) fn new(shared: &Arc<dyn MemoryPool>, bytes_max: usize) -> Self {
        Self {
            own: TrackConsumersPool::new(FairSpillPool::new(bytes_max), CONSUMERS_NAMED),
            shared: MemoryConsumer::new("statement").register(shared),
            bytes_max,
        }
    }
}

impl fmt::Display for StatementPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement({} of {} bytes)", self.own.reserved(), self.bytes_max)
    }
}

impl MemoryPool for StatementPool {
    fn name(&self) -> &str {
        "statement"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.shared.grow(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.shared.shrink(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.own.try_grow(reservation, additional)?;
        // Who can spill does so also where others have what is left.
        self.shared.try_grow(additional).inspect_err(|_| self.own.shrink(reservation, additional))
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_its_share_and_no_more_than_is_left() {
        let shared: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(1000));
        let one: Arc<dyn MemoryPool> = Arc::new(StatementPool::new(&shared, 600));
        let other: Arc<dyn MemoryPool> = Arc::new(StatementPool::new(&shared, 600));
        let a = MemoryConsumer::new("a").register(&one);
        let b = MemoryConsumer::new("b").register(&other);
        a.try_grow(600).unwrap();
        assert!(a.try_grow(1).unwrap_err().to_string().contains("Resources exhausted"));
        b.try_grow(400).unwrap();
        assert!(b.try_grow(1).is_err(), "the first one has the rest");
        assert_eq!((other.reserved(), shared.reserved()), (400, 1000));
        drop(a);
        b.try_grow(200).unwrap();
        drop(b);
        assert_eq!(shared.reserved(), 0);
    }
}
