//! JSON read and written by RFC 8259, with its numbers as they are written.

use std::fmt::Write;

/// Deeper nesting is refused, so that hostile text cannot exhaust the stack.
const DEPTH_MAX: usize = 500;

/// A value. Objects keep the order of their members, and members that are there twice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole text. `grow` is told of the bytes that the tree takes, now and then, and says whether they may be taken.
    ///
    /// # Errors
    /// What is wrong, and at which byte; or `grow` did not agree.
    pub(crate) fn parse(text: &str, grow: &mut dyn FnMut(usize) -> bool) -> Result<Self, JsonError> {
        let mut reader = Reader { text, at: 0, grow, taken: 0 };
        reader.blanks();
        let value = reader.value(0)?;
        reader.blanks();
        if reader.at < text.len() {
            return reader.wrong("there is more behind the value");
        }
        Ok(value)
    }

    /// The member of an object: the last of that name.
    pub(crate) fn member(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Whether it is neither an object nor an array.
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// A scalar as plain text: texts without quotes. NULL and what is no scalar have none.
    pub(crate) fn plain(&self) -> Option<String> {
        match self {
            Self::Bool(value) => Some(value.to_string()),
            Self::Number(digits) => Some(digits.clone()),
            Self::Text(text) => Some(text.clone()),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// As `json_parse` gives it: members sorted by name, of those with one name the last; fractions as a `double` is written.
    pub(crate) fn canonical(self) -> Self {
        match self {
            Self::Number(digits) if digits.contains(['.', 'e', 'E']) => match digits.parse::<f64>() {
                Ok(value) if value.is_finite() => {
                    let mut out = String::new();
                    crate::result::value::write_double(value, &mut out);
                    Self::Number(out)
                }
                _ => Self::Number(digits),
            },
            Self::Array(items) => Self::Array(items.into_iter().map(Self::canonical).collect()),
            Self::Object(members) => {
                let sorted: std::collections::BTreeMap<String, Json> =
                    members.into_iter().map(|(name, value)| (name, value.canonical())).collect();
                Self::Object(sorted.into_iter().collect())
            }
            other => other,
        }
    }

    /// Without blanks.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(digits) => out.push_str(digits),
            Self::Text(text) => write_text(text, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

/// A text in quotes.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for one in text.chars() {
        match one {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => {
                write!(out, "\\u{:04X}", control as u32).expect("writing to a String does not fail");
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Why a text is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// It is not JSON: what is wrong, and at which byte.
    Wrong(String),
    /// There is no memory for its tree.
    TooLarge,
}

/// What a text takes besides its bytes, at the least.
const HEAP_BYTES: usize = 16;
/// Trees of fewer bytes are not told of.
const BYTES_TOLD: usize = 1 << 20;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    grow: &'a mut dyn FnMut(usize) -> bool,
    /// Bytes of the tree that `grow` does not know of.
    taken: usize,
}

impl Reader<'_> {
    fn wrong<T>(&self, what: &str) -> Result<T, JsonError> {
        Err(JsonError::Wrong(format!("{what} (at byte {})", self.at)))
    }

    /// Counts a value with a text of so many bytes.
    fn take_memory(&mut self, text: usize) -> Result<(), JsonError> {
        self.taken += size_of::<(String, Json)>() + text;
        match self.taken < BYTES_TOLD || (self.grow)(std::mem::take(&mut self.taken)) {
            true => Ok(()),
            false => Err(JsonError::TooLarge),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > DEPTH_MAX {
            return self.wrong(&format!("it is nested deeper than {DEPTH_MAX} levels"));
        }
        let from = self.at;
        let value = self.any(depth)?;
        let is_text = matches!(value, Json::Text(_) | Json::Number(_));
        self.take_memory(if is_text { HEAP_BYTES + self.at - from } else { 0 })?;
        Ok(value)
    }

    fn any(&mut self, depth: usize) -> Result<Json, JsonError> {
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let words = [("true", Json::Bool(true)), ("false", Json::Bool(false)), ("null", Json::Null)];
                for (word, value) in words {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                self.wrong("a value is missing")
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut members = Vec::new();
        self.blanks();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return self.wrong("a member's name is missing");
            }
            let name = self.string()?;
            self.taken += HEAP_BYTES + name.len();
            self.blanks();
            if !self.take(b':') {
                return self.wrong("a colon is missing");
            }
            self.blanks();
            members.push((name, self.value(depth + 1)?));
            self.blanks();
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.take(b',') {
                return self.wrong("a comma or the object's end is missing");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            self.blanks();
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            if !self.take(b',') {
                return self.wrong("a comma or the array's end is missing");
            }
        }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        self.take(b'-');
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while matches!(reader.peek(), Some(b'0'..=b'9')) {
                reader.at += 1;
            }
            reader.at - from
        };
        let leading = self.peek() == Some(b'0');
        let whole = digits(self);
        if whole == 0 || (leading && whole > 1) {
            return self.wrong("a number has no digits, or begins with 0");
        }
        if self.take(b'.') && digits(self) == 0 {
            return self.wrong("a fraction has no digits");
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if !self.take(b'+') {
                self.take(b'-');
            }
            if digits(self) == 0 {
                return self.wrong("an exponent has no digits");
            }
        }
        Ok(Json::Number(self.text[start..self.at].to_owned()))
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(length) = rest.find(|one: char| one == '"' || one == '\\' || one < ' ') else {
                return self.wrong("a text has no end");
            };
            out.push_str(&rest[..length]);
            self.at += length + 1;
            match rest.as_bytes()[length] {
                b'"' => return Ok(out),
                b'\\' => out.push(self.escape()?),
                _ => return self.wrong("a text has a control character"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let Some(kind) = self.peek() else { return self.wrong("a text has no end") };
        self.at += 1;
        Ok(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                if !(0xD800..0xDC00).contains(&first) {
                    return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                if !(self.take(b'\\') && self.take(b'u')) {
                    return self.wrong("half a surrogate pair");
                }
                let second = self.unit()?;
                let code = 0x10000 + ((first - 0xD800) << 10) + second.wrapping_sub(0xDC00);
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return self.wrong("an unknown escape"),
        })
    }

    fn unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|one| one.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return self.wrong("an escape has four hex digits");
        };
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Json, JsonError> {
        Json::parse(text, &mut |_| true)
    }

    #[test]
    fn json_goes_both_ways() {
        for text in ["null", "[1,2.50,-3e5]", r#"{"b":[{}],"a":"x\ny\"\\"}"#, r#""é😀""#, "[]"] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        assert_eq!(
            read(r#" { "b" : 1.0e1, "a" : 2, "b": "\ud83d\ude00" } "#).unwrap().canonical().to_string(),
            r#"{"a":2,"b":"😀"}"#
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "[1,]", "01", "1.", "-", "nul", "'a'", "[1] 2", r#"{"a"}"#, "\"\\x\"", "\"a", r#""\ud800""#, "NaN"]
        {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }
}
