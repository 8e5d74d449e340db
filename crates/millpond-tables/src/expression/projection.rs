//! `ProjectionExpression`, and what a `SELECT` of PartiQL names: parts of items.

use super::path::{Path, Step};
use super::resolve::Resolver;
use super::syntax::Parser;
use super::{ExpressionError, Kind, Placeholders};
use crate::value::{Item, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Which parts of an item are wanted, and where they are in the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    form: Form,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    /// Where they are in the item: `ProjectionExpression`.
    InPlace(BTreeMap<String, Wanted>),
    /// Each under a name of its own: `SELECT`.
    Columns(BTreeMap<String, Path>),
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
        Self { form: Form::InPlace(names.into_iter().map(|name| (name.to_owned(), Wanted::All)).collect()) }
    }

    /// Of paths that do not collide. Of those that do, the later one loses.
    pub(crate) fn of_paths<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut all: BTreeMap<String, Wanted> = BTreeMap::new();
        for path in paths {
            match all.entry(path.name.clone()) {
                std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(Wanted::of(&path.steps))),
                std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().add(&path.steps),
            }
        }
        Self { form: Form::InPlace(all) }
    }

    /// Of what `SELECT` names, each under [`Path::column`].
    ///
    /// # Errors
    /// The name that two of them have.
    pub(crate) fn of_columns(paths: Vec<Path>) -> Result<Self, String> {
        let mut columns = BTreeMap::new();
        for path in paths {
            let name = path.column();
            if columns.contains_key(&name) {
                return Err(name);
            }
            columns.insert(name, path);
        }
        Ok(Self { form: Form::Columns(columns) })
    }

    /// The same parts where they are in the item: what a `SELECT` answers in a batch or a transaction, which read by `ProjectionExpression` (DynamoDB Local 2.6.1).
    pub fn in_place(self) -> Self {
        match self.form {
            Form::Columns(columns) => Self::of_paths(columns.values()),
            Form::InPlace(_) => self,
        }
    }

    /// The wanted parts of the item. Where they are left in place, elements of lists move up.
    pub fn apply(&self, item: &Item) -> Item {
        match &self.form {
            Form::InPlace(wanted) => members(wanted, item),
            Form::Columns(columns) => {
                columns.iter().filter_map(|(name, path)| Some((name.clone(), path.get(item)?.clone()))).collect()
            }
        }
    }

    /// The top-level attributes that it names: where an index does not have them all, the table is read.
    pub fn top_level_names(&self) -> BTreeSet<&str> {
        match &self.form {
            Form::InPlace(wanted) => wanted.keys().map(String::as_str).collect(),
            Form::Columns(columns) => columns.values().map(|path| path.name.as_str()).collect(),
        }
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
