//! The sink: lines of functions and the like, which nobody waits for.
//!
//! Lines gather in memory, by stream; one task takes what has gathered, writes it in one transaction, and takes what has gathered meanwhile. What
//! gathers is bounded, for each stream and for all together: lines beyond that are dropped, and a line of the same stream says how many.

use super::put::Event;
use super::sql;
use millpond_core::log::{Line, LogSink};
use millpond_store::{Store, StoreError, Tx};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Bytes that one stream holds back at the most.
const STREAM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes that all streams together hold back at the most.
const ALL_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a line takes in memory besides its text.
const LINE_OVERHEAD: usize = 48;

/// Bytes at which a batch is written without waiting for more.
const BATCH_BYTES: usize = 1024 * 1024;

/// How long lines gather.
const GATHER: Duration = Duration::from_millis(40);

/// A longer line becomes several, as with Lambda.
const LINE_BYTES_MAX: usize = 256 * 1024;

type Key = (String, String);

/// Lines of one stream that are not written yet.
#[derive(Debug, Default)]
struct Held {
    lines: Vec<Line>,
    bytes: usize,
    dropped: Dropped,
}

/// Lines that found no room.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Dropped {
    lines: u64,
    bytes: u64,
    last_ms: i64,
}

impl Dropped {
    fn line(self) -> Option<Line> {
        let Self { lines, bytes, last_ms } = self;
        let text =
            format!("[millpond] {lines} lines ({bytes} bytes) were dropped here: they came faster than they could be written.");
        (lines > 0).then(|| Line::new(last_ms, text))
    }
}

impl Held {
    fn take(&mut self, line: Line, room: usize) -> usize {
        let bytes = line.text.len() + LINE_OVERHEAD;
        if bytes > room || self.bytes + bytes > STREAM_BYTES_MAX {
            let Dropped { lines, bytes, .. } = self.dropped;
            self.dropped = Dropped { lines: lines + 1, bytes: bytes + line.text.len() as u64, last_ms: line.time_ms };
            return 0;
        }
        // What was dropped before this line is told before it.
        self.lines.extend(std::mem::take(&mut self.dropped).line());
        self.lines.push(line);
        self.bytes += bytes;
        bytes
    }

    fn into_events(mut self) -> Vec<Event> {
        self.lines.extend(self.dropped.line());
        self.lines.into_iter().map(|line| Event { time_ms: line.time_ms.max(0), message: line.text }).collect()
    }
}

#[derive(Debug, Default)]
struct State {
    streams: HashMap<Key, Held>,
    bytes: usize,
    /// Counts the calls of `write` that left lines.
    taken: u64,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Lines came, or the sink closes.
    more: Notify,
    /// A batch's worth has gathered.
    full: Notify,
    /// The number of `write` calls whose lines are written (or lost with a message in the log).
    written: watch::Sender<u64>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lines")
    }
}

/// The sink over a store. When it is dropped, what it holds is written.
#[derive(Debug)]
pub(super) struct Sink {
    shared: Arc<Shared>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.more.notify_one();
        self.shared.full.notify_one();
    }
}

impl Sink {
    /// Starts its writer on the current tokio runtime.
    pub(super) fn start(store: Store) -> Arc<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            more: Notify::new(),
            full: Notify::new(),
            written: watch::Sender::new(0),
        });
        tokio::spawn(run(store, shared.clone()));
        Arc::new(Self { shared })
    }

    /// Waits until what was taken so far is written.
    pub(super) async fn flush(&self) {
        let taken = self.shared.state().taken;
        self.shared.full.notify_one();
        let mut written = self.shared.written.subscribe();
        // An error means that the writer is gone with its runtime: nothing is left to wait for.
        let _ = written.wait_for(|count| *count >= taken).await;
    }
}

impl LogSink for Sink {
    fn write(&self, group: &str, stream: &str, lines: Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        let full = {
            let mut state = self.shared.state();
            let room = ALL_BYTES_MAX.saturating_sub(state.bytes);
            let held = match state.streams.entry((group.to_owned(), stream.to_owned())) {
                Entry::Occupied(held) => held.into_mut(),
                Entry::Vacant(new) => new.insert(Held::default()),
            };
            let mut bytes = 0;
            for line in lines.into_iter().filter(|line| !line.text.is_empty()).flat_map(cut) {
                bytes += held.take(line, room.saturating_sub(bytes));
            }
            state.bytes += bytes;
            state.taken += 1;
            state.bytes >= BATCH_BYTES
        };
        self.shared.more.notify_one();
        if full {
            self.shared.full.notify_one();
        }
    }
}

/// Cuts a line that is too long for one event.
fn cut(line: Line) -> Vec<Line> {
    if line.text.len() <= LINE_BYTES_MAX {
        return vec![line];
    }
    let (mut rest, mut lines) = (line.text.as_str(), Vec::new());
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(rest.floor_char_boundary(LINE_BYTES_MAX));
        lines.push(Line::new(line.time_ms, head));
        rest = tail;
    }
    lines
}

async fn run(store: Store, shared: Arc<Shared>) {
    loop {
        let (streams, taken, closed) = {
            let mut state = shared.state();
            state.bytes = 0;
            (std::mem::take(&mut state.streams), state.taken, state.closed)
        };
        if streams.is_empty() {
            shared.written.send_replace(taken);
            if closed {
                return;
            }
            shared.more.notified().await;
            // Either lets lines gather, or there are enough already, or someone waits for them.
            let _ = tokio::time::timeout(GATHER, shared.full.notified()).await;
            continue;
        }
        let written = store.write(move |tx| {
            for ((group, stream), held) in streams {
                add(tx, &group, &stream, &held.into_events())?;
            }
            Ok::<_, StoreError>(())
        });
        if let Err(error) = written.await {
            tracing::error!(%error, "log lines could not be written, and are lost");
        }
        shared.written.send_replace(taken);
    }
}

/// Adds events to a stream that is made, with its group, where it is missing.
pub(super) fn add(tx: &Tx<'_>, group: &str, stream: &str, events: &[Event]) -> Result<(), StoreError> {
    let group = match sql::group(tx, group)? {
        Some(group) => group.id,
        None => sql::insert_group(tx, group, "STANDARD", false)?,
    };
    let stream = match sql::stream(tx, group, stream)? {
        Some(stream) => stream.id,
        None => sql::insert_stream(tx, group, stream)?,
    };
    sql::insert_events(tx, group, stream, events).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_find_no_room_are_counted_where_they_were_dropped() {
        let mut held = Held::default();
        assert!(held.take(Line::new(1, "kept"), 1000) > 0);
        assert_eq!(held.take(Line::new(2, "dropped"), 10), 0);
        assert_eq!(held.take(Line::new(3, "dropped"), 10), 0);
        assert!(held.take(Line::new(4, "kept again"), 1000) > 0);
        assert_eq!(held.take(Line::new(5, "x".repeat(STREAM_BYTES_MAX)), usize::MAX), 0);
        let texts: Vec<String> = held.into_events().into_iter().map(|event| event.message).collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        assert!(texts[1].contains("2 lines (14 bytes)"), "{texts:?}");
        assert_eq!(texts[2], "kept again");
        assert!(texts[3].contains("1 lines (4194304 bytes)"), "{texts:?}");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let text = "é".repeat(LINE_BYTES_MAX);
        let lines = cut(Line::new(1, text.clone()));
        assert!(lines.len() > 1 && lines.iter().all(|line| line.text.len() <= LINE_BYTES_MAX));
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<String>(), text);
    }
}
