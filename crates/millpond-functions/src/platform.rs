//! What the platform itself says in a function's log: as lines of text, or as JSON objects that are left out where nobody wants their level.
//!
//! AWS: "Configuring JSON and plain text log formats", "Log-level filtering", "Lambda Telemetry API Event schema reference".

use crate::spec::{LogFormat, LogLevel, LogSettings, Report};
use millpond_core::env::iso8601;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// How a start or an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// With an answer.
    Success,
    /// The function itself reported an error of this type.
    Reported(String),
    /// The runtime did not do its part; of this type.
    Error(String),
    /// It took too long.
    TimedOut,
}

impl Status {
    fn level(&self, good: LogLevel) -> LogLevel {
        if *self == Self::Success { good } else { LogLevel::Warn }
    }

    /// The end of a line of text. What a function reports is an answer there.
    fn text(&self) -> String {
        match self {
            Self::Success | Self::Reported(_) => String::new(),
            Self::Error(kind) => format!("\tStatus: error\tError Type: {kind}"),
            Self::TimedOut => "\tStatus: timeout".into(),
        }
    }

    fn put(&self, record: &mut Map<String, Value>) {
        let (status, kind) = match self {
            Self::Success => ("success", None),
            Self::Reported(kind) => ("error", Some(reported(kind))),
            Self::Error(kind) => ("error", Some(kind.as_str())),
            Self::TimedOut => ("timeout", None),
        };
        record.insert("status".into(), status.into());
        record.extend(kind.map(|kind| ("errorType".to_owned(), kind.into())));
    }
}

