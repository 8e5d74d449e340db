//! `millpond sql`: one statement, or a prompt.

use super::connect::Lake;
use super::table::Grid;
use super::{Global, costs, ls, out};
use crate::client::Client;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use millpond_wire::athena;
use rustyline::error::ReadlineError;
use serde_json::{Map, Value};
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  millpond sql \"select origin, count(*) from processed.flights group by origin\"
  millpond sql -d processed \"select * from flights limit 5\" --output json
  millpond sql \"select * from processed.flights\" --output csv > flights.csv
  millpond sql < report.sql                     statements from a file, each ended by ;
  millpond sql                                  a prompt with history; \\? shows its commands

The statements are Athena's: SELECT, SHOW, DESCRIBE, CREATE DATABASE, CREATE EXTERNAL TABLE, MSCK REPAIR TABLE, DROP, …";

const PROMPT_HELP: &str = "\
A statement ends with ; and may take several lines. Ctrl-C gives up a line or stops a query, Ctrl-D leaves.
  \\d            databases and tables
  \\d DB.TABLE   columns of a table
  \\use DB       names without a database mean this one
  \\o FORMAT     table, csv or json
  \\q            leave";

/// Rows of one page of results (Athena's most).
const PAGE: i32 = 1000;

/// Rows that a table on a terminal shows at the most; CSV and JSON show all.
const TABLE_ROWS_MAX: usize = 10_000;

/// The longest pause between two looks at a query.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Sql {
    /// The statement, or several with ; between them; none: a prompt
    statement: Option<String>,
    /// The database of names without one
    #[arg(long, short)]
    database: Option<String>,
    /// How results are shown
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
    /// Do not show rows, time and bytes scanned
    #[arg(long, short)]
    quiet: bool,
}

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// RFC 4180, with a header; NULL is an empty field without quotes.
    Csv,
    /// One object a line.
    Json,
}

/// A result as it comes from Athena, without the header row of a SELECT.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Athena's types of the columns.
    pub types: Vec<String>,
    /// `None`: NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether rows were left out.
    pub is_cut: bool,
    /// Milliseconds.
    pub total_ms: u64,
    /// Bytes.
    pub scanned: u64,
    /// Rows that the statement wrote.
    pub written: Option<u64>,
}

struct Session<'a> {
    client: &'a Client,
    database: Option<String>,
    output: Format,
    quiet: bool,
}

impl Sql {
    /// Runs statements, or the prompt.
    pub async fn run(self, global: &Global) -> Result<()> {
        let lake = Lake::connect(global).await?;
        let mut session = Session { client: &lake.client, database: self.database, output: self.output, quiet: self.quiet };
        let done = match self.statement {
            Some(text) => session.run_all(&text).await,
            None if std::io::stdin().is_terminal() => session.prompt().await,
            None => {
                let mut text = String::new();
                match std::io::stdin().read_to_string(&mut text) {
                    Ok(_) => session.run_all(&text).await,
                    Err(error) => Err(anyhow!("standard input cannot be read: {error}")),
                }
            }
        };
        lake.close().await;
        done
    }
}

