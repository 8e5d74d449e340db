//! Athena's operations on the wire: convert, call, convert back.

mod catalogs;
mod executions;
mod named;
mod prepared;
mod results;
mod tags;
mod workgroups;

use crate::router::Router;
use millpond_services::athena::{Athena, AthenaError, ENGINE_VERSION};
use millpond_wire::WireError;
use millpond_wire::athena::{EngineVersion, error};
use serde_json::Value;

/// Registers what is implemented of Athena.
pub fn register(router: &mut Router, athena: Athena) {
    executions::register(router, &athena);
    results::register(router, &athena);
    workgroups::register(router, &athena);
    catalogs::register(router, &athena);
    named::register(router, &athena);
    prepared::register(router, &athena);
    tags::register(router, &athena);
}

type Answer<T> = Result<T, WireError>;

fn refused(error: AthenaError) -> WireError {
    let message = error.to_string();
    match error {
        // Both members carry the code, as measured.
        AthenaError::InvalidRequest { code, .. } => {
            WireError::of(&error::INVALID_REQUEST_EXCEPTION, message).with("AthenaErrorCode", code).with("ErrorCode", code)
        }
        AthenaError::TooManyRequests => {
            WireError::of(&error::TOO_MANY_REQUESTS_EXCEPTION, message).with("Reason", "CONCURRENT_QUERY_LIMIT_EXCEEDED")
        }
        AthenaError::Metadata(_) => WireError::of(&error::METADATA_EXCEPTION, message),
        AthenaError::NotFound { resource, .. } => {
            WireError::of(&error::RESOURCE_NOT_FOUND_EXCEPTION, message).with("ResourceName", resource)
        }
        AthenaError::Store(cause) => {
            tracing::error!(error = %cause, "an Athena operation failed");
            WireError::of(&error::INTERNAL_SERVER_EXCEPTION, "The lake could not do this now; its log says why. Try again.")
        }
    }
}

/// A setting that is only kept, in the form of the wire.
fn kept<T: serde::Serialize>(setting: &T) -> Option<Value> {
    serde_json::to_value(setting).ok()
}

fn shown<T: serde::de::DeserializeOwned>(setting: Option<Value>) -> Option<T> {
    setting.and_then(|setting| serde_json::from_value(setting).ok())
}

fn engine_version(selected: &str) -> EngineVersion {
    EngineVersion {
        selected_engine_version: Some(selected.to_owned()),
        effective_engine_version: Some(ENGINE_VERSION.to_owned()),
    }
}
