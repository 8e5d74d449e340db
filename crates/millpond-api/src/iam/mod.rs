//! IAM's operations on the wire.
//!
//! Documents in answers are percent-encoded as RFC 3986 says, all but its unreserved characters: IAM API reference, "GetRole".

mod policies;
mod profiles;
mod roles;
mod simulate;

use crate::router::{Context, Router};
use millpond_services::iam::{Iam, IamError, Page, Tags, Window};
use millpond_wire::WireError;
use millpond_wire::iam::*;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Registers the operations that are implemented.
pub fn register(router: &mut Router, iam: Iam) {
    roles::register(router, &iam);
    policies::register(router, &iam);
    profiles::register(router, &iam);
    simulate::register(router, &iam);
    router.service(iam).on(GetUser, get_user).on(ListUsers, list_users).on(ListAccountAliases, list_account_aliases);
}

type Answer<T> = Result<T, WireError>;

fn refused(error: IamError) -> WireError {
    let message = error.to_string();
    let shape = match error {
        IamError::NoSuchEntity(_) => &error::NO_SUCH_ENTITY_EXCEPTION,
        IamError::AlreadyExists(_) => &error::ENTITY_ALREADY_EXISTS_EXCEPTION,
        IamError::DeleteConflict(_) => &error::DELETE_CONFLICT_EXCEPTION,
        IamError::LimitExceeded(_) => &error::LIMIT_EXCEEDED_EXCEPTION,
        IamError::MalformedPolicy(_) => &error::MALFORMED_POLICY_DOCUMENT_EXCEPTION,
        IamError::InvalidInput(_) => &error::INVALID_INPUT_EXCEPTION,
        IamError::Unmodifiable(_) => &error::UNMODIFIABLE_ENTITY_EXCEPTION,
        IamError::Validation(_) => {
            return WireError::sender(http::StatusCode::BAD_REQUEST, "ValidationError", message);
        }
        IamError::Denied(_) => return WireError::sender(http::StatusCode::FORBIDDEN, "AccessDenied", message),
        IamError::Store(cause) => {
            tracing::error!(error = %cause, "an IAM operation failed");
            return WireError::of(
                &error::SERVICE_FAILURE_EXCEPTION,
                "The lake could not do this now; its log says why. Try again.",
            );
        }
    };
    WireError::of(shape, message)
}

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A document as it stands in answers.
fn encoded(document: &str) -> String {
    utf8_percent_encode(document, RESERVED).to_string()
}

fn pairs(tags: Option<Vec<Tag>>) -> Tags {
    tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect()
}

fn wire_tags(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

fn window(marker: Option<String>, items_max: Option<i32>) -> Window {
    Window { marker, items_max: items_max.and_then(|most| usize::try_from(most).ok()) }
}

/// The items of a page, with what its answer says of the next one.
fn paged<T, U>(page: Page<T>, item: impl FnMut(T) -> U) -> (Vec<U>, Option<bool>, Option<String>) {
    (page.items.into_iter().map(item).collect(), Some(page.next.is_some()), page.next)
}

fn timestamp(ms: i64) -> millpond_wire::Timestamp {
    millpond_wire::Timestamp::from_ms(ms)
}

fn boundary(arn: Option<String>) -> Option<AttachedPermissionsBoundary> {
    arn.map(|arn| AttachedPermissionsBoundary {
        permissions_boundary_type: Some(PermissionsBoundaryAttachmentType::PermissionsBoundaryPolicy),
        permissions_boundary_arn: Some(arn),
    })
}

/// There are no users; the root asks for itself.
async fn get_user(_: Iam, context: Context, input: GetUserInput) -> Answer<GetUserOutput> {
    match input.user_name {
        Some(name) => Err(WireError::of(&error::NO_SUCH_ENTITY_EXCEPTION, format!("The user with name {name} cannot be found."))),
        None if context.principal.is_root() => {
            let user = User {
                path: "/".into(),
                user_name: "root".into(),
                user_id: context.account,
                arn: context.principal.arn,
                ..User::default()
            };
            Ok(GetUserOutput { user })
        }
        None => Err(WireError::sender(
            http::StatusCode::BAD_REQUEST,
            "ValidationError",
            "Must specify userName when calling with non-User credentials",
        )),
    }
}

async fn list_users(_: Iam, _: Context, _: ListUsersInput) -> Answer<ListUsersOutput> {
    Ok(ListUsersOutput { is_truncated: Some(false), ..ListUsersOutput::default() })
}

async fn list_account_aliases(_: Iam, _: Context, _: ListAccountAliasesInput) -> Answer<ListAccountAliasesOutput> {
    Ok(ListAccountAliasesOutput { is_truncated: Some(false), ..ListAccountAliasesOutput::default() })
}
