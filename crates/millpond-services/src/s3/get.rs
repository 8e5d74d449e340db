//! GetObject, HeadObject, GetObjectAttributes: an object as a condition, a range or a part asks for it.

use super::{Caller, Etag, S3, S3Error, bucket_of};
use crate::lake::objects::Object;
use crate::lake::staging::View;
use bytes::Bytes;
use futures::stream::BoxStream;
use millpond_store::StoreError;
use std::ops::Range;

/// Bytes of an object, as `Range` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From this one on.
    From(u64),
    /// From the first to the last, both included.
    Between(u64, u64),
    /// So many at the end.
    Last(u64),
}

impl ByteRange {
    /// Where it lies in an object of `size` bytes.
    ///
    /// # Errors
    /// [`S3Error::InvalidRange`] where the object has no byte of it.
    pub fn within(self, size: u64) -> Result<Range<u64>, S3Error> {
        let range = match self {
            Self::From(first) => first..size,
            Self::Between(first, last) => first..last.saturating_add(1).min(size),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        if range.is_empty() { Err(S3Error::InvalidRange { size }) } else { Ok(range) }
    }
}

/// Under which conditions an object is read (or copied).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadConditions {
    /// Only one of these.
    pub if_match: Option<Etag>,
    /// Only if not this one.
    pub if_none_match: Option<Etag>,
    /// Only if changed after this, in milliseconds since the epoch.
    pub if_modified_since_ms: Option<i64>,
    /// Only if not changed after this.
    pub if_unmodified_since_ms: Option<i64>,
}

impl ReadConditions {
    /// ETags go before times, where both are given: S3 API reference, "GetObject". Times count in whole seconds, as headers give them.
    ///
    /// # Errors
    /// [`S3Error::PreconditionFailed`], or [`S3Error::NotModified`].
    pub fn check(&self, object: &Object) -> Result<(), S3Error> {
        let seconds = |ms: i64| ms.div_euclid(1000);
        let modified = seconds(object.modified_ms);
        match (&self.if_match, self.if_unmodified_since_ms) {
            (Some(etag), _) if !etag.matches(object) => return Err(S3Error::PreconditionFailed { condition: "If-Match" }),
            (None, Some(since)) if modified > seconds(since) => {
                return Err(S3Error::PreconditionFailed { condition: "If-Unmodified-Since" });
            }
            _ => {}
        }
        let unchanged = match (&self.if_none_match, self.if_modified_since_ms) {
            (Some(etag), _) => etag.matches(object),
            (None, Some(since)) => modified <= seconds(since),
            (None, None) => false,
        };
        if unchanged {
            return Err(S3Error::NotModified { etag: object.etag.clone(), modified_ms: object.modified_ms });
        }
        Ok(())
    }

    /// As [`ReadConditions::check`], for the source of a copy: what does not hold is always a failed precondition.
    pub(super) fn check_source(&self, object: &Object) -> Result<(), S3Error> {
        self.check(object).map_err(|error| match (error, &self.if_none_match) {
            (S3Error::NotModified { .. }, Some(_)) => {
                S3Error::PreconditionFailed { condition: "x-amz-copy-source-if-none-match" }
            }
            (S3Error::NotModified { .. }, None) => {
                S3Error::PreconditionFailed { condition: "x-amz-copy-source-if-modified-since" }
            }
            (error, _) => error,
        })
    }
}

/// Which object, and what of it.
#[derive(Debug, Clone, Default)]
pub struct GetObject {
    /// Where.
    pub bucket: String,
    /// Its name.
    pub key: String,
    /// Which bytes.
    pub range: Option<ByteRange>,
    /// Which part of a multipart upload.
    pub part: Option<u32>,
    /// Under which conditions.
    pub conditions: ReadConditions,
}

/// An object, and which of its bytes were asked for.
#[derive(Debug, Clone)]
pub struct Found {
    /// The object.
    pub object: Object,
    /// Its bytes that were asked for.
    pub range: Range<u64>,
    /// Whether a range or a part was asked for.
    pub partial: bool,
    /// How many parts it was uploaded in, where one was asked for.
    pub parts: Option<usize>,
}

/// The bytes of an object.
pub type Bytestream = BoxStream<'static, Result<Bytes, StoreError>>;

impl S3 {
    /// The object, as its caller sees it.
    pub(super) async fn object(&self, caller: &Caller, bucket: &str, key: &str) -> Result<Object, S3Error> {
        let (bucket, key, run) = (bucket.to_owned(), key.to_owned(), caller.job_run.clone());
        let found = self.lake.store.read(move |connection| {
            let bucket = bucket_of(connection, &bucket)?;
            let view = View::of(connection, run.as_deref())?;
            view.get(connection, bucket.id, &key)?.ok_or(S3Error::NoSuchKey(key))
        });
        found.await
    }

