//! The rows of the data catalog, and the events that their changes cause.

mod error;

pub use error::CatalogError;
