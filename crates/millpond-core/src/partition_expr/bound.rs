//! A filter over the keys of one table: names resolved to positions, literals read as the keys' types. It can be evaluated on a partition's
//! values, and says between which sort bytes the partitions that it holds for lie.

use super::value::{VALUE_TAG, encode, encode_open};
use super::{CompareOp, ExprError, KeyType, KeyValue, Literal, PartitionExpr};
use crate::catalog::Column;

/// A filter whose keys and literals are known to fit a table.
#[derive(Debug, Clone, PartialEq)]
pub enum BoundExpr {
    /// All hold.
    And(Vec<BoundExpr>),
    /// One holds.
    Or(Vec<BoundExpr>),
    /// Does not hold.
    Not(Box<BoundExpr>),
    /// A comparison.
    Compare {
        /// The key's place among the partition keys.
        key: usize,
        /// How.
        op: CompareOp,
        /// With what.
        value: KeyValue,
    },
    /// One of a list.
    In {
        /// The key's place.
        key: usize,
        /// Sorted, each once.
        values: Vec<KeyValue>,
        /// `NOT IN`.
        negated: bool,
    },
    /// The value's text matches a pattern.
    Like {
        /// The key's place.
        key: usize,
        /// With `%` and `_`.
        pattern: String,
        /// Whether the key's type is text, so that the value is its own text.
        is_text: bool,
        /// `NOT LIKE`.
        negated: bool,
    },
    /// The value is NULL.
    IsNull {
        /// The key's place.
        key: usize,
        /// `IS NOT NULL`.
        negated: bool,
    },
}

impl PartitionExpr {
    /// Resolves the filter against a table's partition keys.
    ///
    /// # Errors
    /// [`ExprError::UnknownKey`], and [`ExprError::NotOfType`] where a literal is not of its key's type.
    pub fn bind(&self, keys: &[Column]) -> Result<BoundExpr, ExprError> {
        let all = |exprs: &[Self]| exprs.iter().map(|expr| expr.bind(keys)).collect::<Result<Vec<_>, _>>();
        Ok(match self {
            Self::And(exprs) => BoundExpr::And(all(exprs)?),
            Self::Or(exprs) => BoundExpr::Or(all(exprs)?),
            Self::Not(expr) => BoundExpr::Not(Box::new(expr.bind(keys)?)),
            Self::Compare { key, op, value } => {
                let (place, key_type) = find(key, keys)?;
                BoundExpr::Compare { key: place, op: *op, value: read(key, key_type, value)? }
            }
            Self::In { key, values, negated } => {
                let (place, key_type) = find(key, keys)?;
                let mut values = values.iter().map(|value| read(key, key_type, value)).collect::<Result<Vec<_>, _>>()?;
                values.sort_by(|a, b| a.partial_cmp(b).expect("values of one type compare"));
                values.dedup();
                BoundExpr::In { key: place, values, negated: *negated }
            }
            Self::Between { key, low, high, negated } => {
                let (place, key_type) = find(key, keys)?;
                let low = BoundExpr::Compare { key: place, op: CompareOp::GtEq, value: read(key, key_type, low)? };
                let high = BoundExpr::Compare { key: place, op: CompareOp::LtEq, value: read(key, key_type, high)? };
                let between = BoundExpr::And(vec![low, high]);
                if *negated { BoundExpr::Not(Box::new(between)) } else { between }
            }
            Self::Like { key, pattern, negated } => {
                let (place, key_type) = find(key, keys)?;
                BoundExpr::Like { key: place, pattern: pattern.clone(), is_text: key_type == KeyType::Text, negated: *negated }
            }
            Self::IsNull { key, negated } => BoundExpr::IsNull { key: find(key, keys)?.0, negated: *negated },
        })
    }
}

fn find(key: &str, keys: &[Column]) -> Result<(usize, KeyType), ExprError> {
    let place =
        keys.iter().position(|column| column.name.eq_ignore_ascii_case(key) || column.name.to_lowercase() == key.to_lowercase());
    let unknown = || ExprError::UnknownKey { key: key.into(), keys: keys.iter().map(|column| column.name.clone()).collect() };
    let place = place.ok_or_else(unknown)?;
    Ok((place, KeyType::of(&keys[place].data_type)))
}

fn read(key: &str, key_type: KeyType, literal: &Literal) -> Result<KeyValue, ExprError> {
    let (Literal::Text(text) | Literal::Number(text)) = literal;
    key_type.parse(text).ok_or_else(|| ExprError::NotOfType { key: key.into(), value: text.clone(), expected: key_type.name() })
}

