//! The command line. Each command is a file; what they share is how they find the lake ([`connect`]) and how they print ([`out`]).

mod connect;
mod costs;
mod demo;
mod doctor;
mod env;
mod flow;
mod logs;
mod ls;
mod mail;
mod out;
mod put;
mod rules;
mod runs;
mod sql;
mod table;
mod token;
mod up;

use crate::config::{self, Config};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const ABOUT: &str = "A serverless data lake in one binary that speaks the AWS APIs";

const AFTER: &str = "\
First steps:
  millpond demo                                 see it work, on real data, in a new directory
  millpond up                                   start a lake in ./millpond-data
  eval \"$(millpond env)\"                        point AWS clients (aws, boto3, DuckDB, …) at it
  aws s3 mb s3://raw && aws s3 cp f.csv s3://raw/flights/
  millpond flow add flights --from s3://raw/flights/ --to processed.flights
  millpond sql \"select count(*) from processed.flights\"

Most commands talk to the lake that runs on --data; where none runs, they open the directory themselves for as long as they need it.";

#[derive(Debug, Parser)]
#[command(name = "millpond", version, about = ABOUT, after_help = AFTER, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
struct Global {
    /// The lake's directory [default: what millpond.toml says, else ./millpond-data]
    #[arg(long, global = true, value_name = "DIR", env = "MILLPOND_DATA")]
    data: Option<PathBuf>,
    /// The lake's configuration [default: ./millpond.toml where it exists]
    #[arg(long, global = true, value_name = "FILE", env = "MILLPOND_CONFIG")]
    config: Option<PathBuf>,
    /// Talk to the lake at this address, with the credentials of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long, global = true, value_name = "URL")]
    endpoint: Option<String>,
}

impl Global {
    fn load(&self) -> Result<Config> {
        Ok(Config::load(self.config.as_deref())?)
    }

    fn directory(&self, config: &Config) -> PathBuf {
        self.data.clone().or_else(|| config.server.data.clone()).unwrap_or_else(|| PathBuf::from(config::DATA))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the lake and serve until it is told to stop
    Up(up::Up),
    /// Print shell exports that point AWS clients at the running lake
    Env(env::Env),
    /// Show the whole path on real data: files put, crawled, converted, announced, queried
    Demo(demo::Demo),
    /// Put files or folders into a bucket
    Put(put::Put),
    /// List buckets, objects, databases, tables, columns
    Ls(ls::Ls),
    /// Run SQL, or open a prompt where no statement is given
    Sql(sql::Sql),
    /// Flows: files that come in here become a table there
    Flow(flow::Flow),
    /// Crawls, job runs and queries, the latest first, with the reasons of failures
    Runs(runs::Runs),
    /// Rules of EventBridge, and what they (and buckets, topics, functions) could not deliver
    Rules(rules::Rules),
    /// Log groups and their lines: what functions, crawls and job runs say
    Logs(logs::Logs),
    /// Messages that were kept because no SMTP server is configured
    Mail(mail::Mail),
    /// A short-lived user and password for SQL clients ([postgres])
    Token(token::Token),
    /// Check the lake's directory and say what is wrong
    Doctor(doctor::Doctor),
}

/// Runs the command line of this process; answers its exit code.
pub fn main() -> u8 {
    let cli = Cli::parse();
    let default_level = if matches!(cli.command, Command::Up(_)) { "info" } else { "error" };
    log(default_level);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(cli));
            runtime.shutdown_timeout(std::time::Duration::from_millis(200));
            outcome
        }
        Err(error) => Err(anyhow::anyhow!("threads cannot be started: {error}")),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("millpond: {}", out::explain(&error));
            1
        }
    }
}

async fn run(cli: Cli) -> Result<u8> {
    let Cli { global, command } = cli;
    let done = match command {
        Command::Up(command) => command.run(&global).await,
        Command::Env(command) => command.run(&global).await,
        Command::Demo(command) => command.run(&global).await,
        Command::Put(command) => command.run(&global).await,
        Command::Ls(command) => command.run(&global).await,
        Command::Sql(command) => command.run(&global).await,
        Command::Flow(command) => command.run(&global).await,
        Command::Runs(command) => command.run(&global).await,
        Command::Rules(command) => command.run(&global).await,
        Command::Logs(command) => command.run(&global).await,
        Command::Mail(command) => command.run(&global).await,
        Command::Token(command) => command.run(&global).await,
        Command::Doctor(command) => return command.run(&global).await,
    };
    done.map(|()| 0)
}

/// The log goes to standard error; `MILLPOND_LOG` sets its level (`debug`, `millpond_services=trace`, …).
fn log(default_level: &str) {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLPOND_LOG")
        // s3s reports every refusal as an error; what is ours to know is logged by our own code.
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("{default_level},s3s=off,fjall=warn,lsm_tree=warn")));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).with_target(false).init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_with_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("millpond "), "`millpond {} --help` shows no example", command.get_name());
        }
    }
}
