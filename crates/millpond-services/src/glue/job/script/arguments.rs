//! What a job says of how its script is run: Glue's own job parameters (developer guide, "Using job parameters in AWS Glue jobs"), its workers, and ours.

use super::rows::Output;
use crate::glue::GlueError;
use crate::glue::job::rows::JobRun;
use crate::glue::job::spec::{Arguments, JobSpec};
use crate::lake::objects::split_uri;
use millpond_scripts::{Engine, InstallerOptions, LibrarySet, ScriptSettings};

/// Memory of one DPU: 4 vCPUs and 16 GB (developer guide, "AWS Glue worker types").
const DPU_BYTES: u64 = 16 << 30;

/// What a script is given at the least, bytes: an interpreter with a data frame library in it.
const MEMORY_BYTES_MIN: u64 = 512 << 20;

/// Files that a job can name at the most.
const FILES_MAX: usize = 100;

/// Bytes of all arguments of a run at the most, as JSON: the way in which its process gets them takes 128 KiB in all. (AWS refuses requests of about 180 KB, and
/// a run whose one argument has more than 128 KiB fails there, too.)
const ARGUMENTS_BYTES_MAX: usize = 96 * 1024;

/// Arguments that the process gets in another form besides.
const TWICE: [&str; 2] = ["--customer-driver-env-vars", "--extra-py-files"];

/// The version of Python that environments are made for. Glue's scripts say 3.6 to 3.11, and run on it.
pub const PYTHON: &str = "3.11";

/// Whether a job's command runs a script, and of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `glueetl`: Spark.
    Etl,
    /// `pythonshell`
    Shell,
}

impl Kind {
    /// Of a definition; none where it is not ours to run as a script.
    pub fn of(spec: &JobSpec) -> Option<Self> {
        match spec.command.name.as_deref() {
            Some("glueetl") => Some(Self::Etl),
            Some("pythonshell") => Some(Self::Shell),
            _ => None,
        }
    }

    /// The log groups of standard output and standard error (developer guide, "Logging for AWS Glue jobs").
    pub fn groups(self) -> (&'static str, &'static str) {
        match self {
            Self::Etl => ("/aws-glue/jobs/output", "/aws-glue/jobs/error"),
            Self::Shell => ("/aws-glue/python-jobs/output", "/aws-glue/python-jobs/error"),
        }
    }
}

/// A bookmark option that is on or paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookmarkOption {
    /// Read what is new, and save how far that went.
    Enable,
    /// Read everything.
    Disable,
    /// Read what is new, or a range of runs, and save nothing.
    Pause,
}

impl BookmarkOption {
    /// As the job parameter says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enable => "job-bookmark-enable",
            Self::Disable => "job-bookmark-disable",
            Self::Pause => "job-bookmark-pause",
        }
    }
}

/// How a script is to be run.
#[derive(Debug, Clone)]
pub struct ScriptArguments {
    /// Of its command.
    pub kind: Kind,
    /// `s3://bucket/key` of the script.
    pub location: String,
    /// What its Spark runs on.
    pub engine: Option<Engine>,
    /// When its output becomes visible.
    pub output: Output,
    /// Its bookmarks.
    pub bookmark: BookmarkOption,
    /// `--extra-py-files`: URIs.
    pub python_files: Vec<String>,
    /// `--extra-files`: URIs.
    pub files: Vec<String>,
    /// `--additional-python-modules`: names with versions, and URIs of wheels.
    pub modules: Vec<String>,
    /// `--python-modules-installer-option`
    pub installer: InstallerOptions,
    /// Of a Python shell job.
    pub library_set: LibrarySet,
    /// The log group of continuous logging, where it is on.
    pub continuous_group: Option<String>,
    /// `--customer-driver-env-vars`: pairs.
    pub variables: Vec<(String, String)>,
}

fn invalid(message: impl Into<String>) -> GlueError {
    GlueError::InvalidInput(message.into())
}

fn list(arguments: &Arguments, key: &str) -> Result<Vec<String>, GlueError> {
    let text = arguments.get(key).map_or("", String::as_str);
    let items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
    match items.len() > FILES_MAX {
        true => Err(invalid(format!("{key} names {} items; {FILES_MAX} are the limit.", items.len()))),
        false => Ok(items),
    }
}

