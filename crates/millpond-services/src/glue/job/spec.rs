//! What a job is told to do: the members of `CreateJob`, and the arguments of Millpond's own command.

use crate::glue::GlueError;
use crate::lake::items::AttributeTypes;
use crate::lake::objects::split_uri;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The command that Millpond runs itself.
pub const MILLPOND: &str = "millpond";

/// What stands before the name of a table of items, where a job names it as its target.
pub const ITEMS: &str = "dynamodb:";

/// The key attribute of a table of items, where nobody says another.
pub const ITEMS_KEY: &str = "id";

/// Glue's default timeout of a job run (Glue API reference, "Job"), in minutes: 48 hours.
const TIMEOUT_MINUTES: i32 = 2_880;

/// A job's or run's arguments, `--key` to value.
pub type Arguments = BTreeMap<String, String>;

/// A job's definition: `CreateJob`'s members but its name and tags.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobSpec {
    /// Kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What runs.
    pub command: Command,
    /// Arguments of every run that does not give its own.
    #[serde(skip_serializing_if = "Arguments::is_empty")]
    pub default_arguments: Arguments,
    /// Arguments that no run can give.
    #[serde(skip_serializing_if = "Arguments::is_empty")]
    pub non_overridable_arguments: Arguments,
    /// How many runs at once.
    pub execution_property: ExecutionProperty,
    /// How often a failed run is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<i32>,
    /// Minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i32>,
    /// Whether runs beyond the limit wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_run_queuing_enabled: Option<bool>,
    /// Everything else, kept and shown.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

/// What a job runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Command {
    /// `millpond`, `glueetl`, `pythonshell`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `ScriptLocation`, `PythonVersion`, `Runtime`: kept.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

/// How many runs at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecutionProperty {
    /// At least 1.
    pub max_concurrent_runs: i32,
}

impl Default for ExecutionProperty {
    fn default() -> Self {
        Self { max_concurrent_runs: 1 }
    }
}

impl ItemsTarget {
    /// Whether the target can be a table with this key: names and types, the partition key first.
    ///
    /// # Errors
    /// For people: what differs, and what to change.
    pub fn suits(&self, key: &[(String, &str)]) -> Result<(), String> {
        let shown: Vec<String> = key.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
        if key.iter().map(|(name, _)| name).ne(&self.key) {
            return Err(format!(
                "Table '{}' of items has the key {}, and the key is said to be {}: name the table's own key attributes, or another table.",
                self.table,
                shown.join(", "),
                self.key.join(", ")
            ));
        }
        if let Some((name, kind)) = key.iter().find(|(_, kind)| self.types == AttributeTypes::String && *kind != "S") {
            return Err(format!(
                "The key attribute {name} of table '{}' is of type {kind}, and all attributes are to be strings: say types = typed, or name another table.",
                self.table
            ));
        }
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> GlueError {
    GlueError::InvalidInput(message.into())
}

impl JobSpec {
    /// Whether it is Millpond's own command.
    pub fn is_millpond(&self) -> bool {
        self.command.name.as_deref() == Some(MILLPOND)
    }

    /// Minutes.
    pub fn timeout_minutes(&self) -> i32 {
        self.timeout.unwrap_or(TIMEOUT_MINUTES)
    }

    /// Checks the definition, and fills in Glue's defaults.
    ///
    /// # Errors
    /// `InvalidInput` that says which member is wrong, and how.
    pub fn check(&mut self) -> Result<(), GlueError> {
        match self.command.name.as_deref() {
            Some(MILLPOND | "glueetl" | "gluestreaming" | "pythonshell" | "glueray") => {}
            Some(other) => {
                return Err(invalid(format!(
                    "Command name '{other}' is not known: use {MILLPOND}, glueetl, gluestreaming, pythonshell or glueray."
                )));
            }
            None => return Err(invalid("Command.Name must be given.")),
        }
        if !(1..=1_000).contains(&self.execution_property.max_concurrent_runs) {
            return Err(invalid("ExecutionProperty.MaxConcurrentRuns must be from 1 to 1,000."));
        }
        if let Some(retries) = self.max_retries.filter(|retries| !(0..=10).contains(retries)) {
            return Err(invalid(format!("MaxRetries must be from 0 to 10, is {retries}.")));
        }
        if let Some(minutes) = self.timeout.filter(|minutes| !(1..=10_080).contains(minutes)) {
            return Err(invalid(format!("Timeout must be from 1 to 10,080 minutes, is {minutes}.")));
        }
        self.timeout = Some(self.timeout_minutes());
        self.max_retries = Some(self.max_retries.unwrap_or(0));
        if self.is_millpond() {
            // What is missing may come with the run; what is there must be right.
            let mut all = self.default_arguments.clone();
            all.extend(self.non_overridable_arguments.clone());
            let asks_sql = all.contains_key("--sql");
            ConvertArguments::known(&all)?;
            if asks_sql && all["--sql"].trim().is_empty() {
                return Err(invalid("Argument --sql is empty: leave it out to take the rows as they are."));
            }
        }
        Ok(())
    }

    /// The arguments of a run that was given `own`: those of the job, overlaid by its own, overlaid by those that cannot be overridden.
    pub fn arguments(&self, own: &Arguments) -> Arguments {
        let mut all = self.default_arguments.clone();
        all.extend(own.clone());
        all.extend(self.non_overridable_arguments.clone());
        all
    }
}

/// A table of items as a job's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemsTarget {
    /// Its name, with case.
    pub table: String,
    /// The key attributes, the partition key first: one or two.
    pub key: Vec<String>,
    /// Of the attributes that are no key.
    pub types: AttributeTypes,
}

/// What Millpond's own command does: takes what is new in a catalog table, and appends it to another as Parquet, or puts it into a table of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertArguments {
    /// Lower case.
    pub source_database: String,
    /// Lower case.
    pub source_table: String,
    /// Lower case. Beside a table of items: where the quarantine is.
    pub target_database: String,
    /// Lower case. Beside a table of items: what the quarantine's name begins with.
    pub target_table: String,
    /// Where the target is a table of items.
    pub items: Option<ItemsTarget>,
    /// `s3://bucket/prefix/`; absent: below the target database's location. Beside a table of items: the quarantine lies beside it.
    pub target_location: Option<String>,
    /// Columns whose values become folders, lower case.
    pub partition_by: Vec<String>,
    /// `SELECT … FROM input`.
    pub sql: Option<String>,
    /// A column with the time of the run.
    pub ingestion_timestamp: bool,
    /// A column with the URI of the source object.
    pub source_file: bool,
    /// Each version of a source object contributes once. On unless it is turned off.
    pub bookmark: bool,
    /// Only objects below this URI.
    pub source_path: Option<String>,
    /// Only objects whose keys end so.
    pub source_suffix: Option<String>,
}

