//! Glue's operations on the wire: convert, call, convert back.

mod catalog;
mod classifiers;
mod convert;
mod crawlers;
mod error;
mod jobs;

use crate::router::Router;
use millpond_services::glue::Glue;

/// Registers what is implemented of Glue.
pub fn register(router: &mut Router, glue: &Glue) {
    catalog::register(router, glue);
    crawlers::register(router, glue);
    classifiers::register(router, glue);
    jobs::register(router, glue);
}
