//! Scripts of Glue jobs as processes: the environment that they run in (an engine installed by name), the sandbox, their output, their end.
//!
//! The order of things for a script: [`Scripts::environment`] (Python with an engine, installed at its first use) → [`Scripts::modules`] (what the job
//! wants besides) → [`Scripts::desk`] (a directory, into which the service puts the script) → [`Scripts::start`] → [`Running::end`]. Knows nothing of
//! how jobs and runs are kept.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

mod bundle;
mod environments;
mod error;
mod installer;
mod modules;
mod output;
mod pip;
mod script;

pub use environments::{Engine, Environment, LibrarySet};
pub use error::ScriptError;
pub use millpond_functions::Desk;
pub use modules::InstallerOptions;
pub use output::Stream;
pub use script::{Ended, How, Running, Script, ScriptSettings, Scripts};

/// Told how an installation goes, a line at a time.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);
