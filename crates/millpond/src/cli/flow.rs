//! `millpond flow`: flows of the running lake.

use super::connect::Lake;
use super::table::Grid;
use super::{Global, out, put, runs};
use crate::config::Config;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

const EXAMPLES: &str = "\
Examples:
  millpond flow add flights --from s3://raw/flights/ --to processed.flights \\
      --partition-by year,month --notify mailto:ops@example.com
  millpond flow add company --from s3://raw/company/ --to dynamodb:company --key id
  millpond flow list
  millpond flow show flights        what it consists of: rules, crawler, job, topic
  millpond flow run flights         crawl and convert what is there now
  millpond flow remove flights      its parts; tables and objects stay

A flow can be declared in millpond.toml too (see `millpond up --help`); the file is applied at each start.";

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Flow {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the flows
    #[command(after_help = "Example: millpond flow list")]
    List,
    /// Show what a flow consists of
    #[command(after_help = "Example: millpond flow show flights")]
    Show {
        /// The flow's name
        name: String,
    },
    /// Add a flow, or change it
    #[command(
        after_help = "Example: millpond flow add flights --from s3://raw/flights/ --to processed.flights --partition-by year,month"
    )]
    Add(Box<Add>),
    /// Crawl and convert what is there now
    #[command(after_help = "Example: millpond flow run flights --wait")]
    Run {
        /// The flow's name
        name: String,
        /// Wait for the end
        #[arg(long)]
        wait: bool,
    },
    /// Remove a flow's parts; tables and objects stay
    #[command(after_help = "Example: millpond flow remove flights")]
    Remove {
        /// The flow's name
        name: String,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// Lower-case letters, digits and hyphens
    name: String,
    /// The folder that files are dropped into: s3://bucket/folder/
    #[arg(long)]
    from: String,
    /// The table that they become: database.table, or dynamodb:table for a table of items
    #[arg(long)]
    to: String,
    /// The key of a table of items: one or two columns [default: id, made of the row where it has none]
    #[arg(long, value_delimiter = ',', value_name = "ATTRIBUTES")]
    key: Vec<String>,
    /// The types of a table of items: string or typed [default: string]
    #[arg(long)]
    types: Option<String>,
    /// Columns that partition the table
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    partition_by: Vec<String>,
    /// A SELECT over `input` that makes the table's rows
    #[arg(long)]
    sql: Option<String>,
    /// Who is told: mailto:address (more than once for more)
    #[arg(long)]
    notify: Vec<String>,
    /// Only objects whose keys end so
    #[arg(long)]
    suffix: Option<String>,
    /// Files to leave alone: Glue's exclude patterns, such as **.tmp
    #[arg(long)]
    exclude: Vec<String>,
    /// Where the table's files go: s3://bucket/folder/
    #[arg(long)]
    location: Option<String>,
    /// Add a column with the time of conversion
    #[arg(long)]
    ingestion_timestamp: bool,
    /// Add a column with the object that a row came from
    #[arg(long)]
    source_file: bool,
}

impl Add {
    /// The same as a `[[flow]]` of a configuration: one syntax, one set of checks.
    fn as_toml(&self) -> String {
        let text = |text: &String| toml::Value::String(text.clone()).to_string();
        let list = |texts: &[String]| toml::Value::Array(texts.iter().cloned().map(toml::Value::String).collect()).to_string();
        let mut toml = format!("[[flow]]\nname = {}\nfrom = {}\nto = {}\n", text(&self.name), text(&self.from), text(&self.to));
        for (key, value) in [("sql", &self.sql), ("suffix", &self.suffix), ("location", &self.location), ("types", &self.types)] {
            if let Some(value) = value {
                let _ = writeln!(toml, "{key} = {}", text(value));
            }
        }
        for (key, values) in [("partition_by", &self.partition_by), ("notify", &self.notify), ("exclude", &self.exclude)] {
            let _ = writeln!(toml, "{key} = {}", list(values));
        }
        if !self.key.is_empty() {
            let _ = writeln!(toml, "key = {}", list(&self.key));
        }
        // A table of items has them unless its owner says otherwise.
        for (key, on) in [("ingestion_timestamp", self.ingestion_timestamp), ("source_file", self.source_file)] {
            if on {
                let _ = writeln!(toml, "{key} = true");
            }
        }
        toml
    }
}

impl Flow {
    /// Does it.
    pub async fn run(self, global: &Global) -> Result<()> {
        let added = match &self.action {
            Action::Add(add) => Some(Config::parse(Path::new("flow"), &add.as_toml(), |_| None)?.flows.remove(0)),
            _ => None,
        };
        let lake = Lake::connect(global).await?;
        let done = match &self.action {
            Action::List => list(&lake).await,
            Action::Show { name } => show(&lake, name).await,
            Action::Add(add) => {
                let answer = lake.client.own("flows/put", &json!({ "flow": added })).await?;
                out::line(format!("flow {} is set up; files that are put into {} become {}", add.name, add.from, add.to));
                for part in answer["parts"].as_array().into_iter().flatten() {
                    out::line(format!("  {}", part.as_str().unwrap_or_default()));
                }
                Ok(())
            }
            Action::Run { name, wait } => run(&lake, name, *wait).await,
            Action::Remove { name } => {
                lake.client.own("flows/remove", &json!({ "name": name })).await?;
                out::line(format!("flow {name} is removed; its tables and objects are still there"));
                Ok(())
            }
        };
        lake.close().await;
        done
    }
}

async fn list(lake: &Lake) -> Result<()> {
    let found = lake.client.own("flows/list", &json!({})).await?;
    let flows = found["flows"].as_array().cloned().unwrap_or_default();
    if flows.is_empty() {
        out::line("there are no flows; `millpond flow --help` shows how to add one");
        return Ok(());
    }
    let mut grid = Grid::new(&["flow", "from", "to", "partitioned by", "notifies", "declared in"], &[]);
    for flow in &flows {
        let joined = |name: &str| {
            let values = flow["flow"][name].as_array().cloned().unwrap_or_default();
            values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        };
        let text = |name: &str| flow[name].as_str().unwrap_or_default().to_owned();
        grid.row(&[text("name"), text("source"), text("target"), joined("partition_by"), joined("notify"), text("origin")]);
    }
    out::line(grid.render());
    Ok(())
}

async fn show(lake: &Lake, name: &str) -> Result<()> {
    let found = lake.client.own("flows/list", &json!({})).await?;
    let flows = found["flows"].as_array().cloned().unwrap_or_default();
    let Some(flow) = flows.iter().find(|flow| flow["name"] == name) else {
        bail!("there is no flow '{name}'; `millpond flow list` shows what there is");
    };
    let text = |name: &str| flow[name].as_str().unwrap_or_default();
    out::line(format!("flow {name}: {} -> {}", text("source"), text("target")));
    if let Some(sql) = flow["flow"]["sql"].as_str() {
        out::line(format!("  by {sql}"));
    }
    out::line("  consists of (changeable through the AWS APIs):");
    for part in flow["parts"].as_array().into_iter().flatten() {
        out::line(format!("    {}", part.as_str().unwrap_or_default()));
    }
    Ok(())
}

async fn run(lake: &Lake, name: &str, wait: bool) -> Result<()> {
    let started_ms = runs::now_ms();
    lake.client.own("flows/run", &json!({ "name": name })).await?;
    out::line(format!("flow {name} is started"));
    if wait || lake.is_own() {
        put::settle(lake, false).await?;
        runs::tell_since(&lake.client, started_ms).await?;
    }
    Ok(())
}
