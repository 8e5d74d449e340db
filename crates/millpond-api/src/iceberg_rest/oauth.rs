//! Bearer tokens of the protocol (Apache Iceberg, "REST catalog specification": `POST /v1/oauth/tokens`, `BearerAuth`; RFC 6749, "The OAuth 2.0
//! Authorization Framework"; RFC 6750).
//!
//! A bearer token is the session that the lake issues for AWS's clients, too, in one text: the access key's id, a dot, and the session token.
//! What it may do, when it ends, and who verifies it is the session's. A client's id and secret are an access key and its secret; or a session's
//! access key and its token, as PostgreSQL's clients have them. Since the secret itself is sent, it is taken only from the loopback or over TLS.

use super::{RestError, error_body, respond};
use crate::caller::{KeyError, KeyOf, Keys};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use millpond_services::lake::identity::{Caller, SessionKeys};
use millpond_services::sts::Sts;
use serde_json::json;
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// Where tokens are asked for.
const PATH: &str = "/iceberg/v1/oauth/tokens";

/// How long a token lives at the most: a session of the root's own lives no longer.
const SECONDS_MAX: i64 = 3600;

/// What a proxy that ends TLS says of a request.
const FORWARDED: &str = "x-forwarded-proto";

/// Whether a request asks for a token. One for the object of that name in a bucket `iceberg` is signed.
pub(crate) fn asks(parts: &Parts) -> bool {
    let signed = parts.headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"));
    parts.method == Method::POST && parts.uri.path() == PATH && parts.uri.query().is_none() && !signed
}

/// The bearer token of a request.
pub(crate) fn bearer(parts: &Parts) -> Option<&str> {
    after_scheme(parts, "bearer")
}

/// What follows a scheme, whose case does not matter (RFC 9110, "Authorization").
fn after_scheme<'a>(parts: &'a Parts, wanted: &str) -> Option<&'a str> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case(wanted).then(|| rest.trim())
}

/// Whether nobody on the way reads along.
fn is_private(parts: &Parts, source_ip: &str) -> bool {
    let loopback = source_ip.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    loopback || parts.headers.get(FORWARDED).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

const NOT_PRIVATE: &str = "Credentials and tokens are taken only from the loopback or over TLS (X-Forwarded-Proto: https); sign requests for glue instead.";

/// The session of a bearer token, with what its S3 requests are signed with.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) access_key: String,
    pub(crate) token: String,
    pub(crate) key: KeyOf,
}

/// Opens a bearer token.
///
/// # Errors
/// The answer: 401 for one that is none, 419 for one that is over (the specification's `AuthenticationTimeoutResponse`).
pub(crate) fn open(
    keys: &dyn Keys,
    parts: &Parts,
    token: &str,
    source_ip: &str,
    now_ms: i64,
) -> Result<Session, Box<Response<Bytes>>> {
    if !is_private(parts, source_ip) {
        return Err(Box::new(unauthorized(StatusCode::UNAUTHORIZED, "NotAuthorizedException", NOT_PRIVATE)));
    }
    let opened = token.split_once('.').ok_or(KeyError::InvalidToken).and_then(|(access_key, token)| {
        let key = keys.secret(access_key, Some(token), now_ms)?;
        Ok(Session { access_key: access_key.to_owned(), token: token.to_owned(), key })
    });
    opened.map_err(|error| {
        Box::new(match error {
            KeyError::Expired => unauthorized(
                // The specification's own number, which HTTP has no name for.
                StatusCode::from_u16(419).unwrap_or(StatusCode::UNAUTHORIZED),
                "AuthenticationTimeoutException",
                "The bearer token has expired; get a new one.",
            ),
            KeyError::Unknown | KeyError::InvalidToken => unauthorized(
                StatusCode::UNAUTHORIZED,
                "NotAuthorizedException",
                "The bearer token is not one of this lake's; POST /v1/oauth/tokens or `millpond token` gives one.",
            ),
        })
    })
}

fn unauthorized(status: StatusCode, kind: &'static str, message: &str) -> Response<Bytes> {
    let mut response = respond(status, Some(error_body(&RestError::new(status, kind, message))));
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
    response
}

/// Why no token is given: RFC 6749, "Error Response".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    description: &'static str,
}

impl Refusal {
    const fn bad(code: &'static str, description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description }
    }

    const fn client(description: &'static str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, code: "invalid_client", description }
    }
}

