//! Expressions as they are written: names and values are not looked up yet.
//!
//! ```text
//! condition  = test | condition (AND | OR) condition | NOT condition | ( condition )
//! test       = operand (= | <> | < | <= | > | >=) operand | operand BETWEEN operand AND operand | operand IN ( operand, … ) | function
//! operand    = path | :value | function | ( operand )
//! update     = { SET path = value, … | REMOVE path, … | ADD path :value, … | DELETE path :value, … }
//! value      = operand | operand + operand | operand - operand | ( value )
//! projection = path, …
//! ```

use super::boolean::{Builder, Tree, closing_parentheses};
use super::condition::Comparator;
use super::lexer::{self, Kind as TokenKind, Token};
use super::{EXPRESSION_BYTES_MAX, ExpressionError, Kind, OPERATORS_MAX};

/// Parentheses and functions in each other, at most. Two are redundant, and no function takes another more than once or twice.
const OPERAND_DEPTH_MAX: usize = 32;

/// A step of a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RawStep<'t> {
    Word(&'t str),
    /// `#name`
    Name(&'t str),
    /// Digits.
    Index(&'t str),
}

#[derive(Debug, PartialEq)]
pub(super) enum RawOperand<'t> {
    Path(Vec<RawStep<'t>>),
    /// `:value`
    Value(&'t str),
    Function(&'t str, Vec<RawOperand<'t>>),
}

#[derive(Debug, PartialEq)]
pub(super) enum RawTest<'t> {
    Compare(RawOperand<'t>, Comparator, RawOperand<'t>),
    Between(RawOperand<'t>, RawOperand<'t>, RawOperand<'t>),
    In(RawOperand<'t>, Vec<RawOperand<'t>>),
    Function(&'t str, Vec<RawOperand<'t>>),
}

#[derive(Debug)]
pub(super) enum RawTerm<'t> {
    Operand(RawOperand<'t>),
    Plus(RawOperand<'t>, RawOperand<'t>),
    Minus(RawOperand<'t>, RawOperand<'t>),
}

#[derive(Debug)]
pub(super) enum RawAction<'t> {
    Set(Vec<RawStep<'t>>, RawTerm<'t>),
    Remove(Vec<RawStep<'t>>),
    Add(Vec<RawStep<'t>>, &'t str),
    Delete(Vec<RawStep<'t>>, &'t str),
}

#[derive(Debug, Default)]
pub(super) struct RawUpdate<'t> {
    pub(super) actions: Vec<RawAction<'t>>,
    /// A section that came twice.
    pub(super) repeated: Option<&'static str>,
    pub(super) redundant_parentheses: bool,
}

#[derive(Debug)]
pub(super) struct RawCondition<'t> {
    pub(super) tree: Tree<RawTest<'t>>,
    pub(super) redundant_parentheses: bool,
}

/// Reads tokens.
pub(super) struct Parser<'t> {
    kind: Kind,
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
    /// For each opening parenthesis the one that closes it.
    closing: Vec<usize>,
    operators: usize,
}

type Parsed<T> = Result<T, ExpressionError>;

