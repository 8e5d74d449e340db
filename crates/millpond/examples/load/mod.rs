//! What programs share that load a service by its JSON protocol: the client, and the line that says how fast a phase was.

use anyhow::{Context, Result};
use clap::Args;
use millpond_core::env::{Env, SystemEnv};
use millpond_wire::sigv4::{self, Signer};
use millpond_wire::{Operation, client as wire};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Where the service is, and how it is asked.
#[derive(Debug, Clone, Args)]
pub struct Endpoint {
    /// Where the service answers.
    #[arg(long)]
    pub endpoint: String,
    /// Peers take any.
    #[arg(long, env = "AWS_ACCESS_KEY_ID", default_value = "AKIAIOSFODNN7EXAMPLE")]
    pub access_key: String,
    /// Peers take any.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", default_value = "secret")]
    pub secret_key: String,
}

/// Asks one service; clones share the connections.
#[derive(Clone)]
pub struct Caller {
    http: reqwest::Client,
    endpoint: Arc<Endpoint>,
    service: &'static str,
}

impl Caller {
    /// Of the service as signatures name it: `dynamodb`, `sqs`.
    pub fn new(endpoint: Endpoint, service: &'static str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).pool_max_idle_per_host(usize::MAX).build()?;
        Ok(Self { http, endpoint: Arc::new(endpoint), service })
    }

    /// The answer to a request, whatever it says.
    pub async fn exchange<O: Operation>(&self, _: O, input: &O::Input) -> Result<(http::StatusCode, bytes::Bytes)> {
        let signer = Signer {
            access_key: &self.endpoint.access_key,
            secret_key: &self.endpoint.secret_key,
            session_token: None,
            region: "us-east-1",
            service: self.service,
        };
        let request = sigv4::sign(wire::request::<O>(input), &self.endpoint.endpoint, &signer, SystemEnv.now_ms());
        let request = reqwest::Request::try_from(request.map_err(anyhow::Error::msg)?)?;
        let response = self.http.execute(request).await.context("the service does not answer")?;
        Ok((response.status(), response.bytes().await?))
    }

    /// What the service answers, where it does as it was asked.
    pub async fn call<O: Operation>(&self, operation: O, input: &O::Input) -> Result<O::Output> {
        let (status, body) = self.exchange(operation, input).await?;
        wire::response::<O>(status, &body).with_context(|| format!("{} failed", O::NAME))
    }
}

/// One phase of a load.
pub struct Phase<'a> {
    /// What was done.
    pub name: &'a str,
    /// What was loaded, in the plural.
    pub unit: &'a str,
    /// How many.
    pub count: usize,
    /// Of one request.
    pub batch: usize,
    /// How many asked at the same time.
    pub connections: usize,
}

impl Phase<'_> {
    /// How fast it was: `times` are those of its requests.
    pub fn told(&self, seconds: f64, mut times: Vec<Duration>) -> Value {
        times.sort_unstable();
        let at = |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
        let ms = |share| at(share).map_or(0.0, Duration::as_secs_f64) * 1e3;
        json!({
            "phase": self.name,
            self.unit: self.count,
            "batch": self.batch,
            "connections": self.connections,
            "seconds": seconds,
            "per_second": self.count as f64 / seconds,
            "p50_ms": ms(0.5),
            "p99_ms": ms(0.99),
        })
    }
}
