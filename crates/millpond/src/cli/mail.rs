//! `millpond mail`: the kept messages.

use super::connect::Lake;
use super::table::Grid;
use super::{Global, out};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  millpond mail                  the latest messages
  millpond mail show 12          one of them, whole
  millpond mail show latest

A lake without [smtp] in its millpond.toml keeps its messages. To have them sent:
  [smtp]
  host = \"mail.example.com\"
  from = \"lake@example.com\"      # also: port, tls, username; the password in MILLPOND_SMTP_PASSWORD";

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Mail {
    #[command(subcommand)]
    action: Option<Action>,
    /// How many at the most
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u32,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a message
    #[command(after_help = "Example: millpond mail show latest")]
    Show {
        /// Its number, or `latest`
        id: String,
    },
}

impl Mail {
    /// Lists or shows.
    pub async fn run(self, global: &Global) -> Result<()> {
        let lake = Lake::connect(global).await?;
        let done = match &self.action {
            None => self.list(&lake).await,
            Some(Action::Show { id }) => show(&lake, id).await,
        };
        lake.close().await;
        done
    }

    async fn list(&self, lake: &Lake) -> Result<()> {
        let found = lake.client.own("mail/list", &json!({ "limit": self.limit })).await?;
        let messages = found["messages"].as_array().cloned().unwrap_or_default();
        if messages.is_empty() {
            out::line("no messages are kept");
            return Ok(());
        }
        let mut grid = Grid::new(&["id", "time (UTC)", "to", "subject"], &[true]);
        for message in &messages {
            let time = out::time(message["time_ms"].as_i64().unwrap_or_default());
            grid.row(&[message["id"].to_string(), time, text(message, "to"), text(message, "subject")]);
        }
        out::line(grid.render());
        out::line("\n`millpond mail show NUMBER` shows one of them whole, with its links; `latest` is a number too");
        Ok(())
    }
}

async fn show(lake: &Lake, id: &str) -> Result<()> {
    let id = match id {
        "latest" => {
            let found = lake.client.own("mail/list", &json!({ "limit": 1 })).await?;
            match found["messages"][0]["id"].as_i64() {
                Some(id) => id,
                None => bail!("no messages are kept"),
            }
        }
        number => match number.parse() {
            Ok(id) => id,
            Err(_) => bail!("'{number}' is not a message's number; `millpond mail` lists them"),
        },
    };
    let message = lake.client.own("mail/show", &json!({ "id": id })).await?;
    for (heading, name) in [("From", "from"), ("To", "to"), ("Subject", "subject")] {
        out::line(format!("{heading}: {}", text(&message, name)));
    }
    out::line(format!("Date: {}\n", out::time(message["time_ms"].as_i64().unwrap_or_default())));
    out::line(text(&message, "body").trim_end());
    Ok(())
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
