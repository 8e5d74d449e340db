//! `GetLogEvents`, `FilterLogEvents` and `TestMetricFilter`.

use super::put::DAY_MS;
use super::scan::{Range, Stored, Where, visit};
use super::sql::{EVENT_OVERHEAD, GroupRow, StreamRow};
use super::streams::bad_token;
use super::{FilterPattern, Logs, LogsError, Position, found_group, sql};
use millpond_store::StoreError;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Events of a page at the most.
const PAGE_EVENTS_MAX: usize = 10_000;

/// Bytes of a page at the most, but for a single event that is longer.
const PAGE_BYTES_MAX: usize = 1_048_576;

/// What one request looks through at the most before it answers with what it has and a token: events and bytes.
const SCAN_EVENTS_MAX: usize = 250_000;
const SCAN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Which events of one stream are wanted.
#[derive(Debug, Clone, Default)]
pub struct GetQuery {
    /// The group's name.
    pub group: String,
    /// The stream's name.
    pub stream: String,
    /// From this time on, in milliseconds since the epoch.
    pub from_ms: Option<i64>,
    /// Before this time.
    pub to_ms: Option<i64>,
    /// From a former page.
    pub token: Option<String>,
    /// At the most.
    pub limit: Option<usize>,
    /// The earliest first, where there is no token.
    pub from_head: bool,
}

/// A page of one stream's events, in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// The events.
    pub events: Vec<GotEvent>,
    /// For what comes after them. The same as was asked with, where nothing came.
    pub forward: String,
    /// For what lies before them.
    pub backward: String,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GotEvent {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// When it came.
    pub ingested_ms: i64,
    /// Its text.
    pub message: String,
}

/// Which events of a group are wanted.
#[derive(Debug, Clone, Default)]
pub struct FilterQuery {
    /// The group's name.
    pub group: String,
    /// Of these streams alone; at most 100.
    pub streams: Option<Vec<String>>,
    /// Of the streams whose names begin so.
    pub prefix: Option<String>,
    /// From this time on, in milliseconds since the epoch.
    pub from_ms: Option<i64>,
    /// Up to this time, included.
    pub to_ms: Option<i64>,
    /// What they must match.
    pub pattern: Option<String>,
    /// From a former page.
    pub token: Option<String>,
    /// At the most.
    pub limit: Option<usize>,
    /// The latest first, where there is no token.
    pub descending: bool,
}

/// A page of events of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filtered {
    /// The events.
    pub events: Vec<FoundEvent>,
    /// What to ask with for more; absent where everything was looked through.
    pub next: Option<String>,
}

/// An event with its stream and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEvent {
    /// A number of 56 digits.
    pub id: String,
    /// The name of its stream.
    pub stream: Arc<str>,
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// When it came.
    pub ingested_ms: i64,
    /// Its text.
    pub message: String,
}

/// A message that a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which of the messages, from 1.
    pub number: i64,
    /// The message.
    pub message: String,
    /// What the pattern took from it: fields by `$name`, members of JSON by `$.selector`.
    pub values: BTreeMap<String, String>,
}

/// The direction and place that a token means.
fn position(token: &str, forward: &str, backward: &str) -> Result<(bool, Position), LogsError> {
    let (descending, rest) = match (token.strip_prefix(forward), token.strip_prefix(backward)) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(bad_token()),
    };
    let number = rest.strip_suffix("/s").filter(|number| number.len() == 56).ok_or_else(bad_token)?;
    Ok((descending, number.parse().map_err(|_| bad_token())?))
}

/// Before this time the events of a group have expired, though they may not be removed yet.
fn horizon(group: &GroupRow, now_ms: i64) -> i64 {
    group.retention_days.map_or(0, |days| now_ms - days * DAY_MS)
}

impl Logs {
    /// `GetLogEvents`.
    pub async fn get_events(&self, query: GetQuery) -> Result<Got, LogsError> {
        let token = query.token.as_deref().map(|token| position(token, "f/", "b/")).transpose()?;
        let now_ms = self.store().env().now_ms();
        self.store().read(move |connection| get(connection, &query, token, now_ms)).await
    }

    /// `FilterLogEvents`.
    pub async fn filter_events(&self, query: FilterQuery) -> Result<Filtered, LogsError> {
        if query.streams.is_some() && query.prefix.is_some() {
            let text = "The parameters logStreamNames and logStreamNamePrefix are mutually exclusive: give one of them.";
            return Err(LogsError::invalid(text));
        }
        let token = query.token.as_deref().map(|token| position(token, "Bxk/f/", "Bxk/b/")).transpose()?;
        let pattern = FilterPattern::parse(query.pattern.as_deref().unwrap_or_default());
        let pattern = pattern.map_err(|error| LogsError::invalid(error.to_string()))?;
        let now_ms = self.store().env().now_ms();
        self.store().read(move |connection| filter(connection, &query, &pattern, token, now_ms)).await
    }

    /// `TestMetricFilter`.
    ///
    /// # Errors
    /// The pattern is wrong.
    pub async fn test_filter(&self, pattern: &str, messages: Vec<String>) -> Result<Vec<Match>, LogsError> {
        let pattern = FilterPattern::parse(pattern).map_err(|error| LogsError::invalid(error.to_string()))?;
        // Messages may be long: not on the async threads.
        let matched = tokio::task::spawn_blocking(move || {
            let matched = messages.into_iter().zip(1..).filter_map(|(message, number)| {
                let values = pattern.extract(&message)?;
                Some(Match { number, message, values })
            });
            matched.collect()
        });
        matched.await.map_err(|_| StoreError::Panicked.into())
    }
}

