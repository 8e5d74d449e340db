//! How many invocations run at the same time: of each function, and of all.

use super::{LambdaError, Throttle};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Counts invocations under way; clones share the counts.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    counts: Arc<Mutex<Counts>>,
    all: u32,
}

#[derive(Debug, Default)]
struct Counts {
    by_function: HashMap<i64, u32>,
    unreserved: u32,
}

/// An invocation that may run; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    counts: Arc<Mutex<Counts>>,
    function: i64,
    reserved: bool,
}

impl Slots {
    /// `all` at the same time.
    pub(super) fn new(all: u32) -> Self {
        Self { counts: Arc::default(), all }
    }

    /// A place for an invocation of a function; `reserved_by_all` is what all functions reserve together.
    ///
    /// # Errors
    /// [`LambdaError::Throttled`].
    pub(super) fn take(&self, function: i64, reserved: Option<u32>, reserved_by_all: i64) -> Result<Slot, LambdaError> {
        let mut counts = self.counts.lock().expect("counting does not panic");
        let running = counts.by_function.get(&function).copied().unwrap_or(0);
        match reserved {
            Some(reserved) if running >= reserved => {
                return Err(LambdaError::Throttled { reason: Throttle::Reserved, message: "Rate Exceeded.".into() });
            }
            None if i64::from(counts.unreserved) >= i64::from(self.all) - reserved_by_all => {
                return Err(LambdaError::Throttled { reason: Throttle::Account, message: "Rate Exceeded.".into() });
            }
            Some(_) => {}
            None => counts.unreserved += 1,
        }
        counts.by_function.insert(function, running + 1);
        Ok(Slot { counts: self.counts.clone(), function, reserved: reserved.is_some() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().expect("counting does not panic");
        if !self.reserved {
            counts.unreserved -= 1;
        }
        let left = counts.by_function.get(&self.function).map_or(0, |running| running.saturating_sub(1));
        match left {
            0 => counts.by_function.remove(&self.function),
            left => counts.by_function.insert(self.function, left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(taken: Result<Slot, LambdaError>) -> Throttle {
        match taken.unwrap_err() {
            LambdaError::Throttled { reason, .. } => reason,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_function_runs_as_often_as_it_reserved() {
        let slots = Slots::new(10);
        assert_eq!(throttle(slots.take(1, Some(0), 0)), Throttle::Reserved);
        let first = slots.take(1, Some(2), 2).unwrap();
        let _second = slots.take(1, Some(2), 2).unwrap();
        assert_eq!(throttle(slots.take(1, Some(2), 2)), Throttle::Reserved);
        drop(first);
        assert!(slots.take(1, Some(2), 2).is_ok());
    }

    #[test]
    fn what_is_reserved_is_taken_from_the_others() {
        let slots = Slots::new(3);
        let _one = slots.take(1, None, 1).unwrap();
        let two = slots.take(2, None, 1).unwrap();
        assert_eq!(throttle(slots.take(3, None, 1)), Throttle::Account);
        assert!(slots.take(4, Some(1), 1).is_ok());
        drop(two);
        assert!(slots.take(3, None, 1).is_ok());
        assert!(slots.counts.lock().unwrap().by_function.len() == 1);
    }
}
