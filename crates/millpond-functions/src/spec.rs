//! What goes into a [`Host`](crate::Host) and what comes out.

use bytes::Bytes;
use millpond_core::env::SharedEnv;
use millpond_core::log::LogSink;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// How a host is set up.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// Where the host keeps what it makes: bootstraps, packages for runtimes, directories of processes. It is the host's alone.
    pub directory: PathBuf,
    /// The program that becomes a function's process, with its first arguments: see [`HostSettings::this_program`].
    pub launcher: Vec<OsString>,
    /// Where functions find the lake, for example `http://127.0.0.1:4566` (`AWS_ENDPOINT_URL`).
    pub endpoint: String,
    /// For example `us-east-1`.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// The most processes at a time, busy and idle ones.
    pub processes_max: usize,
    /// The most bytes of memory that all processes may take together. Idle ones end before a new one is refused.
    pub memory_bytes_max: u64,
    /// After how long an idle process ends.
    pub idle_ms: u64,
    /// The interpreter for every `python3.*`, instead of the one that is found.
    pub python: Option<PathBuf>,
    /// What Python functions can import beside their own code; made in the host's directory with pip when the interpreter does not have it.
    pub packages: Vec<String>,
    /// What to do where the kernel does not offer a protection.
    pub isolation: IsolationWanted,
    /// Whether namespaces may be used. They are what functions are shut in by best; without them it is Landlock.
    pub namespaces: bool,
    /// Time and randomness.
    pub env: SharedEnv,
    /// Where functions' output goes.
    pub logs: Arc<dyn LogSink>,
}

impl HostSettings {
    /// The defaults: 1,000 processes, half of the machine's memory, five minutes of idleness, boto3 for Python.
    pub fn new(directory: PathBuf, env: SharedEnv, logs: Arc<dyn LogSink>) -> Self {
        Self {
            directory,
            launcher: Self::this_program(),
            endpoint: "http://127.0.0.1:4566".into(),
            region: "us-east-1".into(),
            account: "000000000000".into(),
            processes_max: 1_000,
            memory_bytes_max: millpond_core::machine::memory_bytes() / 2,
            idle_ms: 5 * 60 * 1_000,
            python: None,
            packages: vec!["boto3".into()],
            isolation: IsolationWanted::BestEffort,
            namespaces: true,
            env,
            logs,
        }
    }

    /// This very program, as `millpond __function`: what runs when the program's file was replaced meanwhile, too.
    pub fn this_program() -> Vec<OsString> {
        vec!["/proc/self/exe".into(), crate::LAUNCHER_ARGUMENT.into()]
    }
}

/// `[functions] isolation` of `millpond.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationWanted {
    /// Functions run with the protections that there are; which ones is logged and shown.
    #[default]
    BestEffort,
    /// Functions run only where their files, processes and memory can be shut in.
    Require,
}

/// A version of a function: all that its processes need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Changes whenever code or configuration does; processes are shared by invocations of one key.
    pub key: String,
    /// The function's name.
    pub name: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// The function's ARN, without a qualifier.
    pub arn: String,
    /// For example `python3.12`.
    pub runtime: String,
    /// For example `app.handler`.
    pub handler: String,
    /// Where the function's zip was unpacked. Read only.
    pub code_dir: PathBuf,
    /// Where its layers were unpacked, in their order: later ones win.
    pub layer_dirs: Vec<PathBuf>,
    /// The function's own variables.
    pub environment: BTreeMap<String, String>,
    /// 128 to 10240.
    pub memory_mb: u32,
    /// 1,000 to 900,000.
    pub timeout_ms: u64,
    /// The size of its `/tmp`, 512 to 10240.
    pub ephemeral_mb: u32,
    /// For example `/aws/lambda/resize`.
    pub log_group: String,
    /// In which form, and how much of it.
    pub logging: LogSettings,
    /// The ARN of its role.
    pub role: Option<String>,
}

/// What a function's log looks like, and what is left out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Of the platform's lines; the runtimes take theirs from the environment.
    pub format: LogFormat,
    /// The platform's events below this are left out, with [`LogFormat::Json`].
    pub system_level: LogLevel,
    /// What the function prints below this is left out, with [`LogFormat::Json`].
    pub application_level: LogLevel,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, system_level: LogLevel::Info, application_level: LogLevel::Trace }
    }
}

/// The form of the platform's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `START RequestId: …`
    Text,
    /// `{"time": …, "type": "platform.start", "record": …}`
    Json,
}

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl LogLevel {
    /// From Lambda's names and Python's, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "TRACE" => Self::Trace,
            "DEBUG" => Self::Debug,
            "INFO" => Self::Info,
            "WARN" | "WARNING" => Self::Warn,
            "ERROR" => Self::Error,
            "FATAL" | "CRITICAL" => Self::Fatal,
            _ => return None,
        })
    }

    /// Lambda's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// One call of a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// A UUID. Retries of one asynchronous invocation keep it.
    pub request_id: String,
    /// The event, JSON.
    pub payload: Bytes,
    /// The ARN that the caller used, with its qualifier.
    pub invoked_arn: String,
    /// What the caller gave as `X-Amz-Client-Context`, decoded: JSON.
    pub client_context: Option<String>,
    /// `X-Amzn-Trace-Id`; one is made up where there is none.
    pub trace_id: Option<String>,
    /// For a process that is started for this invocation.
    pub credentials: SessionCredentials,
}

/// Temporary credentials of the function's role. They live in the environment of the process that was started with them, as on AWS: a process whose
/// credentials would expire during an invocation is not used for it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionCredentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: String,
    /// `AWS_SESSION_TOKEN`.
    pub token: String,
    /// When they end, milliseconds since the epoch.
    pub expires_ms: Option<i64>,
}

impl std::fmt::Debug for SessionCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionCredentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// How an invocation ended: with the function's answer, or with what is the function's fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The answer, or the error document (`errorMessage`, `errorType`, …).
    pub payload: Bytes,
    /// `X-Amz-Function-Error`: there, the invocation failed.
    pub function_error: Option<&'static str>,
    /// The end of what was logged, at most 4 KiB (`LogType=Tail`).
    pub log_tail: Vec<u8>,
    /// What it took.
    pub report: Report,
}

/// What an invocation took, as in its `REPORT` line.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Report {
    /// Of the invocation.
    pub duration_ms: f64,
    /// Of the start that was made for it, unless a warm process was there.
    pub init_ms: Option<f64>,
    /// Both, rounded up.
    pub billed_ms: u64,
    /// What the function may take.
    pub memory_mb: u32,
    /// The most that its process took since it started.
    pub max_memory_mb: u32,
}

/// What runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processes, all of them.
    pub processes: usize,
    /// Those that wait for work.
    pub idle: usize,
}
