//! Sessions of roles: the keys that open them, and what their callers may pass on.

use crate::caller::{Caller, CallerKind, KeyError, KeyOf, Keys, RootKey};
use crate::router::Context;
use http::StatusCode;
use millpond_services::lake::identity::{Acting, Caller as Domain, Identity, RoleError, SessionError};
use millpond_wire::WireError;

/// The root's key, and those of the sessions that the lake issued.
#[derive(Debug, Clone)]
pub struct LakeKeys {
    root: RootKey,
    identity: Identity,
}

impl LakeKeys {
    /// Over the root's key and what verifies sessions.
    #[must_use]
    pub fn new(root: RootKey, identity: Identity) -> Self {
        Self { root, identity }
    }
}

impl Keys for LakeKeys {
    fn secret(&self, access_key: &str, session_token: Option<&str>, now_ms: i64) -> Result<KeyOf, KeyError> {
        let Some(token) = session_token else { return self.root.secret(access_key, None, now_ms) };
        let verified = self.identity.verify(access_key, token, now_ms).map_err(|error| match error {
            SessionError::Invalid | SessionError::RoleGone => KeyError::InvalidToken,
            SessionError::Expired => KeyError::Expired,
        })?;
        let (place, session) = (self.identity.place(), verified.session);
        let kind = match &session.role {
            Some(role) => CallerKind::Role {
                role_arn: role.arn.clone(),
                session_name: session.name.clone(),
                user_id: session.user_id(place),
            },
            None => CallerKind::Root,
        };
        let caller = Caller {
            arn: session.arn(place),
            account: place.account.clone(),
            access_key: access_key.to_owned(),
            kind,
            acting: Some(Acting { identity: self.identity.clone(), session }),
        };
        Ok(KeyOf { secret: verified.secret_key, caller })
    }
}

/// Whether the context's caller may give `role` (an ARN, or a name as Glue takes one) to `service` (`glue.amazonaws.com`):
/// `iam:PassRole`. The root always may; of a role's session its policies decide, as they are now.
///
/// # Errors
/// AWS's `AccessDeniedException` where it may not.
pub async fn pass_role(context: &Context, role: &str, service: &str) -> Result<(), WireError> {
    let Some(Acting { identity, session }) = &context.principal.acting else { return Ok(()) };
    let (caller, source_ip) = (Domain::Session(session.clone()), context.source_ip.clone());
    let passed = identity.may_pass(caller, role.to_owned(), service.to_owned(), source_ip).await;
    passed.map_err(|error| match error {
        RoleError::Denied(message) => {
            // The JSON services answer 400, the REST ones 403.
            let status = if service.starts_with("lambda.") { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
            WireError::sender(status, "AccessDeniedException", message)
        }
        RoleError::NotFound(_) | RoleError::NotTrusted { .. } | RoleError::Store(_) => {
            tracing::error!(%error, "iam:PassRole could not be decided");
            WireError::internal(&context.request_id)
        }
    })
}
