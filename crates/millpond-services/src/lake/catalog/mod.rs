//! The rows of the data catalog, and the events that their changes cause.
//!
//! All that reads or changes databases, tables and partitions, be it Glue's API, a query's DDL, a crawl or a job's commit, does it through these
//! functions inside its own transaction: so names are folded and checked in one place, and no change is without its event. Functions that
//! read take a [`rusqlite::Connection`] (a [`millpond_store::Tx`] is one, too).
//!
//! - [`databases`], [`tables`]: small rows, each one JSON text.
//! - [`partitions`]: built for millions in one table. Rows are kept in the order of their typed values, so that a filter becomes a few ranges
//!   of one b-tree ([`filter`] says the rest in SQL), and share what their storage descriptors have in common.
//! - [`LakeTables`]: the catalog as the engine sees it, with the files of a table as one snapshot. Partitions are registered, or follow from the
//!   table's properties ([`projection`]).
//! - [`Sweeper`]: deletes what is left of dropped tables.

mod databases;
mod error;
mod events;
mod files;
mod filter;
mod locations;
mod partitions;
mod projection;
mod source;
mod sweep;
mod tables;

pub use databases::{create_database, database, databases, delete_database, ensure_database, update_database};
pub use error::CatalogError;
pub use files::FileRules;
pub use locations::{Claims, claims};
pub use partitions::{
    Page, PartitionPut, PartitionQuery, create_partition, create_partitions, delete_partitions, partition, partition_count,
    partitions, put_partitions, update_partition, update_partitions, visit_partitions,
};
pub use projection::projected_location;
pub use source::LakeTables;
pub use sweep::{SWEEP, Sweeper};
pub use tables::{
    Archive, TablePut, create_table, delete_table, delete_table_version, delete_tables, put_table, table, table_exists,
    table_names, table_version, table_versions, tables, update_table, visit_tables,
};

use millpond_store::Component;

/// The tables of this module.
pub const COMPONENT: Component =
    Component { name: "catalog", migrations: &[include_str!("schema.sql"), include_str!("default.sql")] };

/// The longest name in bytes (Glue API reference, `NameString`).
const NAME_MAX: usize = 255;

/// A name as the catalog keeps it: in lower case, as Glue folds it for Hive (Glue API reference, `DatabaseInput`, `TableInput`).
///
/// # Errors
/// [`CatalogError::Invalid`] where it is empty, too long, or has control characters.
pub fn fold_name(what: &str, name: &str) -> Result<String, CatalogError> {
    let folded = name.to_lowercase();
    if folded.trim().is_empty() {
        return Err(CatalogError::Invalid(format!("The {what}'s name is empty.")));
    }
    if folded.len() > NAME_MAX {
        let start: String = folded.chars().take(40).collect();
        return Err(CatalogError::Invalid(format!(
            "The {what}'s name '{start}…' has {} bytes; {NAME_MAX} are the limit.",
            folded.len()
        )));
    }
    if folded.chars().any(|c| c.is_control() && c != '\t') {
        return Err(CatalogError::Invalid(format!("The {what}'s name {folded:?} has control characters.")));
    }
    Ok(folded)
}

#[cfg(test)]
mod tests;
