//! Between the wire's types and the service's.

use super::auth::Identified;
use super::error::{body_error, wire};
use crate::router::Origin;
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue};
use millpond_services::lake::objects::{Object, ObjectMeta};
use millpond_services::s3::checksum::{Algorithm, ChecksumType};
use millpond_services::s3::get::{Bytestream, ReadConditions};
use millpond_services::s3::{Caller, Etag, Given, GivenValue, Payload, S3, S3Error, WriteCondition, tagging};
use s3s::dto::{self, ETagCondition, StreamingBlob, Timestamp};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Request, S3Result, StdError};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

/// Headers that an object keeps and answers.
const KEPT: [&str; 7] = [
    "content-type",
    "content-encoding",
    "content-language",
    "content-disposition",
    "cache-control",
    "expires",
    "x-amz-website-redirect-location",
];

pub(super) fn invalid(message: impl Into<String>) -> s3s::S3Error {
    wire(S3Error::InvalidArgument(message.into()))
}

/// Who asks.
pub(super) fn caller<T>(s3: &S3, request: &S3Request<T>) -> Caller {
    let origin = request.extensions.get::<Origin>();
    let identified = request.extensions.get::<Identified>();
    let account = identified.map(|identified| identified.0.account.clone());
    let acting = identified.and_then(|identified| identified.0.acting.as_ref());
    Caller {
        job_run: acting.and_then(|acting| acting.session.job_run.clone()),
        account: account.unwrap_or_else(|| s3.lake().place.account.clone()),
        source_ip: origin.map(|origin| origin.source_ip.clone()).unwrap_or_default(),
        request_id: origin.map(|origin| origin.request_id.clone()).unwrap_or_default(),
    }
}

pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, s3s::S3Error> {
    match headers.get(name) {
        None => Ok(None),
        Some(value) => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(invalid(format!("the header {name} is not UTF-8"))),
        },
    }
}

/// What a new object has besides its bytes, from the headers of the request.
pub(super) fn object_meta(headers: &HeaderMap, user: Option<dto::Metadata>) -> S3Result<ObjectMeta> {
    let mut kept = BTreeMap::new();
    for name in KEPT {
        let Some(value) = header_text(headers, name)?.map(str::trim).filter(|value| !value.is_empty()) else { continue };
        let value = if name == "content-encoding" { without_framing(value) } else { value.to_owned() };
        if !value.is_empty() {
            kept.insert(name.to_owned(), value);
        }
    }
    let tags = header_text(headers, "x-amz-tagging")?.map(tagging::parse_header).transpose().map_err(wire)?;
    Ok(ObjectMeta {
        headers: kept,
        user: user.unwrap_or_default().into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect(),
        tags: tags.unwrap_or_default(),
        storage_class: header_text(headers, "x-amz-storage-class")?.map(str::to_owned),
        ..ObjectMeta::default()
    })
}

/// `aws-chunked` is how the body came, not what the object is.
fn without_framing(encoding: &str) -> String {
    let parts = encoding.split(',').map(str::trim).filter(|part| !part.is_empty() && !part.eq_ignore_ascii_case("aws-chunked"));
    parts.collect::<Vec<_>>().join(",")
}

/// The body of a request, with what its headers say about it.
pub(super) fn payload<T>(
    request: &mut S3Request<T>,
    body: Option<StreamingBlob>,
    content_md5: Option<String>,
) -> S3Result<Payload> {
    let decoded = header_text(&request.headers, "x-amz-decoded-content-length")?;
    let announced = match decoded {
        Some(text) => Some(text),
        None => header_text(&request.headers, "content-length")?,
    };
    let length = match announced {
        Some(text) => Some(text.trim().parse::<u64>().map_err(|_| invalid("the content length is not a number"))?),
        None => None,
    };
    let trailing = request.trailing_headers.take();
    Ok(Payload {
        body: match body {
            Some(body) => Box::pin(body.map(|bytes| bytes.map_err(|error| body_error(&error)))),
            None => Box::pin(futures::stream::empty()),
        },
        length,
        md5: content_md5,
        checksum: given_checksum(&request.headers)?,
        trailers: Box::new(move |name| trailing?.read(|headers| Some(headers.get(name)?.to_str().ok()?.to_owned())).flatten()),
    })
}

