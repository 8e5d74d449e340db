//! The edge: the only crate that sees both AWS's wire types and Millpond's domain.
//!
//! It converts, authorises, calls, and converts back. [`router`] finds the handler of an operation; a module per service registers its own.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admin;
mod answer;
pub mod athena;
pub mod authorize;
mod barrier;
pub mod caller;
pub mod dynamodb;
pub mod events;
pub mod glue;
pub mod iam;
pub mod iceberg_rest;
pub mod lambda;
pub mod logs;
pub mod router;
pub mod s3;
pub mod server;
pub mod sessions;
pub mod sns;
pub mod sqs;
pub mod sts;

pub use sessions::pass_role;