impl<'t> Parser<'t> {
    /// # Errors
    /// No text, or too much of it.
    pub(super) fn new(kind: Kind, text: &'t str) -> Parsed<Self> {
        if text.trim().is_empty() {
            return Err(kind.error("The expression can not be empty;"));
        }
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(kind
                .error(format_args!("Expression size has exceeded the maximum allowed size; expression size: {}", text.len())));
        }
        let tokens = lexer::tokens(text);
        let closing = closing_parentheses(tokens.iter().map(|token| &text[token.start..token.end]));
        Ok(Self { kind, text, tokens, at: 0, closing, operators: 0 })
    }

    fn token(&self) -> Token {
        self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn slice(&self, token: Token) -> &'t str {
        &self.text[token.start..token.end]
    }

    fn current(&self) -> &'t str {
        self.slice(self.token())
    }

    fn is(&self, symbol: &str) -> bool {
        self.token().kind == TokenKind::Symbol && self.current() == symbol
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        self.token().kind == TokenKind::Word && self.current().eq_ignore_ascii_case(keyword)
    }

    /// Goes on if it is this.
    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The current token should not be here.
    fn unexpected(&self) -> ExpressionError {
        let token = self.token();
        let shown = if token.kind == TokenKind::End { "<EOF>" } else { self.slice(token) };
        let start = self.at.checked_sub(1).map_or(token.start, |before| self.tokens[before].start);
        let end = self.tokens.get(self.at + 1).map_or(token.end, |after| after.end);
        let near = self.text[start..end].trim();
        self.kind.error(format_args!("Syntax error; token: \"{shown}\", near: \"{near}\""))
    }

    fn end(&self) -> Parsed<()> {
        if self.token().kind == TokenKind::End { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Counts an operator.
    fn operator(&mut self) {
        self.operators += 1;
    }

    fn check_operators(&self, more: usize) -> Parsed<()> {
        let count = self.operators + more;
        if count > OPERATORS_MAX {
            return Err(self.kind.error(format_args!("The expression contains too many operators; operator count: {count}")));
        }
        Ok(())
    }

    /// `((…))`: the inner ones change nothing. Those of a call or of `IN` are no part of what is in them: `size((a))`.
    fn redundant_parentheses(&self) -> bool {
        let pair = |outer: usize| match self.closing.get(outer..outer + 2) {
            Some(&[outer, inner]) => outer != usize::MAX && inner != usize::MAX && inner + 1 == outer,
            _ => false,
        };
        let lists = |outer: usize| {
            let before = outer.checked_sub(1).map(|before| self.tokens[before]).filter(|before| before.kind == TokenKind::Word);
            before.is_some_and(|before| {
                let word = self.slice(before);
                !["AND", "OR", "NOT", "BETWEEN"].iter().any(|operator| operator.eq_ignore_ascii_case(word))
            })
        };
        (0..self.closing.len()).any(|outer| pair(outer) && !lists(outer))
    }

    fn word(&mut self) -> Parsed<&'t str> {
        let word = self.current();
        let keyword = |list: &[&str]| list.iter().any(|keyword| keyword.eq_ignore_ascii_case(word));
        let structural = keyword(&["AND", "OR", "NOT", "BETWEEN", "IN"])
            || self.kind == Kind::Update && keyword(&["SET", "REMOVE", "ADD", "DELETE"]);
        if self.token().kind != TokenKind::Word || structural {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(word)
    }

    fn path(&mut self) -> Parsed<Vec<RawStep<'t>>> {
        let mut steps = vec![self.name()?];
        loop {
            if self.take(".") {
                steps.push(self.name()?);
            } else if self.take("[") {
                if self.token().kind != TokenKind::Digits {
                    return Err(self.unexpected());
                }
                steps.push(RawStep::Index(self.current()));
                self.at += 1;
                self.expect("]")?;
            } else {
                return Ok(steps);
            }
        }
    }

    fn name(&mut self) -> Parsed<RawStep<'t>> {
        if self.token().kind == TokenKind::Name {
            self.at += 1;
            return Ok(RawStep::Name(self.slice(self.tokens[self.at - 1])));
        }
        self.word().map(RawStep::Word)
    }

    fn value(&mut self) -> Parsed<&'t str> {
        if self.token().kind != TokenKind::Value {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(self.slice(self.tokens[self.at - 1]))
    }

    fn operand(&mut self, depth: usize) -> Parsed<RawOperand<'t>> {
        if depth > OPERAND_DEPTH_MAX {
            return Err(self.unexpected());
        }
        if self.take("(") {
            let operand = self.operand(depth + 1)?;
            self.expect(")")?;
            return Ok(operand);
        }
        if self.token().kind == TokenKind::Value {
            return self.value().map(RawOperand::Value);
        }
        let called = self.tokens.get(self.at + 1).is_some_and(|next| self.slice(*next) == "(");
        if called && self.token().kind == TokenKind::Word {
            let function = self.word()?;
            return Ok(RawOperand::Function(function, self.list(depth + 1)?));
        }
        self.path().map(RawOperand::Path)
    }

    /// `( operand, … )`
    fn list(&mut self, depth: usize) -> Parsed<Vec<RawOperand<'t>>> {
        self.expect("(")?;
        let mut operands = Vec::new();
        if self.take(")") {
            return Ok(operands);
        }
        loop {
            operands.push(self.operand(depth)?);
            if !self.take(",") {
                self.expect(")")?;
                return Ok(operands);
            }
        }
    }

    fn comparator(&mut self) -> Option<Comparator> {
        let comparator = Comparator::of(self.current())?;
        self.at += 1;
        Some(comparator)
    }

    /// Is the parenthesis here one of an operand (`(a) = :v`), not of a condition?
    fn operand_in_parentheses(&self) -> bool {
        let closing = self.closing[self.at];
        let Some(next) = closing.checked_add(1).and_then(|next| self.tokens.get(next)) else { return false };
        let next = self.slice(*next);
        Comparator::of(next).is_some() || next.eq_ignore_ascii_case("BETWEEN") || next.eq_ignore_ascii_case("IN")
    }

    /// A whole condition.
    pub(super) fn condition(mut self) -> Parsed<RawCondition<'t>> {
        let mut tree = Builder::default();
        loop {
            loop {
                if self.take_keyword("NOT") {
                    tree.not();
                } else if self.is("(") && !self.operand_in_parentheses() {
                    self.at += 1;
                    tree.open();
                } else {
                    break;
                }
            }
            let test = self.test()?;
            tree.test(test);
            while self.is(")") {
                if !tree.close() {
                    return Err(self.unexpected());
                }
                self.at += 1;
            }
            if self.take_keyword("AND") {
                tree.and();
            } else if self.take_keyword("OR") {
                tree.or();
            } else if tree.is_open() {
                return Err(self.unexpected());
            } else {
                break;
            }
        }
        self.end()?;
        self.check_operators(tree.operators())?;
        let tree = tree.finish().ok_or_else(|| self.unexpected())?;
        Ok(RawCondition { tree, redundant_parentheses: self.redundant_parentheses() })
    }

    fn test(&mut self) -> Parsed<RawTest<'t>> {
        let left = self.operand(0)?;
        if let Some(comparator) = self.comparator() {
            self.operator();
            return Ok(RawTest::Compare(left, comparator, self.operand(0)?));
        }
        if self.take_keyword("BETWEEN") {
            self.operator();
            let low = self.operand(0)?;
            if !self.take_keyword("AND") {
                return Err(self.unexpected());
            }
            return Ok(RawTest::Between(left, low, self.operand(0)?));
        }
        if self.is_keyword("IN") {
            self.operator();
            self.at += 1;
            if self.tokens.get(self.at + 1).is_some_and(|next| self.slice(*next) == ")") {
                self.at += 1;
                return Err(self.unexpected());
            }
            return Ok(RawTest::In(left, self.list(0)?));
        }
        match left {
            RawOperand::Function(function, operands) => Ok(RawTest::Function(function, operands)),
            _ => Err(self.unexpected()),
        }
    }

    /// A whole projection.
    pub(super) fn projection(mut self) -> Parsed<Vec<Vec<RawStep<'t>>>> {
        let mut paths = vec![self.path()?];
        while self.take(",") {
            paths.push(self.path()?);
        }
        self.end()?;
        Ok(paths)
    }

    /// A whole update.
    pub(super) fn update(mut self) -> Parsed<RawUpdate<'t>> {
        const SECTIONS: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];
        let mut update = RawUpdate::default();
        let mut seen = [false; 4];
        while self.token().kind != TokenKind::End {
            let Some(section) = SECTIONS.iter().position(|section| self.is_keyword(section)) else {
                return Err(self.unexpected());
            };
            self.at += 1;
            if std::mem::replace(&mut seen[section], true) {
                update.repeated = update.repeated.or(Some(SECTIONS[section]));
            }
            loop {
                let path = self.path()?;
                update.actions.push(match section {
                    0 => {
                        self.expect("=")?;
                        RawAction::Set(path, self.term()?)
                    }
                    1 => RawAction::Remove(path),
                    2 => RawAction::Add(path, self.value()?),
                    _ => RawAction::Delete(path, self.value()?),
                });
                if !self.take(",") {
                    break;
                }
            }
        }
        self.check_operators(0)?;
        update.redundant_parentheses = self.redundant_parentheses();
        Ok(update)
    }

    /// What is set.
    fn term(&mut self) -> Parsed<RawTerm<'t>> {
        let mut open = 0;
        while self.sum_in_parentheses() {
            self.at += 1;
            open += 1;
        }
        let left = self.operand(0)?;
        let term = if self.take("+") {
            self.operator();
            RawTerm::Plus(left, self.operand(0)?)
        } else if self.take("-") {
            self.operator();
            RawTerm::Minus(left, self.operand(0)?)
        } else {
            RawTerm::Operand(left)
        };
        for _ in 0..open {
            self.expect(")")?;
        }
        Ok(term)
    }

    /// `(a + b)`: the parenthesis here is the sum's if the sum does not go on behind it.
    fn sum_in_parentheses(&self) -> bool {
        let behind = self.closing[self.at].checked_add(1).and_then(|behind| self.tokens.get(behind));
        self.is("(") && behind.is_some_and(|behind| !matches!(self.slice(*behind), "+" | "-"))
    }
}
