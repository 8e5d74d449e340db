//! Log streams.

use super::sql::StreamRow;
use super::{Logs, LogsError, Page, found_group, sql, sweep};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A stream as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Milliseconds since the epoch, as all times here.
    pub created_ms: i64,
    /// The time of its earliest event.
    pub first_event_ms: Option<i64>,
    /// The time of its latest event.
    pub last_event_ms: Option<i64>,
    /// When it got its last events.
    pub last_ingestion_ms: Option<i64>,
}

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamOrder {
    /// By name.
    #[default]
    Name,
    /// By the time of the last event.
    LastEvent,
}

/// Which streams are wanted.
#[derive(Debug, Clone, Default)]
pub struct StreamQuery {
    /// The group's name.
    pub group: String,
    /// How their names begin.
    pub prefix: Option<String>,
    /// Their order.
    pub order: StreamOrder,
    /// Whether the last comes first.
    pub descending: bool,
    /// From a former page.
    pub token: Option<String>,
    /// At the most.
    pub limit: usize,
}

/// A token of a listing that goes on after `text`.
pub(super) fn token(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// What [`token`] was made of.
pub(super) fn text_of(token: Option<&str>) -> Result<Option<String>, LogsError> {
    let Some(token) = token else { return Ok(None) };
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Some).ok_or_else(bad_token)
}

pub(super) fn bad_token() -> LogsError {
    LogsError::invalid("The specified nextToken is invalid.")
}

fn check_name(name: &str) -> Result<(), LogsError> {
    let sound = !name.is_empty() && name.chars().count() <= 512 && !name.contains([':', '*']);
    let text = || format!("Invalid log stream name '{name}': it has 1 to 512 characters, none of them ':' or '*'.");
    sound.then_some(()).ok_or_else(|| LogsError::invalid(text()))
}

impl Logs {
    /// `CreateLogStream`.
    pub async fn create_stream(&self, group: String, name: String) -> Result<(), LogsError> {
        check_name(&name)?;
        let made = self.store().write(move |tx| {
            let group = found_group(tx, &group)?;
            if sql::stream(tx, group.id, &name)?.is_some() {
                return Err(LogsError::StreamExists);
            }
            sql::insert_stream(tx, group.id, &name)?;
            Ok(())
        });
        made.await
    }

    /// `DeleteLogStream`.
    pub async fn delete_stream(&self, group: String, name: String) -> Result<(), LogsError> {
        let deleted = self.store().write(move |tx| {
            let group = found_group(tx, &group)?;
            let stream = sql::stream(tx, group.id, &name)?.ok_or(LogsError::NoStream)?;
            sql::delete_stream(tx, stream.id)?;
            Ok(sweep::purge_stream(tx, group.id, stream.id)?)
        });
        deleted.await
    }

    /// `DescribeLogStreams`.
    pub async fn streams(&self, query: StreamQuery) -> Result<Page<Stream>, LogsError> {
        if query.order == StreamOrder::LastEvent && query.prefix.is_some() {
            return Err(LogsError::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        let after = text_of(query.token.as_deref())?;
        let after_time = match (&after, query.order) {
            (Some(text), StreamOrder::LastEvent) => {
                let (time_ms, name) = text.split_once(' ').ok_or_else(bad_token)?;
                Some((time_ms.parse().map_err(|_| bad_token())?, name.to_owned()))
            }
            _ => None,
        };
        let arn = self.group_arn(&query.group);
        let listed = self.store().read(move |connection| {
            let group = found_group(connection, &query.group)?;
            let (descending, limit) = (query.descending, query.limit + 1);
            let mut rows = match query.order {
                StreamOrder::Name => {
                    let prefix = query.prefix.as_deref().unwrap_or_default();
                    sql::streams_by_name(connection, group.id, prefix, after.as_deref(), descending, limit)?
                }
                StreamOrder::LastEvent => {
                    let after = after_time.as_ref().map(|(time_ms, name)| (*time_ms, name.as_str()));
                    sql::streams_by_time(connection, group.id, after, descending, limit)?
                }
            };
            let more = rows.len() > query.limit;
            rows.truncate(query.limit);
            let next = rows.last().filter(|_| more).map(|row| match query.order {
                StreamOrder::Name => token(&row.name),
                StreamOrder::LastEvent => token(&format!("{} {}", row.last_ms.unwrap_or(0), row.name)),
            });
            Ok::<_, LogsError>(Page { items: rows.into_iter().map(|row| shown(row, &arn)).collect(), next })
        });
        listed.await
    }
}

fn shown(row: StreamRow, group_arn: &str) -> Stream {
    Stream {
        arn: format!("{group_arn}:log-stream:{}", row.name),
        name: row.name,
        created_ms: row.created_ms,
        first_event_ms: row.first_ms,
        last_event_ms: row.last_ms,
        last_ingestion_ms: row.ingested_ms,
    }
}