impl Session<'_> {
    async fn run_all(&mut self, text: &str) -> Result<()> {
        let statements = split(text);
        if statements.is_empty() {
            bail!("there is no statement; write for example: millpond sql \"show databases\"");
        }
        for statement in statements {
            self.run(&statement).await?;
        }
        Ok(())
    }

    async fn run(&self, statement: &str) -> Result<()> {
        let most = if self.output == Format::Table { TABLE_ROWS_MAX } else { usize::MAX };
        let id = start(self.client, statement, self.database.as_deref()).await?;
        let execution = tokio::select! {
            ended = ended(self.client, &id) => ended?,
            _ = tokio::signal::ctrl_c() => {
                let input = athena::StopQueryExecutionInput { query_execution_id: id.clone() };
                self.client.call(athena::StopQueryExecution, &input).await?;
                bail!("stopped");
            }
        };
        let mut shown = Shown::new(self.output);
        let answer = pages(self.client, &id, &execution, most, |columns, rows| shown.page(columns, rows)).await?;
        shown.end(&answer);
        if !self.quiet {
            let cost = costs::of(self.client, std::slice::from_ref(&id)).await.remove(&id);
            let note = note(&answer, shown.rows, cost);
            if self.output == Format::Table { out::line(note) } else { eprintln!("{note}") }
        }
        Ok(())
    }

    async fn prompt(&mut self) -> Result<()> {
        let mut editor = rustyline::DefaultEditor::new().context("the prompt cannot be set up")?;
        let history = history_file();
        if let Some(history) = &history {
            let _ = editor.load_history(history);
        }
        eprintln!("Connected to {}. End a statement with ; and ask \\? for help.", self.client.endpoint());
        let mut pending = String::new();
        loop {
            let prompt = if pending.is_empty() { "millpond> " } else { "     ...> " };
            // Reading blocks this thread; the lake's own work goes on on others.
            match tokio::task::block_in_place(|| editor.readline(prompt)) {
                Ok(line) if pending.is_empty() && line.trim_start().starts_with('\\') => {
                    let _ = editor.add_history_entry(line.trim());
                    match self.meta(line.trim()).await {
                        Ok(true) => break,
                        Ok(false) => {}
                        Err(error) => eprintln!("{}", out::explain(&error)),
                    }
                }
                Ok(line) => {
                    pending.push_str(&line);
                    pending.push('\n');
                    if pending.trim().is_empty() {
                        pending.clear();
                    }
                    if is_complete(&pending) {
                        let text = std::mem::take(&mut pending);
                        let _ = editor.add_history_entry(text.trim());
                        if let Err(error) = self.run_all(&text).await {
                            eprintln!("{}", out::explain(&error));
                        }
                    }
                }
                Err(ReadlineError::Interrupted) => pending.clear(),
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error).context("the prompt broke"),
            }
        }
        if let Some(history) = &history {
            let _ = editor.save_history(history);
        }
        Ok(())
    }

    /// A command of the prompt; answers whether to leave.
    async fn meta(&mut self, line: &str) -> Result<bool> {
        let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim().trim_end_matches(';');
        match command {
            "\\q" => return Ok(true),
            "\\?" | "\\h" => out::line(PROMPT_HELP),
            "\\use" => self.database = (!argument.is_empty()).then(|| argument.to_owned()),
            "\\o" => {
                self.output = Format::from_str(argument, true).map_err(|_| anyhow!("write \\o table, \\o csv or \\o json"))?
            }
            "\\d" => match (argument.split_once('.'), &self.database) {
                (Some((database, table)), _) => out::line(ls::column_grid(self.client, database, table).await?.render()),
                (None, Some(database)) if !argument.is_empty() => {
                    out::line(ls::column_grid(self.client, database, argument).await?.render());
                }
                (None, _) => {
                    for database in ls::databases(self.client).await? {
                        for table in ls::all_tables(self.client, &database).await? {
                            out::line(format!("{database}.{}", table.name));
                        }
                    }
                }
            },
            _ => bail!("there is no {command}; \\? shows what there is"),
        }
        Ok(false)
    }
}

/// `~/.local/state/millpond/sql_history`, or below `$XDG_STATE_HOME`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    let folder = state.join("millpond");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("sql_history"))
}

async fn start(client: &Client, statement: &str, database: Option<&str>) -> Result<String> {
    let context =
        database.map(|database| athena::QueryExecutionContext { database: Some(database.to_owned()), ..Default::default() });
    let input = athena::StartQueryExecutionInput {
        query_string: statement.to_owned(),
        query_execution_context: context,
        ..Default::default()
    };
    client.call(athena::StartQueryExecution, &input).await?.query_execution_id.context("the answer has no id")
}

