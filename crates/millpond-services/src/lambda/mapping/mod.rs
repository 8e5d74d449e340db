//! Event source mappings: what polls a source for a function.
//!
//! A mapping is a row; its poller ([`poll`]) is started and ended after the row's state, so that a mapping survives a restart. The states that
//! end with "-ing" last until the poller is there, or is gone.

mod batch;
mod poll;

pub use poll::Pollers;

use super::functions::resolve;
use super::model::{Tags, check_tags};
use super::sql;
use super::{FunctionName, Lambda, LambdaError, Page, Qualifier, link};
use crate::runtime::source::{EventSource, SourceError};
use batch::Filters;
use millpond_core::arn::Arn;
use millpond_core::env::EnvExt;
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Messages of a batch, where nothing is said.
const BATCH: u32 = 10;

/// A larger batch needs a window to be gathered in.
const BATCH_WITHOUT_WINDOW: u32 = 10;

/// A mapping to create.
#[derive(Debug, Clone, Default)]
pub struct NewMapping {
    /// The ARN of the source.
    pub source: Option<String>,
    /// What else is set.
    pub change: MappingChange,
    /// Its tags.
    pub tags: Tags,
}

/// What is set of a mapping; what is absent stays, or has AWS's default for a new one.
#[derive(Debug, Clone, Default)]
pub struct MappingChange {
    /// A name or an ARN.
    pub function: Option<String>,
    /// Whether it polls.
    pub enabled: Option<bool>,
    /// Messages of a batch, 1 to 10,000.
    pub batch_size: Option<u32>,
    /// How long a batch is gathered, 0 to 300 seconds.
    pub window_s: Option<u32>,
    /// Whether the function tells which messages of a batch failed.
    pub report_failures: Option<bool>,
    /// Invocations at the same time, 2 to 1,000; the inner absence takes the limit away.
    pub concurrency: Option<Option<u32>>,
    /// Patterns; a message that matches none is deleted.
    pub filters: Option<Vec<String>>,
}

/// What is kept of a mapping's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MappingConfig {
    batch_size: u32,
    window_s: u32,
    report_failures: bool,
    concurrency: Option<u32>,
    filters: Vec<String>,
}

impl Default for MappingConfig {
    fn default() -> Self {
        Self { batch_size: BATCH, window_s: 0, report_failures: false, concurrency: None, filters: Vec::new() }
    }
}

/// Where a mapping is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Creating,
    Enabling,
    Enabled,
    Updating,
    Disabling,
    Disabled,
    Deleting,
}

const STATES: [(State, &str); 7] = [
    (State::Creating, "Creating"),
    (State::Enabling, "Enabling"),
    (State::Enabled, "Enabled"),
    (State::Updating, "Updating"),
    (State::Disabling, "Disabling"),
    (State::Disabled, "Disabled"),
    (State::Deleting, "Deleting"),
];

impl State {
    fn name(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let found = STATES.iter().find(|(_, name)| *name == text).map(|(state, _)| *state);
        found.ok_or_else(|| StoreError::Corrupt(format!("'{text}' is no state of a mapping")))
    }

    /// Whether a poller is to run.
    fn polls(self) -> bool {
        matches!(self, Self::Creating | Self::Enabling | Self::Enabled | Self::Updating)
    }
}

#[derive(Debug, Clone, PartialEq)]
struct MappingRow {
    seq: i64,
    uuid: String,
    source: String,
    function: String,
    qualifier: String,
    state: State,
    modified_ms: i64,
    config: MappingConfig,
}

impl MappingRow {
    fn function_name(&self) -> FunctionName {
        let qualifier = Some(self.qualifier.as_str()).filter(|qualifier| !qualifier.is_empty()).map(Qualifier::parse);
        FunctionName { name: self.function.clone(), qualifier }
    }
}

/// A mapping as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct MappingView {
    /// Its id.
    pub uuid: String,
    /// Its ARN.
    pub arn: String,
    /// The source's ARN.
    pub source: String,
    /// The function's, with the qualifier where one was given.
    pub function_arn: String,
    /// `Enabled`, …
    pub state: &'static str,
    /// Milliseconds since the epoch.
    pub modified_ms: i64,
    /// Messages of a batch.
    pub batch_size: u32,
    /// How long a batch is gathered, in seconds.
    pub window_s: u32,
    /// Whether the function tells which messages failed.
    pub report_failures: bool,
    /// Invocations at the same time.
    pub concurrency: Option<u32>,
    /// Patterns.
    pub filters: Vec<String>,
    /// What keeps it from working, where something does.
    pub problem: Option<String>,
}

