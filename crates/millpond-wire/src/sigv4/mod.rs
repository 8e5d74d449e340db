//! Signature Version 4: who sent a request, and that nobody changed it.
//!
//! For all services but S3, whose requests `s3s` verifies. [`Signed`] and [`verify`] take requests signed by header
//! and presigned ones; [`Signer`] signs for our own client, also for S3.
//!
//! What is checked, in this order, so that the first thing that is wrong is what the answer names:
//! the signature is there and has all its parts; its scope names this service, this region and the date
//! of the request; the request is not older or younger than five minutes (presigned: within its own
//! time); the key exists; the signature is the one that the key's secret gives for this request. The
//! comparison takes the same time wherever the first difference is.
//!
//! Two things are asked for that would otherwise let a signed request be turned into another one:
//! `X-Amz-Target` must be among the signed headers, and the body is always hashed (`UNSIGNED-PAYLOAD` is S3's alone).
//!
//! Error codes differ between AWS's JSON and Query services; [`Refusal::into_error`] holds the table.
//! AWS documents them at "Troubleshoot Signature Version 4 signing" and on each service's "Common
//! Error Types" page.

mod canonical;
mod read;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime};
use hmac::{Hmac, Mac};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::WireError;
use crate::service::Protocol;
use canonical::Canonical;
pub(crate) use canonical::escape;
use read::Claim;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
/// How far a request's clock may be from ours.
const SKEW_MS_MAX: i64 = 5 * 60 * 1000;
/// The longest time that a presigned request may be valid: seven days.
const EXPIRES_S_MAX: i64 = 7 * 24 * 60 * 60;
/// A refusal shows what should have been signed up to this size.
const SHOWN_BYTES_MAX: usize = 4096;

/// What a request must be signed for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The service's signing name.
    pub service: &'a str,
    /// The lake's region; `None` for services that are the same in all regions (IAM, STS).
    pub region: Option<&'a str>,
    /// The time now, in milliseconds since 1970.
    pub now_ms: i64,
}

/// What a verified request says of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The access key whose secret signed it.
    pub access_key: String,
    /// The session token that came along; whether it belongs to the key is the caller's to check.
    pub session_token: Option<String>,
    /// Whether the signature was in the URL.
    pub presigned: bool,
}

/// Why an access key cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// There is no such key.
    Unknown,
    /// The session token is not the key's, or was changed, or its role is no more.
    InvalidToken,
    /// The session has ended.
    Expired,
}

impl KeyError {
    /// The error in the protocol's form (JSON's, where there is none).
    #[must_use]
    pub fn into_error(self, protocol: Option<Protocol>) -> WireError {
        Refusal::Key(self).into_error(protocol)
    }
}

/// A request that is signed for this service, this place and this time, by whoever has the secret of its access key. Nothing of it is
/// verified yet: it is read before the body is.
#[derive(Debug)]
pub struct Signed {
    claim: Claim,
    signing_name: String,
}

impl Signed {
    /// Reads and checks what the request says of its signature.
    ///
    /// # Errors
    /// With AWS's codes for what is wrong, in the protocol's form (JSON's, where there is none).
    pub fn read(parts: &Parts, expected: &Expected<'_>, protocol: Option<Protocol>) -> Result<Self, WireError> {
        Self::check(parts, expected).map_err(|refusal| refusal.into_error(protocol))
    }

    fn check(parts: &Parts, expected: &Expected<'_>) -> Result<Self, Refusal> {
        let claim = Claim::read(parts)?;
        check_scope(&claim, expected)?;
        check_time(&claim, expected.now_ms)?;
        check_signed_headers(parts, &claim)?;
        Ok(Self { claim, signing_name: expected.service.to_owned() })
    }

