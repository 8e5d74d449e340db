//! `Condition`: IAM user guide, "IAM JSON policy elements: Condition operators", "Single-valued vs. multivalued context keys".
//!
//! All operators of a block, and all keys of an operator, must hold; of a key's values one is enough (of a negated operator's,
//! all must differ). A key that the request does not have fails an operator, holds for a negated one, and for `…IfExists` and
//! `ForAllValues`.

use super::pattern::{Lookup, Pattern, Rules};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

/// One operator with one key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    /// In lower case.
    pub(super) key: String,
    /// As the policy writes it.
    pub(super) name: String,
    operator: Operator,
    test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Operator {
    kind: Kind,
    negated: bool,
    if_exists: bool,
    set: Option<Set>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    All,
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text { fold: bool, like: bool },
    Number(Compare),
    Date(Compare),
    Bool,
    Binary,
    Ip,
    Arn,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    fn holds(self, ordering: Option<Ordering>) -> bool {
        let Some(ordering) = ordering else { return false };
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// The policy's values, of the operator's type.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Text(Vec<Pattern>),
    Arn(Vec<ArnPattern>),
    Number(Vec<f64>),
    /// Milliseconds since the epoch.
    Date(Vec<i64>),
    Bool(Vec<bool>),
    /// Base 64 without padding.
    Binary(Vec<String>),
    Ip(Vec<Network>),
    /// Whether the key must be absent.
    Null(Vec<bool>),
}

/// Each of an ARN's six parts is matched for itself.
#[derive(Debug, Clone, PartialEq)]
enum ArnPattern {
    Parts(Box<[Pattern; 6]>),
    /// Too few colons: matched as a whole (`*`, `arn:aws:s3*`).
    Whole(Pattern),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Network {
    bits: u128,
    mask: u128,
    v4: bool,
}

/// The names of the operators without prefix, suffix and `Not`, with what they mean and the name of the negated one.
const KINDS: &[(&str, Kind, Option<&str>)] = &[
    ("StringEquals", Kind::Text { fold: false, like: false }, Some("StringNotEquals")),
    ("StringEqualsIgnoreCase", Kind::Text { fold: true, like: false }, Some("StringNotEqualsIgnoreCase")),
    ("StringLike", Kind::Text { fold: false, like: true }, Some("StringNotLike")),
    ("NumericEquals", Kind::Number(Compare::Equal), Some("NumericNotEquals")),
    ("NumericLessThan", Kind::Number(Compare::Less), None),
    ("NumericLessThanEquals", Kind::Number(Compare::LessOrEqual), None),
    ("NumericGreaterThan", Kind::Number(Compare::Greater), None),
    ("NumericGreaterThanEquals", Kind::Number(Compare::GreaterOrEqual), None),
    ("DateEquals", Kind::Date(Compare::Equal), Some("DateNotEquals")),
    ("DateLessThan", Kind::Date(Compare::Less), None),
    ("DateLessThanEquals", Kind::Date(Compare::LessOrEqual), None),
    ("DateGreaterThan", Kind::Date(Compare::Greater), None),
    ("DateGreaterThanEquals", Kind::Date(Compare::GreaterOrEqual), None),
    ("Bool", Kind::Bool, None),
    ("BinaryEquals", Kind::Binary, None),
    ("IpAddress", Kind::Ip, Some("NotIpAddress")),
    ("ArnEquals", Kind::Arn, Some("ArnNotEquals")),
    ("ArnLike", Kind::Arn, Some("ArnNotLike")),
    ("Null", Kind::Null, None),
];

fn operator(name: &str) -> Option<Operator> {
    let (set, rest) = match name.split_once(':') {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("ForAllValues") => (Some(Set::All), rest),
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("ForAnyValue") => (Some(Set::Any), rest),
        Some(_) => return None,
        None => (None, name),
    };
    let suffix = rest.len().checked_sub("IfExists".len()).filter(|at| rest.is_char_boundary(*at));
    let (rest, if_exists) = match suffix {
        Some(at) if rest[at..].eq_ignore_ascii_case("IfExists") => (&rest[..at], true),
        _ => (rest, false),
    };
    KINDS.iter().find_map(|(plain, kind, negation)| {
        let negated = negation.is_some_and(|name| name.eq_ignore_ascii_case(rest));
        let known = negated || plain.eq_ignore_ascii_case(rest);
        let fits = known && !(if_exists && *kind == Kind::Null);
        fits.then_some(Operator { kind: *kind, negated, if_exists, set })
    })
}

/// Whether there is an operator of this name.
pub(super) fn is_operator(name: &str) -> bool {
    operator(name).is_some()
}

impl Condition {
    /// Compiles the values of one key. The error is what is wrong with them.
    pub(super) fn compile(name: &str, key: &str, values: &[Cow<'_, str>], variables: bool) -> Result<Self, String> {
        let operator = operator(name).ok_or_else(|| format!("there is no condition operator '{name}'"))?;
        fn all<T>(values: &[Cow<'_, str>], read: impl Fn(&str) -> Option<T>, what: &str) -> Result<Vec<T>, String> {
            values.iter().map(|value| read(value).ok_or_else(|| format!("'{value}' is not {what}"))).collect()
        }
        let test = match operator.kind {
            Kind::Text { fold, like } => {
                let rules = Rules { wildcards: like, variables, fold };
                Test::Text(values.iter().map(|value| Pattern::compile(value, rules)).collect::<Result<_, _>>()?)
            }
            Kind::Arn => Test::Arn(values.iter().map(|value| ArnPattern::compile(value, variables)).collect::<Result<_, _>>()?),
            Kind::Number(_) => Test::Number(all(values, number, "a number")?),
            Kind::Date(_) => Test::Date(all(values, date, "a date (ISO 8601, or seconds since 1970)")?),
            Kind::Bool => Test::Bool(all(values, boolean, "'true' or 'false'")?),
            Kind::Null => Test::Null(all(values, boolean, "'true' or 'false'")?),
            Kind::Binary => Test::Binary(all(values, binary, "base 64")?),
            Kind::Ip => Test::Ip(all(values, Network::parse, "an IP address or range (203.0.113.0/24, 2001:db8::/32)")?),
        };
        Ok(Self { key: key.to_lowercase(), name: key.to_owned(), operator, test })
    }

    /// Whether it holds, where the request's context has `found` for the key (nothing where it does not have it).
    pub(super) fn holds(&self, found: &[Cow<'_, str>], lookup: Lookup<'_>) -> bool {
        let Operator { negated, if_exists, set, .. } = self.operator;
        if let Test::Null(absent) = &self.test {
            return absent.contains(&found.is_empty());
        }
        if found.is_empty() {
            return if_exists || set == Some(Set::All) || (negated && set.is_none());
        }
        let mut each = found.iter().map(|value| self.any(value, lookup) != negated);
        match set {
            Some(Set::All) => each.all(|holds| holds),
            Some(Set::Any) => each.any(|holds| holds),
            None if negated => each.all(|holds| holds),
            None => each.any(|holds| holds),
        }
    }

    /// Whether the request's value equals (is like, is less than, …) one of the policy's.
    fn any(&self, value: &str, lookup: Lookup<'_>) -> bool {
        match (&self.test, self.operator.kind) {
            (Test::Text(patterns), Kind::Text { fold, .. }) => {
                let value: Cow<'_, str> = if fold { value.to_lowercase().into() } else { value.into() };
                patterns.iter().any(|pattern| pattern.matches(&value, lookup) == Some(true))
            }
            (Test::Number(numbers), Kind::Number(compare)) => {
                number(value).is_some_and(|value| numbers.iter().any(|other| compare.holds(value.partial_cmp(other))))
            }
            (Test::Date(dates), Kind::Date(compare)) => {
                date(value).is_some_and(|value| dates.iter().any(|other| compare.holds(Some(value.cmp(other)))))
            }
            (Test::Arn(patterns), _) => patterns.iter().any(|pattern| pattern.matches(value, lookup)),
            (Test::Bool(expected), _) => boolean(value).is_some_and(|value| expected.contains(&value)),
            (Test::Binary(expected), _) => binary(value).is_some_and(|value| expected.contains(&value)),
            (Test::Ip(networks), _) => {
                value.parse().is_ok_and(|address| networks.iter().any(|network| network.contains(address)))
            }
            _ => false,
        }
    }
}

impl ArnPattern {
    fn compile(text: &str, variables: bool) -> Result<Self, String> {
        let rules = Rules { wildcards: true, variables, fold: false };
        let parts = split_arn(text, variables);
        match <[&str; 6]>::try_from(parts) {
            Ok(parts) => {
                let compiled: Vec<Pattern> = parts.iter().map(|part| Pattern::compile(part, rules)).collect::<Result<_, _>>()?;
                Ok(Self::Parts(Box::new(compiled.try_into().expect("six parts were compiled"))))
            }
            Err(_) => Ok(Self::Whole(Pattern::compile(text, rules)?)),
        }
    }

    fn matches(&self, arn: &str, lookup: Lookup<'_>) -> bool {
        match self {
            Self::Whole(pattern) => pattern.matches(arn, lookup) == Some(true),
            Self::Parts(patterns) => {
                let parts: Vec<&str> = arn.splitn(6, ':').collect();
                parts.len() == 6 && patterns.iter().zip(parts).all(|(pattern, part)| pattern.matches(part, lookup) == Some(true))
            }
        }
    }
}

/// At the first five colons that are not inside a variable.
fn split_arn(text: &str, variables: bool) -> Vec<&str> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '{' if variables && text[..at].ends_with('$') => inside = true,
            '}' => inside = false,
            ':' if !inside && parts.len() < 5 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, width) = bits(address);
        let length = length.unwrap_or(width);
        if length > width {
            return None;
        }
        let all = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
        let mask = all & all.checked_shl(width - length).unwrap_or(0);
        Some(Self { bits: bits & mask, mask, v4: width == 32 })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let (bits, width) = bits(address);
        (width == 32) == self.v4 && bits & self.mask == self.bits
    }
}

/// An address of version 4 that is written as one of version 6 is one of version 4.
fn bits(address: IpAddr) -> (u128, u32) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn boolean(text: &str) -> Option<bool> {
    match () {
        () if text.eq_ignore_ascii_case("true") => Some(true),
        () if text.eq_ignore_ascii_case("false") => Some(false),
        () => None,
    }
}

fn binary(text: &str) -> Option<String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let plain = text.trim_end_matches('=');
    (text.len() - plain.len() <= 2 && plain.chars().all(valid)).then(|| plain.to_owned())
}

/// The W3C's profile of ISO 8601, or seconds since the epoch: in milliseconds since the epoch.
fn date(text: &str) -> Option<i64> {
    use chrono::{DateTime, NaiveDate, NaiveDateTime};
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%#z") {
        return Some(time.timestamp_millis());
    }
    let naive = text.strip_suffix('Z').unwrap_or(text);
    for form in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(naive, form) {
            return Some(time.and_utc().timestamp_millis());
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis());
    }
    if text.len() == 7
        && let Ok(day) = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d")
    {
        return Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis());
    }
    let seconds = number(text)?;
    Some((seconds * 1000.0) as i64)
}
