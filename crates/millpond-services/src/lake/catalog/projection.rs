//! Partition projection: a table's partitions computed from its properties instead of looked up (Athena user guide, "Use partition projection with
//! Amazon Athena").
//!
//! Pure: properties, a filter and the time go in, values and locations come out. Each key's domain is a sequence that is never written out: what
//! the filter says of the key alone becomes a few places or a range of it, found by bisection; the rest of the filter is evaluated key by
//! key while the combinations are made. So a table of a billion projected partitions costs what the query's conditions leave of it.

use millpond_core::catalog::{Column, NULL_PARTITION, Table};
use millpond_core::partition_expr::{BoundExpr, CompareOp, KeyType, KeyValue, PartitionExpr, like};
use millpond_engine::table::SourceError;
use std::cmp::Ordering;
use std::ops::Range;

mod domain;

use domain::Domain;

/// Partitions of one scan at the most (Athena user guide, "Considerations and limitations" of partition projection).
const PARTITIONS_MAX: usize = 1_000_000;

/// Values that are looked at for one scan at the most: enough for every minute of three years.
const STEPS_MAX: u64 = 2_000_000;

/// A partition that follows from the properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Projected {
    /// One for each key, as the key's type writes it.
    pub(super) values: Vec<String>,
    /// `s3://bucket/prefix/`
    pub(super) location: String,
}

/// A table's partition projection.
#[derive(Debug)]
pub(super) struct Projection {
    table: String,
    keys: Vec<Key>,
    /// Texts and places of keys, by turns: a text, then a key, …; the last key is `None`.
    template: Vec<(String, Option<usize>)>,
}

#[derive(Debug)]
struct Key {
    name: String,
    key_type: KeyType,
    domain: Domain,
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq)]
struct Value {
    /// In the location.
    path: String,
    /// As the key's type writes it.
    text: String,
    /// `None`: the text is not of the key's type.
    key: Option<KeyValue>,
}

fn wrong(table: &str, message: &str) -> SourceError {
    SourceError::named("HIVE_INVALID_METADATA", format!("Table {table}: {message}"))
}

/// Whether a table's partitions are projected, whatever is registered.
pub(super) fn is_projected(table: &Table) -> bool {
    !table.partition_keys.is_empty()
        && property(table, "projection.enabled").is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

/// Where the rows of a partition of a projected table go; `None`: its partitions are not projected.
///
/// # Errors
/// A property that is missing or wrong; a value that is not projected.
pub fn projected_location(table: &Table, values: &[String], now_ms: i64) -> Result<Option<String>, SourceError> {
    if !is_projected(table) {
        return Ok(None);
    }
    Projection::of(table, now_ms)?.location_of(values).map(Some)
}

/// A table property, whose name may be in any case.
fn property<'t>(table: &'t Table, name: &str) -> Option<&'t str> {
    let exact = table.parameters.get(name);
    let found = exact.or_else(|| table.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value));
    found.map(String::as_str)
}

impl Projection {
    /// Reads a table's properties; `now_ms` is the time that `NOW` means, in milliseconds since the epoch.
    ///
    /// # Errors
    /// A property that is missing or wrong, by name.
    pub(super) fn of(table: &Table, now_ms: i64) -> Result<Self, SourceError> {
        let name = format!("{}.{}", table.database, table.name);
        let missing: Vec<&str> = table
            .partition_keys
            .iter()
            .map(|key| key.name.as_str())
            .filter(|key| property(table, &format!("projection.{key}.type")).is_none())
            .collect();
        if !missing.is_empty() {
            return Err(SourceError::metastore(format!(
                "Table {name} is configured for partition projection, but the following partition columns are missing projection \
                 configuration: [{}] (table {name})",
                missing.join(", ")
            )));
        }
        let keys = table.partition_keys.iter().map(|key| {
            let read = |suffix: &str| property(table, &format!("projection.{}.{suffix}", key.name));
            let key_type = KeyType::of(&key.data_type);
            let domain = Domain::of(&key.name, key_type, &read, now_ms).map_err(|message| wrong(&name, &message))?;
            Ok(Key { name: key.name.clone(), key_type, domain })
        });
        let keys = keys.collect::<Result<Vec<_>, SourceError>>()?;
        let template = template(table).map_err(|message| wrong(&name, &message))?;
        Ok(Self { table: name, keys, template })
    }