    /// The access key that is said to have signed it.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.claim.access_key
    }

    /// The session token that came along.
    #[must_use]
    pub fn session_token(&self) -> Option<&str> {
        self.claim.session_token.as_deref()
    }

    /// Checks that it is signed for this service too.
    ///
    /// # Errors
    /// As [`Signed::read`].
    pub fn check_service(&self, signing_name: &str, protocol: Option<Protocol>) -> Result<(), WireError> {
        check_service(&self.claim, signing_name).map_err(|refusal| refusal.into_error(protocol))
    }

    /// Verifies the signature over the whole request with the key's secret.
    ///
    /// # Errors
    /// With AWS's codes for what is wrong, in the protocol's form (JSON's, where there is none).
    pub fn verify(
        &self,
        parts: &Parts,
        body: &[u8],
        secret: &str,
        keys: &SigningKeys,
        protocol: Option<Protocol>,
    ) -> Result<(), WireError> {
        self.check_signature(parts, body, secret, keys).map_err(|refusal| refusal.into_error(protocol))
    }

    fn check_signature(&self, parts: &Parts, body: &[u8], secret: &str, keys: &SigningKeys) -> Result<(), Refusal> {
        let claim = &self.claim;
        let payload_hash = hex::encode(Sha256::digest(body));
        check_payload(parts, &payload_hash)?;
        let headers = read::signed_header_values(parts, &claim.signed_headers)?;
        let canonical = Canonical {
            method: parts.method.as_str(),
            path: &canonical::path(parts.uri.path(), &self.signing_name),
            query: &canonical::query(parts.uri.query().unwrap_or_default()),
            headers: &headers,
            payload_hash: &payload_hash,
        };
        let request = canonical.request();
        let to_sign = string_to_sign(&claim.date, &claim.scope.text(), &request);
        let signature = hex::encode(hmac(&keys.key(secret, &claim.scope), to_sign.as_bytes()));
        if !bool::from(signature.as_bytes().ct_eq(claim.signature.as_bytes())) {
            return Err(Refusal::mismatch(&request, &to_sign));
        }
        Ok(())
    }
}

/// Verifies a request. `protocol` chooses the form of the error (JSON's, where there is none); `secret`
/// knows the secret of an access key.
///
/// # Errors
/// With AWS's codes for what is wrong, and what to do about it.
pub fn verify(
    parts: &Parts,
    body: &[u8],
    expected: &Expected<'_>,
    protocol: Option<Protocol>,
    secret: impl Fn(&str) -> Option<String>,
) -> Result<Verified, WireError> {
    let signed = Signed::read(parts, expected, protocol)?;
    let secret = secret(signed.access_key()).ok_or_else(|| KeyError::Unknown.into_error(protocol))?;
    signed.verify(parts, body, &secret, &SigningKeys::default(), protocol)?;
    let claim = signed.claim;
    Ok(Verified { access_key: claim.access_key, session_token: claim.session_token, presigned: claim.expires_s.is_some() })
}

/// Signing keys that were derived before: four of a signature's five hashes are the same for a day. Bounded.
#[derive(Default)]
pub struct SigningKeys(RwLock<HashMap<Box<str>, Vec<u8>>>);

/// Derived keys that are kept at most: many sessions, each for some services.
const SIGNING_KEYS_MAX: usize = 4096;

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").finish_non_exhaustive()
    }
}

impl SigningKeys {
    fn key(&self, secret: &str, scope: &Scope) -> Vec<u8> {
        let name = format!("{secret}\n{}", scope.text());
        if let Some(key) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name.as_str()) {
            return key.clone();
        }
        let key = signing_key(secret, scope);
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= SIGNING_KEYS_MAX {
            kept.clear();
        }
        kept.insert(name.into(), key.clone());
        key
    }
}

fn check_scope(claim: &Claim, expected: &Expected<'_>) -> Result<(), Refusal> {
    let scope = &claim.scope;
    check_service(claim, expected.service)?;
    if let Some(region) = expected.region.filter(|region| scope.region != *region) {
        return Err(Refusal::Mismatch(format!(
            "Credential should be scoped to a valid region, not '{}'. This lake's region is '{region}': \
             set AWS_DEFAULT_REGION to it.",
            read::shown(&scope.region),
        )));
    }
    if claim.date.get(..8) != Some(scope.date.as_str()) {
        return Err(Refusal::Mismatch(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             '{}' != '{}'.",
            read::shown(&scope.date),
            claim.date.get(..8).unwrap_or_default()
        )));
    }
    Ok(())
}

