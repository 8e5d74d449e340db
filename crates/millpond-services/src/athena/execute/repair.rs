//! `MSCK REPAIR TABLE`.

use super::RunError;
use super::alter::{new_partition, partition_values};
use super::ddl::{LINES_MAX, failed, not_for_iceberg, refused, require};
use crate::athena::Athena;
use crate::athena::model::Execution;
use crate::lake::catalog;
use crate::lake::objects::{self, ListSpec};
use millpond_core::catalog::{Column, Table};
use millpond_core::error::ErrorKind;
use millpond_engine::iceberg::is_iceberg;
use millpond_engine::query::view;
use millpond_engine::sql::TableName;
use millpond_engine::sql::render::TextResult;
use percent_encoding::percent_decode_str;
use rusqlite::Connection;
use std::collections::HashSet;

/// Partitions that one transaction adds, so that others need not wait long.
const REPAIR_BATCH: usize = 1000;

/// Adds the partitions whose folders (`key=value/…` below the table's location) are there and which the catalog does not have.
pub(super) async fn run(athena: &Athena, execution: &Execution, name: &TableName) -> Result<TextResult, RunError> {
    let (database, name) = name.resolve(execution.database.as_deref())?;
    let (of, table_name) = (database.clone(), name.clone());
    let look = athena.lake.store.read(move |connection| {
        let table = require(connection, &of, &table_name)?;
        if view::is_view(&table) {
            return Err(refused(ErrorKind::Input, "", "Can not create a Path from an empty string"));
        }
        if is_iceberg(&table) {
            return Err(not_for_iceberg());
        }
        if table.partition_keys.is_empty() {
            return Ok((table, Vec::new(), false));
        }
        let found = folders(connection, &table)?;
        let known: HashSet<_> = partition_values(connection, &table, None)?.into_iter().collect();
        let nothing = found.is_empty() && known.is_empty();
        let missing: Vec<_> = found.into_iter().filter(|(values, _)| !known.contains(values)).collect();
        Ok::<_, RunError>((table, missing, nothing))
    });
    let (table, missing, nothing) = look.await?;
    if missing.is_empty() {
        let lines = if nothing { vec![format!("Tables missing on filesystem:\t{name}")] } else { Vec::new() };
        return Ok(TextResult { lines, ..TextResult::default() });
    }
    let spelled = |values: &[String]| {
        let pair = |(key, value): (&Column, &String)| format!("{}={value}", key.name);
        table.partition_keys.iter().zip(values).map(pair).collect::<Vec<_>>().join("/")
    };
    let all: Vec<_> = missing.iter().map(|(values, _)| format!("{name}:{}", spelled(values))).collect();
    let mut lines = vec![format!("Partitions not in metastore:\t{}", all.join("\t"))];
    lines.extend(all.iter().map(|partition| format!("Repair: Added partition to metastore {partition}")));
    for batch in missing.chunks(REPAIR_BATCH) {
        let new: Vec<_> =
            batch.iter().map(|(values, location)| new_partition(&table, values.clone(), location.clone())).collect();
        let (place, database, name) = (athena.lake.place.clone(), database.clone(), name.clone());
        let added = athena.lake.store.write(move |tx| {
            // One that came meanwhile is left as it is.
            catalog::create_partitions(tx, &place, &database, &name, &new).map(drop)
        });
        added.await.map_err(RunError::from)?;
    }
    lines.truncate(LINES_MAX);
    Ok(TextResult { lines, ..TextResult::default() })
}

/// The values and locations of the folders that are named as the table's keys want it, level by level.
fn folders(connection: &Connection, table: &Table) -> Result<Vec<(Vec<String>, String)>, RunError> {
    let location = table.storage.location.as_deref().unwrap_or_default();
    let Some((bucket_name, prefix)) = objects::split_uri(location) else {
        return Err(failed(ErrorKind::Input, format!("the table's location '{location}' is not in S3")));
    };
    let Some(bucket) = objects::bucket(connection, bucket_name)? else {
        return Err(failed(ErrorKind::Missing, format!("the bucket of the table's location {location} does not exist")));
    };
    let base = if prefix.is_empty() || prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") };
    let mut level = vec![(Vec::new(), base)];
    for key in &table.partition_keys {
        let mut next = Vec::new();
        for (values, prefix) in level {
            let mut after = String::new();
            loop {
                let spec = ListSpec { prefix: prefix.clone(), delimiter: "/".into(), after, limit: 1000 };
                let page = objects::list(connection, bucket.id, &spec)?;
                for folder in page.common_prefixes {
                    let name = folder[prefix.len()..].trim_end_matches('/');
                    let Some((found, value)) = name.split_once('=') else { continue };
                    if found.eq_ignore_ascii_case(&key.name) && !value.is_empty() {
                        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
                        let values: Vec<_> = values.iter().cloned().chain([value]).collect();
                        next.push((values, folder));
                    }
                }
                match page.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        level = next;
    }
    Ok(level.into_iter().map(|(values, prefix)| (values, format!("s3://{bucket_name}/{prefix}"))).collect())
}
