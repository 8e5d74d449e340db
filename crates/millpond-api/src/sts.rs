//! STS's operations on the wire.

use crate::router::{Context, Router};
use millpond_services::sts::Sts;
use millpond_wire::WireError;
use millpond_wire::sts::*;

/// Registers the operations that are implemented.
pub fn register(router: &mut Router, sts: Sts) {
    router.service(sts).on(GetCallerIdentity, get_caller_identity);
}

async fn get_caller_identity(
    sts: Sts,
    context: Context,
    _: GetCallerIdentityInput,
) -> Result<GetCallerIdentityOutput, WireError> {
    let identity = sts.caller_identity(&context.account, &context.principal);
    Ok(GetCallerIdentityOutput { user_id: Some(identity.user_id), account: Some(identity.account), arn: Some(identity.arn) })
}
