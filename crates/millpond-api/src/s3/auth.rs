//! Who may ask, and what may not be asked.
//!
//! `s3s` has verified the signature over the headers that it names; that it names all that matter is checked here.

use crate::authorize::Authorizer;
use crate::caller::{Caller, KeyError};
use crate::router::{Context, Origin};
use async_trait::async_trait;
use http::HeaderMap;
use millpond_core::arn::Place;
use millpond_core::env::SharedEnv;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::path::S3Path;
use s3s::{S3Error, S3ErrorCode, S3Result};
use std::sync::{Arc, OnceLock};

tokio::task_local! {
    /// What the edge knows of the request that `s3s` is answering, which does not hand it on to where the key is looked up.
    pub(super) static SESSION: Session;
}

/// The session token of a request, and who it turns out to be of.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    pub token: Option<String>,
    pub caller: Arc<OnceLock<Caller>>,
    /// Where the request will be asked twice: what was granted the first time.
    pub granted: Option<Arc<OnceLock<Granted>>>,
}

/// A request that was verified and authorised: it may be asked again within the same call without what was signed ([`super::range`]).
#[derive(Debug, Clone)]
pub(super) struct Granted {
    pub operation: String,
    path: (String, String),
    identified: Identified,
}

fn place_of(path: &S3Path) -> (String, String) {
    match path {
        S3Path::Root => (String::new(), String::new()),
        S3Path::Bucket { bucket } => (bucket.to_string(), String::new()),
        S3Path::Object { bucket, key } => (bucket.to_string(), key.to_string()),
    }
}

/// Who a verified S3 request is of: in the extensions of every request that reaches its handler.
#[derive(Debug, Clone)]
pub(super) struct Identified(pub Arc<Caller>);

/// The access keys of the lake.
pub(super) struct Keys {
    pub keys: Arc<dyn crate::caller::Keys>,
    pub env: SharedEnv,
}

#[async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let session = SESSION.try_with(Session::clone).unwrap_or_default();
        match self.keys.secret(access_key, session.token.as_deref(), self.env.now_ms()) {
            Ok(key) => {
                let _ = session.caller.set(key.caller);
                Ok(SecretKey::from(key.secret))
            }
            Err(KeyError::Unknown) => {
                let message = "The AWS Access Key Id you provided does not exist in our records.";
                Err(S3Error::with_message(S3ErrorCode::InvalidAccessKeyId, message))
            }
            Err(KeyError::InvalidToken) => {
                let message = "The provided token is malformed or otherwise invalid.";
                Err(S3Error::with_message(S3ErrorCode::InvalidToken, message))
            }
            Err(KeyError::Expired) => Err(S3Error::with_message(S3ErrorCode::ExpiredToken, "The provided token has expired.")),
        }
    }
}

/// Brings every request before the authorizer, and lets through what the lake can do as it is asked.
pub(super) struct Access {
    pub place: Arc<Place>,
    pub env: SharedEnv,
    pub authorizer: Arc<dyn Authorizer>,
}

impl Access {
    fn authorize(&self, request: &S3AccessContext<'_>, caller: &Caller, origin: Option<Origin>) -> S3Result<()> {
        let operation = request.s3_op().name();
        let source = text(request.headers(), "x-amz-copy-source");
        let Some(actions) = super::actions::of(operation, request.s3_path(), source) else {
            return Err(denied(format!("Access Denied: the operation {operation} has no action that could be allowed")));
        };
        let Origin { source_ip, request_id } =
            origin.unwrap_or_else(|| Origin { source_ip: String::new(), request_id: String::new() });
        let context = Context {
            account: self.place.account.clone(),
            region: self.place.region.clone(),
            principal: caller.clone(),
            source_ip,
            request_id,
            now_ms: self.env.now_ms(),
            endpoint: String::new(),
            host: text(request.headers(), "host").map(str::to_owned),
        };
        for (action, resource) in actions {
            self.authorizer.authorize(&context, action, &resource).map_err(|error| denied(error.message))?;
        }
        Ok(())
    }
}

