//! Apache Iceberg tables: their metadata, how they are read, and how they change.
//!
//! The crate `iceberg` encodes and decodes metadata files, manifest lists and manifests; nothing of it touches a file system or a network. Bytes
//! come from [`Objects`], the lake's objects as they are at one moment, and what is written are blobs that get their names when a change is
//! committed. So this module is pure but for data files, which the engine reads and writes like those of any other table.
//!
//! - [`metadata`], [`schema`], [`evolve`], [`create`]: a table's description.
//! - [`plan`], [`prune`]: which files a query reads. [`provider`], [`read`], [`deletes`]: how. [`inspect`]: the metadata as tables.
//! - [`write`]: rows to data files. [`change`], [`merge`], [`maintain`]: statements that replace files.
//! - [`commit`]: a change on top of a version of the table, as new metadata; whoever commits it sees that the version is still the table's.

mod barrier;
pub mod change;
pub mod commit;
pub mod create;
mod deletes;
pub mod evolve;
mod inspect;
pub mod maintain;
mod mapping;
pub mod merge;
pub mod metadata;
mod objects;
pub mod plan;
mod promote;
pub mod provider;
mod prune;
mod read;
pub mod rest;
pub mod schema;
mod stats;
pub mod write;

#[cfg(test)]
mod tests;

pub use iceberg::spec::TableMetadata;
pub use iceberg::{TableRequirement, TableUpdate};
pub use objects::{Look, Objects, look};

use crate::query::QueryError;
use millpond_core::catalog::Table;

/// The table parameter that says what kind of table it is.
pub const TABLE_TYPE: &str = "table_type";
/// The table parameter that names the current metadata file.
pub const METADATA_LOCATION: &str = "metadata_location";
/// The table parameter that names the metadata file before it.
pub const PREVIOUS_METADATA_LOCATION: &str = "previous_metadata_location";

/// Whether a table of the catalog is an Iceberg table.
pub fn is_iceberg(table: &Table) -> bool {
    table.parameters.get(TABLE_TYPE).is_some_and(|kind| kind.eq_ignore_ascii_case("iceberg"))
}

/// Where the table's current metadata lie.
///
/// # Errors
/// The catalog does not say.
pub fn metadata_location(table: &Table) -> Result<&str, QueryError> {
    table
        .parameters
        .get(METADATA_LOCATION)
        .map(String::as_str)
        .ok_or_else(|| invalid(format!("the table {}.{} has no parameter {METADATA_LOCATION}", table.database, table.name)))
}

fn named(name: &'static str, message: impl std::fmt::Display) -> QueryError {
    QueryError::Table { name, message: message.to_string() }
}

/// Metadata that cannot be used.
fn invalid(message: impl std::fmt::Display) -> QueryError {
    named("ICEBERG_INVALID_METADATA", message)
}

/// The name under which a change that lost against others fails.
pub const COMMIT_ERROR: &str = "ICEBERG_COMMIT_ERROR";

/// A change that lost against others.
pub fn conflict(table: &str) -> QueryError {
    named(COMMIT_ERROR, format!("Failed to commit Iceberg update to table: {table}"))
}
