//! Where top-level JSON values begin and end.
//!
//! Brackets and commas between values are passed over, so that `{…}\n{…}`, `{…} {…}`, `[{…}, {…}]` and several arrays in one file are all the same: a row
//! of objects. Only depth and strings are looked at; whether a value is right is for the parser to say.

/// A top-level value's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub start: usize,
    pub end: usize,
    /// Why this is no value.
    pub fault: Option<&'static str>,
}

/// Finds the last end of a value in a growing buffer.
#[derive(Debug, Default)]
pub(crate) struct Values;

impl Values {
    /// The end of the last value that surely ends in `data`; 0 where none does.
    pub fn last_end(&mut self, data: &[u8]) -> usize {
        let mut at = 0;
        while let Some(found) = next(data, at, false) {
            // What touches the end may go on behind it, and a fault may be cured by what follows.
            if found.end >= data.len() || (found.fault.is_some() && !data[found.end..].contains(&b'{')) {
                break;
            }
            at = found.end;
        }
        at
    }
}

/// Whether the first value of a file ends on its own line and another begins on the next, so that lines can be cut without looking into them.
pub(crate) fn is_lines(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let Some(start) = head.iter().position(|c| !c.is_ascii_whitespace()) else { return true };
    match head[start] {
        b'[' => false,
        b'{' => {
            let line = &head[start..][..memchr::memchr(b'\n', &head[start..]).unwrap_or(head.len() - start)];
            object_end(line).is_ok() && line.len() < head.len() - start
        }
        _ => true,
    }
}

/// The next value at or after `at`; with `lines_only`, no value reaches beyond its line.
pub(crate) fn next(data: &[u8], at: usize, lines_only: bool) -> Option<Found> {
    let between = |c: &u8| c.is_ascii_whitespace() || matches!(c, b',' | b'[' | b']' | 0x1e);
    let start = at + data[at..].iter().position(|c| !between(c))?;
    let line_end = start + memchr::memchr(b'\n', &data[start..]).unwrap_or(data.len() - start);
    let limit = if lines_only { line_end } else { data.len() };
    if data[start] != b'{' {
        // A number, a string, or something else that is no object.
        let end = data[start..line_end].iter().position(|c| matches!(c, b'{')).map_or(line_end, |n| start + n);
        return Some(Found { start, end, fault: Some("is not a JSON object") });
    }
    match object_end(&data[start..limit]) {
        Ok(length) => Some(Found { start, end: start + length, fault: None }),
        Err(fault) if lines_only => Some(Found { start, end: line_end, fault: Some(fault.reason) }),
        Err(fault) => Some(Found { start, end: resume(data, start + fault.at), fault: Some(fault.reason) }),
    }
}

/// After a broken value: the next line that begins with an object.
fn resume(data: &[u8], from: usize) -> usize {
    let mut at = from.min(data.len());
    while let Some(n) = memchr::memchr(b'\n', &data[at..]) {
        at += n + 1;
        let line = data[at..].trim_ascii_start();
        let line = line.strip_prefix(b"[").unwrap_or(line);
        if line.first() == Some(&b'{') {
            return at;
        }
    }
    data.len()
}

struct Fault {
    at: usize,
    reason: &'static str,
}

/// The length of the object that `data` begins with.
fn object_end(data: &[u8]) -> Result<usize, Fault> {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(&byte) = data.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            b'"' => at = string_end(data, at)?,
            _ => {}
        }
        at += 1;
    }
    // The first line is where the trouble most likely is: what follows is looked at again.
    Err(Fault { at: 0, reason: "is malformed JSON: the object is not closed" })
}

/// The closing quote of the string that begins at `open`. A line feed cannot be in one.
fn string_end(data: &[u8], open: usize) -> Result<usize, Fault> {
    let mut at = open + 1;
    while let Some(n) = memchr::memchr3(b'"', b'\\', b'\n', &data[at..]) {
        at += n;
        match data[at] {
            b'"' => return Ok(at),
            b'\\' => at = (at + 2).min(data.len()),
            _ => return Err(Fault { at: open, reason: "is malformed JSON: a string is not closed on its line" }),
        }
    }
    Err(Fault { at: open, reason: "is malformed JSON: a string is not closed" })
}
