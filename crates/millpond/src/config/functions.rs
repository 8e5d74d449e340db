//! `[functions]`: how functions are run.

use super::check::Faults;
use super::raw::{RawFunctions, Size};
use std::path::PathBuf;

/// `[functions]`: what functions run with, and what they may use.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Functions {
    /// The interpreter for every `python3.*`; without one it is looked for.
    pub python: Option<PathBuf>,
    /// What Python functions can import besides their own code; `None`: boto3.
    pub packages: Option<Vec<String>>,
    /// The pauses before the second and the third try of an asynchronous invocation, in milliseconds; `None`: AWS's, one and two minutes.
    pub retry_delays_ms: Option<[i64; 2]>,
    /// After how long an idle process ends, in milliseconds.
    pub idle_ms: Option<u64>,
    /// The most processes at the same time.
    pub concurrency: Option<usize>,
    /// The most memory of all processes together, in bytes.
    pub memory_bytes: Option<u64>,
    /// Whether functions run only where they can be shut in.
    pub require_isolation: bool,
}

/// The longest pause that a retry may have, in seconds: longer than any event may wait.
const DELAY_MAX_S: f64 = 21_600.0;

pub(super) fn check(faults: &mut Faults, raw: RawFunctions, bytes: impl Fn(&Size) -> Result<u64, String>) -> Functions {
    let python = raw.python.and_then(|at| {
        let message = "is empty; name an interpreter, or leave it out for the one that is found".to_owned();
        faults.take(&at, "functions.python", (!at.get_ref().is_empty()).then(|| PathBuf::from(at.get_ref())).ok_or(message))
    });
    let retry_delays_ms = raw.retry_delays_s.and_then(|at| {
        let good = |delay: &f64| (0.0..=DELAY_MAX_S).contains(delay);
        let checked = match at.get_ref().as_slice() {
            [first, second] if good(first) && good(second) => Ok([(first * 1000.0) as i64, (second * 1000.0) as i64]),
            _ => Err(format!("must be two numbers of seconds from 0 to {DELAY_MAX_S}, for example [60, 120]")),
        };
        faults.take(&at, "functions.retry_delays_s", checked)
    });
    let idle_ms = raw.idle_s.map(|at| u64::from(*at.get_ref()) * 1000);
    let concurrency = raw.concurrency.and_then(|at| {
        let message = "must be from 1 to 10000; leave it out for 1000".to_owned();
        let good = (1..=10_000).contains(at.get_ref());
        faults.take(&at, "functions.concurrency", good.then_some(*at.get_ref() as usize).ok_or(message))
    });
    let memory_bytes = raw.memory.and_then(|at| {
        let checked = bytes(at.get_ref()).and_then(|bytes| match bytes {
            0..0x800_0000 => Err("is less than 128MiB, with which no function can run; give it more".to_owned()),
            _ => Ok(bytes),
        });
        faults.take(&at, "functions.memory", checked)
    });
    let require_isolation = raw.isolation.and_then(|at| {
        let checked = match at.get_ref().as_str() {
            "require" => Ok(true),
            "best-effort" => Ok(false),
            other => Err(format!("'{other}' is unknown; write \"best-effort\" or \"require\"")),
        };
        faults.take(&at, "functions.isolation", checked)
    });
    Functions {
        python,
        packages: raw.packages,
        retry_delays_ms,
        idle_ms,
        concurrency,
        memory_bytes,
        require_isolation: require_isolation.unwrap_or(false),
    }
}
