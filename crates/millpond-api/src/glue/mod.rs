//! Glue's operations on the wire: convert, call, convert back.

mod catalog;
mod classifiers;
mod convert;
mod crawlers;
mod error;
mod jobs;
mod runs;
mod triggers;
mod workflows;

pub use runs::OwnRuns;

use crate::router::Router;
use millpond_services::glue::Glue;

/// The service that a crawler's and a job's role is given to.
const SERVICE: &str = "glue.amazonaws.com";

/// Registers what is implemented of Glue.
pub fn register(router: &mut Router, glue: &Glue) {
    catalog::register(router, glue);
    crawlers::register(router, glue);
    classifiers::register(router, glue);
    jobs::register(router, glue);
    triggers::register(router, glue);
    workflows::register(router, glue);
}
