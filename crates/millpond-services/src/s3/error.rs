//! What S3 refuses, and why. No HTTP here: `millpond-api` gives each its code and status.

use crate::lake::staging::StagingError;
use crate::s3::checksum::Algorithm;
use millpond_core::error::ErrorKind;
use millpond_store::StoreError;

/// Why a body could not be taken to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection ended before the body did.
    #[error("the body ended after {0}")]
    Incomplete(String),
    /// The framing of a chunked body is wrong.
    #[error("the chunked body is malformed: {0}")]
    Malformed(String),
    /// A chunk or the trailer is not signed as it should be.
    #[error("the signature of a chunk of the body does not match")]
    Signature,
    /// The body is not the one that was signed.
    #[error("the body does not have the SHA-256 that x-amz-content-sha256 gives")]
    Sha256,
}

/// An error of the S3 service. The texts of those that AWS words in its own way are AWS's.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// There is no such bucket.
    #[error("The specified bucket does not exist")]
    NoSuchBucket(String),
    /// There is no such object.
    #[error("The specified key does not exist.")]
    NoSuchKey(String),
    /// The bucket is there already, and is the caller's.
    #[error("Your previous request to create the named bucket succeeded and you already own it.")]
    BucketAlreadyOwnedByYou(String),
    /// The bucket still holds objects.
    #[error("The bucket you tried to delete is not empty")]
    BucketNotEmpty(String),
    /// The name breaks a rule.
    #[error("The specified bucket is not valid: '{name}' {rule}")]
    InvalidBucketName {
        /// What was asked for.
        name: String,
        /// Which rule, as the end of a sentence about the name.
        rule: &'static str,
    },
    /// No region has this name.
    #[error("The specified location-constraint is not valid: '{0}'")]
    InvalidLocationConstraint(String),
    /// A member of the request has a value that it may not have.
    #[error("{0}")]
    InvalidArgument(String),
    /// Destinations of notifications do not exist, or do not allow the bucket to send to them.
    #[error("Unable to validate the following destination configurations: {0}")]
    Destinations(String),
    /// The members of the request do not go together.
    #[error("{0}")]
    InvalidRequest(String),
    /// The document is not what the operation takes.
    #[error("The XML you provided was not well-formed or did not validate against our published schema: {0}")]
    MalformedXml(String),
    /// A tag breaks a rule.
    #[error("{0}")]
    InvalidTag(String),
    /// More tags than the limit.
    #[error("{0}")]
    TooManyTags(String),
    /// There is nothing of this class.
    #[error("The storage class you specified is not valid: '{0}'")]
    InvalidStorageClass(String),
    /// A condition of the request does not hold.
    #[error("At least one of the pre-conditions you specified did not hold")]
    PreconditionFailed {
        /// The header that stated it.
        condition: &'static str,
    },
    /// The caller has this version already.
    #[error("Not Modified")]
    NotModified {
        /// Of the object, without quotes.
        etag: String,
        /// When the object was last changed, in milliseconds since the epoch.
        modified_ms: i64,
    },
    /// The object has no byte of this range.
    #[error("The requested range is not satisfiable")]
    InvalidRange {
        /// Bytes that the object has.
        size: u64,
    },
    /// The object has no such part.
    #[error("The requested partnumber is not satisfiable")]
    InvalidPartNumber,
    /// The bytes are not those whose MD5 was given.
    #[error("The Content-MD5 you specified did not match what we received (it is {computed}, in base64).")]
    BadDigest {
        /// Of what came, base64.
        computed: String,
    },
    /// What was given as a digest is none.
    #[error("The Content-MD5 you specified is not valid.")]
    InvalidDigest,
    /// The bytes are not those whose checksum was given.
    #[error("The {algorithm} you specified did not match the calculated checksum (it is {computed}, in base64).")]
    ChecksumMismatch {
        /// Which one.
        algorithm: Algorithm,
        /// Of what came, base64.
        computed: String,
    },
    /// A checksum was announced as a trailer, and did not come.
    #[error("The trailer '{0}' that x-amz-trailer announces is missing after the body")]
    MissingTrailer(String),
    /// Fewer or more bytes came than were announced.
    #[error("You did not provide the number of bytes specified by the Content-Length HTTP header ({announced}); {received} came")]
    IncompleteBody {
        /// Bytes.
        announced: u64,
        /// Bytes.
        received: u64,
    },
    /// The body could not be taken.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Too many bytes.
    #[error("Your proposed upload exceeds the maximum allowed size of {max} bytes")]
    EntityTooLarge {
        /// Bytes.
        max: u64,
    },
    /// A part other than the last is too small.
    #[error(
        "Your proposed upload is smaller than the minimum allowed size: part {part} has {size} bytes, at least {min} are needed"
    )]
    EntityTooSmall {
        /// Its number.
        part: u32,
        /// Bytes.
        size: u64,
        /// Bytes.
        min: u64,
    },
    /// The key has more than 1,024 bytes.
    #[error("Your key is too long: {0} bytes, 1024 are allowed")]
    KeyTooLong(usize),
    /// The user's metadata is too large.
    #[error("Your metadata headers exceed the maximum allowed metadata size: {size} bytes, {max} are allowed")]
    MetadataTooLarge {
        /// Bytes.
        size: usize,
        /// Bytes.
        max: usize,
    },
    /// There is no such multipart upload.
    #[error(
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )]
    NoSuchUpload(String),
    /// A part of a completion was not uploaded, or was uploaded with other bytes.
    #[error(
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag (part {0})."
    )]
    InvalidPart(u32),
    /// The parts of a completion do not ascend.
    #[error(
        "The list of parts was not in ascending order. Parts must be ordered by part number (part {0} does not follow what is before it)."
    )]
    InvalidPartOrder(u32),
    /// The bucket has no tags.
    #[error("The TagSet does not exist")]
    NoSuchTagSet(String),
    /// The run of a job that asks has ended, or what it has written cannot be published.
    #[error(transparent)]
    Staging(StagingError),
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl S3Error {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchBucket(_) | Self::NoSuchKey(_) | Self::NoSuchUpload(_) | Self::NoSuchTagSet(_) => ErrorKind::Missing,
            Self::BucketAlreadyOwnedByYou(_)
            | Self::BucketNotEmpty(_)
            | Self::PreconditionFailed { .. }
            | Self::NotModified { .. } => ErrorKind::Conflict,
            Self::EntityTooLarge { .. } | Self::KeyTooLong(_) | Self::MetadataTooLarge { .. } | Self::TooManyTags(_) => {
                ErrorKind::Limit
            }
            Self::Body(BodyError::Incomplete(_)) | Self::IncompleteBody { .. } => ErrorKind::Retry,
            Self::Body(BodyError::Signature | BodyError::Sha256) => ErrorKind::Denied,
            Self::Body(BodyError::Malformed(_))
            | Self::InvalidBucketName { .. }
            | Self::InvalidLocationConstraint(_)
            | Self::InvalidArgument(_)
            | Self::Destinations(_)
            | Self::InvalidRequest(_)
            | Self::MalformedXml(_)
            | Self::InvalidTag(_)
            | Self::InvalidStorageClass(_)
            | Self::InvalidRange { .. }
            | Self::InvalidPartNumber
            | Self::BadDigest { .. }
            | Self::InvalidDigest
            | Self::ChecksumMismatch { .. }
            | Self::MissingTrailer(_)
            | Self::EntityTooSmall { .. }
            | Self::InvalidPart(_)
            | Self::InvalidPartOrder(_) => ErrorKind::Input,
            Self::Staging(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<rusqlite::Error> for S3Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<StagingError> for S3Error {
    fn from(error: StagingError) -> Self {
        match error {
            StagingError::Store(error) => Self::Store(error),
            error => Self::Staging(error),
        }
    }
}