const MAPPING: &str = "SELECT seq, uuid, source, function, qualifier, state, modified_ms, config FROM lambda_mapping";

fn mapping_row(row: &Row<'_>) -> Result<MappingRow, StoreError> {
    Ok(MappingRow {
        seq: row.get(0)?,
        uuid: row.get(1)?,
        source: row.get(2)?,
        function: row.get(3)?,
        qualifier: row.get(4)?,
        state: State::parse(&row.get::<_, String>(5)?)?,
        modified_ms: row.get(6)?,
        config: sql::json(row, 7)?,
    })
}

fn find(connection: &Connection, uuid: &str) -> Result<MappingRow, LambdaError> {
    let select = format!("{MAPPING} WHERE uuid = ?");
    let found = connection.prepare_cached(&select)?.query_and_then([uuid], mapping_row)?.next().transpose()?;
    found.ok_or_else(LambdaError::no_resource)
}

fn all(connection: &Connection) -> Result<Vec<MappingRow>, StoreError> {
    let select = format!("{MAPPING} ORDER BY seq");
    let mut statement = connection.prepare_cached(&select)?;
    statement.query_and_then([], mapping_row)?.collect()
}

fn update(tx: &Tx<'_>, row: &MappingRow) -> Result<(), StoreError> {
    let update =
        "UPDATE lambda_mapping SET function = ?2, qualifier = ?3, state = ?4, modified_ms = ?5, config = ?6 WHERE uuid = ?1";
    let MappingRow { uuid, function, qualifier, state, modified_ms, config, .. } = row;
    tx.prepare_cached(update)?.execute(params![uuid, function, qualifier, state.name(), modified_ms, sql::text(config)?])?;
    Ok(())
}

/// The tags of a mapping; `None` where there is none.
pub(super) fn tags(connection: &Connection, uuid: &str) -> Result<Option<Tags>, LambdaError> {
    let mut statement = connection.prepare_cached("SELECT tags FROM lambda_mapping WHERE uuid = ?")?;
    let mut rows = statement.query_and_then([uuid], |row| sql::json(row, 0))?;
    Ok(rows.next().transpose()?)
}

pub(super) fn put_tags(tx: &Tx<'_>, uuid: &str, tags: &Tags) -> Result<(), LambdaError> {
    tx.prepare_cached("UPDATE lambda_mapping SET tags = ? WHERE uuid = ?")?.execute(params![sql::text(tags)?, uuid])?;
    Ok(())
}

impl MappingConfig {
    fn apply(&mut self, change: &MappingChange) {
        let Self { batch_size, window_s, report_failures, concurrency, filters } = self;
        *batch_size = change.batch_size.unwrap_or(*batch_size);
        *window_s = change.window_s.unwrap_or(*window_s);
        *report_failures = change.report_failures.unwrap_or(*report_failures);
        *concurrency = change.concurrency.unwrap_or(*concurrency);
        if let Some(new) = &change.filters {
            filters.clone_from(new);
        }
    }

    fn check(&self, fifo: bool) -> Result<(), LambdaError> {
        if fifo && self.batch_size > 10 {
            return Err(LambdaError::invalid("The batch size for an Amazon SQS FIFO queue must be 10 or less."));
        }
        if fifo && self.window_s > 0 {
            return Err(LambdaError::invalid("Batching window is not supported for FIFO queues"));
        }
        if self.batch_size > BATCH_WITHOUT_WINDOW && self.window_s == 0 {
            let message = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10";
            return Err(LambdaError::invalid(message));
        }
        Filters::parse(&self.filters).map(|_| ())
    }
}

impl Lambda {
    fn mapping_view(&self, row: MappingRow) -> MappingView {
        let place = &self.inner.lake.place;
        MappingView {
            arn: place.arn("lambda", format_args!("event-source-mapping:{}", row.uuid)).to_string(),
            function_arn: row.function_name().arn(place),
            state: row.state.name(),
            modified_ms: row.modified_ms,
            batch_size: row.config.batch_size,
            window_s: row.config.window_s,
            report_failures: row.config.report_failures,
            concurrency: row.config.concurrency,
            filters: row.config.filters,
            problem: self.inner.problems.get(&row.uuid),
            source: row.source,
            uuid: row.uuid,
        }
    }