/// Answers a request for a token.
pub(crate) fn answer(keys: &dyn Keys, sts: &Sts, parts: &Parts, body: &[u8], source_ip: &str, now_ms: i64) -> Response<Bytes> {
    let mut response = match token(keys, sts, parts, body, source_ip, now_ms) {
        Ok((access_token, expires_in)) => respond(
            StatusCode::OK,
            Some(json!({
                "access_token": access_token,
                "token_type": "bearer",
                "expires_in": expires_in,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "scope": "catalog",
            })),
        ),
        Err(refusal) => {
            tracing::warn!(%source_ip, code = refusal.code, "a client of the Iceberg REST catalog got no token");
            let body = json!({"error": refusal.code, "error_description": refusal.description});
            let mut response = respond(refusal.status, Some(body));
            if refusal.status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"iceberg\""));
            }
            response
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A token, and the seconds that it lives.
fn token(keys: &dyn Keys, sts: &Sts, parts: &Parts, body: &[u8], source_ip: &str, now_ms: i64) -> Result<(String, i64), Refusal> {
    if !is_private(parts, source_ip) {
        return Err(Refusal::bad("invalid_request", NOT_PRIVATE));
    }
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match field("grant_type").as_deref() {
        Some("client_credentials") => {}
        Some(_) => {
            return Err(Refusal::bad("unsupported_grant_type", "Only client_credentials is granted: a token is not renewed."));
        }
        None => return Err(Refusal::bad("invalid_request", "The form has no grant_type; it is client_credentials.")),
    }
    let basic = after_scheme(parts, "basic").map(basic).transpose()?;
    let given = basic.or_else(|| field("client_id").zip(field("client_secret")));
    let Some((id, secret)) = given else {
        return Err(Refusal::client("A client_id (an access key) and its client_secret are needed."));
    };
    const WRONG: Refusal = Refusal::client("The client is unknown, or its secret is wrong.");
    if let Ok(root) = keys.secret(&id, None, now_ms) {
        if !bool::from(secret.as_bytes().ct_eq(root.secret.as_bytes())) {
            return Err(WRONG);
        }
        let issued = sts.session_token(&Caller::Root, Some(SECONDS_MAX)).map_err(|_| WRONG)?;
        let SessionKeys { access_key, session_token, session, .. } = issued;
        return Ok((format!("{access_key}.{session_token}"), (session.expires_ms - now_ms) / 1000));
    }
    let session = keys.secret(&id, Some(&secret), now_ms).map_err(|error| match error {
        KeyError::Expired => Refusal::client("The session has expired."),
        KeyError::Unknown | KeyError::InvalidToken => WRONG,
    })?;
    let expires_ms = session.caller.acting.map_or(now_ms, |acting| acting.session.expires_ms);
    Ok((format!("{id}.{secret}"), (expires_ms - now_ms) / 1000))
}

