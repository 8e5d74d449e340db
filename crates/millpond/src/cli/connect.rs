//! How a command finds its lake: the one that runs on the directory; else one started in this process for as long as the command needs it.

use super::Global;
use crate::app::{App, Settings};
use crate::client::Client;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A lake that is starting says where it is within this time.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// A lake that a command talks to.
pub struct Lake {
    /// Talks to it.
    pub client: Client,
    app: Option<App>,
}

impl Lake {
    /// Finds the lake, or opens it.
    ///
    /// # Errors
    /// There is no lake in the directory, or it can be neither reached nor opened.
    pub async fn connect(global: &Global) -> Result<Self> {
        if let Some(endpoint) = &global.endpoint {
            return Ok(Self { client: by_environment(endpoint)?, app: None });
        }
        let config = global.load()?;
        let directory = global.directory(&config);
        if let Some(client) = running(&directory).await {
            return Ok(Self { client, app: None });
        }
        exists(&directory)?;
        Self::open(directory, config).await
    }

    /// Starts a lake in this process, in a directory that may be new, and says where it is.
    ///
    /// # Errors
    /// It runs already, or cannot be opened.
    pub async fn start(directory: PathBuf, config: Config) -> Result<Self> {
        let app = App::start(Settings { data: directory, listen: "127.0.0.1:0".into(), config, announce: true }).await?;
        Ok(Self { client: app.client()?, app: Some(app) })
    }

    /// Opens the lake in this process, at a free port.
    async fn open(directory: PathBuf, config: Config) -> Result<Self> {
        let started = Instant::now();
        loop {
            let settings =
                Settings { data: directory.clone(), listen: "127.0.0.1:0".into(), config: config.clone(), announce: false };
            match App::start(settings).await {
                Ok(app) => {
                    let client = app.client()?;
                    return Ok(Self { client, app: Some(app) });
                }
                // It was started by somebody else just now, and will say where it is.
                Err(error) if is_in_use(&error) && started.elapsed() < START_PATIENCE => {
                    if let Some(client) = running(&directory).await {
                        return Ok(Self { client, app: None });
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the lake runs only for this command.
    pub fn is_own(&self) -> bool {
        self.app.is_some()
    }

    /// Waits until all that was asked for is done: events dispatched, crawls, runs and queries ended. Answers what is left at the end.
    ///
    /// # Errors
    /// The lake does not answer.
    pub async fn settle(&self, mut tell: impl FnMut(&Value)) -> Result<Value> {
        loop {
            let state = self.client.own("idle", &json!({ "wait_ms": 200 })).await?;
            tell(&state);
            if state["idle"].as_bool().unwrap_or(true) {
                return Ok(state);
            }
        }
    }

    /// Ends the lake where it runs only for this command.
    pub async fn close(self) {
        if let Some(app) = self.app {
            app.stop().await;
        }
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(millpond_store::StoreError::InUse(_))))
}

fn by_environment(endpoint: &str) -> Result<Client> {
    let variable = |name: &str| {
        std::env::var(name).ok().filter(|value| !value.is_empty()).with_context(|| {
            format!("--endpoint needs {name} in the environment; on the lake's machine, `eval \"$(millpond env)\"` sets it")
        })
    };
    let credentials =
        Credentials { access_key_id: variable("AWS_ACCESS_KEY_ID")?, secret_access_key: variable("AWS_SECRET_ACCESS_KEY")? };
    let region = variable("AWS_REGION").or_else(|_| variable("AWS_DEFAULT_REGION")).unwrap_or_else(|_| "us-east-1".into());
    Client::new(endpoint, &region, credentials)
}

/// The lake that runs on a directory. It is believed only when it answers a request that is signed with the directory's own key.
pub async fn running(directory: &Path) -> Option<Client> {
    let endpoint = Endpoint::read(directory)?;
    let credentials = Credentials::read(directory).ok()?;
    let client = Client::new(&endpoint.url, &endpoint.region, credentials).ok()?;
    let status = tokio::time::timeout(Duration::from_secs(10), client.own("status", &json!({}))).await.ok()?.ok()?;
    (status["pid"].as_u64() == Some(u64::from(endpoint.pid))).then_some(client)
}

/// Refuses a directory without a lake, so that a slip of the pen does not make a new one.
pub fn exists(directory: &Path) -> Result<()> {
    if directory.join("lake.sqlite3").is_file() {
        return Ok(());
    }
    bail!(
        "there is no lake in {}; start one there with `millpond up --data {0}`, or name another directory with --data",
        directory.display()
    );
}
