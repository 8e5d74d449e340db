//! From expressions as written to names and values, with the checks that DynamoDB makes before it looks at an item.
//!
//! Of several faults one is told: DynamoDB checks in a fixed order, not from left to right. Each check therefore files what it finds under its [`Check`], and
//! the first of the order wins.

use super::checks::{
    FunctionFault, function_test, same_path, too_many_in_operands, unknown_type_name, unordered_operand, wrong_bounds,
};
use super::path::{Path, Step, collision};
use super::syntax::{RawAction, RawCondition, RawOperand, RawStep, RawTerm, RawTest, RawUpdate};
use super::{Action, Comparator, ExpressionError, IN_OPERANDS_MAX, Kind, Operand, Placeholders, Term, Test, Tree, reserved};
use crate::value::{DEPTH_MAX, Kind as Type, Value};
use std::fmt::Display;

/// The order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Check {
    Parentheses,
    FunctionName,
    FunctionUse,
    Reserved,
    Section,
    Name,
    Value,
    Paths,
    Operand,
}

/// Looks names and values up, and keeps the fault to tell.
pub(super) struct Resolver<'p> {
    kind: Kind,
    placeholders: &'p mut Placeholders,
    fault: Option<(Check, String)>,
}

impl<'p> Resolver<'p> {
    pub(super) fn new(kind: Kind, placeholders: &'p mut Placeholders) -> Self {
        placeholders.parsing(kind);
        Self { kind, placeholders, fault: None }
    }

    fn file(&mut self, check: Check, what: impl Into<String>) {
        // In conditions, names, values and operands are one check from left to right.
        let check = match check {
            Check::Name | Check::Value if self.kind != Kind::Update => Check::Operand,
            // An update tells reserved words before unknown functions.
            Check::Reserved if self.kind == Kind::Update => Check::Parentheses,
            check => check,
        };
        if self.fault.as_ref().is_none_or(|(first, _)| check < *first) {
            self.fault = Some((check, what.into()));
        }
    }

    fn finish<T>(self, value: T) -> Result<T, ExpressionError> {
        match self.fault {
            Some((_, what)) => Err(self.kind.error(what)),
            None => Ok(value),
        }
    }

