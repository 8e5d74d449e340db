//! Queries in Athena's dialect on DataFusion: parse, resolve against the catalog, rewrite Trino's meanings, plan, run.
//!
//! The way of a query: [`parse`] gives a tree with lower-case names; [`rewrite`] turns Trino's functions and output names into what the planner
//! knows; [`plan`] asks the catalog for every table that is named, and plans; [`semantics`] corrects casts to Trino's meaning; [`stream`] runs it
//! on the engine's own threads. Nothing but tables of the catalog can be read: no table functions, no files by name, no DDL.

mod adaptive_filter;
mod bounds;
mod build_once;
mod calls;
mod catalog;
mod correlated;
pub mod engine;
pub mod error;
mod exact;
pub mod explain;
pub mod format;
mod functions;
mod information_schema;
mod lambda_places;
mod lateral;
mod memory;
mod meter;
mod null_joins;
pub(crate) mod operators;
mod parameters;
mod parse;
pub(crate) mod plan;
mod repeatable;
mod reword;
mod rewrite;
pub(crate) mod rule;
mod schema;
mod semantics;
mod semi_names;
mod session;
mod shared;
mod sites;
pub mod stages;
pub mod stream;
mod template;
pub(crate) mod through;
pub mod transform;
mod travel;
pub mod view;
mod wide;
mod width;
mod words;

pub(crate) use datafusion::sql::sqlparser::tokenizer::Token as SqlToken;
pub use engine::{Engine, EngineConfig, QueryLimits, QueryRequest};
pub(crate) use error::find_own;
pub use error::{Position, QueryError};
pub use explain::{ExplainFormat, ExplainType, Explanation};
pub(crate) use functions::listed::show_functions;
pub(crate) use meter::MeteredStore;
pub use parameters::check_count;
pub(crate) use parameters::{Piece, check_constant, trino_pieces};
pub(crate) use parse::{AthenaDialect, syntax_error};
pub use repeatable::is_repeatable;
pub use stages::{Stage, StageNode};
pub use stream::{QueryStatistics, QueryStream};
pub(crate) use wide::BatchLimit;

/// Checks a query's syntax only.
///
/// # Errors
/// [`QueryError::Syntax`] with the place.
pub fn check_syntax(sql: &str) -> Result<(), QueryError> {
    parse::parse_query(sql).map(|_| ())
}

#[cfg(test)]
pub(crate) mod tests;
