//! Invoke: which version runs, whether it may, and what it answers.

use super::code::Pin;
use super::concurrency::{Share, Slot};
use super::event_config::{self, EventConfig};
use super::functions::{process_key, resolve};
use super::model::{Config, Logging, Variables};
use super::name::version_text;
use super::queue::{self, Queued};
use super::sql::{self, VersionRow};
use super::{FunctionName, Lambda, LambdaError, Throttle, roles};
use crate::lake::identity::Role;
use bytes::Bytes;
use millpond_core::env::EnvExt;
use millpond_functions::{HostError, HostErrorKind, Invocation, LogFormat, LogLevel, LogSettings, Outcome, Spec};
use millpond_store::StoreError;
use rusqlite::Connection;
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An event whose answer is waited for, in bytes: "Lambda quotas".
const SYNCHRONOUS_MAX: usize = 6 * 1024 * 1024;

/// An event that is queued, in bytes.
pub(super) const ASYNCHRONOUS_MAX: usize = 1024 * 1024;

/// What is known of a version stays so long after its last invocation.
const KEEP: Duration = Duration::from_secs(20 * 60);

/// An invocation to make.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// A name or an ARN.
    pub function: String,
    /// A version or an alias.
    pub qualifier: Option<String>,
    /// The event, JSON; empty: `{}`.
    pub payload: Bytes,
    /// JSON, as the function sees it.
    pub client_context: Option<String>,
    /// `X-Amzn-Trace-Id`.
    pub trace_id: Option<String>,
    /// A UUID.
    pub request_id: String,
}

/// What an invocation answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The function's answer, or what it says of its error.
    pub payload: Bytes,
    /// `Unhandled`, where it failed.
    pub function_error: Option<&'static str>,
    /// The end of its log.
    pub log_tail: Vec<u8>,
    /// `$LATEST` or a number.
    pub executed_version: String,
}

/// An invocation that was looked up: all that it needs to run, and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) function: i64,
    pub(super) name: FunctionName,
    pub(super) reserved: Option<u32>,
    reserved_by_all: i64,
    pub(super) version: VersionRow,
    role: Result<Role, String>,
    pub(super) event_config: EventConfig,
}

impl Plan {
    pub(super) fn share(&self) -> Share {
        Share { function: self.function, reserved: self.reserved, reserved_by_all: self.reserved_by_all }
    }

    pub(super) fn executed_version(&self) -> String {
        version_text(self.version.version)
    }
}

/// A version that is ready to run: its packages are unpacked, and stay.
#[derive(Debug)]
pub(super) struct Ready {
    spec: Arc<Spec>,
    _pins: Vec<Pin>,
}

/// The versions that were run of late, by the key of their processes.
#[derive(Debug, Default)]
pub(super) struct Specs {
    known: Mutex<HashMap<String, (Arc<Ready>, Instant)>>,
}

impl Specs {
    fn get(&self, key: &str) -> Option<Arc<Ready>> {
        let mut known = self.known.lock().expect("nobody panics while holding the list");
        let (ready, used) = known.get_mut(key)?;
        *used = Instant::now();
        Some(ready.clone())
    }

    fn put(&self, key: &str, ready: Arc<Ready>) {
        let mut known = self.known.lock().expect("nobody panics while holding the list");
        known.retain(|_, (_, used)| used.elapsed() < KEEP);
        known.insert(key.to_owned(), (ready, Instant::now()));
    }

    pub(super) fn forget(&self, key: &str) {
        self.known.lock().expect("nobody panics while holding the list").remove(key);
    }
}

/// Refuses what is no JSON, or too large.
pub(super) fn check_payload(payload: &[u8], kind: &str, limit: usize) -> Result<(), LambdaError> {
    if payload.len() > limit {
        return Err(LambdaError::TooLarge(format!(
            "{} byte payload is too large for the {kind} invocation type (limit {limit} bytes)",
            payload.len()
        )));
    }
    if payload.is_empty() {
        return Ok(());
    }
    let read: Result<IgnoredAny, _> = serde_json::from_slice(payload);
    read.map(|_| ()).map_err(|error| {
        LambdaError::InvalidContent(format!("Could not parse request body into json: Could not parse payload into json: {error}"))
    })
}

