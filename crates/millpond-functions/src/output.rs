//! What a process prints: read from its pipe, cut into lines, sent to the log, with the end of it kept for `LogType=Tail`.
//!
//! Standard output and standard error are one pipe, so that their lines keep their order. The pipe is always read, however fast it is filled: what
//! comes faster than [`RATE_BYTES`] goes nowhere, and is counted.

use crate::platform::{self, Event};
use crate::spec::LogSettings;
use millpond_core::env::SharedEnv;
use millpond_core::log::{Line, LogSink};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::unix::pipe;

/// A longer line becomes several: the most that CloudWatch Logs took as one event.
const LINE_BYTES_MAX: usize = 256 << 10;

/// `LogType=Tail` shows this much.
const TAIL_BYTES: usize = 4 << 10;

/// What a process may print a second, on average,
const RATE_BYTES: f64 = 4e6;

/// and at once.
const BURST_BYTES: f64 = 16e6;

/// How much is taken from the pipe at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// The output of one process, which has one log stream.
#[derive(Debug)]
pub struct Output {
    pipe: pipe::Receiver,
    group: String,
    stream: String,
    logs: Arc<dyn LogSink>,
    env: SharedEnv,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: LogSettings,
    /// A line whose end was not read yet.
    partial: Vec<u8>,
    tail: Vec<u8>,
    /// How much may be written now.
    allowance: f64,
    counted: Instant,
    dropped: Dropped,
    ended: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Dropped {
    lines: u64,
    bytes: u64,
}

impl Output {
    /// Reads from the pipe's end. Needs a tokio runtime.
    ///
    /// # Errors
    /// It is not a pipe.
    pub fn new(
        pipe: OwnedFd,
        (group, stream): (&str, &str),
        settings: LogSettings,
        logs: Arc<dyn LogSink>,
        env: SharedEnv,
    ) -> io::Result<Arc<Self>> {
        let state = State {
            settings,
            partial: Vec::new(),
            tail: Vec::new(),
            allowance: BURST_BYTES,
            counted: Instant::now(),
            dropped: Dropped::default(),
            ended: false,
        };
        let (group, stream) = (group.to_owned(), stream.to_owned());
        Ok(Arc::new(Self { pipe: pipe::Receiver::from_owned_fd(pipe)?, group, stream, logs, env, state: Mutex::new(state) }))
    }

