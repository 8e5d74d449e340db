//! Lambda over this machine: the host of the functions' processes, and the service over it, as the configuration wants them.

use crate::config::Config;
use anyhow::{Context, Result};
use millpond_core::log::LogSink;
use millpond_functions::{Host, HostSettings, IsolationWanted};
use millpond_services::lake::Lake;
use millpond_services::lake::identity::Identity;
use millpond_services::lambda::{Lambda, Settings};
use millpond_services::runtime::delivery::Targets;
use millpond_services::runtime::source::Sources;
use std::path::Path;
use std::sync::Arc;

/// In the lake's directory: what the host makes, and unpacked packages.
const DIRECTORY: &str = "functions";
const PACKAGES: &str = "packages";
const PROCESSES: &str = "host";

fn host_settings(lake: &Lake, config: &Config, endpoint: &str, logs: Arc<dyn LogSink>) -> Result<HostSettings> {
    // Functions see absolute paths.
    let directory = std::path::absolute(lake.store.directory()).context("the lake's directory has no absolute path")?;
    let wanted = &config.functions;
    let mut settings = HostSettings::new(directory.join(DIRECTORY).join(PROCESSES), lake.store.env().clone(), logs);
    settings.endpoint = endpoint.to_owned();
    settings.region.clone_from(&lake.place.region);
    settings.account.clone_from(&lake.place.account);
    settings.python.clone_from(&wanted.python);
    settings.processes_max = wanted.concurrency.unwrap_or(settings.processes_max);
    settings.memory_bytes_max = wanted.memory_bytes.unwrap_or(settings.memory_bytes_max);
    settings.idle_ms = wanted.idle_ms.unwrap_or(settings.idle_ms);
    if let Some(packages) = &wanted.packages {
        settings.packages.clone_from(packages);
    }
    if wanted.require_isolation {
        settings.isolation = IsolationWanted::Require;
    }
    Ok(settings)
}

fn lambda_settings(directory: &Path, config: &Config) -> Settings {
    let mut settings = Settings::new(directory.join(DIRECTORY).join(PACKAGES));
    let wanted = &config.functions;
    settings.retry_delays_ms = wanted.retry_delays_ms.unwrap_or(settings.retry_delays_ms);
    settings.queue_concurrency = settings.queue_concurrency.min(wanted.concurrency.unwrap_or(usize::MAX));
    settings
}

/// The service. It must be stopped with the lake.
pub fn over(
    lake: &Lake,
    config: &Config,
    endpoint: &str,
    logs: Arc<dyn LogSink>,
    identity: Identity,
    targets: &Targets,
    sources: &Sources,
) -> Result<Lambda> {
    let host = Host::new(host_settings(lake, config, endpoint, logs)?).context("functions cannot be run here")?;
    let directory = std::path::absolute(lake.store.directory()).context("the lake's directory has no absolute path")?;
    let settings = lambda_settings(&directory, config);
    Ok(Lambda::new(lake.clone(), host, targets.clone(), sources.clone(), identity, settings))
}