    /// The partitions that the filter holds for, in the order of the keys' domains.
    ///
    /// # Errors
    /// A condition on an injected key is missing; there are too many.
    pub(super) fn partitions(&self, filter: Option<&PartitionExpr>, columns: &[Column]) -> Result<Vec<Projected>, SourceError> {
        let bound = filter.map(|filter| filter.bind(columns)).transpose();
        let bound = bound.map_err(|error| SourceError::metastore(error.to_string()))?;
        let filter = bound.unwrap_or(BoundExpr::And(Vec::new()));
        let mut steps = STEPS_MAX;
        let mut candidates = Vec::with_capacity(self.keys.len());
        for place in 0..self.keys.len() {
            candidates.push(self.candidates(place, &filter, &mut steps)?);
        }
        let mut found = Vec::new();
        let mut chosen = vec![None; self.keys.len()];
        self.combine(&filter, &candidates, &mut chosen, 0, &mut steps, &mut found)?;
        Ok(found)
    }

    /// Where the rows of a partition go, such that scans find them there. `values`: one for each key, as the key's type writes it.
    ///
    /// Athena itself writes below Hive's path whatever the properties say, where its scans never look; here that is refused, or put right.
    ///
    /// # Errors
    /// `HIVE_INVALID_PARTITION_VALUE`: a value that is not projected, by its column.
    pub(super) fn location_of(&self, values: &[String]) -> Result<String, SourceError> {
        let value = |(key, text): (&Key, &String)| {
            key.value_of(text).ok_or_else(|| {
                let shown = if text == NULL_PARTITION { "NULL".to_owned() } else { format!("'{text}'") };
                let name = &key.name;
                SourceError::named(
                    "HIVE_INVALID_PARTITION_VALUE",
                    format!(
                        "{shown} is no value of the projected partition column '{name}' of {}: no query would find the rows. Its properties \
                         'projection.{name}.*' say which values there are, and how they are written",
                        self.table
                    ),
                )
            })
        };
        let own = self.keys.iter().zip(values).map(value).collect::<Result<Vec<_>, _>>()?;
        Ok(self.projected(&own.iter().map(Some).collect::<Vec<_>>()).location)
    }

    fn too_many(&self) -> SourceError {
        SourceError::named(
            "HIVE_EXCEEDED_PARTITION_LIMIT",
            format!(
                "Query over table '{}' can potentially read more than {PARTITIONS_MAX} partitions: say in its WHERE clause which ones it is about",
                self.table
            ),
        )
    }

    /// The values of one key that the filter may hold for, whatever the others are.
    fn candidates(&self, place: usize, filter: &BoundExpr, steps: &mut u64) -> Result<Vec<Value>, SourceError> {
        let key = &self.keys[place];
        let limit = Limit::of(filter, place);
        if matches!(key.domain, Domain::Injected) {
            let Some(points) = limit.points else {
                return Err(SourceError::named(
                    "CONSTRAINT_VIOLATION",
                    format!(
                        "For the injected projected partition column {}, the WHERE clause must contain only static equality conditions, and at \
                         least one such condition must be present.",
                        key.name
                    ),
                ));
            };
            return Ok(points.into_iter().filter_map(injected).collect());
        }
        let mut values: Vec<Value> = Vec::new();
        for index in key.places(&limit).into_iter().flatten() {
            *steps = steps.checked_sub(1).ok_or_else(|| self.too_many())?;
            let Some(value) = key.value(index) else { continue };
            // A pattern that is coarser than the interval says the same several times.
            if values.last().is_some_and(|last| last.path == value.path) {
                continue;
            }
            let holds = judge(filter, &|key| (key == place).then_some(&value));
            if holds != Some(false) {
                if values.len() >= PARTITIONS_MAX {
                    return Err(self.too_many());
                }
                values.push(value);
            }
        }
        Ok(values)
    }

