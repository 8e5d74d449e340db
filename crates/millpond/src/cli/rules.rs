//! `millpond rules`: EventBridge's rules, and what could not be delivered, with the reasons.

use super::connect::Lake;
use super::table::Grid;
use super::{Global, out};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  millpond rules                 all rules; below them what could not be delivered, and why
  millpond rules --failed        only those that could not deliver something
  millpond runs dead             each of the deliveries that were given up
  millpond runs retry 17         … try one of them again";

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Rules {
    /// Only those that could not deliver something
    #[arg(long)]
    failed: bool,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

impl Rules {
    /// Lists them.
    pub async fn run(self, global: &Global) -> Result<()> {
        let lake = Lake::connect(global).await?;
        let found = lake.client.own("rules/list", &json!({})).await;
        lake.close().await;
        let found = found?;
        let mut rules = list(&found["rules"]).to_vec();
        rules.retain(|rule| !self.failed || !list(&rule["failures"]).is_empty());
        let others = list(&found["others"]);
        if self.json {
            rules.iter().chain(others).for_each(|found| out::line(found.to_string()));
            return Ok(());
        }
        match (rules.is_empty(), self.failed) {
            (true, true) => out::line("no rule has anything that could not be delivered"),
            (true, false) => out::line("there are no rules"),
            (false, _) => out::line(grid(&rules).render()),
        }
        let failures: Vec<&Value> = rules.iter().flat_map(|rule| list(&rule["failures"])).chain(others).collect();
        failures.iter().for_each(|failed| out::line(told(failed)));
        if !failures.is_empty() {
            out::line("\n`millpond runs dead` shows each that was given up, `millpond runs retry NUMBER` tries it again");
        }
        Ok(())
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_default()
}

fn grid(rules: &[Value]) -> Grid {
    let headings = ["bus", "rule", "state", "when", "targets", "waiting", "given up"];
    let mut grid = Grid::new(&headings, &[false, false, false, false, false, true, true]);
    for rule in rules {
        let state = if rule["enabled"].as_bool().unwrap_or_default() { "enabled" } else { "disabled" };
        let when = if rule["schedule"].is_null() { text(rule, "pattern") } else { text(rule, "schedule") };
        let when: String = when.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect();
        let targets: Vec<&str> = list(&rule["targets"]).iter().filter_map(Value::as_str).map(short).collect();
        let sum = |name: &str| list(&rule["failures"]).iter().map(|failed| number(failed, name)).sum::<u64>();
        let (waiting, given_up) = (out::count(sum("waiting")), out::count(sum("given_up")));
        grid.row(&[text(rule, "bus"), text(rule, "name"), state, &when, &targets.join(" "), &waiting, &given_up]);
    }
    grid
}

/// The part of an ARN that people know: its service and resource.
fn short(arn: &str) -> &str {
    arn.splitn(6, ':').nth(5).unwrap_or(arn)
}

fn told(failed: &Value) -> String {
    let (waiting, given_up) = (number(failed, "waiting"), number(failed, "given_up"));
    let mut what = Vec::new();
    if given_up > 0 {
        what.push(format!("{} given up", out::count(given_up)));
    }
    if waiting > 0 {
        what.push(format!("{} to be tried again", out::count(waiting)));
    }
    let time = out::time(failed["last_ms"].as_i64().unwrap_or_default());
    let (source, target) = (text(failed, "source"), text(failed, "target"));
    format!("\n{source} could not deliver to {target}: {}\n  last at {time}: {}", what.join(", "), text(failed, "reason"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_who_to_whom_how_often_and_why() {
        let failed = json!({
            "source": "arn:aws:s3:::raw", "target": "arn:aws:sqs:us-east-1:000000000000:q", "waiting": 0, "given_up": 2, "last_ms": 0,
            "reason": "the queue does not exist",
        });
        let told = told(&failed);
        for part in ["arn:aws:s3:::raw could not deliver to arn:aws:sqs", "2 given up", "the queue does not exist"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("tried again"), "{told}");
        assert_eq!(short("arn:aws:sqs:us-east-1:000000000000:q"), "q");
    }
}
