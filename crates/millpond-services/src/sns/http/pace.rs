//! How fast endpoints are called: a rate that a delivery policy sets, and a share of the requests under way, so that one slow endpoint does not
//! hold up the others.
//!
//! Whoever has to wait is told until when, and each is told another time: ten thousand messages for an endpoint that hangs must not all come
//! back at once, again and again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Requests to one endpoint at the same time.
const SHARE: usize = 8;

/// Who waits for a share comes back after this time at the most, in milliseconds: by then the endpoint may be well again.
const BUSY_MS_MAX: f64 = 30_000.0;

/// Endpoints, and places of waiting messages, that are remembered; where there are more, the ones that are past are forgotten.
const REMEMBERED_MAX: usize = 50_000;

#[derive(Debug, Default)]
struct Endpoint {
    under_way: usize,
    /// How long a request took lately, in milliseconds.
    took_ms: f64,
    /// When the next place at the endpoint's rate is free, in milliseconds since the epoch.
    next_ms: f64,
    /// When the next one who waits for a share comes back.
    back_ms: f64,
}

#[derive(Debug, Default)]
struct State {
    /// By subscription.
    endpoints: HashMap<String, Endpoint>,
    /// Places at a rate that were given to tasks, by the task's number.
    places: HashMap<i64, f64>,
}

/// The state of all endpoints; lost with the process, which harms nobody.
#[derive(Debug, Default)]
pub(super) struct Pace(Arc<Mutex<State>>);

/// A request under way to one endpoint; over when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    state: Arc<Mutex<State>>,
    subscription: String,
    since: Instant,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let took_ms = self.since.elapsed().as_secs_f64() * 1000.0;
        if let Some(endpoint) = locked(&self.state).endpoints.get_mut(&self.subscription) {
            endpoint.under_way -= 1;
            endpoint.took_ms = took_ms;
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pace {
    /// Lets a task send a request now, or says in how many milliseconds it is to come back.
    pub(super) fn turn(&self, subscription: &str, task: i64, per_second: Option<u32>, now_ms: i64) -> Result<Turn, i64> {
        let mut state = locked(&self.0);
        let (state, now) = (&mut *state, now_ms as f64);
        if state.endpoints.len() >= REMEMBERED_MAX {
            state.endpoints.retain(|_, endpoint| endpoint.under_way > 0 || endpoint.next_ms > now);
        }
        let endpoint = state.endpoints.entry(subscription.to_owned()).or_default();
        if let Some(rate) = per_second {
            let place = state.places.get(&task).copied().unwrap_or_else(|| {
                let place = endpoint.next_ms.max(now);
                endpoint.next_ms = place + 1000.0 / f64::from(rate.max(1));
                place
            });
            if place > now {
                state.places.insert(task, place);
                if state.places.len() >= REMEMBERED_MAX {
                    state.places.retain(|_, place| *place > now);
                }
                return Err(((place - now).ceil() as i64).max(1));
            }
            state.places.remove(&task);
        }
        if endpoint.under_way < SHARE {
            endpoint.under_way += 1;
            return Ok(Turn { state: self.0.clone(), subscription: subscription.to_owned(), since: Instant::now() });
        }
        let spacing = (endpoint.took_ms / SHARE as f64).clamp(5.0, 2_000.0);
        endpoint.back_ms = (endpoint.back_ms.max(now + 100.0) + spacing).min(now + BUSY_MS_MAX);
        Err((endpoint.back_ms - now) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lets_so_many_pass_in_a_second_and_each_comes_back_once() {
        let pace = Pace::default();
        let mut asked = 0;
        let mut times: Vec<(i64, i64)> = (0..30).map(|task| (0, task)).collect();
        let mut passed = Vec::new();
        while let Some((now_ms, task)) = times.pop() {
            asked += 1;
            match pace.turn("a", task, Some(3), now_ms) {
                Ok(_) => passed.push(now_ms),
                Err(wait_ms) => times.push((now_ms + wait_ms, task)),
            }
        }
        passed.sort_unstable();
        assert!((9_500..=10_000).contains(passed.last().unwrap()), "{passed:?}");
        assert!(asked <= 60, "each asks twice at the most: {asked}");
        assert!(locked(&pace.0).places.is_empty());
        assert!(pace.turn("b", 1, Some(1), 0).is_ok(), "each endpoint has its own");
        assert_eq!(pace.turn("b", 2, Some(1), 1).unwrap_err(), 999);
    }

    #[test]
    fn an_endpoint_has_its_share_and_who_waits_comes_back_one_after_the_other() {
        let pace = Pace::default();
        let turns: Vec<_> = (0..SHARE as i64).map(|task| pace.turn("a", task, None, 0).unwrap()).collect();
        let waits: Vec<i64> = (100..110).map(|task| pace.turn("a", task, None, 0).unwrap_err()).collect();
        assert!(waits.is_sorted() && waits[0] < waits[9], "{waits:?}");
        for task in 0..100_000 {
            assert!(pace.turn("a", task, None, 0).unwrap_err() <= BUSY_MS_MAX as i64);
        }
        assert!(pace.turn("b", 1, None, 0).is_ok());
        drop(turns);
        assert!(pace.turn("a", 1, None, 0).is_ok());
    }
}
