//! Reads events in order: those of a group, of one stream, or of some streams together.

use super::Position;
use millpond_store::StoreError;
use rusqlite::{Connection, Row, Rows, params};
use std::collections::HashSet;

/// An event as it lies in the store.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) position: Position,
    pub(super) stream: i64,
    pub(super) ingested_ms: i64,
    pub(super) message: String,
}

/// Where events are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Where {
    /// In all streams of the group.
    Group,
    /// In these. A few are merged; of many the group is read and the others are left out.
    Streams(Vec<i64>),
}

/// A part of the order: times from `from_ms` to `to_ms` (both included), and beyond `after` in the direction of reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) after: Option<Position>,
    pub(super) descending: bool,
}

impl Range {
    /// The positions between which events lie, both left out.
    fn bounds(&self) -> (Position, Position) {
        let mut low = Position { time_ms: self.from_ms, seq: -1 };
        let mut high = Position { time_ms: self.to_ms, seq: i64::MAX };
        match (self.after, self.descending) {
            (Some(after), false) => low = low.max(after),
            (Some(after), true) => high = high.min(after),
            (None, _) => {}
        }
        (low, high)
    }
}

/// Streams that are merged at the most.
const MERGED_MAX: usize = 100;

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        position: Position { time_ms: row.get(0)?, seq: row.get(1)? },
        stream: row.get(2)?,
        ingested_ms: row.get(3)?,
        message: row.get(4)?,
    })
}

fn select(column: &str, descending: bool) -> String {
    let order = if descending { "DESC" } else { "ASC" };
    format!(
        "SELECT time_ms, seq, stream_id, ingested_ms, message FROM log_event
         WHERE {column} = ?1 AND (time_ms, seq) > (?2, ?3) AND (time_ms, seq) < (?4, ?5)
         ORDER BY time_ms {order}, seq {order}"
    )
}

/// Shows the events of a range in its order until `show` answers false.
pub(super) fn visit(
    connection: &Connection,
    group: i64,
    place: &Where,
    range: Range,
    mut show: impl FnMut(Stored) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let (low, high) = range.bounds();
    if low >= high {
        return Ok(());
    }
    match place {
        Where::Streams(streams) if streams.len() <= MERGED_MAX => merge(connection, streams, range.descending, low, high, show),
        Where::Streams(streams) => {
            let streams: HashSet<i64> = streams.iter().copied().collect();
            visit_group(connection, group, range.descending, low, high, |event| match streams.contains(&event.stream) {
                true => show(event),
                false => Ok(true),
            })
        }
        Where::Group => visit_group(connection, group, range.descending, low, high, &mut show),
    }
}

fn visit_group(
    connection: &Connection,
    group: i64,
    descending: bool,
    low: Position,
    high: Position,
    mut show: impl FnMut(Stored) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(&select("group_id", descending))?;
    let mut rows = statement.query(params![group, low.time_ms, low.seq, high.time_ms, high.seq])?;
    while let Some(row) = rows.next()? {
        if !show(stored(row)?)? {
            break;
        }
    }
    Ok(())
}

fn merge(
    connection: &Connection,
    streams: &[i64],
    descending: bool,
    low: Position,
    high: Position,
    mut show: impl FnMut(Stored) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let select = select("stream_id", descending);
    let statements: Result<Vec<_>, _> = streams.iter().map(|_| connection.prepare(&select)).collect();
    let mut statements = statements?;
    let mut cursors: Vec<(Rows<'_>, Stored)> = Vec::with_capacity(streams.len());
    for (statement, stream) in statements.iter_mut().zip(streams) {
        let mut rows = statement.query(params![stream, low.time_ms, low.seq, high.time_ms, high.seq])?;
        let first = rows.next()?.map(stored).transpose()?;
        cursors.extend(first.map(|first| (rows, first)));
    }
    loop {
        let heads = cursors.iter().enumerate().map(|(at, (_, head))| (head.position, at));
        let Some((_, at)) = (if descending { heads.max() } else { heads.min() }) else { return Ok(()) };
        let next = cursors[at].0.next()?.map(stored).transpose()?;
        let event = match next {
            Some(next) => std::mem::replace(&mut cursors[at].1, next),
            None => cursors.swap_remove(at).1,
        };
        if !show(event)? {
            return Ok(());
        }
    }
}
