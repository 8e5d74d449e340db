//! What a run that failed says of why, in Glue's words (developer guide, "Troubleshooting errors"; error categories as in `ErrorMessage` of runs).

use super::arguments::Kind;
use super::rows::Reported;
use millpond_scripts::How;

/// Characters of a message at the most.
const MESSAGE_MAX: usize = 4_000;

/// Characters of the name of a file in a message at the most.
const NAME_MAX: usize = 255;

/// What a run says of which nothing is left because the lake was stopped.
pub const INTERRUPTED: &str = "the lake was stopped while the run was under way; nothing of what it wrote was kept. Start it again, or give the job MaxRetries";

/// Glue's category of an exception.
fn category(class: &str) -> &'static str {
    match class.rsplit('.').next().unwrap_or(class) {
        "SyntaxError" | "IndentationError" | "TabError" => "SYNTAX_ERROR",
        "ImportError" | "ModuleNotFoundError" => "IMPORT_ERROR",
        "AnalysisException" | "ParseException" | "SqlParseException" => "QUERY_ERROR",
        "GlueArgumentError" | "IllegalArgumentException" | "InvalidInputException" => "INVALID_ARGUMENT_ERROR",
        "EntityNotFoundException" | "NoSuchKey" | "NoSuchBucket" | "FileNotFoundError" | "ResourceNotFoundException" => {
            "RESOURCE_NOT_FOUND_ERROR"
        }
        "AccessDenied" | "AccessDeniedException" | "PermissionError" => "PERMISSION_ERROR",
        "MemoryError" => "OUT_OF_MEMORY_ERROR",
        "ConnectionError" | "ConnectionRefusedError" | "EndpointConnectionError" => "CONNECTION_ERROR",
        _ => "UNCLASSIFIED_ERROR",
    }
}

/// The exception that ended a script, with its place.
fn exception(kind: Kind, reported: &Reported) -> String {
    let Reported { error_class, message, file, line } = reported;
    let name = file.as_deref().map(|file| cut(file.rsplit('/').next().unwrap_or(file), NAME_MAX));
    let place = match (name, line) {
        // Python says it itself of what it cannot parse.
        (Some(name), Some(line)) if !message.contains(&format!("({name}, line {line})")) => format!(" ({name}, line {line})"),
        _ => String::new(),
    };
    let said = cut(&format!("{error_class}: {message}"), MESSAGE_MAX);
    let at = line.map(|line| format!("Failed Line Number: {line}; ")).unwrap_or_default();
    match kind {
        Kind::Etl => format!("Error Category: {}; {at}{said}{place}", category(error_class)),
        Kind::Shell => format!("{said}{place}"),
    }
}

fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// Why a script that ended so has failed; `None` where it has not.
pub fn reason(kind: Kind, how: &How, reported: Option<&Reported>, memory_bytes: u64, disk_bytes: u64) -> Option<String> {
    let out_of_memory = |code: &str| {
        let prefix = if kind == Kind::Etl { "Error Category: OUT_OF_MEMORY_ERROR; " } else { "" };
        format!(
            "{prefix}Command failed with exit code {code}: the script took more than the {:.1} GiB of memory that it may take. Raise `[jobs] memory` of \
             millpond.toml or lower its `concurrency`, raise the job's MaxCapacity or workers where those are what limits it, or let the script hold \
             less at a time",
            gib(memory_bytes)
        )
    };
    Some(match (how, reported) {
        (How::Exited(0), _) => return None,
        (How::OutOfMemory, _) => out_of_memory("137"),
        (How::Exited(_), Some(reported)) => exception(kind, reported),
        (How::Exited(code), None) => format!("Command failed with exit code {code}"),
        (How::OutOfDisk, _) => format!(
            "the script wrote more than {:.1} GiB to /tmp, which is the limit; raise `[jobs] disk` of millpond.toml",
            gib(disk_bytes)
        ),
        (How::DiskFull, _) => {
            "the disk that scripts write to was nearly full (less than 1 GiB or 2% of it was free), so the script was ended; make room on it".into()
        }
        (How::Killed(9), None) => format!("{}, or was killed from outside (signal 9)", out_of_memory("137")),
        (How::Killed(signal), None) => {
            format!("Command failed with exit code {}: signal {signal} ended the script", 128 + signal)
        }
        (How::Killed(signal), Some(reported)) => format!("{}; then signal {signal} ended it", exception(kind, reported)),
        (How::Stopped, _) => INTERRUPTED.into(),
        (How::NotRun(why), _) => format!("the script could not be started: {why}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_what_and_where() {
        let reported = |class: &str, message: &str, line| Reported {
            error_class: class.into(),
            message: message.into(),
            file: Some("/tmp/x.py".into()),
            line,
        };
        let name = reported("NameError", "name 'x' is not defined", Some(3));
        let syntax = reported("SyntaxError", "invalid syntax (x.py, line 2)", Some(2));
        for (kind, how, reported, expected) in [
            (
                Kind::Etl,
                How::Exited(1),
                Some(&name),
                "Error Category: UNCLASSIFIED_ERROR; Failed Line Number: 3; NameError: name 'x' is not defined (x.py, line 3)",
            ),
            (Kind::Shell, How::Exited(1), Some(&name), "NameError: name 'x' is not defined (x.py, line 3)"),
            (Kind::Shell, How::Exited(1), Some(&syntax), "SyntaxError: invalid syntax (x.py, line 2)"),
            (Kind::Shell, How::Exited(2), None, "Command failed with exit code 2"),
        ] {
            assert_eq!(reason(kind, &how, reported, 1, 1).as_deref(), Some(expected));
        }
        let long =
            Reported { file: Some(format!("/tmp/{}", "é".repeat(1 << 20))), ..reported("E", &"m".repeat(1 << 20), Some(3)) };
        let said = reason(Kind::Etl, &How::Exited(1), Some(&long), 1, 1).unwrap();
        assert!(said.chars().count() < MESSAGE_MAX + NAME_MAX + 200 && said.ends_with("…, line 3)"), "{}", said.len());
        assert_eq!(reason(Kind::Etl, &How::Exited(0), None, 1, 1), None);
        assert!(reason(Kind::Etl, &How::OutOfMemory, Some(&name), 3 << 30, 1).unwrap().contains("3.0 GiB"));
    }
}
