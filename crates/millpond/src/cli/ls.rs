//! `millpond ls`: what is in the lake.

use super::connect::Lake;
use super::table::Grid;
use super::{Global, out};
use crate::client::{self, Client};
use crate::config;
use anyhow::{Context, Result, bail};
use clap::Args;
use futures::TryStreamExt;
use millpond_wire::glue;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

const EXAMPLES: &str = "\
Examples:
  millpond ls                        buckets, databases and tables
  millpond ls s3://raw/flights/      objects and folders below
  millpond ls -r s3://raw            all objects of a bucket
  millpond ls processed              the tables of a database
  millpond ls processed.flights      the columns of a table";

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Ls {
    /// s3://bucket/folder/, a database, or database.table
    what: Option<String>,
    /// Objects of all folders below
    #[arg(long, short)]
    recursive: bool,
}

impl Ls {
    /// Lists.
    pub async fn run(self, global: &Global) -> Result<()> {
        let lake = Lake::connect(global).await?;
        let done = match self.what.as_deref() {
            None => overview(&lake.client).await,
            Some(what) if what.starts_with("s3://") => objects(&lake.client, what, self.recursive).await,
            Some(what) => match what.split_once('.') {
                Some((database, table)) => columns(&lake.client, database, table).await,
                None => tables(&lake.client, what).await,
            },
        };
        lake.close().await;
        done
    }
}

async fn overview(client: &Client) -> Result<()> {
    let buckets = client.buckets().await?;
    let databases = databases(client).await?;
    if buckets.is_empty() && databases.is_empty() {
        out::line("the lake is empty; `millpond flow add --help` shows how to bring files in");
        return Ok(());
    }
    for bucket in buckets {
        out::line(format!("s3://{bucket}/"));
    }
    for database in databases {
        let tables = all_tables(client, &database).await?;
        if tables.is_empty() {
            out::line(format!("{database} (no tables)"));
        }
        for table in tables {
            out::line(format!("{database}.{}", table.name));
        }
    }
    Ok(())
}

/// The names of all databases.
pub async fn databases(client: &Client) -> Result<Vec<String>> {
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let input = glue::GetDatabasesInput { next_token: token, ..Default::default() };
        let page = client.call(glue::GetDatabases, &input).await?;
        names.extend(page.database_list.into_iter().map(|database| database.name));
        token = page.next_token;
        if token.is_none() {
            return Ok(names);
        }
    }
}

/// All tables of a database.
pub async fn all_tables(client: &Client, database: &str) -> Result<Vec<glue::Table>> {
    let (mut tables, mut token) = (Vec::new(), None);
    loop {
        let input = glue::GetTablesInput { database_name: database.to_owned(), next_token: token, ..Default::default() };
        let page = client.call(glue::GetTables, &input).await?;
        tables.extend(page.table_list.unwrap_or_default());
        token = page.next_token;
        if token.is_none() {
            return Ok(tables);
        }
    }
}

async fn tables(client: &Client, database: &str) -> Result<()> {
    let tables = match all_tables(client, database).await {
        Ok(tables) => tables,
        Err(error) if client::code(&error) == Some("EntityNotFoundException") => {
            let known = databases(client).await?.join(", ");
            bail!("there is no database '{database}' (there are: {known}); for objects write s3://bucket/folder/");
        }
        Err(error) => return Err(error),
    };
    let mut grid = Grid::new(&["table", "format", "columns", "partitioned by", "location"], &[false, false, true]);
    for table in tables {
        let descriptor = table.storage_descriptor.clone().unwrap_or_default();
        let keys = table.partition_keys.unwrap_or_default();
        let format = table.parameters.unwrap_or_default().get("classification").cloned().unwrap_or_default();
        let columns = descriptor.columns.unwrap_or_default().len() + keys.len();
        let keys: Vec<String> = keys.into_iter().map(|key| key.name).collect();
        grid.row(&[table.name, format, columns.to_string(), keys.join(", "), descriptor.location.unwrap_or_default()]);
    }
    out::line(grid.render());
    Ok(())
}

/// The columns of a table with their types; partition keys last and marked.
pub async fn column_grid(client: &Client, database: &str, table: &str) -> Result<Grid> {
    let input = glue::GetTableInput { database_name: database.to_owned(), name: table.to_owned(), ..Default::default() };
    let found = client.call(glue::GetTable, &input).await?.table.context("the answer has no table")?;
    let mut grid = Grid::new(&["column", "type", ""], &[]);
    for column in found.storage_descriptor.and_then(|descriptor| descriptor.columns).unwrap_or_default() {
        grid.row(&[column.name, column.r#type.unwrap_or_default(), column.comment.unwrap_or_default()]);
    }
    for key in found.partition_keys.unwrap_or_default() {
        grid.row(&[key.name, key.r#type.unwrap_or_default(), "partition key".into()]);
    }
    Ok(grid)
}

async fn columns(client: &Client, database: &str, table: &str) -> Result<()> {
    out::line(column_grid(client, database, table).await?.render());
    Ok(())
}

async fn objects(client: &Client, what: &str, recursive: bool) -> Result<()> {
    let rest = what.strip_prefix("s3://").unwrap_or(what);
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    config::bucket_name(bucket).map_err(|message| anyhow::anyhow!(message))?;
    let store = client.bucket(bucket)?;
    let at = (!prefix.is_empty()).then(|| Path::from(prefix.trim_end_matches('/')));
    let unlisted = || format!("{what} cannot be listed");
    let (mut count, mut size) = (0, 0);
    let mut show = |object: &ObjectMeta| {
        count += 1;
        size += object.size;
        let time = out::time(object.last_modified.timestamp_millis());
        out::line(format!("{time}  {:>10}  {}", out::bytes(object.size), object.location));
    };
    if recursive {
        let mut found = store.list(at.as_ref());
        while let Some(object) = found.try_next().await.with_context(unlisted)? {
            show(&object);
        }
    } else {
        let found = store.list_with_delimiter(at.as_ref()).await.with_context(unlisted)?;
        for folder in found.common_prefixes {
            out::line(format!("{:19}  {:>10}  {folder}/", "", "folder"));
        }
        found.objects.iter().for_each(&mut show);
    }
    out::line(format!("{}, {}", out::things(count, "object"), out::bytes(size)));
    Ok(())
}
