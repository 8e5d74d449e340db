//! `UNLOAD`: a query's rows as files below a location.

use super::files::{Names, is_empty, listing, place, put, refused, rows_column, write};
use super::{Context, Outcome, ResultFile, RunError, Update};
use millpond_core::error::ErrorKind;
use millpond_engine::output::{OutputFile, OutputProperties};
use millpond_engine::sql::Unload;
use millpond_engine::write::partition_path;
use millpond_store::Tx;
use rusqlite::Connection;

/// Writes the rows; the location must be empty, when the statement starts and when it commits.
pub(super) async fn run(cx: &Context<'_>, unload: &Unload) -> Result<Outcome, RunError> {
    let properties = OutputProperties::of_unload(&unload.properties)?;
    let location = match unload.location.strip_prefix("s3://") {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => format!("s3://{}/", rest.trim_end_matches('/')),
        _ => {
            let message = format!("'{}' is no location in S3: write s3://bucket/prefix/", unload.location);
            return Err(refused(ErrorKind::Input, "INVALID_ARGUMENTS", message));
        }
    };
    let at = location.clone();
    cx.athena.lake.store.read(move |connection| require_empty(connection, &at)).await?;
    let stream = cx.athena.engine.query(cx.limited(&unload.sql).await).await?;
    let target = properties.target(stream.schema(), false)?;
    let names: Vec<String> = target.keys.iter().map(|key| key.name.clone()).collect();
    let (written, statistics) = write(cx, stream, target).await?;
    let update = Update { kind: "UNLOAD", count: written.rows };
    let file_names = Names::new(cx, &properties.format, properties.compression);
    let at = location.clone();
    let named = cx.athena.lake.store.read(move |connection| {
        let (bucket, prefix) = place(connection, &at)?;
        let name = |file: &OutputFile| {
            let mut folder = format!("{prefix}{}", partition_path(&names, &file.file.partition_values));
            if !folder.is_empty() && !folder.ends_with('/') {
                folder.push('/');
            }
            file_names.name(&bucket, &folder, file)
        };
        let named = written.files.iter().map(name).collect::<Result<Vec<_>, RunError>>()?;
        Ok::<_, RunError>((file_names, named))
    });
    let (file_names, named) = named.await?;
    let columns = rows_column();
    let mut files = vec![ResultFile::metadata(cx, &columns, Some(update)).await?];
    // Clients of UNLOAD read it whether there are rows or not.
    files.push(listing(cx, &named).await?);
    let lake = cx.athena.lake.place.clone();
    let commit = move |tx: &Tx<'_>| {
        require_empty(tx, &location)?;
        put(tx, &lake, &file_names, &named)
    };
    Ok(Outcome { files, columns, update: Some(update), statistics, commit: Box::new(commit) })
}

fn require_empty(connection: &Connection, location: &str) -> Result<(), RunError> {
    if is_empty(connection, location)? {
        return Ok(());
    }
    let message = format!("Target directory for UNLOAD already exists: {location}");
    Err(refused(ErrorKind::Conflict, "HIVE_PATH_ALREADY_EXISTS", message))
}
