//! How asynchronous invocations of a function, version or alias are tried again, and where their results go.

use super::functions::resolve;
use super::sql;
use super::{FunctionName, Lambda, LambdaError, Page, link, page_size};
use millpond_core::arn::Arn;
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

/// Tries after the first, where nothing is configured.
pub(super) const RETRIES: u32 = 2;

/// How long an event waits at the most, in seconds, where nothing is configured.
pub(super) const AGE_S: u32 = 21_600;

/// The configuration; in a change what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventConfig {
    /// 0 to 2.
    pub retries_max: Option<u32>,
    /// 60 to 21,600.
    pub age_max_seconds: Option<u32>,
    /// The ARN of what gets the results of those that succeed; empty for none.
    pub on_success: Option<String>,
    /// The ARN of what gets those that failed for good; empty for none.
    pub on_failure: Option<String>,
}

/// A configuration with what it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct EventConfigView {
    /// With the qualifier.
    pub arn: String,
    /// Milliseconds since the epoch.
    pub modified_ms: i64,
    /// The configuration.
    pub config: EventConfig,
}

impl EventConfig {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn targets(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let of = |name, target: &'_ Option<String>| target.as_ref().filter(|target| !target.is_empty()).map(|_| name);
        let success = of("onSuccess", &self.on_success).zip(self.on_success.as_ref());
        success.into_iter().chain(of("onFailure", &self.on_failure).zip(self.on_failure.as_ref()))
    }
}

pub(super) fn get(connection: &Connection, function: i64, qualifier: &str) -> Result<Option<(EventConfig, i64)>, StoreError> {
    let select = "SELECT config, modified_ms FROM lambda_event_config WHERE function = ? AND qualifier = ?";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![function, qualifier])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some((sql::json(row, 0)?, row.get(1)?)))
}

fn put(tx: &Tx<'_>, function: i64, qualifier: &str, config: &EventConfig) -> Result<(), StoreError> {
    let put = "INSERT OR REPLACE INTO lambda_event_config (function, qualifier, config, modified_ms) VALUES (?, ?, ?, ?)";
    tx.prepare_cached(put)?.execute(params![function, qualifier, sql::text(config)?, tx.now_ms()])?;
    Ok(())
}

impl Lambda {
    fn config_arn(&self, name: &FunctionName) -> String {
        self.arn(&name.name, Some(&name.qualifier_or_latest()))
    }

    fn no_config(&self, name: &FunctionName) -> LambdaError {
        LambdaError::NotFound(format!("The function {} doesn't have an EventInvokeConfig", self.config_arn(name)))
    }

    /// `PutFunctionEventInvokeConfig`, or with `merge` `UpdateFunctionEventInvokeConfig`.
    pub async fn put_event_config(
        &self,
        function: &str,
        qualifier: Option<&str>,
        change: EventConfig,
        merge: bool,
    ) -> Result<EventConfigView, LambdaError> {
        let name = self.parse(function, qualifier)?;
        if change.is_empty() {
            return Err(LambdaError::invalid("You must specify at least one of error handling or destination setting."));
        }
        for (which, target) in change.targets() {
            self.check_destination(&name, which, target).await?;
        }
        let (lambda, wanted) = (self.clone(), name.clone());
        let written = self.inner.lake.store.write(move |tx| {
            let gone = |_| LambdaError::NotFound("The function doesn't exist.".into());
            let resolved = resolve(tx, &lambda.inner.lake, &wanted).map_err(gone)?;
            let qualifier = wanted.qualifier_or_latest().to_string();
            let before = get(tx, resolved.function.id, &qualifier)?;
            let config = match (merge, before) {
                (true, None) => return Err(lambda.no_config(&wanted)),
                (true, Some((before, _))) => EventConfig {
                    retries_max: change.retries_max.or(before.retries_max),
                    age_max_seconds: change.age_max_seconds.or(before.age_max_seconds),
                    on_success: change.on_success.or(before.on_success),
                    on_failure: change.on_failure.or(before.on_failure),
                },
                (false, _) => change,
            };
            put(tx, resolved.function.id, &qualifier, &config)?;
            Ok((config, tx.now_ms()))
        });
        let (config, modified_ms) = written.await?;
        Ok(EventConfigView { arn: self.config_arn(&name), modified_ms, config })
    }

