//! JSON with places: what [`super::compile`] reads a pattern from, so that an error can say where.

use super::PatternError;

/// Deeper nesting is refused: no pattern needs it, and the stack has an end.
const DEPTH_MAX: usize = 64;

/// A place in the text; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>, Place),
    /// In the order of the text; a name may come twice.
    Object(Vec<(String, Node)>, Place),
}

/// A value, and the place that a message about it names: behind what was read when its kind was known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) at: Place,
    pub(super) end: Place,
}

impl Node {
    /// The value as the text would be written, for messages.
    pub(super) fn literal(&self) -> String {
        match &self.kind {
            Kind::Null => "null".into(),
            Kind::Bool(value) => value.to_string(),
            Kind::Number(value) => value.to_string(),
            Kind::Text(text) => text.clone(),
            Kind::List(..) => "[".into(),
            Kind::Object(..) => "{".into(),
        }
    }
}

pub(super) struct Reader<'a> {
    text: &'a str,
    rest: std::iter::Peekable<std::str::CharIndices<'a>>,
    place: Place,
    depth: usize,
}

/// Reads the whole text as one JSON value.
pub(super) fn read(text: &str) -> Result<Node, PatternError> {
    let place = Place { line: 1, column: 1 };
    let mut reader = Reader { text, rest: text.char_indices().peekable(), place, depth: 0 };
    let node = reader.value()?;
    reader.space();
    match reader.peek() {
        None => Ok(node),
        Some(found) => Err(reader.unexpected(found, "the end of the pattern")),
    }
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, c)| *c)
    }

    fn next(&mut self) -> Option<char> {
        let (_, c) = self.rest.next()?;
        match c {
            '\n' => self.place = Place { line: self.place.line + 1, column: 1 },
            _ => self.place.column += 1,
        }
        Some(c)
    }

    fn offset(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\r' | '\n')) {
            self.next();
        }
    }

    fn error(&self, reason: impl Into<String>) -> PatternError {
        PatternError::at(reason, self.text, self.place)
    }

    fn unexpected(&self, found: char, expected: &str) -> PatternError {
        self.error(format!("Unexpected character ('{found}' (code {})): was expecting {expected}", found as u32))
    }

    fn ended(&self) -> PatternError {
        self.error("Unexpected end-of-input")
    }

    fn value(&mut self) -> Result<Node, PatternError> {
        self.space();
        match self.peek() {
            None => Err(self.ended()),
            Some('{') => self.nested(Self::object),
            Some('[') => self.nested(Self::list),
            Some('"') => {
                self.next();
                let at = self.place;
                let text = self.text()?;
                Ok(Node { kind: Kind::Text(text), at, end: self.place })
            }
            Some(_) => self.word(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Node, PatternError>) -> Result<Node, PatternError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("The pattern is nested deeper than {DEPTH_MAX} levels")));
        }
        let node = read(self);
        self.depth -= 1;
        node
    }

    fn object(&mut self) -> Result<Node, PatternError> {
        self.next();
        let (at, mut members) = (self.place, Vec::new());
        loop {
            self.space();
            match self.peek() {
                Some('}') if members.is_empty() => break,
                Some('"') => {}
                Some(found) => return Err(self.unexpected(found, "double-quote to start field name")),
                None => return Err(self.ended()),
            }
            self.next();
            let name = self.text()?;
            self.space();
            match self.peek() {
                Some(':') => self.next(),
                Some(found) => return Err(self.unexpected(found, "a colon to separate field name and value")),
                None => return Err(self.ended()),
            };
            members.push((name, self.value()?));
            self.space();
            match self.peek() {
                Some(',') => self.next(),
                Some('}') => break,
                Some(found) => return Err(self.unexpected(found, "comma to separate Object entries")),
                None => return Err(self.ended()),
            };
        }
        self.next();
        Ok(Node { kind: Kind::Object(members, self.place), at, end: self.place })
    }

    fn list(&mut self) -> Result<Node, PatternError> {
        self.next();
        let (at, mut items) = (self.place, Vec::new());
        loop {
            self.space();
            if self.peek() == Some(']') && items.is_empty() {
                break;
            }
            items.push(self.value()?);
            self.space();
            match self.peek() {
                Some(',') => self.next(),
                Some(']') => break,
                Some(found) => return Err(self.unexpected(found, "comma to separate Array entries")),
                None => return Err(self.ended()),
            };
        }
        self.next();
        Ok(Node { kind: Kind::List(items, self.place), at, end: self.place })
    }

    /// The rest of a string whose opening quote was read. Escapes are left to `serde_json`, which knows them all.
    fn text(&mut self) -> Result<String, PatternError> {
        let start = self.offset();
        loop {
            let at = self.offset();
            match self.next() {
                None => return Err(self.ended()),
                Some('"') => {
                    let raw = &self.text[start - 1..=at];
                    return serde_json::from_str(raw).map_err(|_| self.error(format!("{raw} is not a JSON string")));
                }
                Some('\\') => {
                    self.next();
                }
                Some(_) => {}
            }
        }
    }

    fn word(&mut self) -> Result<Node, PatternError> {
        let start = self.offset();
        while let Some(c) = self.peek()
            && !matches!(c, ' ' | '\t' | '\r' | '\n' | ',' | ':' | ']' | '}' | '[' | '{' | '"')
        {
            self.next();
        }
        let end = self.offset();
        let word = &self.text[start..end];
        let kind = match word {
            "null" => Kind::Null,
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "" => {
                let found = self.peek().unwrap_or_default();
                return Err(self
                    .unexpected(found, "a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"));
            }
            number => match number.parse() {
                Ok(number) => Kind::Number(number),
                Err(_) => {
                    return Err(self.error(format!(
                        "Unrecognized token '{number}': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
                    )));
                }
            },
        };
        Ok(Node { kind, at: self.place, end: self.place })
    }
}