    /// An object without its bytes.
    pub async fn head_object(&self, caller: &Caller, asked: GetObject) -> Result<Found, S3Error> {
        let GetObject { bucket, key, range, part, conditions } = asked;
        if range.is_some() && part.is_some() {
            return Err(S3Error::InvalidRequest("Cannot specify both Range header and partNumber query parameter".into()));
        }
        let object = self.object(caller, &bucket, &key).await?;
        conditions.check(&object)?;
        let whole = 0..object.size;
        let (range, partial, parts) = match (range, part) {
            (Some(range), _) => (range.within(object.size)?, true, None),
            (None, Some(number)) => {
                let range = part_range(&object, number)?;
                (range, object.size > 0, Some(object.meta.parts.len()).filter(|count| *count > 0))
            }
            (None, None) => (whole, false, None),
        };
        Ok(Found { object, range, partial, parts })
    }

    /// An object with the bytes that were asked for. They stay readable when the object is overwritten or deleted meanwhile.
    pub async fn get_object(&self, caller: &Caller, asked: GetObject) -> Result<(Found, Bytestream), S3Error> {
        let found = self.head_object(caller, asked).await?;
        let bytes = self.lake.store.blobs().stream(&found.object.blob, found.range.clone()).await?;
        Ok((found, bytes))
    }
}

fn part_range(object: &Object, number: u32) -> Result<Range<u64>, S3Error> {
    let parts = &object.meta.parts;
    match number as usize {
        1 if parts.is_empty() => Ok(0..object.size),
        0 => Err(S3Error::InvalidArgument("Part number must be an integer between 1 and 10000, inclusive".into())),
        number if number <= parts.len() => {
            let start = parts[..number - 1].iter().sum();
            Ok(start..start + parts[number - 1])
        }
        _ => Err(S3Error::InvalidPartNumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_the_object_ends() {
        for (range, size, expected) in [
            (ByteRange::From(0), 5, Some(0..5)),
            (ByteRange::From(4), 5, Some(4..5)),
            (ByteRange::From(5), 5, None),
            (ByteRange::Between(1, 2), 5, Some(1..3)),
            (ByteRange::Between(1, u64::MAX), 5, Some(1..5)),
            (ByteRange::Between(7, 9), 5, None),
            (ByteRange::Last(2), 5, Some(3..5)),
            (ByteRange::Last(9), 5, Some(0..5)),
            (ByteRange::Last(0), 5, None),
            (ByteRange::From(0), 0, None),
            (ByteRange::Last(1), 0, None),
        ] {
            assert_eq!(range.within(size).ok(), expected, "{range:?} of {size}");
        }
    }

    #[test]
    fn etags_go_before_times() {
        let object = Object {
            key: "k".into(),
            seq: 1,
            blob: format!("i{}", "0".repeat(31)).parse().unwrap(),
            size: 1,
            etag: "e".into(),
            modified_ms: 10_500,
            meta: Default::default(),
        };
        let is = |etag: &str| Some(Etag::Is(etag.into()));
        for (conditions, expected) in [
            (ReadConditions::default(), "ok"),
            (ReadConditions { if_match: is("e"), ..Default::default() }, "ok"),
            (ReadConditions { if_match: is("x"), ..Default::default() }, "412"),
            (ReadConditions { if_match: is("e"), if_unmodified_since_ms: Some(0), ..Default::default() }, "ok"),
            (ReadConditions { if_unmodified_since_ms: Some(9_000), ..Default::default() }, "412"),
            (ReadConditions { if_unmodified_since_ms: Some(10_000), ..Default::default() }, "ok"),
            (ReadConditions { if_none_match: is("e"), if_modified_since_ms: Some(0), ..Default::default() }, "304"),
            (ReadConditions { if_none_match: is("x"), if_modified_since_ms: Some(99_000), ..Default::default() }, "ok"),
            (ReadConditions { if_none_match: Some(Etag::Any), ..Default::default() }, "304"),
            (ReadConditions { if_modified_since_ms: Some(10_000), ..Default::default() }, "304"),
            (ReadConditions { if_modified_since_ms: Some(9_000), ..Default::default() }, "ok"),
        ] {
            let got = match conditions.check(&object) {
                Ok(()) => "ok",
                Err(S3Error::NotModified { .. }) => "304",
                Err(_) => "412",
            };
            assert_eq!(got, expected, "{conditions:?}");
        }
    }
}
