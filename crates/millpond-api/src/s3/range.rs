//! The `Range` header as S3 reads it.
//!
//! One that is malformed (also: several ranges, or one that ends before it begins) is ignored, and the whole object is answered; only one that
//! begins after the object's end is refused, with 416. `s3s` refuses what it cannot read before a handler could have a say, and the header may be
//! signed, so it cannot be taken away beforehand. Hence such a request, which is rare, is asked twice: as it came, to be verified and authorised,
//! and then, if it was, without the header and without what was signed.

use super::auth::is_version_2;
use http::uri::PathAndQuery;
use http::{Extensions, Method, Request, Uri, header};
use millpond_services::s3::get::ByteRange;
use s3s::{Body, dto};

/// A range that `s3s` reads otherwise than S3 does, as S3 reads it: `None` is to be ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OddRange(Option<ByteRange>);

impl OddRange {
    /// That of a request, where it has one.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let mut values = request.headers().get_all(header::RANGE).iter();
        let (value, more) = (values.next()?, values.next());
        let text = value.to_str().ok().filter(|_| more.is_none());
        let theirs = text.and_then(|text| dto::Range::parse(text).ok()).map(bytes);
        let ours = text.and_then(read);
        (ours.is_none() || ours != theirs).then_some(Self(ours))
    }

    /// Whether an operation reads the header.
    pub(super) fn is_of(operation: &str) -> bool {
        matches!(operation, "GetObject" | "HeadObject")
    }

    /// The request as it came, and the one to ask once that was granted.
    pub(super) fn both(self, request: Request<Body>) -> (Request<Body>, Request<Body>) {
        let (parts, body) = request.into_parts();
        let mut second = Request::from_parts(parts.clone(), Body::empty());
        let version_2 = is_version_2(second.headers(), second.uri().query().unwrap_or_default());
        if let Some(uri) = without_signature(second.uri(), version_2) {
            *second.uri_mut() = uri;
        }
        second.headers_mut().remove(header::RANGE);
        second.headers_mut().remove(header::AUTHORIZATION);
        second.extensions_mut().insert(self);
        (Request::from_parts(parts, body), second)
    }
}

/// The range that a request asks for.
pub(super) fn asked(parsed: Option<dto::Range>, extensions: &Extensions) -> Option<ByteRange> {
    match extensions.get::<OddRange>() {
        Some(OddRange(range)) => *range,
        None => parsed.map(bytes),
    }
}

fn bytes(range: dto::Range) -> ByteRange {
    match range {
        dto::Range::Int { first, last: Some(last) } => ByteRange::Between(first, last),
        dto::Range::Int { first, last: None } => ByteRange::From(first),
        dto::Range::Suffix { length } => ByteRange::Last(length),
    }
}

/// `bytes=first-last`, `bytes=first-`, `bytes=-count`: RFC 9110, "Byte Ranges", of which S3 takes one.
fn read(text: &str) -> Option<ByteRange> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (number(first)?, number(last)?) {
        (Some(first), Some(last)) => (first <= last).then_some(ByteRange::Between(first, last)),
        (Some(first), None) => Some(ByteRange::From(first)),
        (None, Some(count)) => Some(ByteRange::Last(count)),
        (None, None) => None,
    }
}

/// Digits, or nothing; a number that is too large is beyond every object all the same.
fn number(text: &str) -> Option<Option<u64>> {
    match text {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(Some(digits.parse().unwrap_or(u64::MAX))),
        _ => None,
    }
}

/// The URL without the parameters of a signature; `None` where it has none.
fn without_signature(uri: &Uri, version_2: bool) -> Option<Uri> {
    let query = uri.query()?;
    let signs = |name: &str| match version_2 {
        true => matches!(name, "AWSAccessKeyId" | "Signature" | "Expires"),
        false => name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-")),
    };
    let rest: Vec<&str> = query.split('&').filter(|pair| !signs(pair.split('=').next().unwrap_or_default())).collect();
    let target = match rest.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), rest.join("&")),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_s3_reads_them() {
        let asked = |value: &str| OddRange::of(&Request::get("/b/k").header("range", value).body(()).unwrap());
        for plain in ["bytes=0-4", "bytes=4-4", "bytes=7-", "bytes=-3", "bytes=-0"] {
            assert_eq!(asked(plain), None, "{plain}");
        }
        for ignored in [
            "bytes=5-3",
            "bytes=765864690-765864689",
            "bytes=-",
            "bytes=",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes 0-4",
            "items=0-4",
            "0-4",
            "",
        ] {
            assert_eq!(asked(ignored), Some(OddRange(None)), "{ignored}");
        }
        let huge = "99999999999999999999";
        assert_eq!(asked(&format!("bytes=2-{huge}")), Some(OddRange(Some(ByteRange::Between(2, u64::MAX)))));
        assert_eq!(asked(&format!("bytes={huge}-")), Some(OddRange(Some(ByteRange::From(u64::MAX)))));
        let put = Request::put("/b/k").header("range", "bytes=5-3").body(()).unwrap();
        assert_eq!(OddRange::of(&put), None);
        let two = Request::get("/b/k").header("range", "bytes=0-1").header("range", "bytes=2-3").body(()).unwrap();
        assert_eq!(OddRange::of(&two), Some(OddRange(None)));
    }

    #[test]
    fn the_second_request_has_nothing_that_was_signed_and_is_otherwise_the_same() {
        let presigned = "/b/k?versionId=null&X-Amz-Signature=0&X-Amz-Expires=9&response-content-type=a";
        for (uri, expected) in [
            ("/b/k", "/b/k"),
            (presigned, "/b/k?versionId=null&response-content-type=a"),
            ("/b/k?AWSAccessKeyId=a&Signature=b&Expires=1&response-content-type=a", "/b/k?response-content-type=a"),
            ("/b/k?X-Amz-Signature=0", "/b/k"),
        ] {
            let request = Request::get(uri).header("range", "bytes=5-3").header("if-match", "e").body(Body::empty()).unwrap();
            let odd = OddRange::of(&request).unwrap();
            let (first, second) = odd.both(request);
            assert_eq!((first.uri().to_string().as_str(), first.headers()["range"].as_bytes()), (uri, b"bytes=5-3".as_slice()));
            assert_eq!(second.uri().to_string(), expected);
            assert_eq!(second.headers().keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["if-match"]);
        }
    }
}
