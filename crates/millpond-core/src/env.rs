//! The one place where time and randomness come from, so that a run can be replayed.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of time and randomness. Domain code never asks the operating system itself.
pub trait Env: Send + Sync + std::fmt::Debug {
    /// Milliseconds since the Unix epoch, UTC.
    fn now_ms(&self) -> i64;

    /// Fills `bytes` with random bytes that are fit for secrets.
    fn fill_random(&self, bytes: &mut [u8]);
}

/// Conveniences over [`Env`].
pub trait EnvExt: Env {
    /// A random (version 4) UUID in its hyphenated lower-case form.
    fn uuid(&self) -> String {
        let mut bytes = [0u8; 16];
        self.fill_random(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().hyphenated().to_string()
    }

    /// `bytes` random bytes as lower-case hexadecimal, twice as many characters.
    fn random_hex(&self, bytes: usize) -> String {
        let mut buffer = vec![0u8; bytes];
        self.fill_random(&mut buffer);
        buffer.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A random number from 0 (inclusive) to 1 (exclusive), for jitter.
    fn random_unit(&self) -> f64 {
        let mut bytes = [0u8; 8];
        self.fill_random(&mut bytes);
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl<E: Env + ?Sized> EnvExt for E {}

/// A shared [`Env`].
pub type SharedEnv = Arc<dyn Env>;

/// The operating system's clock and random source.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEnv;

impl Env for SystemEnv {
    #[allow(clippy::disallowed_methods)] // The one place that may ask.
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        use rand::RngCore;
        rand::rng().fill_bytes(bytes);
    }
}

/// Formats milliseconds since the epoch as AWS does in events and S3 answers: `2024-05-01T12:00:00.123Z` (`millis`), or without the fraction.
pub fn iso8601(epoch_ms: i64, millis: bool) -> String {
    let time = chrono::DateTime::from_timestamp_millis(epoch_ms).unwrap_or_default();
    let form = if millis { "%Y-%m-%dT%H:%M:%S%.3fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    time.format(form).to_string()
}
