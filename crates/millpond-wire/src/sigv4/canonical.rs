//! The canonical form of a request, which both sides sign.

use std::fmt::Write as _;

use percent_encoding::percent_decode;

/// The parts of a canonical request, each already canonical.
pub(super) struct Canonical<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    /// Lower-case names, sorted, with their values as they came.
    pub(super) headers: &'a [(String, Vec<u8>)],
    pub(super) payload_hash: &'a str,
}

impl Canonical<'_> {
    /// The bytes whose hash is signed.
    pub(super) fn request(&self) -> Vec<u8> {
        let mut out = format!("{}\n{}\n{}\n", self.method, self.path, self.query).into_bytes();
        for (name, value) in self.headers {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out.push(b'\n');
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        out.extend_from_slice(names.join(";").as_bytes());
        out.push(b'\n');
        out.extend_from_slice(self.payload_hash.as_bytes());
        out
    }
}

/// A header's value: without space around it, and with one space where there are several.
pub(super) fn header_value(value: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}

/// The path. S3's is taken as it is on the wire; that of other services loses its dots and
/// double slashes, and what is on the wire is escaped once more.
pub(super) fn path(path: &str, service: &str) -> String {
    if service == "s3" {
        return if path.is_empty() { "/".to_owned() } else { path.to_owned() };
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len() + 1);
    for segment in &segments {
        out.push('/');
        out.push_str(&escape(segment.as_bytes()));
    }
    let ends_with_slash = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    if segments.is_empty() || ends_with_slash {
        out.push('/');
    }
    out
}

/// The query string: escaped in AWS's way, sorted by name and value, without the signature itself.
pub(super) fn query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (reescape(name), reescape(value)))
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    pairs.sort_unstable();
    let mut out = String::with_capacity(query.len());
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push('&');
        }
        write!(out, "{name}={value}").expect("writing to a string");
    }
    out
}

/// Text that may be escaped in some other way, escaped in AWS's.
fn reescape(text: &str) -> String {
    let bytes: Vec<u8> = percent_decode(text.as_bytes()).collect();
    escape(&bytes)
}

/// Escapes everything but RFC 3986's unreserved characters.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_dots_and_double_slashes() {
        for (raw, expected) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/./", "/"),
            ("/example/..", "/"),
            ("/example1/example2/../..", "/"),
            ("/../../x", "/x"),
            ("/./example", "/example"),
            ("//example//", "/example/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/example space/", "/example%20space/"),
            ("/example/$delete", "/example/%24delete"),
            ("/\u{1234}", "/%E1%88%B4"),
            ("/a%20b", "/a%2520b"),
        ] {
            assert_eq!(path(raw, "service"), expected, "{raw}");
        }
        assert_eq!(path("/a%20b//../c", "s3"), "/a%20b//../c");
    }

    #[test]
    fn queries_are_sorted_and_escaped_in_one_way() {
        for (raw, expected) in [
            ("", ""),
            ("b=2&a=1&a=0", "a=0&a=1&b=2"),
            ("acl", "acl="),
            ("a=b=c&&", "a=b%3Dc"),
            ("k=%e1%88%b4&X-Amz-Signature=00", "k=%E1%88%B4"),
            ("X%2DAmz%2DSignature=00&k=", "k="),
            ("Param-3=3&Param=2&%E1%88%B4=1", "%E1%88%B4=1&Param=2&Param-3=3"),
            ("a+b=~-._", "a%2Bb=~-._"),
        ] {
            assert_eq!(query(raw), expected, "{raw}");
        }
    }
}