impl Lambda {
    /// `Invoke` with `RequestResponse`: runs the function and waits for its answer. It runs on where the caller goes away.
    pub async fn invoke(&self, call: Call) -> Result<Answer, LambdaError> {
        let name = self.parse(&call.function, call.qualifier.as_deref())?;
        check_payload(&call.payload, "RequestResponse", SYNCHRONOUS_MAX)?;
        let plan = self.plan(name).await?;
        let slot = self.inner.slots.take(plan.share())?;
        let lambda = self.clone();
        let running = tokio::spawn(async move {
            let executed_version = plan.executed_version();
            let outcome = lambda.run(&plan, call.payload, call.request_id, call.client_context, call.trace_id).await;
            drop(slot);
            outcome.map(|outcome| Answer {
                payload: outcome.payload,
                function_error: outcome.function_error,
                log_tail: outcome.log_tail,
                executed_version,
            })
        });
        running.await.map_err(|_| LambdaError::Store(StoreError::Panicked))?
    }

    /// `Invoke` with `DryRun`: whether the function could be invoked.
    pub async fn invoke_dry(&self, call: Call) -> Result<(), LambdaError> {
        let name = self.parse(&call.function, call.qualifier.as_deref())?;
        check_payload(&call.payload, "RequestResponse", SYNCHRONOUS_MAX)?;
        self.plan(name).await.map(|_| ())
    }

    /// `Invoke` with `Event`: the event is safe when this answers, and the function is run after it.
    pub async fn invoke_later(&self, call: Call) -> Result<(), LambdaError> {
        let name = self.parse(&call.function, call.qualifier.as_deref())?;
        check_payload(&call.payload, "Event", ASYNCHRONOUS_MAX)?;
        let event = match call.payload.is_empty() {
            true => "{}".to_owned(),
            false => String::from_utf8(call.payload.into()).map_err(|error| LambdaError::InvalidContent(error.to_string()))?,
        };
        let lake = self.inner.lake.clone();
        let written = self.inner.lake.store.write(move |tx| {
            resolve(tx, &lake, &name)?;
            let queued = Queued {
                function: name.name.clone(),
                qualifier: name.qualifier.as_ref().map(ToString::to_string),
                request_id: call.request_id,
                event,
                since_ms: tx.now_ms(),
                trace_id: call.trace_id,
                source: None,
            };
            queue::put(tx, queued)?;
            Ok::<_, LambdaError>(())
        });
        written.await
    }

    /// Looks up what an invocation needs.
    pub(super) async fn plan(&self, name: FunctionName) -> Result<Plan, LambdaError> {
        let (lake, share) = (self.inner.lake.clone(), self.inner.lake.store.env().random_unit());
        self.inner.lake.store.read(move |connection| plan(connection, &lake, name, share)).await
    }

    /// A place for an invocation among those that may run at the same time.
    pub(super) fn slot(&self, plan: &Plan) -> Result<Slot, LambdaError> {
        self.inner.slots.take(plan.share())
    }

    /// Runs a version once. The caller holds a slot.
    pub(super) async fn run(
        &self,
        plan: &Plan,
        payload: Bytes,
        request_id: String,
        client_context: Option<String>,
        trace_id: Option<String>,
    ) -> Result<Outcome, LambdaError> {
        let role = plan.role.as_ref().map_err(|why| LambdaError::Denied(why.clone()))?;
        let key = process_key(plan.function, &plan.version);
        let ready = self.ready(&key, plan).await?;
        let invocation = Invocation {
            request_id,
            payload: if payload.is_empty() { Bytes::from_static(b"{}") } else { payload },
            invoked_arn: plan.name.arn(&self.inner.lake.place),
            client_context,
            trace_id,
            credentials: self.inner.identity.credentials(role, &plan.name.name),
        };
        let outcome = self.inner.host.invoke(ready.spec.clone(), invocation).await.map_err(|error| {
            // Whatever kept it from starting may have to do with what is remembered of it.
            self.inner.specs.forget(&key);
            of_host(&error)
        })?;
        // A process that the lake ended on its way out has not failed.
        match outcome.function_error.is_some() && self.inner.stopping.load(Ordering::Relaxed) {
            true => Err(LambdaError::Unlaunched("the lake is stopping".into())),
            false => Ok(outcome),
        }
    }

    /// Ends all processes of functions. What they were at is done again after the next start.
    pub async fn stop(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
        self.inner.host.stop().await;
    }

