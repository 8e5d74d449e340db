//! How a `WHERE` reads a table: by keys where it can, else all of it.

use super::StatementError;
use crate::expression::{Comparator, Condition, Operand, Test, Tree};
use crate::value::key::{KeyAttribute, KeyRange, KeySchema, SortRange};
use crate::value::{Item, Value};

/// How a `WHERE` reads a table or an index.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// Partitions, each another, one after the other, each with a range of sort keys: `hash = x`, `hash IN [x, y]`. The whole `WHERE` is still to be evaluated.
    Ranges(Vec<KeyRange>),
    /// All items.
    Scan,
}

/// How to read what a `WHERE` may be true for: by the conditions on the key that all of it depends on.
pub fn access(filter: Option<&Condition>, schema: &KeySchema) -> Access {
    filter.and_then(|filter| ranges(&filter.tree, schema)).map_or(Access::Scan, Access::Ranges)
}

fn ranges(tree: &Tree<Test>, schema: &KeySchema) -> Option<Vec<KeyRange>> {
    if let Tree::Or(branches) = tree {
        let mut all: Vec<KeyRange> = Vec::new();
        for range in branches.iter().map(|branch| ranges(branch, schema)).collect::<Option<Vec<_>>>()?.into_iter().flatten() {
            if all.iter().any(|other| other.hash == range.hash) {
                // No item may come twice.
                return None;
            }
            all.push(range);
        }
        return Some(all);
    }
    let tests = || tree.conjuncts().iter().filter_map(|part| if let Tree::Test(test) = part { Some(test) } else { None });
    let hashes = tests().find_map(|test| values(test, &schema.hash))?;
    let sort =
        schema.range.as_ref().and_then(|attribute| tests().find_map(|test| range(test, attribute))).unwrap_or(SortRange::All);
    let mut found: Vec<KeyRange> = Vec::new();
    for hash in hashes {
        if !found.iter().any(|other| other.hash == hash) {
            found.push(KeyRange { hash, sort: sort.clone() });
        }
    }
    Some(found)
}

fn is_attribute(operand: &Operand, attribute: &KeyAttribute) -> bool {
    matches!(operand, Operand::Path(path) if path.steps.is_empty() && path.name == attribute.name)
}

/// A value that a key attribute can have.
fn key_value<'a>(operand: &'a Operand, attribute: &KeyAttribute) -> Option<&'a Value> {
    match operand {
        Operand::Value(value) if value.kind() == attribute.key_type.kind() => Some(value),
        _ => None,
    }
}

/// The values that the attribute must have one of.
fn values(test: &Test, attribute: &KeyAttribute) -> Option<Vec<Value>> {
    match test {
        Test::In(operand, candidates) if is_attribute(operand, attribute) => {
            candidates.iter().map(|candidate| key_value(candidate, attribute).cloned()).collect()
        }
        _ => match range(test, attribute)? {
            SortRange::Equal(value) => Some(vec![value]),
            _ => None,
        },
    }
}

/// The range that the attribute must be in.
fn range(test: &Test, attribute: &KeyAttribute) -> Option<SortRange> {
    match test {
        Test::Compare(left, comparator, right) => {
            let (comparator, value) = if is_attribute(left, attribute) {
                (*comparator, key_value(right, attribute)?.clone())
            } else if is_attribute(right, attribute) {
                (comparator.flipped(), key_value(left, attribute)?.clone())
            } else {
                return None;
            };
            comparator.range(value)
        }
        Test::Between(operand, low, high) if is_attribute(operand, attribute) => {
            Some(SortRange::Between(key_value(low, attribute)?.clone(), key_value(high, attribute)?.clone()))
        }
        Test::BeginsWith(operand, prefix) if is_attribute(operand, attribute) => {
            Some(SortRange::BeginsWith(key_value(prefix, attribute)?.clone()))
        }
        _ => None,
    }
}

/// The primary key that an `UPDATE`'s or `DELETE`'s `WHERE` names by `=`, whole; the condition is still to be evaluated, all of it.
///
/// # Errors
/// "Where clause does not contain a mandatory equality on all key attributes". Values may be of a wrong type: the caller checks keys as it does others.
pub fn key_of(filter: Option<&Condition>, schema: &KeySchema) -> Result<Item, StatementError> {
    let missing = || StatementError::new("Where clause does not contain a mandatory equality on all key attributes");
    let tree = &filter.ok_or_else(missing)?.tree;
    let equal = |attribute: &KeyAttribute| {
        tree.conjuncts().iter().find_map(|part| match part {
            Tree::Test(Test::Compare(left, Comparator::Equal, right)) => match (left, right) {
                (operand, Operand::Value(value)) | (Operand::Value(value), operand) if is_attribute(operand, attribute) => {
                    Some(value.clone())
                }
                _ => None,
            },
            _ => None,
        })
    };
    schema
        .attributes()
        .map(|attribute| Ok((attribute.name.clone(), equal(attribute).ok_or_else(missing)?)))
        .collect::<Result<_, _>>()
}
