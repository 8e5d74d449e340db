//! Tests on one value: the leaves of a pattern.

use serde_json::{Number, Value};
use std::net::IpAddr;

/// One way in which a value may match.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// A text that is an address: every way of writing it matches.
    Address(IpAddr),
    Prefix(String),
    Suffix(String),
    /// Lower case, as are the next two.
    EqualsIgnoreCase(String),
    PrefixIgnoreCase(String),
    SuffixIgnoreCase(String),
    Wildcard(Wildcard),
    Range(Range),
    Network(Network),
    /// Any value that none of these matches.
    NoneOf(Vec<Test>),
    Exists,
}

impl Test {
    pub(super) fn matches(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Exists, _) => true,
            (Self::NoneOf(tests), _) => !tests.iter().any(|test| test.matches(value)),
            (Self::Null, Value::Null) => true,
            (Self::Bool(wanted), Value::Bool(found)) => wanted == found,
            (Self::Number(wanted), Value::Number(found)) => same_number(wanted, found),
            (Self::Range(range), Value::Number(found)) => found.as_f64().is_some_and(|found| range.holds(found)),
            (_, Value::String(text)) => self.matches_text(text),
            _ => false,
        }
    }

    fn matches_text(&self, text: &str) -> bool {
        match self {
            Self::Text(wanted) => wanted == text,
            Self::Address(wanted) => text.parse().is_ok_and(|found: IpAddr| found == *wanted),
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::Suffix(suffix) => text.ends_with(suffix),
            Self::EqualsIgnoreCase(wanted) => lower(text).eq(wanted.chars()),
            Self::PrefixIgnoreCase(prefix) => {
                let mut found = lower(text);
                prefix.chars().all(|c| found.next() == Some(c))
            }
            Self::SuffixIgnoreCase(suffix) => text.to_lowercase().ends_with(suffix),
            Self::Wildcard(wildcard) => wildcard.matches(text),
            Self::Network(network) => text.parse().is_ok_and(|address| network.holds(address)),
            _ => false,
        }
    }
}

fn lower(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// Integers are compared as such (an account id is greater than what a double can tell apart), all else as doubles.
fn same_number(a: &Number, b: &Number) -> bool {
    match (a.as_i64(), b.as_i64(), a.as_u64(), b.as_u64()) {
        (Some(a), Some(b), ..) => a == b,
        (_, _, Some(a), Some(b)) => a == b,
        _ => a.as_f64() == b.as_f64(),
    }
}

/// A numeric range; an end that is absent is open.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Range {
    /// The bound, and whether it belongs to the range.
    pub(super) bottom: Option<(f64, bool)>,
    pub(super) top: Option<(f64, bool)>,
}

impl Range {
    fn holds(&self, value: f64) -> bool {
        self.bottom.is_none_or(|(bound, with)| value > bound || (with && value == bound))
            && self.top.is_none_or(|(bound, with)| value < bound || (with && value == bound))
    }
}

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `10.0.0.0/24`. The reasons are those of EventBridge.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((address, bits)) = text.split_once('/').filter(|(_, bits)| !bits.contains('/') && !bits.is_empty()) else {
            return Err("Malformed CIDR, one '/' required".into());
        };
        let bits: i64 = bits.parse().map_err(|_| "Malformed CIDR, mask bits must be an integer")?;
        if bits < 0 {
            return Err("Malformed CIDR, mask bits must not be negative".into());
        }
        let address: IpAddr = address.parse().map_err(|_| format!("Nonstandard IP address: {address}"))?;
        // EventBridge wants fewer than 32 (128) bits; a block of one address harms nobody.
        match address {
            IpAddr::V4(_) if bits > 32 => Err("IPv4 mask bits must be < 32".into()),
            IpAddr::V6(_) if bits > 128 => Err("IPv6 mask bits must be < 128".into()),
            _ => Ok(Self { address, bits: bits as u32 }),
        }
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(found)) => {
                let shift = 32 - self.bits;
                shift >= 32 || u32::from(net) >> shift == u32::from(found) >> shift
            }
            (IpAddr::V6(net), IpAddr::V6(found)) => {
                let shift = 128 - self.bits;
                shift >= 128 || u128::from(net) >> shift == u128::from(found) >> shift
            }
            _ => false,
        }
    }
}

/// A text with stars, each for any number of any characters.
///
/// The pieces between the stars are sought one after another, each at its first place: that finds a match where there is one, never goes
/// back, and takes time in proportion to the text's length times the longest piece at the worst, whatever the pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wildcard {
    pieces: Vec<String>,
}

impl Wildcard {
    /// `\*` is a star and `\\` a backslash. The reasons are those of EventBridge.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut piece, mut chars) = (Vec::new(), String::new(), text.char_indices().peekable());
        while let Some((at, c)) = chars.next() {
            match c {
                '*' if chars.peek().is_some_and(|(_, next)| *next == '*') => {
                    // EventBridge counts the quote that it puts before the text.
                    return Err(format!("Consecutive wildcard characters at pos {}", at + 1));
                }
                '*' => pieces.push(std::mem::take(&mut piece)),
                '\\' => match chars.next() {
                    Some((_, escaped @ ('*' | '\\'))) => piece.push(escaped),
                    _ => return Err(format!("Invalid escape character at pos {}", at + 1)),
                },
                other => piece.push(other),
            }
        }
        pieces.push(piece);
        Ok(Self { pieces })
    }

    pub(super) fn stars(&self) -> usize {
        self.pieces.len() - 1
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = &self.pieces[..] else {
            return self.pieces.first().is_some_and(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for piece in middle {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.len() >= last.len() && rest.ends_with(last.as_str())
    }
}
