//! Document paths: where something is in an item. Developer guide, "Referring to item attributes when using expressions in DynamoDB".

use crate::value::{Item, Value};
use std::cmp::Ordering;
use std::fmt;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// `.name`
    Name(String),
    /// `[index]`
    Index(usize),
}

/// A path: an attribute of an item, or something in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Path {
    /// The top-level attribute.
    pub(crate) name: String,
    /// From there.
    pub(crate) steps: Vec<Step>,
}

impl Path {
    /// A whole attribute.
    pub(crate) fn attribute(name: impl Into<String>) -> Self {
        Self { name: name.into(), steps: Vec::new() }
    }

    /// The name of what is there in the answer of a `SELECT`: the last name of the path, with the elements of lists behind it. `a.b` is `b`, `a.b[0][1]` is `b[0][1]`.
    pub(crate) fn column(&self) -> String {
        let last = self.steps.iter().rposition(|step| matches!(step, Step::Name(_)));
        let (name, behind) = match last.map(|last| (&self.steps[last], &self.steps[last + 1..])) {
            Some((Step::Name(name), behind)) => (name, behind),
            _ => (&self.name, self.steps.as_slice()),
        };
        behind.iter().fold(name.clone(), |column, step| match step {
            Step::Index(index) => format!("{column}[{index}]"),
            Step::Name(_) => column,
        })
    }

    /// What is there.
    pub(crate) fn get<'a>(&self, item: &'a Item) -> Option<&'a Value> {
        self.steps.iter().try_fold(item.get(&self.name)?, |value, step| child(value, step))
    }

    /// The value that has the last step, which is given too; `None` for a top-level attribute.
    pub(crate) fn parent<'a, 'p>(&'p self, item: &'a mut Item) -> Option<(Option<&'a mut Value>, &'p Step)> {
        let (last, before) = self.steps.split_last()?;
        let mut value = item.get_mut(&self.name);
        for step in before {
            value = match (value, step) {
                (Some(Value::Map(members)), Step::Name(name)) => members.get_mut(name),
                (Some(Value::List(elements)), Step::Index(index)) => elements.get_mut(*index),
                _ => None,
            };
        }
        Some((value, last))
    }

    fn step(&self, index: usize) -> Option<StepRef<'_>> {
        match index.checked_sub(1) {
            None => Some(StepRef::Name(&self.name)),
            Some(index) => self.steps.get(index).map(|step| match step {
                Step::Name(name) => StepRef::Name(name),
                Step::Index(index) => StepRef::Index(*index),
            }),
        }
    }

    /// How two paths that must not touch each other do.
    fn relation(&self, other: &Self) -> Relation {
        for index in 0.. {
            match (self.step(index), other.step(index)) {
                (None, _) | (_, None) => return Relation::Overlap,
                (Some(mine), Some(theirs)) if mine == theirs => {}
                (Some(StepRef::Name(_)), Some(StepRef::Name(_))) | (Some(StepRef::Index(_)), Some(StepRef::Index(_))) => break,
                _ => return Relation::Conflict,
            }
        }
        Relation::Apart
    }
}

#[derive(PartialEq)]
enum StepRef<'a> {
    Name(&'a str),
    Index(usize),
}

#[derive(PartialEq)]
enum Relation {
    Apart,
    /// One contains the other.
    Overlap,
    /// One sees a map where the other sees a list.
    Conflict,
}

fn child<'a>(value: &'a Value, step: &Step) -> Option<&'a Value> {
    match (value, step) {
        (Value::Map(members), Step::Name(name)) => members.get(name),
        (Value::List(elements), Step::Index(index)) => elements.get(*index),
        _ => None,
    }
}

/// Why two of these paths cannot be used together, in DynamoDB's words.
pub(crate) fn collision<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Option<String> {
    let mut paths: Vec<_> = paths.into_iter().enumerate().collect();
    // Paths with something in common stand next to each other then.
    paths.sort_by(|(i, left), (j, right)| left.cmp(right).then(i.cmp(j)));
    let tell = |how: &str, (first, left): &(usize, &Path), (second, right): &(usize, &Path)| {
        let (one, two) = if first.cmp(second) == Ordering::Less { (left, right) } else { (right, left) };
        format!(
            "Two document paths {how} with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
        )
    };
    let pairs = || paths.windows(2);
    if let Some(pair) = pairs().find(|pair| pair[0].1.relation(pair[1].1) == Relation::Overlap) {
        return Some(tell("overlap", &pair[0], &pair[1]));
    }
    pairs().find(|pair| pair[0].1.relation(pair[1].1) == Relation::Conflict).map(|pair| tell("conflict", &pair[0], &pair[1]))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.name)?;
        for step in &self.steps {
            match step {
                Step::Name(name) => write!(f, ", {name}")?,
                Step::Index(index) => write!(f, ", [{index}]")?,
            }
        }
        f.write_str("]")
    }
}
