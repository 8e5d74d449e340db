//! The PostgreSQL protocol over the engine: `psql`, BI tools and notebooks ask the lake without a driver of Athena's.
//!
//! A session's statement is one of three. It is about the session itself (`SET`, `BEGIN`, `FETCH`: [`commands`]); or about PostgreSQL's catalog
//! (`\d`: [`catalog`]); or it is the lake's, in Athena's dialect, and then it is an execution of Athena's with its workgroup, limits, and history,
//! whose rows go straight to the client ([`answer`]). Each statement commits by itself: there are no transactions over several.
//!
//! PostgreSQL documentation, "Frontend/Backend Protocol".
// pgwire's description of an error is large, and made where a message is refused.
#![allow(clippy::result_large_err, clippy::large_enum_variant)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod auth;
mod cancel;
mod catalog;
mod commands;
mod connection;
mod errors;
mod frontend;
mod keys;
mod listener;
mod parameters;
mod portal;
mod rows;
mod session;
mod settings;
mod startup;
mod text;
mod tls;

pub use keys::Keys;
pub use listener::Listener;
pub use tls::TlsError;

use cancel::Sessions;
use catalog::Catalog;
use millpond_engine::query::Engine;
use millpond_engine::table::TableSource;
use millpond_services::athena::Athena;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the listener is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Sessions at a time; one more is refused.
    pub connections_max: usize,
    /// A session in which nothing happens for so long is ended.
    pub idle: Duration,
    /// A certificate chain and its key, both PEM files: without them there is no TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// What all sessions share.
pub(crate) struct Server {
    athena: Athena,
    tables: Arc<dyn TableSource>,
    engine: Arc<Engine>,
    catalog: Catalog,
    keys: Keys,
    verifier: auth::Verifier,
    sessions: Arc<Sessions>,
    settings: Settings,
    tls: Option<tls::Acceptor>,
}
