//! Iceberg tables of the lake.
//!
//! A table's row in the catalog names its current metadata file; everything else of the table follows from there, by names of objects. So a version of
//! the table is committed by one transaction that names the new objects and changes the row, and there is one way in for everybody who commits:
//! [`commit`].

mod objects;

pub use objects::Snapshot;