/// Types of functions' own errors are not the platform's: only those of the two families are named.
fn reported(kind: &str) -> &str {
    let known = kind.split_once('.').is_some_and(|(family, name)| {
        matches!(family, "Runtime" | "Function") && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    if known { kind } else { "Runtime.Unknown" }
}

/// What the platform has to say.
#[derive(Debug)]
pub enum Event<'a> {
    /// A process is being started.
    InitStart {
        /// For example `python:3.12.4`.
        runtime: &'a str,
        /// What stands for that version.
        runtime_arn: &'a str,
        /// The function's name.
        function: &'a str,
        /// `$LATEST` or a number.
        version: &'a str,
    },
    /// It is ready, or is not.
    InitDone {
        /// `init`, or `invoke` where it was begun again.
        phase: &'a str,
        /// How it went.
        status: &'a Status,
        /// What it took, in milliseconds.
        took_ms: f64,
    },
    /// An invocation begins.
    Start {
        /// Its UUID.
        request_id: &'a str,
        /// The function's ARN.
        arn: &'a str,
        /// `$LATEST` or a number.
        version: &'a str,
    },
    /// The runtime has answered, or will not.
    Done {
        /// The invocation's UUID.
        request_id: &'a str,
        /// How it ended.
        status: &'a Status,
        /// What the text says of that.
        trouble: Option<&'a str>,
        /// What it took, in milliseconds.
        took_ms: f64,
        /// Of the answer.
        produced_bytes: usize,
    },
    /// What an invocation took.
    Report {
        /// Its UUID.
        request_id: &'a str,
        /// How it ended.
        status: &'a Status,
        /// The numbers.
        report: &'a Report,
    },
    /// What AWS has no event for.
    Notice {
        /// How grave it is.
        level: LogLevel,
        /// For people.
        text: &'a str,
    },
    /// What was printed too fast.
    Dropped {
        /// How many lines.
        lines: u64,
        /// How many bytes.
        bytes: u64,
        /// Why, for people.
        text: &'a str,
    },
}

impl Event<'_> {
    /// The lines of this event in a function's log.
    pub fn render(&self, settings: LogSettings, time_ms: i64) -> Vec<String> {
        match settings.format {
            LogFormat::Text => self.text(time_ms),
            LogFormat::Json => {
                let wanted = self.objects().into_iter().filter(|(level, ..)| *level >= settings.system_level);
                wanted.map(|(level, kind, record)| object(level, kind, record, time_ms)).collect()
            }
        }
    }

    fn text(&self, time_ms: i64) -> Vec<String> {
        match self {
            Self::InitStart { runtime, runtime_arn, .. } => {
                vec![format!("INIT_START Runtime Version: {runtime}\tRuntime Version ARN: {runtime_arn}")]
            }
            Self::InitDone { status: Status::Success, .. } => Vec::new(),
            Self::InitDone { phase, status, took_ms } => {
                vec![format!("INIT_REPORT Init Duration: {took_ms:.2} ms\tPhase: {phase}{}", status.text())]
            }
            Self::Start { request_id, version, .. } => vec![format!("START RequestId: {request_id} Version: {version}")],
            Self::Done { request_id, status, trouble, .. } => {
                let time = || iso8601(time_ms, true);
                let trouble = trouble.map(|trouble| match status {
                    Status::TimedOut => format!("{} {request_id} {trouble}\n", time()),
                    _ => trouble.to_owned(),
                });
                trouble.into_iter().chain([format!("END RequestId: {request_id}")]).collect()
            }
            Self::Report { request_id, status, report } => {
                let init = report.init_ms.map(|init| format!("\tInit Duration: {init:.2} ms")).unwrap_or_default();
                vec![format!(
                    "REPORT RequestId: {request_id}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory \
                     Used: {} MB{init}{}\t",
                    report.duration_ms,
                    report.billed_ms,
                    report.memory_mb,
                    report.max_memory_mb,
                    status.text()
                )]
            }
            Self::Notice { text, .. } | Self::Dropped { text, .. } => vec![(*text).to_owned()],
        }
    }

    /// Levels, types and records.
    fn objects(&self) -> Vec<(LogLevel, &'static str, Value)> {
        match self {
            Self::InitStart { runtime, runtime_arn, function, version } => {
                let record = json!({
                    "initializationType": "on-demand",
                    "phase": "init",
                    "runtimeVersion": runtime,
                    "runtimeVersionArn": runtime_arn,
                    "functionName": function,
                    "functionVersion": version,
                });
                vec![(LogLevel::Info, "platform.initStart", record)]
            }
            Self::InitDone { phase, status, took_ms } => {
                let level = status.level(LogLevel::Debug);
                let mut done = members(json!({ "initializationType": "on-demand", "phase": phase }));
                status.put(&mut done);
                let mut report = done.clone();
                report.insert("metrics".into(), json!({ "durationMs": took_ms }));
                vec![(level, "platform.initRuntimeDone", done.into()), (level, "platform.initReport", report.into())]
            }
            Self::Start { request_id, arn, version } => {
                let record = json!({ "requestId": request_id, "functionArn": arn, "version": version });
                vec![(LogLevel::Info, "platform.start", record)]
            }
            Self::Done { request_id, status, took_ms, produced_bytes, .. } => {
                let mut record = members(json!({ "requestId": request_id }));
                status.put(&mut record);
                record.insert("metrics".into(), json!({ "durationMs": took_ms, "producedBytes": produced_bytes }));
                vec![(status.level(LogLevel::Debug), "platform.runtimeDone", record.into())]
            }
            Self::Report { request_id, status, report } => {
                let mut metrics = members(json!({
                    "durationMs": report.duration_ms,
                    "billedDurationMs": report.billed_ms,
                    "memorySizeMB": report.memory_mb,
                    "maxMemoryUsedMB": report.max_memory_mb,
                }));
                metrics.extend(report.init_ms.map(|init| ("initDurationMs".to_owned(), init.into())));
                let mut record = members(json!({ "requestId": request_id, "metrics": metrics }));
                status.put(&mut record);
                vec![(status.level(LogLevel::Info), "platform.report", record.into())]
            }
            Self::Notice { level, text } => vec![(*level, NOTICE, (*text).into())],
            Self::Dropped { lines, bytes, text } => {
                let record = json!({ "reason": text, "droppedRecords": lines, "droppedBytes": bytes });
                vec![(LogLevel::Warn, "platform.logsDropped", record)]
            }
        }
    }
}

/// Has the form of an application's line.
const NOTICE: &str = "";

