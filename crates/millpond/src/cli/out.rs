//! Printing: to standard output, without panicking when a reader such as `head` has enough.

use anyhow::Error;
use millpond_core::env::iso8601;
use std::io::{self, Write};

/// Writes a text and a line break.
pub fn line(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_ref().as_bytes()).and_then(|()| out.write_all(b"\n"));
    finish(written);
}

/// Writes out what is buffered.
pub fn flush() {
    finish(io::stdout().lock().flush());
}

fn finish(written: io::Result<()>) {
    match written {
        Ok(()) => {}
        // The reader went away; nothing of what follows is of use to anybody.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("millpond: standard output cannot be written: {error}");
            std::process::exit(1);
        }
    }
}

/// An error for people: its causes in one line, each said once.
pub fn explain(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

/// Bytes for people: `31.1 MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1000.0, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A count with separators: `336,776`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of things: `1 file`, `12 files`.
pub fn things(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A duration for people: `3 ms`, `1.24 s`, `2 min 5 s`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{:.2} s", ms as f64 / 1000.0),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// A time for people, in UTC: `2026-11-20 12:01:02`.
pub fn time(epoch_ms: i64) -> String {
    iso8601(epoch_ms, false).replace('T', " ").replace('Z', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!([bytes(999), bytes(1000), bytes(31_053_850), bytes(999_999)], ["999 B", "1.0 kB", "31.1 MB", "1.0 MB"]);
        assert_eq!([count(0), count(999), count(336_776), count(1_000_000)], ["0", "999", "336,776", "1,000,000"]);
        assert_eq!([things(1, "file"), things(0, "file")], ["1 file", "0 files"]);
        assert_eq!([duration(3), duration(1240), duration(125_000)], ["3 ms", "1.24 s", "2 min 5 s"]);
        assert_eq!(time(0), "1970-01-01 00:00:00");
    }

    #[test]
    fn an_error_says_each_cause_once() {
        let error =
            Err::<(), _>(anyhow::anyhow!("disk full")).context("cannot write: disk full").context("put failed").unwrap_err();
        assert_eq!(explain(&error), "put failed: cannot write: disk full");
    }
}
