//! What makes the lake move: workers that lease tasks and do them.

pub mod delivery;
pub mod dispatcher;
pub mod source;
pub mod text;
mod workers;

pub use workers::{Failure, Handler, Workers, at_once};
