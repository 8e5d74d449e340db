//! `PutLogEvents`: what a batch may hold, and which of its events are taken.

use super::sql::EVENT_OVERHEAD;
use super::{Logs, LogsError, found_group, sql};
use crate::lake::log::Lines;
use millpond_store::StoreError;

/// Bytes of a batch, as AWS counts them.
const BATCH_BYTES_MAX: usize = 1_048_576;

/// Milliseconds.
pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const OLD_MS: i64 = 14 * DAY_MS;
const NEW_MS: i64 = 2 * 60 * 60 * 1000;

/// An event to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// Its text.
    pub message: String,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Put {
    /// A number that clients hand back, and that nobody looks at any more.
    pub next_token: String,
    /// The first event that lies more than two hours in the future.
    pub too_new_from: Option<usize>,
    /// The first event that is not older than fourteen days, where there are older ones before it.
    pub too_old_to: Option<usize>,
    /// The first event that is within the group's retention, where there are older ones before it.
    pub expired_to: Option<usize>,
}

fn check(events: &[Event]) -> Result<(), LogsError> {
    let bytes: usize = events.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(LogsError::invalid(format!("Upload too large: {bytes} bytes exceeds limit of {BATCH_BYTES_MAX}")));
    }
    if !events.is_sorted_by_key(|event| event.time_ms) {
        return Err(LogsError::invalid("Log events in a single PutLogEvents request must be in chronological order."));
    }
    Ok(())
}

/// Leaves the events that are taken.
fn admit(events: &mut Vec<Event>, now_ms: i64, retention_days: Option<i64>) -> Result<Put, LogsError> {
    let older_than = |limit: i64| events.partition_point(|event| event.time_ms < limit);
    let too_old = older_than(now_ms - OLD_MS);
    let expired = retention_days.map_or(0, |days| older_than(now_ms - days * DAY_MS));
    let too_new = events.partition_point(|event| event.time_ms <= now_ms + NEW_MS);
    let put = Put {
        next_token: String::new(),
        too_new_from: (too_new < events.len()).then_some(too_new),
        too_old_to: (too_old > 0).then_some(too_old),
        expired_to: (expired > too_old).then_some(expired),
    };
    events.truncate(too_new);
    events.drain(..too_old.max(expired).min(events.len()));
    let span_ms = events.last().zip(events.first()).map_or(0, |(last, first)| last.time_ms - first.time_ms);
    if span_ms > DAY_MS {
        let text = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.";
        return Err(LogsError::invalid(text));
    }
    Ok(put)
}

impl Logs {
    /// `PutLogEvents`. The events are synced when this returns.
    pub async fn put_events(&self, group: String, stream: String, mut events: Vec<Event>) -> Result<Put, LogsError> {
        check(&events)?;
        let written = self.store().write(move |tx| {
            let group = found_group(tx, &group)?;
            let stream = sql::stream(tx, group.id, &stream)?.ok_or(LogsError::NoStream)?;
            let mut put = admit(&mut events, tx.now_ms(), group.retention_days)?;
            let seq = sql::insert_events(tx, group.id, stream.id, &events)?;
            put.next_token = super::Position { time_ms: tx.now_ms(), seq }.to_string();
            Ok::<_, LogsError>(put)
        });
        written.await
    }

    /// Writes the lines of a task of the lake, once, however often it is asked for; answers whether there was a group for them. `done` are tasks
    /// that the lake has finished.
    pub(super) async fn add_lines(&self, lines: Lines, task: i64, done: Vec<i64>) -> Result<bool, StoreError> {
        let Lines { group, makes_group, stream, lines } = lines;
        let events: Vec<Event> = lines.into_iter().map(|(time_ms, message)| Event { time_ms: time_ms.max(0), message }).collect();
        let written = self.store().write(move |tx| {
            for task in done {
                tx.prepare_cached("DELETE FROM log_written WHERE task = ?")?.execute([task])?;
            }
            if !makes_group && sql::group(tx, &group)?.is_none() {
                return Ok(false);
            }
            let mark = "INSERT INTO log_written VALUES (?, ?) ON CONFLICT DO NOTHING";
            if tx.prepare_cached(mark)?.execute([task, tx.now_ms()])? == 0 {
                return Ok(true);
            }
            super::sink::add(tx, &group, &stream, &events).map(|()| true)
        });
        written.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn events(ages_ms: &[i64]) -> Vec<Event> {
        ages_ms.iter().map(|age_ms| Event { time_ms: NOW_MS - age_ms, message: "x".into() }).collect()
    }

    #[test]
    fn events_that_are_too_old_expired_or_too_new_are_named_and_left_out() {
        let mut batch = events(&[15 * DAY_MS, 8 * DAY_MS, 1000, 0, -3 * 60 * 60 * 1000]);
        let put = admit(&mut batch, NOW_MS, Some(7)).unwrap();
        assert_eq!((put.too_old_to, put.expired_to, put.too_new_from), (Some(1), Some(2), Some(4)));
        assert_eq!(batch, events(&[1000, 0]));
        let mut batch = events(&[15 * DAY_MS]);
        let put = admit(&mut batch, NOW_MS, Some(30)).unwrap();
        assert_eq!((put.too_old_to, put.expired_to, put.too_new_from, batch.len()), (Some(1), None, None, 0));
    }

    #[test]
    fn a_batch_is_in_order_and_spans_a_day_at_the_most() {
        assert!(check(&events(&[0, 1])).unwrap_err().to_string().contains("chronological order"));
        assert!(admit(&mut events(&[DAY_MS + 1, 0]), NOW_MS, None).unwrap_err().to_string().contains("24 hours"));
        assert!(admit(&mut events(&[DAY_MS, 0]), NOW_MS, None).is_ok());
        // Only events that are taken count.
        assert!(admit(&mut events(&[15 * DAY_MS, 0]), NOW_MS, None).is_ok());
        let large = vec![Event { time_ms: NOW_MS, message: "x".repeat(BATCH_BYTES_MAX) }];
        assert!(check(&large).unwrap_err().to_string().starts_with("Upload too large: 1048602 bytes"));
    }
}
