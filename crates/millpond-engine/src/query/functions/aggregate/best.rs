//! The greatest and least: `max_by`, `min_by`, and the forms that give several (`max(x, n)`, `max_by(x, y, n)`).

use super::{Aggregate, Made, list_value};
use crate::query::functions::call::{bad, rows};
use crate::types::trino::list_of;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use std::cmp::Ordering;

pub(super) fn functions() -> Vec<Aggregate> {
    vec![
        by("max_by", |made| best(made, true)),
        by("min_by", |made| best(made, false)),
        // `max(x, n)` and `min(x, n)`: the names without a number are DataFusion's.
        several("max_n", |made| best(made, true)),
        several("min_n", |made| best(made, false)),
    ]
}

fn by(name: &'static str, make: fn(&Made) -> Result<Box<dyn Accumulator>>) -> Aggregate {
    Aggregate { name, forms: &["(A, B) -> A", "(A, B, bigint) -> array(A)"], state, make }
}

fn several(name: &'static str, make: fn(&Made) -> Result<Box<dyn Accumulator>>) -> Aggregate {
    Aggregate {
        name,
        forms: &["(A, bigint) -> array(A)"],
        state: |arguments, _| vec![DataType::Int64, list_of(arguments[0].clone()), list_of(arguments[0].clone())],
        make,
    }
}

fn state(arguments: &[DataType], _: &DataType) -> Vec<DataType> {
    vec![DataType::Int64, list_of(arguments[0].clone()), list_of(arguments[1].clone())]
}

/// As Trino: more are not kept.
const COUNT_MAX: i64 = 10_000;

/// The best so far, the best first.
#[derive(Debug)]
struct Best {
    greatest: bool,
    /// Whether keys stand beside the values.
    keyed: bool,
    /// Whether a list is given, and how many it has.
    list: bool,
    count: usize,
    best: Vec<(ScalarValue, ScalarValue)>,
    value: DataType,
    key: DataType,
}

fn best(made: &Made, greatest: bool) -> Result<Box<dyn Accumulator>> {
    let list = matches!((&made.returns, made.arguments.as_slice()), (DataType::List(_), [_, _, _]))
        || (made.arguments.len() == 2 && made.returns == list_of(made.arguments[0].clone()) && made.returns != made.arguments[0]);
    let keyed = made.arguments.len() == 3 || !list;
    let key = made.arguments[usize::from(keyed)].clone();
    Ok(Box::new(Best { greatest, keyed, list, count: 1, best: Vec::new(), value: made.arguments[0].clone(), key }))
}

impl Best {
    fn count(&mut self, counts: &ArrayRef) -> Result<()> {
        let Some(count) = counts.as_primitive::<Int64Type>().iter().flatten().next() else { return Ok(()) };
        if !(1..=COUNT_MAX).contains(&count) {
            return Err(bad(format!("third argument of max_by/min_by must be from 1 to {COUNT_MAX}; found {count}")));
        }
        self.count = usize::try_from(count).unwrap_or(1);
        Ok(())
    }

    fn before(&self, a: &ScalarValue, b: &ScalarValue) -> bool {
        let order = a.partial_cmp(b).unwrap_or(Ordering::Equal);
        order == if self.greatest { Ordering::Greater } else { Ordering::Less }
    }

    /// Puts a value in its place; of equal ones the first stays in front.
    fn offer(&mut self, value: ScalarValue, key: ScalarValue) {
        let place = self.best.partition_point(|(_, known)| !self.before(&key, known));
        if place < self.count {
            self.best.insert(place, (value, key));
            self.best.truncate(self.count);
        }
    }

    /// The rows of a batch that may be among the best, by a comparison of bytes.
    fn candidates(&self, keys: &ArrayRef) -> Result<Vec<usize>> {
        let comparable = rows(keys)?;
        let mut places: Vec<usize> = (0..keys.len()).filter(|row| keys.is_valid(*row)).collect();
        let order = |a: &usize, b: &usize| {
            let order = comparable.row(*a).cmp(&comparable.row(*b));
            if self.greatest { order.reverse() } else { order }
        };
        if self.count == 1 {
            let first = places.into_iter().reduce(|best, at| if order(&at, &best) == Ordering::Less { at } else { best });
            return Ok(first.into_iter().collect());
        }
        places.sort_by(order);
        places.truncate(self.count);
        Ok(places)
    }
}

impl Accumulator for Best {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if self.list {
            self.count(&values[values.len() - 1])?;
        }
        let keys = &values[usize::from(self.keyed)];
        for row in self.candidates(keys)? {
            self.offer(ScalarValue::try_from_array(&values[0], row)?, ScalarValue::try_from_array(keys, row)?);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.list {
            if self.best.is_empty() {
                return ScalarValue::try_from(&list_of(self.value.clone()));
            }
            return list_value(self.best.iter().map(|(value, _)| value.clone()).collect(), &self.value);
        }
        self.best.first().map_or_else(|| ScalarValue::try_from(&self.value), |(value, _)| Ok(value.clone()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.best.iter().map(|(value, key)| value.size() + key.size()).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, keys) = self.best.iter().cloned().unzip();
        let count = ScalarValue::Int64(Some(i64::try_from(self.count).unwrap_or(1)));
        Ok(vec![count, list_value(values, &self.value)?, list_value(keys, &self.key)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[0].as_primitive::<Int64Type>();
        let (values, keys) = (states[1].as_list::<i32>(), states[2].as_list::<i32>());
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            self.count = self.count.max(usize::try_from(counts.value(row)).unwrap_or(1));
            let (values, keys) = (values.value(row), keys.value(row));
            for at in 0..values.len() {
                self.offer(ScalarValue::try_from_array(&values, at)?, ScalarValue::try_from_array(&keys, at)?);
            }
        }
        Ok(())
    }
}