fn check_service(claim: &Claim, service: &str) -> Result<(), Refusal> {
    if claim.scope.service == service {
        return Ok(());
    }
    let found = read::shown(&claim.scope.service);
    Err(Refusal::Mismatch(format!("Credential should be scoped to correct service: '{service}', not '{found}'.")))
}

fn check_time(claim: &Claim, now_ms: i64) -> Result<(), Refusal> {
    let now = || basic(now_ms);
    if claim.date_ms > now_ms + SKEW_MS_MAX {
        return Err(Refusal::Mismatch(format!(
            "Signature not yet current: {} is still later than {} ({} + 5 min.): \
             the client's clock is ahead of the lake's.",
            claim.date,
            basic(now_ms + SKEW_MS_MAX),
            now()
        )));
    }
    match claim.expires_s {
        Some(expires_s) => {
            let end_ms = claim.date_ms + expires_s * 1000;
            if now_ms > end_ms {
                return Err(Refusal::Expired(format!(
                    "Signature expired: the request was valid until {}, and it is now {}.",
                    basic(end_ms),
                    now()
                )));
            }
        }
        None if claim.date_ms < now_ms - SKEW_MS_MAX => {
            return Err(Refusal::Mismatch(format!(
                "Signature expired: {} is now earlier than {} ({} - 5 min.): \
                 the request was long under way, or the client's clock is behind the lake's.",
                claim.date,
                basic(now_ms - SKEW_MS_MAX),
                now()
            )));
        }
        None => {}
    }
    Ok(())
}

