//! `millpond doctor`: what is wrong with a lake's directory.

use super::connect::{self, Lake};
use super::{Global, out};
use crate::credentials::Credentials;
use anyhow::Result;
use clap::Args;
use millpond_core::env::SystemEnv;
use millpond_core::log::NoLogs;
use millpond_functions::HostSettings;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  millpond doctor --data /var/lib/millpond
  millpond doctor --json | jq .problems

Checks the configuration, the permissions of the credentials, the database's pages (quick_check), that the bytes of every object are there
with the right size, tasks that were given up, and files that nothing refers to; says what functions are shut in by on this machine.
Ends with 1 where something is wrong, else with 0.";

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Default)]
struct Report {
    /// What is fine, or only to be known.
    notes: Vec<String>,
    /// What is wrong, with what to do.
    problems: Vec<String>,
}

impl Doctor {
    /// Checks; answers the exit code.
    pub async fn run(self, global: &Global) -> Result<u8> {
        let mut report = Report::default();
        let directory = match global.load() {
            Ok(config) => {
                if let Some(file) = &config.file {
                    report.notes.push(format!("{} is sound", file.display()));
                }
                global.directory(&config)
            }
            Err(error) => {
                report.problems.push(error.to_string());
                global.directory(&crate::config::Config::default())
            }
        };
        match connect::exists(&directory) {
            Ok(()) => check(global, &directory, &mut report).await,
            Err(error) => report.problems.push(error.to_string()),
        }
        report.notes.push(isolation().await);
        self.show(&report);
        Ok(u8::from(!report.problems.is_empty()))
    }

    fn show(&self, report: &Report) {
        if self.json {
            out::line(json!({ "notes": report.notes, "problems": report.problems }).to_string());
            return;
        }
        report.notes.iter().for_each(|note| out::line(format!("ok       {note}")));
        report.problems.iter().for_each(|problem| out::line(format!("PROBLEM  {problem}")));
        if report.problems.is_empty() {
            out::line("nothing is wrong");
        }
    }
}

/// What functions are shut in by on this machine.
async fn isolation() -> String {
    let settings = HostSettings::new(PathBuf::new(), Arc::new(SystemEnv), Arc::new(NoLogs));
    match millpond_functions::inspect(settings).await {
        Ok(isolation) => {
            let missing: String = isolation.missing.iter().map(|missing| format!("; not offered: {missing}")).collect();
            format!("functions run with {}{missing}", isolation.describe())
        }
        Err(error) => format!("what functions would be shut in by cannot be tried out: {error}"),
    }
}

async fn check(global: &Global, directory: &Path, report: &mut Report) {
    match Credentials::read(directory) {
        Ok(_) => match Credentials::exposure(directory) {
            None => report.notes.push("only their owner can read the credentials".into()),
            Some(exposure) => report.problems.push(exposure),
        },
        Err(error) => report.problems.push(out::explain(&error)),
    }
    let examined = async {
        let lake = Lake::connect(global).await?;
        let examined = lake.client.own("doctor", &json!({})).await;
        let how = if lake.is_own() { "no lake runs on it now" } else { "a lake runs on it" };
        report.notes.push(format!("{} ({how})", directory.display()));
        lake.close().await;
        examined
    };
    match examined.await {
        Err(error) => report.problems.push(format!("the lake cannot be opened: {}", out::explain(&error))),
        Ok(examined) => {
            let texts = |name: &str| {
                let found = examined[name].as_array().cloned().unwrap_or_default();
                found.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
            };
            report.notes.extend(texts("notes"));
            report.problems.extend(texts("problems"));
        }
    }
}
