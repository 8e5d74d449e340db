//! S3: buckets, objects, multipart uploads.
//!
//! Bytes come and go as streams ([`ingest`], [`get`]); the rows of buckets and objects are in [`crate::lake::objects`], those of uploads in
//! [`sql`]. A change is one transaction: a small object's bytes, its row and its event are one commit.

pub mod buckets;
pub mod checksum;
pub mod complete;
pub mod copy;
pub mod delete;
mod error;
pub mod get;
pub mod ingest;
pub mod list;
mod listener;
mod message;
pub mod multipart;
pub mod notification;
pub mod put;
mod sql;
mod sweep;
pub mod tagging;

pub use error::{BodyError, S3Error};
pub use ingest::{Body, Given, GivenValue, Payload};
pub use listener::Notifier;
pub use sweep::UploadSweep;

use crate::lake::Lake;
use crate::lake::objects::{self, Bucket, Cause, Object};
use crate::runtime::delivery::Targets;
use millpond_store::Component;
use rusqlite::Connection;

/// The tables of multipart uploads. (Those of buckets and objects are [`objects::COMPONENT`].)
pub const COMPONENT: Component = Component { name: "s3", migrations: &[include_str!("schema.sql"), include_str!("runs.sql")] };

/// Bytes of one PutObject or UploadPart at the most. S3 user guide, "Amazon S3 multipart upload limits". (An object has 10,000 parts at the most.)
pub const PUT_SIZE_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// Bytes of a key at the most.
pub const KEY_SIZE_MAX: usize = 1024;

/// The S3 service; clones share it.
#[derive(Debug, Clone)]
pub struct S3 {
    lake: Lake,
    targets: Targets,
}

/// Who asks, as events tell it.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Twelve digits.
    pub account: String,
    /// Empty for the lake's own work.
    pub source_ip: String,
    /// Empty for the lake's own work.
    pub request_id: String,
    /// The run of a job whose session asks: what it writes can wait for the run's end, and it alone sees it until then.
    pub job_run: Option<String>,
}

impl Caller {
    fn cause(&self, reason: &'static str) -> Cause {
        Cause { reason, requester: self.account.clone(), source_ip: self.source_ip.clone(), request_id: self.request_id.clone() }
    }
}

/// What `If-Match` and its kin compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Etag {
    /// `*`: any object.
    Any,
    /// Without quotes.
    Is(String),
}

impl Etag {
    fn matches(&self, object: &Object) -> bool {
        match self {
            Self::Any => true,
            Self::Is(etag) => *etag == object.etag,
        }
    }
}

/// Under which condition an object may be written or deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteCondition {
    /// Only in the place of this one.
    pub if_match: Option<Etag>,
    /// Only where this one is not.
    pub if_none_match: Option<Etag>,
}

impl WriteCondition {
    /// S3 user guide, "Add preconditions to S3 operations with conditional requests".
    fn check(&self, key: &str, found: Option<&Object>) -> Result<(), S3Error> {
        match (&self.if_match, found) {
            (Some(_), None) => return Err(S3Error::NoSuchKey(key.into())),
            (Some(etag), Some(object)) if !etag.matches(object) => {
                return Err(S3Error::PreconditionFailed { condition: "If-Match" });
            }
            _ => {}
        }
        match (&self.if_none_match, found) {
            (Some(etag), Some(object)) if etag.matches(object) => Err(S3Error::PreconditionFailed { condition: "If-None-Match" }),
            _ => Ok(()),
        }
    }

    fn is_none(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }
}

impl S3 {
    /// The service over a lake, with what notifications can be sent to.
    pub fn new(lake: Lake, targets: Targets) -> Self {
        Self { lake, targets }
    }

    /// The lake that it works on.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    async fn bucket(&self, name: &str) -> Result<Bucket, S3Error> {
        let name = name.to_owned();
        self.lake.store.read(move |connection| bucket_of(connection, &name)).await
    }
}

/// The bucket of this name, or the error that says why there is none.
fn bucket_of(connection: &Connection, name: &str) -> Result<Bucket, S3Error> {
    match objects::bucket(connection, name)? {
        Some(bucket) => Ok(bucket),
        None => {
            buckets::check_name(name)?;
            Err(S3Error::NoSuchBucket(name.into()))
        }
    }
}

fn check_key(key: &str) -> Result<(), S3Error> {
    match key.len() {
        0 => Err(S3Error::InvalidArgument("a key must have at least one character".into())),
        1..=KEY_SIZE_MAX => Ok(()),
        length => Err(S3Error::KeyTooLong(length)),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_notifications;
#[cfg(test)]
mod tests_staging;
