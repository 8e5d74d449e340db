//! Scripts of Glue jobs as processes: the environment that they run in (an engine installed by name), the sandbox, their output, their end.
//!
//! Knows nothing of how jobs and runs are kept.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]
