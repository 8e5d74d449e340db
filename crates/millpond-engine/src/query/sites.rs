//! Where a statement's operators and calls stand, and what is known of their operands from the text alone: the planner's errors name types,
//! but no places.

use super::error::Position;
use super::parse;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, UnaryOperator, Value, Visit, Visitor,
};
use std::ops::ControlFlow;

/// What the text says of an operand's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text literal of so many characters.
    Text(usize),
    Integer,
    Bigint,
    Double,
    Boolean,
    /// A column, a call: anything.
    Unknown,
}

impl Kind {
    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Nested(inner) => Self::of(inner),
            Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => Self::of(expr),
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Self::Text(text.chars().count()),
                Value::Number(digits, _) if digits.contains(['.', 'e', 'E']) => Self::Double,
                Value::Number(digits, _) if digits.parse::<i32>().is_ok() => Self::Integer,
                Value::Number(_, _) => Self::Bigint,
                Value::Boolean(_) => Self::Boolean,
                _ => Self::Unknown,
            },
            Expr::BinaryOp { op, .. } if is_truth(op) => Self::Boolean,
            Expr::UnaryOp { op: UnaryOperator::Not, .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::Between { .. }
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::Exists { .. }
            | Expr::Like { .. } => Self::Boolean,
            _ => Self::Unknown,
        }
    }

    /// Trino's name of the type.
    pub(super) fn name(self) -> Option<String> {
        Some(match self {
            Self::Text(length) => format!("varchar({length})"),
            Self::Integer => "integer".to_owned(),
            Self::Bigint => "bigint".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Unknown => return None,
        })
    }

    /// Trino's name, or what is known otherwise.
    pub(super) fn name_or(self, other: &str) -> String {
        self.name().unwrap_or_else(|| other.to_owned())
    }

    /// How well it fits a type that a message names; 0: not at all.
    fn fits(self, data_type: &str) -> u32 {
        let fits = match self {
            Self::Unknown => return 1,
            Self::Text(_) => data_type.starts_with("varchar"),
            Self::Integer | Self::Bigint => ["integer", "bigint", "smallint", "tinyint"].contains(&data_type),
            Self::Double => data_type == "double" || data_type.starts_with("decimal"),
            Self::Boolean => data_type == "boolean",
        };
        if fits { 2 } else { 0 }
    }
}

/// An operator with its operands.
#[derive(Debug, Clone)]
pub(super) struct Site {
    op: String,
    pub(super) left: Kind,
    pub(super) right: Kind,
    pub(super) position: Position,
}

/// A statement's operators, calls and qualified names, in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    operators: Vec<Site>,
    calls: Vec<(String, Vec<Kind>)>,
    filters: Vec<(Kind, Position)>,
    compounds: Vec<(String, Position)>,
}

impl Sites {
    /// Those of a query, before anything of it is rewritten. `symbols` are the places of the text's operator signs.
    pub(crate) fn of(query: &Query, symbols: &[(String, Position)]) -> Self {
        let mut finder = Finder { sites: Self::default(), symbols };
        let _ = query.visit(&mut finder);
        finder.sites
    }

    /// The first operator whose operands fit these types best.
    pub(super) fn operator(&self, op: &str, left: &str, right: &str) -> Option<Site> {
        let score = |site: &Site| site.left.fits(left) * site.right.fits(right);
        let mut best: Option<(&Site, u32)> = None;
        for site in self.operators.iter().filter(|site| site.op == op) {
            let score = score(site);
            if score > 0 && best.is_none_or(|(_, most)| score > most) {
                best = Some((site, score));
            }
        }
        best.map(|(site, _)| site.clone())
    }

    /// The types of a function's arguments, when the text tells them all.
    pub(super) fn call(&self, function: &str) -> Option<String> {
        let names: Option<Vec<String>> = self.call_kinds(function)?.iter().map(|kind| kind.name()).collect();
        Some(names?.join(", "))
    }

    pub(super) fn call_kinds(&self, function: &str) -> Option<Vec<Kind>> {
        self.calls.iter().find(|(name, _)| name == function).map(|(_, kinds)| kinds.clone())
    }

    /// Where a condition of `FILTER (WHERE …)` stands that is of this type, and no condition.
    pub(super) fn filter(&self, data_type: &str) -> Option<Position> {
        let fitting =
            self.filters.iter().map(|(kind, position)| (kind.fits(data_type), *position)).filter(|(score, _)| *score > 0);
        // Of equals the first.
        fitting.rev().max_by_key(|(score, _)| *score).map(|(_, position)| position)
    }

    /// Where `table.column` stands.
    pub(super) fn compound(&self, name: &str) -> Option<Position> {
        self.compounds.iter().find(|(known, _)| known == name).map(|(_, position)| *position)
    }
}

struct Finder<'a> {
    sites: Sites,
    symbols: &'a [(String, Position)],
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, op, right } => {
                let op = sign(op);
                let (from, to) = (parse::position(parse::first_span(left)), parse::position(parse::first_span(right)));
                let between = |(sign, at): &&(String, Position)| *sign == op && *at >= from && *at <= to;
                // Of the signs between the two, the last: the left operand may have some of its own.
                let position = self.symbols.iter().rfind(between).map_or(from, |(_, at)| *at);
                let (left, right) = (Kind::of(left), Kind::of(right));
                self.sites.operators.push(Site { op, left, right, position });
            }
            Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                if let Some(filter) = &function.filter {
                    self.sites.filters.push((Kind::of(filter), parse::position(parse::first_span(filter))));
                }
                if let FunctionArguments::List(list) = &function.args {
                    let kind = |arg: &FunctionArg| match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Kind::of(expr),
                        _ => Kind::Unknown,
                    };
                    self.sites.calls.push((name, list.args.iter().map(kind).collect()));
                }
            }
            Expr::CompoundIdentifier(parts) => {
                if let (Some(first), true) = (parts.first(), parts.len() > 1) {
                    let tail: Vec<&str> = parts[parts.len() - 2..].iter().map(|part| part.value.as_str()).collect();
                    self.sites.compounds.push((tail.join("."), parse::position(first.span)));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Whether an operator gives a truth.
fn is_truth(op: &BinaryOperator) -> bool {
    use BinaryOperator as Op;
    matches!(op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::And | Op::Or)
}

fn sign(op: &BinaryOperator) -> String {
    match op {
        BinaryOperator::NotEq => "<>".to_owned(),
        other => other.to_string(),
    }
}
