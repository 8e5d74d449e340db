//! All SQL of SQS. Each function is one statement, prepared once a connection.

mod fifo;
mod messages;
mod moves;
mod queues;

pub(super) use fifo::*;
pub(super) use messages::*;
pub(super) use moves::*;
pub(super) use queues::*;
