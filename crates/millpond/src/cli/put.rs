//! `millpond put`: files and folders into a bucket, many at a time, in bounded memory.

use super::connect::Lake;
use super::{Global, out, runs};
use crate::client::{self, Client};
use crate::config;
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use futures::{StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, WriteMultipart};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Semaphore;

const EXAMPLES: &str = "\
Examples:
  millpond put flights.csv s3://raw/flights/           one file, as s3://raw/flights/flights.csv
  millpond put flights.csv s3://raw/flights/jan.csv    under another name
  millpond put data/ more.json s3://raw/in/            a folder with all below it, and a file
  gzip -c big.csv | millpond put - s3://raw/big.csv.gz standard input
  millpond put --create *.csv s3://new-bucket/         makes the bucket where it is missing
  millpond put --wait x.csv s3://raw/flights/          returns when the flows are done with it

Next: `millpond runs` shows what the lake made of it, `millpond sql` asks it.";

/// A file larger than this goes in parts.
const SINGLE_MAX: u64 = 8 << 20;

/// The least size of a part.
const PART_MIN: u64 = 8 << 20;

/// Parts of one object under way at the same time.
const PARTS_AT_ONCE: usize = 4;

/// Files under way at the same time.
const FILES_AT_ONCE: usize = 32;

/// Memory for what is under way, in units of [`BUDGET_UNIT`].
const BUDGET: usize = 2048;