    /// Reads until nobody can write any more.
    pub async fn pump(self: Arc<Self>) {
        while self.pipe.readable().await.is_ok() {
            // A chunk at a time, so that a process that never stops printing does not keep this thread to itself.
            let mut chunk = vec![0u8; CHUNK_BYTES];
            let mut state = self.lock();
            match self.pipe.try_read(&mut chunk) {
                Ok(0) => state.ended = true,
                Ok(count) => self.take(&mut state, &chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => state.ended = true,
            }
            if state.ended {
                self.end_line(&mut state);
                self.tell_dropped(&mut state);
                return;
            }
        }
    }

    /// Takes what the process has already printed, at most a megabyte of it: a runtime that posts its answer has printed before.
    pub fn drain(&self) {
        let mut chunk = vec![0u8; CHUNK_BYTES];
        let mut state = self.lock();
        for _ in 0..(1 << 20) / CHUNK_BYTES {
            // Not by way of tokio, which would say that there is nothing until it has heard otherwise.
            match nix::unistd::read(self.pipe.as_fd(), &mut chunk) {
                Ok(count) if count > 0 => self.take(&mut state, &chunk[..count]),
                _ => return,
            }
        }
    }

    /// Begins an invocation: what is logged from here on is its tail.
    pub fn begin_tail(&self) {
        self.lock().tail.clear();
    }

    /// The end of what was logged since [`Output::begin_tail`], at most 4 KiB, beginning with a whole character.
    pub fn tail(&self) -> Vec<u8> {
        let mut state = self.lock();
        let cut = state.tail.len().saturating_sub(TAIL_BYTES);
        let cut = (cut..state.tail.len()).find(|at| state.tail[*at] & 0xC0 != 0x80).unwrap_or(cut);
        state.tail.split_off(cut)
    }

    /// Ends what the process left without an end, and says what was dropped; then logs what the platform has to say.
    pub fn say(&self, events: &[Event<'_>]) {
        let mut state = self.lock();
        self.end_line(&mut state);
        self.tell_dropped(&mut state);
        self.write_events(&mut state, events);
    }

    fn write_events(&self, state: &mut State, events: &[Event<'_>]) {
        let time_ms = self.env.now_ms();
        let texts = events.iter().flat_map(|event| event.render(state.settings, time_ms));
        let lines: Vec<Line> = texts.map(|text| Line { time_ms, text }).collect();
        lines.iter().for_each(|line| state.keep_tail(line.text.as_bytes()));
        if !lines.is_empty() {
            self.logs.write(&self.group, &self.stream, lines);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, state: &mut State, chunk: &[u8]) {
        state.refill();
        let time_ms = self.env.now_ms();
        let mut lines = Vec::new();
        let mut rest = chunk;
        while !rest.is_empty() {
            let newline = rest.iter().position(|byte| *byte == b'\n');
            let room = LINE_BYTES_MAX - state.partial.len();
            let count = newline.map_or(rest.len(), |at| at + 1).min(room);
            let (piece, more) = rest.split_at(count);
            rest = more;
            let whole = piece.ends_with(b"\n");
            state.partial.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            if whole || state.partial.len() >= LINE_BYTES_MAX {
                lines.extend(state.finish(time_ms));
            }
        }
        if !lines.is_empty() {
            self.logs.write(&self.group, &self.stream, lines);
        }
    }

    fn end_line(&self, state: &mut State) {
        if !state.partial.is_empty() {
            let lines: Vec<Line> = state.finish(self.env.now_ms()).into_iter().collect();
            self.logs.write(&self.group, &self.stream, lines);
        }
    }

    fn tell_dropped(&self, state: &mut State) {
        let Dropped { lines, bytes } = std::mem::take(&mut state.dropped);
        if lines > 0 {
            let text = format!(
                "[MILLPOND] {lines} lines ({bytes} bytes) that were printed before this one are not logged: a function can print {} MB at once and {} MB a second",
                BURST_BYTES / 1e6,
                RATE_BYTES / 1e6
            );
            self.write_events(state, &[Event::Dropped { lines, bytes, text: &text }]);
        }
    }
}

impl State {
    fn refill(&mut self) {
        let now = Instant::now();
        let gained = now.duration_since(self.counted).as_secs_f64() * RATE_BYTES;
        self.allowance = (self.allowance + gained).min(BURST_BYTES);
        self.counted = now;
    }

    /// The line that is complete now; none where it comes too fast.
    fn finish(&mut self, time_ms: i64) -> Option<Line> {
        let bytes = std::mem::take(&mut self.partial);
        if !platform::wants(self.settings, &bytes) {
            return None;
        }
        self.keep_tail(&bytes);
        // A short line costs more than its bytes.
        let cost = (bytes.len() + 64) as f64;
        if self.allowance < cost {
            self.dropped.lines += 1;
            self.dropped.bytes += bytes.len() as u64 + 1;
            return None;
        }
        self.allowance -= cost;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        // Runtimes write the lines of one record with carriage returns between them.
        Some(Line { time_ms, text: text.replace('\r', "\n") })
    }

    fn keep_tail(&mut self, line: &[u8]) {
        let line = &line[line.len().saturating_sub(TAIL_BYTES)..];
        self.tail.extend_from_slice(line);
        self.tail.push(b'\n');
        if self.tail.len() > 4 * TAIL_BYTES {
            self.tail.drain(..self.tail.len() - TAIL_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::env::SystemEnv;
    use std::io::Write;

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<String>>);

    impl LogSink for Kept {
        fn write(&self, _group: &str, _stream: &str, lines: Vec<Line>) {
            self.0.lock().unwrap().extend(lines.into_iter().map(|line| line.text));
        }
    }

    fn output() -> (io::PipeWriter, Arc<Output>, Arc<Kept>) {
        let (reader, writer) = io::pipe().unwrap();
        let kept = Arc::new(Kept::default());
        let output = Output::new(reader.into(), ("g", "s"), LogSettings::default(), kept.clone(), Arc::new(SystemEnv)).unwrap();
        (writer, output, kept)
    }

    #[tokio::test]
    async fn output_is_cut_into_lines_and_a_carriage_return_keeps_lines_together() {
        let (mut writer, output, kept) = output();
        writer.write_all(b"one\n\ntwo\rthree\nfour\r\nfi").unwrap();
        output.drain();
        writer.write_all("v\u{e9}\nsix".as_bytes()).unwrap();
        output.drain();
        drop(writer);
        output.pump().await;
        assert_eq!(*kept.0.lock().unwrap(), ["one", "", "two\nthree", "four", "fiv\u{e9}", "six"]);
    }

    #[tokio::test]
    async fn a_line_that_never_ends_is_cut_and_a_flood_is_counted() {
        let (mut writer, output, kept) = output();
        let pump = tokio::spawn(output.pump());
        let total = 100_000_000usize;
        let flood = std::thread::spawn(move || {
            let block = vec![b'x'; 1_000_000];
            (0..total / block.len()).for_each(|_| writer.write_all(&block).unwrap());
        });
        pump.await.unwrap();
        flood.join().unwrap();
        let kept = kept.0.lock().unwrap();
        let logged: usize = kept.iter().filter(|line| line.starts_with('x')).map(String::len).sum();
        assert!(kept.iter().all(|line| line.len() <= LINE_BYTES_MAX));
        assert!(logged >= 15_000_000 && logged < total, "{logged}");
        let said = kept.last().unwrap();
        assert!(said.contains("are not logged"), "{said}");
        let dropped: usize = said.split('(').nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let lines: usize = said.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(logged + dropped - lines, total, "what was dropped is told truthfully");
    }

    #[tokio::test]
    async fn the_tail_is_the_last_four_kibibytes_and_begins_with_a_character() {
        let (mut writer, output, _) = output();
        writer.write_all(b"before\n").unwrap();
        output.drain();
        output.begin_tail();
        writer.write_all("\u{e9}".repeat(3_000).as_bytes()).unwrap();
        writer.write_all(b"\n").unwrap();
        output.drain();
        let tail = String::from_utf8(output.tail()).unwrap();
        assert!(tail.len() <= TAIL_BYTES && tail.starts_with('\u{e9}') && tail.ends_with("\u{e9}\n"));
    }
}