#[async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let session = SESSION.try_with(Session::clone).unwrap_or_default();
        let granted = session.granted.as_ref().and_then(|granted| granted.get());
        if let (None, Some(granted)) = (context.credentials(), granted)
            && granted.operation == context.s3_op().name()
            && granted.path == place_of(context.s3_path())
        {
            context.extensions_mut().insert(granted.identified.clone());
            return Ok(());
        }
        let caller = session.caller.get().cloned();
        let (Some(_), Some(caller)) = (context.credentials(), caller) else {
            return Err(denied("Access Denied: requests must be signed (anonymous access is not allowed)"));
        };
        let operation = context.s3_op().name();
        if !super::IMPLEMENTED.contains(&operation) {
            return Err(not_implemented(format!("{operation} is not implemented yet")));
        }
        let query = context.uri().query().unwrap_or_default();
        match is_version_2(context.headers(), query) {
            true => check_version_2(query)?,
            false => check_signed_headers(context.headers(), query)?,
        }
        check_owner(context.headers(), &self.place.account)?;
        check_parameters(operation, query)?;
        check_encryption(context.headers())?;
        check_acl(operation, context.headers())?;
        check_lock(context.headers())?;
        let origin = context.extensions_mut().get::<Origin>().cloned();
        self.authorize(context, &caller, origin)?;
        let identified = Identified(Arc::new(caller));
        if let Some(granted) = &session.granted {
            let (operation, path) = (context.s3_op().name().to_owned(), place_of(context.s3_path()));
            let _ = granted.set(Granted { operation, path, identified: identified.clone() });
        }
        context.extensions_mut().insert(identified);
        Ok(())
    }
}

fn denied(message: impl Into<String>) -> S3Error {
    S3Error::with_message(S3ErrorCode::AccessDenied, message.into())
}

fn not_implemented(message: impl Into<String>) -> S3Error {
    S3Error::with_message(S3ErrorCode::NotImplemented, message.into())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Every `x-amz-` header and the host must be signed: AWS General Reference, "Create a canonical request".
fn check_signed_headers(headers: &HeaderMap, query: &str) -> S3Result<()> {
    let signed: Vec<String> = match text(headers, "authorization") {
        Some(authorization) => {
            let list =
                authorization.split_once("SignedHeaders=").map_or("", |(_, rest)| rest.split(',').next().unwrap_or_default());
            list.trim().split(';').map(str::to_ascii_lowercase).collect()
        }
        None => {
            let list = query.split('&').find_map(|pair| pair.strip_prefix("X-Amz-SignedHeaders=")).unwrap_or_default();
            let list = percent_encoding::percent_decode_str(list).decode_utf8_lossy().into_owned();
            list.split(';').map(str::to_ascii_lowercase).collect()
        }
    };
    let is_signed = |name: &str| signed.iter().any(|header| header == name);
    if !is_signed("host") {
        return Err(denied("There were headers present in the request which were not signed: host"));
    }
    let must_be = |name: &str| name.starts_with("x-amz-") && name != "x-amz-content-sha256";
    match headers.keys().map(|name| name.as_str()).find(|name| must_be(name) && !is_signed(name)) {
        Some(name) => Err(denied(format!("There were headers present in the request which were not signed: {name}"))),
        None => Ok(()),
    }
}

/// A URL that is signed by version 2 of the protocol.
pub(super) fn is_version_2(headers: &HeaderMap, query: &str) -> bool {
    !headers.contains_key("authorization")
        && !names(query).any(|name| name == "X-Amz-Signature")
        && names(query).any(|name| name == "Signature")
}

fn names(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or_default())
}

/// Version 2 signs all `x-amz-` headers, but of the parameters only these: S3 developer guide, "Signing and authenticating REST requests". Others
/// could be added to a URL by whoever has it.
const SIGNED_BY_VERSION_2: &[&str] = &[
    "delete",
    "location",
    "notification",
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "tagging",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
];