    fn path(&mut self, raw: &[RawStep<'_>]) -> Path {
        let mut path = Path::attribute("");
        for (index, step) in raw.iter().enumerate() {
            let step = match *step {
                RawStep::Word(word) => {
                    if reserved::is_reserved(word) {
                        self.file(Check::Reserved, format!("Attribute name is a reserved keyword; reserved keyword: {word}"));
                    }
                    Step::Name(word.to_owned())
                }
                RawStep::Name(placeholder) => Step::Name(self.placeholders.name(placeholder).unwrap_or_else(|| {
                    self.file(
                        Check::Name,
                        format!(
                            "An expression attribute name used in the document path is not defined; attribute name: {placeholder}"
                        ),
                    );
                    String::new()
                })),
                RawStep::Index(digits) => Step::Index(self.index(digits)),
            };
            match step {
                Step::Name(name) if index == 0 => path.name = name,
                step => path.steps.push(step),
            }
        }
        if raw.len() > DEPTH_MAX + 1 {
            self.file(Check::Paths, format!("The document path has too many nesting levels; nesting levels: {}", raw.len()));
        }
        path
    }

    fn index(&mut self, digits: &str) -> usize {
        digits
            .parse::<u32>()
            .ok()
            .filter(|index| i32::try_from(*index).is_ok())
            .and_then(|index| index.try_into().ok())
            .unwrap_or_else(|| {
                self.file(Check::Paths, format!("List index is not within the allowable range; index: [{digits}]"));
                0
            })
    }

    fn value(&mut self, placeholder: &str) -> Value {
        self.placeholders.value(placeholder).unwrap_or_else(|| {
            self.file(
                Check::Value,
                format!("An expression attribute value used in expression is not defined; attribute value: {placeholder}"),
            );
            // It passes the checks of types that follow: this fault is told.
            Value::Null
        })
    }

    fn misused(&mut self, function: &str) {
        self.file(
            Check::FunctionUse,
            format!("The function is not allowed to be used this way in an expression; function: {function}"),
        );
    }

    fn operand_type(&mut self, operator: impl Display, kind: impl Display) {
        self.file(
            Check::Operand,
            format!("Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}"),
        );
    }

    fn operand_count(&mut self, function: &str, count: usize) {
        self.file(
            Check::Operand,
            format!(
                "Incorrect number of operands for operator or function; operator or function: {function}, number of operands: {count}"
            ),
        );
    }

    fn needs_path(&mut self, function: &str) {
        self.file(Check::Operand, format!("Operator or function requires a document path; operator or function: {function}"));
    }

    /// Files it if the function is none, or none of this kind of expression.
    fn check_function(&mut self, function: &str) {
        let condition = matches!(
            function,
            "attribute_exists" | "attribute_not_exists" | "attribute_type" | "begins_with" | "contains" | "size"
        );
        let update = matches!(function, "if_not_exists" | "list_append");
        if !condition && !update {
            self.file(Check::FunctionName, format!("Invalid function name; function: {function}"));
        } else if condition && self.kind == Kind::Update {
            self.file(Check::FunctionUse, format!("The function is not allowed in an update expression; function: {function}"));
        } else if update && self.kind != Kind::Update {
            self.file(Check::FunctionUse, format!("The function is not allowed in a condition expression; function: {function}"));
        }
    }

    /// The paths of a projection.
    pub(super) fn projection(mut self, raw: &[Vec<RawStep<'_>>]) -> Result<Vec<Path>, ExpressionError> {
        let paths: Vec<_> = raw.iter().map(|path| self.path(path)).collect();
        if let Some(collision) = collision(&paths) {
            self.file(Check::Operand, collision);
        }
        self.finish(paths)
    }

    /// A condition.
    pub(super) fn condition(mut self, raw: RawCondition<'_>) -> Result<Tree<Test>, ExpressionError> {
        if raw.redundant_parentheses {
            self.file(Check::Parentheses, "The expression has redundant parentheses;");
        }
        let tree = raw.tree.map(&mut |test| self.test(test));
        self.finish(tree)
    }

    fn operand(&mut self, raw: RawOperand<'_>) -> Operand {
        match raw {
            RawOperand::Path(path) => Operand::Path(self.path(&path)),
            RawOperand::Value(placeholder) => Operand::Value(self.value(placeholder)),
            RawOperand::Function("size", operands) => self.size(operands),
            RawOperand::Function(function, operands) => {
                self.check_function(function);
                self.misused(function);
                operands.into_iter().for_each(|operand| drop(self.operand(operand)));
                Operand::Value(Value::Null)
            }
        }
    }

    fn size(&mut self, raw: Vec<RawOperand<'_>>) -> Operand {
        let count = raw.len();
        let mut operands = raw.into_iter().map(|operand| self.operand(operand)).collect::<Vec<_>>().into_iter();
        let (Some(operand), None) = (operands.next(), operands.next()) else {
            self.operand_count("size", count);
            return Operand::Value(Value::Null);
        };
        match &operand {
            Operand::Value(value) if matches!(value.kind(), Type::Number | Type::Bool | Type::Null) => {
                self.operand_type("size", value.kind().name());
            }
            Operand::Size(_) => self.operand_type("size", "N"),
            _ => {}
        }
        Operand::Size(Box::new(operand))
    }

    fn test(&mut self, raw: RawTest<'_>) -> Test {
        match raw {
            RawTest::Compare(left, comparator, right) => {
                let (left, right) = (self.operand(left), self.operand(right));
                self.distinct(comparator.symbol(), &left, [&right]);
                if !matches!(comparator, Comparator::Equal | Comparator::NotEqual) {
                    self.orderable(comparator.symbol(), [&left, &right]);
                }
                Test::Compare(left, comparator, right)
            }
            RawTest::Between(value, low, high) => {
                let (value, low, high) = (self.operand(value), self.operand(low), self.operand(high));
                self.distinct("BETWEEN", &value, [&low, &high]);
                self.orderable("BETWEEN", [&value, &low, &high]);
                self.bounds(&low, &high);
                Test::Between(value, low, high)
            }
            RawTest::In(value, candidates) => {
                let value = self.operand(value);
                let candidates: Vec<_> = candidates.into_iter().map(|candidate| self.operand(candidate)).collect();
                if candidates.len() > IN_OPERANDS_MAX {
                    self.file(Check::Operand, too_many_in_operands(candidates.len()));
                }
                self.distinct("IN", &value, &candidates);
                Test::In(value, candidates)
            }
            RawTest::Function(function, operands) => self.function(function, operands),
        }
    }

    fn function(&mut self, function: &str, raw: Vec<RawOperand<'_>>) -> Test {
        self.check_function(function);
        if function == "size" {
            self.misused(function);
        }
        let count = raw.len();
        let operands: Vec<_> = raw.into_iter().map(|operand| self.operand(operand)).collect();
        match function_test(function, operands) {
            Ok(Ok(test)) => {
                if let Test::BeginsWith(left, right) | Test::Contains(left, right) = &test {
                    self.distinct(function, left, [right]);
                }
                return test;
            }
            Ok(Err(FunctionFault::Count)) => self.operand_count(function, count),
            Ok(Err(FunctionFault::Path)) => self.needs_path(function),
            Ok(Err(FunctionFault::Type(kind))) => self.operand_type(function, kind),
            Ok(Err(FunctionFault::TypeName(name))) => self.file(Check::Operand, unknown_type_name(&name)),
            // Filed already.
            Err(()) => {}
        }
        Test::Exists(Path::attribute(""))
    }

    fn distinct<'a>(&mut self, operator: &str, first: &Operand, rest: impl IntoIterator<Item = &'a Operand>) {
        if let Some(path) = same_path(first, rest) {
            self.file(
                Check::Operand,
                format!(
                    "The first operand must be distinct from the remaining operands for this operator or function; operator: {operator}, first operand: {path}"
                ),
            );
        }
    }

    fn orderable<'a>(&mut self, operator: &str, operands: impl IntoIterator<Item = &'a Operand>) {
        if let Some(kind) = unordered_operand(operands) {
            self.operand_type(operator, kind.name());
        }
    }