/// Bytes.
const BUDGET_UNIT: u64 = 64 << 10;

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Put {
    /// Files and folders (`-`: standard input), then s3://bucket/folder/ or s3://bucket/key
    #[arg(required = true, num_args = 2.., value_name = "FILE… s3://TARGET")]
    paths: Vec<String>,
    /// Create the bucket where it is missing
    #[arg(long)]
    create: bool,
    /// Wait until crawls, conversions and mails that follow are done
    #[arg(long)]
    wait: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

/// A file and the key that it gets.
#[derive(Debug, Clone, PartialEq)]
struct Upload {
    path: PathBuf,
    key: String,
    size: u64,
}

impl Put {
    /// Puts.
    pub async fn run(mut self, global: &Global) -> Result<()> {
        let target = self.paths.pop().expect("clap wants two at least");
        let (bucket, prefix) = target_of(&target)?;
        let from_stdin = self.paths.iter().any(|path| path == "-");
        if from_stdin && (self.paths.len() > 1 || prefix.is_empty() || prefix.ends_with('/')) {
            bail!("standard input needs a key of its own and no other files beside it: millpond put - s3://{bucket}/name.csv");
        }
        let uploads = if from_stdin { Vec::new() } else { plan(&self.paths, &prefix)? };
        let lake = Lake::connect(global).await?;
        let done = self.put(&lake, &bucket, &prefix, from_stdin, uploads).await;
        lake.close().await;
        done
    }

    async fn put(&self, lake: &Lake, bucket: &str, prefix: &str, from_stdin: bool, uploads: Vec<Upload>) -> Result<()> {
        if self.create {
            match lake.client.create_bucket(bucket).await {
                Err(error) if client::code(&error) != Some("BucketAlreadyOwnedByYou") => return Err(error),
                _ => {}
            }
        } else if !lake.client.buckets().await?.iter().any(|name| name == bucket) {
            bail!("there is no bucket '{bucket}'; make it with --create, or with `aws s3 mb s3://{bucket}`");
        }
        let started = Instant::now();
        let started_ms = runs::now_ms();
        let store = Arc::new(lake.client.bucket(bucket)?);
        let (files, bytes) = if from_stdin {
            let sent = multipart(&store, &key(prefix)?, tokio::io::stdin(), None, &ProgressBar::hidden()).await?;
            (1, sent)
        } else {
            let total = uploads.iter().map(|upload| upload.size).sum();
            let bar = if self.quiet { ProgressBar::hidden() } else { bar(total) };
            upload(store, &uploads, &bar).await?;
            bar.finish_and_clear();
            (uploads.len() as u64, total)
        };
        let ms = started.elapsed().as_millis() as u64;
        let rate = out::bytes((bytes as f64 / started.elapsed().as_secs_f64().max(0.001)) as u64);
        out::line(format!(
            "{} to s3://{bucket}/ ({}, {}, {rate}/s)",
            out::things(files, "object"),
            out::bytes(bytes),
            out::duration(ms)
        ));
        if self.wait || lake.is_own() {
            settle(lake, self.quiet).await?;
            runs::tell_since(&lake.client, started_ms).await?;
        }
        Ok(())
    }
}

/// Waits for what follows from the objects, with a spinner.
pub async fn settle(lake: &Lake, quiet: bool) -> Result<()> {
    let spinner = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    spinner.enable_steady_tick(Duration::from_millis(100));
    lake.settle(|state| spinner.set_message(doing(state))).await?;
    spinner.finish_and_clear();
    Ok(())
}

/// What the lake is at, for people.
fn doing(state: &Value) -> String {
    let tasks = state["doing"].as_array().cloned().unwrap_or_default();
    let task = |task: &Value| {
        let key = task["key"].as_str().unwrap_or_default();
        let what = key.strip_prefix("millpond-flow-").unwrap_or(key);
        match task["kind"].as_str().unwrap_or_default() {
            "glue.crawl" => format!("crawling {what}"),
            "glue.job-run" => format!("converting {what}"),
            "sns.mail" => "sending mail".to_owned(),
            "athena.query" => "answering a query".to_owned(),
            other => format!("{other} {what}"),
        }
    };
    let waiting = state["waiting"].as_u64().unwrap_or_default() + state["events"].as_u64().unwrap_or_default();
    let mut parts: Vec<String> = tasks.iter().map(task).collect();
    parts.dedup();
    if waiting > 0 {
        parts.push(format!("{} waiting", out::count(waiting)));
    }
    parts.join(", ")
}

fn target_of(target: &str) -> Result<(String, String)> {
    let Some(rest) = target.strip_prefix("s3://") else {
        bail!("the last argument says where to put it, for example s3://raw/flights/; '{target}' does not");
    };
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    Ok((config::bucket_name(bucket).map_err(|message| anyhow!(message))?, key.to_owned()))
}

fn key(text: &str) -> Result<Key> {
    Key::parse(text).with_context(|| format!("'{text}' cannot be a key here (no empty parts, no `.` or `..`)"))
}

/// Which files get which keys: a folder's content goes below the target, a single file may get another name.
fn plan(paths: &[String], target: &str) -> Result<Vec<Upload>> {
    let folder = if target.is_empty() || target.ends_with('/') { target.to_owned() } else { format!("{target}/") };
    let mut uploads = Vec::new();
    for path in paths.iter().map(Path::new) {
        let metadata = std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
        if metadata.is_dir() {
            walk(path, &folder, &mut uploads)?;
        } else {
            let renamed = paths.len() == 1 && !target.is_empty() && !target.ends_with('/');
            let key = if renamed { target.to_owned() } else { format!("{folder}{}", name_of(path)?) };
            uploads.push(Upload { path: path.to_owned(), key, size: metadata.len() });
        }
    }
    uploads.sort_by(|a, b| a.key.cmp(&b.key));
    if let Some(pair) = uploads.windows(2).find(|pair| pair[0].key == pair[1].key) {
        bail!("{} and {} would both become {}; put them apart", pair[0].path.display(), pair[1].path.display(), pair[0].key);
    }
    Ok(uploads)
}

fn walk(folder: &Path, prefix: &str, uploads: &mut Vec<Upload>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("{} cannot be read", folder.display()))?.path();
        let metadata = std::fs::symlink_metadata(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let name = name_of(&path)?.to_owned();
        if metadata.is_dir() {
            walk(&path, &format!("{prefix}{name}/"), uploads)?;
        } else if let Ok(metadata) = std::fs::metadata(&path)
            && metadata.is_file()
        {
            // A link to a file is followed, one to a folder is not: it may lead back here.
            uploads.push(Upload { path, key: format!("{prefix}{name}"), size: metadata.len() });
        }
    }
    Ok(())
}

fn name_of(path: &Path) -> Result<&str> {
    let name = path.file_name().with_context(|| format!("{} has no name", path.display()))?;
    name.to_str().with_context(|| format!("the name of {} is not UTF-8, as keys are", path.display()))
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(total).with_style(style.expect("the template is sound"))
}

