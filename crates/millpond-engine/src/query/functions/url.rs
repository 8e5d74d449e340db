//! Parts of URLs, and their percent encoding (Trino documentation, "URL functions").

use super::call::{Call, bad, check_bytes, each};
use super::{Function, function};
use arrow::array::ArrayRef;
use datafusion::common::Result;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("url_extract_protocol", &["(varchar) -> varchar"], |call| text_part(call, |url| Some(url.scheme.unwrap_or("")))),
        function("url_extract_host", &["(varchar) -> varchar"], |call| text_part(call, |url| Some(url.host.unwrap_or("")))),
        function("url_extract_path", &["(varchar) -> varchar"], |call| text_part(call, |url| Some(url.path))),
        function("url_extract_query", &["(varchar) -> varchar"], |call| text_part(call, |url| Some(url.query.unwrap_or("")))),
        function("url_extract_fragment", &["(varchar) -> varchar"], |call| {
            text_part(call, |url| Some(url.fragment.unwrap_or("")))
        }),
        function(
            "url_extract_port",
            &["(varchar) -> bigint"],
            |call| each!(call, IntOut, |text: 0 text| Url::parse(text).and_then(|url| url.port)),
        ),
        function(
            "url_extract_parameter",
            &["(varchar, varchar) -> varchar"],
            |call| each!(call, TextOut, |text: 0 text, name: 1 text| Url::parse(text).and_then(|url| parameter(&url, name))),
        ),
        function("url_encode", &["(varchar) -> varchar"], |call| each!(call, TextOut, |text: 0 text| Some(encode(text)?))),
        function("url_decode", &["(varchar) -> varchar"], |call| each!(call, TextOut, |text: 0 text| Some(decode(text)?))),
    ]
}

/// A URI's parts by RFC 3986, taken apart without being changed.
struct Url<'a> {
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<i64>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// `None` for what is no URI: blanks, control characters, quotes, a port that is no number.
    fn parse(text: &'a str) -> Option<Self> {
        if text.chars().any(|one| one.is_control() || " \"<>\\^`{|}".contains(one)) {
            return None;
        }
        let (rest, fragment) = cut(text, '#');
        let (rest, query) = cut(rest, '?');
        let named = |scheme: &str| {
            scheme.starts_with(|one: char| one.is_ascii_alphabetic())
                && scheme.chars().all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one))
        };
        let (scheme, rest) = match rest.split_once(':') {
            Some((scheme, rest)) if named(scheme) => (Some(scheme), rest),
            Some((scheme, _)) if !scheme.contains('/') => return None,
            _ => (None, rest),
        };
        let Some(after) = rest.strip_prefix("//") else {
            return Some(Self { scheme, host: None, port: None, path: rest, query, fragment });
        };
        let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
        let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (address, None),
        };
        let port = match port {
            None | Some("") => None,
            Some(digits) => Some(digits.parse::<u32>().ok()?.into()),
        };
        Some(Self { scheme, host: Some(host), port, path, query, fragment })
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn text_part(call: &Call<'_>, part: for<'a> fn(&Url<'a>) -> Option<&'a str>) -> Result<ArrayRef> {
    each!(call, TextOut, |text: 0 text| Url::parse(text).and_then(|url| part(&url).map(str::to_owned)))
}

/// The first parameter of the name; one without `=` is empty.
fn parameter(url: &Url<'_>, name: &str) -> Option<String> {
    let found = url
        .query?
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| *key == name || decode(key).is_ok_and(|key| key == name));
    found.map(|(_, value)| decode(value).unwrap_or_else(|_| value.to_owned()))
}

/// As HTML forms do: letters, digits and `.-*_` stay, a blank is `+`.
fn encode(text: &str) -> Result<String> {
    check_bytes(text.len().saturating_mul(3))?;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => {
                out.push('%');
                for digit in [other >> 4, other & 15] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
    }
    Ok(out)
}

fn decode(text: &str) -> Result<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit(), digit());
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(bad("Illegal hex characters in escape (%) pattern: two digits follow a %"));
                };
                out.push(u8::try_from(high * 16 + low).unwrap_or(0));
            }
            other => out.push(other),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("http://user:pw@[::1]:80/a%20b?q=1&r#f").unwrap();
        assert_eq!((url.scheme, url.host, url.port), (Some("http"), Some("[::1]"), Some(80)));
        assert_eq!((url.path, url.query, url.fragment), ("/a%20b", Some("q=1&r"), Some("f")));
        assert_eq!(parameter(&url, "r").as_deref(), Some(""));
        assert_eq!(Url::parse("mailto:a@b").unwrap().host, None);
        assert!(Url::parse("http://host:x/").is_none() && Url::parse("not a url").is_none());
    }
}
