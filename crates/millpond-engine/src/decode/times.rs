//! Timestamps and dates in forms that a table names, besides the usual ones.

use super::time_pattern::TimePattern;
use super::values;

/// The forms of one table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    patterns: Vec<TimePattern>,
    /// Whole numbers are milliseconds since 1970.
    millis: bool,
    /// Whole numbers are days or milliseconds since 1970.
    epoch: bool,
}

impl Times {
    /// `formats` were found good by `Format::of`.
    pub fn new(formats: &[String], epoch: bool) -> Self {
        let patterns = formats.iter().filter_map(|format| TimePattern::parse(format).ok()).collect();
        Self { patterns, millis: formats.iter().any(|format| format == MILLIS), epoch }
    }

    /// Microseconds since the epoch.
    pub fn timestamp(&self, text: &[u8]) -> Option<i64> {
        values::timestamp(text).or_else(|| self.other(text))
    }

    #[cold]
    fn other(&self, text: &[u8]) -> Option<i64> {
        if !self.patterns.is_empty()
            && let Ok(text) = std::str::from_utf8(text)
            && let Some(micros) = self.patterns.iter().find_map(|pattern| pattern.read(text))
        {
            return Some(micros);
        }
        if self.millis || self.epoch { values::integer(text)?.checked_mul(1_000) } else { None }
    }

    /// Days since the epoch.
    pub fn date(&self, text: &[u8]) -> Option<i32> {
        values::date(text).or_else(|| if self.epoch { values::integer(text)?.try_into().ok() } else { None })
    }
}

/// The name of milliseconds since 1970 among patterns (Athena user guide, "Hive JSON SerDe", `timestamp.formats`).
pub(crate) const MILLIS: &str = "millis";
