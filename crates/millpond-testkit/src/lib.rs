//! What tests of several crates share: a clock and randomness that a test holds in its hand.
//!
//! Black-box tests (real clients against a spawned server) are in `tests/python`, with a harness of their own.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use millpond_core::env::Env;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

/// An [`Env`] whose time stands still until it is moved, and whose randomness follows from a seed: a run with it can be repeated.
#[derive(Debug)]
pub struct ManualEnv {
    now_ms: AtomicI64,
    random: Mutex<StdRng>,
}

impl ManualEnv {
    /// The 1st of May 2024 at noon, UTC, with this seed.
    pub fn seeded(seed: u64) -> Self {
        Self { now_ms: AtomicI64::new(1_714_564_800_000), random: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    /// Moves the clock on by so many milliseconds (or back, where negative).
    pub fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Env for ManualEnv {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.random.lock().expect("no holder of the generator panics").fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::env::{EnvExt, iso8601};

    #[test]
    fn a_seed_repeats_and_time_moves_only_by_hand() {
        let (a, b) = (ManualEnv::seeded(7), ManualEnv::seeded(7));
        assert_eq!((a.uuid(), a.random_hex(8)), (b.uuid(), b.random_hex(8)));
        assert_ne!(a.uuid(), ManualEnv::seeded(8).uuid());
        assert_eq!(iso8601(a.now_ms(), false), "2024-05-01T12:00:00Z");
        a.advance(1500);
        assert_eq!(iso8601(a.now_ms(), true), "2024-05-01T12:00:01.500Z");
    }
}
