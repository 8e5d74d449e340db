//! What goes wrong that is not the function's fault.

/// Why an invocation had no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The machine's bound: processes or memory.
    #[error("there is no room for another process of this function: {0}")]
    NoRoom(String),
    /// The machine does not have what the runtime needs.
    #[error(transparent)]
    RuntimeMissing(#[from] RuntimeMissing),
    /// What Python functions import could not be installed.
    #[error("{0}")]
    Packages(String),
    /// A process could not be started.
    #[error("the function's process could not be started: {0}")]
    Launch(String),
    /// `isolation = "require"`, and the kernel does not offer it.
    #[error("functions are to run isolated (`[functions] isolation = \"require\"`), and this machine does not offer it: {0}")]
    NotIsolated(String),
    /// The host was told to stop.
    #[error("the lake is stopping")]
    Stopped,
}

/// What the caller of a [`HostError`] can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostErrorKind {
    /// Try again later: a throttle.
    Throttle,
    /// Try again; nothing ran.
    Retry,
    /// The machine's owner has to act first.
    Setup,
}

impl HostError {
    /// What the caller can do.
    pub fn kind(&self) -> HostErrorKind {
        match self {
            Self::NoRoom(_) => HostErrorKind::Throttle,
            Self::Launch(_) | Self::Stopped => HostErrorKind::Retry,
            Self::RuntimeMissing(_) | Self::Packages(_) | Self::NotIsolated(_) => HostErrorKind::Setup,
        }
    }
}

/// A runtime that this machine cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the runtime {runtime} cannot run here: {reason}; {remedy}")]
pub struct RuntimeMissing {
    /// As it was asked for.
    pub runtime: String,
    /// What is missing.
    pub reason: String,
    /// What to install or to set.
    pub remedy: String,
}
