//! `millpond logs`: log groups, and the lines in them.

use super::connect::Lake;
use super::table::Grid;
use super::{Global, out};
use crate::client::Client;
use anyhow::{Context, Result, bail};
use clap::Args;
use millpond_core::env::{Env, SystemEnv};
use millpond_wire::logs;
use std::collections::HashSet;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  millpond logs                                the log groups
  millpond logs /aws/lambda/resize             the lines of the last hour
  millpond logs resize --follow                … and those that come; the end of a group's name will do
  millpond logs crawlers --since 7d --filter ERROR
  millpond logs resize --filter '{ $.level = \"error\" }'";

/// How often a follower asks.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Logs {
    /// A group, or the end of its name; all groups are listed where it is left out
    group: Option<String>,
    /// Wait for lines that come
    #[arg(long, short)]
    follow: bool,
    /// From when on: a number and s, m, h, d or w
    #[arg(long, default_value = "1h", value_parser = span_ms)]
    since: i64,
    /// Only lines that match, as CloudWatch Logs' filter patterns say
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// Only of the streams that begin so
    #[arg(long, value_name = "PREFIX")]
    stream: Option<String>,
}

/// Milliseconds of `90s`, `10m`, `3h`, `2d`, `1w`.
fn span_ms(text: &str) -> Result<i64, String> {
    let wrong = || format!("'{text}' is not a number and s, m, h, d or w, such as 30m");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    Ok(i64::from(number) * seconds * 1000)
}

impl Logs {
    /// Lists groups, or shows lines.
    pub async fn run(self, global: &Global) -> Result<()> {
        let lake = Lake::connect(global).await?;
        let done = match &self.group {
            None => list(&lake.client).await,
            Some(group) => self.show(&lake.client, group).await,
        };
        lake.close().await;
        done
    }

    async fn show(&self, client: &Client, name: &str) -> Result<()> {
        let group = find(client, name).await?;
        let mut input = logs::FilterLogEventsInput {
            log_group_name: Some(group),
            log_stream_name_prefix: self.stream.clone(),
            filter_pattern: self.filter.clone(),
            start_time: Some((SystemEnv.now_ms() - self.since).max(0)),
            ..logs::FilterLogEventsInput::default()
        };
        // Lines of the latest time seen come again with each question.
        let (mut latest, mut seen) = (0, HashSet::new());
        loop {
            let page = client.call(logs::FilterLogEvents, &input).await?;
            for event in page.events.unwrap_or_default() {
                let (time_ms, id) = (event.timestamp.unwrap_or_default(), event.event_id.clone().unwrap_or_default());
                if time_ms > latest {
                    (latest, seen) = (time_ms, HashSet::new());
                }
                if seen.insert(id) {
                    print(&event);
                }
            }
            input.next_token = page.next_token;
            match (&input.next_token, self.follow) {
                (Some(_), _) => continue,
                (None, false) => return Ok(()),
                (None, true) => {
                    input.start_time = input.start_time.max(Some(latest));
                    tokio::select! {
                        _ = tokio::signal::ctrl_c() => return Ok(()),
                        () = tokio::time::sleep(FOLLOW_EVERY) => {}
                    }
                }
            }
        }
    }
}

fn print(event: &logs::FilteredLogEvent) {
    let time = out::time(event.timestamp.unwrap_or_default());
    let stream = event.log_stream_name.as_deref().unwrap_or_default();
    // What comes from a function must not move the cursor.
    let safe = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    let message: String = event.message.as_deref().unwrap_or_default().trim_end().chars().map(safe).collect();
    out::line(format!("{time}  {stream}  {message}"));
}

async fn groups(client: &Client, pattern: Option<&str>) -> Result<Vec<logs::LogGroup>> {
    let mut input = logs::DescribeLogGroupsInput {
        log_group_name_pattern: pattern.map(str::to_owned),
        ..logs::DescribeLogGroupsInput::default()
    };
    let mut found = Vec::new();
    loop {
        let page = client.call(logs::DescribeLogGroups, &input).await?;
        found.extend(page.log_groups.unwrap_or_default());
        input.next_token = page.next_token;
        if input.next_token.is_none() {
            return Ok(found);
        }
    }
}

/// The group that a name, or the end of one, means.
async fn find(client: &Client, name: &str) -> Result<String> {
    let found = groups(client, Some(name)).await.with_context(|| format!("'{name}' cannot be looked for"))?;
    let names: Vec<String> = found.into_iter().filter_map(|group| group.log_group_name).collect();
    if names.iter().any(|found| found == name) {
        return Ok(name.to_owned());
    }
    let ends = format!("/{}", name.trim_start_matches('/'));
    let mut ending: Vec<&String> = names.iter().filter(|found| found.ends_with(&ends)).collect();
    match ending.pop() {
        None => bail!("there is no log group {name}, nor one that ends with {ends}; `millpond logs` lists them"),
        Some(last) if ending.is_empty() => Ok(last.clone()),
        Some(last) => {
            let all: Vec<&str> = ending.into_iter().chain([last]).map(String::as_str).collect();
            bail!("several log groups end with {ends}: {}; name one of them whole", all.join(", "))
        }
    }
}

async fn list(client: &Client) -> Result<()> {
    let found = groups(client, None).await?;
    if found.is_empty() {
        out::line("there are no log groups yet");
        return Ok(());
    }
    let mut grid = Grid::new(&["group", "bytes", "kept for"], &[false, true]);
    for group in &found {
        let kept = group.retention_in_days.map_or("ever".to_owned(), |days| format!("{days} days"));
        let name = group.log_group_name.clone().unwrap_or_default();
        grid.row(&[name, group.stored_bytes.unwrap_or_default().to_string(), kept]);
    }
    out::line(grid.render());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        assert_eq!(span_ms("90s"), Ok(90_000));
        assert_eq!(span_ms("2w"), Ok(2 * 7 * 86_400_000));
        for text in ["", "5", "m", "-1m", "1y", "1h30m", "1é"] {
            assert!(span_ms(text).is_err(), "{text}");
        }
    }
}
