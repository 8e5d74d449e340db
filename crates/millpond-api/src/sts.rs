//! STS's operations on the wire.

use crate::caller::Caller as WireCaller;
use crate::router::{Context, Router};
use http::StatusCode;
use millpond_services::lake::identity::{Caller, SessionKeys};
use millpond_services::sts::{AssumeRole as Asked, Sts, StsError};
use millpond_wire::sts::*;
use millpond_wire::{Timestamp, WireError};

/// Registers the operations that are implemented.
pub fn register(router: &mut Router, sts: Sts) {
    router
        .service(sts)
        .on(GetCallerIdentity, get_caller_identity)
        .on(AssumeRole, assume_role)
        .on(GetSessionToken, get_session_token)
        .on(GetAccessKeyInfo, get_access_key_info);
}

type Answer<T> = Result<T, WireError>;

fn refused(error: StsError) -> WireError {
    let message = error.to_string();
    match error {
        StsError::AccessDenied(_) => WireError::sender(StatusCode::FORBIDDEN, "AccessDenied", message),
        StsError::Validation(_) => WireError::sender(StatusCode::BAD_REQUEST, "ValidationError", message),
        StsError::MalformedPolicy(_) => WireError::of(&error::MALFORMED_POLICY_DOCUMENT_EXCEPTION, message),
        StsError::PackedPolicyTooLarge(_) => WireError::of(&error::PACKED_POLICY_TOO_LARGE_EXCEPTION, message),
        StsError::Store(cause) => {
            tracing::error!(error = %cause, "an STS operation failed");
            let message = "The lake could not do this now; its log says why. Try again.";
            let mut error = WireError::sender(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message);
            error.sender_fault = false;
            error
        }
    }
}

/// The caller as the domain knows it.
fn domain(caller: &WireCaller) -> Caller {
    match &caller.acting {
        Some(acting) => Caller::Session(acting.session.clone()),
        None => Caller::Root,
    }
}

fn credentials(keys: SessionKeys) -> Credentials {
    Credentials {
        access_key_id: keys.access_key,
        secret_access_key: keys.secret_key,
        session_token: keys.session_token,
        // The format has no fractions: the second in which it ends.
        expiration: Timestamp::from_ms(keys.session.expires_ms / 1000 * 1000),
    }
}

async fn get_caller_identity(sts: Sts, context: Context, _: GetCallerIdentityInput) -> Answer<GetCallerIdentityOutput> {
    let identity = sts.caller_identity(&domain(&context.principal));
    Ok(GetCallerIdentityOutput { user_id: Some(identity.user_id), account: Some(identity.account), arn: Some(identity.arn) })
}

async fn assume_role(sts: Sts, context: Context, input: AssumeRoleInput) -> Answer<AssumeRoleOutput> {
    let asked = Asked {
        role_arn: input.role_arn,
        session_name: input.role_session_name,
        seconds: input.duration_seconds.map(i64::from),
        policy: input.policy,
        policy_arns: input.policy_arns.unwrap_or_default().into_iter().filter_map(|policy| policy.arn).collect(),
        tags: input.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect(),
        transitive_tags: input.transitive_tag_keys.unwrap_or_default(),
        external_id: input.external_id,
        source_identity: input.source_identity,
        serial_number: input.serial_number,
        source_ip: Some(context.source_ip.clone()).filter(|ip| !ip.is_empty()),
    };
    let assumed = sts.assume_role(domain(&context.principal), asked, context.now_ms).await.map_err(refused)?;
    Ok(AssumeRoleOutput {
        assumed_role_user: Some(AssumedRoleUser { assumed_role_id: assumed.user_id, arn: assumed.arn }),
        packed_policy_size: assumed.packed_percent.map(|percent| percent as i32),
        source_identity: assumed.keys.session.source_identity.clone(),
        credentials: Some(credentials(assumed.keys)),
        ..AssumeRoleOutput::default()
    })
}

async fn get_session_token(sts: Sts, context: Context, input: GetSessionTokenInput) -> Answer<GetSessionTokenOutput> {
    if input.serial_number.is_some() {
        let message = "This lake has no MFA devices; leave SerialNumber and TokenCode out.";
        return Err(WireError::sender(StatusCode::FORBIDDEN, "AccessDenied", message));
    }
    let seconds = input.duration_seconds.map(i64::from);
    let keys = sts.session_token(&domain(&context.principal), seconds).map_err(refused)?;
    Ok(GetSessionTokenOutput { credentials: Some(credentials(keys)), ..GetSessionTokenOutput::default() })
}

async fn get_access_key_info(sts: Sts, context: Context, input: GetAccessKeyInfoInput) -> Answer<GetAccessKeyInfoOutput> {
    let account = sts.access_key_account(&context.principal.access_key, &input.access_key_id).map_err(refused)?;
    Ok(GetAccessKeyInfoOutput { account: Some(account) })
}