    fn source(&self, text: &str) -> Result<(Arn, Arc<dyn EventSource>), LambdaError> {
        let place = &self.inner.lake.place;
        let unknown = || {
            let streams = ["kinesis", "dynamodb", "kafka", "mq", "rds"];
            let hint = match streams.iter().any(|service| text.split(':').nth(2) == Some(*service)) {
                true => " (streams and brokers cannot be event sources yet)",
                false => "",
            };
            LambdaError::invalid(format!(
                "Unrecognized event source, must be one of: {}. Unsupported source arn {text}{hint}",
                self.inner.sources.titles()
            ))
        };
        let arn: Arn = text.parse().map_err(|_| unknown())?;
        let source = self.inner.sources.find(&arn).ok_or_else(unknown)?;
        if arn.region != place.region || arn.account != place.account {
            let message = format!(
                "The event source {text} is of another region or account than this lake ({}, {}).",
                place.region, place.account
            );
            return Err(LambdaError::invalid(message));
        }
        Ok((arn, source))
    }

    /// Whether a source can be polled for a function with these settings.
    async fn check_mapping(&self, source: &str, function: &FunctionName, config: &MappingConfig) -> Result<(), LambdaError> {
        let (arn, polled) = self.source(source)?;
        let facts = polled.facts(&arn).await.map_err(|error| match error {
            SourceError::Missing(_) => LambdaError::invalid(
                "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The \
                 specified queue does not exist.",
            ),
            SourceError::Invalid(message) => LambdaError::invalid(message),
            SourceError::Transient(message) => LambdaError::Unlaunched(message),
        })?;
        config.check(facts.fifo)?;
        let (lake, wanted) = (self.inner.lake.clone(), function.clone());
        let look = move |connection: &Connection| resolve(connection, &lake, &wanted);
        let resolved = self.inner.lake.store.read(look).await.map_err(|error| match error {
            LambdaError::NotFound(_) => LambdaError::invalid("Function does not exist"),
            other => other,
        })?;
        let (visibility, timeout) = (facts.visibility_timeout_seconds, resolved.version.config.timeout_s);
        if visibility < timeout {
            return Err(LambdaError::invalid(format!(
                "Queue visibility timeout: {visibility} seconds is less than Function timeout: {timeout} seconds"
            )));
        }
        Ok(())
    }

    /// Whether functions can be fed from this source at all: asked before what is said of the parameters of a mapping, which
    /// depend on its kind.
    pub fn check_source(&self, source: Option<&str>) -> Result<(), LambdaError> {
        let source = source.ok_or_else(|| LambdaError::invalid("Unrecognized event source."))?;
        self.source(source).map(drop)
    }

    /// `CreateEventSourceMapping`.
    pub async fn create_mapping(&self, new: NewMapping) -> Result<MappingView, LambdaError> {
        let NewMapping { source, change, tags } = new;
        let source = source.ok_or_else(|| LambdaError::invalid("Unrecognized event source."))?;
        let function = self.parse(change.function.as_deref().unwrap_or_default(), None)?;
        let mut config = MappingConfig::default();
        config.apply(&change);
        self.check_mapping(&source, &function, &config).await?;
        check_tags(&tags)?;
        let state = if change.enabled.unwrap_or(true) { State::Creating } else { State::Disabled };
        let written = self.inner.lake.store.write(move |tx| {
            let qualifier = function.qualifier.as_ref().map(ToString::to_string).unwrap_or_default();
            let same = "SELECT uuid FROM lambda_mapping WHERE source = ? AND function = ? AND qualifier = ?";
            let mut statement = tx.prepare_cached(same)?;
            let mut rows = statement.query([&source, &function.name, &qualifier])?;
            if let Some(row) = rows.next()? {
                let uuid: String = row.get(0)?;
                return Err(LambdaError::Conflict(format!(
                    "An event source mapping with SQS arn (\" {source} \") and function (\" {} \") already exists. Please update or \
                     delete the existing mapping with UUID {uuid}",
                    function.name
                )));
            }
            let uuid = tx.env().uuid();
            let insert = "INSERT INTO lambda_mapping (uuid, source, function, qualifier, state, reason, modified_ms, config, tags)
                          VALUES (?, ?, ?, ?, ?, 'USER_INITIATED', ?, ?, ?)";
            let (config, tags) = (sql::text(&config)?, sql::text(&tags)?);
            tx.prepare_cached(insert)?
                .execute(params![uuid, source, function.name, qualifier, state.name(), tx.now_ms(), config, tags])?;
            find(tx, &uuid)
        });
        let row = written.await?;
        self.mappings_changed();
        Ok(self.mapping_view(row))
    }

    fn mappings_changed(&self) {
        self.inner.mappings.send_modify(|count| *count += 1);
    }

