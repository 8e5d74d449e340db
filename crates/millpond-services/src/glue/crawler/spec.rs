//! What a crawler is told to do: the members of `CreateCrawler`, and what is wrong with them.
//!
//! The forms are Glue's own JSON ("Crawlers and classifiers API"), so that what Millpond only keeps comes back as it was given.

use crate::glue::GlueError;
use crate::lake::objects::split_uri;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A crawler's definition. `CreateCrawler`'s members but its name and tags.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CrawlerSpec {
    /// Kept; access is checked by the caller's own rights.
    pub role: String,
    /// Where the tables go, lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is crawled.
    pub targets: Targets,
    /// `cron(…)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Names of custom classifiers, tried in this order before the built-in ones.
    pub classifiers: Vec<String>,
    /// Goes before every table's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_prefix: Option<String>,
    /// What is done when schemas change or objects go.
    pub schema_change_policy: SchemaChangePolicy,
    /// What is looked at again.
    pub recrawl_policy: RecrawlPolicy,
    /// JSON in text; see [`Configuration`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// `LineageConfiguration`, `LakeFormationConfiguration`, `CrawlerSecurityConfiguration`: kept and shown.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

/// A crawler's targets. Only those in S3 are crawled in this version.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Targets {
    /// Folders or single objects.
    #[serde(rename = "S3Targets")]
    pub s3: Vec<S3Target>,
    /// Every other kind.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A folder, or a single object, to crawl.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct S3Target {
    /// `s3://bucket/prefix/`.
    pub path: String,
    /// Globs, relative to the path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<String>,
    /// How many objects of each leaf folder are looked into (1 to 249); absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<u32>,
    /// `ConnectionName`, `EventQueueArn`, `DlqEventQueueArn`: kept. The lake knows what changed without a queue.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

impl S3Target {
    /// Bucket and key prefix; the prefix of a folder ends with a slash or is empty.
    pub fn place(&self) -> Option<(&str, String)> {
        let (bucket, key) = split_uri(&self.path)?;
        Some((bucket, key.trim_start_matches('/').to_owned()))
    }
}

/// What a crawl does with what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SchemaChangePolicy {
    /// When a table's schema changed.
    pub update_behavior: UpdateBehavior,
    /// When a table's or partition's objects are gone.
    pub delete_behavior: DeleteBehavior,
}

impl Default for SchemaChangePolicy {
    /// The API's own defaults.
    fn default() -> Self {
        Self { update_behavior: UpdateBehavior::UpdateInDatabase, delete_behavior: DeleteBehavior::DeprecateInDatabase }
    }
}

/// When a table's schema changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum UpdateBehavior {
    Log,
    UpdateInDatabase,
}

/// When a table's or partition's objects are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum DeleteBehavior {
    Log,
    DeleteFromDatabase,
    DeprecateInDatabase,
}

/// What a later crawl looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RecrawlPolicy {
    /// Which objects.
    pub recrawl_behavior: RecrawlBehavior,
}

/// Which objects a later crawl looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecrawlBehavior {
    /// All.
    #[default]
    CrawlEverything,
    /// Those in folders that no crawl has seen.
    CrawlNewFoldersOnly,
    /// Those that came since the last crawl.
    CrawlEventMode,
}

/// `Configuration` of a crawler (developer guide, "Setting crawler configuration options"), read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Configuration {
    /// Partitions take columns and serde from their table.
    pub partitions_inherit: bool,
    /// New columns are added, and existing ones keep their types.
    pub merge_new_columns: bool,
    /// One table for an include path where the formats are the same.
    pub combine_compatible: bool,
    /// Tables lie at this level; the bucket is level 1.
    pub table_level: Option<usize>,
    /// A crawl that would make more new tables than this fails.
    pub table_threshold: Option<usize>,
}

fn invalid(message: impl Into<String>) -> GlueError {
    GlueError::InvalidInput(message.into())
}

