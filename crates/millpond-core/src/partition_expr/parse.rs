//! The reader of the filter language: a hand-written recursive descent over tokens, with the place of every fault.

use super::{CompareOp, ExprError, Literal, PartitionExpr};

/// Parentheses and `NOT`s within each other at the most.
const DEPTH_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A bare word; may be a keyword.
    Word(String),
    /// A name in backticks or double quotes; never a keyword.
    Name(String),
    Text(String),
    Number(String),
    /// `(`, `)`, `,`, `.`, `-`, `+` or a comparison operator.
    Sign(&'static str),
    End,
}

impl Token {
    fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("'{word}'"),
            Self::Name(name) => format!("the name `{name}`"),
            Self::Text(text) => format!("the text '{text}'"),
            Self::Number(number) => format!("the number {number}"),
            Self::Sign(sign) => format!("'{sign}'"),
            Self::End => "the end".into(),
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own.eq_ignore_ascii_case(word))
    }
}

/// Longer ones first.
const SIGNS: [&str; 13] = ["<>", "!=", "<=", ">=", "==", "=", "<", ">", "(", ")", ",", "-", "+"];

const KEYWORDS: [&str; 11] = ["AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "IS", "NULL", "ESCAPE", "TRUE", "FALSE"];

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    /// The next token and the byte where it begins.
    fn next(&mut self) -> Result<(Token, usize), ExprError> {
        self.at += self.rest().len() - self.rest().trim_start().len();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok((Token::End, start)) };
        let token = match first {
            '\'' => Token::Text(self.quoted('\'')?),
            '`' | '"' => Token::Name(self.quoted(first)?),
            '0'..='9' | '.' => self.number()?,
            c if c == '_' || c.is_alphabetic() => {
                Token::Word(self.take_while(|c| c == '_' || c == '.' || c == '$' || c.is_alphanumeric()))
            }
            _ => match SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
                Some(sign) => {
                    self.at += sign.len();
                    // "< >" is in AWS's own examples.
                    if *sign == "<" && self.rest().trim_start().starts_with('>') {
                        self.at = self.text.len() - self.rest().trim_start().len() + 1;
                        Token::Sign("<>")
                    } else {
                        Token::Sign(sign)
                    }
                }
                None => return Err(self.fault(start, format!("the character '{first}' has no meaning here"))),
            },
        };
        Ok((token, start))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        let taken = rest[..end].to_owned();
        self.at += end;
        taken
    }

    /// Text between quotes, where a doubled quote stands for one.
    fn quoted(&mut self, quote: char) -> Result<String, ExprError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(end) = self.rest().find(quote) else {
                return Err(self.fault(start, format!("the quote {quote} is not closed")));
            };
            text.push_str(&self.text[self.at..self.at + end]);
            self.at += end + 1;
            if !self.rest().starts_with(quote) {
                return Ok(text);
            }
            text.push(quote);
            self.at += 1;
        }
    }

    fn number(&mut self) -> Result<Token, ExprError> {
        let start = self.at;
        let mut number = self.take_while(|c| c.is_ascii_digit());
        if self.rest().starts_with('.') {
            self.at += 1;
            number = format!("{number}.{}", self.take_while(|c| c.is_ascii_digit()));
        }
        if self.rest().starts_with(['e', 'E']) {
            self.at += 1;
            let sign = if self.rest().starts_with(['+', '-']) { self.rest()[..1].to_owned() } else { String::new() };
            self.at += sign.len();
            number = format!("{number}e{sign}{}", self.take_while(|c| c.is_ascii_digit()));
        }
        let whole = number.starts_with(|c: char| c.is_ascii_digit() || c == '.') && number.parse::<f64>().is_ok();
        let ends = !self.rest().starts_with(|c: char| c == '_' || c == '.' || c.is_alphanumeric());
        if whole && ends {
            Ok(Token::Number(number))
        } else {
            Err(self.fault(start, "this is not a number; put texts in single quotes".into()))
        }
    }

    fn fault(&self, at: usize, what: String) -> ExprError {
        ExprError::Syntax { position: self.text[..at].chars().count() + 1, what }
    }
}

