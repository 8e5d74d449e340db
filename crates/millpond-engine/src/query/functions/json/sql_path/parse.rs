//! From a path's text to its tree.

use super::{Expr, Parsed, Predicate};
use crate::query::functions::json::value::Json;

/// Deeper nesting is refused, so that hostile text cannot exhaust the stack.
const DEPTH_MAX: usize = 100;

pub(super) struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, depth: 0 }
    }

    /// Nothing may be left.
    pub(super) fn end(&mut self) -> Parsed<()> {
        self.blanks();
        if self.rest.is_empty() { Ok(()) } else { self.wrong("there is more behind the path") }
    }

    pub(super) fn wrong<T>(&self, what: &str) -> Parsed<T> {
        let near: String = self.rest.chars().take(30).collect();
        Err(format!("{what}, at '{near}'"))
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn sign(&mut self, sign: &str) -> bool {
        self.blanks();
        let after = self.rest.strip_prefix(sign);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    pub(super) fn word(&mut self, word: &str) -> bool {
        self.blanks();
        match self.rest.strip_prefix(word) {
            Some(after) if !after.starts_with(|one: char| one.is_alphanumeric() || one == '_') => {
                self.rest = after;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.sign(sign) { Ok(()) } else { self.wrong(&format!("'{sign}' is missing")) }
    }

    fn name(&mut self) -> Parsed<String> {
        let end = self.rest.find(|one: char| !one.is_alphanumeric() && one != '_').unwrap_or(self.rest.len());
        if end == 0 {
            return self.wrong("a name is missing");
        }
        let (name, after) = self.rest.split_at(end);
        self.rest = after;
        Ok(name.to_owned())
    }

    fn text(&mut self) -> Parsed<String> {
        let mut out = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, one)) = characters.next() {
            match one {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(out);
                }
                '\\' => out.extend(characters.next().map(|(_, escaped)| escaped)),
                other => out.push(other),
            }
        }
        self.wrong("a text has no end")
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.wrong("the path is nested too deep");
        }
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    fn chain(&mut self, signs: &[char], next: fn(&mut Self) -> Parsed<Expr>) -> Parsed<Expr> {
        let mut left = next(self)?;
        let mut count = 0;
        loop {
            self.blanks();
            let Some(sign) = self.rest.chars().next().filter(|sign| signs.contains(sign)) else { return Ok(left) };
            self.rest = &self.rest[1..];
            count += 1;
            if count > DEPTH_MAX {
                return self.wrong("the path has too many operators");
            }
            left = Expr::Binary(sign, Box::new(left), Box::new(next(self)?));
        }
    }

    pub(super) fn sum(&mut self) -> Parsed<Expr> {
        self.deeper(|parser| parser.chain(&['+', '-'], Self::product))
    }

    fn product(&mut self) -> Parsed<Expr> {
        self.chain(&['*', '/', '%'], Self::unary)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        if self.sign("-") {
            return Ok(Expr::Negative(Box::new(self.deeper(Self::unary)?)));
        }
        if self.sign("+") {
            return self.deeper(Self::unary);
        }
        self.accessor()
    }

    fn accessor(&mut self) -> Parsed<Expr> {
        let mut expr = self.primary()?;
        for steps in 0.. {
            if steps > DEPTH_MAX {
                return self.wrong("the path has too many steps");
            }
            if self.sign("..") {
                let name = if self.rest.starts_with('"') { self.text()? } else { self.name()? };
                expr = Expr::Descendants(Box::new(expr), name);
            } else if self.sign(".*") {
                expr = Expr::Members(Box::new(expr));
            } else if self.sign(".") {
                if self.rest.starts_with('"') {
                    expr = Expr::Member(Box::new(expr), self.text()?);
                    continue;
                }
                let name = self.name()?;
                if self.sign("(") {
                    self.expect(")")?;
                    expr = Expr::Method(Box::new(expr), name);
                } else {
                    expr = Expr::Member(Box::new(expr), name);
                }
            } else if self.sign("[") {
                expr = self.subscripts(expr)?;
            } else if self.sign("?") {
                self.expect("(")?;
                let predicate = self.deeper(Self::or)?;
                self.expect(")")?;
                expr = Expr::Filter(Box::new(expr), Box::new(predicate));
            } else {
                break;
            }
        }
        Ok(expr)
    }

    fn subscripts(&mut self, of: Expr) -> Parsed<Expr> {
        if self.sign("*") {
            self.expect("]")?;
            return Ok(Expr::Items(Box::new(of), None));
        }
        let mut ranges = Vec::new();
        loop {
            let from = self.sum()?;
            let to = if self.word("to") { Some(self.sum()?) } else { None };
            ranges.push((from, to));
            if self.sign("]") {
                return Ok(Expr::Items(Box::new(of), Some(ranges)));
            }
            self.expect(",")?;
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        self.blanks();
        if self.sign("(") {
            let inner = self.sum()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if let Some(after) = self.rest.strip_prefix('$') {
            self.rest = after;
            if after.starts_with(|one: char| one.is_alphabetic() || one == '_') {
                return Ok(Expr::Variable(self.name()?));
            }
            return Ok(Expr::Context);
        }
        if self.sign("@") {
            return Ok(Expr::Current);
        }
        if self.rest.starts_with('"') {
            return Ok(Expr::Literal(Json::Text(self.text()?)));
        }
        for (word, expr) in [
            ("last", Expr::Last),
            ("true", Expr::Literal(Json::Bool(true))),
            ("false", Expr::Literal(Json::Bool(false))),
            ("null", Expr::Literal(Json::Null)),
        ] {
            if self.word(word) {
                return Ok(expr);
            }
        }
        let end = self.rest.find(|one: char| !one.is_ascii_digit() && one != '.').unwrap_or(self.rest.len());
        let digits = &self.rest[..end];
        if digits.parse::<f64>().is_err() {
            return self.wrong("a value is missing");
        }
        self.rest = &self.rest[end..];
        Ok(Expr::Literal(Json::Number(digits.to_owned())))
    }

    fn or(&mut self) -> Parsed<Predicate> {
        let mut left = self.and()?;
        while self.sign("||") {
            left = Predicate::Or(Box::new(left), Box::new(self.deeper(Self::and)?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed<Predicate> {
        let mut left = self.not()?;
        while self.sign("&&") {
            left = Predicate::And(Box::new(left), Box::new(self.deeper(Self::not)?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Parsed<Predicate> {
        if self.sign("!") {
            return Ok(Predicate::Not(Box::new(self.deeper(Self::not)?)));
        }
        if self.word("exists") {
            self.expect("(")?;
            let inner = self.sum()?;
            self.expect(")")?;
            return Ok(Predicate::Exists(inner));
        }
        // A parenthesis begins a condition, or a value that is compared.
        let before = (self.rest, self.depth);
        if self.sign("(")
            && let Ok(inner) = self.deeper(Self::or)
            && self.sign(")")
        {
            if self.word("is") {
                return if self.word("unknown") {
                    Ok(Predicate::Unknown(Box::new(inner)))
                } else {
                    self.wrong("'unknown' is missing")
                };
            }
            self.blanks();
            if !self.rest.starts_with(['=', '<', '>', '!', '+', '-', '*', '/', '%', '.']) {
                return Ok(inner);
            }
        }
        (self.rest, self.depth) = before;
        let left = self.sum()?;
        if self.word("starts") {
            if !self.word("with") {
                return self.wrong("'with' is missing");
            }
            return Ok(Predicate::StartsWith(left, self.sum()?));
        }
        for sign in ["==", "=", "<>", "!=", "<=", ">=", "<", ">"] {
            if self.sign(sign) {
                return Ok(Predicate::Compare(sign, left, self.sum()?));
            }
        }
        self.wrong("a comparison is missing")
    }
}
