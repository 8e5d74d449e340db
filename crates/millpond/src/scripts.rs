//! Scripts of Glue jobs over this machine: how their processes are run, as the configuration wants it.

use crate::config::{Config, ENVIRONMENTS, Network};
use anyhow::{Context, Result};
use millpond_core::log::LogSink;
use millpond_functions::{HostSettings, IsolationWanted, LakeDoor, Visitor, space};
use millpond_scripts::{Engine, ScriptSettings, Scripts};
use millpond_services::lake::Lake;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// In the lake's directory: what scripts' processes need, our packages, and environments that no setting puts elsewhere.
const DIRECTORY: &str = "scripts";

/// How many scripts run at a time, where the configuration does not say.
const CONCURRENCY: usize = 2;

/// What one script may write to its `/tmp` at the most, where the configuration does not say, bytes.
const DISK_BYTES: u64 = 64 << 30;

/// Where the configuration does not say: a quarter of what is free now, so that scripts do not fill the disk of their lake.
fn disk_bytes(directory: &Path) -> u64 {
    space(directory).map_or(DISK_BYTES, |space| DISK_BYTES.min(space.free_bytes / 4))
}

/// How scripts reach the lake from networks of their own, where the configuration wants these.
fn lake_door(config: &Config, endpoint: &str, visitors: mpsc::Sender<Visitor>) -> Result<Option<LakeDoor>> {
    if config.jobs.network.unwrap_or_default() == Network::Shared {
        return Ok(None);
    }
    let at = endpoint.strip_prefix("http://").unwrap_or(endpoint).parse();
    let at = at.with_context(|| format!("{endpoint} is no address that a network of a script could have"))?;
    Ok(Some(LakeDoor { at, visitors }))
}

/// The runner. Nothing is made or started before the first script.
pub fn over(
    lake: &Lake,
    config: &Config,
    endpoint: &str,
    visitors: mpsc::Sender<Visitor>,
    logs: Arc<dyn LogSink>,
) -> Result<Scripts> {
    // Scripts see absolute paths.
    let directory = std::path::absolute(lake.store.directory()).context("the lake's directory has no absolute path")?;
    let directory = directory.join(DIRECTORY);
    let wanted = &config.jobs;
    let mut host = HostSettings::new(directory.join("host"), lake.store.env().clone(), logs);
    host.endpoint = endpoint.to_owned();
    host.region.clone_from(&lake.place.region);
    host.account.clone_from(&lake.place.account);
    host.python = wanted.python.clone().or_else(|| config.functions.python.clone());
    if config.functions.require_isolation {
        host.isolation = IsolationWanted::Require;
    }
    host.memory_bytes_max = wanted.memory_bytes.unwrap_or(host.memory_bytes_max);
    let named = || std::env::var_os(ENVIRONMENTS).filter(|path| !path.is_empty()).map(PathBuf::from);
    let environments = wanted.environments.clone().or_else(named).unwrap_or_else(|| directory.join("environments"));
    let settings = ScriptSettings {
        environments: std::path::absolute(environments).context("the directory of environments has no absolute path")?,
        engine: wanted.engine.clone().unwrap_or(Engine::Sail),
        concurrency: wanted.concurrency.unwrap_or(CONCURRENCY),
        memory_bytes_max: host.memory_bytes_max,
        disk_bytes_max: wanted.disk_bytes.unwrap_or_else(|| disk_bytes(lake.store.directory())),
        spark_jars: wanted.spark_jars.clone(),
        lake: lake_door(config, endpoint, visitors)?,
        directory,
        host,
    };
    Ok(Scripts::new(settings))
}
