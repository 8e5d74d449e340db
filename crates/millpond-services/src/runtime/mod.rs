//! What makes the lake move: workers that lease tasks and do them.

pub mod delivery;
pub mod dispatcher;
pub mod source;
mod workers;

pub use workers::{Failure, Handler, Workers};
