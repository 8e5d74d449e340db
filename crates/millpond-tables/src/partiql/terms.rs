//! Literals, and what is set.

use super::StatementError;
use super::condition::OPERAND_DEPTH_MAX;
use super::lexer::{Kind, unquoted};
use super::parser::{Parsed, Parser};
use crate::expression::{Action, Operand, Path, Term};
use crate::number::Number;
use crate::value::{DEPTH_MAX, Item, Kind as Type, NAME_BYTES_MAX, Value, ValueError, json};
use std::fmt::Write as _;

pub(super) fn plain(message: impl Into<String>) -> StatementError {
    StatementError::new(message)
}

fn invalid_value(error: ValueError) -> StatementError {
    StatementError::new(error.to_string())
}

impl Parser<'_> {
    /// What is set at a path.
    pub(super) fn set(&mut self, path: Path) -> Parsed<Action> {
        for name in ["set_add", "set_delete"] {
            if self.is_keyword(name) && self.slice(self.at + 1) == "(" {
                return self.set_function(path, name);
            }
        }
        let mut open = 0;
        while self.sum_in_parentheses() {
            self.at += 1;
            open += 1;
        }
        let left = self.term(0)?;
        let term = if self.is("+") || self.is("-") {
            let sign = self.current();
            self.at += 1;
            self.operators += 1;
            let right = self.term(0)?;
            for operand in [&left, &right] {
                if let Some(kind) = operand.kind().filter(|kind| *kind != Type::Number) {
                    return Err(operand_type(sign, kind.name()));
                }
            }
            let (left, right) = (Box::new(left), Box::new(right));
            if sign == "+" { Term::Plus(left, right) } else { Term::Minus(left, right) }
        } else {
            left
        };
        for _ in 0..open {
            self.expect(")", "Expected RIGHT_PAREN")?;
        }
        Ok(Action::Set(path, term))
    }

    /// `(a + b)`: the parenthesis here is the sum's if the sum does not go on behind it.
    fn sum_in_parentheses(&self) -> bool {
        let behind = self.closing[self.at].checked_add(1);
        self.is("(") && behind.is_some_and(|behind| !matches!(self.slice(behind), "+" | "-"))
    }

    /// `set_add(path, <<…>>)` and `set_delete`.
    fn set_function(&mut self, path: Path, name: &str) -> Parsed<Action> {
        let start = self.at;
        self.at += 1;
        let first = self.at + 1;
        let operands = self.operands(1)?;
        let upper = name.to_ascii_uppercase();
        let [target, set] = operands.as_slice() else {
            return Err(plain(format!("{upper} must have exactly two arguments at {}", self.place(start))));
        };
        if !matches!(target, Operand::Path(target) if *target == path) {
            return Err(plain(format!("The first argument to {upper} must equal the assignment value at {}", self.place(start))));
        }
        match set {
            Operand::Value(set) if matches!(set.kind(), Type::StringSet | Type::NumberSet | Type::BinarySet) => {
                let set = set.clone();
                Ok(if name == "set_add" { Action::Add(path, set) } else { Action::Delete(path, set) })
            }
            _ => Err(plain(format!("The second argument to {upper} must be a value with type SET at {}", self.place(first)))),
        }
    }

    /// A part of what is set.
    fn term(&mut self, depth: usize) -> Parsed<Term> {
        if depth > OPERAND_DEPTH_MAX {
            return Err(self.malformed("Too many levels"));
        }
        if self.take("(") {
            let term = self.term(depth + 1)?;
            self.expect(")", "Expected RIGHT_PAREN")?;
            return Ok(term);
        }
        if self.starts_literal() {
            return Ok(Term::Value(self.literal(&mut String::from("root"), 0)?));
        }
        if self.token().kind == Kind::Word && self.slice(self.at + 1) == "(" {
            return self.term_function(depth);
        }
        match self.token().kind {
            Kind::Word if self.is_any_keyword() => Err(self.malformed("Unexpected keyword")),
            Kind::Word | Kind::Quoted => Ok(Term::Path(self.path()?)),
            _ => Err(self.malformed("Unexpected term")),
        }
    }

    fn term_function(&mut self, depth: usize) -> Parsed<Term> {
        let start = self.at;
        let name = self.current().to_ascii_lowercase();
        if !matches!(name.as_str(), "list_append" | "if_not_exists") {
            return Err(plain(format!("Unrecognized function: {name} at {}", self.place(start))));
        }
        self.at += 2;
        let mut terms = Vec::new();
        if !self.take(")") {
            loop {
                terms.push(self.term(depth + 1)?);
                if !self.take(",") {
                    self.expect(")", "Expected RIGHT_PAREN")?;
                    break;
                }
            }
        }
        let count = terms.len();
        let mut terms = terms.into_iter();
        let (Some(first), Some(second), None) = (terms.next(), terms.next(), terms.next()) else {
            return Err(operand_count(&name, count));
        };
        if name == "if_not_exists" {
            let Term::Path(path) = first else {
                return Err(plain(format!("Operator or function requires a document path; operator or function: {name}")));
            };
            return Ok(Term::IfNotExists(path, Box::new(second)));
        }
        for operand in [&first, &second] {
            if let Some(kind) = operand.kind().filter(|kind| *kind != Type::List) {
                return Err(operand_type(&name, kind.name()));
            }
        }
        Ok(Term::ListAppend(Box::new(first), Box::new(second)))
    }

    /// An item: a literal map, or a parameter that is one.
    pub(super) fn item(&mut self) -> Parsed<Item> {
        if !self.take("{") {
            return match self.literal(&mut String::from("root"), 0)? {
                Value::Map(item) => Ok(item),
                _ => Err(plain("The VALUE of an INSERT must be a map of attributes")),
            };
        }
        // Each attribute is the root of what is in it.
        self.members(|parser| parser.literal(&mut String::from("root"), 0))
    }

    /// Behind `{`: members, and `}`.
    fn members(&mut self, mut value: impl FnMut(&mut Self) -> Parsed<Value>) -> Parsed<Item> {
        let mut members = Item::new();
        if self.take("}") {
            return Ok(members);
        }
        loop {
            let name = match self.token().kind {
                Kind::Text | Kind::Quoted => unquoted(self.current()),
                _ => return Err(self.malformed("Expected a name in quotes")),
            };
            if name.is_empty() || name.len() > NAME_BYTES_MAX {
                return Err(self.malformed("The name of an attribute is empty or longer than 65535 bytes"));
            }
            let place = self.at;
            self.at += 1;
            self.expect(":", "Expected COLON")?;
            let value = value(self)?;
            if members.insert(name, value).is_some() {
                self.at = place;
                return Err(self.malformed("The attribute is named twice"));
            }
            if !self.take(",") {
                self.expect("}", "Expected RIGHT_CURLY")?;
                return Ok(members);
            }
        }
    }

    pub(super) fn starts_literal(&self) -> bool {
        match self.token().kind {
            Kind::Text | Kind::Number => true,
            Kind::Word => ["NULL", "TRUE", "FALSE"].iter().any(|word| self.is_keyword(word)),
            Kind::Symbol => {
                matches!(self.current(), "[" | "<<" | "{" | "?")
                    || matches!(self.current(), "-" | "+")
                        && self.tokens.get(self.at + 1).is_some_and(|next| next.kind == Kind::Number)
            }
            Kind::Quoted | Kind::End => false,
        }
    }

    /// A constant; `place` is where it is in the value: `root.a[1]`.
    pub(super) fn literal(&mut self, place: &mut String, depth: usize) -> Parsed<Value> {
        if depth > DEPTH_MAX {
            return Err(invalid_value(ValueError::Depth));
        }
        let token = self.current();
        match self.token().kind {
            Kind::Text => {
                self.at += 1;
                return Ok(Value::String(unquoted(token)));
            }
            Kind::Number => return self.number("", place),
            Kind::Word => {
                let value = match token.to_ascii_uppercase().as_str() {
                    "NULL" => Value::Null,
                    "TRUE" => Value::Bool(true),
                    "FALSE" => Value::Bool(false),
                    "MISSING" => return Err(self.malformed("MISSING is no value")),
                    name if self.slice(self.at + 1) == "(" => {
                        return Err(plain(format!(
                            "Unsupported data type: {} under key {place} at {}",
                            name.to_ascii_lowercase(),
                            self.place(self.at)
                        )));
                    }
                    _ => return Err(self.malformed("Unexpected term")),
                };
                self.at += 1;
                return Ok(value);
            }
            Kind::Symbol => {}
            Kind::Quoted | Kind::End => return Err(self.malformed("Unexpected term")),
        }
        self.at += 1;
        match token {
            "?" => self.parameter(depth),
            "-" | "+" if self.token().kind == Kind::Number => self.number(token, place),
            "[" => self.list("]", place, depth).map(Value::List),
            "<<" => {
                let elements = self.list(">>", place, depth)?;
                set(elements)
            }
            "{" => {
                let length = place.len();
                let members = self.members(|parser| {
                    // The name is two tokens back: `'name' :`.
                    let _ = write!(place, ".{}", unquoted(parser.slice(parser.at.saturating_sub(2))));
                    let value = parser.literal(place, depth + 1)?;
                    place.truncate(length);
                    Ok(value)
                })?;
                Ok(Value::Map(members))
            }
            _ => {
                self.at -= 1;
                Err(self.malformed("Unexpected term"))
            }
        }
    }

    fn list(&mut self, end: &str, place: &mut String, depth: usize) -> Parsed<Vec<Value>> {
        let mut elements = Vec::new();
        if self.take(end) {
            return Ok(elements);
        }
        let length = place.len();
        loop {
            let _ = write!(place, "[{}]", elements.len());
            elements.push(self.literal(place, depth + 1)?);
            place.truncate(length);
            if !self.take(",") {
                self.expect(end, if end == "]" { "Expected RIGHT_BRACKET" } else { "Expected RIGHT_DOUBLE_ANGLE_BRACKET" })?;
                return Ok(elements);
            }
        }
    }

    fn number(&mut self, sign: &str, place: &str) -> Parsed<Value> {
        let number: Number =
            format!("{sign}{}", self.current()).parse().map_err(|error| plain(format!("{error} under {place}")))?;
        self.at += 1;
        Ok(Value::Number(number))
    }

    /// Behind `?`.
    fn parameter(&mut self, depth: usize) -> Parsed<Value> {
        let value = self.parameters.get(self.used).cloned();
        self.used += 1;
        let count = self.parameters.len();
        let value = value.ok_or_else(|| {
            plain(format!(
                "Number of parameters in request and statement don't match: the request has {count}, the statement more"
            ))
        })?;
        if depth + value.depth() > DEPTH_MAX { Err(invalid_value(ValueError::Depth)) } else { Ok(value) }
    }
}