const OWN: [&str; 15] = [
    "--source-database",
    "--source-table",
    "--target-database",
    "--target-table",
    "--target-location",
    "--key",
    "--types",
    "--partition-by",
    "--sql",
    "--ingestion-timestamp",
    "--source-file",
    "--job-bookmark-option",
    "--source-path",
    "--source-suffix",
    "--flow",
];

/// Glue's own job parameters (developer guide, "Using job parameters in AWS Glue jobs") that mean nothing to this command and do no harm.
const GLUES: [&str; 9] = [
    "--job-language",
    "--TempDir",
    "--scriptLocation",
    "--class",
    "--conf",
    "--customer-",
    "--enable-",
    "--extra-",
    "--WORKFLOW_",
];

impl ConvertArguments {
    /// Checks that all arguments are known, and their values sound.
    fn known(arguments: &Arguments) -> Result<(), GlueError> {
        for (key, value) in arguments {
            if !OWN.contains(&key.as_str()) && !GLUES.iter().any(|glues| key.starts_with(glues)) {
                return Err(invalid(format!(
                    "Argument {key} is not known to the command '{MILLPOND}': it takes {}.",
                    OWN.join(", ")
                )));
            }
            match key.as_str() {
                "--ingestion-timestamp" | "--source-file" => flag(arguments, key).map(|_| ())?,
                "--job-bookmark-option" => bookmark(value).map(|_| ())?,
                "--target-location" => location(key, value).map(|_| ())?,
                "--source-path" if split_uri(value).is_none() => {
                    return Err(invalid(format!("Argument {key} must have the form s3://bucket/prefix, is '{value}'.")));
                }
                "--partition-by" => partition_by(value).map(|_| ())?,
                "--target-table" => items_table(value).map(|_| ())?,
                "--key" => items_key(Some(value)).map(|_| ())?,
                "--types" => items_types(Some(value)).map(|_| ())?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads a run's arguments.
    ///
    /// # Errors
    /// `InvalidInput` that names the argument that is missing, wrong or unknown.
    pub fn read(arguments: &Arguments) -> Result<Self, GlueError> {
        Self::known(arguments)?;
        let optional = |key: &str| arguments.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
        let name = |key: &str| {
            let missing =
                || invalid(format!("Argument {key} must be given, in the job's DefaultArguments or in those of the run."));
            optional(key).map(str::to_lowercase).ok_or_else(missing)
        };
        let items = match optional("--target-table").map_or(Ok(None), items_table)? {
            Some(table) => {
                let (key, types) = (items_key(optional("--key"))?, items_types(optional("--types"))?);
                Some(ItemsTarget { table: table.to_owned(), key, types })
            }
            None => None,
        };
        let refused: &[&str] = match items {
            Some(_) => &["--partition-by"],
            None => &["--key", "--types"],
        };
        if let Some(key) = refused.iter().find(|key| optional(key).is_some()) {
            let (is, form) = if items.is_some() { ("is", "database.table") } else { ("is not", "dynamodb:TABLE") };
            return Err(invalid(format!(
                "Argument {key} has no meaning where the target {is} a table of items; it is for targets {form}."
            )));
        }
        let (target_database, target_table) = match &items {
            Some(items) => (
                optional("--target-database").map_or_else(|| name("--source-database"), |text| Ok(text.to_lowercase()))?,
                name_in_catalog(&items.table),
            ),
            None => (name("--target-database")?, name("--target-table")?),
        };
        let read = Self {
            source_database: name("--source-database")?,
            source_table: name("--source-table")?,
            target_database,
            target_table,
            items,
            target_location: optional("--target-location").map(|text| location("--target-location", text)).transpose()?,
            partition_by: optional("--partition-by").map_or(Ok(Vec::new()), partition_by)?,
            sql: optional("--sql").map(str::to_owned),
            ingestion_timestamp: flag(arguments, "--ingestion-timestamp")?,
            source_file: flag(arguments, "--source-file")?,
            bookmark: arguments.get("--job-bookmark-option").map_or(Ok(true), |text| bookmark(text))?,
            source_path: optional("--source-path").map(str::to_owned),
            source_suffix: optional("--source-suffix").map(str::to_owned),
        };
        let same = (&read.source_database, &read.source_table) == (&read.target_database, &read.target_table);
        if same && read.items.is_none() {
            return Err(invalid(format!(
                "Source and target are the same table, {}.{}.",
                read.source_database, read.source_table
            )));
        }
        Ok(read)
    }

    /// What the bookmark is about.
    pub fn source(&self) -> String {
        format!("{}.{}", self.source_database, self.source_table)
    }

    /// The target, as people write it.
    pub fn target(&self) -> String {
        match &self.items {
            Some(items) => format!("{ITEMS}{}", items.table),
            None => self.catalog_target(),
        }
    }

    /// `database.table` of the target, or of what the quarantine of a table of items is beside.
    pub fn catalog_target(&self) -> String {
        format!("{}.{}", self.target_database, self.target_table)
    }
}

/// The table's name in `dynamodb:NAME`; `None` for other targets.
fn items_table(text: &str) -> Result<Option<&str>, GlueError> {
    let Some(table) = text.trim().strip_prefix(ITEMS) else { return Ok(None) };
    let good = (3..=255).contains(&table.len()) && table.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    let wrong = || {
        invalid(format!(
            "Argument --target-table: '{table}' cannot name a table of items: write {ITEMS} and 3 to 255 letters, digits, '_', '.' and '-'."
        ))
    };
    good.then_some(Some(table)).ok_or_else(wrong)
}

fn items_key(text: Option<&str>) -> Result<Vec<String>, GlueError> {
    let names = text.unwrap_or(ITEMS_KEY).split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
    let wrong =
        || invalid(format!("Argument --key must name one or two different attributes, is '{}'.", text.unwrap_or_default()));
    let named = names.iter().all(|name| (1..=255).contains(&name.len()));
    let good = named && names.len() <= 2 && names.first() != names.get(1);
    good.then_some(names).ok_or_else(wrong)
}

fn items_types(text: Option<&str>) -> Result<AttributeTypes, GlueError> {
    let Some(text) = text else { return Ok(AttributeTypes::String) };
    let wrong = || invalid(format!("Argument --types must be string or typed, is '{text}'."));
    AttributeTypes::of(text.trim()).ok_or_else(wrong)
}

/// A table's name as the catalog can have it.
fn name_in_catalog(table: &str) -> String {
    table.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

fn flag(arguments: &Arguments, key: &str) -> Result<bool, GlueError> {
    match arguments.get(key).map(|text| text.trim().to_lowercase()).as_deref() {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(other) => Err(invalid(format!("Argument {key} must be true or false, is '{other}'."))),
    }
}

fn bookmark(text: &str) -> Result<bool, GlueError> {
    match text.trim() {
        "job-bookmark-enable" => Ok(true),
        "job-bookmark-disable" => Ok(false),
        other => Err(invalid(format!(
            "Argument --job-bookmark-option must be job-bookmark-enable or job-bookmark-disable, is '{other}'."
        ))),
    }
}

fn location(key: &str, text: &str) -> Result<String, GlueError> {
    let wrong = || invalid(format!("Argument {key} must have the form s3://bucket/prefix/, is '{text}'."));
    let (bucket, prefix) = split_uri(text.trim()).ok_or_else(wrong)?;
    let prefix = prefix.trim_matches('/');
    Ok(if prefix.is_empty() { format!("s3://{bucket}/") } else { format!("s3://{bucket}/{prefix}/") })
}

fn partition_by(text: &str) -> Result<Vec<String>, GlueError> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect();
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            return Err(invalid(format!("Argument --partition-by names '{name}' twice.")));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Arguments {
        text.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(k, v)| (format!("--{k}"), v.to_owned())).collect()
    }

    const BASE: &str = "source-database=raw source-table=Flights target-database=processed target-table=flights";

    #[test]
    fn arguments_are_read_with_their_defaults() {
        let read = ConvertArguments::read(&arguments(BASE)).unwrap();
        assert_eq!((read.source().as_str(), read.bookmark, read.source_file), ("raw.flights", true, false));
        let more = "partition-by=Year,month source-file=true job-bookmark-option=job-bookmark-disable target-location=s3://p/x enable-metrics=true";
        let read = ConvertArguments::read(&arguments(&format!("{BASE} {more}"))).unwrap();
        assert_eq!((read.partition_by, read.source_file, read.bookmark), (vec!["year".into(), "month".into()], true, false));
        assert_eq!(read.target_location.as_deref(), Some("s3://p/x/"));
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (more, say) in [
            ("partition_by=a", "--partition_by is not known"),
            ("partition-by=a,b,A", "names 'a' twice"),
            ("source-file=maybe", "--source-file must be true or false"),
            ("job-bookmark-option=on", "--job-bookmark-option"),
            ("target-location=/tmp", "--target-location"),
            ("target-database=raw", "the same table"),
            ("source-table=", "--source-table must be given"),
            ("key=id", "--key has no meaning"),
            ("types=typed", "--types has no meaning"),
            ("target-table=dynamodb:a", "cannot name a table of items"),
            ("target-table=dynamodb:company key=a,b,c", "--key must name one or two"),
            ("target-table=dynamodb:company key=a,a", "--key must name one or two"),
            ("target-table=dynamodb:company types=json", "--types must be string or typed"),
            ("target-table=dynamodb:company partition-by=a", "--partition-by has no meaning"),
        ] {
            let error = ConvertArguments::read(&arguments(&format!("{BASE} {more}"))).unwrap_err().to_string();
            assert!(error.contains(say), "{more}: {error}");
        }
    }

    #[test]
    fn a_table_of_items_is_a_target() {
        let base = "source-database=raw source-table=company target-table=dynamodb:My-Company";
        let read = ConvertArguments::read(&arguments(base)).unwrap();
        let items = read.items.clone().unwrap();
        assert_eq!((items.table.as_str(), items.key, items.types), ("My-Company", vec!["id".into()], AttributeTypes::String));
        assert_eq!((read.target(), read.catalog_target()), ("dynamodb:My-Company".into(), "raw.my_company".into()));
        let read = ConvertArguments::read(&arguments(&format!("{base} key=pk,sk types=typed target-database=q"))).unwrap();
        let items = read.items.clone().unwrap();
        assert_eq!((items.key, items.types), (vec!["pk".into(), "sk".into()], AttributeTypes::Typed));
        assert_eq!(read.catalog_target(), "q.my_company");
    }

    #[test]
    fn arguments_that_cannot_be_overridden_win() {
        let spec = JobSpec {
            default_arguments: arguments("a=1 b=1 c=1"),
            non_overridable_arguments: arguments("c=3"),
            ..JobSpec::default()
        };
        assert_eq!(spec.arguments(&arguments("b=2 c=2")), arguments("a=1 b=2 c=3"));
    }
}