/// A client's id and secret, each encoded as in a form (RFC 6749, "Client Password").
fn basic(encoded: &str) -> Result<(String, String), Refusal> {
    let wrong = Refusal::client("The Basic credentials cannot be read.");
    let bytes = STANDARD.decode(encoded).map_err(|_| wrong)?;
    let text = String::from_utf8(bytes).map_err(|_| wrong)?;
    let (id, secret) = text.split_once(':').ok_or(wrong)?;
    // Clients that do not encode it (most) send an access key's `+` and `/` as they are: a plus is not a blank.
    let decode = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
    Ok((decode(id), decode(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::RootKey;
    use crate::sessions::LakeKeys;
    use millpond_core::env::SystemEnv;
    use millpond_services::lake;
    use millpond_services::lake::identity::{self, Identity, NewSession};
    use millpond_store::Store;
    use std::sync::Arc;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(http::Request::post(PATH), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    struct Lake {
        _folder: tempfile::TempDir,
        keys: LakeKeys,
        sts: Sts,
        identity: Identity,
    }

    async fn lake() -> Lake {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &[identity::COMPONENT], Arc::new(SystemEnv)).unwrap();
        let lake = lake::Lake { store, place: Arc::default() };
        let identity = Identity::open(&lake, "se+cr/et").await.unwrap();
        let keys = LakeKeys::new(RootKey::new("000000000000", "AKID", "se+cr/et"), identity.clone());
        Lake { _folder: folder, keys, sts: Sts::new(lake, identity.clone()), identity }
    }

    impl Lake {
        fn now(&self) -> i64 {
            self.identity.lake().store.env().now_ms()
        }

        fn ask(&self, headers: &[(&str, &str)], body: &str, source_ip: &str) -> (u16, serde_json::Value) {
            let response = answer(&self.keys, &self.sts, &parts(headers), body.as_bytes(), source_ip, self.now());
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
        }

        fn open(&self, token: &str, source_ip: &str, now_ms: i64) -> Result<Session, u16> {
            open(&self.keys, &parts(&[]), token, source_ip, now_ms).map_err(|response| response.status().as_u16())
        }
    }

    #[tokio::test]
    async fn a_clients_secret_gives_a_token_that_opens_a_session_for_an_hour() {
        let lake = lake().await;
        let form = "grant_type=client_credentials&client_id=AKID&client_secret=se%2Bcr%2Fet&scope=catalog";
        let basic = format!("Basic {}", STANDARD.encode("AKID:se+cr/et"));
        for (headers, body) in [(vec![], form), (vec![("authorization", basic.as_str())], "grant_type=client_credentials")] {
            let (status, answer) = lake.ask(&headers, body, "127.0.0.1");
            assert_eq!((status, &answer["token_type"]), (200, &json!("bearer")), "{answer}");
            assert!((3590..=3600).contains(&answer["expires_in"].as_i64().unwrap()), "{answer}");
            let token = answer["access_token"].as_str().unwrap();
            assert!(lake.open(token, "::1", lake.now()).unwrap().key.caller.is_root());
            assert_eq!(lake.open(token, "127.0.0.1", lake.now() + 3_601_000).unwrap_err(), 419);
            assert_eq!(lake.open(token, "10.0.0.7", lake.now()).unwrap_err(), 401);
        }
    }

    #[tokio::test]
    async fn a_sessions_key_and_token_are_a_client_too_and_end_with_it() {
        let lake = lake().await;
        let keys = lake.identity.issue_new(NewSession { name: "s".into(), seconds: 60, ..NewSession::default() });
        let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", keys.access_key, keys.session_token);
        let (status, answer) = lake.ask(&[], &form, "127.0.0.1");
        assert_eq!(status, 200, "{answer}");
        assert!((50..=60).contains(&answer["expires_in"].as_i64().unwrap()), "{answer}");
        let opened = lake.open(answer["access_token"].as_str().unwrap(), "127.0.0.1", lake.now()).unwrap();
        assert_eq!((opened.access_key, opened.key.secret), (keys.access_key, keys.secret_key));
    }

    #[tokio::test]
    async fn what_is_wrong_is_refused_by_name() {
        let lake = lake().await;
        let check = |headers: &[(&str, &str)], body: &str, ip: &str, expected: (u16, &str)| {
            let (status, answer) = lake.ask(headers, body, ip);
            assert_eq!((status, answer["error"].as_str().unwrap()), expected, "{body} {answer}");
        };
        let good = "grant_type=client_credentials&client_id=AKID&client_secret=se%2Bcr%2Fet";
        check(&[], good, "192.0.2.1", (400, "invalid_request"));
        let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=x";
        check(&[], exchange, "127.0.0.1", (400, "unsupported_grant_type"));
        check(&[], "", "127.0.0.1", (400, "invalid_request"));
        check(&[], "\0\u{ff}%zz&&=", "127.0.0.1", (400, "invalid_request"));
        check(&[], "grant_type=client_credentials", "127.0.0.1", (401, "invalid_client"));
        for (id, secret) in [("AKID", "wrong"), ("AKID", ""), ("AKIX", "se%2Bcr%2Fet"), ("ASIAX", "x.y"), ("", "")] {
            let body = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
            check(&[], &body, "127.0.0.1", (401, "invalid_client"));
        }
        check(&[("authorization", "Basic ???")], good, "127.0.0.1", (401, "invalid_client"));
        for token in ["", ".", "AKID", "AKID.", "AKID.se+cr/et", "ASIA.x", "a.b.c"] {
            assert_eq!(lake.open(token, "127.0.0.1", lake.now()).unwrap_err(), 401, "{token}");
        }
        assert!(lake.ask(&[(FORWARDED, "https")], good, "192.0.2.1").0 == 200);
    }

    #[test]
    fn a_signed_post_is_not_a_request_for_a_token() {
        assert!(asks(&parts(&[])));
        assert!(asks(&parts(&[("authorization", "Basic eA==")])));
        assert!(!asks(&parts(&[("authorization", "AWS4-HMAC-SHA256 Credential=x")])));
        assert_eq!(bearer(&parts(&[("authorization", "bEARER  a.b ")])), Some("a.b"));
        assert_eq!(bearer(&parts(&[("authorization", "Bearer")])), Some(""));
        assert_eq!(bearer(&parts(&[("authorization", "Basic eA==")])), None);
    }
}
