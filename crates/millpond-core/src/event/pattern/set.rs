//! Many patterns at once: only those are tried that an event's own words do not rule out.

use super::{Pattern, undotted};
use serde_json::Value;
use std::collections::HashMap;

/// Fields by which patterns are filed, the most telling first. A pattern is filed by the first for which it lists the texts it wants.
const FILED_BY: &[&[&str]] =
    &[&["detail", "bucket", "name"], &["detail", "crawlerName"], &["detail", "jobName"], &["detail-type"], &["source"]];

/// Patterns, each with what it stands for.
#[derive(Debug)]
pub struct PatternSet<T> {
    entries: Vec<(Pattern, T)>,
    /// For each of [`FILED_BY`], the entries by the text that they want there.
    filed: Vec<HashMap<String, Vec<usize>>>,
    /// Those that cannot be filed.
    others: Vec<usize>,
}

impl<T> FromIterator<(Pattern, T)> for PatternSet<T> {
    fn from_iter<I: IntoIterator<Item = (Pattern, T)>>(entries: I) -> Self {
        let entries: Vec<(Pattern, T)> = entries.into_iter().collect();
        let mut filed = vec![HashMap::<String, Vec<usize>>::new(); FILED_BY.len()];
        let mut others = Vec::new();
        for (index, (pattern, _)) in entries.iter().enumerate() {
            let found = FILED_BY.iter().enumerate().find_map(|(file, path)| pattern.exact(path).map(|texts| (file, texts)));
            match found {
                Some((file, texts)) => {
                    for text in texts {
                        let list = filed[file].entry(text.to_owned()).or_default();
                        if list.last() != Some(&index) {
                            list.push(index);
                        }
                    }
                }
                None => others.push(index),
            }
        }
        Self { entries, filed, others }
    }
}

impl<T> PatternSet<T> {
    /// What the patterns stand for that `event` matches, in the order in which they were given.
    pub fn matching<'a>(&'a self, event: &Value) -> Vec<&'a T> {
        let event = undotted(event);
        let mut candidates = self.others.clone();
        for (file, path) in self.filed.iter().zip(FILED_BY) {
            if !file.is_empty() {
                each_text(&event, path, &mut |text| candidates.extend(file.get(text).into_iter().flatten()));
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        let entries = candidates.into_iter().map(|index| &self.entries[index]);
        entries.filter(|(pattern, _)| pattern.matches_undotted(&event)).map(|(_, what)| what).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn each_text(value: &Value, path: &[&str], found: &mut impl FnMut(&str)) {
    match (value, path.split_first()) {
        (Value::Array(items), _) => items.iter().for_each(|item| each_text(item, path, found)),
        (Value::Object(members), Some((name, rest))) => {
            if let Some(value) = members.get(*name) {
                each_text(value, rest, found);
            }
        }
        (Value::String(text), None) => found(text),
        _ => {}
    }
}