fn object(level: LogLevel, kind: &str, record: Value, time_ms: i64) -> String {
    let time = iso8601(time_ms, true);
    if kind == NOTICE {
        return json!({ "timestamp": time, "level": level.name(), "message": record }).to_string();
    }
    json!({ "time": time, "type": kind, "record": record }).to_string()
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Whether a line that the function printed is of a level that is wanted. Where it is an object its `level` counts, and one without a level is `INFO`;
/// what is no object is always wanted.
pub fn wants(settings: LogSettings, line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Printed {
        level: Option<Value>,
    }
    if settings.format == LogFormat::Text || settings.application_level == LogLevel::Trace || !line.starts_with(b"{") {
        return true;
    }
    let Ok(Printed { level }) = serde_json::from_slice(line) else { return true };
    let level = level.as_ref().and_then(Value::as_str).and_then(LogLevel::from_name).unwrap_or(LogLevel::Info);
    level >= settings.application_level
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8b1a";

    fn json_of(system_level: LogLevel) -> LogSettings {
        LogSettings { format: LogFormat::Json, system_level, ..LogSettings::default() }
    }

    fn report(init_ms: Option<f64>) -> Report {
        Report { duration_ms: 1.5, init_ms, billed_ms: 2, memory_mb: 128, max_memory_mb: 30 }
    }

    #[test]
    fn text_is_as_aws_writes_it() {
        let text = |event: Event<'_>| event.render(LogSettings::default(), 0);
        let (good, late, bad) = (Status::Success, Status::TimedOut, Status::Error("Runtime.ExitError".into()));
        let done = |status, trouble| Event::Done { request_id: ID, status, trouble, took_ms: 1.0, produced_bytes: 0 };
        assert_eq!(text(done(&good, None)), ["END RequestId: 8b1a"]);
        let timed_out = "1970-01-01T00:00:00.000Z 8b1a Task timed out\n";
        assert_eq!(text(done(&late, Some("Task timed out"))), [timed_out, "END RequestId: 8b1a"]);
        let line =
            "REPORT RequestId: 8b1a\tDuration: 1.50 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB";
        let reported = |status, init| text(Event::Report { request_id: ID, status, report: &report(init) });
        assert_eq!(reported(&good, Some(7.0)), [format!("{line}\tInit Duration: 7.00 ms\t")]);
        assert_eq!(reported(&late, None), [format!("{line}\tStatus: timeout\t")]);
        assert_eq!(reported(&bad, None), [format!("{line}\tStatus: error\tError Type: Runtime.ExitError\t")]);
        assert_eq!(reported(&Status::Reported("ValueError".into()), None), [format!("{line}\t")]);
        let started = |status| text(Event::InitDone { phase: "init", status, took_ms: 3.0 });
        assert_eq!(started(&late), ["INIT_REPORT Init Duration: 3.00 ms\tPhase: init\tStatus: timeout"]);
        assert!(started(&good).is_empty());
    }

    #[test]
    fn objects_have_the_form_of_the_telemetry_api() {
        let bad = Status::Reported("ValueError".into());
        let event = Event::Report { request_id: ID, status: &bad, report: &report(Some(7.25)) };
        let expected = concat!(
            r#"{"time":"1970-01-01T00:00:00.001Z","type":"platform.report","record":{"requestId":"8b1a","metrics":{"durationMs":1.5,"#,
            r#""billedDurationMs":2,"memorySizeMB":128,"maxMemoryUsedMB":30,"initDurationMs":7.25},"status":"error","#,
            r#""errorType":"Runtime.Unknown"}}"#
        );
        assert_eq!(event.render(json_of(LogLevel::Warn), 1), [expected]);
        let start = Event::Start { request_id: ID, arn: "arn", version: "7" };
        let expected = r#"{"time":"1970-01-01T00:00:00.001Z","type":"platform.start","record":{"requestId":"8b1a","functionArn":"arn","version":"7"}}"#;
        assert_eq!(start.render(json_of(LogLevel::Info), 1), [expected]);
    }

    #[test]
    fn what_goes_well_is_said_only_where_details_are_wanted() {
        let said = |status: &Status, level| -> Vec<usize> {
            let events = [
                Event::InitDone { phase: "init", status, took_ms: 1.0 },
                Event::Start { request_id: ID, arn: "arn", version: "7" },
                Event::Done { request_id: ID, status, trouble: None, took_ms: 1.0, produced_bytes: 0 },
                Event::Report { request_id: ID, status, report: &report(None) },
            ];
            events.iter().map(|event| event.render(json_of(level), 0).len()).collect()
        };
        assert_eq!(said(&Status::Success, LogLevel::Debug), [2, 1, 1, 1]);
        assert_eq!(said(&Status::Success, LogLevel::Info), [0, 1, 0, 1]);
        assert_eq!(said(&Status::Success, LogLevel::Warn), [0, 0, 0, 0]);
        assert_eq!(said(&Status::TimedOut, LogLevel::Warn), [2, 0, 1, 1]);
    }

    #[test]
    fn printed_objects_are_left_out_below_the_level_of_the_application() {
        let warn = LogSettings { application_level: LogLevel::Warn, ..json_of(LogLevel::Info) };
        for (line, wanted) in [
            (r#"{"level": "debug"}"#, false),
            (r#"{"level": "INFO", "message": 1}"#, false),
            (r#"{"message": "no level"}"#, false),
            (r#"{"level": "none such"}"#, false),
            (r#"{"level": 4}"#, false),
            (r#"{"level": "Warning"}"#, true),
            (r#"{"level": "CRITICAL"}"#, true),
            (r#"{"level": "debug""#, true),
            ("plain", true),
            ("[1]", true),
        ] {
            assert_eq!(wants(warn, line.as_bytes()), wanted, "{line}");
            assert!(wants(LogSettings { format: LogFormat::Text, ..warn }, line.as_bytes()), "{line}");
            assert!(wants(json_of(LogLevel::Info), line.as_bytes()), "{line}");
        }
    }
}