/// Waits for the end of a query. The server answers when a short one ends; it is looked at often at first, then less so.
async fn ended(client: &Client, id: &str) -> Result<athena::QueryExecution> {
    let mut pause = Duration::from_millis(20);
    loop {
        let input = athena::GetQueryExecutionInput { query_execution_id: id.to_owned() };
        let execution =
            client.call(athena::GetQueryExecution, &input).await?.query_execution.context("the answer has no execution")?;
        let status = execution.status.clone().unwrap_or_default();
        match status.state.map(|state| state.as_str()) {
            Some("SUCCEEDED") => return Ok(execution),
            Some("FAILED" | "CANCELLED") => {
                bail!("{}", status.state_change_reason.unwrap_or_else(|| "the query was cancelled".into()))
            }
            _ => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Whether a statement writes rows: its result has none.
fn is_write(execution: &athena::QueryExecution) -> bool {
    let kind = execution.substatement_type.as_deref().unwrap_or_default();
    ["CREATE_TABLE_AS_SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "UNLOAD"].contains(&kind)
}

/// Reads a result page by page and hands each one on; keeps none.
async fn pages(
    client: &Client,
    id: &str,
    execution: &athena::QueryExecution,
    most: usize,
    mut each: impl FnMut(&[String], Vec<Vec<Option<String>>>),
) -> Result<Answer> {
    let statistics = execution.statistics.clone().unwrap_or_default();
    let has_header = execution.statement_type.is_none_or(|kind| kind.as_str() == "DML");
    let mut answer = Answer {
        total_ms: statistics.total_execution_time_in_millis.unwrap_or_default().max(0) as u64,
        scanned: statistics.data_scanned_in_bytes.unwrap_or_default().max(0) as u64,
        ..Answer::default()
    };
    let (mut token, mut seen, mut is_first) = (None, 0, true);
    loop {
        let input = athena::GetQueryResultsInput {
            query_execution_id: id.to_owned(),
            next_token: token,
            max_results: Some(PAGE),
            ..Default::default()
        };
        let page = client.call(athena::GetQueryResults, &input).await?;
        let set = page.result_set.unwrap_or_default();
        if is_first && is_write(execution) {
            answer.written = page.update_count.map(|count| count.max(0) as u64);
            return Ok(answer);
        }
        if is_first {
            let columns = set.result_set_metadata.and_then(|metadata| metadata.column_info).unwrap_or_default();
            (answer.columns, answer.types) = columns.into_iter().map(|column| (column.name, column.r#type)).unzip();
        }
        let skip = usize::from(is_first && has_header);
        let rows = set.rows.unwrap_or_default().into_iter().skip(skip);
        let mut rows: Vec<Vec<Option<String>>> =
            rows.map(|row| row.data.unwrap_or_default().into_iter().map(|datum| datum.var_char_value).collect()).collect();
        answer.is_cut = seen + rows.len() > most;
        rows.truncate(most - seen);
        seen += rows.len();
        each(&answer.columns, rows);
        (token, is_first) = (page.next_token, false);
        if token.is_none() || answer.is_cut {
            return Ok(answer);
        }
    }
}

/// Runs a statement and keeps its result, `most` rows of it.
pub async fn query(client: &Client, statement: &str, most: usize) -> Result<Answer> {
    let id = start(client, statement, None).await?;
    let execution = ended(client, &id).await?;
    let mut rows = Vec::new();
    let mut answer = pages(client, &id, &execution, most, |_, page| rows.extend(page)).await?;
    answer.rows = rows;
    Ok(answer)
}

/// A result on its way to standard output.
struct Shown {
    output: Format,
    /// Only tables must be complete before they are shown.
    kept: Vec<Vec<Option<String>>>,
    has_header: bool,
    rows: usize,
}

impl Shown {
    fn new(output: Format) -> Self {
        Self { output, kept: Vec::new(), has_header: false, rows: 0 }
    }

    fn page(&mut self, columns: &[String], rows: Vec<Vec<Option<String>>>) {
        self.rows += rows.len();
        match self.output {
            Format::Table => self.kept.extend(rows),
            Format::Csv => {
                if !self.has_header && !columns.is_empty() {
                    out::line(csv_line(columns.iter().map(|name| Some(name.as_str()))));
                    self.has_header = true;
                }
                rows.iter().for_each(|row| out::line(csv_line(row.iter().map(Option::as_deref))));
            }
            Format::Json => {
                for row in rows {
                    let value = |text: Option<String>| text.map_or(Value::Null, Value::String);
                    let object: Map<String, Value> = columns.iter().cloned().zip(row.into_iter().map(value)).collect();
                    out::line(Value::Object(object).to_string());
                }
            }
        }
        out::flush();
    }

    fn end(&mut self, answer: &Answer) {
        if self.output == Format::Table && !answer.columns.is_empty() {
            out::line(render(answer, &self.kept));
        }
    }
}

/// A result as a table; numbers are aligned to the right.
pub fn render(answer: &Answer, rows: &[Vec<Option<String>>]) -> String {
    let is_number = |name: &String| {
        let name = name.split('(').next().unwrap_or_default();
        ["tinyint", "smallint", "integer", "int", "bigint", "float", "real", "double", "decimal"].contains(&name)
    };
    let numbers: Vec<bool> = answer.types.iter().map(is_number).collect();
    let mut grid = Grid::new(&answer.columns, &numbers);
    for row in rows {
        let cells: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        grid.row(&cells);
    }
    grid.render()
}

fn note(answer: &Answer, rows: usize, cost: Option<String>) -> String {
    let cut = if answer.is_cut { " (more exist; --output csv shows all)" } else { "" };
    let rows = match answer.written {
        Some(written) => format!("{} written", out::things(written, "row")),
        None => out::things(rows as u64, "row"),
    };
    let time = out::duration(answer.total_ms);
    let cost = cost.map(|cost| format!(", {cost}")).unwrap_or_default();
    format!("{rows}{cut}, {time}, {} scanned{cost}", out::bytes(answer.scanned))
}

fn csv_line<'a>(values: impl Iterator<Item = Option<&'a str>>) -> String {
    let fields = values.map(|value| match value {
        None => String::new(),
        // An empty text is not NULL.
        Some("") => "\"\"".to_owned(),
        Some(text) if text.contains(['"', ',', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Some(text) => text.to_owned(),
    });
    fields.collect::<Vec<_>>().join(",")
}

/// Whether a text ends with the end of a statement.
fn is_complete(text: &str) -> bool {
    let (statements, rest) = cut(text);
    !statements.is_empty() && rest.trim().is_empty()
}

/// The statements of a text.
fn split(text: &str) -> Vec<String> {
    let (mut statements, rest) = cut(text);
    if !rest.trim().is_empty() {
        statements.push(rest);
    }
    statements
}

/// Cuts at each `;` that stands in neither quotes nor a comment; answers what is ended, and the rest. Comments alone are no statement.
fn cut(text: &str) -> (Vec<String>, String) {
    let (mut statements, mut statement, mut has_words) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ';' => {
                if has_words {
                    statements.push(statement.trim().to_owned());
                }
                statement.clear();
                has_words = false;
                continue;
            }
            '-' if chars.peek() == Some(&'-') => {
                statement.push(c);
                while let Some(c) = chars.next_if(|c| *c != '\n') {
                    statement.push(c);
                }
                continue;
            }
            '/' if chars.peek() == Some(&'*') => {
                statement.push(c);
                let mut last = ' ';
                for c in chars.by_ref() {
                    statement.push(c);
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
                continue;
            }
            '\'' | '"' | '`' => {
                statement.push(c);
                for inner in chars.by_ref() {
                    statement.push(inner);
                    if inner == c {
                        break;
                    }
                }
                has_words = true;
                continue;
            }
            other => has_words |= !other.is_whitespace(),
        }
        statement.push(c);
    }
    (statements, if has_words { statement } else { String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_cut_at_semicolons_outside_of_quotes_and_comments() {
        for (text, statements) in [
            ("select 1", &["select 1"][..]),
            ("select ';' ; select \"a;b\";", &["select ';'", "select \"a;b\""]),
            ("-- a; b\nselect 1; /* ; */ ;", &["-- a; b\nselect 1"]),
            ("select 'it''s; fine'", &["select 'it''s; fine'"]),
            (" ;; ", &[]),
            ("select `a;b`", &["select `a;b`"]),
        ] {
            assert_eq!(split(text), statements, "{text}");
        }
        assert!(is_complete("select 1;\n") && !is_complete("select 1") && !is_complete("select ';") && !is_complete("-- ;"));
    }

    #[test]
    fn csv_tells_null_from_empty() {
        assert_eq!(csv_line([Some("a"), None, Some(""), Some("x,\"y\"")].into_iter()), "a,,\"\",\"x,\"\"y\"\"\"");
    }
}
