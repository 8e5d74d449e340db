//! JSON with places: what a policy is read from, so that an error can say where and a statement where it stands.

use super::error::{PolicyError, Syntax};

/// Deeper nesting is refused: the deepest policy has five levels, and the stack has an end.
const DEPTH_MAX: usize = 16;

/// A value with the bytes that it takes in the text.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text, each name once.
    Object(Vec<Member>),
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where the name begins.
    pub(super) at: usize,
    pub(super) node: Node,
}

impl Value {
    /// What the value is, for messages.
    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Reads the whole text as one JSON value.
pub(super) fn read(text: &str) -> Result<Node, PolicyError> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let node = reader.value()?;
    reader.space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.error("the policy ends here, but more text follows")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn error(&self, detail: impl Into<String>) -> PolicyError {
        PolicyError::at(Syntax::Json.text(), detail, self.text, self.at)
    }

    fn expected(&self, what: &str) -> PolicyError {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => self.error(format!("expected {what}, found '{found}'")),
            None => self.error(format!("expected {what}, found the end of the text")),
        }
    }

    fn value(&mut self) -> Result<Node, PolicyError> {
        self.space();
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::list)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(_) => self.word()?,
            None => return Err(self.expected("a value")),
        };
        Ok(Node { value, start, end: self.at })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, PolicyError>) -> Result<Value, PolicyError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("the policy is nested deeper than {DEPTH_MAX} levels")));
        }
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value, PolicyError> {
        let mut members: Vec<Member> = Vec::new();
        let mut names = std::collections::HashSet::new();
        loop {
            self.space();
            let at = self.at;
            match self.peek() {
                Some(b'}') if members.is_empty() => break,
                Some(b'"') => {}
                _ => return Err(self.expected("a name in double quotes")),
            }
            let name = self.string()?;
            if !names.insert(name.clone()) {
                return Err(PolicyError::at(Syntax::Json.text(), format!("'{name}' comes twice here"), self.text, at));
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.expected("':'"));
            }
            self.at += 1;
            let node = self.value()?;
            members.push(Member { name, at, node });
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.expected("',' or '}'")),
            }
        }
        self.at += 1;
        Ok(Value::Object(members))
    }

    fn list(&mut self) -> Result<Value, PolicyError> {
        let mut items = Vec::new();
        loop {
            self.space();
            if self.peek() == Some(b']') && items.is_empty() {
                break;
            }
            items.push(self.value()?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.expected("',' or ']'")),
            }
        }
        self.at += 1;
        Ok(Value::List(items))
    }

    /// Escapes are left to `serde_json`, which knows them all.
    fn string(&mut self) -> Result<String, PolicyError> {
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let mut end = start + 1;
        loop {
            match bytes.get(end) {
                None => return Err(self.error("this string does not end")),
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
            }
        }
        let Ok(text) = serde_json::from_slice(&bytes[start..=end]) else {
            return Err(self.error("this is not a JSON string (an escape or a control character that JSON does not have)"));
        };
        self.at = end + 1;
        Ok(text)
    }

    fn word(&mut self) -> Result<Value, PolicyError> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))).unwrap_or(rest.len());
        let word = &rest[..end];
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number if number.parse::<serde_json::Number>().is_ok() => Value::Number(number.to_owned()),
            _ => return Err(self.expected("a JSON value")),
        };
        self.at += end;
        Ok(value)
    }
}