/// The checksum that the headers give, announce, or ask for. S3 user guide, "Checking object integrity".
fn given_checksum(headers: &HeaderMap) -> S3Result<Option<Given>> {
    let mut given = None;
    for algorithm in Algorithm::ALL {
        let Some(value) = header_text(headers, algorithm.header())? else { continue };
        if given.is_some() {
            let message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";
            return Err(wire(S3Error::InvalidRequest(message.into())));
        }
        given = Some(Given { algorithm, value: GivenValue::Header(value.to_owned()) });
    }
    if given.is_some() {
        return Ok(given);
    }
    let trailers = header_text(headers, "x-amz-trailer")?.unwrap_or_default();
    let mut announced = trailers.split(',').map(str::trim).filter(|name| !name.is_empty());
    if let Some(name) = announced.next() {
        let algorithm = Algorithm::of_header(name).filter(|_| announced.next().is_none());
        let message =
            || S3Error::InvalidRequest(format!("The value specified in the x-amz-trailer header is not supported: '{trailers}'"));
        let algorithm = algorithm.ok_or_else(|| wire(message()))?;
        return Ok(Some(Given { algorithm, value: GivenValue::Trailer }));
    }
    match header_text(headers, "x-amz-sdk-checksum-algorithm")? {
        None => Ok(None),
        Some(name) => Ok(Some(Given { algorithm: algorithm(name)?, value: GivenValue::None })),
    }
}

pub(super) fn algorithm(name: &str) -> S3Result<Algorithm> {
    let known = || Algorithm::ALL.map(Algorithm::name).join(", ");
    Algorithm::named(name).ok_or_else(|| {
        wire(S3Error::InvalidRequest(format!("Checksum algorithm provided is unsupported: '{name}'. Supported are {}.", known())))
    })
}

/// `x-amz-checksum-algorithm`: which checksum a copy or an upload is to have.
pub(super) fn asked_algorithm(headers: &HeaderMap) -> S3Result<Option<Algorithm>> {
    header_text(headers, "x-amz-checksum-algorithm")?.map(algorithm).transpose()
}

pub(super) fn checksum_type(kind: Option<&dto::ChecksumType>) -> S3Result<Option<ChecksumType>> {
    let named = |kind: &dto::ChecksumType| {
        ChecksumType::named(kind.as_str()).ok_or_else(|| invalid(format!("'{}' is not a checksum type", kind.as_str())))
    };
    kind.map(named).transpose()
}

fn etag(condition: ETagCondition) -> Etag {
    match condition {
        ETagCondition::Any => Etag::Any,
        ETagCondition::ETag(etag) => Etag::Is(etag.into_value()),
    }
}

pub(super) fn write_condition(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> WriteCondition {
    WriteCondition { if_match: if_match.map(etag), if_none_match: if_none_match.map(etag) }
}

/// The conditions in the headers of a request whose type has no members for them.
pub(super) fn write_condition_of(headers: &HeaderMap) -> S3Result<WriteCondition> {
    let parse = |name: &str| -> S3Result<Option<ETagCondition>> {
        let Some(value) = headers.get(name) else { return Ok(None) };
        ETagCondition::parse_http_header(value.as_bytes())
            .map(Some)
            .map_err(|_| invalid(format!("the header {name} is malformed")))
    };
    Ok(write_condition(parse("if-match")?, parse("if-none-match")?))
}

pub(super) fn read_conditions(
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
) -> ReadConditions {
    ReadConditions {
        if_match: if_match.map(etag),
        if_none_match: if_none_match.map(etag),
        if_modified_since_ms: if_modified_since.map(ms),
        if_unmodified_since_ms: if_unmodified_since.map(ms),
    }
}

pub(super) fn ms(time: Timestamp) -> i64 {
    let time: time::OffsetDateTime = time.into();
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// The whole second: S3 tells no more in bodies than in headers.
pub(super) fn timestamp(ms: i64) -> Timestamp {
    time::OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).unwrap_or(time::OffsetDateTime::UNIX_EPOCH).into()
}

pub(super) fn http_date(ms: i64) -> HeaderValue {
    let mut text = Vec::new();
    let written = timestamp(ms).format(dto::TimestampFormat::HttpDate, &mut text);
    written.ok().and_then(|()| HeaderValue::from_bytes(&text).ok()).unwrap_or(HeaderValue::from_static(""))
}

pub(super) fn strong(etag: &str) -> Option<dto::ETag> {
    Some(dto::ETag::Strong(etag.to_owned()))
}

/// The headers that an object answers, and its checksums where those are asked for.
pub(super) fn object_headers(object: &Object, checksums: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes())) {
            headers.insert(name, value);
        }
    };
    object.meta.headers.iter().for_each(|(name, value)| set(name, value));
    if !object.meta.headers.contains_key("content-type") {
        set("content-type", "binary/octet-stream");
    }
    if let Some(class) = &object.meta.storage_class {
        set("x-amz-storage-class", class);
    }
    if checksums {
        checksum_headers(&object.meta).for_each(|(name, value)| set(name, value));
    }
    headers
}

/// The checksums of an object as headers, its type among them.
pub(super) fn checksum_headers(meta: &ObjectMeta) -> impl Iterator<Item = (&'static str, &str)> {
    let values = meta.checksums.iter().filter_map(|(name, value)| Some((Algorithm::named(name)?.header(), value.as_str())));
    let kind = meta.checksum_type.as_deref().filter(|_| !meta.checksums.is_empty());
    values.chain(kind.map(|kind| ("x-amz-checksum-type", kind)))
}

