//! Hive's tokens, with their places.

use crate::query::{Position, QueryError};

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// An unquoted name or keyword, as written.
    Word(String),
    /// A name in backticks or (Trino's way) double quotes; `"` may also be meant as a text.
    Quoted(String),
    /// A text in single quotes, unescaped; or in double quotes, where a text is expected.
    Text(String),
    /// Digits, with a fraction and exponent.
    Number(String),
    /// Everything else, one character at a time; `<=`, `>=`, `<>`, `!=` whole.
    Symbol(&'static str),
    /// What is no token; why. Only an error where it is reached, since the text of a query has rules of its own.
    Bad(String),
    End,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(text) | Self::Number(text) => f.write_str(text),
            Self::Quoted(text) => write!(f, "`{text}`"),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Symbol(text) => f.write_str(text),
            Self::Bad(text) => f.write_str(text),
            Self::End => f.write_str("<EOF>"),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) position: Position,
    /// In bytes.
    start: usize,
    /// Whether it stood in double quotes.
    double: bool,
}

/// Reads tokens one after another.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) sql: &'a str,
    tokens: Vec<Spanned>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(sql: &'a str) -> Self {
        Self { sql, tokens: Lexer { sql, at: 0, line: 1, column: 1 }.all(), at: 0 }
    }

    pub(super) fn peek(&self) -> &Spanned {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, count: usize) -> &Spanned {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + count).min(last)]
    }

    pub(super) fn next(&mut self) -> Spanned {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub(super) fn position(&self) -> Position {
        self.peek().position
    }

    /// Whether these words stand next.
    pub(super) fn sees(&self, words: &[&str]) -> bool {
        words
            .iter()
            .enumerate()
            .all(|(index, word)| matches!(&self.ahead(index).token, Token::Word(found) if found.eq_ignore_ascii_case(word)))
    }

    /// Takes these words, when they stand next.
    pub(super) fn takes(&mut self, words: &[&str]) -> bool {
        let seen = self.sees(words);
        if seen {
            self.at += words.len();
        }
        seen
    }

    pub(super) fn takes_symbol(&mut self, symbol: &str) -> bool {
        let seen = self.peek().token == Token::Symbol(symbol_of(symbol));
        if seen {
            self.next();
        }
        seen
    }

    pub(super) fn expect(&mut self, words: &[&str]) -> Result<(), QueryError> {
        for word in words {
            if !self.takes(&[word]) {
                return Err(self.unexpected(&[&format!("'{}'", word.to_uppercase())]));
            }
        }
        Ok(())
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<(), QueryError> {
        if self.takes_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&[&format!("'{symbol}'")])) }
    }

    /// A name, in lower case.
    pub(super) fn name(&mut self) -> Result<String, QueryError> {
        match &self.peek().token {
            Token::Word(name) | Token::Quoted(name) => {
                let name = name.to_lowercase();
                self.next();
                Ok(name)
            }
            _ => Err(self.unexpected(&["<identifier>"])),
        }
    }

    /// A text in quotes of either kind.
    pub(super) fn text(&mut self) -> Result<String, QueryError> {
        let spanned = self.peek();
        let text = match &spanned.token {
            Token::Text(text) => text.clone(),
            Token::Quoted(text) if spanned.double => text.clone(),
            _ => return Err(self.unexpected(&["<string>"])),
        };
        self.next();
        Ok(text)
    }

    /// A text, a number or a bare word: a partition's value.
    pub(super) fn value(&mut self) -> Result<String, QueryError> {
        if self.takes_symbol("-") {
            return Ok(format!("-{}", self.value()?));
        }
        match &self.peek().token {
            Token::Number(text) => {
                let text = text.clone();
                self.next();
                Ok(text)
            }
            // DATE '2024-01-01'
            Token::Word(word) if ["date", "timestamp"].contains(&word.to_lowercase().as_str()) => {
                self.next();
                self.text()
            }
            Token::Word(word) if word.eq_ignore_ascii_case("null") => {
                self.next();
                Ok(millpond_core::catalog::NULL_PARTITION.to_owned())
            }
            Token::Word(word) if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") => {
                let word = word.to_lowercase();
                self.next();
                Ok(word)
            }
            _ => self.text(),
        }
    }

    pub(super) fn number(&mut self) -> Result<u32, QueryError> {
        let parsed = match &self.peek().token {
            Token::Number(text) => text.parse().ok(),
            _ => None,
        };
        match parsed {
            Some(number) => {
                self.next();
                Ok(number)
            }
            None => Err(self.unexpected(&["<integer>"])),
        }
    }

    /// Nothing may follow but a semicolon.
    pub(super) fn end(&mut self) -> Result<(), QueryError> {
        while self.takes_symbol(";") {}
        if self.peek().token == Token::End { Ok(()) } else { Err(self.unexpected(&["<EOF>"])) }
    }

    pub(super) fn unexpected(&self, expecting: &[&str]) -> QueryError {
        let Spanned { token, position, .. } = self.peek();
        if let Token::Bad(why) = token {
            return QueryError::syntax(*position, why);
        }
        QueryError::syntax(*position, format!("mismatched input '{token}'. Expecting: {}", expecting.join(", ")))
    }

    /// The text from here to the end, without semicolons; the cursor is then at the end.
    pub(super) fn rest(&mut self) -> &'a str {
        let start = self.peek().start;
        self.at = self.tokens.len() - 1;
        self.sql[start..].trim_end_matches(|c: char| c == ';' || c.is_whitespace())
    }
}

