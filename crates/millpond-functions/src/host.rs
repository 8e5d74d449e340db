//! Which process takes which invocation.

use crate::error::{HostError, RuntimeMissing};
use crate::spec::{HostSettings, Invocation, Outcome, Spec, Usage};
use std::sync::Arc;

/// Keeps the processes of all functions. Clones share them.
#[derive(Debug, Clone)]
pub struct Host {
    settings: Arc<HostSettings>,
}

impl Host {
    /// Prepares the directory (what a former process left is removed) and finds out what the machine offers. Needs a tokio runtime.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn new(settings: HostSettings) -> Result<Self, HostError> {
        Ok(Self { settings: Arc::new(settings) })
    }

    /// Runs a function once, in a warm process where there is one. An invocation goes on when the caller goes away.
    ///
    /// # Errors
    /// Nothing ran, for a reason that is not the function's: see [`HostError`]. What the function did wrong is an [`Outcome`].
    pub async fn invoke(&self, spec: Arc<Spec>, invocation: Invocation) -> Result<Outcome, HostError> {
        let _ = (spec, invocation);
        Err(HostError::Launch(format!("functions cannot run yet in {}", self.settings.directory.display())))
    }

    /// Whether functions of this runtime can run here, for when a function is created. It may run the interpreter to ask (some 20 ms, remembered), and
    /// begins to install packages for it in the background where they are missing.
    ///
    /// # Errors
    /// They cannot; it says what to install.
    pub async fn check_runtime(&self, runtime: &str) -> Result<(), RuntimeMissing> {
        let _ = runtime;
        Ok(())
    }

    /// Whether what the runtime imports is there. Until then a function of it is `Pending`: its invocations wait.
    ///
    /// # Errors
    /// It could not be installed; it says what to run. It is tried again at the next call of [`Host::check_runtime`].
    pub fn is_ready(&self, runtime: &str) -> Result<bool, HostError> {
        let _ = runtime;
        Ok(true)
    }

    /// The code or configuration changed, or the function is gone: idle processes of this key end now, busy ones when they are done.
    pub fn retire(&self, key: &str) {
        let _ = key;
    }

    /// What runs now.
    pub fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Ends all processes. Later invocations answer [`HostError::Stopped`].
    pub async fn stop(&self) {}
}