    fn combine<'v>(
        &self,
        filter: &BoundExpr,
        candidates: &'v [Vec<Value>],
        chosen: &mut Vec<Option<&'v Value>>,
        place: usize,
        steps: &mut u64,
        found: &mut Vec<Projected>,
    ) -> Result<(), SourceError> {
        let Some(values) = candidates.get(place) else {
            if found.len() >= PARTITIONS_MAX {
                return Err(self.too_many());
            }
            found.push(self.projected(chosen));
            return Ok(());
        };
        for value in values {
            *steps = steps.checked_sub(1).ok_or_else(|| self.too_many())?;
            chosen[place] = Some(value);
            let holds = judge(filter, &|key| chosen.get(key).copied().flatten());
            let last = place + 1 == candidates.len();
            if holds == Some(true) || (holds.is_none() && !last) {
                self.combine(filter, candidates, chosen, place + 1, steps, found)?;
            }
            chosen[place] = None;
        }
        Ok(())
    }

    fn projected(&self, chosen: &[Option<&Value>]) -> Projected {
        let mut location = String::new();
        for (text, key) in &self.template {
            location.push_str(text);
            if let Some(value) = key.and_then(|key| chosen[key]) {
                location.push_str(&value.path);
            }
        }
        Projected { values: chosen.iter().flatten().map(|value| value.text.clone()).collect(), location }
    }
}

fn injected(value: KeyValue) -> Option<Value> {
    match value {
        KeyValue::Text(text) => Some(Value { path: text.clone(), text: text.clone(), key: Some(KeyValue::Text(text)) }),
        _ => None,
    }
}

/// `storage.location.template`, or Hive's path below the table's location.
fn template(table: &Table) -> Result<Vec<(String, Option<usize>)>, String> {
    let keys = &table.partition_keys;
    let Some(text) = property(table, "storage.location.template") else {
        let base = table.storage.location.as_deref().unwrap_or_default().trim_end_matches('/');
        let mut parts: Vec<(String, Option<usize>)> = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            let before = if place == 0 { base } else { "" };
            parts.push((format!("{before}/{}=", key.name), Some(place)));
        }
        parts.push(("/".into(), None));
        return Ok(parts);
    };
    let text = text.trim();
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let end =
            rest[at..].find('}').ok_or_else(|| format!("storage.location.template '{text}' has a '${{' that is not closed"))?;
        let name = &rest[at + 2..at + end];
        let place = keys.iter().position(|key| key.name.eq_ignore_ascii_case(name));
        let place = place.ok_or_else(|| format!("storage.location.template names '{name}', which is no partition column"))?;
        parts.push((rest[..at].to_owned(), Some(place)));
        rest = &rest[at + end + 1..];
    }
    parts.push((rest.to_owned(), None));
    match keys.iter().enumerate().find(|(place, _)| !parts.iter().any(|(_, key)| *key == Some(*place))) {
        Some((_, key)) => Err(format!("storage.location.template '{text}' lacks the partition column '${{{}}}'", key.name)),
        None => Ok(parts),
    }
}

impl Key {
    fn value(&self, index: u64) -> Option<Value> {
        let (path, text) = self.domain.texts(index, self.key_type)?;
        let key = self.key_type.read(&text);
        Some(Value { path, text, key })
    }

