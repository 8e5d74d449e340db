//! EventBridge's pattern language: which events a rule wants. SNS filter policies speak it too.
//!
//! Definitions:
//! - a *field* is a path of names, written with dots; a *leaf* is what a pattern says of one field: any of its tests must hold for any of the
//!   field's values in the event (an array has several);
//! - a *branch* is a set of leaves that must all hold; `$or` makes several branches, of which one must hold.
//!
//! Fields below an array of objects must hold for the same element of it. A pattern matches in time proportional to its size times that of
//! the event: hostile ones are bounded by [`BRANCHES_MAX`] and by wildcards that never go back.

mod compile;
mod json;
mod set;
mod test;

pub use set::PatternSet;

use serde_json::Value;
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use test::Test;

/// Combinations that `$or` may make.
pub const BRANCHES_MAX: usize = 1000;

/// Stars in one wildcard. EventBridge refuses patterns by a measure that it does not publish; six stars with short pieces between are refused.
pub const STARS_MAX: usize = 5;

/// Why a text is no pattern. Displayed as EventBridge does after "Event pattern is not valid. Reason: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", self.place())]
pub struct PatternError {
    /// What is wrong.
    pub reason: String,
    /// The text, the line and the column, both counted from 1; absent where the text as a whole is wrong.
    pub source_place: Option<(String, usize, usize)>,
}

impl PatternError {
    fn at(reason: impl Into<String>, text: &str, place: json::Place) -> Self {
        Self { reason: reason.into(), source_place: Some((text.to_owned(), place.line, place.column)) }
    }

    fn plain(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), source_place: None }
    }

    fn place(&self) -> String {
        match &self.source_place {
            Some((text, line, column)) => format!("\n at [Source: (String)\"{text}\"; line: {line}, column: {column}]"),
            None => String::new(),
        }
    }
}

/// What a pattern says of one field.
#[derive(Debug, Clone, PartialEq)]
struct Leaf {
    path: Vec<String>,
    tests: Vec<Test>,
    /// Where it also holds for an event that does not have the field at all: its number among the leaves that ask so.
    absence: Option<usize>,
}

/// The leaves of a branch by the steps of their paths.
#[derive(Debug, Clone, PartialEq, Default)]
struct Tree {
    leaf: Option<Arc<Leaf>>,
    children: BTreeMap<String, Tree>,
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    branches: Vec<Tree>,
    leaves: Vec<Vec<Arc<Leaf>>>,
    absences: usize,
}

impl Pattern {
    /// Compiles `text`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (branches, absences) = compile::compile(text)?;
        let leaves = branches.iter().map(|branch| branch.values().cloned().collect()).collect();
        Ok(Self { branches: branches.iter().map(compile::tree).collect(), leaves, absences })
    }

    /// Whether `event` (a JSON object) matches.
    pub fn matches(&self, event: &Value) -> bool {
        self.matches_undotted(&undotted(event))
    }

    /// For an event whose names have no dots.
    fn matches_undotted(&self, event: &Value) -> bool {
        let look = Look { event, absent: vec![Cell::new(None); self.absences] };
        self.branches.iter().any(|branch| look.holds(branch, Some(event)))
    }

    /// The different fields that it names.
    pub fn fields(&self) -> usize {
        let paths: std::collections::BTreeSet<_> = self.leaves.iter().flatten().map(|leaf| &leaf.path).collect();
        paths.len()
    }

    /// Whether it names a field inside a field.
    pub fn is_nested(&self) -> bool {
        self.leaves.iter().flatten().any(|leaf| leaf.path.len() > 1)
    }

    /// SNS's measure of complexity: for each branch the product of (values × depth) over its fields, summed.
    pub fn combinations(&self) -> u64 {
        let one = |leaf: &Arc<Leaf>| ((leaf.tests.len() + usize::from(leaf.absence.is_some())) * leaf.path.len()) as u64;
        let product = |leaves: &Vec<Arc<Leaf>>| leaves.iter().map(one).fold(1u64, u64::saturating_mul);
        self.leaves.iter().map(product).fold(0, u64::saturating_add)
    }

    /// The texts of which a field must have one, where every branch says so.
    fn exact(&self, path: &[&str]) -> Option<Vec<&str>> {
        let mut texts = Vec::new();
        for branch in &self.leaves {
            let leaf = branch.iter().find(|leaf| leaf.path == path).filter(|leaf| leaf.absence.is_none())?;
            for test in &leaf.tests {
                match test {
                    Test::Text(text) => texts.push(text.as_str()),
                    _ => return None,
                }
            }
        }
        Some(texts)
    }
}

