//! The one place where it is decided whether a caller may do what it asks.
//!
//! Every operation names its IAM action and the resources that it touches as data (`services.toml`); the [`crate::router::Router`] and S3's
//! access hook bring both here before the handler runs, and nothing can be registered that does not come by.

use crate::router::Context;
use http::StatusCode;
use millpond_wire::WireError;

/// Decides about requests.
pub trait Authorizer: Send + Sync {
    /// Whether the context's caller may do `action` (`glue:GetTable`) to `resource` (an ARN, or `*`). Asked once for each resource that a
    /// request names.
    ///
    /// # Errors
    /// The service's answer where it may not.
    fn authorize(&self, context: &Context, action: &'static str, resource: &str) -> Result<(), WireError>;
}

/// The action of Millpond's own operations, below `/_millpond/`: they show all mail and change flows.
pub const OWN_ACTION: &str = "millpond:Administer";

/// The action of the run API, below `/_glue/run/`: allowed to the session of a job run, for that run, whatever its role's policies say.
pub const RUN_ACTION: &str = "millpond:OwnJobRun";

/// Lets every authenticated principal of the account do everything but [`OWN_ACTION`], which is the root's alone: the policies of roles are kept, simulated and asked for `iam:PassRole`,
/// and not enforced for calls yet. Sessions end at their time, which [`crate::caller::Keys`] sees to.
#[derive(Debug, Clone, Copy, Default)]
pub struct WholeAccount;

impl Authorizer for WholeAccount {
    fn authorize(&self, context: &Context, action: &'static str, _: &str) -> Result<(), WireError> {
        if context.principal.account != context.account {
            return Err(denied(context, action, &format!("this lake is of the account {}", context.account)));
        }
        match action == OWN_ACTION && !context.principal.is_root() {
            true => Err(denied(context, action, "use the lake's root key")),
            false => Ok(()),
        }
    }
}

fn denied(context: &Context, action: &str, why: &str) -> WireError {
    let message = format!("User: {} is not authorized to perform: {action}: {why}", context.principal.arn);
    WireError::sender(StatusCode::FORBIDDEN, "AccessDeniedException", message)
}
