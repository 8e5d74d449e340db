//! What makes the lake move: workers that lease tasks and do them.

mod workers;

pub use workers::{Failure, Handler, Workers};