/// The checksums of an object as a document has them.
pub(super) fn checksum_document(meta: &ObjectMeta) -> dto::Checksum {
    let value = |algorithm: Algorithm| meta.checksums.get(algorithm.name()).cloned();
    dto::Checksum {
        checksum_crc32: value(Algorithm::Crc32),
        checksum_crc32c: value(Algorithm::Crc32c),
        checksum_crc64nvme: value(Algorithm::Crc64Nvme),
        checksum_sha1: value(Algorithm::Sha1),
        checksum_sha256: value(Algorithm::Sha256),
        checksum_type: meta.checksum_type.clone().filter(|_| !meta.checksums.is_empty()).map(Into::into),
    }
}

/// Headers that an answer gets besides those of its type.
pub(super) fn with_headers<T>(output: T, pairs: impl IntoIterator<Item = (&'static str, String)>) -> s3s::S3Response<T> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    s3s::S3Response::with_headers(output, headers)
}

/// Bytes of the lake as the body of an answer.
pub(super) fn body(bytes: Bytestream, length: u64) -> StreamingBlob {
    StreamingBlob::new(Outgoing { bytes: Mutex::new(bytes), left: length })
}

/// A stream that may be shared between threads, because `s3s` asks for that: it is never polled by two.
struct Outgoing {
    bytes: Mutex<Bytestream>,
    left: u64,
}

impl Stream for Outgoing {
    type Item = Result<bytes::Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let bytes = self.bytes.get_mut().expect("nothing panics while it holds the stream");
        let polled = bytes.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(chunk))) = &polled {
            self.left = self.left.saturating_sub(chunk.len() as u64);
        }
        polled.map(|item| item.map(|chunk| chunk.map_err(Into::into)))
    }
}

impl ByteStream for Outgoing {
    fn remaining_length(&self) -> RemainingLength {
        match usize::try_from(self.left) {
            Ok(left) => RemainingLength::new_exact(left),
            Err(_) => RemainingLength::unknown(),
        }
    }
}

/// The owner of everything. AWS's canonical ids have 64 hexadecimal digits.
pub(super) fn owner(s3: &S3) -> dto::Owner {
    let account = &s3.lake().place.account;
    dto::Owner { id: Some(format!("{account:0>64}")), display_name: None }
}

pub(super) fn number<T: TryFrom<u64>>(number: u64) -> Option<T> {
    T::try_from(number).ok()
}

/// A page's size: absent means `most`, and more than that is cut to it.
pub(super) fn page_size(asked: Option<i32>, most: usize, name: &str) -> S3Result<usize> {
    match asked {
        None => Ok(most),
        Some(asked) => match usize::try_from(asked) {
            Ok(asked) => Ok(asked.min(most)),
            Err(_) => Err(invalid(format!("Argument {name} must be an integer between 0 and 2147483647"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn checksums_come_from_a_header_a_trailer_or_a_wish() {
        let given = |pairs: &[(&'static str, &str)]| given_checksum(&headers(pairs));
        let value = |pairs: &[(&'static str, &str)]| given(pairs).unwrap().map(|given| (given.algorithm, given.value));
        assert_eq!(value(&[]), None);
        assert_eq!(value(&[("x-amz-checksum-crc32", "v")]), Some((Algorithm::Crc32, GivenValue::Header("v".into()))));
        assert_eq!(value(&[("x-amz-trailer", "x-amz-checksum-sha256")]), Some((Algorithm::Sha256, GivenValue::Trailer)));
        assert_eq!(value(&[("x-amz-sdk-checksum-algorithm", "sha1")]), Some((Algorithm::Sha1, GivenValue::None)));
        assert!(given(&[("x-amz-checksum-crc32", "v"), ("x-amz-checksum-sha1", "v")]).is_err());
        assert!(given(&[("x-amz-trailer", "x-other")]).is_err());
        assert!(given(&[("x-amz-sdk-checksum-algorithm", "ROT13")]).is_err());
    }

    #[test]
    fn the_framing_of_a_body_is_not_an_encoding_of_its_object() {
        for (encoding, kept) in [("aws-chunked", None), ("gzip, aws-chunked", Some("gzip")), ("AWS-chunked,br", Some("br"))] {
            let meta = object_meta(&headers(&[("content-encoding", encoding)]), None).unwrap();
            assert_eq!(meta.headers.get("content-encoding").map(String::as_str), kept);
        }
    }

    #[test]
    fn times_on_the_wire_have_whole_seconds() {
        for (time, told) in [(0, 0), (999, 0), (1_700_000_000_123, 1_700_000_000_000)] {
            assert_eq!(ms(timestamp(time)), told);
        }
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
