//! What a script prints: read from its pipes, cut into lines, sent to log streams. Nothing of it is lost: a script that prints faster than logs are
//! written waits.

use millpond_core::env::SharedEnv;
use millpond_core::log::{Line, LogSink};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// A longer line becomes several, as with functions.
const LINE_BYTES_MAX: usize = 256 << 10;

/// What a script prints a second on average before it waits: less than a log stream takes.
const RATE_BYTES: f64 = 4e6;

/// And at once: less than a log stream holds back.
const BURST_BYTES: f64 = 2e6;

/// How much is taken from a pipe at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// What a line costs besides its bytes.
const LINE_BYTES: usize = 64;

/// A log stream: its group and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// For example `/aws-glue/jobs/output`.
    pub group: String,
    /// For example the run's id.
    pub name: String,
}

/// Reads lines until nobody can write any more, and sends them to all `streams`.
pub async fn pump(pipe: OwnedFd, streams: Vec<Stream>, logs: Arc<dyn LogSink>, env: SharedEnv) {
    let Ok(mut pipe) = pipe::Receiver::from_owned_fd(pipe) else { return };
    let mut lines = Lines::default();
    let mut pace = Pace::new();
    let mut chunk = vec![0u8; CHUNK_BYTES];
    loop {
        let count = pipe.read(&mut chunk).await.unwrap_or(0);
        let complete = if count == 0 { lines.end() } else { lines.take(&chunk[..count]) };
        let cost: usize = complete.iter().map(|text| text.len() + LINE_BYTES).sum();
        let time_ms = env.now_ms();
        for stream in streams.iter().filter(|_| !complete.is_empty()) {
            let batch = complete.iter().map(|text| Line::new(time_ms, text.clone())).collect();
            logs.write(&stream.group, &stream.name, batch);
        }
        if count == 0 {
            return;
        }
        pace.spend(cost * streams.len()).await;
    }
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    fn take(&mut self, mut rest: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let newline = rest.iter().position(|byte| *byte == b'\n');
            let room = LINE_BYTES_MAX - self.partial.len();
            let count = newline.map_or(rest.len(), |at| at + 1).min(room);
            let (piece, more) = rest.split_at(count);
            rest = more;
            self.partial.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            if piece.ends_with(b"\n") || self.partial.len() >= LINE_BYTES_MAX {
                lines.push(self.finish());
            }
        }
        lines
    }

    fn finish(&mut self) -> String {
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        text.strip_suffix('\r').unwrap_or(&text).replace('\r', "\n")
    }

    fn end(&mut self) -> Vec<String> {
        if self.partial.is_empty() { Vec::new() } else { vec![self.finish()] }
    }
}

/// Lets through [`RATE_BYTES`] a second.
struct Pace {
    allowance: f64,
    counted: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { allowance: BURST_BYTES, counted: Instant::now() }
    }

    async fn spend(&mut self, bytes: usize) {
        let now = Instant::now();
        let gained = now.duration_since(self.counted).as_secs_f64() * RATE_BYTES;
        self.allowance = (self.allowance + gained).min(BURST_BYTES) - bytes as f64;
        self.counted = now;
        if self.allowance < 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(-self.allowance / RATE_BYTES)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::env::SystemEnv;
    use std::io::Write;
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<(String, String)>>);

    impl LogSink for Kept {
        fn write(&self, group: &str, _stream: &str, lines: Vec<Line>) {
            self.0.lock().unwrap().extend(lines.into_iter().map(|line| (group.to_owned(), line.text)));
        }
    }

    #[tokio::test]
    async fn every_line_reaches_every_stream_whole_or_cut() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let kept = Arc::new(Kept::default());
        let streams = ["a", "b"].map(|group| Stream { group: group.into(), name: "s".into() });
        let pump = tokio::spawn(pump(reader.into(), streams.to_vec(), kept.clone(), Arc::new(SystemEnv)));
        let long = "x".repeat(LINE_BYTES_MAX + 5);
        let text = format!("one\r\n\ntwo\n{long}\nlast without an end");
        let written = std::thread::spawn(move || writer.write_all(text.as_bytes()).unwrap());
        pump.await.unwrap();
        written.join().unwrap();
        let kept = kept.0.lock().unwrap();
        for group in ["a", "b"] {
            let lines: Vec<&str> = kept.iter().filter(|(of, _)| of == group).map(|(_, text)| text.as_str()).collect();
            assert_eq!((lines[0], lines[1], lines[2], lines[5]), ("one", "", "two", "last without an end"));
            assert_eq!((lines[3].len(), lines[4]), (LINE_BYTES_MAX, "xxxxx"));
        }
    }
}