fn check_signed_headers(parts: &Parts, claim: &Claim) -> Result<(), Refusal> {
    let signed = |name: &str| claim.signed_headers.iter().any(|signed| signed == name);
    if !signed("host") {
        return Err(Refusal::Incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.".to_owned()));
    }
    if parts.headers.contains_key("x-amz-target") && !signed("x-amz-target") {
        return Err(Refusal::Incomplete("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.".to_owned()));
    }
    Ok(())
}

/// A hash that the client sent along must be the body's.
fn check_payload(parts: &Parts, payload_hash: &str) -> Result<(), Refusal> {
    match parts.headers.get("x-amz-content-sha256") {
        Some(claimed) if !claimed.as_bytes().eq_ignore_ascii_case(payload_hash.as_bytes()) => Err(Refusal::Mismatch(format!(
            "The provided 'x-amz-content-sha256' header does not match what was computed: '{}' != '{payload_hash}'. \
             Requests to this service sign their body.",
            read::shown(&String::from_utf8_lossy(claimed.as_bytes()))
        ))),
        _ => Ok(()),
    }
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// There is no signature.
    Missing,
    /// The signature lacks a part, or has one that cannot be read.
    Incomplete(String),
    /// The access key cannot sign.
    Key(KeyError),
    /// It is not the signature of this request, at this time, for this service.
    Mismatch(String),
    /// A presigned request came after its time.
    Expired(String),
}

impl Refusal {
    fn mismatch(request: &[u8], to_sign: &str) -> Self {
        let mut message = "The request signature we calculated does not match the signature you provided. \
            Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
            .to_owned();
        if request.len() <= SHOWN_BYTES_MAX {
            message.push_str("\n\nThe Canonical String for this request should have been\n'");
            message.push_str(&String::from_utf8_lossy(request));
            message.push_str("'\n\nThe String-to-Sign should have been\n'");
            message.push_str(to_sign);
            message.push('\'');
        }
        Self::Mismatch(message)
    }

    fn into_error(self, protocol: Option<Protocol>) -> WireError {
        let xml = protocol.is_some_and(Protocol::speaks_xml);
        let forbidden = match protocol {
            Some(Protocol::Query { .. } | Protocol::Rest | Protocol::RestJson) => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        let (status, query_code, json_code, message) = match self {
            Self::Missing => (
                forbidden,
                "MissingAuthenticationToken",
                "MissingAuthenticationTokenException",
                "Missing Authentication Token: the request is not signed. `millpond env` prints credentials.".to_owned(),
            ),
            Self::Incomplete(message) => {
                (StatusCode::BAD_REQUEST, "IncompleteSignature", "IncompleteSignatureException", message)
            }
            Self::Key(KeyError::Unknown) => (
                forbidden,
                "InvalidClientTokenId",
                "UnrecognizedClientException",
                "The security token included in the request is invalid: this lake has no such access key. \
                 `millpond env` prints credentials."
                    .to_owned(),
            ),
            Self::Key(KeyError::InvalidToken) => (
                forbidden,
                "InvalidClientTokenId",
                "UnrecognizedClientException",
                "The security token included in the request is invalid: the session token is not of this access key, \
                 or the role that it is of does not exist any more."
                    .to_owned(),
            ),
            Self::Key(KeyError::Expired) => (
                forbidden,
                "ExpiredToken",
                "ExpiredTokenException",
                "The security token included in the request is expired".to_owned(),
            ),
            Self::Mismatch(message) => (forbidden, "SignatureDoesNotMatch", "InvalidSignatureException", message),
            Self::Expired(message) => (StatusCode::BAD_REQUEST, "RequestExpired", "InvalidSignatureException", message),
        };
        WireError::sender(status, if xml { query_code } else { json_code }, message)
    }
}

/// A credential scope: what a derived key is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    date: String,
    region: String,
    service: String,
}

impl Scope {
    fn text(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

fn string_to_sign(date: &str, scope: &str, request: &[u8]) -> String {
    format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(request)))
}

/// The key of a secret for a scope.
fn signing_key(secret: &str, scope: &Scope) -> Vec<u8> {
    let mut key = hmac(format!("AWS4{secret}").as_bytes(), scope.date.as_bytes());
    for part in [&scope.region, &scope.service, TERMINATOR] {
        key = hmac(&key, part.as_bytes());
    }
    key
}

fn signature(secret: &str, scope: &Scope, to_sign: &str) -> String {
    hex::encode(hmac(&signing_key(secret, scope), to_sign.as_bytes()))
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// A time as `20150830T123600Z`.
fn basic(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().format("%Y%m%dT%H%M%SZ").to_string()
}

/// Reads `20150830T123600Z`; milliseconds since 1970.
fn from_basic(text: &str) -> Option<i64> {
    if text.len() != 16 {
        return None;
    }
    NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok().map(|time| time.and_utc().timestamp_millis())
}

/// What is signed of a body.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// All of it.
    Bytes(&'a [u8]),
    /// Its SHA-256, in hexadecimal, computed before.
    Sha256(&'a str),
    /// Nothing; S3 takes this, other services do not.
    Unsigned,
}

/// Signs requests with one key for one service.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// The access key.
    pub access_key: &'a str,
    /// Its secret.
    pub secret_key: &'a str,
    /// The session's token, for temporary keys.
    pub session_token: Option<&'a str>,
    /// The region of the lake.
    pub region: &'a str,
    /// The service's signing name.
    pub service: &'a str,
}

impl std::fmt::Debug for Signer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Signs an operation's request ([`crate::client::request`]) for an endpoint such as `http://127.0.0.1:4566`.
///
/// # Errors
/// Names what of endpoint or key cannot be sent.
pub fn sign(
    request: http::Request<Bytes>,
    endpoint: &str,
    signer: &Signer<'_>,
    now_ms: i64,
) -> Result<http::Request<Bytes>, String> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let uri = format!("{}{path}", endpoint.trim_end_matches('/'));
    parts.uri = uri.parse().map_err(|error| format!("{uri:?} is not an address: {error}"))?;
    signer.sign(&mut parts, Payload::Bytes(&body), now_ms)?;
    Ok(http::Request::from_parts(parts, body))
}

impl Signer<'_> {
    /// Signs a request by headers. All headers that it has are signed, and `host`, which is set from
    /// the URI where it is missing.
    ///
    /// # Errors
    /// Names what cannot be sent as a header.
    pub fn sign(&self, parts: &mut Parts, payload: Payload<'_>, now_ms: i64) -> Result<(), String> {
        let date = basic(now_ms);
        let payload_hash = payload.hash();
        set_host(parts)?;
        set(parts, "x-amz-date", &date)?;
        if let Some(token) = self.session_token {
            set(parts, "x-amz-security-token", token)?;
        }
        if self.service == "s3" {
            set(parts, "x-amz-content-sha256", &payload_hash)?;
        }
        parts.headers.remove(header::AUTHORIZATION);
        let mut names: Vec<String> = parts.headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort_unstable();
        let (signature, scope) = self.signature(parts, &names, &payload_hash, &date)?;
        let value = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
            self.access_key,
            names.join(";")
        );
        set(parts, "authorization", &value)
    }

    /// Puts the signature into the URI, which is then good for `expires_s` seconds in anybody's hands.
    ///
    /// # Errors
    /// Names what cannot be sent.
    pub fn presign(&self, parts: &mut Parts, expires_s: u32, now_ms: i64) -> Result<(), String> {
        let date = basic(now_ms);
        set_host(parts)?;
        let scope = self.scope(&date).text();
        let mut fields = vec![
            ("X-Amz-Algorithm", ALGORITHM.to_owned()),
            ("X-Amz-Credential", format!("{}/{scope}", self.access_key)),
            ("X-Amz-Date", date.clone()),
            ("X-Amz-Expires", expires_s.to_string()),
            ("X-Amz-SignedHeaders", "host".to_owned()),
        ];
        if let Some(token) = self.session_token {
            fields.push(("X-Amz-Security-Token", token.to_owned()));
        }
        for (name, value) in fields {
            append_query(parts, name, &value)?;
        }
        let payload = if self.service == "s3" { Payload::Unsigned } else { Payload::Bytes(b"") };
        let (signature, _) = self.signature(parts, &["host".to_owned()], &payload.hash(), &date)?;
        append_query(parts, "X-Amz-Signature", &signature)
    }

    fn scope(&self, date: &str) -> Scope {
        Scope { date: date[..8].to_owned(), region: self.region.to_owned(), service: self.service.to_owned() }
    }

    fn signature(&self, parts: &Parts, names: &[String], payload_hash: &str, date: &str) -> Result<(String, String), String> {
        let headers = read::signed_header_values(parts, names).map_err(|refusal| format!("{refusal:?}"))?;
        let canonical = Canonical {
            method: parts.method.as_str(),
            path: &canonical::path(parts.uri.path(), self.service),
            query: &canonical::query(parts.uri.query().unwrap_or_default()),
            headers: &headers,
            payload_hash,
        };
        let scope = self.scope(date);
        let to_sign = string_to_sign(date, &scope.text(), &canonical.request());
        Ok((signature(self.secret_key, &scope, &to_sign), scope.text()))
    }
}

