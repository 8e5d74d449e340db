//! What the services do: one folder per service, which reads like the operation list of that service.
//!
//! Service folders do not import each other. What they share lies in [`lake`] (the rows of objects and of the catalog) and in [`runtime`]
//! (workers and the dispatcher). No HTTP and no wire types here: `millpond-api` converts.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod athena;
pub mod dynamodb;
pub mod events;
pub mod glue;
pub mod iam;
pub mod lake;
pub mod lambda;
pub mod logs;
pub mod runtime;
pub mod s3;
pub mod sns;
pub mod sqs;
pub mod sts;