impl Configuration {
    /// Reads the JSON text.
    ///
    /// # Errors
    /// `InvalidInput` that names the member.
    pub fn parse(text: &str) -> Result<Self, GlueError> {
        let value: Value = serde_json::from_str(text).map_err(|e| invalid(format!("Configuration is not JSON: {e}")))?;
        let Value::Object(root) = &value else { return Err(invalid("Configuration must be a JSON object.")) };
        if root.get("Version").and_then(Value::as_f64) != Some(1.0) {
            return Err(invalid("Configuration: Version must be 1.0."));
        }
        known(root, "", &["Version", "CrawlerOutput", "Grouping", "CreatePartitionIndex"])?;
        let mut read = Self::default();
        if let Some(output) = section(root, "CrawlerOutput")? {
            known(output, "CrawlerOutput.", &["Partitions", "Tables"])?;
            if let Some(partitions) = section(output, "Partitions")? {
                read.partitions_inherit = is(partitions, "Partitions", "AddOrUpdateBehavior", "InheritFromTable")?;
            }
            if let Some(tables) = section(output, "Tables")? {
                read.merge_new_columns = is(tables, "Tables", "AddOrUpdateBehavior", "MergeNewColumns")?;
                read.table_threshold = positive(tables, "TableThreshold")?;
            }
        }
        if let Some(grouping) = section(root, "Grouping")? {
            known(grouping, "Grouping.", &["TableGroupingPolicy", "TableLevelConfiguration"])?;
            read.combine_compatible = is(grouping, "Grouping", "TableGroupingPolicy", "CombineCompatibleSchemas")?;
            read.table_level = positive(grouping, "TableLevelConfiguration")?;
        }
        Ok(read)
    }
}

fn section<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, GlueError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(inner)) => Ok(Some(inner)),
        Some(_) => Err(invalid(format!("Configuration: {name} must be an object."))),
    }
}

fn known(object: &Map<String, Value>, place: &str, names: &[&str]) -> Result<(), GlueError> {
    match object.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(invalid(format!("Configuration: {place}{key} is not known; known are {}.", names.join(", ")))),
        None => Ok(()),
    }
}

fn is(object: &Map<String, Value>, place: &str, name: &str, wanted: &str) -> Result<bool, GlueError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::String(text)) if text == wanted => Ok(true),
        Some(other) => Err(invalid(format!("Configuration: {place}.{name} must be \"{wanted}\", is {other}."))),
    }
}

fn positive(object: &Map<String, Value>, name: &str) -> Result<Option<usize>, GlueError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().filter(|number| (1..=1_000_000).contains(number)) {
            Some(number) => Ok(Some(number as usize)),
            None => Err(invalid(format!("Configuration: {name} must be a whole number of at least 1, is {value}."))),
        },
    }
}

impl CrawlerSpec {
    /// The configuration, read; the default where there is none.
    ///
    /// # Errors
    /// See [`Configuration::parse`]; none for a spec that was checked.
    pub fn options(&self) -> Result<Configuration, GlueError> {
        self.configuration
            .as_deref()
            .filter(|text| !text.trim().is_empty())
            .map_or(Ok(Configuration::default()), Configuration::parse)
    }

    /// Checks the whole definition, and brings names into their form.
    ///
    /// # Errors
    /// `InvalidInput` that says which member is wrong, and how.
    pub fn check(&mut self) -> Result<(), GlueError> {
        if let Some((kind, _)) =
            self.targets.others.iter().find(|(_, value)| value.as_array().is_some_and(|list| !list.is_empty()))
        {
            return Err(invalid(format!("{kind} are not supported: this lake crawls S3Targets.")));
        }
        if self.targets.s3.is_empty() {
            return Err(invalid("At least one target must be given in Targets.S3Targets."));
        }
        self.targets.s3.iter().try_for_each(check_target)?;
        let database = self.database_name.as_deref().map(str::trim).unwrap_or_default().to_lowercase();
        if database.is_empty() {
            return Err(invalid("DatabaseName must be given: the crawler's tables go into it."));
        }
        self.database_name = Some(database);
        if let Some(prefix) = &mut self.table_prefix {
            *prefix = prefix.to_lowercase();
        }
        self.options()?;
        if let Some(schedule) = self.schedule.as_deref().filter(|text| !text.is_empty()) {
            crate::glue::schedule::parse(schedule)?;
        }
        let policy = self.schema_change_policy;
        let only_new = self.recrawl_policy.recrawl_behavior == RecrawlBehavior::CrawlNewFoldersOnly;
        if only_new && (policy.update_behavior != UpdateBehavior::Log || policy.delete_behavior != DeleteBehavior::Log) {
            return Err(invalid(
                "The SchemaChangePolicy for \"Crawl new folders only\" Amazon S3 target can have only LOG DeleteBehavior value and LOG UpdateBehavior value.",
            ));
        }
        Ok(())
    }
}