/// A partition's values, for the evaluation of a filter.
#[derive(Debug, Clone)]
pub struct KeyValues<'a> {
    texts: &'a [String],
    values: Vec<Option<KeyValue>>,
}

impl<'a> KeyValues<'a> {
    /// Reads the values as the keys' types.
    pub fn read(types: &[KeyType], texts: &'a [String]) -> Self {
        let values = types.iter().zip(texts).map(|(key, text)| key.read(text)).collect();
        Self { texts, values }
    }

    fn get(&self, key: usize) -> Option<&KeyValue> {
        self.values.get(key)?.as_ref()
    }
}

impl BoundExpr {
    /// Whether the filter holds for a partition: SQL's three-valued logic, where `None` is unknown (a NULL was compared).
    pub fn holds(&self, partition: &KeyValues<'_>) -> Option<bool> {
        match self {
            Self::And(exprs) => settle(exprs.iter().map(|expr| expr.holds(partition)), false),
            Self::Or(exprs) => settle(exprs.iter().map(|expr| expr.holds(partition)), true),
            Self::Not(expr) => expr.holds(partition).map(|holds| !holds),
            Self::Compare { key, op, value } => partition.get(*key).map(|own| op.holds(own, value)),
            Self::In { key, values, negated } => {
                let own = partition.get(*key)?;
                let found = values.binary_search_by(|value| value.partial_cmp(own).expect("values of one type compare")).is_ok();
                Some(found != *negated)
            }
            Self::Like { key, pattern, negated, .. } => {
                partition.get(*key)?;
                Some(like(pattern, partition.texts.get(*key)?) != *negated)
            }
            Self::IsNull { key, negated } => Some(partition.get(*key).is_none() != *negated),
        }
    }

    /// The greatest place of a key that it looks at; `None` where it looks at none.
    pub fn last_key(&self) -> Option<usize> {
        match self {
            Self::And(exprs) | Self::Or(exprs) => exprs.iter().filter_map(Self::last_key).max(),
            Self::Not(expr) => expr.last_key(),
            Self::Compare { key, .. } | Self::In { key, .. } | Self::Like { key, .. } | Self::IsNull { key, .. } => Some(*key),
        }
    }

    /// Ranges of sort bytes ([`super::sort_bytes`]) outside of which it holds for no partition: in order, apart from each other, few.
    pub fn ranges(&self) -> Vec<SortRange> {
        let mut ranges = match self {
            Self::Or(exprs) => exprs.iter().flat_map(Self::ranges).collect(),
            one => conjunction(one),
        };
        ranges.sort_by(|a, b| a.from.cmp(&b.from));
        let mut merged: Vec<SortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if last.until.is_empty() || range.from <= last.until => {
                    let further = range.until.is_empty() || (!last.until.is_empty() && range.until > last.until);
                    if further {
                        last.until = range.until;
                    }
                }
                _ => merged.push(range),
            }
        }
        if merged.len() > RANGES_MAX { vec![SortRange { from: merged.swap_remove(0).from, until: Vec::new() }] } else { merged }
    }
}

/// Unknown beats the neutral value, `decisive` beats both.
fn settle(parts: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut all = Some(!decisive);
    for part in parts {
        match part {
            Some(holds) if holds == decisive => return Some(decisive),
            None => all = None,
            Some(_) => {}
        }
    }
    all
}

impl CompareOp {
    fn holds(self, own: &KeyValue, value: &KeyValue) -> bool {
        match self {
            Self::Eq => own == value,
            Self::NotEq => own != value,
            Self::Lt => own < value,
            Self::LtEq => own <= value,
            Self::Gt => own > value,
            Self::GtEq => own >= value,
        }
    }
}

/// Whether a text matches a pattern where `%` stands for any text and `_` for any character. Takes time in proportion to both lengths.
pub fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last `%` stands, and up to where it was taken to reach.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '_' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, reach)) => {
                    star = Some((at, reach + 1));
                    p = at + 1;
                    t = reach + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

/// From `from` (inclusive) up to `until` (exclusive; empty: without end).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortRange {
    /// The first sort bytes of the range.
    pub from: Vec<u8>,
    /// The first sort bytes after it.
    pub until: Vec<u8>,
}

/// More ranges than this are not worth their look-ups.
const RANGES_MAX: usize = 1_024;