/// One event under one pattern.
struct Look<'a> {
    event: &'a Value,
    /// What was found out about absences: asked once, however many elements an array has.
    absent: Vec<Cell<Option<bool>>>,
}

impl Look<'_> {
    fn holds(&self, tree: &Tree, value: Option<&Value>) -> bool {
        tree.leaf.as_ref().is_none_or(|leaf| self.leaf_holds(leaf, value)) && self.children_hold(tree, value)
    }

    fn children_hold(&self, tree: &Tree, value: Option<&Value>) -> bool {
        if tree.children.is_empty() {
            return true;
        }
        match value {
            Some(Value::Object(members)) => tree.children.iter().all(|(name, child)| self.holds(child, members.get(name))),
            Some(Value::Array(items)) if items.iter().any(|item| self.children_hold(tree, Some(item))) => true,
            _ => tree.children.values().all(|child| self.holds(child, None)),
        }
    }

    fn leaf_holds(&self, leaf: &Leaf, value: Option<&Value>) -> bool {
        value.is_some_and(|value| any_holds(&leaf.tests, value))
            || leaf.absence.is_some_and(|number| self.is_absent(leaf, number))
    }

    fn is_absent(&self, leaf: &Leaf, number: usize) -> bool {
        let known = &self.absent[number];
        let absent = known.get().unwrap_or_else(|| !is_present(&leaf.path, self.event));
        known.set(Some(absent));
        absent
    }
}

fn any_holds(tests: &[Test], value: &Value) -> bool {
    match value {
        // An object is no leaf: its members are.
        Value::Object(_) => false,
        Value::Array(items) => items.iter().any(|item| any_holds(tests, item)),
        scalar => tests.iter().any(|test| test.matches(scalar)),
    }
}

/// Whether the field has a value anywhere in the event.
fn is_present(path: &[String], value: &Value) -> bool {
    match (value, path.split_first()) {
        (Value::Array(items), _) => items.iter().any(|item| is_present(path, item)),
        (Value::Object(members), Some((name, rest))) => members.get(name).is_some_and(|value| is_present(rest, value)),
        (Value::Object(_), None) | (_, Some(_)) => false,
        (_, None) => true,
    }
}

/// The same event with names cut at their dots: a pattern's `a.b` is the field `b` of `a`, however the event writes it.
fn undotted(value: &Value) -> Cow<'_, Value> {
    if !has_dots(value) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(cut(value))
}

fn has_dots(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('.') || has_dots(value)),
        Value::Array(items) => items.iter().any(has_dots),
        _ => false,
    }
}

fn cut(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut object = Value::Object(serde_json::Map::new());
            for (name, value) in members {
                // Each step nests one deeper: beyond a depth that no pattern reaches, names stay whole.
                let nested = name.splitn(64, '.').collect::<Vec<_>>().into_iter().rev();
                let nested =
                    nested.fold(cut(value), |inner, step| Value::Object([(step.to_owned(), inner)].into_iter().collect()));
                merge(&mut object, nested);
            }
            object
        }
        Value::Array(items) => Value::Array(items.iter().map(cut).collect()),
        scalar => scalar.clone(),
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(there) => merge(there, value),
                    None => {
                        into.insert(name, value);
                    }
                }
            }
        }
        // Both values count, as those of an array do.
        (into, from) => *into = Value::Array(vec![into.take(), from]),
    }
}

#[cfg(test)]
mod tests;