fn get(connection: &Connection, query: &GetQuery, token: Option<(bool, Position)>, now_ms: i64) -> Result<Got, LogsError> {
    let group = found_group(connection, &query.group)?;
    let stream = sql::stream(connection, group.id, &query.stream)?.ok_or(LogsError::NoStream)?;
    let range = Range {
        from_ms: query.from_ms.unwrap_or(0).max(horizon(&group, now_ms)),
        to_ms: query.to_ms.map_or(i64::MAX, |to_ms| to_ms.saturating_sub(1)),
        after: token.map(|(_, position)| position),
        descending: token.map_or(!query.from_head, |(descending, _)| descending),
    };
    let limit = query.limit.unwrap_or(PAGE_EVENTS_MAX).min(PAGE_EVENTS_MAX);
    let (mut page, mut bytes) = (Vec::new(), 0);
    visit(connection, group.id, &Where::Streams(vec![stream.id]), range, |event| {
        bytes += event.message.len() + EVENT_OVERHEAD;
        if bytes <= PAGE_BYTES_MAX || page.is_empty() {
            page.push(event);
        }
        Ok(page.len() < limit && bytes < PAGE_BYTES_MAX)
    })?;
    if range.descending {
        page.reverse();
    }
    // Where nothing came, both tokens stay where they were: at the end of the stream the same token comes back.
    let stay = token.map_or(Position::default(), |(_, position)| position);
    let first = page.first().map_or(stay, |event| event.position);
    let last = page.last().map_or(stay, |event| event.position);
    let events = page.into_iter().map(|event| GotEvent {
        time_ms: event.position.time_ms,
        ingested_ms: event.ingested_ms,
        message: event.message,
    });
    Ok(Got { events: events.collect(), forward: format!("f/{last}/s"), backward: format!("b/{first}/s") })
}

/// The streams that a query names, and that have events of its times.
fn streams(connection: &Connection, group: i64, query: &FilterQuery, range: Range) -> Result<Where, LogsError> {
    if let Some(names) = &query.streams {
        let id = |name: &String| Ok(sql::stream(connection, group, name)?.ok_or(LogsError::NoStream)?.id);
        let mut ids = names.iter().map(id).collect::<Result<Vec<i64>, LogsError>>()?;
        ids.sort_unstable();
        ids.dedup();
        return Ok(Where::Streams(ids));
    }
    let Some(prefix) = &query.prefix else { return Ok(Where::Group) };
    let rows = sql::streams_by_name(connection, group, prefix, None, false, i64::MAX as usize)?;
    let in_range = |row: &StreamRow| {
        row.last_ms.is_some_and(|last_ms| last_ms >= range.from_ms)
            && row.first_ms.is_some_and(|first_ms| first_ms <= range.to_ms)
    };
    Ok(Where::Streams(rows.into_iter().filter(in_range).map(|row| row.id).collect()))
}

fn filter(
    connection: &Connection,
    query: &FilterQuery,
    pattern: &FilterPattern,
    token: Option<(bool, Position)>,
    now_ms: i64,
) -> Result<Filtered, LogsError> {
    let group = found_group(connection, &query.group)?;
    let range = Range {
        from_ms: query.from_ms.unwrap_or(0).max(horizon(&group, now_ms)),
        to_ms: query.to_ms.unwrap_or(i64::MAX),
        after: token.map(|(_, position)| position),
        descending: token.map_or(query.descending, |(descending, _)| descending),
    };
    let place = streams(connection, group.id, query, range)?;
    let limit = query.limit.unwrap_or(PAGE_EVENTS_MAX).min(PAGE_EVENTS_MAX);
    let (mut page, mut bytes): (Vec<Stored>, usize) = (Vec::new(), 0);
    let (mut looked, mut looked_bytes, mut last, mut ended) = (0, 0, None, true);
    visit(connection, group.id, &place, range, |event| {
        looked += 1;
        looked_bytes += event.message.len();
        let mut full = looked >= SCAN_EVENTS_MAX || looked_bytes >= SCAN_BYTES_MAX;
        if pattern.matches(&event.message) {
            let with = bytes + event.message.len() + EVENT_OVERHEAD;
            if !page.is_empty() && with > PAGE_BYTES_MAX {
                // It begins the next page.
                ended = false;
                return Ok(false);
            }
            (bytes, last) = (with, Some(event.position));
            page.push(event);
            full |= page.len() >= limit || bytes >= PAGE_BYTES_MAX;
        } else {
            last = Some(event.position);
        }
        ended = !full;
        Ok(!full)
    })?;
    let way = if range.descending { 'b' } else { 'f' };
    let next = last.filter(|_| !ended).map(|last| format!("Bxk/{way}/{last}/s"));
    Ok(Filtered { events: found(connection, page)?, next })
}

/// Adds the names of the streams. An event whose stream was deleted is left out: it is on its way to be removed.
fn found(connection: &Connection, page: Vec<Stored>) -> Result<Vec<FoundEvent>, StoreError> {
    let mut names: HashMap<i64, Option<Arc<str>>> = HashMap::new();
    let mut events = Vec::with_capacity(page.len());
    for event in page {
        if let std::collections::hash_map::Entry::Vacant(new) = names.entry(event.stream) {
            new.insert(sql::stream_name(connection, event.stream)?.map(Into::into));
        }
        let Some(Some(stream)) = names.get(&event.stream) else { continue };
        events.push(FoundEvent {
            id: event.position.to_string(),
            stream: stream.clone(),
            time_ms: event.position.time_ms,
            ingested_ms: event.ingested_ms,
            message: event.message,
        });
    }
    Ok(events)
}
