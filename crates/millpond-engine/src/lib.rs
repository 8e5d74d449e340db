//! Everything columnar: schema inference, formats, SQL and table writes.
//!
//! The only crate that sees DataFusion and Parquet. It reads and writes bytes through one `object_store::ObjectStore` of opaque, immutable
//! blobs, and asks the catalog through [`table::TableSource`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod convert;
pub mod decode;
pub mod format;
pub mod iceberg;
pub mod infer;
mod names;
pub mod output;
pub mod query;
pub mod result;
pub mod rows;
pub mod scan;
pub mod sql;
pub mod sql_transform;
pub mod table;
#[cfg(test)]
mod testing;
pub mod types;
pub mod write;
