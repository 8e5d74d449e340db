//! What a request claims about its signature.

use http::header::{self, HeaderMap};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::{ALGORITHM, EXPIRES_S_MAX, Refusal, Scope, TERMINATOR, canonical, from_basic};

/// The parts of a signature, as they stand in the `Authorization` header or in the URL.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) access_key: String,
    pub(super) scope: Scope,
    /// Lower-case, sorted, each once.
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: String,
    /// As `20150830T123600Z`.
    pub(super) date: String,
    pub(super) date_ms: i64,
    /// How long a presigned request is valid; `None` for one signed by header.
    pub(super) expires_s: Option<i64>,
    pub(super) session_token: Option<String>,
}

impl Claim {
    pub(super) fn read(parts: &Parts) -> Result<Self, Refusal> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            return Self::from_header(parts);
        }
        let query = parts.uri.query().unwrap_or_default();
        if query.split('&').any(|pair| pair.starts_with("X-Amz-")) {
            return Self::from_query(query);
        }
        Err(Refusal::Missing)
    }

    fn from_header(parts: &Parts) -> Result<Self, Refusal> {
        let text = one(&parts.headers, "authorization")?.unwrap_or_default();
        let (algorithm, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        check_algorithm(algorithm)?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in rest.split([',', ' ', '\t']).filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => {
                    return Err(Refusal::Incomplete(format!(
                        "'{}' is not a parameter of the Authorization header.",
                        shown(name)
                    )));
                }
            };
            if place.replace(value.to_owned()).is_some() {
                return Err(Refusal::Incomplete(format!("Authorization header has the parameter '{name}' twice.")));
            }
        }
        let date = header_date(&parts.headers)?;
        let mut missing = String::new();
        for (name, value) in [("Credential", &credential), ("Signature", &signature), ("SignedHeaders", &signed_headers)] {
            if value.as_deref().unwrap_or_default().is_empty() {
                missing.push_str(&format!("Authorization header requires '{name}' parameter. "));
            }
        }
        if date.is_none() {
            missing.push_str("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
        }
        let (Some(credential), Some(signed_headers), Some(signature), Some((date, date_ms)), true) =
            (credential, signed_headers, signature, date, missing.is_empty())
        else {
            return Err(Refusal::Incomplete(missing.trim_end().to_owned()));
        };
        let (access_key, scope) = read_credential(&credential)?;
        Ok(Self {
            access_key,
            scope,
            signed_headers: read_signed_headers(&signed_headers),
            signature,
            date,
            date_ms,
            expires_s: None,
            // Some clients send an empty one with a key that lasts.
            session_token: one(&parts.headers, "x-amz-security-token")?.filter(|token| !token.is_empty()),
        })
    }

    fn from_query(query: &str) -> Result<Self, Refusal> {
        let field = |name: &str| -> Result<Option<String>, Refusal> {
            let mut values = query.split('&').filter_map(|pair| {
                let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
                (percent_decode_str(found).decode_utf8_lossy() == name)
                    .then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
            });
            let first = values.next();
            if values.next().is_some() {
                return Err(Refusal::Incomplete(format!("The query string has the parameter '{name}' twice.")));
            }
            Ok(first)
        };
        let needed = |name: &str| {
            field(name)?.filter(|value| !value.is_empty()).ok_or_else(|| {
                Refusal::Incomplete(format!(
                    "AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
                ))
            })
        };
        check_algorithm(&needed("X-Amz-Algorithm")?)?;
        let (access_key, scope) = read_credential(&needed("X-Amz-Credential")?)?;
        let signature = needed("X-Amz-Signature")?;
        let signed_headers = read_signed_headers(&needed("X-Amz-SignedHeaders")?);
        let date = needed("X-Amz-Date")?;
        let date_ms = from_basic(&date).ok_or_else(|| wrong_date(&date))?;
        let expires = needed("X-Amz-Expires")?;
        let expires_s = expires.parse().ok().filter(|seconds| (1..=EXPIRES_S_MAX).contains(seconds)).ok_or_else(|| {
            let shown = shown(&expires);
            Refusal::Incomplete(format!("X-Amz-Expires must be 1 to {EXPIRES_S_MAX} seconds, not '{shown}'."))
        })?;
        Ok(Self {
            access_key,
            scope,
            signed_headers,
            signature,
            date,
            date_ms,
            expires_s: Some(expires_s),
            session_token: field("X-Amz-Security-Token")?.filter(|token| !token.is_empty()),
        })
    }
}

