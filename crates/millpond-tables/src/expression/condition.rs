//! Conditions on items, and what they mean.

use super::path::Path;
use super::resolve::Resolver;
use super::syntax::Parser;
use super::{ExpressionError, Kind, Placeholders, Tree};
use crate::number::Number;
use crate::value::key::{begins_with, compare};
use crate::value::{Item, Kind as Type, Value};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// A condition on an item: `ConditionExpression`, `FilterExpression`, the `WHERE` of PartiQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub(crate) tree: Tree<Test>,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    /// What the item has there.
    Path(Path),
    /// A constant.
    Value(Value),
    /// The size of something.
    Size(Box<Operand>),
}

/// How two things are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Something that holds for an item or does not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    Compare(Operand, Comparator, Operand),
    /// Both bounds included.
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Path),
    NotExists(Path),
    HasType(Operand, Type),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
    /// There, and does not contain it: `NOT_CONTAINS` of the legacy parameters. It is no `NOT contains`, which also holds for what is not there.
    NotContains(Operand, Operand),
}

impl Comparator {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Equal, "="),
        (Self::NotEqual, "<>"),
        (Self::Less, "<"),
        (Self::LessOrEqual, "<="),
        (Self::Greater, ">"),
        (Self::GreaterOrEqual, ">="),
    ];

    /// Of its symbol.
    pub(crate) fn of(symbol: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == symbol).map(|(comparator, _)| comparator)
    }

    pub(crate) fn symbol(self) -> &'static str {
        Self::ALL.into_iter().find(|(known, _)| *known == self).map_or("", |(_, symbol)| symbol)
    }

    /// With the sides exchanged.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    /// Values of different types are not equal, and have no order; what is not there equals nothing, not even something else that is not there.
    fn holds(self, left: Option<&Value>, right: Option<&Value>) -> bool {
        let equal = || left.is_some() && left == right;
        let order = || left.zip(right).and_then(|(left, right)| compare(left, right));
        match self {
            Self::Equal => equal(),
            Self::NotEqual => !equal(),
            Self::Less => order() == Some(Ordering::Less),
            Self::LessOrEqual => order().is_some_and(Ordering::is_le),
            Self::Greater => order() == Some(Ordering::Greater),
            Self::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, item: &'a Item) -> Option<Cow<'a, Value>> {
        match self {
            Self::Path(path) => path.get(item).map(Cow::Borrowed),
            Self::Value(value) => Some(Cow::Borrowed(value)),
            Self::Size(operand) => {
                let size = size(&*operand.value(item)?)?;
                Some(Cow::Owned(Value::Number(Number::from(u64::try_from(size).unwrap_or(u64::MAX)))))
            }
        }
    }

    /// The attribute that it looks at.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Path(path) => Some(&path.name),
            Self::Value(_) => None,
            Self::Size(operand) => operand.name(),
        }
    }
}

/// `size`: of text its characters, of binaries bytes, of sets, lists and maps elements. Developer guide, "Condition and filter expressions, operators, and
/// functions".
fn size(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.chars().count()),
        Value::Binary(bytes) => Some(bytes.len()),
        Value::List(elements) => Some(elements.len()),
        Value::Map(members) => Some(members.len()),
        Value::StringSet(elements) => Some(elements.len()),
        Value::NumberSet(elements) => Some(elements.len()),
        Value::BinarySet(elements) => Some(elements.len()),
        Value::Number(_) | Value::Bool(_) | Value::Null => None,
    }
}

/// `contains`: a part of a text or binary, an element of a set or list.
fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Binary(bytes), Value::Binary(part)) => {
            part.is_empty() || bytes.windows(part.len()).any(|window| window == part.as_slice())
        }
        (Value::StringSet(elements), Value::String(element)) => elements.binary_search(element).is_ok(),
        (Value::NumberSet(elements), Value::Number(element)) => elements.binary_search(element).is_ok(),
        (Value::BinarySet(elements), Value::Binary(element)) => elements.binary_search(element).is_ok(),
        (Value::List(elements), element) => elements.contains(element),
        _ => false,
    }
}

impl Test {
    fn holds(&self, item: &Item) -> bool {
        let both = |left: &Operand, right: &Operand, test: fn(&Value, &Value) -> bool| {
            left.value(item).zip(right.value(item)).is_some_and(|(left, right)| test(&left, &right))
        };
        match self {
            Self::Compare(left, comparator, right) => comparator.holds(left.value(item).as_deref(), right.value(item).as_deref()),
            Self::Between(value, low, high) => {
                let value = value.value(item);
                Comparator::GreaterOrEqual.holds(value.as_deref(), low.value(item).as_deref())
                    && Comparator::LessOrEqual.holds(value.as_deref(), high.value(item).as_deref())
            }
            Self::In(value, candidates) => value
                .value(item)
                .is_some_and(|value| candidates.iter().any(|candidate| candidate.value(item).as_ref() == Some(&value))),
            Self::Exists(path) => path.get(item).is_some(),
            Self::NotExists(path) => path.get(item).is_none(),
            Self::HasType(operand, kind) => operand.value(item).is_some_and(|value| value.kind() == *kind),
            Self::BeginsWith(value, prefix) => both(value, prefix, begins_with),
            Self::Contains(value, part) => both(value, part, contains),
            Self::NotContains(value, part) => both(value, part, |value, part| !contains(value, part)),
        }
    }

    /// The attributes that it looks at.
    pub(crate) fn names<'a>(&'a self, add: &mut impl FnMut(&'a str)) {
        let operands: Vec<&Operand> = match self {
            Self::Exists(path) | Self::NotExists(path) => return add(&path.name),
            Self::Between(value, low, high) => vec![value, low, high],
            Self::In(value, candidates) => std::iter::once(value).chain(candidates).collect(),
            Self::HasType(operand, _) => vec![operand],
            Self::Compare(left, _, right)
            | Self::BeginsWith(left, right)
            | Self::Contains(left, right)
            | Self::NotContains(left, right) => vec![left, right],
        };
        operands.into_iter().filter_map(Operand::name).for_each(add);
    }
}

impl Condition {
    /// Parses `ConditionExpression` or `FilterExpression` (`kind` is for messages).
    ///
    /// # Errors
    /// See [`ExpressionError`].
    pub fn parse(kind: Kind, text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        let raw = Parser::new(kind, text)?.condition()?;
        Ok(Self { tree: Resolver::new(kind, placeholders).condition(raw)? })
    }

    /// Does it hold? An item that is not there is an empty one.
    pub fn holds(&self, item: &Item) -> bool {
        self.tree.holds(&mut |test| test.holds(item))
    }

    /// The top-level attributes that it names: a filter may not name key attributes ("Filter Expression can only contain non-primary key attributes").
    pub fn top_level_names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.tree.visit(&mut |test| {
            test.names(&mut |name| {
                names.insert(name);
            });
        });
        names
    }
}

#[cfg(test)]
#[path = "condition/tests.rs"]
mod tests;
