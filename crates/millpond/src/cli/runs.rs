//! `millpond runs`: crawls, job runs and queries by time, with the reasons of failures.

use super::connect::Lake;
use super::table::Grid;
use super::{Global, costs, out};
use crate::client::Client;
use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use futures::{StreamExt, TryStreamExt};
use millpond_core::env::{Env, SystemEnv};
use millpond_wire::{athena, glue};
use serde_json::{Value, json};
use std::collections::HashMap;

const EXAMPLES: &str = "\
Examples:
  millpond runs                        the latest 20, of all kinds
  millpond runs --failed               only those that failed, with the whole reason
  millpond runs --kind job -n 100
  millpond runs show jr_5c21…          one run: its state, figures, and the files that it took
  millpond runs dead                   tasks that were given up, with their reasons
  millpond runs retry 17               … try one of them again";

/// Requests under way at the same time.
const AT_ONCE: usize = 8;

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Runs {
    #[command(subcommand)]
    action: Option<Action>,
    /// How many at the most
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
    /// Only of this kind
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only those that failed
    #[arg(long)]
    failed: bool,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show one run
    #[command(after_help = "Example: millpond runs show jr_5c21… (the beginning of an id is enough)")]
    Show {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Show tasks that were given up
    #[command(after_help = "Example: millpond runs dead")]
    Dead,
    /// Try a task again that was given up
    #[command(after_help = "Example: millpond runs retry 17")]
    Retry {
        /// Its number, as `millpond runs dead` shows it
        id: i64,
    },
}

/// What ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A crawler's crawl.
    Crawl,
    /// A job's run.
    Job,
    /// Athena's query execution.
    Query,
}

/// One run of any kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What ran.
    pub kind: Kind,
    /// AWS's id of it.
    pub id: String,
    /// The crawler's or job's name; the query's text.
    pub name: String,
    /// AWS's word.
    pub state: String,
    /// Milliseconds since the epoch.
    pub started_ms: i64,
    /// `None` while it runs.
    pub ended_ms: Option<i64>,
    /// Why it failed, or what it says of itself.
    pub detail: String,
}

impl Run {
    fn is_failed(&self) -> bool {
        matches!(self.state.as_str(), "FAILED" | "TIMEOUT" | "ERROR")
    }

    fn to_json(&self) -> Value {
        let Self { kind, id, name, state, started_ms, ended_ms, detail } = self;
        let kind = kind.title();
        json!({ "kind": kind, "id": id, "name": name, "state": state, "started_ms": started_ms, "ended_ms": ended_ms, "detail": detail })
    }
}

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Self::Crawl => "crawl",
            Self::Job => "job",
            Self::Query => "query",
        }
    }
}

impl Runs {
    /// Lists, shows, or retries.
    pub async fn run(self, global: &Global) -> Result<()> {
        let lake = Lake::connect(global).await?;
        let done = match &self.action {
            None => self.list(&lake.client).await,
            Some(Action::Show { id }) => show(&lake.client, id).await,
            Some(Action::Dead) => dead(&lake.client).await,
            Some(Action::Retry { id }) => retry(&lake.client, *id).await,
        };
        lake.close().await;
        done
    }

    async fn list(&self, client: &Client) -> Result<()> {
        let want = |run: &Run| self.kind.is_none_or(|kind| kind == run.kind) && (!self.failed || run.is_failed());
        let mut found = latest(client, self.limit.max(50), self.kind).await?;
        found.retain(want);
        found.truncate(self.limit);
        if self.json {
            found.iter().for_each(|run| out::line(run.to_json().to_string()));
            return Ok(());
        }
        if found.is_empty() {
            out::line(if self.failed { "nothing failed" } else { "nothing ran yet" });
        } else {
            out::line(grid(&found).render());
        }
        for run in found.iter().filter(|run| run.is_failed()) {
            out::line(format!("\n{} {} failed: {}", run.kind.title(), short(&run.name, 60), run.detail));
        }
        let dead = client.own("dead-letters/list", &json!({ "limit": 1 })).await?;
        if dead["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty()) {
            out::line("\nthere are tasks that were given up: `millpond runs dead` shows them");
        }
        Ok(())
    }
}

/// The present, in milliseconds since the epoch.
pub fn now_ms() -> i64 {
    SystemEnv.now_ms()
}

fn grid(runs: &[Run]) -> Grid {
    let mut grid =
        Grid::new(&["started (UTC)", "kind", "name", "state", "took", "id", "detail"], &[false, false, false, false, true]);
    for run in runs {
        let took =
            run.ended_ms.map_or_else(|| "…".to_owned(), |ended_ms| out::duration((ended_ms - run.started_ms).max(0) as u64));
        let (name, detail) = (short(&run.name, 48), short(&run.detail, 80));
        let (time, id) = (out::time(run.started_ms), short(&run.id, 16));
        grid.row(&[time, run.kind.title().to_owned(), name, run.state.clone(), took, id, detail]);
    }
    grid
}

