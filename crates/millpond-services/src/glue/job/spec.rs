//! What a job is told to do: the members of `CreateJob`, and the arguments of Millpond's own command.

use crate::glue::GlueError;
use crate::lake::objects::split_uri;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The command that Millpond runs itself.
pub const MILLPOND: &str = "millpond";

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

/// What Millpond's own command does: takes what is new in a catalog table, and appends it to another as Parquet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertArguments {
    /// Lower case.
    pub source_database: String,
    /// Lower case.
    pub source_table: String,
    /// Lower case.
    pub target_database: String,
    /// Lower case.
    pub target_table: String,
    /// `s3://bucket/prefix/`; absent: below the target database's location.
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

const OWN: [&str; 13] = [
    "--source-database",
    "--source-table",
    "--target-database",
    "--target-table",
    "--target-location",
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
const GLUES: [&str; 8] =
    ["--job-language", "--TempDir", "--scriptLocation", "--class", "--conf", "--customer-", "--enable-", "--extra-"];

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
        let read = Self {
            source_database: name("--source-database")?,
            source_table: name("--source-table")?,
            target_database: name("--target-database")?,
            target_table: name("--target-table")?,
            target_location: optional("--target-location").map(|text| location("--target-location", text)).transpose()?,
            partition_by: optional("--partition-by").map_or(Ok(Vec::new()), partition_by)?,
            sql: optional("--sql").map(str::to_owned),
            ingestion_timestamp: flag(arguments, "--ingestion-timestamp")?,
            source_file: flag(arguments, "--source-file")?,
            bookmark: arguments.get("--job-bookmark-option").map_or(Ok(true), |text| bookmark(text))?,
            source_path: optional("--source-path").map(str::to_owned),
            source_suffix: optional("--source-suffix").map(str::to_owned),
        };
        if (&read.source_database, &read.source_table) == (&read.target_database, &read.target_table) {
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
        format!("{}.{}", self.target_database, self.target_table)
    }
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
        ] {
            let error = ConvertArguments::read(&arguments(&format!("{BASE} {more}"))).unwrap_err().to_string();
            assert!(error.contains(say), "{more}: {error}");
        }
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