pub(super) fn operand_type(operator: &str, kind: &str) -> StatementError {
    plain(format!("Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}"))
}

pub(super) fn operand_count(function: &str, count: usize) -> StatementError {
    plain(format!(
        "Incorrect number of operands for operator or function; operator or function: {function}, number of operands: {count}"
    ))
}

/// `<<…>>`: a set of one type.
fn set(elements: Vec<Value>) -> Parsed<Value> {
    let mixed = || plain("The elements of a set must be all strings, all numbers or all binaries");
    let Some(first) = elements.first() else { return Err(plain("Empty bags are not supported")) };
    match first.kind() {
        Type::String => {
            let texts = elements.into_iter().map(|element| if let Value::String(text) = element { Some(text) } else { None });
            json::string_set(texts.collect::<Option<_>>().ok_or_else(mixed)?).map(Value::StringSet)
        }
        Type::Number => {
            let numbers = elements.iter().map(Value::as_number);
            json::number_set(numbers.collect::<Option<_>>().ok_or_else(mixed)?).map(Value::NumberSet)
        }
        Type::Binary => {
            let all = elements.into_iter().map(|element| if let Value::Binary(bytes) = element { Some(bytes) } else { None });
            json::binary_set(all.collect::<Option<_>>().ok_or_else(mixed)?).map(Value::BinarySet)
        }
        _ => return Err(mixed()),
    }
    .map_err(invalid_value)
}
