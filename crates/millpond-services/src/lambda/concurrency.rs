//! How many invocations run at the same time: of each function, and of all.

use super::{LambdaError, Throttle};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// Queued invocations of one function that wait for a place at the same time; the others come back later.
const WAITING_MAX: u32 = 4;

/// Counts invocations under way; clones share the counts.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    counts: Arc<Mutex<Counts>>,
    freed: Arc<Notify>,
    all: u32,
}

#[derive(Debug, Default)]
struct Counts {
    by_function: HashMap<i64, u32>,
    waiting: HashMap<i64, u32>,
    unreserved: u32,
}

/// What a function may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) function: i64,
    pub(super) reserved: Option<u32>,
    /// What all functions reserve together.
    pub(super) reserved_by_all: i64,
}

/// An invocation that may run; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    counts: Arc<Mutex<Counts>>,
    freed: Arc<Notify>,
    function: i64,
    reserved: bool,
}

impl Slots {
    /// `all` at the same time.
    pub(super) fn new(all: u32) -> Self {
        Self { counts: Arc::default(), freed: Arc::default(), all }
    }

    /// A place for an invocation of a function.
    ///
    /// # Errors
    /// [`LambdaError::Throttled`].
    pub(super) fn take(&self, share: Share) -> Result<Slot, LambdaError> {
        let Share { function, reserved, reserved_by_all } = share;
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
        Ok(Slot { counts: self.counts.clone(), freed: self.freed.clone(), function, reserved: reserved.is_some() })
    }

    /// A place, or the first that becomes free while few wait for one; at most `most` for one function. Answers too whether it had to be waited for:
    /// then the function may be another one by now.
    ///
    /// # Errors
    /// [`LambdaError::Throttled`].
    pub(super) async fn wait(&self, share: Share, most: u32, patience: Duration) -> Result<(Slot, bool), LambdaError> {
        let patience = tokio::time::sleep(patience);
        tokio::pin!(patience);
        let mut waiting = None;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on no place that becomes free is missed.
            freed.as_mut().enable();
            let throttled = match self.running(share.function) {
                running if running >= most => {
                    LambdaError::Throttled { reason: Throttle::Account, message: "Rate Exceeded.".into() }
                }
                _ => match self.take(share) {
                    Ok(slot) => return Ok((slot, waiting.is_some())),
                    Err(throttled) => throttled,
                },
            };
            if waiting.is_none() {
                waiting = Waiting::begin(&self.counts, share.function);
            }
            if waiting.is_none() {
                return Err(throttled);
            }
            tokio::select! {
                () = &mut freed => {}
                () = &mut patience => return Err(throttled),
            }
        }
    }

    fn running(&self, function: i64) -> u32 {
        self.counts.lock().expect("counting does not panic").by_function.get(&function).copied().unwrap_or(0)
    }
}

/// One that waits for a place.
struct Waiting<'a> {
    counts: &'a Mutex<Counts>,
    function: i64,
}

impl<'a> Waiting<'a> {
    fn begin(counts: &'a Mutex<Counts>, function: i64) -> Option<Self> {
        let mut held = counts.lock().expect("counting does not panic");
        let waiting = held.waiting.entry(function).or_default();
        if *waiting >= WAITING_MAX {
            return None;
        }
        *waiting += 1;
        Some(Self { counts, function })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().expect("counting does not panic");
        match counts.waiting.get(&self.function).copied() {
            Some(2..) => *counts.waiting.entry(self.function).or_default() -= 1,
            _ => drop(counts.waiting.remove(&self.function)),
        }
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
        drop(counts);
        self.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(function: i64, reserved: Option<u32>, reserved_by_all: i64) -> Share {
        Share { function, reserved, reserved_by_all }
    }

    fn throttle(taken: Result<Slot, LambdaError>) -> Throttle {
        match taken.unwrap_err() {
            LambdaError::Throttled { reason, .. } => reason,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_function_runs_as_often_as_it_reserved() {
        let slots = Slots::new(10);
        assert_eq!(throttle(slots.take(share(1, Some(0), 0))), Throttle::Reserved);
        let first = slots.take(share(1, Some(2), 2)).unwrap();
        let _second = slots.take(share(1, Some(2), 2)).unwrap();
        assert_eq!(throttle(slots.take(share(1, Some(2), 2))), Throttle::Reserved);
        drop(first);
        assert!(slots.take(share(1, Some(2), 2)).is_ok());
    }

    #[test]
    fn what_is_reserved_is_taken_from_the_others() {
        let slots = Slots::new(3);
        let _one = slots.take(share(1, None, 1)).unwrap();
        let two = slots.take(share(2, None, 1)).unwrap();
        assert_eq!(throttle(slots.take(share(3, None, 1))), Throttle::Account);
        assert!(slots.take(share(4, Some(1), 1)).is_ok());
        drop(two);
        assert!(slots.take(share(3, None, 1)).is_ok());
        assert!(slots.counts.lock().unwrap().by_function.len() == 1);
    }

    #[tokio::test]
    async fn a_few_wait_for_a_place_and_the_others_are_sent_away() {
        let slots = Slots::new(10);
        let one = share(1, Some(1), 1);
        let held = slots.take(one).unwrap();
        let mut waiting: Vec<_> = (0..WAITING_MAX + 1)
            .map(|_| {
                let slots = slots.clone();
                tokio::spawn(async move { slots.wait(one, 10, Duration::from_secs(60)).await.map(drop) })
            })
            .collect();
        while !waiting.iter().any(tokio::task::JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
        let first = waiting.iter().position(tokio::task::JoinHandle::is_finished).unwrap();
        assert!(waiting.remove(first).await.unwrap().is_err());
        drop(held);
        for one in waiting {
            one.await.unwrap().unwrap();
        }
        assert!(slots.counts.lock().unwrap().waiting.is_empty());
        // No place becomes free, and patience ends.
        let _held = slots.take(one).unwrap();
        assert!(slots.wait(one, 10, Duration::from_millis(5)).await.is_err());
        assert!(slots.wait(share(2, None, 1), 0, Duration::from_millis(5)).await.is_err());
    }
}