async fn upload(store: Arc<AmazonS3>, uploads: &[Upload], bar: &ProgressBar) -> Result<()> {
    let budget = Arc::new(Semaphore::new(BUDGET));
    let each = uploads.iter().map(|upload| {
        let (store, budget) = (store.clone(), budget.clone());
        async move {
            let bytes = if upload.size <= SINGLE_MAX { upload.size } else { part_size(upload.size) * (PARTS_AT_ONCE as u64 + 1) };
            let units = bytes.div_ceil(BUDGET_UNIT).clamp(1, BUDGET as u64);
            let _permit = budget.acquire_many(units as u32).await.expect("the budget is never closed");
            one(&store, upload, bar).await.with_context(|| format!("{} was not put", upload.path.display()))
        }
    });
    futures::stream::iter(each).buffer_unordered(FILES_AT_ONCE).try_collect::<()>().await
}

async fn one(store: &AmazonS3, upload: &Upload, bar: &ProgressBar) -> Result<()> {
    let key = key(&upload.key)?;
    if upload.size <= SINGLE_MAX {
        let bytes = tokio::fs::read(&upload.path).await?;
        let size = bytes.len() as u64;
        store.put(&key, bytes.into()).await?;
        bar.inc(size);
        return Ok(());
    }
    let file = tokio::fs::File::open(&upload.path).await?;
    multipart(store, &key, file, Some(upload.size), bar).await?;
    Ok(())
}

/// Parts of a size with which 10,000 of them are enough.
fn part_size(total: u64) -> u64 {
    PART_MIN.max(total.div_ceil(9_000))
}

/// Sends a stream in parts; nothing remains of it in the bucket where it breaks. Answers its bytes.
async fn multipart(
    store: &AmazonS3,
    key: &Key,
    mut from: impl AsyncRead + Unpin,
    size: Option<u64>,
    bar: &ProgressBar,
) -> Result<u64> {
    // Of an unknown length: parts of 64 MiB reach 600 GB.
    let part = size.map_or(64 << 20, part_size) as usize;
    let mut writer = WriteMultipart::new_with_chunk_size(store.put_multipart(key).await?, part);
    let mut sent = 0;
    let sending = async {
        loop {
            let mut buffer = Vec::with_capacity(1 << 20);
            let read = (&mut from).take(1 << 20).read_to_end(&mut buffer).await?;
            if read == 0 {
                return Ok::<_, anyhow::Error>(());
            }
            writer.wait_for_capacity(PARTS_AT_ONCE).await?;
            writer.put(Bytes::from(buffer));
            sent += read as u64;
            bar.inc(read as u64);
        }
    };
    match sending.await {
        Ok(()) => {
            writer.finish().await?;
            Ok(sent)
        }
        Err(error) => {
            let _ = writer.abort().await;
            Err(error)
        }
    }
}

/// Puts bytes that are in memory already (the demo's data).
pub async fn put_bytes(client: &Client, bucket: &str, name: &str, bytes: Bytes) -> Result<()> {
    let store = client.bucket(bucket)?;
    store.put(&key(name)?, bytes.into()).await.with_context(|| format!("s3://{bucket}/{name} was not put"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(paths: &[&Path], target: &str) -> Result<Vec<String>, String> {
        let paths: Vec<String> = paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
        plan(&paths, target)
            .map(|uploads| uploads.into_iter().map(|upload| upload.key).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn keys_follow_from_files_and_target() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("in");
        std::fs::create_dir_all(folder.join("year=2024")).unwrap();
        let file = folder.join("a.csv");
        std::fs::write(&file, "x").unwrap();
        std::fs::write(folder.join("year=2024/b.csv"), "y").unwrap();
        std::os::unix::fs::symlink(&folder, folder.join("loop")).unwrap();

        assert_eq!(keys(&[&file], "").unwrap(), ["a.csv"]);
        assert_eq!(keys(&[&file], "t/").unwrap(), ["t/a.csv"]);
        assert_eq!(keys(&[&file], "t/z.csv").unwrap(), ["t/z.csv"]);
        assert_eq!(keys(&[&folder], "t").unwrap(), ["t/a.csv", "t/year=2024/b.csv"]);
        assert!(keys(&[&folder, &file], "t/").unwrap_err().contains("would both become t/a.csv"));
        assert!(keys(&[&folder.join("none")], "t/").unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn ten_thousand_parts_are_enough_for_any_object() {
        for size in [SINGLE_MAX + 1, 1 << 30, 5 << 40] {
            assert!(size.div_ceil(part_size(size)) <= 10_000, "{size}");
        }
        assert!(target_of("raw/x").is_err() && target_of("s3://A/x").is_err());
        assert_eq!(target_of("s3://raw").unwrap(), ("raw".to_owned(), String::new()));
    }
}
