//! Where functions, crawls and job runs write what they have to say, without knowing who keeps it.
//!
//! A line is something that happened in the past: it is handed over and not waited for. Whoever keeps lines bounds what it holds back, and says
//! in the stream itself how many lines it had to drop.

/// A line of a log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds since the Unix epoch, UTC.
    pub time_ms: i64,
    /// Without the newline at its end. It may hold newlines of its own (a stack trace is one line of a log).
    pub text: String,
}

impl Line {
    /// A line that was written at `time_ms`.
    pub fn new(time_ms: i64, text: impl Into<String>) -> Self {
        Self { time_ms, text: text.into() }
    }
}

/// Takes lines of log streams; group and stream are made when they are missing.
///
/// A sink never blocks and never fails its caller; the lines of one stream keep the order in which they were given. What it takes in is bounded:
/// lines that come faster than they can be kept are dropped, and counted in a line of the same stream.
pub trait LogSink: Send + Sync + std::fmt::Debug {
    /// Takes lines of one stream, for example of group `/aws/lambda/resize` and stream `2026/05/01/[$LATEST]0123…`.
    fn write(&self, group: &str, stream: &str, lines: Vec<Line>);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLogs;

impl LogSink for NoLogs {
    fn write(&self, _group: &str, _stream: &str, _lines: Vec<Line>) {}
}