/// The values of the signed headers, canonical, in the order of their names.
pub(super) fn signed_header_values(parts: &Parts, names: &[String]) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
    names
        .iter()
        .map(|name| {
            let values: Vec<Vec<u8>> =
                parts.headers.get_all(name.as_str()).iter().map(|value| canonical::header_value(value.as_bytes())).collect();
            // HTTP/2 carries the host as part of the URI.
            let authority = parts.uri.authority().filter(|_| values.is_empty() && name == "host");
            match authority {
                Some(authority) => Ok((name.clone(), authority.as_str().as_bytes().to_vec())),
                None if values.is_empty() => Err(Refusal::Incomplete(format!(
                    "The header '{}' is named in SignedHeaders, but the request does not have it.",
                    shown(name)
                ))),
                None => Ok((name.clone(), values.join(&b','))),
            }
        })
        .collect()
}

/// The one value of a header; two would leave open which is meant.
fn one(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::Incomplete(format!("The request has the header '{name}' twice.")));
    }
    match value.to_str() {
        Ok(value) => Ok(Some(value.to_owned())),
        Err(_) => Err(Refusal::Incomplete(format!("The header '{name}' has characters other than visible ASCII."))),
    }
}

/// The date of a request signed by header: `X-Amz-Date`, or else `Date`, also in HTTP's own form.
fn header_date(headers: &HeaderMap) -> Result<Option<(String, i64)>, Refusal> {
    if let Some(date) = one(headers, "x-amz-date")? {
        let ms = from_basic(date.trim()).ok_or_else(|| wrong_date(&date))?;
        return Ok(Some((date.trim().to_owned(), ms)));
    }
    let Some(date) = one(headers, "date")? else {
        return Ok(None);
    };
    let ms = from_basic(date.trim())
        .or_else(|| chrono::DateTime::parse_from_rfc2822(date.trim()).ok().map(|time| time.timestamp_millis()))
        .ok_or_else(|| wrong_date(&date))?;
    Ok(Some((super::basic(ms), ms)))
}

fn wrong_date(date: &str) -> Refusal {
    Refusal::Incomplete(format!("Date must be in ISO-8601 'basic format' (20150830T123600Z). Got '{}'.", shown(date)))
}

fn check_algorithm(algorithm: &str) -> Result<(), Refusal> {
    if algorithm == ALGORITHM {
        return Ok(());
    }
    Err(Refusal::Incomplete(format!("Unsupported AWS 'algorithm': '{}'. {ALGORITHM} is supported.", shown(algorithm))))
}

fn read_credential(credential: &str) -> Result<(String, Scope), Refusal> {
    let elements: Vec<&str> = credential.split('/').collect();
    let [access_key, date, region, service, terminator] = elements.as_slice() else {
        return Err(Refusal::Incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{}'.",
            shown(credential)
        )));
    };
    if *terminator != TERMINATOR {
        return Err(Refusal::Incomplete(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'.",
            shown(terminator)
        )));
    }
    let scope = Scope { date: (*date).to_owned(), region: (*region).to_owned(), service: (*service).to_owned() };
    Ok(((*access_key).to_owned(), scope))
}

fn read_signed_headers(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text.split(';').filter(|name| !name.is_empty()).map(str::to_ascii_lowercase).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A part of the request for a message: short, and on one line.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(64).filter(|c| !c.is_control()).collect()
}
