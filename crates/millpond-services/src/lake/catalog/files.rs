//! Which objects are data of a table.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use millpond_core::catalog::Table;

/// More patterns than this are not looked at.
const PATTERNS_MAX: usize = 1_000;

/// Which objects below a location are data.
#[derive(Debug, Clone, Default)]
pub struct FileRules {
    /// On whole URIs.
    exclusions: Option<GlobSet>,
}

impl FileRules {
    /// The rules for a table: a crawled one names in its property `exclusions` what its crawler left out, as a JSON array of globs of whole
    /// URIs. (Athena reads such objects all the same; Millpond leaves out what the crawler left out.)
    pub fn of(table: &Table) -> Self {
        let patterns: Vec<String> =
            table.parameters.get("exclusions").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let mut set = GlobSetBuilder::new();
        for pattern in patterns.iter().take(PATTERNS_MAX) {
            // A user may have written what is no pattern; it excludes nothing.
            if let Ok(glob) = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build() {
                set.add(glob);
            }
        }
        let exclusions = set.build().ok().filter(|set| !set.is_empty());
        Self { exclusions }
    }

    /// Whether the object `s3://bucket/key` of `size` bytes is data of a location whose key has `base` bytes. Empty objects and folder markers are
    /// not, nor are objects that have a name or a folder below the location that begins with `_` or `.` (Athena user guide, "Table location in
    /// Amazon S3").
    pub fn is_data(&self, bucket: &str, key: &str, base: usize, size: u64) -> bool {
        let below = key.get(base..).unwrap_or_default();
        size > 0
            && !key.ends_with('/')
            && !key.ends_with("_$folder$")
            && !below.split('/').any(|part| part.starts_with(['_', '.']))
            && !self.exclusions.as_ref().is_some_and(|set| set.is_match(format!("s3://{bucket}/{key}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_empty_and_excluded_objects_are_no_data() {
        let mut table = Table::default();
        table.parameters.insert("exclusions".into(), r#"["s3://raw/_t/**.tmp", "s3://raw/_t/old/**", "a["]"#.into());
        let rules = FileRules::of(&table);
        for (key, size, is_data) in [
            ("_t/a.csv", 1, true),
            ("_t/x/y/a.csv", 1, true),
            ("_t/a.csv", 0, false),
            ("_t/x/", 1, false),
            ("_t/x_$folder$", 1, false),
            ("_t/_SUCCESS", 1, false),
            ("_t/.hidden", 1, false),
            ("_t/_tmp/a.csv", 1, false),
            ("_t/x/.y/a.csv", 1, false),
            ("_t/a_b.csv", 1, true),
            ("_t/a.tmp", 1, false),
            ("_t/old/x/a.csv", 1, false),
        ] {
            assert_eq!(rules.is_data("raw", key, "_t/".len(), size), is_data, "{key}");
        }
    }
}
