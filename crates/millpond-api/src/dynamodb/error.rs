//! DynamoDB's errors as AWS names them.

use http::StatusCode;
use millpond_services::dynamodb::{CancellationReason, DynamoError};
use millpond_wire::WireError;
use millpond_wire::dynamodb::error as shape;
use serde_json::{Map, Value};

/// AWS's code of what no shape of the model names.
const VALIDATION: &str = "ValidationException";

/// Likewise, of values of the wrong JSON.
const SERIALIZATION: &str = "SerializationException";

/// The one place where an error of the service becomes AWS's. Internal detail goes to the log, not to the caller.
pub(super) fn refused(error: DynamoError) -> WireError {
    let text = error.to_string();
    let shape = match error {
        DynamoError::Validation(_) => return WireError::sender(StatusCode::BAD_REQUEST, VALIDATION, text),
        DynamoError::Serialization(_) => return WireError::sender(StatusCode::BAD_REQUEST, SERIALIZATION, text),
        DynamoError::ConditionFailed(item) => {
            let refusal = WireError::of(&shape::CONDITIONAL_CHECK_FAILED_EXCEPTION, text);
            return match item {
                Some(item) => refusal.with("Item", item.into_iter().collect::<Map<_, _>>()),
                None => refusal,
            };
        }
        DynamoError::Cancelled(reasons) => {
            let reasons: Vec<Value> = reasons.into_iter().map(reason).collect();
            return WireError::of(&shape::TRANSACTION_CANCELED_EXCEPTION, text).with("CancellationReasons", reasons);
        }
        DynamoError::NotFound | DynamoError::NoSuchTable(_) | DynamoError::NoSuchResource(_) => {
            &shape::RESOURCE_NOT_FOUND_EXCEPTION
        }
        DynamoError::InUse(_) => &shape::RESOURCE_IN_USE_EXCEPTION,
        DynamoError::Busy => &shape::PROVISIONED_THROUGHPUT_EXCEEDED_EXCEPTION,
        DynamoError::Limit(_) => &shape::LIMIT_EXCEEDED_EXCEPTION,
        DynamoError::TokenMismatch => &shape::IDEMPOTENT_PARAMETER_MISMATCH_EXCEPTION,
        DynamoError::Duplicate => &shape::DUPLICATE_ITEM_EXCEPTION,
        DynamoError::TableNotFound(_) => &shape::TABLE_NOT_FOUND_EXCEPTION,
        DynamoError::PitrUnavailable(_) => &shape::POINT_IN_TIME_RECOVERY_UNAVAILABLE_EXCEPTION,
        DynamoError::InvalidExportTime(_) => &shape::INVALID_EXPORT_TIME_EXCEPTION,
        DynamoError::ImportNotFound(_) => &shape::IMPORT_NOT_FOUND_EXCEPTION,
        DynamoError::ExportNotFound(_) => &shape::EXPORT_NOT_FOUND_EXCEPTION,
        DynamoError::ImportConflict(_) => &shape::IMPORT_CONFLICT_EXCEPTION,
        DynamoError::ExportConflict(_) => &shape::EXPORT_CONFLICT_EXCEPTION,
        DynamoError::Items(_) | DynamoError::Store(_) => {
            tracing::error!(error = text, "a DynamoDB operation failed");
            let text = "The lake could not do this now; its log says why. Try again.";
            return WireError::of(&shape::INTERNAL_SERVER_ERROR, text);
        }
    };
    WireError::of(shape, text)
}

/// A reason as clients read it.
fn reason(reason: CancellationReason) -> Value {
    let mut object = Map::new();
    object.insert("Code".into(), reason.code.into());
    if let Some(message) = reason.message {
        object.insert("Message".into(), message.into());
    }
    if let Some(item) = reason.item {
        object.insert("Item".into(), item.into_iter().collect::<Map<_, _>>().into());
    }
    object.into()
}
