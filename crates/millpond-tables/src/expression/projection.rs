//! `ProjectionExpression`: parts of items.

use super::path::{Path, Step};
use super::resolve::Resolver;
use super::syntax::Parser;
use super::{ExpressionError, Kind, Placeholders};
use crate::value::{Item, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Which parts of an item are wanted: `ProjectionExpression`.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    wanted: BTreeMap<String, Wanted>,
}

/// What is wanted of a value.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    All,
    Members(BTreeMap<String, Wanted>),
    Elements(BTreeMap<usize, Wanted>),
}

impl Projection {
    /// Parses it.
    ///
    /// # Errors
    /// See [`ExpressionError`]; also paths of which one contains another.
    pub fn parse(text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        let raw = Parser::new(Kind::Projection, text)?.projection()?;
        Ok(Self::of_paths(&Resolver::new(Kind::Projection, placeholders).projection(&raw)?))
    }

    /// Of whole top-level attributes: `AttributesToGet`, an index's projection.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { wanted: names.into_iter().map(|name| (name.to_owned(), Wanted::All)).collect() }
    }

    /// Of paths that do not collide. Of those that do, the later one loses.
    pub(crate) fn of_paths<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut projection = Self { wanted: BTreeMap::new() };
        for path in paths {
            match projection.wanted.entry(path.name.clone()) {
                std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(Wanted::of(&path.steps))),
                std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().add(&path.steps),
            }
        }
        projection
    }

    /// The wanted parts of the item; elements of lists move up.
    pub fn apply(&self, item: &Item) -> Item {
        members(&self.wanted, item)
    }

    /// The top-level attributes that it names: where an index does not have them all, the table is read.
    pub fn top_level_names(&self) -> BTreeSet<&str> {
        self.wanted.keys().map(String::as_str).collect()
    }
}

impl Wanted {
    fn of(steps: &[Step]) -> Self {
        match steps.split_first() {
            None => Self::All,
            Some((Step::Name(name), rest)) => Self::Members(BTreeMap::from([(name.clone(), Self::of(rest))])),
            Some((Step::Index(index), rest)) => Self::Elements(BTreeMap::from([(*index, Self::of(rest))])),
        }
    }

    fn add(&mut self, steps: &[Step]) {
        match (self, steps.split_first()) {
            (Self::Members(members), Some((Step::Name(name), rest))) => match members.get_mut(name) {
                Some(wanted) => wanted.add(rest),
                None => drop(members.insert(name.clone(), Self::of(rest))),
            },
            (Self::Elements(elements), Some((Step::Index(index), rest))) => match elements.get_mut(index) {
                Some(wanted) => wanted.add(rest),
                None => drop(elements.insert(*index, Self::of(rest))),
            },
            _ => {}
        }
    }

    fn apply(&self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::All, value) => Some(value.clone()),
            (Self::Members(wanted), Value::Map(map)) => {
                Some(members(wanted, map)).filter(|found| !found.is_empty()).map(Value::Map)
            }
            (Self::Elements(wanted), Value::List(elements)) => {
                let found: Vec<_> = wanted.iter().filter_map(|(index, wanted)| wanted.apply(elements.get(*index)?)).collect();
                Some(found).filter(|found| !found.is_empty()).map(Value::List)
            }
            _ => None,
        }
    }
}

fn members(wanted: &BTreeMap<String, Wanted>, map: &Item) -> Item {
    wanted.iter().filter_map(|(name, wanted)| Some((name.clone(), wanted.apply(map.get(name)?)?))).collect()
}

#[cfg(test)]
#[path = "projection/tests.rs"]
mod tests;