    fn bounds(&mut self, low: &Operand, high: &Operand) {
        if let Some(fault) = wrong_bounds(low, high) {
            self.file(Check::Operand, fault);
        }
    }

    /// An update.
    pub(super) fn update(mut self, raw: RawUpdate<'_>) -> Result<Vec<Action>, ExpressionError> {
        if raw.redundant_parentheses {
            self.file(Check::Parentheses, "The expression has redundant parentheses;");
        }
        if let Some(section) = raw.repeated {
            self.file(Check::Section, format!("The \"{section}\" section can only be used once in an update expression;"));
        }
        let actions: Vec<_> = raw.actions.into_iter().map(|action| self.action(action)).collect();
        if let Some(collision) = collision(actions.iter().map(Action::path)) {
            self.file(Check::Paths, collision);
        }
        self.finish(actions)
    }

    fn action(&mut self, raw: RawAction<'_>) -> Action {
        match raw {
            RawAction::Set(path, term) => Action::Set(self.path(&path), self.term(term)),
            RawAction::Remove(path) => Action::Remove(self.path(&path)),
            RawAction::Add(path, value) => {
                let (path, value) = (self.path(&path), self.value(value));
                self.set_operand("ADD", &value, value.kind() == Type::Number);
                Action::Add(path, value)
            }
            RawAction::Delete(path, value) => {
                let (path, value) = (self.path(&path), self.value(value));
                self.set_operand("DELETE", &value, false);
                Action::Delete(path, value)
            }
        }
    }

    /// The operand of `ADD` and `DELETE`, whose types DynamoDB calls by their long names.
    fn set_operand(&mut self, operator: &str, value: &Value, allowed: bool) {
        let long = match value.kind() {
            Type::StringSet | Type::NumberSet | Type::BinarySet => return,
            Type::String => "STRING",
            Type::Number => "NUMBER",
            Type::Binary => "BINARY",
            Type::Bool => "BOOLEAN",
            Type::Null => "NULL",
            Type::List => "LIST",
            Type::Map => "MAP",
        };
        if !allowed {
            self.file(
                Check::Operand,
                format!(
                    "Incorrect operand type for operator or function; operator: {operator}, operand type: {long}, typeSet: ALLOWED_FOR_{operator}_OPERAND"
                ),
            );
        }
    }

    fn term(&mut self, raw: RawTerm<'_>) -> Term {
        let sum = |resolver: &mut Self, sign, left, right| {
            let (left, right) = (resolver.term_operand(left, true), resolver.term_operand(right, true));
            for operand in [&left, &right] {
                if let Some(kind) = operand.kind().filter(|kind| *kind != Type::Number) {
                    resolver.operand_type(sign, kind.name());
                    break;
                }
            }
            (Box::new(left), Box::new(right))
        };
        match raw {
            RawTerm::Operand(operand) => self.term_operand(operand, true),
            RawTerm::Plus(left, right) => {
                let (left, right) = sum(self, "+", left, right);
                Term::Plus(left, right)
            }
            RawTerm::Minus(left, right) => {
                let (left, right) = sum(self, "-", left, right);
                Term::Minus(left, right)
            }
        }
    }

    /// `outer`: not within a function. Within one, `list_append` is not allowed.
    fn term_operand(&mut self, raw: RawOperand<'_>, outer: bool) -> Term {
        let (function, raw) = match raw {
            RawOperand::Path(path) => return Term::Path(self.path(&path)),
            RawOperand::Value(placeholder) => return Term::Value(self.value(placeholder)),
            RawOperand::Function(function, operands) => (function, operands),
        };
        self.check_function(function);
        if function == "list_append" && !outer {
            self.misused(function);
        }
        let count = raw.len();
        let mut operands = raw.into_iter().map(|operand| self.term_operand(operand, false)).collect::<Vec<_>>().into_iter();
        let (Some(first), Some(second), None) = (operands.next(), operands.next(), operands.next()) else {
            self.operand_count(function, count);
            return Term::Value(Value::Null);
        };
        if function == "if_not_exists" {
            let Term::Path(path) = first else {
                self.needs_path(function);
                return second;
            };
            return Term::IfNotExists(path, Box::new(second));
        }
        for operand in [&first, &second] {
            if let Some(kind) = operand.kind().filter(|kind| *kind != Type::List) {
                self.operand_type(function, kind.name());
                break;
            }
        }
        Term::ListAppend(Box::new(first), Box::new(second))
    }
}
