//! Column names from what files call their columns.

use std::collections::HashSet;

/// The longest column name that Glue takes (Glue API, `Column.Name`).
const NAME_MAX: usize = 255;

/// The catalog's name for a field called `raw`: lower case, as Glue's crawler writes it; spaces and punctuation inside stay, control characters and
/// those that Hive's own type grammar needs (`,` `;` `{` `}` `(` `)` `=` `` ` ``) become `_`. Empty where nothing is left.
pub fn clean(raw: &str) -> String {
    let trimmed = raw.trim_start_matches('\u{feff}').trim();
    let mut name: String = trimmed
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| if c.is_control() || matches!(c, ',' | ';' | '{' | '}' | '(' | ')' | '=' | '`' | '"') { '_' } else { c })
        .collect();
    if name.len() > NAME_MAX {
        let cut = (0..=NAME_MAX).rev().find(|&i| name.is_char_boundary(i)).unwrap_or(0);
        name.truncate(cut);
    }
    name
}

/// Names for all fields of a header: clean, never empty (`col3`, counted from 0, as Glue names columns without a header) and distinct
/// (`name`, `name_2`, `name_3`), since neither Hive nor Parquet has two columns of one name.
pub fn column_names<'a>(header: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let cleaned: Vec<String> = header
        .into_iter()
        .enumerate()
        .map(|(i, raw)| Some(clean(raw)).filter(|n| !n.is_empty()).unwrap_or(format!("col{i}")))
        .collect();
    // A name that stands in the header as it is keeps it, whatever comes before.
    let given: HashSet<&str> = cleaned.iter().map(String::as_str).collect();
    let mut taken: HashSet<String> = HashSet::with_capacity(cleaned.len());
    let mut names = Vec::with_capacity(cleaned.len());
    let mut counts = std::collections::HashMap::new();
    for name in &cleaned {
        let mut candidate = name.clone();
        if !taken.insert(candidate.clone()) {
            let count = counts.entry(name.as_str()).or_insert(1usize);
            loop {
                *count += 1;
                candidate = format!("{name}_{count}");
                if !given.contains(candidate.as_str()) && taken.insert(candidate.clone()) {
                    break;
                }
            }
        }
        names.push(candidate);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_become_distinct_catalog_names() {
        let header = ["\u{feff}Order ID", "", "Name", "name", "NAME", "name_2", "a,b(c)", " x ", "ÄÖ"];
        let want = ["order id", "col1", "name", "name_3", "name_4", "name_2", "a_b_c_", "x", "äö"];
        assert_eq!(column_names(header), want);
        let many = vec!["a"; 2_000];
        let names: HashSet<String> = column_names(many).into_iter().collect();
        assert_eq!(names.len(), 2_000);
        assert!(clean(&"é".repeat(400)).len() <= 255);
    }
}