/// Reads a filter.
pub(super) fn parse(text: &str) -> Result<PartitionExpr, ExprError> {
    let mut lexer = Lexer { text, at: 0 };
    let (token, start) = lexer.next()?;
    let mut parser = Parser { lexer, token, start, depth: 0 };
    let expr = parser.or()?;
    match parser.token {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("AND, OR or the end")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The token to be read next, and the byte where it begins.
    token: Token,
    start: usize,
    depth: usize,
}

impl Parser<'_> {
    fn advance(&mut self) -> Result<Token, ExprError> {
        let (token, start) = self.lexer.next()?;
        self.start = start;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn unexpected(&self, expected: &str) -> ExprError {
        self.fault(format!("expected {expected}, found {}", self.token.describe()))
    }

    fn fault(&self, what: String) -> ExprError {
        self.lexer.fault(self.start, what)
    }

    fn word(&mut self, word: &str) -> Result<bool, ExprError> {
        let found = self.token.is_word(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn sign(&mut self, sign: &str) -> Result<bool, ExprError> {
        let found = matches!(self.token, Token::Sign(own) if own == sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), ExprError> {
        if self.sign(sign)? { Ok(()) } else { Err(self.unexpected(&format!("'{sign}'"))) }
    }

    fn or(&mut self) -> Result<PartitionExpr, ExprError> {
        let mut any = vec![self.and()?];
        while self.word("OR")? {
            any.push(self.and()?);
        }
        Ok(one_or(any, PartitionExpr::Or))
    }

    fn and(&mut self) -> Result<PartitionExpr, ExprError> {
        let mut all = vec![self.not()?];
        while self.word("AND")? {
            all.push(self.not()?);
        }
        Ok(one_or(all, PartitionExpr::And))
    }

    fn not(&mut self) -> Result<PartitionExpr, ExprError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fault(format!("the expression is nested more than {DEPTH_MAX} deep")));
        }
        let expr = if self.word("NOT")? { PartitionExpr::Not(Box::new(self.not()?)) } else { self.primary()? };
        self.depth -= 1;
        Ok(expr)
    }

    fn primary(&mut self) -> Result<PartitionExpr, ExprError> {
        if self.sign("(")? {
            // `(key) = 1`: a key may have parentheses of its own.
            if let Some(key) = self.key_here() {
                let (after, _) = Lexer { text: self.lexer.text, at: self.lexer.at }.next()?;
                if after == Token::Sign(")") {
                    self.advance()?;
                    self.advance()?;
                    return self.condition(key);
                }
            }
            let expr = self.or()?;
            self.expect_sign(")")?;
            return Ok(expr);
        }
        if let Some(key) = self.key_here() {
            self.advance()?;
            return self.condition(key);
        }
        let value = self.literal("a partition key, NOT or '('")?;
        let op = self.compare_op()?.ok_or_else(|| self.unexpected("a comparison operator"))?;
        let Some(key) = self.key_here() else { return Err(self.unexpected("a partition key")) };
        self.advance()?;
        Ok(PartitionExpr::Compare { key, op: op.turned(), value })
    }

    /// The key that the next token names. `table.key` names it too.
    fn key_here(&self) -> Option<String> {
        match &self.token {
            Token::Name(name) => Some(name.to_lowercase()),
            Token::Word(word) if KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word)) => None,
            // `date '2024-01-01'` is a literal, `date = '2024-01-01'` is about a key of that name.
            Token::Word(word) if is_typed_literal(word) && self.lexer.rest().trim_start().starts_with('\'') => None,
            Token::Word(word) => word.rsplit('.').next().map(str::to_lowercase),
            _ => None,
        }
    }

    /// What follows a key.
    fn condition(&mut self, key: String) -> Result<PartitionExpr, ExprError> {
        if let Some(op) = self.compare_op()? {
            return Ok(PartitionExpr::Compare { key, op, value: self.literal("a value")? });
        }
        if self.word("IS")? {
            let negated = self.word("NOT")?;
            return if self.word("NULL")? { Ok(PartitionExpr::IsNull { key, negated }) } else { Err(self.unexpected("NULL")) };
        }
        let negated = self.word("NOT")?;
        if self.word("IN")? {
            return self.list(key, negated);
        }
        if self.word("BETWEEN")? {
            let low = self.literal("the lower end")?;
            if !self.word("AND")? {
                return Err(self.unexpected("AND and the upper end"));
            }
            let high = self.literal("the upper end")?;
            return Ok(PartitionExpr::Between { key, low, high, negated });
        }
        if self.word("LIKE")? {
            let Token::Text(_) = self.token else { return Err(self.unexpected("a pattern in single quotes")) };
            let Token::Text(pattern) = self.advance()? else { return Err(self.unexpected("a pattern")) };
            if self.token.is_word("ESCAPE") {
                return Err(self.fault("ESCAPE is not supported; patterns know % and _ only".into()));
            }
            return Ok(PartitionExpr::Like { key, pattern, negated });
        }
        Err(self.unexpected(&format!("an operator (=, <>, !=, <, <=, >, >=, IN, BETWEEN, LIKE, IS NULL) after the key '{key}'")))
    }

    fn list(&mut self, key: String, negated: bool) -> Result<PartitionExpr, ExprError> {
        self.expect_sign("(")?;
        let mut values = vec![self.literal("a value")?];
        while self.sign(",")? {
            values.push(self.literal("a value")?);
        }
        self.expect_sign(")")?;
        Ok(PartitionExpr::In { key, values, negated })
    }

    fn compare_op(&mut self) -> Result<Option<CompareOp>, ExprError> {
        let op = match self.token {
            Token::Sign("=" | "==") => CompareOp::Eq,
            Token::Sign("<>" | "!=") => CompareOp::NotEq,
            Token::Sign("<") => CompareOp::Lt,
            Token::Sign("<=") => CompareOp::LtEq,
            Token::Sign(">") => CompareOp::Gt,
            Token::Sign(">=") => CompareOp::GtEq,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(op))
    }

    fn literal(&mut self, expected: &str) -> Result<Literal, ExprError> {
        let minus = self.sign("-")?;
        if minus || self.sign("+")? {
            let Token::Number(_) = self.token else { return Err(self.unexpected("a number")) };
        }
        match &self.token {
            Token::Text(_) | Token::Number(_) => {}
            Token::Word(word) if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") => {}
            Token::Word(word) if is_typed_literal(word) => {
                self.advance()?;
                let Token::Text(_) = self.token else { return Err(self.unexpected("a text in single quotes")) };
            }
            Token::Word(word) if word.eq_ignore_ascii_case("null") => {
                return Err(self.fault("nothing compares with NULL; write IS NULL or IS NOT NULL".into()));
            }
            _ => return Err(self.unexpected(expected)),
        }
        let literal = match self.advance()? {
            Token::Text(text) => Literal::Text(text),
            Token::Number(number) if minus => Literal::Number(format!("-{number}")),
            Token::Number(number) => Literal::Number(number),
            Token::Word(word) => Literal::Text(word.to_lowercase()),
            _ => return Err(self.unexpected(expected)),
        };
        if matches!(self.token, Token::Sign("-" | "+")) {
            return Err(self.fault("arithmetic is not supported; put dates in single quotes, as '2024-01-31'".into()));
        }
        Ok(literal)
    }
}

fn is_typed_literal(word: &str) -> bool {
    word.eq_ignore_ascii_case("date") || word.eq_ignore_ascii_case("timestamp")
}

fn one_or(mut exprs: Vec<PartitionExpr>, many: fn(Vec<PartitionExpr>) -> PartitionExpr) -> PartitionExpr {
    match exprs.len() {
        1 => exprs.pop().expect("it has one"),
        _ => many(exprs),
    }
}
