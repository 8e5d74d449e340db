/// Why a script could not be run. What the script itself did wrong is an [`crate::Ended`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The machine lacks something, or an installation failed; it says what to do.
    #[error("{0}")]
    Setup(String),
    /// What the job asks for cannot be had: a module that does not exist, an option that is not taken.
    #[error("{0}")]
    Input(String),
    /// It could not be started; another try may help.
    #[error("the script's process could not be started: {0}")]
    Launch(String),
}

impl From<millpond_functions::HostError> for ScriptError {
    fn from(error: millpond_functions::HostError) -> Self {
        use millpond_functions::HostErrorKind;
        match error.kind() {
            HostErrorKind::Setup => Self::Setup(error.to_string().replace("functions", "scripts of jobs")),
            HostErrorKind::Retry | HostErrorKind::Throttle => Self::Launch(error.to_string()),
        }
    }
}
