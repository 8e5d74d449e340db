//! The text of Trino's types.

use super::TrinoType as T;
use super::trino::DEFAULT_PRECISION;

/// See [`T::parse`].
pub(super) fn parse(text: &str, depth_max: usize) -> Result<T, String> {
    let mut parser = Parser { words: words(text)?, at: 0, depth: depth_max };
    let parsed = parser.one()?;
    match parser.words.get(parser.at) {
        None => Ok(parsed),
        Some(word) => Err(format!("nothing may follow a type, found '{}'", word.text)),
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Word {
    text: String,
    quoted: bool,
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '"' | '`' => {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some(inner) if inner != c => name.push(inner),
                        Some(_) if chars.peek() == Some(&c) => name.extend(chars.next()),
                        Some(_) => break,
                        None => return Err("a quoted name is not closed".into()),
                    }
                }
                words.push(Word { text: name, quoted: true });
            }
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = String::from(c);
                while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(next);
                }
                words.push(Word { text: word.to_lowercase(), quoted: false });
            }
            '(' | ')' | '<' | '>' | ',' | ':' => words.push(Word { text: c.to_string(), quoted: false }),
            other => return Err(format!("'{other}' does not belong in a type")),
        }
    }
    Ok(words)
}

struct Parser {
    words: Vec<Word>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).filter(|word| !word.quoted).map(|word| word.text.as_str())
    }

    fn eat(&mut self, word: &str) -> bool {
        let there = self.peek() == Some(word);
        self.at += usize::from(there);
        there
    }

    fn eat_all(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        if words.iter().all(|word| self.eat(word)) {
            return true;
        }
        self.at = start;
        false
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.eat(word) {
            return Ok(());
        }
        Err(format!("expected '{word}', found '{}'", self.words.get(self.at).map_or("the end", |word| word.text.as_str())))
    }

    fn one(&mut self) -> Result<T, String> {
        if self.depth == 0 {
            return Err("the type nests too deep".into());
        }
        self.depth -= 1;
        let mut found = self.base()?;
        while self.eat("array") {
            found = T::Array(Box::new(found));
        }
        self.depth += 1;
        Ok(found)
    }

    fn base(&mut self) -> Result<T, String> {
        let Some(word) = self.words.get(self.at).cloned() else { return Err("expected a type, found the end".into()) };
        self.at += 1;
        Ok(match word.text.as_str() {
            "unknown" => T::Unknown,
            "boolean" | "bool" => T::Boolean,
            "tinyint" => T::TinyInt,
            "smallint" => T::SmallInt,
            "int" | "integer" => T::Integer,
            "bigint" | "long" => T::BigInt,
            "real" | "float" => T::Real,
            "double" => {
                self.eat("precision");
                T::Double
            }
            "decimal" | "numeric" | "dec" => self.decimal()?,
            "string" | "text" => T::Varchar(None),
            "varchar" => T::Varchar(self.number()?),
            "char" | "character" => T::Char(self.number()?.unwrap_or(1)),
            "varbinary" | "binary" => T::Varbinary,
            "date" => T::Date,
            "time" => self.clock(T::Time, T::TimeWithZone)?,
            "timestamp" => self.clock(T::Timestamp, T::TimestampWithZone)?,
            "interval year to month" => T::IntervalYearToMonth,
            "interval day to second" => T::IntervalDayToSecond,
            "interval" if self.eat_all(&["year", "to", "month"]) => T::IntervalYearToMonth,
            "interval" if self.eat_all(&["day", "to", "second"]) => T::IntervalDayToSecond,
            "json" => T::Json,
            "uuid" => T::Uuid,
            "ipaddress" => T::IpAddress,
            "array" => {
                let close = self.open()?;
                let item = self.one()?;
                self.expect(close)?;
                T::Array(Box::new(item))
            }
            "map" => {
                let close = self.open()?;
                let key = self.one()?;
                self.expect(",")?;
                let value = self.one()?;
                self.expect(close)?;
                T::Map(Box::new(key), Box::new(value))
            }
            "row" | "struct" => self.row()?,
            other => return Err(format!("Unknown type: {other}")),
        })
    }

    fn open(&mut self) -> Result<&'static str, String> {
        if self.eat("<") {
            return Ok(">");
        }
        self.expect("(")?;
        Ok(")")
    }

    /// A field is a type, or a name and a type: which one shows what stands behind the first word.
    fn row(&mut self) -> Result<T, String> {
        let close = self.open()?;
        let mut fields = Vec::new();
        loop {
            let (start, depth) = (self.at, self.depth);
            let unnamed = self.one();
            let ends = matches!(self.peek(), Some("," | ")" | ">"));
            match unnamed {
                Ok(field) if ends => fields.push((None, field)),
                _ => {
                    (self.at, self.depth) = (start, depth);
                    let Some(name) = self.words.get(self.at).cloned() else {
                        return Err("expected a field, found the end".into());
                    };
                    if !name.quoted && !name.text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                        return Err(format!("expected a field, found '{}'", name.text));
                    }
                    self.at += 1;
                    self.eat(":");
                    fields.push((Some(name.text.to_lowercase()), self.one()?));
                }
            }
            if !self.eat(",") {
                break;
            }
        }
        self.expect(close)?;
        Ok(T::Row(fields))
    }

    fn decimal(&mut self) -> Result<T, String> {
        if !self.eat("(") {
            return Ok(T::Decimal(38, 0));
        }
        let precision = self.digits()?;
        let scale = if self.eat(",") { self.digits()? } else { 0 };
        self.expect(")")?;
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(p @ 1..=38), Ok(s)) if s <= p => Ok(T::Decimal(p, s)),
            _ => Err(format!("decimal({precision},{scale}): precision must be 1 to 38, and scale at most that")),
        }
    }

    fn clock(&mut self, plain: fn(u8) -> T, zoned: fn(u8) -> T) -> Result<T, String> {
        let precision = match self.number()? {
            None => DEFAULT_PRECISION,
            Some(digits) => u8::try_from(digits).ok().filter(|digits| *digits <= 12).ok_or("precision must be 0 to 12")?,
        };
        if self.eat_all(&["with", "time", "zone"]) {
            return Ok(zoned(precision));
        }
        self.eat_all(&["without", "time", "zone"]);
        Ok(plain(precision))
    }

    /// `(n)`, if it is there.
    fn number(&mut self) -> Result<Option<u32>, String> {
        if !self.eat("(") {
            return Ok(None);
        }
        let number = self.digits()?;
        self.expect(")")?;
        Ok(Some(number))
    }

    fn digits(&mut self) -> Result<u32, String> {
        let word = self.words.get(self.at).map(|word| word.text.clone()).unwrap_or_default();
        self.at += 1;
        word.parse().map_err(|_| format!("expected a number, found '{word}'"))
    }
}
