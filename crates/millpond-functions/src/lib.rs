//! Functions as processes that speak the Lambda Runtime API.
//!
//! A [`Host`] keeps the processes of all functions of a lake: it starts them in a sandbox, gives each one invocation at a time, takes their output
//! to a log, bounds their time, memory and number, and ends those that idle. It knows nothing of how functions are kept or who may call them.
//!
//! The order of things for a process: `sandbox` (a launcher process shuts itself in and becomes the runtime) → `api` (the runtime asks its own
//! listener on the loopback for work) → `process` (one invocation after the other) → `host` (which process takes which invocation).
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod cgroups;
mod error;
mod files;
mod hearing;
mod host;
mod isolation;
mod layers;
mod layout;
mod life;
mod memory;
mod network;
mod output;
mod packages;
mod peer;
mod platform;
mod pool;
mod process;
mod programs;
mod runtimes;
pub mod sandbox;
mod spec;

pub use error::{HostError, HostErrorKind, RuntimeMissing};
pub use files::{Space, copy_plain_tree, open_to_all, remove_tree, space};
pub use host::Host;
pub use isolation::inspect;
pub use life::End;
pub use network::{LakeDoor, ProgramNetwork, Visitor};
pub use programs::{Desk, Program, Programs, Running};
pub use runtimes::Python;
pub use sandbox::{Isolation, Landlock, Namespaces, Users};
pub use spec::{
    HostSettings, Invocation, IsolationWanted, LogFormat, LogLevel, LogSettings, Outcome, Report, SessionCredentials, Spec, Usage,
};

/// The hidden command of the program that is a function's launcher; see [`HostSettings::this_program`].
pub const LAUNCHER_ARGUMENT: &str = "__function";
