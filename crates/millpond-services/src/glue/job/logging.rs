//! What a run of a job writes to the log groups of jobs, in streams of its own: what it did to `output`, why it failed or what it could not take to
//! `error`, and both to `logs-v2` where continuous logging is on (Glue user guide, "Logging for AWS Glue jobs").

use super::rows::{JobRun, RunState, RunStats};
use super::script::Kind;
use millpond_core::log::Line;
use millpond_store::{StoreError, Tx};

const OUTPUT: &str = "/aws-glue/jobs/output";
const ERROR: &str = "/aws-glue/jobs/error";
const CONTINUOUS: &str = "/aws-glue/jobs/logs-v2";

/// A run has ended.
pub(super) fn ended(
    tx: &Tx<'_>,
    run: &JobRun,
    state: RunState,
    message: Option<&str>,
    stats: &RunStats,
) -> Result<(), StoreError> {
    if let Some(kind) = Kind::of(&run.spec) {
        return script_ended(tx, kind, run, state, message);
    }
    let begun = Line::new(run.begun_ms.unwrap_or(run.started_ms), format!("INFO Job run {} of job {} began", run.id, run.job));
    let line = |level: &str, text: String| Line::new(tx.now_ms(), format!("{level} {text}"));
    let mut output = vec![begun];
    if state == RunState::Succeeded {
        output.extend(described(stats).into_iter().map(|text| line("INFO", text)));
    }
    output.push(line("INFO", format!("Job run {} ended: {}", run.id, state.as_str())));
    let level = if state == RunState::Succeeded { "WARN" } else { "ERROR" };
    let error: Vec<Line> = message.map(|text| line(level, text.to_owned())).into_iter().collect();
    crate::lake::log::write(tx, OUTPUT, &run.id, &output)?;
    crate::lake::log::write(tx, ERROR, &run.id, &error)?;
    let arguments = run.spec.arguments(&run.arguments);
    if arguments.get("--enable-continuous-cloudwatch-log").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        let all = [output, error].concat();
        crate::lake::log::write(tx, CONTINUOUS, &format!("{}-driver", run.id), &all)?;
    }
    Ok(())
}

/// The groups of scripts hold what the scripts print; that one failed, and why, is said beside its errors.
fn script_ended(tx: &Tx<'_>, kind: Kind, run: &JobRun, state: RunState, message: Option<&str>) -> Result<(), StoreError> {
    if state == RunState::Succeeded {
        return Ok(());
    }
    let why = message.map(|message| format!(": {message}")).unwrap_or_default();
    let line = Line::new(tx.now_ms(), format!("Millpond: job run {} ended: {}{why}", run.id, state.as_str()));
    crate::lake::log::write(tx, kind.groups().1, &run.id, &[line])
}

fn described(stats: &RunStats) -> Vec<String> {
    let RunStats { files, bytes_in, rows_in, rows_out, rows_quarantined, files_out, bytes_out, target, .. } = stats;
    let wrote = match target.strip_prefix(super::spec::ITEMS) {
        None => format!("Wrote {rows_out} rows to {target} in {files_out} files ({bytes_out} bytes)"),
        Some(table) => {
            let RunStats { items_replaced, duplicates, .. } = stats;
            format!(
                "Put {rows_out} items into table {table}, {items_replaced} of them in the place of others; {duplicates} rows were duplicates"
            )
        }
    };
    let mut lines = vec![format!("Read {files} objects ({bytes_in} bytes) with {rows_in} rows"), wrote];
    lines.extend((*rows_quarantined > 0).then(|| format!("Quarantined {rows_quarantined} rows")));
    lines.extend((stats.partitions_created > 0).then(|| format!("Created {} partitions", stats.partitions_created)));
    lines.extend(stats.more.then(|| "More objects wait; another run follows".to_owned()));
    lines
}
