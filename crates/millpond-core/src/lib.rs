//! What Millpond speaks about, without saying how any of it is stored, sent or computed.
//!
//! Nothing here knows tokio, HTTP or SQL. Every other crate may depend on this one, and this one on none of them.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod arn;
pub mod catalog;
pub mod env;
pub mod error;
pub mod event;
pub mod log;
pub mod machine;
pub mod partition_expr;
pub mod policy;
