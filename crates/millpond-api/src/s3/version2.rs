//! URLs that are signed by version 2 of S3's protocol: boto3 makes them for us-east-1 where nothing else is said.
//!
//! What a client would send as `x-amz-` headers (a session's token above all) is signed as headers and written into the URL: S3
//! developer guide, "Signing and authenticating REST requests", query string request authentication. `s3s` looks for them among
//! the headers.

use super::auth::is_version_2;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Request, Uri};
use percent_encoding::percent_decode_str;
use s3s::{S3Error, S3ErrorCode, S3Result};

/// Moves the `x-amz-` parameters of a URL of version 2 to where they were signed. Other requests stay as they are.
pub(super) fn as_signed<B>(request: &mut Request<B>) -> S3Result<()> {
    let Some(query) = request.uri().query() else { return Ok(()) };
    if !is_version_2(request.headers(), query) || !query.contains("x-amz-") {
        return Ok(());
    }
    let (mut rest, mut moved) = (Vec::new(), Vec::new());
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some((name, value)) if name.starts_with("x-amz-") => moved.push(header(name, value)?),
            _ => rest.push(pair),
        }
    }
    let target = format!("{}?{}", request.uri().path(), rest.join("&"));
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).map_err(|_| refused("The URL cannot be read"))?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| refused("The URL cannot be read"))?;
    for (name, value) in moved {
        if request.headers().contains_key(&name) {
            return Err(refused(&format!("{name} comes twice, in the URL or in the URL and as a header")));
        }
        request.headers_mut().insert(name, value);
    }
    Ok(())
}

fn header(name: &str, value: &str) -> S3Result<(HeaderName, HeaderValue)> {
    let text = percent_decode_str(value).decode_utf8().ok();
    let value = text.and_then(|text| HeaderValue::from_str(&text).ok());
    match (HeaderName::from_bytes(name.as_bytes()), value) {
        (Ok(name), Some(value)) => Ok((name, value)),
        _ => Err(refused("A parameter of the URL cannot be a header")),
    }
}

fn refused(what: &str) -> S3Error {
    S3Error::with_message(S3ErrorCode::AccessDenied, format!("Access Denied: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(query: &str, headers: &[(&str, &str)]) -> S3Result<Request<()>> {
        let mut request = Request::builder().uri(format!("http://h/bucket/key%20a?{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        as_signed(&mut request).map(|()| request)
    }

    #[test]
    fn what_was_signed_as_headers_goes_there() {
        let url = "AWSAccessKeyId=a&Signature=b&x-amz-security-token=A%2BB%3D&Expires=1&x-amz-acl=private";
        let moved = signed(url, &[]).unwrap();
        assert_eq!(moved.uri(), "http://h/bucket/key%20a?AWSAccessKeyId=a&Signature=b&Expires=1");
        assert_eq!(moved.headers()["x-amz-security-token"], "A+B=");
        assert_eq!(moved.headers()["x-amz-acl"], "private");
        let version_4 = "X-Amz-Signature=c&x-amz-security-token=t";
        assert_eq!(signed(version_4, &[]).unwrap().uri().query(), Some(version_4));
        assert!(signed(url, &[("x-amz-acl", "public-read")]).is_err());
        assert!(signed("Signature=b&x-amz-acl=a&x-amz-acl=b", &[]).is_err());
        assert!(signed("Signature=b&x-amz-acl=a%0Ab", &[]).is_err());
    }
}