/// What the conditions that must all hold say about one key.
enum Limit<'a> {
    /// Nothing.
    Any,
    /// One of these; `None` is NULL.
    Points(Vec<Option<&'a KeyValue>>),
    /// Between sort bytes that follow those of the keys before.
    Between(Vec<u8>, Vec<u8>),
}

fn conjunction(expr: &BoundExpr) -> Vec<SortRange> {
    let mut conditions = Vec::new();
    flatten(expr, &mut conditions);
    // The sort bytes of the keys so far, one for each combination of their values.
    let mut prefixes = vec![Vec::new()];
    for key in 0.. {
        match limit(&conditions, key) {
            Limit::Points(points) if prefixes.len() * points.len() <= RANGES_MAX => {
                prefixes = prefixes.iter().flat_map(|prefix| points.iter().map(move |point| extended(prefix, *point))).collect();
            }
            Limit::Between(from, until) => {
                let range =
                    |prefix: Vec<u8>| SortRange { from: [&prefix[..], &from].concat(), until: [&prefix[..], &until].concat() };
                return prefixes.into_iter().map(range).collect();
            }
            Limit::Any | Limit::Points(_) => break,
        }
    }
    let whole = |prefix: Vec<u8>| SortRange { until: after(prefix.clone()), from: prefix };
    prefixes.into_iter().map(whole).collect()
}

fn extended(prefix: &[u8], point: Option<&KeyValue>) -> Vec<u8> {
    let mut bytes = prefix.to_vec();
    encode(point, &mut bytes);
    bytes
}

/// The first bytes after all that begin with `prefix`; empty where there are none.
fn after(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < 0xFF {
            prefix.push(last + 1);
            break;
        }
    }
    prefix
}

fn flatten<'a>(expr: &'a BoundExpr, conditions: &mut Vec<&'a BoundExpr>) {
    match expr {
        BoundExpr::And(exprs) => exprs.iter().for_each(|expr| flatten(expr, conditions)),
        other => conditions.push(other),
    }
}

/// The best single condition on a key decides, and lower and upper limits together.
fn limit<'a>(conditions: &[&'a BoundExpr], place: usize) -> Limit<'a> {
    let points = conditions.iter().filter_map(|condition| points(condition, place)).min_by_key(Vec::len);
    if let Some(points) = points {
        return Limit::Points(points);
    }
    let (mut from, mut until) = (vec![VALUE_TAG], vec![VALUE_TAG + 1]);
    let mut limited = false;
    for condition in conditions {
        let Some((low, high)) = between(condition, place) else { continue };
        limited = true;
        from = from.max(low);
        until = until.min(high);
    }
    match limited {
        // Conditions that contradict each other: an empty range.
        true if from > until => Limit::Between(from.clone(), from),
        true => Limit::Between(from, until),
        false => Limit::Any,
    }
}

fn points(condition: &BoundExpr, place: usize) -> Option<Vec<Option<&KeyValue>>> {
    match condition {
        BoundExpr::Compare { key, op: CompareOp::Eq, value } if *key == place => Some(vec![Some(value)]),
        BoundExpr::In { key, values, negated: false } if *key == place => Some(values.iter().map(Some).collect()),
        BoundExpr::IsNull { key, negated: false } if *key == place => Some(vec![None]),
        BoundExpr::Or(exprs) => {
            let all = exprs.iter().map(|expr| points(expr, place)).collect::<Option<Vec<_>>>()?;
            Some(all.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// The sort bytes of one key (with those of the keys after it) that a condition leaves.
fn between(condition: &BoundExpr, place: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let (all_from, all_until) = (vec![VALUE_TAG], vec![VALUE_TAG + 1]);
    match condition {
        BoundExpr::Compare { key, op, value } if *key == place => {
            let mut at = Vec::new();
            encode(Some(value), &mut at);
            let past = after(at.clone());
            match op {
                CompareOp::Lt => Some((all_from, at)),
                CompareOp::LtEq => Some((all_from, past)),
                CompareOp::Gt => Some((past, all_until)),
                CompareOp::GtEq => Some((at, all_until)),
                CompareOp::Eq => Some((at, past)),
                CompareOp::NotEq => None,
            }
        }
        BoundExpr::Like { key, pattern, is_text: true, negated: false } if *key == place => {
            let fixed = pattern.split(['%', '_']).next().filter(|fixed| !fixed.is_empty())?;
            let mut from = vec![VALUE_TAG];
            encode_open(fixed.as_bytes(), &mut from);
            Some((from.clone(), after(from)))
        }
        BoundExpr::IsNull { key, negated: true } if *key == place => Some((all_from, all_until)),
        _ => None,
    }
}