fn uris(arguments: &Arguments, key: &str) -> Result<Vec<String>, GlueError> {
    let items = list(arguments, key)?;
    match items.iter().find(|item| split_uri(item).is_none_or(|(_, object)| object.is_empty())) {
        Some(wrong) => Err(invalid(format!("{key} must be a list of s3://bucket/key, and holds '{wrong}'."))),
        None => Ok(items),
    }
}

fn bookmark(arguments: &Arguments) -> Result<BookmarkOption, GlueError> {
    match arguments.get("--job-bookmark-option").map_or("job-bookmark-disable", |text| text.trim()) {
        "job-bookmark-enable" => Ok(BookmarkOption::Enable),
        "job-bookmark-disable" => Ok(BookmarkOption::Disable),
        "job-bookmark-pause" => Ok(BookmarkOption::Pause),
        other => Err(invalid(format!(
            "--job-bookmark-option must be job-bookmark-enable, job-bookmark-disable or job-bookmark-pause, is '{other}'."
        ))),
    }
}

fn output(arguments: &Arguments) -> Result<Output, GlueError> {
    match arguments.get("--millpond-output").map_or("at-end", |text| text.trim()) {
        "at-end" => Ok(Output::AtEnd),
        "as-written" => Ok(Output::AsWritten),
        other => Err(invalid(format!("--millpond-output must be at-end or as-written, is '{other}'."))),
    }
}