    /// Whether results can go there.
    async fn check_destination(&self, name: &FunctionName, which: &str, target: &str) -> Result<(), LambdaError> {
        let invalid = |why: &str| LambdaError::invalid(format!("The destination ARN {target} is invalid.{why}"));
        let arn: Arn = target.parse().map_err(|_| invalid(""))?;
        match arn.service.as_str() {
            "sqs" | "sns" if arn.resource.ends_with(".fifo") => {
                return Err(invalid(" A destination is a standard queue or topic, not a FIFO one."));
            }
            "lambda" => {
                let other = self.parse(target, None).map_err(|_| invalid(""))?;
                if other.name == name.name {
                    return Err(LambdaError::invalid("You can't specify the function as a destination for itself."));
                }
            }
            "s3" => {
                return Err(invalid(
                    " This lake delivers results to queues, topics, functions and event buses; buckets as destinations are not there yet.",
                ));
            }
            "sqs" | "sns" | "events" => {}
            _ => {
                return Err(LambdaError::invalid(format!(
                    "The provided destination config is invalid: {which} {target} is neither a queue, topic, function nor event bus."
                )));
            }
        }
        let source = self.arn(&name.name, None);
        self.check_target(target.to_owned(), source).await.map_err(|failure| invalid(&format!(" {failure}")))
    }

    /// `GetFunctionEventInvokeConfig`.
    pub async fn get_event_config(&self, function: &str, qualifier: Option<&str>) -> Result<EventConfigView, LambdaError> {
        let name = self.parse(function, qualifier)?;
        let (lambda, wanted) = (self.clone(), name.clone());
        let look = move |connection: &Connection| {
            let missing = || lambda.no_config(&wanted);
            let row = sql::function(connection, &wanted.name)?.ok_or_else(missing)?;
            get(connection, row.id, &wanted.qualifier_or_latest().to_string())?.ok_or_else(missing)
        };
        let (config, modified_ms) = self.inner.lake.store.read(look).await?;
        Ok(EventConfigView { arn: self.config_arn(&name), modified_ms, config })
    }

    /// `DeleteFunctionEventInvokeConfig`.
    pub async fn delete_event_config(&self, function: &str, qualifier: Option<&str>) -> Result<(), LambdaError> {
        let (name, lambda) = (self.parse(function, qualifier)?, self.clone());
        let written = self.inner.lake.store.write(move |tx| {
            let missing = || lambda.no_config(&name);
            let row = sql::function(tx, &name.name)?.ok_or_else(missing)?;
            let delete = "DELETE FROM lambda_event_config WHERE function = ? AND qualifier = ?";
            match tx.prepare_cached(delete)?.execute(params![row.id, name.qualifier_or_latest().to_string()])? {
                0 => Err(missing()),
                _ => Ok(()),
            }
        });
        written.await
    }

    /// `ListFunctionEventInvokeConfigs`, by qualifier.
    pub async fn list_event_configs(
        &self,
        function: &str,
        marker: Option<&str>,
        max: Option<u32>,
    ) -> Result<Page<EventConfigView>, LambdaError> {
        let (name, limit, from) = (self.parse(function, None)?, page_size(max), link::position(marker)?);
        let wanted = name.name.clone();
        let look = move |connection: &Connection| {
            let gone = || LambdaError::NotFound("The function doesn't exist.".into());
            let row = sql::function(connection, &wanted)?.ok_or_else(gone)?;
            let select = "SELECT config, modified_ms, qualifier FROM lambda_event_config WHERE function = ? AND qualifier >= ?
                          ORDER BY qualifier LIMIT ?";
            let mut statement = connection.prepare_cached(select)?;
            let rows = statement.query_and_then(params![row.id, from, limit as i64 + 1], |row| {
                Ok::<_, LambdaError>((sql::json::<EventConfig>(row, 0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
            })?;
            rows.collect::<Result<Vec<_>, LambdaError>>()
        };
        let rows = self.inner.lake.store.read(look).await?;
        let page = Page::cut(rows, limit, |(_, _, qualifier)| qualifier.clone());
        Ok(page.map(|(config, modified_ms, qualifier)| {
            let arn = self.arn(&name.name, Some(&super::Qualifier::parse(&qualifier)));
            EventConfigView { arn, modified_ms, config }
        }))
    }
}

/// The configuration that counts for an invocation by `qualifier`; the defaults where there is none.
pub(super) fn effective(connection: &Connection, function: i64, qualifier: &str) -> Result<EventConfig, StoreError> {
    Ok(get(connection, function, qualifier)?.map(|(config, _)| config).unwrap_or_default())
}