const SYMBOLS: &[&str] = &[
    "(", ")", ",", ";", ".", "=", "<", ">", ":", "-", "+", "*", "/", "%", "[", "]", "{", "}", "?", "|", "&", "!", "@", "$", "^",
    "~", "#", "\\", "<=", ">=", "<>", "!=", "=>", "||",
];

fn symbol_of(text: &str) -> &'static str {
    SYMBOLS.iter().find(|symbol| **symbol == text).copied().unwrap_or("")
}

/// Where no token could be read, and why.
type Bad = (Position, String);

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    line: u64,
    column: u64,
}

impl Lexer<'_> {
    fn all(mut self) -> Vec<Spanned> {
        let mut tokens = Vec::new();
        loop {
            let skipped = self.skip();
            let (start, position) = (self.at, self.position());
            let double = self.peek() == Some('"');
            let token = skipped.and_then(|()| self.one());
            let failed = token.is_err();
            let (token, position) = token.map_or_else(|(at, why)| (Token::Bad(why), at), |token| (token, position));
            let last = failed || token == Token::End;
            tokens.push(Spanned { token, position, start, double });
            if last {
                // `rest` and `end` rely on an end.
                if failed {
                    tokens.push(Spanned { token: Token::End, position, start: self.sql.len(), double: false });
                }
                return tokens;
            }
        }
    }

    fn position(&self) -> Position {
        Position { line: self.line, column: self.column }
    }

    fn rest(&self) -> &str {
        &self.sql[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        if character == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(character)
    }

    /// Spaces and comments.
    fn skip(&mut self) -> Result<(), Bad> {
        loop {
            if self.peek().is_some_and(char::is_whitespace) {
                self.bump();
            } else if self.rest().starts_with("--") {
                while self.peek().is_some_and(|character| character != '\n') {
                    self.bump();
                }
            } else if self.rest().starts_with("/*") {
                let position = self.position();
                let Some(length) = self.rest().find("*/") else {
                    return Err((position, "a comment begins here and does not end: '*/' is missing".to_owned()));
                };
                let end = self.at + length + 2;
                while self.at < end {
                    self.bump();
                }
            } else {
                return Ok(());
            }
        }
    }

    fn one(&mut self) -> Result<Token, Bad> {
        let Some(first) = self.peek() else { return Ok(Token::End) };
        if first == '\'' {
            return self.text().map(Token::Text);
        }
        if first == '`' || first == '"' {
            return self.quoted(first).map(Token::Quoted);
        }
        let taken = |keep: &dyn Fn(char) -> bool, rest: &str| rest.find(|c: char| !keep(c)).unwrap_or(rest.len());
        if first.is_alphabetic() || first == '_' {
            let length = taken(&|c| c.is_alphanumeric() || c == '_' || c == '$', self.rest());
            return Ok(Token::Word(self.take(length)));
        }
        if first.is_ascii_digit() {
            let digits = taken(&|c| c.is_ascii_digit(), self.rest());
            let fraction = self.rest()[digits..].strip_prefix('.').map_or(0, |rest| 1 + taken(&|c| c.is_ascii_digit(), rest));
            // Names such as `2024_sales` begin with digits, and Hive takes them.
            let word = taken(&|c| c.is_alphanumeric() || c == '_', self.rest());
            if fraction == 0 && word > digits {
                return Ok(Token::Word(self.take(word)));
            }
            return Ok(Token::Number(self.take(digits + fraction)));
        }
        let symbol = SYMBOLS.iter().filter(|symbol| self.rest().starts_with(**symbol)).max_by_key(|symbol| symbol.len());
        match symbol {
            Some(symbol) => {
                self.take(symbol.len());
                Ok(Token::Symbol(symbol))
            }
            None => Err((self.position(), format!("extraneous input '{first}'"))),
        }
    }

    fn take(&mut self, length: usize) -> String {
        let end = self.at + length;
        let text = self.sql[self.at..end].to_owned();
        while self.at < end {
            self.bump();
        }
        text
    }

    /// A name; a quote in it is doubled.
    fn quoted(&mut self, quote: char) -> Result<String, Bad> {
        let position = self.position();
        self.bump();
        let mut text = String::new();
        while let Some(character) = self.bump() {
            if character == '\\' && quote == '"' {
                self.escape(&mut text);
            } else if character != quote {
                text.push(character);
            } else if self.peek() == Some(quote) {
                self.bump();
                text.push(quote);
            } else {
                return Ok(text);
            }
        }
        Err((position, format!("a quoted name begins here and does not end: {quote} is missing")))
    }

    /// A text. Quotes are escaped by a backslash, as Hive does, or doubled, as Trino does.
    fn text(&mut self) -> Result<String, Bad> {
        let position = self.position();
        self.bump();
        let mut text = String::new();
        while let Some(character) = self.bump() {
            match character {
                '\\' => self.escape(&mut text),
                '\'' if self.peek() == Some('\'') => {
                    self.bump();
                    text.push('\'');
                }
                '\'' => return Ok(text),
                other => text.push(other),
            }
        }
        Err((position, "a text begins here and does not end: ' is missing".to_owned()))
    }

    /// What a backslash and the following stand for (Hive's `unescapeSQLString`: `\t`, octal `\001`, `\u0001`).
    fn escape(&mut self, out: &mut String) {
        let octal = self
            .rest()
            .get(..3)
            .filter(|digits| digits.bytes().all(|b| (b'0'..=b'7').contains(&b)) && digits.as_bytes()[0] <= b'1');
        if let Some(code) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            self.take(3);
            out.push(char::from(code));
            return;
        }
        let unicode =
            self.rest().strip_prefix('u').and_then(|rest| rest.get(..4)).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        if let Some(character) = unicode.and_then(char::from_u32) {
            self.take(5);
            out.push(character);
            return;
        }
        match self.bump() {
            Some('0') => out.push('\0'),
            Some('b') => out.push('\u{8}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('Z') => out.push('\u{1a}'),
            // Patterns keep their backslash.
            Some(character @ ('%' | '_')) => out.extend(['\\', character]),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
}

/// A name in backticks.
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