fn short(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The latest runs of all kinds (or one), the latest first; `each` of every crawler, every job, and of the queries.
pub async fn latest(client: &Client, each: usize, kind: Option<Kind>) -> Result<Vec<Run>> {
    let wanted = |of: Kind| kind.is_none_or(|kind| kind == of);
    let mut runs = Vec::new();
    if wanted(Kind::Crawl) {
        runs.extend(crawls(client, each).await?);
    }
    if wanted(Kind::Job) {
        runs.extend(job_runs(client, each).await?);
    }
    if wanted(Kind::Query) {
        runs.extend(queries(client, each).await?);
    }
    runs.sort_by(|a, b| b.started_ms.cmp(&a.started_ms).then_with(|| b.id.cmp(&a.id)));
    Ok(runs)
}

async fn crawls(client: &Client, each: usize) -> Result<Vec<Run>> {
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let input = glue::ListCrawlersInput { next_token: token, ..Default::default() };
        let page = client.call(glue::ListCrawlers, &input).await?;
        names.extend(page.crawler_names.unwrap_or_default());
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    let of_one = |name: String| async move {
        let most = each.min(1000) as i32;
        let input = glue::ListCrawlsInput { crawler_name: name.clone(), max_results: Some(most), ..Default::default() };
        let found = client.call(glue::ListCrawls, &input).await?.crawls.unwrap_or_default();
        let runs = found.into_iter().map(|crawl| Run {
            kind: Kind::Crawl,
            id: crawl.crawl_id.unwrap_or_default(),
            name: name.clone(),
            state: crawl.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
            started_ms: crawl.start_time.map_or(0, |time| time.0),
            ended_ms: crawl.end_time.map(|time| time.0),
            detail: crawl.error_message.or(crawl.summary).unwrap_or_default(),
        });
        Ok::<_, anyhow::Error>(runs.collect::<Vec<_>>())
    };
    let runs: Vec<Vec<Run>> = futures::stream::iter(names).map(of_one).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(runs.into_iter().flatten().collect())
}

async fn job_names(client: &Client) -> Result<Vec<String>> {
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let input = glue::ListJobsInput { next_token: token, ..Default::default() };
        let page = client.call(glue::ListJobs, &input).await?;
        names.extend(page.job_names.unwrap_or_default());
        token = page.next_token;
        if token.is_none() {
            return Ok(names);
        }
    }
}

async fn job_runs(client: &Client, each: usize) -> Result<Vec<Run>> {
    let of_one = |name: String| async move {
        let most = each.min(200) as i32;
        let input = glue::GetJobRunsInput { job_name: name.clone(), max_results: Some(most), ..Default::default() };
        let found = client.call(glue::GetJobRuns, &input).await?.job_runs.unwrap_or_default();
        Ok::<_, anyhow::Error>(found.into_iter().map(|run| of_job_run(run, &name)).collect::<Vec<_>>())
    };
    let names = job_names(client).await?;
    let runs: Vec<Vec<Run>> = futures::stream::iter(names).map(of_one).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(runs.into_iter().flatten().collect())
}

fn of_job_run(run: glue::JobRun, name: &str) -> Run {
    Run {
        kind: Kind::Job,
        id: run.id.unwrap_or_default(),
        name: name.to_owned(),
        state: run.job_run_state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        started_ms: run.started_on.map_or(0, |time| time.0),
        ended_ms: run.completed_on.map(|time| time.0),
        detail: run.error_message.or(run.state_detail).unwrap_or_default(),
    }
}

