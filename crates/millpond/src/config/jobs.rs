//! `[jobs]`: how scripts of Glue jobs are run.

use super::check::Faults;
use super::raw::{RawJobs, Size};
use millpond_scripts::Engine;
use std::path::PathBuf;
use toml::Spanned;

/// The environment's variable for the directory of environments, where the file does not name one.
pub const ENVIRONMENTS: &str = "MILLPOND_ENVIRONMENTS";

/// In whose network scripts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Each in its own, where this machine offers that.
    #[default]
    Own,
    /// All in this machine's.
    Shared,
}

/// `[jobs]`: what scripts run with, and what they may use.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Jobs {
    /// Where environments are made; relative to the working directory. Without one: in the lake's directory.
    pub environments: Option<PathBuf>,
    /// What the Spark of scripts runs on; `None`: Sail.
    pub engine: Option<Engine>,
    /// The interpreter that environments are made from; without one it is looked for.
    pub python: Option<PathBuf>,
    /// The most scripts at the same time.
    pub concurrency: Option<usize>,
    /// The most memory of all scripts together, in bytes.
    pub memory_bytes: Option<u64>,
    /// What one script may write to its `/tmp`, in bytes.
    pub disk_bytes: Option<u64>,
    /// Jars for the engine `pyspark`.
    pub spark_jars: Option<PathBuf>,
    /// In whose network scripts run; `None`: each in its own.
    pub network: Option<Network>,
}

fn path(faults: &mut Faults, at: Option<Spanned<String>>, key: &str) -> Option<PathBuf> {
    at.and_then(|at| {
        let message = "is empty; name a path, or leave it out".to_owned();
        let given = at.get_ref();
        faults.take(&at, key, (!given.is_empty()).then(|| PathBuf::from(given)).ok_or(message))
    })
}

pub(super) fn check(faults: &mut Faults, raw: RawJobs, bytes: impl Fn(&Size) -> Result<u64, String>) -> Jobs {
    let least = |size: &Size, least: u64, words: &str| match bytes(size)? {
        given if given < least => Err(words.to_owned()),
        given => Ok(given),
    };
    Jobs {
        environments: path(faults, raw.environments, "jobs.environments"),
        engine: raw.engine.and_then(|at| faults.take(&at, "jobs.engine", Engine::parse(at.get_ref()))),
        python: path(faults, raw.python, "jobs.python"),
        concurrency: raw.concurrency.and_then(|at| {
            let message = "must be from 1 to 1000; leave it out for 2".to_owned();
            let good = (1..=1_000).contains(at.get_ref());
            faults.take(&at, "jobs.concurrency", good.then_some(*at.get_ref() as usize).ok_or(message))
        }),
        memory_bytes: raw.memory.and_then(|at| {
            let message = "is less than 512MiB, with which no script can run; give it more";
            faults.take(&at, "jobs.memory", least(at.get_ref(), 512 << 20, message))
        }),
        disk_bytes: raw.disk.and_then(|at| {
            let message = "is less than 64MiB, with which no script can run; give it more";
            faults.take(&at, "jobs.disk", least(at.get_ref(), 64 << 20, message))
        }),
        spark_jars: path(faults, raw.spark_jars, "jobs.spark_jars"),
        network: raw.network.and_then(|at| {
            let network = match at.get_ref().as_str() {
                "own" => Ok(Network::Own),
                "shared" => Ok(Network::Shared),
                _ => Err("is neither \"own\" nor \"shared\"".to_owned()),
            };
            faults.take(&at, "jobs.network", network)
        }),
    }
}
