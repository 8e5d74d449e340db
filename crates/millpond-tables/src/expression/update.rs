//! `UpdateExpression`: changes of items. Developer guide, "Using update expressions in DynamoDB".
//!
//! All that is read is read from the item as it was; then values are set, sets and numbers changed, and attributes removed. Indexes of lists are those of the
//! item as it was: what is set behind a list's end is appended in the order of the indexes, and elements are removed last.

use super::path::{Path, Step};
use super::resolve::Resolver;
use super::syntax::Parser;
use super::{ExpressionError, Kind, Placeholders, Projection};
use crate::number::{Number, NumberError};
use crate::value::{DEPTH_MAX, Item, Kind as Type, Value, ValueError};
use std::collections::BTreeSet;

/// Why an update cannot be applied to an item; its text is the message of DynamoDB's `ValidationException`, whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The path leads through something that is not there, or is no map or list.
    #[error("The document path provided in the update expression is invalid for update")]
    Path,
    /// A type that the operation does not take.
    #[error("An operand in the update expression has an incorrect data type")]
    OperandType,
    /// `ADD` or `DELETE` on an attribute of another type, with the legacy parameter.
    #[error("Type mismatch for attribute to update")]
    AttributeType,
    /// A value that is read is not there.
    #[error("The provided expression refers to an attribute that does not exist in the item")]
    Missing,
    /// A number that cannot be kept, or too many levels.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl From<NumberError> for UpdateError {
    fn from(error: NumberError) -> Self {
        Self::Value(error.into())
    }
}

/// A change of an item: `UpdateExpression`.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    actions: Vec<Action>,
    /// With `AttributeUpdates`, `ADD` also appends to lists, and faults of types have another text.
    legacy: bool,
}

/// What an update touched, for `ReturnValues`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Touched {
    /// `UPDATED_OLD`: what the updated paths had before.
    pub old: Item,
    /// `UPDATED_NEW`: what they have now.
    pub new: Item,
}

/// A change at one place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Set(Path, Term),
    Remove(Path),
    /// A number to a number, a set to a set.
    Add(Path, Value),
    /// A set from a set.
    Delete(Path, Value),
}

/// What is set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Term {
    Value(Value),
    Path(Path),
    IfNotExists(Path, Box<Term>),
    ListAppend(Box<Term>, Box<Term>),
    Plus(Box<Term>, Box<Term>),
    Minus(Box<Term>, Box<Term>),
}

impl Action {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Set(path, _) | Self::Remove(path) | Self::Add(path, _) | Self::Delete(path, _) => path,
        }
    }
}

impl Term {
    /// Its type, if it has the same for every item.
    pub(crate) fn kind(&self) -> Option<Type> {
        match self {
            Self::Value(value) => Some(value.kind()),
            Self::Path(_) | Self::IfNotExists(..) => None,
            Self::ListAppend(..) => Some(Type::List),
            Self::Plus(..) | Self::Minus(..) => Some(Type::Number),
        }
    }

    fn value(&self, item: &Item) -> Result<Value, UpdateError> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Path(path) => path.get(item).cloned().ok_or(UpdateError::Missing),
            Self::IfNotExists(path, other) => match path.get(item) {
                Some(value) => Ok(value.clone()),
                None => other.value(item),
            },
            Self::ListAppend(first, second) => match (first.value(item)?, second.value(item)?) {
                (Value::List(mut elements), Value::List(more)) => {
                    elements.extend(more);
                    Ok(Value::List(elements))
                }
                _ => Err(UpdateError::OperandType),
            },
            Self::Plus(left, right) => calculate(left, right, item, Number::checked_add),
            Self::Minus(left, right) => calculate(left, right, item, Number::checked_sub),
        }
    }
}

fn calculate(
    left: &Term,
    right: &Term,
    item: &Item,
    operation: fn(Number, Number) -> Result<Number, NumberError>,
) -> Result<Value, UpdateError> {
    match (left.value(item)?, right.value(item)?) {
        (Value::Number(left), Value::Number(right)) => Ok(Value::Number(operation(left, right)?)),
        _ => Err(UpdateError::OperandType),
    }
}

impl Update {
    /// Parses it.
    ///
    /// # Errors
    /// See [`ExpressionError`]; also paths of which one contains another ("Two document paths overlap with each other; …").
    pub fn parse(text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        let raw = Parser::new(Kind::Update, text)?.update()?;
        Ok(Self::new(Resolver::new(Kind::Update, placeholders).update(raw)?))
    }

    /// Of actions whose paths do not collide.
    pub(crate) fn new(actions: Vec<Action>) -> Self {
        Self { actions, legacy: false }
    }

    /// Of `AttributeUpdates`.
    pub(super) fn legacy(actions: Vec<Action>) -> Self {
        Self { actions, legacy: true }
    }

