//! What objects look like: shapes, and how they grow together into the columns of a table.

use super::grouping::Profile;
use indexmap::IndexMap;
use millpond_core::catalog::{Column, Parameters, StorageDescriptor};
use millpond_engine::types::{self, HiveType};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What one object looks like. Objects that look the same share one.
#[derive(Debug)]
pub struct Shape {
    /// `csv`, `json`, …
    pub classification: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Names of columns whose type is a guess without a value to go by.
    pub undecided: HashSet<String>,
    /// Input and output format and serde; neither columns nor location.
    pub storage: StorageDescriptor,
    /// `classification`, `delimiter`, `compressionType`, `skip.header.line.count`, …
    pub parameters: Parameters,
    /// What it is compared by.
    pub profile: Arc<Profile>,
}

/// Gives equal shapes one address.
#[derive(Debug, Default)]
pub struct Shapes {
    known: HashMap<String, Arc<Shape>>,
    profiles: HashMap<String, Arc<Profile>>,
}

impl Shapes {
    /// The one shape that equals this.
    pub fn intern(
        &mut self,
        classification: &str,
        columns: Vec<Column>,
        undecided: HashSet<String>,
        storage: StorageDescriptor,
        parameters: Parameters,
    ) -> Arc<Shape> {
        let mut guesses: Vec<&String> = undecided.iter().collect();
        guesses.sort();
        let key = format!("{classification}\0{columns:?}\0{guesses:?}\0{storage:?}\0{parameters:?}");
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let names: HashSet<String> = columns.iter().map(|column| column.name.clone()).collect();
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        let profile_key = format!("{classification}\0{sorted:?}");
        let profile = self
            .profiles
            .entry(profile_key)
            .or_insert_with(|| Arc::new(Profile { classification: classification.into(), names }));
        let shape = Arc::new(Shape {
            classification: classification.into(),
            columns,
            undecided,
            storage,
            parameters,
            profile: profile.clone(),
        });
        self.known.insert(key, shape.clone());
        shape
    }
}

/// The columns of several objects together, in the order in which they were first seen.
#[derive(Debug, Default, Clone)]
pub struct Columns {
    types: IndexMap<String, Guess>,
    added: HashSet<usize>,
}

#[derive(Debug, Clone)]
struct Guess {
    hive: HiveType,
    /// No value has spoken yet.
    undecided: bool,
}

impl Columns {
    /// Takes in the columns of a shape.
    pub fn add(&mut self, shape: &Arc<Shape>) {
        // Shapes live as long as the crawl: their address says whether this one was taken in before.
        if !self.added.insert(Arc::as_ptr(shape) as usize) {
            return;
        }
        for column in &shape.columns {
            let hive = HiveType::parse(&column.data_type).unwrap_or(HiveType::String);
            let undecided = shape.undecided.contains(&column.name);
            match self.types.get_mut(&column.name) {
                None => {
                    self.types.insert(column.name.clone(), Guess { hive, undecided });
                }
                Some(_) if undecided => {}
                Some(known) if known.undecided => *known = Guess { hive, undecided },
                Some(known) => known.hive = types::merge(&known.hive, &hive),
            }
        }
    }

    /// The columns of a new table.
    pub fn new_columns(&self) -> Vec<Column> {
        self.types.iter().map(|(name, guess)| Column::new(name, guess.hive.to_string())).collect()
    }

    /// Lets the columns of an existing table grow: new ones are added, and types are widened where `widen` says so and every old value stays what it is.
    /// Else a column keeps its type, and values that do not fit it go to the quarantine when they are converted. Answers whether anything changed.
    pub fn grow(&self, existing: &mut Vec<Column>, widen: bool) -> bool {
        let mut changed = false;
        for (name, guess) in &self.types {
            match existing.iter_mut().find(|column| column.name == *name) {
                None => {
                    existing.push(Column::new(name, guess.hive.to_string()));
                    changed = true;
                }
                Some(column) if widen && !guess.undecided => {
                    let Ok(old) = HiveType::parse(&column.data_type) else { continue };
                    let wide = types::widen(&old, &guess.hive);
                    if wide != old {
                        column.data_type = wide.to_string();
                        changed = true;
                    }
                }
                Some(_) => {}
            }
        }
        changed
    }

    /// These columns with the types that `table` has for them: what a partition says must not contradict its table.
    pub fn as_in(&self, table: &[Column]) -> Vec<Column> {
        let of = |name: &str| table.iter().find(|column| column.name == name).cloned();
        self.types.iter().map(|(name, guess)| of(name).unwrap_or_else(|| Column::new(name, guess.hive.to_string()))).collect()
    }

    /// Removes a column.
    pub fn remove(&mut self, name: &str) {
        self.types.shift_remove(name);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(shapes: &mut Shapes, columns: &str) -> Arc<Shape> {
        let mut undecided = HashSet::new();
        let columns = columns.split_whitespace().map(|text| {
            let (name, hive) = text.split_once(':').unwrap();
            let guess = hive.strip_suffix('?');
            undecided.extend(guess.map(|_| name.to_owned()));
            Column::new(name, guess.unwrap_or(hive))
        });
        let columns = columns.collect();
        shapes.intern("csv", columns, undecided, StorageDescriptor::default(), Parameters::new())
    }

    fn text(columns: &[Column]) -> String {
        columns.iter().map(|column| format!("{}:{}", column.name, column.data_type)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_of_many_files_grow_together() {
        let mut shapes = Shapes::default();
        let mut columns = Columns::default();
        for file in ["a:bigint b:date", "a:double c:string", "b:timestamp a:bigint", "c:string?", "d:string?", "d:date"] {
            columns.add(&shape(&mut shapes, file));
        }
        assert_eq!(text(&columns.new_columns()), "a:double b:timestamp c:string d:date");
    }

    #[test]
    fn an_existing_table_only_grows_where_old_values_stay_what_they_are() {
        let mut shapes = Shapes::default();
        let check = |table: &str, file: &str, widen: bool, want: &str| {
            let mut shapes = Shapes::default();
            let mut existing = shape(&mut shapes, table).columns.clone();
            let mut columns = Columns::default();
            columns.add(&shape(&mut shapes, file));
            let changed = columns.grow(&mut existing, widen);
            assert_eq!((text(&existing).as_str(), changed), (want, table != want), "{table} + {file}");
        };
        check("a:int", "a:bigint b:date", true, "a:bigint b:date");
        check("a:int", "a:bigint b:date", false, "a:int b:date");
        check("a:bigint", "a:string", true, "a:bigint");
        check("a:string", "a:bigint", true, "a:string");
        check("a:bigint", "a:string?", true, "a:bigint");
        assert!(Arc::ptr_eq(&shape(&mut shapes, "a:int"), &shape(&mut shapes, "a:int")));
    }
}
