//! Glue's operations on the wire: convert, call, convert back.

mod error;

use crate::router::Router;
use millpond_services::glue::Glue;

/// Registers what is implemented of Glue.
pub fn register(router: &mut Router, glue: &Glue) {
    let _ = router.service(glue.clone());
}
