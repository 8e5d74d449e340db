//! Who waits for messages, and how they are woken.
//!
//! A receive that finds nothing waits for its queue's [`Signal`]. Whoever writes something that may be received tells the signal after the
//! commit ([`millpond_store::Tx::after_commit`]): one waiter is woken for each message, so that a thousand pollers are not woken by one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Not counted yet.
const UNKNOWN: i64 = i64::MIN;

/// What is known of a queue without asking the database; all of it is a hint.
#[derive(Debug)]
pub(super) struct Signal {
    arrived: Notify,
    /// The last look found something, or something came since: a receive may try to take without looking first.
    promising: AtomicBool,
    /// At least as many as there are in flight.
    in_flight: AtomicI64,
}

impl Default for Signal {
    fn default() -> Self {
        Self { arrived: Notify::new(), promising: AtomicBool::new(false), in_flight: AtomicI64::new(UNKNOWN) }
    }
}

impl Signal {
    /// Messages can be received.
    pub(super) fn arrived(&self, messages: usize) {
        self.promising.store(true, Ordering::Release);
        // More waiters than one receive takes messages need not be woken: those that are served wake nobody else.
        for _ in 0..messages.min(64) {
            self.arrived.notify_one();
        }
    }

    /// The next message falls due at another time: one of those who wait must learn of it.
    pub(super) fn due_changed(&self) {
        self.arrived.notify_one();
    }

    /// All waiters look again.
    pub(super) fn all(&self) {
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    /// Completes when something may have arrived.
    pub(super) fn waiting(&self) -> tokio::sync::futures::Notified<'_> {
        self.arrived.notified()
    }

    pub(super) fn is_promising(&self) -> bool {
        self.promising.load(Ordering::Acquire)
    }

    pub(super) fn found(&self, something: bool) {
        self.promising.store(something, Ordering::Release);
    }

    /// Whether `more` messages in flight stay below `max`. Counts only where that is not certain; `count` answers how many there are.
    /// Called on the writer thread alone.
    pub(super) fn admits<E>(&self, more: usize, max: i64, count: impl FnOnce() -> Result<i64, E>) -> Result<bool, E> {
        let bound = self.in_flight.load(Ordering::Relaxed);
        if bound != UNKNOWN && bound.saturating_add(more as i64) <= max {
            return Ok(true);
        }
        let counted = count()?;
        self.in_flight.store(counted, Ordering::Relaxed);
        Ok(counted < max)
    }

    /// So many more are in flight.
    pub(super) fn took(&self, messages: usize) {
        self.in_flight.fetch_add(messages as i64, Ordering::Relaxed);
    }
}

/// The signals of all queues that were used since the lake started, by the queue's id.
#[derive(Debug, Default)]
pub(super) struct Signals {
    by_queue: Mutex<HashMap<i64, Arc<Signal>>>,
}

impl Signals {
    pub(super) fn of(&self, queue: i64) -> Arc<Signal> {
        let mut all = self.by_queue.lock().expect("nobody panics while holding the map");
        all.entry(queue).or_default().clone()
    }

    /// The queue is gone: its waiters find that out.
    pub(super) fn forget(&self, queue: i64) {
        let gone = self.by_queue.lock().expect("nobody panics while holding the map").remove(&queue);
        if let Some(signal) = gone {
            signal.all();
        }
    }
}
