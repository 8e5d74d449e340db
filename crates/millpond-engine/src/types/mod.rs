//! Types of both worlds that meet here: Hive's, in which the catalog describes tables ([`HiveType`]), and Trino's, which queries compute with and
//! results are described by ([`TrinoType`]). Arrow's types are what values have in memory.

mod hive;
pub mod trino;
mod trino_common;
mod trino_parse;

pub use hive::{DEPTH_MAX, HiveType, TypeError, arrow_schema, arrow_type, hive_type, merge, widen};
pub use trino::TrinoType;
