//! The service's errors as AWS's codes: S3 API reference, "Error responses".

use super::convert::http_date;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use millpond_services::lake::staging::StagingError;
use millpond_services::s3::{BodyError, S3Error};
use s3s::{S3ErrorCode as Code, StdError};

/// The code of each error.
fn code(error: &S3Error) -> Code {
    match error {
        S3Error::NoSuchBucket(_) => Code::NoSuchBucket,
        S3Error::NoSuchKey(_) => Code::NoSuchKey,
        S3Error::BucketAlreadyOwnedByYou(_) => Code::BucketAlreadyOwnedByYou,
        S3Error::BucketNotEmpty(_) => Code::BucketNotEmpty,
        S3Error::InvalidBucketName { .. } => Code::InvalidBucketName,
        S3Error::InvalidLocationConstraint(_) => Code::InvalidLocationConstraint,
        S3Error::InvalidArgument(_) | S3Error::Destinations(_) => Code::InvalidArgument,
        S3Error::InvalidRequest(_) => Code::InvalidRequest,
        S3Error::MalformedXml(_) => Code::MalformedXML,
        S3Error::InvalidTag(_) => Code::InvalidTag,
        S3Error::TooManyTags(_) => Code::Custom("BadRequest".into()),
        S3Error::InvalidStorageClass(_) => Code::InvalidStorageClass,
        S3Error::PreconditionFailed { .. } => Code::PreconditionFailed,
        S3Error::NotModified { .. } => Code::NotModified,
        S3Error::InvalidRange { .. } => Code::InvalidRange,
        S3Error::InvalidPartNumber => Code::Custom("InvalidPartNumber".into()),
        S3Error::BadDigest { .. } | S3Error::ChecksumMismatch { .. } => Code::BadDigest,
        S3Error::InvalidDigest => Code::InvalidDigest,
        S3Error::MissingTrailer(_) => Code::Custom("MalformedTrailerError".into()),
        S3Error::IncompleteBody { .. } | S3Error::Body(BodyError::Incomplete(_) | BodyError::Malformed(_)) => {
            Code::IncompleteBody
        }
        S3Error::Body(BodyError::Signature) => Code::SignatureDoesNotMatch,
        S3Error::Body(BodyError::Sha256) => Code::Custom("XAmzContentSHA256Mismatch".into()),
        S3Error::EntityTooLarge { .. } => Code::EntityTooLarge,
        S3Error::EntityTooSmall { .. } => Code::EntityTooSmall,
        S3Error::KeyTooLong(_) => Code::KeyTooLongError,
        S3Error::MetadataTooLarge { .. } => Code::MetadataTooLarge,
        S3Error::NoSuchUpload(_) => Code::NoSuchUpload,
        S3Error::InvalidPart(_) => Code::InvalidPart,
        S3Error::InvalidPartOrder(_) => Code::InvalidPartOrder,
        S3Error::NoSuchTagSet(_) => Code::NoSuchTagSet,
        S3Error::Staging(StagingError::Ended { .. }) => Code::AccessDenied,
        S3Error::Staging(StagingError::Full { .. }) => Code::InvalidRequest,
        S3Error::Staging(StagingError::BucketGone { .. }) => Code::NoSuchBucket,
        S3Error::Staging(StagingError::Conflict { .. }) => Code::OperationAborted,
        S3Error::Store(error) | S3Error::Staging(StagingError::Store(error)) => match error.kind() {
            millpond_core::error::ErrorKind::Retry => Code::ServiceUnavailable,
            _ => Code::InternalError,
        },
    }
}

/// The error as it is answered. What is internal goes to the log only.
pub(super) fn wire(error: S3Error) -> s3s::S3Error {
    let code = code(&error);
    let message = match &error {
        S3Error::Store(inner) | S3Error::Staging(StagingError::Store(inner)) => {
            tracing::error!(error = %inner, "an S3 request failed");
            "We encountered an internal error. Please try again.".to_owned()
        }
        error => error.to_string(),
    };
    let mut wire = s3s::S3Error::with_message(code.clone(), message);
    // Statuses of codes that the protocol's table has not, or has otherwise.
    let status = match &code {
        Code::Custom(name) if &**name == "InvalidPartNumber" => Some(StatusCode::RANGE_NOT_SATISFIABLE),
        Code::Custom(_) => Some(StatusCode::BAD_REQUEST),
        Code::InvalidTag | Code::InvalidStorageClass => Some(StatusCode::BAD_REQUEST),
        Code::NoSuchTagSet => Some(StatusCode::NOT_FOUND),
        _ => None,
    };
    if let Some(status) = status {
        wire.set_status_code(status);
    }
    match error {
        S3Error::NotModified { etag, modified_ms } => {
            let mut headers = HeaderMap::new();
            if let Ok(etag) = HeaderValue::from_str(&format!("\"{etag}\"")) {
                headers.insert(header::ETAG, etag);
            }
            headers.insert(header::LAST_MODIFIED, http_date(modified_ms));
            wire.set_headers(headers);
        }
        S3Error::InvalidRange { size } => {
            let mut headers = HeaderMap::new();
            if let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}")) {
                headers.insert(header::CONTENT_RANGE, range);
            }
            wire.set_headers(headers);
        }
        _ => {}
    }
    wire
}

/// The code of an error within an answer (DeleteObjects).
pub(super) fn code_name(error: &S3Error) -> String {
    code(error).as_str().to_owned()
}

/// Why a body broke off. `s3s` keeps the types of these errors to itself, so their texts are read; a test of the whole holds them.
pub(super) fn body_error(error: &StdError) -> BodyError {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        BodyError::Sha256
    } else if text.contains("SignatureMismatch") {
        BodyError::Signature
    } else if text.contains("FormatError") || text.contains("TooLarge") || text.contains("TooMany") {
        BodyError::Malformed(text)
    } else {
        BodyError::Incomplete(text)
    }
}
