//! `SearchTables`: tables of all databases by text and properties.

use super::crawler::page::Page;
use super::tables::{PAGE_BYTES, weight};
use super::{Glue, GlueError};
use crate::lake::catalog;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, NaiveDate};
use millpond_core::catalog::{Column, Table};
use rusqlite::Connection;
use std::cmp::Ordering;

/// How a property is compared; only times know others than equality (Glue API reference, `SearchTables`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparator {
    /// `=`
    Equals,
    /// `>`
    GreaterThan,
    /// `<`
    LessThan,
    /// `>=`
    GreaterThanEquals,
    /// `<=`
    LessThanEquals,
}

/// One condition on a property.
#[derive(Debug, Clone)]
pub struct PropertyFilter {
    /// The property: `Name`, `DatabaseName`, `Description`, `Owner`, `TableType`, `CreateTime`, `UpdateTime`, …, or one of the table's own.
    pub key: String,
    /// Compared with it.
    pub value: String,
    /// How.
    pub comparator: Comparator,
}

/// What to search.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Words that must all occur; in double quotes: a whole value.
    pub text: Option<String>,
    /// That must all hold.
    pub filters: Vec<PropertyFilter>,
    /// Properties with whether they descend, the most important first.
    pub sort: Vec<(String, bool)>,
    /// Of the page before.
    pub token: Option<String>,
    /// Tables at the most.
    pub limit: usize,
}

/// What the order of the answers goes by, with the names at the end so that it is total.
type Place = Vec<String>;

impl Glue {
    /// `SearchTables`.
    pub async fn search_tables(&self, search: Search) -> Result<Page<Table>, GlueError> {
        let after: Option<Place> = search.token.as_deref().filter(|token| !token.is_empty()).map(read_token).transpose()?;
        for filter in &search.filters {
            check(filter)?;
        }
        self.lake.store.read(move |connection| find(connection, &search, after.as_ref())).await
    }
}

fn read_token(token: &str) -> Result<Place, GlueError> {
    let read = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    read.ok_or_else(|| GlueError::InvalidInput("NextToken is not valid: take it from the answer before, or leave it out.".into()))
}

fn find(connection: &Connection, search: &Search, after: Option<&Place>) -> Result<Page<Table>, GlueError> {
    let by: Vec<bool> = search.sort.iter().map(|(_, descends)| *descends).chain([false, false]).collect();
    let order = |a: &Place, b: &Place| {
        let differs = a.iter().zip(b).zip(&by).map(|((a, b), descends)| if *descends { b.cmp(a) } else { a.cmp(b) });
        differs.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
    };
    let mut places: Vec<Place> = Vec::new();
    for database in catalog::databases(connection, "", usize::MAX)? {
        catalog::visit_tables(connection, &database.name, "", |table| {
            let wanted = search.text.as_deref().is_none_or(|text| has_text(&table, text))
                && search.filters.iter().all(|f| holds(&table, f));
            if wanted {
                let mut place: Place =
                    search.sort.iter().map(|(field, _)| values(&table, field).into_iter().next().unwrap_or_default()).collect();
                place.extend([table.database, table.name]);
                if after.is_none_or(|after| order(&place, after) == Ordering::Greater) {
                    places.push(place);
                }
            }
            Ok(true)
        })?;
    }
    places.sort_by(&order);
    let (mut items, mut bytes, mut next) = (Vec::new(), 0, None);
    for (at, place) in places.iter().enumerate() {
        if items.len() >= search.limit || bytes > PAGE_BYTES {
            let last = at.checked_sub(1).and_then(|last| places.get(last));
            next = last.map(|last| URL_SAFE_NO_PAD.encode(serde_json::to_vec(last).unwrap_or_default()));
            break;
        }
        let [.., database, name] = &place[..] else { continue };
        if let Some(table) = catalog::table(connection, database, name)? {
            bytes += weight(&table);
            items.push(table);
        }
    }
    Ok(Page { items, next })
}

