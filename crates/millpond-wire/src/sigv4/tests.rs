use http::Request;
use http::request::Builder;

use super::*;
use crate::{glue, sns};

/// The test suite that AWS publishes for Signature Version 4: name, method, path and query as they
/// stand in the request, headers, body, and the signature that must come out.
type Vector = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const DATE: (&str, &str) = ("X-Amz-Date", "20150830T123600Z");
const HOST: (&str, &str) = ("Host", "example.amazonaws.com");
const NOW_MS: i64 = 1_440_938_160_000;
const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

const VECTORS: &[Vector] = &[
    ("get-vanilla", "GET", "/", &[HOST, DATE], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-vanilla-query", "GET", "/", &[HOST, DATE], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-relative", "GET", "/example/..", &[HOST, DATE], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (
        "get-relative-relative",
        "GET",
        "/example1/example2/../..",
        &[HOST, DATE],
        "",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    ("get-slash-dot-slash", "GET", "/./", &[HOST, DATE], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash", "GET", "//", &[HOST, DATE], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (
        "get-slash-pointless-dot",
        "GET",
        "/./example",
        &[HOST, DATE],
        "",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    ("get-slashes", "GET", "//example//", &[HOST, DATE], "", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    (
        "get-space",
        "GET",
        "/example space/",
        &[HOST, DATE],
        "",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    (
        "get-special-character",
        "GET",
        "/example/$delete",
        &[HOST, DATE],
        "",
        "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27",
    ),
    (
        "get-unreserved",
        "GET",
        "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        &[HOST, DATE],
        "",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    ("get-utf8", "GET", "/\u{1234}", &[HOST, DATE], "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    (
        "get-vanilla-utf8-query",
        "GET",
        "/?\u{1234}=bar",
        &[HOST, DATE],
        "",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    (
        "get-vanilla-empty-query-key",
        "GET",
        "/?Param1=value1",
        &[HOST, DATE],
        "",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    (
        "get-vanilla-query-order-key-case",
        "GET",
        "/?Param2=value2&Param1=value1",
        &[HOST, DATE],
        "",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-vanilla-query-order-key",
        "GET",
        "/?Param1=value2&Param1=Value1",
        &[HOST, DATE],
        "",
        "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
    ),
    (
        "get-vanilla-query-order-value",
        "GET",
        "/?Param1=value2&Param1=value1",
        &[HOST, DATE],
        "",
        "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
    ),
    (
        "get-vanilla-query-order-encoded",
        "GET",
        "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
        &[HOST, DATE],
        "",
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    (
        "get-vanilla-query-unreserved",
        "GET",
        "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        &[HOST, DATE],
        "",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    (
        "get-header-key-duplicate",
        "GET",
        "/",
        &[HOST, ("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1"), DATE],
        "",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    (
        "get-header-value-multiline",
        "GET",
        "/",
        &[HOST, ("My-Header1", "value1   value2      value3"), DATE],
        "",
        "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd",
    ),
    (
        "get-header-value-order",
        "GET",
        "/",
        &[HOST, ("My-Header1", "value4"), ("My-Header1", "value1"), ("My-Header1", "value3"), ("My-Header1", "value2"), DATE],
        "",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    ),
    (
        "get-header-value-trim",
        "GET",
        "/",
        &[HOST, ("My-Header1", " value1"), ("My-Header2", " \"a   b   c\""), DATE],
        "",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "get-vanilla-with-session-token",
        "GET",
        "/",
        &[HOST, DATE, ("X-Amz-Security-Token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267")],
        "",
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
    ),
    ("post-vanilla", "POST", "/", &[HOST, DATE], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "post-header-key-case",
        "POST",
        "/",
        &[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
        "",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    (
        "post-header-key-sort",
        "POST",
        "/",
        &[DATE, ("My-Header1", "value1"), HOST],
        "",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    (
        "post-header-value-case",
        "POST",
        "/",
        &[HOST, ("My-Header1", "VALUE1"), DATE],
        "",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    (
        "post-sts-header-before",
        "POST",
        "/",
        &[HOST, DATE, ("X-Amz-Security-Token", TOKEN)],
        "",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    ),
    (
        "post-vanilla-query",
        "POST",
        "/?Param1=value1",
        &[HOST, DATE],
        "",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    (
        "post-x-www-form-urlencoded",
        "POST",
        "/",
        &[("Content-Type", "application/x-www-form-urlencoded"), HOST, DATE],
        "Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    (
        "post-x-www-form-urlencoded-parameters",
        "POST",
        "/",
        &[("Content-Type", "application/x-www-form-urlencoded; charset=utf8"), HOST, DATE],
        "Param1=value1",
        "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
    ),
];

fn with_headers(request: Builder, headers: &[(&str, &str)]) -> Builder {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

fn expected(now_ms: i64) -> Expected<'static> {
    Expected { service: "service", region: Some("us-east-1"), now_ms }
}

fn secret(key: &str) -> Option<String> {
    (key == "AKIDEXAMPLE").then(|| SECRET.to_owned())
}

fn signer() -> Signer<'static> {
    Signer { access_key: "AKIDEXAMPLE", secret_key: SECRET, session_token: None, region: "us-east-1", service: "service" }
}

#[test]
fn the_published_test_suite_gives_its_signatures() {
    for (name, method, target, headers, body, expected_signature) in VECTORS {
        let (parts, ()) = with_headers(Request::builder().method(*method), headers).body(()).unwrap().into_parts();
        let (raw_path, raw_query) = target.split_once('?').unwrap_or((target, ""));
        let mut names: Vec<String> = parts.headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort_unstable();
        let canonical = Canonical {
            method,
            path: &canonical::path(raw_path, "service"),
            query: &canonical::query(raw_query),
            headers: &read::signed_header_values(&parts, &names).unwrap(),
            payload_hash: &Payload::Bytes(body.as_bytes()).hash(),
        };
        let scope = signer().scope(DATE.1);
        let to_sign = string_to_sign(DATE.1, &scope.text(), &canonical.request());
        assert_eq!(signature(SECRET, &scope, &to_sign), *expected_signature, "{name}");
    }
}

#[test]
fn the_published_requests_are_verified_as_they_arrive() {
    let mut verified = 0;
    for (name, method, target, headers, body, signature) in VECTORS {
        let Ok(uri) = target.parse::<Uri>() else {
            continue; // a space or UTF-8 in the request line is not HTTP
        };
        let mut names: Vec<String> = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={}, Signature={signature}",
            names.join(";")
        );
        let request = with_headers(Request::builder().method(*method).uri(uri), headers).header("Authorization", authorization);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let result = verify(&parts, body.as_bytes(), &expected(NOW_MS), None, secret);
        let result = result.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(result.access_key, "AKIDEXAMPLE");
        assert_eq!(result.session_token.is_some(), names.iter().any(|name| name == "x-amz-security-token"), "{name}");
        assert_eq!(crate::target::scope(&parts).as_deref(), Some("service"));
        verified += 1;
    }
    assert!(verified >= 29, "{verified}");
}

/// A request to sign: POST with a target and a body.
fn request() -> (Parts, &'static [u8]) {
    let request = Request::builder()
        .method("POST")
        .uri("http://localhost:4566/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "AWSGlue.GetTable");
    (request.body(()).unwrap().into_parts().0, br#"{"Name":"t"}"#)
}

fn signed() -> (Parts, &'static [u8]) {
    let (mut parts, body) = request();
    signer().sign(&mut parts, Payload::Bytes(body), NOW_MS).unwrap();
    (parts, body)
}

fn refused(parts: &Parts, body: &[u8], expected: &Expected<'_>) -> WireError {
    verify(parts, body, expected, Some(glue::SERVICE.protocol), secret).expect_err("the request is wrong")
}

#[test]
fn what_the_signer_signs_is_verified() {
    let (parts, body) = signed();
    assert_eq!(parts.headers["host"], "localhost:4566");
    let result = verify(&parts, body, &expected(NOW_MS), None, secret).unwrap();
    let plain = Verified { access_key: "AKIDEXAMPLE".to_owned(), session_token: None, presigned: false };
    assert_eq!(result, plain);
    let (mut parts, body) = request();
    let signer = Signer { session_token: Some("token=="), ..signer() };
    signer.sign(&mut parts, Payload::Bytes(body), NOW_MS).unwrap();
    let result = verify(&parts, body, &expected(NOW_MS), None, secret).unwrap();
    assert_eq!(result.session_token.as_deref(), Some("token=="));
}

#[test]
fn spaces_between_the_parameters_are_optional() {
    let (mut parts, body) = signed();
    let value = parts.headers["authorization"].to_str().unwrap().replace(", ", ",");
    set(&mut parts, "authorization", &value).unwrap();
    assert!(verify(&parts, body, &expected(NOW_MS), None, secret).is_ok());
}

#[test]
fn every_change_of_a_signed_request_is_noticed() {
    let (good, body) = signed();
    type Change = (&'static str, fn(&mut Parts));
    let changes: &[Change] = &[
        ("method", |parts| parts.method = http::Method::PUT),
        ("path", |parts| parts.uri = Uri::from_static("http://localhost:4566/x")),
        ("query", |parts| parts.uri = Uri::from_static("http://localhost:4566/?a=b")),
        ("target", |parts| set(parts, "x-amz-target", "AWSGlue.DeleteTable").unwrap()),
        ("second target", |parts| {
            parts.headers.append("x-amz-target", HeaderValue::from_static("AWSGlue.DeleteTable"));
        }),
        ("type", |parts| set(parts, "content-type", "application/x-amz-json-1.0").unwrap()),
        ("host", |parts| set(parts, "host", "elsewhere").unwrap()),
        ("date", |parts| set(parts, "x-amz-date", "20150830T123601Z").unwrap()),
        ("signature", |parts| {
            let value = parts.headers["authorization"].to_str().unwrap();
            let last = if value.ends_with('0') { "1" } else { "0" };
            let value = format!("{}{last}", &value[..value.len() - 1]);
            set(parts, "authorization", &value).unwrap();
        }),
        ("short signature", |parts| {
            let value = parts.headers["authorization"].to_str().unwrap().to_owned();
            set(parts, "authorization", &value[..value.len() - 1]).unwrap();
        }),
    ];
    for (what, change) in changes {
        let mut parts = good.clone();
        change(&mut parts);
        let error = refused(&parts, body, &expected(NOW_MS));
        assert_eq!(error.code, "InvalidSignatureException", "{what}: {error}");
    }
    let error = refused(&good, br#"{"Name":"u"}"#, &expected(NOW_MS));
    assert!(error.message.contains("String-to-Sign"), "{error}");
    assert!(!error.message.contains(SECRET));
}

#[test]
fn a_clock_may_be_five_minutes_off() {
    let (parts, body) = signed();
    for minutes in [-5, 5] {
        assert!(verify(&parts, body, &expected(NOW_MS + minutes * 60_000), None, secret).is_ok());
    }
    let error = refused(&parts, body, &expected(NOW_MS + 300_001));
    assert_eq!(error.code, "InvalidSignatureException");
    assert!(
        error
            .message
            .starts_with("Signature expired: 20150830T123600Z is now earlier than 20150830T123600Z (20150830T124100Z - 5 min.)"),
        "{error}"
    );
    let error = refused(&parts, body, &expected(NOW_MS - 360_000));
    assert!(
        error.message.starts_with(
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123500Z (20150830T123000Z + 5 min.)"
        ),
        "{error}"
    );
}

#[test]
fn a_scope_must_name_this_service_region_and_day() {
    let (parts, body) = signed();
    for (expected, message) in [
        (Expected { service: "glue", ..expected(NOW_MS) }, "correct service: 'glue', not 'service'"),
        (
            Expected { region: Some("eu-central-1"), ..expected(NOW_MS) },
            "valid region, not 'us-east-1'. This lake's region is 'eu-central-1'",
        ),
    ] {
        let error = refused(&parts, body, &expected);
        assert_eq!(error.code, "InvalidSignatureException");
        assert!(error.message.contains(message), "{error}");
    }
    let (mut parts, body) = signed();
    let value = parts.headers["authorization"].to_str().unwrap().replace("20150830/", "20150829/");
    set(&mut parts, "authorization", &value).unwrap();
    let error = refused(&parts, body, &expected(NOW_MS));
    assert!(error.message.contains("'20150829' != '20150830'"), "{error}");
}

#[test]
fn a_body_must_have_the_hash_that_came_with_it() {
    for payload in [Payload::Unsigned, Payload::Bytes(b"other")] {
        let (mut parts, body) = request();
        set(&mut parts, "x-amz-content-sha256", &payload.hash()).unwrap();
        signer().sign(&mut parts, payload, NOW_MS).unwrap();
        let error = refused(&parts, body, &expected(NOW_MS));
        assert!(error.message.contains("x-amz-content-sha256"), "{error}");
    }
    let (mut parts, body) = request();
    set(&mut parts, "x-amz-content-sha256", &Payload::Bytes(body).hash()).unwrap();
    signer().sign(&mut parts, Payload::Bytes(body), NOW_MS).unwrap();
    assert!(verify(&parts, body, &expected(NOW_MS), None, secret).is_ok());
}

#[test]
fn presigned_requests_are_good_for_their_time() {
    let presigned = |expires_s| {
        let request = Request::builder().uri("http://localhost:4566/?Action=GetCallerIdentity&Version=2011-06-15");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let signer = Signer { session_token: Some("a+b/="), ..signer() };
        signer.presign(&mut parts, expires_s, NOW_MS).unwrap();
        parts
    };
    let parts = presigned(60);
    let result = verify(&parts, b"", &expected(NOW_MS + 60_000), None, secret).unwrap();
    assert!(result.presigned);
    assert_eq!(result.session_token.as_deref(), Some("a+b/="));
    assert_eq!(crate::target::scope(&parts).as_deref(), Some("service"));

    let error = verify(&parts, b"", &expected(NOW_MS + 60_001), Some(sns::SERVICE.protocol), secret).unwrap_err();
    assert_eq!((&*error.code, error.status), ("RequestExpired", StatusCode::BAD_REQUEST));
    assert_eq!(refused(&parts, b"", &expected(NOW_MS + 60_001)).code, "InvalidSignatureException");
    assert_eq!(refused(&parts, b"x", &expected(NOW_MS)).code, "InvalidSignatureException");
    for expires_s in [0, 604_801] {
        let error = refused(&presigned(expires_s), b"", &expected(NOW_MS));
        assert!(error.message.contains("1 to 604800 seconds"), "{error}");
    }
    let mut parts = presigned(60);
    append_query(&mut parts, "X-Amz-Expires", "600000").unwrap();
    assert!(refused(&parts, b"", &expected(NOW_MS)).message.contains("'X-Amz-Expires' twice"));
    let mut parts = presigned(60);
    append_query(&mut parts, "Extra", "1").unwrap();
    assert_eq!(refused(&parts, b"", &expected(NOW_MS)).code, "InvalidSignatureException");
}

#[test]
fn each_kind_of_service_has_its_own_codes() {
    let unsigned = request().0;
    let (stranger, body) = {
        let (mut parts, body) = request();
        let signer = Signer { access_key: "AKIDSTRANGER", ..signer() };
        signer.sign(&mut parts, Payload::Bytes(body), NOW_MS).unwrap();
        (parts, body)
    };
    let (good, _) = signed();
    let mut broken = good.clone();
    set(&mut broken, "authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE").unwrap();
    for (parts, body, json, query) in [
        (&unsigned, body, ("MissingAuthenticationTokenException", 400), ("MissingAuthenticationToken", 403)),
        (&stranger, body, ("UnrecognizedClientException", 400), ("InvalidClientTokenId", 403)),
        (&good, b"changed".as_slice(), ("InvalidSignatureException", 400), ("SignatureDoesNotMatch", 403)),
        (&broken, body, ("IncompleteSignatureException", 400), ("IncompleteSignature", 400)),
    ] {
        for (service, (code, status)) in [(&glue::SERVICE, json), (&sns::SERVICE, query)] {
            let error = verify(parts, body, &expected(NOW_MS), Some(service.protocol), secret).unwrap_err();
            assert_eq!((&*error.code, error.status.as_u16()), (code, status), "{error}");
        }
    }
}

#[test]
fn a_signature_that_lacks_something_is_told_what() {
    let long = "x".repeat(10_000);
    for (authorization, message) in [
        (
            "AWS4-HMAC-SHA256",
            "requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter.",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/service/aws4_request,SignedHeaders=host;x-amz-target",
            "requires 'Signature'",
        ),
        ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0", "exactly 5 slash-delimited elements"),
        (
            "AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/service/aws3, SignedHeaders=host, Signature=0",
            "valid terminator: 'aws4_request', not 'aws3'",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/service/aws4_request, SignedHeaders=x-amz-date, Signature=0",
            "'Host' must be",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/service/aws4_request, SignedHeaders=host, Signature=0",
            "'X-Amz-Target' must be",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-target;gone, Signature=0",
            "'gone' is named in SignedHeaders",
        ),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, Credential=a/b/c/d/e", "'Credential' twice"),
        ("AWS4-HMAC-SHA256 Nonsense=1", "'Nonsense' is not a parameter"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a", "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'"),
        ("Bearer abc", "Unsupported AWS 'algorithm': 'Bearer'"),
        ("", "Unsupported AWS 'algorithm'"),
        (long.as_str(), "Unsupported AWS 'algorithm'"),
    ] {
        let (mut parts, body) = signed();
        set(&mut parts, "authorization", authorization).unwrap();
        let error = refused(&parts, body, &expected(NOW_MS));
        assert_eq!(error.code, "IncompleteSignatureException", "{authorization}");
        assert!(error.message.contains(message) && error.message.len() < 500, "{error}");
    }
    for (name, value, message) in [
        ("x-amz-date", "2015-08-30T12:36:00Z", "basic format"),
        ("x-amz-date", "+0150830T123600Z", "basic format"),
        ("x-amz-date", "20150230T993600Z", "basic format"),
    ] {
        let (mut parts, body) = signed();
        set(&mut parts, name, value).unwrap();
        let error = refused(&parts, body, &expected(NOW_MS));
        assert!(error.message.contains(message), "{error}");
    }
    let (mut parts, body) = signed();
    parts.headers.append("authorization", HeaderValue::from_static("again"));
    assert!(refused(&parts, body, &expected(NOW_MS)).message.contains("'authorization' twice"));
    let (mut parts, body) = signed();
    parts.headers.remove("x-amz-date");
    assert!(refused(&parts, body, &expected(NOW_MS)).message.contains("'X-Amz-Date' or a 'Date'"));
}

#[test]
fn the_date_header_serves_where_the_other_is_missing() {
    let (mut parts, body) = request();
    set(&mut parts, "date", "Sun, 30 Aug 2015 12:36:00 GMT").unwrap();
    set_host(&mut parts).unwrap();
    let names = ["content-type", "date", "host", "x-amz-target"].map(str::to_owned);
    let hash = Payload::Bytes(body).hash();
    let (signature, scope) = signer().signature(&parts, &names, &hash, DATE.1).unwrap();
    let value =
        format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={}, Signature={signature}", names.join(";"));
    set(&mut parts, "authorization", &value).unwrap();
    assert!(verify(&parts, body, &expected(NOW_MS), None, secret).is_ok());
}

#[test]
fn a_request_of_our_own_client_is_verified() {
    let input = glue::GetDatabaseInput { name: "raw".to_owned(), ..Default::default() };
    let signer = Signer { service: "glue", ..signer() };
    let request = sign(crate::client::request::<glue::GetDatabase>(&input), "http://127.0.0.1:4566/", &signer, NOW_MS).unwrap();
    assert_eq!(request.uri(), "http://127.0.0.1:4566/");
    let (parts, body) = request.into_parts();
    let expected = Expected { service: "glue", ..expected(NOW_MS) };
    assert!(verify(&parts, &body, &expected, Some(glue::SERVICE.protocol), secret).is_ok());
    assert!(sign(crate::client::request::<glue::GetDatabase>(&input), "not an address", &signer, NOW_MS).is_err());
}

/// What botocore 1.43 makes of two requests at the same moment.
#[test]
fn requests_signed_by_botocore_are_verified() {
    let request = Request::builder()
        .method("POST")
        .uri("/")
        .header("host", "127.0.0.1:4566")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .header("user-agent", "Boto3/1.43")
        .header("x-amz-date", "20150830T123600Z")
        .header("x-amz-security-token", "tok/en+==")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/sns/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
             Signature=0c08a8235b430961cedd3125fcb68f9f63838ce2c06f74ac01f8f3c6e6a7b5a3",
        );
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let body = b"Action=Publish&Version=2010-03-31&Message=a+%26+b";
    let sns_expected = Expected { service: "sns", ..expected(NOW_MS) };
    let result = verify(&parts, body, &sns_expected, Some(sns::SERVICE.protocol), secret).unwrap();
    assert_eq!(result.session_token.as_deref(), Some("tok/en+=="));

    let uri = "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date=20150830T123600Z\
        &X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Security-Token=tok%2Fen%2B%3D%3D\
        &X-Amz-Signature=2edaed1ad3149826e5698661a628d174f173af8e62ffb260655595148794009f";
    let (parts, ()) = Request::builder().uri(uri).header("host", "127.0.0.1:4566").body(()).unwrap().into_parts();
    let sts_expected = Expected { service: "sts", ..expected(NOW_MS + 1000) };
    let result = verify(&parts, b"", &sts_expected, None, secret).unwrap();
    assert!(result.presigned);
}
