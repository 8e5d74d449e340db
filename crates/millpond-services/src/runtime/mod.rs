//! What makes the lake move: workers that lease tasks and do them.

pub mod delivery;
pub mod dispatcher;
mod workers;

pub use workers::{Failure, Handler, Workers};