fn is_true(arguments: &Arguments, key: &str) -> bool {
    arguments.get(key).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

/// The pairs of `A=1,"B=x,y"`.
fn variables(text: &str) -> Result<Vec<(String, String)>, GlueError> {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (item, more) = match rest.strip_prefix('"') {
            Some(quoted) => {
                quoted.split_once('"').map(|(item, more)| (item, more.trim_start_matches(','))).unwrap_or((quoted, ""))
            }
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        let (name, value) = item.trim().split_once('=').unwrap_or((item.trim(), ""));
        let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !good {
            return Err(invalid(format!("--customer-driver-env-vars must be a list of NAME=value, and holds '{item}'.")));
        }
        pairs.push((name.to_owned(), value.to_owned()));
        rest = more.trim_start();
    }
    Ok(pairs)
}

/// Whether the process can be given the arguments.
fn check_size(job: &str, arguments: &Arguments) -> Result<(), GlueError> {
    if let Some((key, _)) = arguments.iter().find(|(key, value)| key.contains('\0') || value.contains('\0')) {
        return Err(invalid(format!(
            "The argument {} of job {job} holds a NUL character, which no process can be given.",
            shown(key)
        )));
    }
    let bytes = |(key, value): (&String, &String)| {
        let bytes = key.len() + value.len() + (key.chars().chain(value.chars()).map(more_in_json)).sum::<usize>() + 6;
        if TWICE.contains(&key.as_str()) { 2 * bytes } else { bytes }
    };
    let all: usize = arguments.iter().map(bytes).sum();
    let longest = arguments.iter().max_by_key(|argument| bytes(*argument));
    match longest.filter(|_| all > ARGUMENTS_BYTES_MAX) {
        Some(longest) => Err(invalid(format!(
            "The arguments of job {job} come to {all} bytes as JSON, and {ARGUMENTS_BYTES_MAX} are the limit; the longest is {} with {} bytes. Put \
             what is long into an object of S3, and let the script read it from there.",
            shown(longest.0),
            bytes(longest)
        ))),
        None => Ok(()),
    }
}

/// By how many bytes a character is longer in JSON.
fn more_in_json(char: char) -> usize {
    match char {
        '"' | '\\' | '\n' | '\r' | '\t' | '\x08' | '\x0c' => 1,
        control if control < ' ' => 5,
        _ => 0,
    }
}

/// The beginning of a name that can be long.
fn shown(key: &str) -> String {
    key.escape_debug().take(100).collect()
}

impl ScriptArguments {
    /// Reads a definition with a run's arguments.
    ///
    /// # Errors
    /// `InvalidInput` that names what is wrong, or that this version does not run.
    pub fn read(job: &str, spec: &JobSpec, arguments: &Arguments) -> Result<Self, GlueError> {
        let Some(kind) = Kind::of(spec) else {
            let command = spec.command.name.as_deref().unwrap_or("?");
            return Err(invalid(format!(
                "Job {job} has the command '{command}', which Millpond does not run: it runs glueetl, pythonshell and millpond."
            )));
        };
        let location = spec.command.kept.get("ScriptLocation").and_then(|location| location.as_str()).unwrap_or_default();
        if split_uri(location).is_none_or(|(_, key)| key.is_empty()) {
            return Err(invalid(format!("Command.ScriptLocation of job {job} must be s3://bucket/key, is '{location}'.")));
        }
        check_size(job, arguments)?;
        if let Some(language) = arguments.get("--job-language").filter(|language| !language.eq_ignore_ascii_case("python")) {
            return Err(invalid(format!("Job {job} has --job-language '{language}': Millpond runs Python scripts only.")));
        }
        if arguments.contains_key("--class") && kind == Kind::Etl && location.ends_with(".scala") {
            return Err(invalid(format!("Job {job} is a Scala script ({location}): Millpond runs Python scripts only.")));
        }
        let engine = arguments.get("--millpond-engine").map(|text| Engine::parse(text)).transpose();
        let continuous = is_true(arguments, "--enable-continuous-cloudwatch-log");
        let group = arguments.get("--continuous-log-logGroup").map_or("/aws-glue/jobs/logs-v2", String::as_str);
        Ok(Self {
            kind,
            location: location.to_owned(),
            engine: engine.map_err(|error| invalid(format!("--millpond-engine: {error}.")))?,
            output: output(arguments)?,
            bookmark: bookmark(arguments)?,
            python_files: uris(arguments, "--extra-py-files")?,
            files: uris(arguments, "--extra-files")?,
            modules: list(arguments, "--additional-python-modules")?,
            installer: InstallerOptions::parse(arguments.get("--python-modules-installer-option").map_or("", String::as_str))
                .map_err(|error| invalid(error.to_string()))?,
            library_set: match arguments.get("library-set").or_else(|| arguments.get("--library-set")).map(|text| text.trim()) {
                None => LibrarySet::Usual,
                Some("analytics") => LibrarySet::Analytics,
                Some("none") => LibrarySet::None,
                Some(other) => return Err(invalid(format!("library-set must be analytics or none, is '{other}'."))),
            },
            continuous_group: continuous.then(|| group.to_owned()),
            variables: variables(arguments.get("--customer-driver-env-vars").map_or("", String::as_str))?,
        })
    }

    /// The engine of a run.
    pub fn engine(&self, settings: &ScriptSettings) -> Engine {
        match self.kind {
            Kind::Shell => Engine::Shell(self.library_set),
            Kind::Etl => self.engine.clone().unwrap_or_else(|| settings.engine.clone()),
        }
    }
}

/// DPUs that a definition asks for: `MaxCapacity`, or its workers, or Glue's defaults (API reference, "Job").
pub fn capacity(spec: &JobSpec) -> f64 {
    let number = |name: &str| spec.kept.get(name).and_then(serde_json::Value::as_f64);
    if let Some(capacity) = number("MaxCapacity").or_else(|| number("AllocatedCapacity")).filter(|capacity| *capacity > 0.0) {
        return capacity;
    }
    let worker = match spec.kept.get("WorkerType").and_then(serde_json::Value::as_str) {
        Some("G.025X") => 0.25,
        Some("G.2X" | "Z.2X" | "R.2X") => 2.0,
        Some("G.4X" | "R.4X") => 4.0,
        Some("G.8X" | "R.8X") => 8.0,
        Some("G.12X") => 12.0,
        Some("G.16X") => 16.0,
        Some(_) => 1.0,
        None if Kind::of(spec) == Some(Kind::Shell) => return 0.0625,
        None => 1.0,
    };
    worker * number("NumberOfWorkers").unwrap_or(10.0).max(1.0)
}

/// What a script may take, bytes: what its workers would have, and no more than its share of the machine.
pub fn memory_bytes(spec: &JobSpec, settings: &ScriptSettings) -> u64 {
    let asked = (capacity(spec) * DPU_BYTES as f64) as u64;
    asked.max(MEMORY_BYTES_MIN).min(settings.share_bytes().max(MEMORY_BYTES_MIN))
}

/// `sys.argv` of the script after its own name: the job's and the run's names, and all arguments.
pub fn argv(run: &JobRun, arguments: &Arguments) -> Vec<String> {
    let mut all = vec!["--JOB_NAME".to_owned(), run.job.clone(), "--JOB_RUN_ID".to_owned(), run.id.clone()];
    for (key, value) in arguments {
        if key != "--JOB_NAME" && key != "--JOB_RUN_ID" {
            all.push(key.clone());
            all.push(value.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(value: serde_json::Value) -> JobSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn workers_mean_dpus() {
        for (value, dpus) in [
            (json!({"Command": {"Name": "glueetl"}}), 10.0),
            (json!({"Command": {"Name": "pythonshell"}}), 0.0625),
            (json!({"Command": {"Name": "pythonshell"}, "MaxCapacity": 1.0}), 1.0),
            (json!({"Command": {"Name": "glueetl"}, "WorkerType": "G.1X", "NumberOfWorkers": 2}), 2.0),
            (json!({"Command": {"Name": "glueetl"}, "WorkerType": "G.2X", "NumberOfWorkers": 5}), 10.0),
            (json!({"Command": {"Name": "glueetl"}, "AllocatedCapacity": 3}), 3.0),
        ] {
            assert_eq!(capacity(&spec(value.clone())), dpus, "{value}");
        }
    }

    #[test]
    fn what_cannot_run_is_refused_by_name() {
        let base = json!({"Command": {"Name": "glueetl", "ScriptLocation": "s3://b/x.py"}});
        let read = |pairs: &[(&str, &str)]| {
            let arguments = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            ScriptArguments::read("j", &spec(base.clone()), &arguments)
        };
        assert_eq!(read(&[]).unwrap().bookmark, BookmarkOption::Disable);
        for (key, value, say) in [
            ("--job-language", "scala", "Python scripts only"),
            ("--job-bookmark-option", "on", "--job-bookmark-option"),
            ("--millpond-output", "soon", "at-end or as-written"),
            ("--millpond-engine", "flink", "sc://host:port"),
            ("--extra-py-files", "s3://b/x.py,/tmp/y.py", "'/tmp/y.py'"),
            ("--customer-driver-env-vars", "a b=c", "NAME=value"),
        ] {
            let error = read(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(say), "{key}: {error}");
        }
        for wrong in
            [json!({"Name": "glueray", "ScriptLocation": "s3://b/x.py"}), json!({"Name": "glueetl", "ScriptLocation": "x.py"})]
        {
            ScriptArguments::read("j", &spec(json!({ "Command": wrong })), &Arguments::new()).unwrap_err();
        }
    }

    #[test]
    fn arguments_that_no_process_can_be_given_are_refused() {
        let base = spec(json!({"Command": {"Name": "glueetl", "ScriptLocation": "s3://b/x.py"}}));
        let read = |key: &str, value: String| {
            let arguments = [("--short".to_owned(), "1".to_owned()), (key.to_owned(), value)].into();
            ScriptArguments::read("j", &base, &arguments)
        };
        for (one, count) in [("x", 97_000), ("é", 48_000), ("\"", 48_000), ("\u{1}", 16_000), ("\u{7f}", 97_000)] {
            let text = one.repeat(count);
            let in_json = serde_json::to_string(&text).unwrap().len();
            assert!(read("--long", text.clone()).is_ok(), "{one:?}");
            let error = read("--long", text + &one.repeat(2_000)).unwrap_err().to_string();
            let longest = in_json - 2 + (in_json - 2) / count * 2_000 + "--long".len() + 6;
            assert!(error.contains(&format!("--long with {longest} bytes")) && error.contains("98304 are the limit"), "{error}");
        }
        // It is handed over twice.
        let variable = |count| format!("A={}", "x".repeat(count));
        assert!(read("--customer-driver-env-vars", variable(48_000)).is_ok());
        assert!(read("--customer-driver-env-vars", variable(50_000)).is_err());
        let error = read("--nul", "a\0b".into()).unwrap_err().to_string();
        assert!(error.contains("--nul") && error.contains("NUL"), "{error}");
    }

    #[test]
    fn variables_may_be_quoted() {
        let pairs = variables(r#"A=1,"B=x,y",C="#).unwrap();
        assert_eq!(pairs, [("A".into(), "1".into()), ("B".into(), "x,y".into()), ("C".into(), String::new())]);
    }
}