fn check_version_2(query: &str) -> S3Result<()> {
    let own = |name: &str| matches!(name, "AWSAccessKeyId" | "Signature" | "Expires" | "x-id") || name.starts_with("x-amz-");
    let mut seen: Vec<&str> = Vec::new();
    for name in names(query) {
        if seen.contains(&name) || !(own(name) || SIGNED_BY_VERSION_2.contains(&name)) {
            let name: String = name.chars().take(64).collect();
            return Err(denied(format!(
                "Access Denied: the parameter '{name}' is not signed; sign this request with AWS4-HMAC-SHA256"
            )));
        }
        seen.push(name);
    }
    Ok(())
}

fn check_owner(headers: &HeaderMap, account: &str) -> S3Result<()> {
    for name in ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"] {
        if let Some(expected) = text(headers, name).filter(|expected| *expected != account) {
            return Err(denied(format!(
                "Access Denied: the bucket belongs to account {account}, not to {expected} as {name} says"
            )));
        }
    }
    Ok(())
}

/// Operations that a method and a path have when no sub-resource is named, and their own parameters. A sub-resource that is not known must not
/// end in one of these: `DELETE /bucket?something` does not delete the bucket.
const FALLBACKS: &[(&str, &[&str])] = &[
    ("CreateBucket", &[]),
    ("DeleteBucket", &[]),
    ("HeadBucket", &[]),
    ("PutObject", &[]),
    ("CopyObject", &[]),
    ("GetObject", &["versionId", "partNumber"]),
    ("HeadObject", &["versionId", "partNumber"]),
    ("DeleteObject", &["versionId"]),
    ("ListBuckets", &["prefix", "max-buckets", "continuation-token", "bucket-region"]),
    ("ListObjects", &["prefix", "delimiter", "marker", "max-keys", "encoding-type"]),
    (
        "ListObjectsV2",
        &["list-type", "prefix", "delimiter", "continuation-token", "start-after", "max-keys", "encoding-type", "fetch-owner"],
    ),
];

fn check_parameters(operation: &str, query: &str) -> S3Result<()> {
    let Some((_, own)) = FALLBACKS.iter().find(|(name, _)| *name == operation) else { return Ok(()) };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let elsewhere = matches!(name, "uploadId" | "partNumber" | "versionId" | "uploads" | "select-type");
        if !own.contains(&name) && (value.is_empty() || elsewhere) {
            let name: String = name.chars().take(64).collect();
            return Err(not_implemented(format!(
                "The sub-resource '{name}' is not implemented for this method and path ({operation})"
            )));
        }
    }
    Ok(())
}

/// The lake does not encrypt: what asks for a key must not be told that it was used. (`AES256` is what AWS does unasked.)
fn check_encryption(headers: &HeaderMap) -> S3Result<()> {
    let asked = |name: &str| headers.contains_key(name);
    if asked("x-amz-server-side-encryption-customer-algorithm")
        || asked("x-amz-copy-source-server-side-encryption-customer-algorithm")
    {
        return Err(not_implemented("Encryption with keys of the customer (SSE-C) is not implemented"));
    }
    match text(headers, "x-amz-server-side-encryption") {
        None | Some("AES256") => Ok(()),
        Some(other) => Err(not_implemented(format!("Server-side encryption '{other}' is not implemented"))),
    }
}