    /// Changes the item; all right sides are of the item as it was. On an error the item is as it was.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn apply(&self, item: &mut Item) -> Result<Touched, UpdateError> {
        self.apply_to(item, true)
    }

    /// As [`Self::apply`], where there is no item yet and this is its key: `REMOVE` of whatever path is ignored, as DynamoDB does.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn apply_to_none(&self, key: &mut Item) -> Result<Touched, UpdateError> {
        self.apply_to(key, false)
    }

    fn apply_to(&self, item: &mut Item, exists: bool) -> Result<Touched, UpdateError> {
        let new = self.changed(item, exists)?;
        let projection = Projection::of_paths(self.actions.iter().map(Action::path));
        let touched = Touched { old: projection.apply(item), new: projection.apply(&new) };
        *item = new;
        Ok(touched)
    }

    /// The top-level attributes that it changes: none may be of the key ("Cannot update attribute id. This attribute is part of the key").
    pub fn changed_names(&self) -> BTreeSet<&str> {
        self.actions.iter().map(|action| action.path().name.as_str()).collect()
    }

    /// The item after it.
    fn changed(&self, item: &Item, exists: bool) -> Result<Item, UpdateError> {
        let mut puts: Vec<(&Path, Value)> = Vec::new();
        let mut removals: Vec<&Path> = Vec::new();
        for action in &self.actions {
            let path = action.path();
            match action {
                Action::Set(_, term) => puts.push((path, term.value(item)?)),
                Action::Remove(_) if exists => removals.push(path),
                Action::Remove(_) => {}
                Action::Add(_, value) => puts.push((path, self.added(path.get(item), value)?)),
                Action::Delete(_, value) => match self.without(path.get(item), value)? {
                    Some(left) => puts.push((path, left)),
                    None => removals.push(path),
                },
            }
        }
        let mut new = item.clone();
        // Removals that change nothing are found while indexes are still those of the item as it was.
        let mut found = Vec::with_capacity(removals.len());
        for path in removals {
            if is_there(&mut new, path)? {
                found.push(path);
            }
        }
        // In the order of indexes: what is appended is in that order then.
        puts.sort_by_key(|(path, _)| *path);
        for (path, value) in puts {
            put(&mut new, path, value)?;
        }
        // From the last element: no removal moves one that is still to be removed.
        found.sort_unstable_by(|left, right| right.cmp(left));
        for path in found {
            remove(&mut new, path);
        }
        Ok(new)
    }

    fn mismatch(&self) -> UpdateError {
        if self.legacy { UpdateError::AttributeType } else { UpdateError::OperandType }
    }

    /// What `ADD` makes of a value.
    fn added(&self, old: Option<&Value>, value: &Value) -> Result<Value, UpdateError> {
        let Some(old) = old else { return Ok(value.clone()) };
        Ok(match (old, value) {
            (Value::Number(old), Value::Number(value)) => Value::Number(old.checked_add(*value)?),
            (Value::StringSet(old), Value::StringSet(more)) => Value::StringSet(union(old, more)),
            (Value::NumberSet(old), Value::NumberSet(more)) => Value::NumberSet(union(old, more)),
            (Value::BinarySet(old), Value::BinarySet(more)) => Value::BinarySet(union(old, more)),
            (Value::List(old), Value::List(more)) if self.legacy => Value::List(old.iter().chain(more).cloned().collect()),
            _ => return Err(self.mismatch()),
        })
    }

    /// What `DELETE` leaves of a set; nothing of nothing, and of a set that is empty then.
    fn without(&self, old: Option<&Value>, value: &Value) -> Result<Option<Value>, UpdateError> {
        let Some(old) = old else { return Ok(None) };
        Ok(match (old, value) {
            (Value::StringSet(old), Value::StringSet(less)) => difference(old, less).map(Value::StringSet),
            (Value::NumberSet(old), Value::NumberSet(less)) => difference(old, less).map(Value::NumberSet),
            (Value::BinarySet(old), Value::BinarySet(less)) => difference(old, less).map(Value::BinarySet),
            _ => return Err(self.mismatch()),
        })
    }
}

fn union<T: Ord + Clone>(old: &[T], more: &[T]) -> Vec<T> {
    old.iter().chain(more).cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

fn difference<T: Ord + Clone>(old: &[T], less: &[T]) -> Option<Vec<T>> {
    let left: Vec<_> = old.iter().filter(|element| less.binary_search(element).is_err()).cloned().collect();
    Some(left).filter(|left| !left.is_empty())
}

/// Is something at the path? What would have it must be there.
fn is_there(item: &mut Item, path: &Path) -> Result<bool, UpdateError> {
    match path.parent(item) {
        None => Ok(item.contains_key(&path.name)),
        Some((Some(Value::Map(members)), Step::Name(name))) => Ok(members.contains_key(name)),
        Some((Some(Value::List(elements)), Step::Index(index))) => Ok(*index < elements.len()),
        Some(_) => Err(UpdateError::Path),
    }
}

fn put(item: &mut Item, path: &Path, value: Value) -> Result<(), UpdateError> {
    if path.steps.len() + value.depth() > DEPTH_MAX {
        return Err(ValueError::Depth.into());
    }
    match path.parent(item) {
        None => drop(item.insert(path.name.clone(), value)),
        Some((Some(Value::Map(members)), Step::Name(name))) => drop(members.insert(name.clone(), value)),
        Some((Some(Value::List(elements)), Step::Index(index))) => match elements.get_mut(*index) {
            Some(element) => *element = value,
            None => elements.push(value),
        },
        Some(_) => return Err(UpdateError::Path),
    }
    Ok(())
}

fn remove(item: &mut Item, path: &Path) {
    match path.parent(item) {
        None => drop(item.remove(&path.name)),
        Some((Some(Value::Map(members)), Step::Name(name))) => drop(members.remove(name)),
        Some((Some(Value::List(elements)), Step::Index(index))) if *index < elements.len() => drop(elements.remove(*index)),
        Some(_) => {}
    }
}

#[cfg(test)]
#[path = "update/tests.rs"]
mod tests;