    async fn ready(&self, key: &str, plan: &Plan) -> Result<Arc<Ready>, LambdaError> {
        if let Some(ready) = self.inner.specs.get(key) {
            return Ok(ready);
        }
        let VersionRow { config, code, .. } = &plan.version;
        let mut pins = vec![self.inner.code.pin(code).await?];
        for layer in &config.layers {
            pins.push(self.inner.code.pin(&layer.code).await?);
        }
        let directories: Vec<_> = pins.iter().map(|pin| pin.directory().to_owned()).collect();
        let spec = Spec {
            key: key.to_owned(),
            name: plan.name.name.clone(),
            version: plan.executed_version(),
            arn: self.arn(&plan.name.name, None),
            runtime: config.runtime.clone(),
            handler: config.handler.clone(),
            code_dir: directories[0].clone(),
            layer_dirs: directories[1..].to_vec(),
            environment: environment(config),
            memory_mb: config.memory_mb,
            timeout_ms: u64::from(config.timeout_s) * 1000,
            ephemeral_mb: config.ephemeral_mb,
            log_group: config.logging.group.clone(),
            logging: log_settings(&config.logging),
            role: Some(config.role.clone()),
        };
        let ready = Arc::new(Ready { spec: Arc::new(spec), _pins: pins });
        self.inner.specs.put(key, ready.clone());
        Ok(ready)
    }
}

/// `share` from 0 to 1 decides between the two versions of an alias.
fn plan(connection: &Connection, lake: &crate::lake::Lake, name: FunctionName, share: f64) -> Result<Plan, LambdaError> {
    let mut resolved = resolve(connection, lake, &name)?;
    let other = resolved.alias.as_ref().and_then(|alias| alias.other).filter(|(_, weight)| share < *weight);
    if let Some((number, _)) = other {
        let missing = || LambdaError::no_function(&name.arn(&lake.place));
        resolved.version = sql::version(connection, resolved.function.id, number)?.ok_or_else(missing)?;
    }
    let role = match roles::find(connection, lake, &resolved.version.config.role) {
        Ok(role) => Ok(role),
        Err(LambdaError::Store(error)) => return Err(error.into()),
        Err(error) => Err(error.to_string()),
    };
    Ok(Plan {
        function: resolved.function.id,
        reserved: resolved.function.reserved,
        reserved_by_all: if resolved.function.reserved.is_some() { 0 } else { sql::reserved_by_others(connection, -1)? },
        event_config: event_config::effective(connection, resolved.function.id, &name.qualifier_or_latest().to_string())?,
        version: resolved.version,
        role,
        name,
    })
}

/// The function's variables, and what its runtime must know of its logging.
fn environment(config: &Config) -> Variables {
    let mut all = config.environment.clone().unwrap_or_default();
    if config.logging.format == "JSON" {
        all.insert("AWS_LAMBDA_LOG_FORMAT".into(), "JSON".into());
        let level = config.logging.application_level.clone();
        all.extend(level.map(|level| ("AWS_LAMBDA_LOG_LEVEL".to_owned(), level)));
    }
    all
}

/// The same for the host.
fn log_settings(logging: &Logging) -> LogSettings {
    let level = |name: &Option<String>| name.as_deref().and_then(LogLevel::from_name).unwrap_or(LogLevel::Info);
    match logging.format == "JSON" {
        true => LogSettings {
            format: LogFormat::Json,
            system_level: level(&logging.system_level),
            application_level: level(&logging.application_level),
        },
        false => LogSettings::default(),
    }
}

/// What the caller hears where nothing could be run.
fn of_host(error: &HostError) -> LambdaError {
    match error.kind() {
        HostErrorKind::Throttle => {
            LambdaError::Throttled { reason: Throttle::Account, message: format!("Rate Exceeded. ({error})") }
        }
        HostErrorKind::Retry | HostErrorKind::Setup => LambdaError::Unlaunched(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_of_a_size() {
        for good in ["", "{}", "null", "\"text\"", " [1, 2] "] {
            assert!(check_payload(good.as_bytes(), "Event", 100).is_ok(), "{good}");
        }
        for bad in [&b"{"[..], b"text", b"{} {}", b"\x99\xeb", b"{\"a\": 1,}"] {
            assert!(matches!(check_payload(bad, "Event", 100), Err(LambdaError::InvalidContent(_))), "{bad:?}");
        }
        let refused = check_payload(&[b' '; 101], "Event", 100).unwrap_err().to_string();
        assert_eq!(refused, "101 byte payload is too large for the Event invocation type (limit 100 bytes)");
    }
}