fn check_target(target: &S3Target) -> Result<(), GlueError> {
    let Some((bucket, _)) = target.place() else {
        return Err(invalid(format!("S3 target path '{}' must have the form s3://bucket/prefix.", target.path)));
    };
    let sound = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    if !sound {
        return Err(invalid(format!("S3 target path '{}': '{bucket}' cannot be the name of a bucket.", target.path)));
    }
    if let Some(size) = target.sample_size.filter(|size| !(1..=249).contains(size)) {
        return Err(invalid(format!("S3 target '{}': SampleSize must be from 1 to 249, is {size}.", target.path)));
    }
    Exclusions::new(&target.exclusions).map(|_| ()).map_err(|error| invalid(format!("S3 target '{}': {error}", target.path)))
}

/// Exclude patterns, compiled. They are matched against the part of the key after the include path (developer guide, "Include and exclude
/// patterns"): `*` and `?` stay within a folder, `**` crosses folders, `[a-z]`, `{a,b}` and `\` work as in shells.
#[derive(Debug, Clone)]
pub struct Exclusions(Option<GlobSet>);

impl Exclusions {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// A text that names the pattern that is wrong, and why.
    pub fn new(patterns: &[String]) -> Result<Self, String> {
        if patterns.is_empty() {
            return Ok(Self(None));
        }
        if patterns.len() > 1_000 || patterns.iter().any(|pattern| pattern.len() > 4_096) {
            return Err("there may be 1,000 exclude patterns of 4,096 bytes each".into());
        }
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(&Self::in_components(pattern)).literal_separator(true).backslash_escape(true).build();
            set.add(glob.map_err(|error| format!("exclude pattern '{pattern}' is not valid: {}", error.kind()))?);
        }
        Ok(Self(Some(set.build().map_err(|error| format!("the exclude patterns are too large: {}", error.kind()))?)))
    }

    /// The same pattern with each `**` as a path component of its own, as most glob libraries want it: `**.csv` becomes `**/*.csv`.
    pub fn in_components(pattern: &str) -> String {
        let component = |part: &str| match part.split_once("**") {
            None => part.to_owned(),
            Some(("", "")) => part.to_owned(),
            Some(("", after)) => format!("**/*{}", after.trim_start_matches('*')),
            Some((before, after)) => match after.trim_start_matches('*') {
                "" => format!("{{{before}*,{before}*/**}}"),
                after => format!("{{{before}*{after},{before}*/**/*{after}}}"),
            },
        };
        pattern.split('/').map(component).collect::<Vec<_>>().join("/")
    }

    /// Whether the object at `relative` (its key after the include path) is left out.
    pub fn matches(&self, relative: &str) -> bool {
        self.0.as_ref().is_some_and(|set| set.is_match(relative))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(value: Value) -> Result<CrawlerSpec, String> {
        let mut spec: CrawlerSpec = serde_json::from_value(value).unwrap();
        spec.check().map_err(|error| error.to_string())?;
        Ok(spec)
    }

    #[test]
    fn a_definition_gets_glues_defaults_and_keeps_what_it_does_not_know() {
        let given = json!({"Role": "r", "DatabaseName": "Raw", "Targets": {"S3Targets": [{"Path": "s3://raw/x", "ConnectionName": "c"}]},
            "LineageConfiguration": {"CrawlerLineageSettings": "ENABLE"}});
        let spec = spec(given).unwrap();
        assert_eq!(spec.database_name.as_deref(), Some("raw"));
        assert_eq!(spec.recrawl_policy.recrawl_behavior, RecrawlBehavior::CrawlEverything);
        let shown = serde_json::to_value(&spec).unwrap();
        assert_eq!(
            shown["SchemaChangePolicy"],
            json!({"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DEPRECATE_IN_DATABASE"})
        );
        assert_eq!(shown["LineageConfiguration"]["CrawlerLineageSettings"], "ENABLE");
        assert_eq!(shown["Targets"]["S3Targets"][0]["ConnectionName"], "c");
    }

    #[test]
    fn a_wrong_definition_is_refused_by_the_member_that_is_wrong() {
        let with = |more: Value| {
            let mut base = json!({"Role": "r", "DatabaseName": "d", "Targets": {"S3Targets": [{"Path": "s3://raw/x"}]}});
            base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            spec(base).unwrap_err()
        };
        for (more, say) in [
            (json!({"Targets": {}}), "At least one target"),
            (json!({"Targets": {"JdbcTargets": [{"Path": "x"}]}}), "JdbcTargets are not supported"),
            (json!({"Targets": {"S3Targets": [{"Path": "raw/x"}]}}), "must have the form s3://"),
            (json!({"Targets": {"S3Targets": [{"Path": "s3://Raw_/x"}]}}), "cannot be the name of a bucket"),
            (json!({"Targets": {"S3Targets": [{"Path": "s3://raw/x", "Exclusions": ["a[", "b"]}]}}), "exclude pattern 'a['"),
            (json!({"DatabaseName": ""}), "DatabaseName"),
            (json!({"Configuration": "{"}), "not JSON"),
            (json!({"Configuration": "{\"Version\":2}"}), "Version must be 1.0"),
            (json!({"Configuration": "{\"Version\":1.0,\"Grouping\":{\"TableGroupingPolicy\":\"x\"}}"}), "TableGroupingPolicy"),
            (json!({"Schedule": "every day"}), "Schedule 'every day'"),
            (json!({"RecrawlPolicy": {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"}}), "only LOG"),
        ] {
            let error = with(more.clone());
            assert!(error.contains(say), "{more}: {error}");
        }
    }

    #[test]
    fn the_configuration_is_read_whole() {
        let text = r#"{"Version":1.0,"CrawlerOutput":{"Partitions":{"AddOrUpdateBehavior":"InheritFromTable"},
            "Tables":{"AddOrUpdateBehavior":"MergeNewColumns","TableThreshold":5}},
            "Grouping":{"TableGroupingPolicy":"CombineCompatibleSchemas","TableLevelConfiguration":3},"CreatePartitionIndex":true}"#;
        let want = Configuration {
            partitions_inherit: true,
            merge_new_columns: true,
            combine_compatible: true,
            table_level: Some(3),
            table_threshold: Some(5),
        };
        assert_eq!(Configuration::parse(text).unwrap(), want);
    }

    #[test]
    fn exclude_patterns_match_as_the_developer_guide_shows() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            let set = Exclusions::new(&[pattern.to_owned()]).unwrap();
            yes.iter().for_each(|path| assert!(set.matches(path), "{pattern} should match {path}"));
            no.iter().for_each(|path| assert!(!set.matches(path), "{pattern} should not match {path}"));
        };
        check("*.csv", &["a.csv", ".csv"], &["x/a.csv", "a.csv.gz"]);
        check("*.*", &["a.b"], &["ab"]);
        check("*.{csv,avro}", &["a.csv", "b.avro"], &["a.json"]);
        check("foo.?", &["foo.x"], &["foo.xy"]);
        check("myfolder/*", &["myfolder/mykey"], &["myfolder/mysub/key"]);
        check("myfolder/**", &["myfolder/mykey", "myfolder/mysub/key"], &["other/key"]);
        check("**.csv", &["a.csv", "x/y/a.csv"], &["a.json"]);
        check("**/x**", &["x", "y/x1", "y/x/z"], &["y/z"]);
        check("a**z", &["az", "ab/c/yz"], &["az/b"]);
        check("**.{csv,avro}", &["a.csv", "x/a.avro"], &["x/a.json"]);
        check("[!a-c]*.txt", &["d1.txt"], &["a1.txt"]);
        check("\\{a\\}", &["{a}"], &["a"]);
    }
}
