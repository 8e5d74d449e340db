//! The `millpond` binary as a library: command line, configuration, wiring, flows.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
pub mod cli;
mod client;
mod config;
mod credentials;
mod endpoint;
mod flow;
mod functions;
mod scripts;
