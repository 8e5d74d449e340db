//! `WHERE`.

use super::lexer::Kind;
use super::parser::{Parsed, Parser};
use super::terms::{operand_count, operand_type, plain};
use crate::expression::checks::{
    FunctionFault, function_test, too_many_in_operands, unknown_type_name, unordered_operand, wrong_bounds,
};
use crate::expression::{Builder, Comparator, IN_OPERANDS_MAX, OPERATORS_MAX, Operand, Test, Tree};
use crate::value::{Kind as Type, Value};

/// Parentheses and functions in each other, at most.
pub(super) const OPERAND_DEPTH_MAX: usize = 32;

/// What an operand turned out to be.
enum Parsing {
    Operand(Operand),
    Test(Test),
}

/// A test, or a `NOT` in front of it.
enum Part {
    Not,
    Test(Test),
}

/// Of its symbol, with `!=`.
fn comparator(symbol: &str) -> Option<Comparator> {
    Comparator::of(if symbol == "!=" { "<>" } else { symbol })
}

impl Parser<'_> {
    /// A whole condition.
    pub(super) fn condition(&mut self) -> Parsed<Tree<Test>> {
        let mut tree = Builder::default();
        let mut expected = "Unexpected term";
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
            for test in self.test(expected)? {
                match test {
                    Part::Not => tree.not(),
                    Part::Test(test) => tree.test(test),
                }
            }
            while tree.is_open() && self.is(")") {
                if !tree.close() {
                    return Err(self.malformed("Unexpected token after expression"));
                }
                self.at += 1;
            }
            if self.take_keyword("AND") {
                tree.and();
            } else if self.take_keyword("OR") {
                tree.or();
            } else if tree.is_open() {
                return Err(self.malformed("Expected RIGHT_PAREN"));
            } else {
                break;
            }
            let operators = self.operators + tree.operators();
            if operators > OPERATORS_MAX {
                return Err(plain(format!("The expression contains too many operators; operator count: {operators}")));
            }
            expected = "Missing right-hand side expression of infix operator";
        }
        let operators = self.operators + tree.operators();
        if operators > OPERATORS_MAX {
            return Err(plain(format!("The expression contains too many operators; operator count: {operators}")));
        }
        tree.finish().ok_or_else(|| self.malformed("Unexpected term"))
    }

    /// Is the parenthesis here one of an operand (`(a) = 1`), not of a condition?
    fn operand_in_parentheses(&self) -> bool {
        let Some(next) = self.closing[self.at].checked_add(1) else { return false };
        let word = |word: &str| self.slice(next).eq_ignore_ascii_case(word);
        comparator(self.slice(next)).is_some()
            || word("BETWEEN")
            || word("IN")
            || word("IS")
            || word("NOT") && ["IN", "BETWEEN"].iter().any(|next_word| self.slice(next + 1).eq_ignore_ascii_case(next_word))
    }

    fn test(&mut self, expected: &str) -> Parsed<Vec<Part>> {
        let start = self.at;
        let left = match self.condition_operand(0, expected)? {
            Parsing::Operand(operand) => operand,
            Parsing::Test(test) => return Ok(vec![Part::Test(test)]),
        };
        if let Some(comparator) = comparator(self.current()).filter(|_| self.token().kind == Kind::Symbol) {
            self.at += 1;
            self.operators += 1;
            return self.comparison(left, comparator).map(|test| vec![Part::Test(test)]);
        }
        let negated = self.is_keyword("NOT");
        self.at += usize::from(negated);
        let mut parts = if negated { vec![Part::Not] } else { Vec::new() };
        self.operators += 1;
        if self.take_keyword("BETWEEN") {
            let low = self.operand(0)?;
            self.expect_keyword("AND")?;
            let high = self.operand(0)?;
            self.orderable("BETWEEN", [&left, &low, &high])?;
            if let Some(fault) = wrong_bounds(&low, &high) {
                return Err(plain(fault));
            }
            parts.push(Part::Test(Test::Between(left, low, high)));
        } else if self.take_keyword("IN") {
            let candidates = self.candidates()?;
            if candidates.len() > IN_OPERANDS_MAX {
                return Err(plain(too_many_in_operands(candidates.len())));
            }
            parts.push(Part::Test(Test::In(left, candidates)));
        } else if !negated && self.take_keyword("IS") {
            if self.take_keyword("NOT") {
                parts.push(Part::Not);
            }
            parts.push(Part::Test(self.is_test(left, start)?));
        } else {
            return Err(self.malformed("Unexpected term"));
        }
        Ok(parts)
    }

    fn comparison(&mut self, left: Operand, comparator: Comparator) -> Parsed<Test> {
        if self.take_keyword("MISSING") {
            return match (left, comparator) {
                (Operand::Path(path), Comparator::Equal) => Ok(Test::NotExists(path)),
                (Operand::Path(path), Comparator::NotEqual) => Ok(Test::Exists(path)),
                _ => Err(self.malformed("MISSING is compared with an attribute, by = or <>")),
            };
        }
        let right = self.operand(0)?;
        if !matches!(comparator, Comparator::Equal | Comparator::NotEqual) {
            self.orderable(comparator.symbol(), [&left, &right])?;
        }
        Ok(Test::Compare(left, comparator, right))
    }

    /// Behind `IS`.
    fn is_test(&mut self, left: Operand, start: usize) -> Parsed<Test> {
        let Operand::Path(path) = left else {
            self.at = start;
            return Err(self.malformed("Expected an attribute before IS"));
        };
        if self.take_keyword("MISSING") {
            Ok(Test::NotExists(path))
        } else if self.take_keyword("NULL") {
            Ok(Test::HasType(Operand::Path(path), Type::Null))
        } else {
            Err(self.malformed("Expected type name"))
        }
    }

    /// Behind `IN`: `[a, b]`, `(a, b)`, or a list.
    fn candidates(&mut self) -> Parsed<Vec<Operand>> {
        let end = if self.take("[") {
            "]"
        } else if self.take("(") {
            ")"
        } else {
            return match self.operand(0)? {
                Operand::Value(Value::List(elements)) => Ok(elements.into_iter().map(Operand::Value).collect()),
                _ => Err(plain("The IN operator needs a list")),
            };
        };
        let mut candidates = Vec::new();
        if self.take(end) {
            return Err(plain("The IN operator needs at least one operand"));
        }
        loop {
            candidates.push(self.operand(0)?);
            if !self.take(",") {
                self.expect(end, if end == "]" { "Expected RIGHT_BRACKET" } else { "Expected RIGHT_PAREN" })?;
                return Ok(candidates);
            }
        }
    }

    fn orderable<'a>(&self, operator: &str, operands: impl IntoIterator<Item = &'a Operand>) -> Parsed<()> {
        unordered_operand(operands).map_or(Ok(()), |kind| Err(operand_type(operator, kind.name())))
    }

    /// Something to compare.
    pub(super) fn operand(&mut self, depth: usize) -> Parsed<Operand> {
        let start = self.at;
        match self.condition_operand(depth, "Unexpected term")? {
            Parsing::Operand(operand) => Ok(operand),
            Parsing::Test(_) => Err(plain(format!(
                "The function is not allowed to be used this way in an expression; function: {}",
                self.slice(start).to_ascii_lowercase()
            ))),
        }
    }

    fn condition_operand(&mut self, depth: usize, expected: &str) -> Parsed<Parsing> {
        if depth > OPERAND_DEPTH_MAX {
            return Err(self.malformed("Too many levels"));
        }
        if self.take("(") {
            let operand = self.operand(depth + 1)?;
            self.expect(")", "Expected RIGHT_PAREN")?;
            return Ok(Parsing::Operand(operand));
        }
        if self.token().kind == Kind::Word && self.slice(self.at + 1) == "(" && !self.is_any_keyword()
            || self.is_keyword("EXISTS")
        {
            return self.function(depth + 1);
        }
        if self.starts_literal() {
            return Ok(Parsing::Operand(Operand::Value(self.literal(&mut String::from("root"), 0)?)));
        }
        match self.token().kind {
            Kind::Quoted => {}
            Kind::Word if !self.is_any_keyword() => {}
            Kind::Word
                if self.is_keyword("IS") || self.is_keyword("LIKE") || self.is_keyword("IN") || self.is_keyword("BETWEEN") =>
            {
                return Err(self.malformed("Unexpected operator"));
            }
            Kind::Word => return Err(self.malformed("Unexpected keyword")),
            _ => return Err(self.malformed(expected)),
        }
        Ok(Parsing::Operand(Operand::Path(self.path()?)))
    }

    fn function(&mut self, depth: usize) -> Parsed<Parsing> {
        let start = self.at;
        let name = self.current().to_ascii_lowercase();
        self.at += 1;
        let known = matches!(
            name.as_str(),
            "attribute_exists" | "attribute_not_exists" | "attribute_type" | "begins_with" | "contains" | "size"
        );
        if !known {
            return Err(plain(format!("Unrecognized function: {name} at {}", self.place(start))));
        }
        let operands = self.operands(depth)?;
        let count = operands.len();
        if name == "size" {
            let mut operands = operands.into_iter();
            let (Some(operand), None) = (operands.next(), operands.next()) else { return Err(operand_count(&name, count)) };
            return match &operand {
                Operand::Value(value) if matches!(value.kind(), Type::Number | Type::Bool | Type::Null) => {
                    Err(operand_type("size", value.kind().name()))
                }
                Operand::Size(_) => Err(operand_type("size", "N")),
                _ => Ok(Parsing::Operand(Operand::Size(Box::new(operand)))),
            };
        }
        match function_test(&name, operands) {
            Ok(Ok(test)) => Ok(Parsing::Test(test)),
            Ok(Err(FunctionFault::Count)) => Err(operand_count(&name, count)),
            Ok(Err(FunctionFault::Path)) => {
                Err(plain(format!("Operator or function requires a document path; operator or function: {name}")))
            }
            Ok(Err(FunctionFault::Type(kind))) => Err(operand_type(&name, kind)),
            Ok(Err(FunctionFault::TypeName(type_name))) => Err(plain(unknown_type_name(&type_name))),
            Err(()) => Err(plain(format!("Unrecognized function: {name} at {}", self.place(start)))),
        }
    }

    /// `( operand, … )`
    pub(super) fn operands(&mut self, depth: usize) -> Parsed<Vec<Operand>> {
        self.expect("(", "Expected LEFT_PAREN")?;
        let mut operands = Vec::new();
        if self.take(")") {
            return Ok(operands);
        }
        loop {
            operands.push(self.operand(depth)?);
            if !self.take(",") {
                self.expect(")", "Expected RIGHT_PAREN")?;
                return Ok(operands);
            }
        }
    }
}
