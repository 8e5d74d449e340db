//! Aggregates that give maps: `histogram`, `map_agg`, `map_union`, `multimap_agg`, `approx_most_frequent`.

use super::{Aggregate, Made, list_value, map_value};
use crate::query::functions::call::{bad, span};
use crate::types::trino::{list_of, map_of};
use arrow::array::{Array, ArrayRef, AsArray, MapArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use indexmap::IndexMap;

pub(super) fn functions() -> Vec<Aggregate> {
    let result = |_: &[DataType], returns: &DataType| vec![returns.clone()];
    vec![
        Aggregate { name: "histogram", forms: &["(K) -> map(K, bigint)"], state: result, make: |made| counts(made, None) },
        Aggregate {
            name: "approx_most_frequent",
            forms: &["(bigint, K, bigint) -> map(K, bigint)"],
            state: |arguments, returns| {
                vec![DataType::Int64, DataType::Int64, map_of(arguments[1].clone(), DataType::Int64), returns.clone()]
            },
            make: |made| counts(made, Some((0, 0))),
        },
        Aggregate { name: "map_agg", forms: &["(K, V) -> map(K,V)"], state: result, make: |made| entries(made, Input::Pairs) },
        Aggregate {
            name: "map_union",
            forms: &["(map(K,V)) -> map(K,V)"],
            state: result,
            make: |made| entries(made, Input::Maps),
        },
        Aggregate { name: "multimap_agg", forms: &["(K, V) -> map(K, array(V))"], state: result, make: lists },
    ]
}

/// What is kept is copied where it is given: as values, and as a column of those.
const COPIES: usize = 3;

fn parts(map: &DataType) -> (DataType, DataType) {
    match map {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => (pair[0].data_type().clone(), pair[1].data_type().clone()),
            _ => (DataType::Null, DataType::Null),
        },
        _ => (DataType::Null, DataType::Null),
    }
}

/// Keys and values of a row's map.
fn each_entry(maps: &MapArray, row: usize, mut give: impl FnMut(ScalarValue, usize) -> Result<()>) -> Result<()> {
    span(maps.value_offsets(), row).try_for_each(|at| give(ScalarValue::try_from_array(maps.keys(), at)?, at))
}

/// How often each value comes.
#[derive(Debug)]
struct Counts {
    counts: IndexMap<ScalarValue, i64>,
    bytes: usize,
    key: DataType,
    /// Buckets and capacity, where only the most frequent are wanted.
    most: Option<(usize, usize)>,
}

fn counts(made: &Made, most: Option<(usize, usize)>) -> Result<Box<dyn Accumulator>> {
    let key = parts(&made.returns).0;
    Ok(Box::new(Counts { counts: IndexMap::new(), bytes: 0, key, most }))
}

impl Counts {
    fn add(&mut self, key: ScalarValue, count: i64) {
        let size = key.size() + 48;
        let entry = self.counts.entry(key);
        if matches!(entry, indexmap::map::Entry::Vacant(_)) {
            self.bytes += size;
        }
        *entry.or_insert(0) += count;
        // Space saving: the least frequent ones make room.
        if let Some((_, capacity)) = self.most
            && self.counts.len() > capacity.saturating_mul(2).max(1024)
        {
            self.counts.sort_by(|_, a, _, b| b.cmp(a));
            self.counts.truncate(capacity);
            self.bytes = self.counts.keys().map(|key| key.size() + 48).sum();
        }
    }

    fn limits(&mut self, buckets: &ArrayRef, capacity: &ArrayRef) -> Result<()> {
        let number = |array: &ArrayRef| array.as_primitive::<Int64Type>().iter().flatten().next();
        let (Some(buckets), Some(capacity)) = (number(buckets), number(capacity)) else { return Ok(()) };
        let known = |value: i64| usize::try_from(value).ok().filter(|value| (1..=1_000_000).contains(value));
        let (buckets, capacity) = known(buckets)
            .zip(known(capacity))
            .ok_or_else(|| bad("approx_most_frequent: buckets and capacity must be from 1 to 1000000"))?;
        self.most = Some((buckets, capacity.max(buckets)));
        Ok(())
    }

