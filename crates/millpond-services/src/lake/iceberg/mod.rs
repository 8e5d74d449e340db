//! Iceberg tables of the lake.
//!
//! A table's row in the catalog names its current metadata file; everything else of the table follows from there, by names of objects. So a version of
//! the table is committed by one transaction that names the new objects and changes the row, and there is one way in for everybody who commits:
//! [`commit`] (with [`create`] and [`drop_table`] at the table's two ends).
//!
//! A commit never overwrites another's: where the row names another metadata file than the one that a version was made on top of, the version is made
//! anew in the transaction, on top of that one. The engine says whether that is still right, and `ICEBERG_COMMIT_ERROR` where it is not.

mod cleaning;
mod commit;
mod location;
mod objects;

pub use cleaning::{Cleaning, cleaning, drop_table, vacuum};
pub use commit::{Commit, Ground, Pending, commit, create, is_conflict, pending};
pub use location::free as free_location;
pub use objects::Snapshot;
