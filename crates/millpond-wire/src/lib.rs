//! AWS's wire protocols and types. Knows AWS, not Millpond.
//!
//! A request's way through this crate:
//!
//! 1. [`target::find`] reads which operation of which service is meant;
//! 2. [`sigv4::verify`] checks who sent it, and that nobody changed it;
//! 3. [`read`] turns the request into the operation's input type, after the checks that the service's
//!    model asks for;
//! 4. [`write`] or [`WireError::respond`] turn the handler's answer into a response.
//!
//! [`client`] goes the other way with the same types, for Millpond's own command line.
//!
//! **Where the types come from.** `models/` holds AWS's published models without their prose,
//! `services.toml` names the operations that get types, and `cargo xtask generate` writes
//! `generated/`: for each shape one plain Rust type ([`shapes`]) and one static table with its
//! constraints ([`schema`]). All protocols share these two: bytes ⇄ `serde_json::Value` ⇄ type, where the
//! table guides the first step and a field list the second. No serde derive is involved, since
//! several hundred derived implementations would take most of the crate's compile time.
//!
//! **Enumerations** are Rust enums: handlers can match them exhaustively, and no allowed value is ever
//! typed by hand. [`decode`] has refused all other values before a handler sees them.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
mod agreement;
pub mod client;
pub mod coverage;
mod error;
mod generated;
mod protocol;
mod query;
pub mod resource;
mod rest;
pub mod schema;
mod service;
pub mod shapes;
pub mod sigv4;

pub mod target;
mod validate;
mod xml;

pub use error::{ErrorShape, WireError};
pub use generated::{SERVICES, athena, dynamodb, events, glue, iam, lambda, logs, s3, sns, sqs, sts};
pub use protocol::{Decoded, Request, decode, encode, read, write};
pub use service::{Operation, Protocol, QueryForm, Route, Service, Spoken, Validation};
pub use shapes::{Blob, Document, Timestamp};