async fn queries(client: &Client, each: usize) -> Result<Vec<Run>> {
    let (mut ids, mut token) = (Vec::new(), None);
    while ids.len() < each {
        let input = athena::ListQueryExecutionsInput { next_token: token, max_results: Some(50), ..Default::default() };
        let page = client.call(athena::ListQueryExecutions, &input).await?;
        ids.extend(page.query_execution_ids.unwrap_or_default());
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    ids.truncate(each);
    let mut runs = Vec::new();
    for ids in ids.chunks(50) {
        let input = athena::BatchGetQueryExecutionInput { query_execution_ids: ids.to_vec() };
        let found = client.call(athena::BatchGetQueryExecution, &input).await?.query_executions.unwrap_or_default();
        let costs = costs::of(client, ids).await;
        runs.extend(found.into_iter().map(|execution| of_query(execution, &costs)));
    }
    Ok(runs)
}

fn of_query(execution: athena::QueryExecution, costs: &HashMap<String, String>) -> Run {
    let status = execution.status.unwrap_or_default();
    let scanned = execution.statistics.and_then(|statistics| statistics.data_scanned_in_bytes);
    let cost = execution.query_execution_id.as_ref().and_then(|id| costs.get(id));
    let cost = cost.map(|cost| format!(", {cost}")).unwrap_or_default();
    let scanned = scanned.map(|bytes| format!("scanned {}{cost}", out::bytes(bytes.max(0) as u64)));
    Run {
        kind: Kind::Query,
        id: execution.query_execution_id.unwrap_or_default(),
        name: execution.query.unwrap_or_default(),
        state: status.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        started_ms: status.submission_date_time.map_or(0, |time| time.0),
        ended_ms: status.completion_date_time.map(|time| time.0),
        detail: status.state_change_reason.or(scanned).unwrap_or_default(),
    }
}

async fn show(client: &Client, id: &str) -> Result<()> {
    let found: Vec<Run> = latest(client, 200, None).await?.into_iter().filter(|run| run.id.starts_with(id)).collect();
    let run = match found.as_slice() {
        [] => bail!("no run's id begins with '{id}'; `millpond runs` lists them"),
        [run] => run,
        many => bail!("{} runs' ids begin with '{id}'; write more of it", many.len()),
    };
    out::line(format!("{} {}", run.kind.title(), run.id));
    out::line(format!("  {}", run.name));
    let ended = run.ended_ms.map_or_else(|| "still runs".to_owned(), |ended_ms| format!("ended {} UTC", out::time(ended_ms)));
    out::line(format!("  {}, started {} UTC, {ended}", run.state, out::time(run.started_ms)));
    if !run.detail.is_empty() {
        out::line(format!("  {}", run.detail));
    }
    if run.kind == Kind::Query {
        return Ok(());
    }
    let path = if run.kind == Kind::Job { "runs/files" } else { "runs/log" };
    let more = client.own(path, &json!({ "id": run.id, "name": run.name, "limit": 1000 })).await?;
    if let Some(log) = more["log"].as_str() {
        out::line(format!("\n{}", log.trim_end()));
    }
    let files = more["files"].as_array().cloned().unwrap_or_default();
    if !files.is_empty() {
        let mut grid = Grid::new(&["file", "rows in", "rows out", "quarantined", "fault"], &[false, true, true, true]);
        for file in &files {
            let number = |name: &str| out::count(file[name].as_u64().unwrap_or_default());
            let text = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
            grid.row(&[text("uri"), number("rows_in"), number("rows_out"), number("rows_quarantined"), text("fault")]);
        }
        out::line(format!("\n{}", grid.render()));
    }
    Ok(())
}

async fn dead(client: &Client) -> Result<()> {
    let found = client.own("dead-letters/list", &json!({ "limit": 200 })).await?;
    let tasks = found["tasks"].as_array().cloned().unwrap_or_default();
    if tasks.is_empty() {
        out::line("no task was given up");
        return Ok(());
    }
    for task in tasks {
        let text = |name: &str| task[name].as_str().unwrap_or_default().to_owned();
        let time = out::time(task["changed_ms"].as_i64().unwrap_or_default());
        let about = match &task["payload"]["delivery"] {
            Value::Null => text("key"),
            delivery => format!(
                "from {} to {}",
                delivery["source"].as_str().unwrap_or_default(),
                delivery["target"].as_str().unwrap_or_default()
            ),
        };
        out::line(format!("{}  {time}  {} {about}: {}", task["id"], text("kind"), text("reason")));
    }
    out::line("\n`millpond runs retry NUMBER` tries one of them again");
    Ok(())
}

async fn retry(client: &Client, id: i64) -> Result<()> {
    client.own("dead-letters/retry", &json!({ "id": id })).await?;
    out::line(format!("task {id} is tried again; `millpond runs` shows what comes of it"));
    Ok(())
}

/// Tells of the runs since a time that failed, and of the job runs that did something.
pub async fn tell_since(client: &Client, since_ms: i64) -> Result<()> {
    for run in latest(client, 50, None).await?.iter().rev().filter(|run| run.started_ms >= since_ms && run.kind != Kind::Query) {
        if run.is_failed() {
            out::line(format!("{} {} failed: {}", run.kind.title(), run.name, run.detail));
        } else if run.kind == Kind::Job && !run.detail.is_empty() {
            out::line(format!("job {}: {}", run.name, run.detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_become_one_short_line() {
        assert_eq!(short("select 1\n  from t", 40), "select 1 from t");
        assert_eq!(short("abcdef", 4), "abc…");
    }
}
