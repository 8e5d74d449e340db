//! Aggregates of a few numbers: `geometric_mean`, `skewness`, `kurtosis`, `entropy`, `checksum`.

use super::{Aggregate, Made};
use crate::query::functions::binary::xxhash64;
use crate::query::functions::call::{bad, rows};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

pub(super) fn functions() -> Vec<Aggregate> {
    let sums = |_: &[DataType], _: &DataType| vec![DataType::Float64; 4];
    let number = |name, make| Aggregate { name, forms: &["(double) -> double"], state: sums, make };
    vec![
        number("geometric_mean", |_| moments(f64::ln, |m| (m.count > 0.0).then(|| m.mean.exp()))),
        number("skewness", |_| moments(|x| x, |m| (m.count >= 3.0).then(|| m.count.sqrt() * m.m3 / m.m2.powf(1.5)))),
        Aggregate {
            name: "kurtosis",
            forms: &["(double) -> double"],
            state: |_, _| vec![DataType::Float64; 5],
            make: |_| Ok(Box::new(Kurtosis(Moments::new(|x| x, |_| None)))),
        },
        Aggregate {
            name: "entropy",
            forms: &["(double) -> double"],
            state: |_, _| vec![DataType::Float64; 2],
            make: |_| Ok(Box::<Entropy>::default()),
        },
        Aggregate {
            name: "checksum",
            forms: &["(T) -> varbinary"],
            state: |_, _| vec![DataType::Int64, DataType::Int64],
            make: |_: &Made| Ok(Box::<Checksum>::default()),
        },
    ]
}

/// Count, mean, and sums of the powers of the distances from it, updated without cancellation (Pébay 2008).
#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    m2: f64,
    m3: f64,
    m4: f64,
    map: fn(f64) -> f64,
    give: fn(&Moments) -> Option<f64>,
}

impl std::fmt::Debug for Moments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moments").field("count", &self.count).finish_non_exhaustive()
    }
}

fn moments(map: fn(f64) -> f64, give: fn(&Moments) -> Option<f64>) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(Moments::new(map, give)))
}

impl Moments {
    fn new(map: fn(f64) -> f64, give: fn(&Moments) -> Option<f64>) -> Self {
        Self { count: 0.0, mean: 0.0, m2: 0.0, m3: 0.0, m4: 0.0, map, give }
    }

    fn merge(&mut self, other: [f64; 5]) {
        let [count, mean, m2, m3, m4] = other;
        if count == 0.0 {
            return;
        }
        let (a, b, n) = (self.count, count, self.count + count);
        let delta = mean - self.mean;
        let share = delta / n;
        self.m4 += m4
            + delta * share.powi(3) * a * b * (a * a - a * b + b * b)
            + 6.0 * share * share * (a * a * m2 + b * b * self.m2)
            + 4.0 * share * (a * m3 - b * self.m3);
        self.m3 += m3 + delta * share * share * a * b * (a - b) + 3.0 * share * (a * m2 - b * self.m2);
        self.m2 += m2 + delta * share * a * b;
        self.mean += share * b;
        self.count = n;
    }

    fn add(&mut self, values: &ArrayRef) {
        let map = self.map;
        values.as_primitive::<Float64Type>().iter().flatten().for_each(|value| self.merge([1.0, map(value), 0.0, 0.0, 0.0]));
    }
}

fn columns(states: &[ArrayRef], row: usize) -> [f64; 5] {
    let mut out = [0.0; 5];
    for (place, state) in out.iter_mut().zip(states) {
        *place = state.as_primitive::<Float64Type>().value(row);
    }
    out
}

impl Accumulator for Moments {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0]);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64((self.give)(self)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok([self.count, self.mean, self.m2, self.m3].map(ScalarValue::from).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        (0..states[0].len()).for_each(|row| self.merge(columns(states, row)));
        Ok(())
    }
}

/// The excess of the fourth moment, of a sample.
#[derive(Debug)]
struct Kurtosis(Moments);

impl Accumulator for Kurtosis {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.add(&values[0]);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Moments { count: n, m2, m4, .. } = self.0;
        let value = (n >= 4.0).then(|| {
            let variance = m2 / (n - 1.0);
            n * (n + 1.0) / ((n - 1.0) * (n - 2.0) * (n - 3.0)) * m4 / (variance * variance)
                - 3.0 * (n - 1.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0))
        });
        Ok(ScalarValue::Float64(value))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Moments { count, mean, m2, m3, m4, .. } = self.0;
        Ok([count, mean, m2, m3, m4].map(ScalarValue::from).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        (0..states[0].len()).for_each(|row| self.0.merge(columns(states, row)));
        Ok(())
    }
}

/// Of counts: `log2` of their sum less the mean of their logarithms.
#[derive(Debug, Default)]
struct Entropy {
    sum: f64,
    logs: f64,
}

impl Accumulator for Entropy {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            if value < 0.0 {
                return Err(bad("Entropy count argument must be non-negative"));
            }
            if value > 0.0 {
                self.sum += value;
                self.logs += value * value.log2();
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = if self.sum > 0.0 { self.sum.log2() - self.logs / self.sum } else { 0.0 };
        Ok(ScalarValue::Float64(Some(value.max(0.0))))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.sum.into(), self.logs.into()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let [sum, logs, ..] = columns(states, row);
            self.sum += sum;
            self.logs += logs;
        }
        Ok(())
    }
}

/// The sum of the values' hashes: the order does not count.
#[derive(Debug, Default)]
struct Checksum {
    sum: i64,
    count: i64,
}

/// What NULL counts for.
const NULL: i64 = 0x9E37_79B1_85EB_CA87_u64.cast_signed();

impl Accumulator for Checksum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let comparable = rows(&values[0])?;
        for row in 0..values[0].len() {
            let hash = if values[0].is_null(row) { NULL } else { xxhash64(comparable.row(row).as_ref()).cast_signed() };
            self.sum = self.sum.wrapping_add(hash.wrapping_mul(NULL));
        }
        self.count += i64::try_from(values[0].len()).unwrap_or(0);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary((self.count > 0).then(|| self.sum.to_le_bytes().to_vec())))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.sum.into(), self.count.into()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (sums, counts) = (states[0].as_primitive::<Int64Type>(), states[1].as_primitive::<Int64Type>());
        for row in 0..sums.len() {
            self.sum = self.sum.wrapping_add(sums.value(row));
            self.count += counts.value(row);
        }
        Ok(())
    }
}
