//! Which places of the lake tables and partitions claim as theirs: for whoever deletes objects.

use super::{CatalogError, PartitionQuery, visit_partitions};
use crate::lake::objects::split_uri;
use rusqlite::Connection;

const TABLES: &str = "SELECT database, name, json_extract(body, '$.storage.location') FROM catalog_table
    WHERE json_extract(body, '$.storage.location') IS NOT NULL";

/// What partitions' locations are written against.
const BASES: &str = "SELECT database, name, json_extract(catalog_shape.body, '$.base')
    FROM catalog_shape JOIN catalog_table ON catalog_table.id = table_id
    WHERE json_extract(catalog_shape.body, '$.base') IS NOT NULL";

/// What the catalog has at and below a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Database and name of tables that lie at the very place.
    pub here: Vec<(String, String)>,
    /// Places below it where other tables and partitions lie: `bucket/key` without a slash at the end.
    below: Vec<String>,
}

/// `bucket/key` without a slash at the end, whatever the URI's scheme.
fn place_of(uri: &str) -> Option<String> {
    let (bucket, key) = split_uri(uri)?;
    Some(format!("{bucket}/{key}").trim_end_matches('/').to_owned())
}

/// Whether `place` is `above` or lies below it.
fn is_within(place: &str, above: &str) -> bool {
    place.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Claims {
    /// Whether an object (`s3://bucket/key`) lies where another table or partition does.
    pub fn covers(&self, uri: &str) -> bool {
        place_of(uri).is_some_and(|place| self.below.iter().any(|claimed| is_within(&place, claimed)))
    }

    fn add(&mut self, place: String, table: Option<(String, String)>, asked: &str) {
        match table {
            Some(table) if place == asked => self.here.push(table),
            // A partition at the place of a whole table is as good as a table there.
            _ if is_within(&place, asked) => self.below.push(place),
            _ => {}
        }
    }
}

/// What others than the table `but` claim at and below `uri`. Those that lie above it claim nothing of it: what is a table's own within another's
/// folder is its own.
///
/// # Errors
/// The store's.
pub fn claims(connection: &Connection, uri: &str, but: (&str, &str)) -> Result<Claims, CatalogError> {
    let Some(asked) = place_of(uri) else { return Ok(Claims::default()) };
    let mut claims = Claims::default();
    visit_locations(connection, TABLES, |database, name, location| {
        if (database, name) != but
            && let Some(place) = place_of(location)
        {
            claims.add(place, Some((database.to_owned(), name.to_owned())), &asked);
        }
    })?;
    // Partitions are written against a base, or stand for themselves.
    let mut spread = Vec::new();
    visit_locations(connection, BASES, |database, name, base| {
        let Some(place) = place_of(base).filter(|_| (database, name) != but) else { return };
        if place != asked && is_within(&place, &asked) {
            claims.add(place, None, &asked);
        } else if is_within(&asked, &place) {
            spread.push((database.to_owned(), name.to_owned()));
        }
    })?;
    spread.sort_unstable();
    spread.dedup();
    for (database, name) in spread {
        visit_partitions(connection, &database, &name, &PartitionQuery::default(), |_, partition| {
            if let Some(place) = partition.storage.location.as_deref().and_then(place_of) {
                claims.add(place, None, &asked);
            }
            Ok(true)
        })?;
    }
    let mut select = connection.prepare_cached(
        "SELECT substr(location, 2) FROM catalog_partition JOIN catalog_table ON catalog_table.id = table_id
        WHERE substr(location, 1, 1) = '!' AND NOT (database = ? AND name = ?)",
    )?;
    let mut rows = select.query([but.0, but.1])?;
    while let Some(row) = rows.next()? {
        let location = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        if let Some(place) = place_of(location) {
            claims.add(place, None, &asked);
        }
    }
    claims.below.sort_unstable();
    claims.below.dedup();
    Ok(claims)
}

/// Calls `each` with the database, the name and the location that `select` finds for tables.
fn visit_locations(
    connection: &Connection,
    select: &'static str,
    mut each: impl FnMut(&str, &str, &str),
) -> Result<(), CatalogError> {
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let text = |index: usize| row.get_ref(index)?.as_str().map_err(rusqlite::Error::from);
        each(text(0)?, text(1)?, text(2)?);
    }
    Ok(())
}