/// Buckets are as AWS makes them today: owned by their owner alone, with access control lists switched off.
fn check_acl(operation: &str, headers: &HeaderMap) -> S3Result<()> {
    let grants = headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-"));
    let acl = text(headers, "x-amz-acl").filter(|acl| !matches!(*acl, "private" | "bucket-owner-full-control" | ""));
    if !grants && acl.is_none() {
        return Ok(());
    }
    if operation == "CreateBucket" {
        let code = S3ErrorCode::InvalidBucketAclWithObjectOwnership;
        return Err(S3Error::with_message(
            code,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    Err(S3Error::with_message(S3ErrorCode::AccessControlListNotSupported, "The bucket does not allow ACLs"))
}

fn check_lock(headers: &HeaderMap) -> S3Result<()> {
    if text(headers, "x-amz-bucket-object-lock-enabled").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(not_implemented("Object lock is not implemented"));
    }
    if headers.keys().any(|name| name.as_str().starts_with("x-amz-object-lock-")) {
        return Err(S3Error::with_message(S3ErrorCode::InvalidRequest, "Bucket is missing Object Lock Configuration"));
    }
    if headers.contains_key("x-amz-write-offset-bytes") {
        return Err(not_implemented("Appending to objects (x-amz-write-offset-bytes) is not implemented"));
    }
    match text(headers, "x-amz-object-ownership") {
        None | Some("BucketOwnerEnforced") => Ok(()),
        Some(other) => Err(not_implemented(format!("Object ownership '{other}' is not implemented"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn headers_that_matter_must_be_signed() {
        let authorization = "AWS4-HMAC-SHA256 Credential=a/b/c/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=00";
        let signed = [("authorization", authorization), ("host", "h"), ("x-amz-date", "d"), ("x-amz-content-sha256", "c")];
        check_signed_headers(&headers(&signed), "").unwrap();
        let more = [&signed[..], &[("x-amz-copy-source", "other/secret")]].concat();
        assert!(check_signed_headers(&headers(&more), "").is_err());
        check_signed_headers(&headers(&[("host", "h")]), "X-Amz-SignedHeaders=host&X-Amz-Signature=0").unwrap();
        check_signed_headers(&headers(&[("x-amz-tagging", "a=b")]), "X-Amz-SignedHeaders=host%3Bx-amz-tagging").unwrap();
        assert!(check_signed_headers(&headers(&[("x-amz-tagging", "a=b")]), "X-Amz-SignedHeaders=host").is_err());
        assert!(check_signed_headers(&headers(&[]), "").is_err());
    }

    #[test]
    fn a_url_of_version_2_has_no_unsigned_parameters() {
        let own = "AWSAccessKeyId=a&Signature=b&Expires=1";
        assert!(is_version_2(&headers(&[]), own) && !is_version_2(&headers(&[]), "X-Amz-Signature=a&Signature=b"));
        check_version_2(own).unwrap();
        check_version_2(&format!("{own}&response-content-type=a")).unwrap();
        for more in ["attributes", "tagging&tagging", "list-type=2", "prefix=secret"] {
            assert!(check_version_2(&format!("{own}&{more}")).is_err(), "{more}");
        }
    }

    #[test]
    fn an_unknown_sub_resource_does_not_end_in_another_operation() {
        for (operation, query) in [
            ("DeleteBucket", "metadataConfiguration"),
            ("DeleteBucket", "abac="),
            ("PutObject", "renameObject"),
            ("PutObject", "uploadId=x"),
            ("PutObject", "partNumber=1"),
            ("DeleteObject", "annotation"),
            ("ListObjects", "cloudfront"),
        ] {
            assert!(check_parameters(operation, query).is_err(), "{operation} {query}");
        }
        for (operation, query) in [
            ("PutObject", "x-id=PutObject"),
            ("PutObject", "X-Amz-Signature=0&X-Amz-Expires=9"),
            ("GetObject", "versionId=&partNumber=2&response-content-type=a"),
            ("ListObjectsV2", "list-type=2&prefix=&delimiter=%2F"),
            ("GetBucketTagging", "tagging"),
        ] {
            assert!(check_parameters(operation, query).is_ok(), "{operation} {query}");
        }
    }

    #[test]
    fn what_the_lake_does_not_do_is_refused() {
        assert!(check_encryption(&headers(&[("x-amz-server-side-encryption", "aws:kms")])).is_err());
        assert!(check_encryption(&headers(&[("x-amz-server-side-encryption", "AES256")])).is_ok());
        assert!(check_acl("PutObject", &headers(&[("x-amz-acl", "public-read")])).is_err());
        assert!(check_acl("PutObject", &headers(&[("x-amz-acl", "private")])).is_ok());
        assert!(check_acl("PutObject", &headers(&[("x-amz-grant-read", "id=x")])).is_err());
        assert!(check_lock(&headers(&[("x-amz-object-lock-mode", "GOVERNANCE")])).is_err());
        assert!(check_owner(&headers(&[("x-amz-expected-bucket-owner", "1")]), "0").is_err());
    }
}