    fn value(&self, limit: usize) -> Result<ScalarValue> {
        let (keys, counts) =
            self.counts.iter().take(limit).map(|(key, count)| (key.clone(), ScalarValue::Int64(Some(*count)))).unzip();
        map_value(keys, counts, &self.key, &DataType::Int64)
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let keys = match self.most {
            Some(_) => {
                self.limits(&values[0], &values[2])?;
                &values[1]
            }
            None => &values[0],
        };
        for row in (0..keys.len()).filter(|row| keys.is_valid(*row)) {
            self.add(ScalarValue::try_from_array(keys, row)?, 1);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.counts.is_empty() {
            return ScalarValue::try_from(&map_of(self.key.clone(), DataType::Int64));
        }
        if self.most.is_some() {
            self.counts.sort_by(|_, a, _, b| b.cmp(a));
        }
        self.value(self.most.map_or(usize::MAX, |(buckets, _)| buckets))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes * COPIES
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let counts = self.value(usize::MAX)?;
        Ok(match self.most {
            None => vec![counts],
            Some((buckets, capacity)) => {
                let number = |value: usize| ScalarValue::Int64((value > 0).then(|| i64::try_from(value).unwrap_or(i64::MAX)));
                vec![number(buckets), number(capacity), counts.clone(), counts]
            }
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let maps = if self.most.is_some() {
            self.limits(&states[0], &states[1])?;
            &states[2]
        } else {
            &states[0]
        };
        let maps = maps.as_map();
        for row in (0..maps.len()).filter(|row| maps.is_valid(*row)) {
            let counts = maps.values().as_primitive::<Int64Type>().clone();
            each_entry(maps, row, |key, at| {
                self.add(key, counts.value(at));
                Ok(())
            })?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Input {
    /// A key and a value.
    Pairs,
    /// Maps.
    Maps,
}

/// Of a key that is there twice the first value stays.
#[derive(Debug)]
struct Entries {
    entries: IndexMap<ScalarValue, ScalarValue>,
    bytes: usize,
    returns: DataType,
    input: Input,
    /// Whether there was any row that is not NULL.
    any: bool,
}

fn entries(made: &Made, input: Input) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(Entries { entries: IndexMap::new(), bytes: 0, returns: made.returns.clone(), input, any: false }))
}

impl Entries {
    fn add(&mut self, key: ScalarValue, value: ScalarValue) {
        self.any = true;
        let size = key.size() + value.size() + 48;
        if let indexmap::map::Entry::Vacant(entry) = self.entries.entry(key) {
            entry.insert(value);
            self.bytes += size;
        }
    }

    fn value(&self) -> Result<ScalarValue> {
        let (key, value) = parts(&self.returns);
        map_value(self.entries.keys().cloned().collect(), self.entries.values().cloned().collect(), &key, &value)
    }

    fn maps(&mut self, maps: &MapArray) -> Result<()> {
        for row in (0..maps.len()).filter(|row| maps.is_valid(*row)) {
            self.any = true;
            each_entry(maps, row, |key, at| {
                self.add(key, ScalarValue::try_from_array(maps.values(), at)?);
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl Accumulator for Entries {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match self.input {
            Input::Maps => self.maps(values[0].as_map()),
            Input::Pairs => {
                for row in (0..values[0].len()).filter(|row| values[0].is_valid(*row)) {
                    self.add(ScalarValue::try_from_array(&values[0], row)?, ScalarValue::try_from_array(&values[1], row)?);
                }
                Ok(())
            }
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.any { self.value() } else { ScalarValue::try_from(&self.returns) }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes * COPIES
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.maps(states[0].as_map())
    }
}

/// All values of each key.
#[derive(Debug)]
struct Lists {
    lists: IndexMap<ScalarValue, Vec<ScalarValue>>,
    bytes: usize,
    key: DataType,
    value: DataType,
}

fn lists(made: &Made) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(Lists { lists: IndexMap::new(), bytes: 0, key: made.arguments[0].clone(), value: made.arguments[1].clone() }))
}

impl Lists {
    fn add(&mut self, key: ScalarValue, value: ScalarValue) {
        self.bytes += value.size();
        let size = key.size() + 72;
        let entry = self.lists.entry(key);
        if matches!(entry, indexmap::map::Entry::Vacant(_)) {
            self.bytes += size;
        }
        entry.or_default().push(value);
    }
}

impl Accumulator for Lists {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in (0..values[0].len()).filter(|row| values[0].is_valid(*row)) {
            self.add(ScalarValue::try_from_array(&values[0], row)?, ScalarValue::try_from_array(&values[1], row)?);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let kind = list_of(self.value.clone());
        if self.lists.is_empty() {
            return ScalarValue::try_from(&map_of(self.key.clone(), kind));
        }
        let values = self.lists.values().map(|values| list_value(values.clone(), &self.value)).collect::<Result<Vec<_>>>()?;
        map_value(self.lists.keys().cloned().collect(), values, &self.key, &kind)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes * COPIES
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let maps = states[0].as_map();
        for row in (0..maps.len()).filter(|row| maps.is_valid(*row)) {
            let lists = maps.values().as_list::<i32>().clone();
            each_entry(maps, row, |key, at| {
                let items = lists.value(at);
                (0..items.len()).try_for_each(|item| {
                    self.add(key.clone(), ScalarValue::try_from_array(&items, item)?);
                    Ok(())
                })
            })?;
        }
        Ok(())
    }
}