    /// The projected value that a text of the key's type stands for, under which scans read it; `None`: there is none.
    fn value_of(&self, text: &str) -> Option<Value> {
        let wanted = self.key_type.read(text)?;
        if matches!(self.domain, Domain::Injected) {
            // A folder of its own: what lies in a folder of another value's would be read as that one's.
            let is_folder = !text.is_empty() && !matches!(text, "." | "..") && !text.contains('/');
            return injected(wanted).filter(|_| is_folder);
        }
        let places = self.places(&Limit::points(vec![wanted.clone()]));
        let same = |index: &u64| self.value(*index).is_some_and(|value| value.key.as_ref() == Some(&wanted));
        let place = places.into_iter().flatten().take(STEPS_MAX as usize).find(same)?;
        let value = self.value(place)?;
        // Of values that a coarse pattern writes alike, the first is read.
        let read = place.checked_sub(1).and_then(|before| self.value(before)).is_none_or(|before| before.path != value.path);
        read.then_some(value)
    }

    /// The places of the domain at which the values lie that the limit leaves.
    fn places(&self, limit: &Limit) -> Vec<Range<u64>> {
        let count = self.domain.len();
        let simple = |point: &KeyValue| matches!(point, KeyValue::Text(_) | KeyValue::Integer(_));
        if let Some(points) = limit.points.as_ref().filter(|points| points.iter().all(simple)) {
            let mut places: Vec<u64> = points.iter().filter_map(|point| self.domain.place_of(point, self.key_type)).collect();
            places.sort_unstable();
            places.dedup();
            return places.into_iter().map(|place| place..place + 1).collect();
        }
        if !self.domain.is_sorted(self.key_type) {
            return std::iter::once(0..count).collect();
        }
        let below = |index: u64, bound: &KeyValue, or_equal: bool| {
            let own = self.value(index).and_then(|value| value.key);
            own.and_then(|own| own.partial_cmp(bound)).is_some_and(|order| order.is_lt() || (or_equal && order.is_eq()))
        };
        let from = limit.low.as_ref().map_or(0, |low| bisect(count, |index| below(index, low, false)));
        let until = limit.high.as_ref().map_or(count, |high| bisect(count, |index| below(index, high, true)));
        std::iter::once(from..until.max(from)).collect()
    }
}