impl Payload<'_> {
    fn hash(&self) -> String {
        match self {
            Payload::Bytes(bytes) => hex::encode(Sha256::digest(bytes)),
            Payload::Sha256(hash) => (*hash).to_owned(),
            Payload::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
        }
    }
}

fn set(parts: &mut Parts, name: &'static str, value: &str) -> Result<(), String> {
    let value = HeaderValue::from_str(value).map_err(|_| format!("the value of {name} cannot be sent as a header"))?;
    parts.headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

fn set_host(parts: &mut Parts) -> Result<(), String> {
    if parts.headers.contains_key(header::HOST) {
        return Ok(());
    }
    let Some(authority) = parts.uri.authority().map(|authority| authority.as_str().to_owned()) else {
        return Err("the request has neither a host header nor a host in its URI".to_owned());
    };
    // A client leaves the scheme's own port out of the header.
    let default = match parts.uri.scheme_str() {
        Some("https") => ":443",
        _ => ":80",
    };
    set(parts, "host", authority.strip_suffix(default).unwrap_or(&authority))
}

fn append_query(parts: &mut Parts, name: &str, value: &str) -> Result<(), String> {
    let mut uri = parts.uri.clone().into_parts();
    let old = uri.path_and_query.as_ref().map_or("/", http::uri::PathAndQuery::as_str);
    let mark = if old.contains('?') { '&' } else { '?' };
    let new = format!("{old}{mark}{name}={}", canonical::escape(value.as_bytes()));
    uri.path_and_query = Some(new.parse().map_err(|error| format!("{name} cannot be sent: {error}"))?);
    parts.uri = Uri::from_parts(uri).map_err(|error| error.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests;
