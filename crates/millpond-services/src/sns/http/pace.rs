//! How fast endpoints are called: a rate that a delivery policy sets, and a share of the requests under way, so that one slow endpoint does not
//! hold up the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Requests to one endpoint at the same time.
const SHARE: usize = 8;

/// Endpoints whose rate is remembered; more forget those that are due.
const REMEMBERED_MAX: usize = 10_000;

#[derive(Debug, Default)]
struct State {
    /// Requests under way, by subscription.
    under_way: HashMap<String, usize>,
    /// When the next request may be sent, by subscription.
    next_ms: HashMap<String, f64>,
}

/// The state of all endpoints; lost with the process, which harms nobody.
#[derive(Debug, Default)]
pub(super) struct Pace(Arc<Mutex<State>>);

/// A place among the requests under way to one endpoint; given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    state: Arc<Mutex<State>>,
    subscription: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = state.under_way.get_mut(&self.subscription) {
            *count -= 1;
            if *count == 0 {
                state.under_way.remove(&self.subscription);
            }
        }
    }
}

impl Pace {
    /// A place for one more request, where there is one.
    pub(super) fn turn(&self, subscription: &str) -> Option<Turn> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = state.under_way.entry(subscription.into()).or_default();
        if *count >= SHARE {
            return None;
        }
        *count += 1;
        Some(Turn { state: self.0.clone(), subscription: subscription.into() })
    }

    /// Takes the next place at a rate; where that is not now, answers how long it is until then, and takes none.
    pub(super) fn wait_ms(&self, subscription: &str, per_second: u32, now_ms: i64) -> Option<i64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now_ms as f64;
        if state.next_ms.len() >= REMEMBERED_MAX {
            state.next_ms.retain(|_, next| *next > now);
        }
        let next = state.next_ms.entry(subscription.into()).or_insert(now);
        if *next > now {
            return Some(((*next - now).ceil() as i64).max(1));
        }
        *next = next.max(now) + 1000.0 / f64::from(per_second.max(1));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lets_so_many_pass_in_a_second() {
        let pace = Pace::default();
        let mut passed = 0;
        let mut now_ms = 0;
        while now_ms < 10_000 {
            match pace.wait_ms("a", 3, now_ms) {
                Some(wait_ms) => now_ms += wait_ms,
                None => passed += 1,
            }
        }
        assert!((29..=31).contains(&passed), "{passed}");
        assert_eq!(pace.wait_ms("b", 1, 0), None, "each endpoint has its own");
        assert_eq!(pace.wait_ms("b", 1, 1), Some(999));
    }

    #[test]
    fn an_endpoint_has_its_share_and_no_more() {
        let pace = Pace::default();
        let turns: Vec<_> = (0..SHARE).map(|_| pace.turn("a").unwrap()).collect();
        assert!(pace.turn("a").is_none());
        assert!(pace.turn("b").is_some());
        drop(turns);
        assert!(pace.turn("a").is_some());
        assert!(pace.0.lock().unwrap().under_way.len() <= 1, "what is over is forgotten");
    }
}