    /// `GetEventSourceMapping`.
    pub async fn get_mapping(&self, uuid: &str) -> Result<MappingView, LambdaError> {
        let uuid = uuid.to_owned();
        let row = self.inner.lake.store.read(move |connection| find(connection, &uuid)).await?;
        Ok(self.mapping_view(row))
    }

    /// `UpdateEventSourceMapping`.
    pub async fn update_mapping(&self, uuid: &str, change: MappingChange) -> Result<MappingView, LambdaError> {
        let wanted = uuid.to_owned();
        let before = self.inner.lake.store.read(move |connection| find(connection, &wanted)).await?;
        let function = match &change.function {
            Some(function) => self.parse(function, None)?,
            None => before.function_name(),
        };
        let mut config = before.config.clone();
        config.apply(&change);
        self.check_mapping(&before.source, &function, &config).await?;
        let uuid = uuid.to_owned();
        let written = self.inner.lake.store.write(move |tx| {
            let mut row = find(tx, &uuid)?;
            if row.state == State::Deleting {
                return Err(LambdaError::InUse(format!(
                    "Cannot update the event source mapping {uuid} because it is being deleted."
                )));
            }
            row.state = match (change.enabled, row.state) {
                (Some(false), State::Disabled) => State::Disabled,
                (Some(false), _) => State::Disabling,
                (Some(true), State::Disabled | State::Disabling) => State::Enabling,
                (None, State::Disabled | State::Disabling) => row.state,
                _ => State::Updating,
            };
            row.config.apply(&change);
            row.function = function.name;
            row.qualifier = function.qualifier.as_ref().map(ToString::to_string).unwrap_or_default();
            row.modified_ms = tx.now_ms();
            update(tx, &row)?;
            Ok(row)
        });
        let row = written.await?;
        self.mappings_changed();
        Ok(self.mapping_view(row))
    }

    /// `DeleteEventSourceMapping`: it is gone when what it is at is done.
    pub async fn delete_mapping(&self, uuid: &str) -> Result<MappingView, LambdaError> {
        let uuid = uuid.to_owned();
        let written = self.inner.lake.store.write(move |tx| {
            let mut row = find(tx, &uuid)?;
            row.state = State::Deleting;
            row.modified_ms = tx.now_ms();
            update(tx, &row)?;
            Ok::<_, LambdaError>(row)
        });
        let row = written.await?;
        self.mappings_changed();
        Ok(self.mapping_view(row))
    }

    /// `ListEventSourceMappings`, of a source and of a function where they are given.
    pub async fn list_mappings(
        &self,
        source: Option<String>,
        function: Option<&str>,
        marker: Option<&str>,
        max: Option<u32>,
    ) -> Result<Page<MappingView>, LambdaError> {
        let limit = max.map_or(100, |max| max.clamp(1, 100) as usize);
        let from: i64 = link::position(marker)?.parse().unwrap_or(0);
        let function = function.map(|function| self.parse(function, None)).transpose()?;
        let look = move |connection: &Connection| {
            let (name, qualifier) = match &function {
                Some(function) => (Some(function.name.clone()), function.qualifier.as_ref().map(ToString::to_string)),
                None => (None, None),
            };
            let select = format!(
                "{MAPPING} WHERE seq >= ?1 AND (?2 IS NULL OR source = ?2) AND (?3 IS NULL OR function = ?3)
                 AND (?4 IS NULL OR qualifier = ?4) ORDER BY seq LIMIT ?5"
            );
            let mut statement = connection.prepare_cached(&select)?;
            let rows = statement.query_and_then(params![from, source, name, qualifier, limit as i64 + 1], mapping_row)?;
            Ok::<_, LambdaError>(rows.collect::<Result<Vec<_>, StoreError>>()?)
        };
        let rows = self.inner.lake.store.read(look).await?;
        Ok(Page::cut(rows, limit, |row| row.seq.to_string()).map(|row| self.mapping_view(row)))
    }
}

/// What keeps mappings from working, by their ids.
#[derive(Debug, Default)]
pub(super) struct Problems(std::sync::Mutex<std::collections::HashMap<String, String>>);

impl Problems {
    fn get(&self, uuid: &str) -> Option<String> {
        self.0.lock().expect("nobody panics while holding the list").get(uuid).cloned()
    }

    fn set(&self, uuid: &str, problem: Option<String>) {
        let mut all = self.0.lock().expect("nobody panics while holding the list");
        match problem {
            Some(problem) => all.insert(uuid.to_owned(), problem),
            None => all.remove(uuid),
        };
    }
}