/// The first place for which `before` does not hold.
fn bisect(count: u64, before: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// What a filter says about one key: it holds for no value outside of this.
#[derive(Debug, Default)]
struct Limit {
    /// One of these.
    points: Option<Vec<KeyValue>>,
    /// Not less than.
    low: Option<KeyValue>,
    /// Not greater than.
    high: Option<KeyValue>,
}

fn order(a: &KeyValue, b: &KeyValue) -> Ordering {
    a.partial_cmp(b).unwrap_or(Ordering::Equal)
}

impl Limit {
    fn of(expr: &BoundExpr, place: usize) -> Self {
        match expr {
            BoundExpr::And(exprs) => exprs.iter().map(|expr| Self::of(expr, place)).reduce(Self::both).unwrap_or_default(),
            BoundExpr::Or(exprs) => {
                exprs.iter().map(|expr| Self::of(expr, place)).reduce(Self::either).unwrap_or_else(|| Self::points(Vec::new()))
            }
            BoundExpr::Compare { key, op, value } if *key == place => match op {
                CompareOp::Eq => Self::points(vec![value.clone()]),
                CompareOp::Lt | CompareOp::LtEq => Self { high: Some(value.clone()), ..Self::default() },
                CompareOp::Gt | CompareOp::GtEq => Self { low: Some(value.clone()), ..Self::default() },
                CompareOp::NotEq => Self::default(),
            },
            BoundExpr::In { key, values, negated: false } if *key == place => Self::points(values.clone()),
            // Projected values are never NULL.
            BoundExpr::IsNull { key, negated: false } if *key == place => Self::points(Vec::new()),
            BoundExpr::Like { key, pattern, is_text: true, negated: false } if *key == place => {
                let fixed = pattern.split(['%', '_']).next().unwrap_or_default();
                let above = format!("{fixed}{}", char::MAX);
                Self { low: Some(KeyValue::Text(fixed.to_owned())), high: Some(KeyValue::Text(above)), points: None }
            }
            _ => Self::default(),
        }
    }

    fn points(points: Vec<KeyValue>) -> Self {
        let low = points.iter().min_by(|a, b| order(a, b)).cloned();
        let high = points.iter().max_by(|a, b| order(a, b)).cloned();
        Self { points: Some(points), low, high }
    }

    fn both(self, other: Self) -> Self {
        let points = match (self.points, other.points) {
            (Some(mine), Some(theirs)) => Some(mine.into_iter().filter(|point| theirs.contains(point)).collect()),
            (mine, theirs) => mine.or(theirs),
        };
        let pick = |a: Option<KeyValue>, b: Option<KeyValue>, wanted: Ordering| match (a, b) {
            (Some(a), Some(b)) => Some(if order(&a, &b) == wanted { a } else { b }),
            (a, b) => a.or(b),
        };
        let low = pick(self.low, other.low, Ordering::Greater);
        Self { points, low, high: pick(self.high, other.high, Ordering::Less) }
    }

    fn either(self, other: Self) -> Self {
        let points = match (&self.points, &other.points) {
            (Some(mine), Some(theirs)) => Some(mine.iter().chain(theirs).cloned().collect()),
            _ => None,
        };
        // What can hold for nothing adds nothing.
        let nothing = |limit: &Self| limit.points.as_ref().is_some_and(Vec::is_empty);
        let (low, high) = if nothing(&self) {
            (other.low, other.high)
        } else if nothing(&other) {
            (self.low, self.high)
        } else {
            let pick = |a: Option<KeyValue>, b: Option<KeyValue>, wanted: Ordering| match (a, b) {
                (Some(a), Some(b)) => Some(if order(&a, &b) == wanted { a } else { b }),
                _ => None,
            };
            (pick(self.low, other.low, Ordering::Less), pick(self.high, other.high, Ordering::Greater))
        };
        Self { points, low, high }
    }
}

/// Whether the filter holds for the keys that are known so far: `None` where that depends on others, or on a value that is not of its type.
fn judge<'v>(expr: &BoundExpr, value: &dyn Fn(usize) -> Option<&'v Value>) -> Option<bool> {
    match expr {
        BoundExpr::And(exprs) => settle(exprs, value, false),
        BoundExpr::Or(exprs) => settle(exprs, value, true),
        BoundExpr::Not(expr) => judge(expr, value).map(|holds| !holds),
        BoundExpr::Compare { key, op, value: other } => {
            let order = value(*key)?.key.as_ref()?.partial_cmp(other)?;
            Some(match op {
                CompareOp::Eq => order.is_eq(),
                CompareOp::NotEq => order.is_ne(),
                CompareOp::Lt => order.is_lt(),
                CompareOp::LtEq => order.is_le(),
                CompareOp::Gt => order.is_gt(),
                CompareOp::GtEq => order.is_ge(),
            })
        }
        BoundExpr::In { key, values, negated } => {
            let own = value(*key)?.key.as_ref()?;
            // Sorted by `PartitionExpr::bind`.
            Some(values.binary_search_by(|other| order(other, own)).is_ok() != *negated)
        }
        BoundExpr::Like { key, pattern, negated, .. } => Some(like(pattern, &value(*key)?.text) != *negated),
        BoundExpr::IsNull { key, negated } => value(*key).map(|_| *negated),
    }
}

fn settle<'v>(exprs: &[BoundExpr], value: &dyn Fn(usize) -> Option<&'v Value>, decisive: bool) -> Option<bool> {
    let mut all = Some(!decisive);
    for expr in exprs {
        match judge(expr, value) {
            Some(holds) if holds == decisive => return Some(decisive),
            None => all = None,
            Some(_) => {}
        }
    }
    all
}

#[cfg(test)]
mod tests;