fn is_time(key: &str) -> bool {
    ["createtime", "updatetime", "lastaccesstime"].contains(&key.to_ascii_lowercase().as_str())
}

fn check(filter: &PropertyFilter) -> Result<(), GlueError> {
    if is_time(&filter.key) {
        let what = format!(
            "The filter on {} compares with '{}', which is not a time: write seconds since 1970 or ISO 8601.",
            filter.key, filter.value
        );
        return time_ms(&filter.value).map(|_| ()).ok_or(GlueError::InvalidInput(what));
    }
    match filter.comparator {
        Comparator::Equals => Ok(()),
        _ => Err(GlueError::InvalidInput(format!(
            "The filter on {}: only times are compared by order; leave the Comparator out.",
            filter.key
        ))),
    }
}

fn time_ms(text: &str) -> Option<i64> {
    let number =
        text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| if n.abs() < 1e11 { (n * 1_000.0) as i64 } else { n as i64 });
    let time = || DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis());
    let day =
        || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0).map(|time| time.and_utc().timestamp_millis());
    number.or_else(time).or_else(day)
}

/// The values of a property; times as fixed-width text, so that they sort.
fn values(table: &Table, key: &str) -> Vec<String> {
    let one = |value: &Option<String>| value.clone().into_iter().collect();
    let time = |ms: i64| vec![format!("{:020}", ms.max(0))];
    match key.to_ascii_lowercase().as_str() {
        "name" | "tablename" => vec![table.name.clone()],
        "databasename" | "database" => vec![table.database.clone()],
        "description" => one(&table.description),
        "owner" => one(&table.owner),
        "tabletype" => one(&table.table_type),
        "location" => one(&table.storage.location),
        "classification" => table.parameters.get("classification").cloned().into_iter().collect(),
        "createtime" => time(table.created_ms),
        "updatetime" => time(table.updated_ms),
        "columnname" | "column" => columns(table).map(|column| column.name.clone()).collect(),
        _ => table.parameters.iter().filter(|(own, _)| own.eq_ignore_ascii_case(key)).map(|(_, value)| value.clone()).collect(),
    }
}

fn columns(table: &Table) -> impl Iterator<Item = &Column> {
    table.storage.columns.iter().chain(&table.partition_keys)
}

fn holds(table: &Table, filter: &PropertyFilter) -> bool {
    let own = values(table, &filter.key);
    if is_time(&filter.key) {
        let (Some(own), Some(value)) = (own.first().and_then(|text| text.parse::<i64>().ok()), time_ms(&filter.value)) else {
            return false;
        };
        return match filter.comparator {
            Comparator::Equals => own == value,
            Comparator::GreaterThan => own > value,
            Comparator::LessThan => own < value,
            Comparator::GreaterThanEquals => own >= value,
            Comparator::LessThanEquals => own <= value,
        };
    }
    let wanted = filter.value.to_lowercase();
    own.iter().any(|own| {
        let own = own.to_lowercase();
        // `link` finds `customer-link`, not `xxlinkyy` (Glue API reference, `SearchTables`). An underscore separates nothing there.
        own == wanted || own.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|token| token == wanted)
    })
}

fn has_text(table: &Table, text: &str) -> bool {
    let mut fields: Vec<String> = [Some(&table.name), Some(&table.database), table.description.as_ref(), table.owner.as_ref()]
        .into_iter()
        .flatten()
        .chain(columns(table).flat_map(|column| std::iter::once(&column.name).chain(&column.comment)))
        .chain(table.parameters.iter().flat_map(|(key, value)| [key, value]))
        .map(|field| field.to_lowercase())
        .collect();
    fields.extend(table.storage.location.as_ref().map(|location| location.to_lowercase()));
    let text = text.trim().to_lowercase();
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(exact) => fields.iter().any(|field| field == exact),
        None => text.split_whitespace().all(|word| fields.iter().any(|field| field.contains(word))),
    }
}
