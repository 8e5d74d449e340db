//! Where a running lake says how to reach it: `endpoint.json` in its directory.
//!
//! The file is a hint, and the lock on the database is the truth: a lake that was killed leaves the file behind. Whoever finds it asks the
//! server at that address who it is before believing it.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

const FILE: &str = "endpoint.json";

/// How to reach a running lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// For example `http://127.0.0.1:4566`.
    pub url: String,
    /// Of the serving process.
    pub pid: u32,
    /// Where it says it is.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// Of the program.
    pub version: String,
    /// Where SQL clients connect by PostgreSQL's protocol: `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
}

impl Endpoint {
    /// What the lake in `directory` said last.
    pub fn read(directory: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(directory.join(FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Says it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("plain data is JSON") + "\n";
        let path = directory.join(FILE);
        crate::credentials::write_private(&path, text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Takes it back, where it is still this one.
    pub fn remove(&self, directory: &Path) {
        if Self::read(directory).as_ref() == Some(self) {
            let _ = std::fs::remove_file(directory.join(FILE));
        }
    }
}
