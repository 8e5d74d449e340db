//! `approx_percentile` and `numeric_histogram`: values with weights, the nearest of which are joined when there are too many.

use super::{Aggregate, list_value, map_value};
use crate::query::functions::call::bad;
use crate::types::trino::list_of;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

pub(super) fn functions() -> Vec<Aggregate> {
    let digest = |_: &[DataType], _: &DataType| vec![list_of(DataType::Float64); 3];
    vec![
        Aggregate {
            name: "approx_percentile",
            forms: &[
                "(bigint, double) -> bigint",
                "(real, double) -> real",
                "(double, double) -> double",
                "(bigint, double, double) -> bigint",
                "(real, double, double) -> real",
                "(double, double, double) -> double",
                "(bigint, array(double)) -> array(bigint)",
                "(real, array(double)) -> array(real)",
                "(double, array(double)) -> array(double)",
                "(bigint, double, array(double)) -> array(bigint)",
                "(real, double, array(double)) -> array(real)",
                "(double, double, array(double)) -> array(double)",
                "(bigint, double, double, double) -> bigint",
                "(double, double, double, double) -> double",
            ],
            state: digest,
            make: |made| {
                Ok(Box::new(Percentile {
                    points: Points::default(),
                    at: Vec::new(),
                    weighted: made.arguments.len() >= 3,
                    returns: made.returns.clone(),
                }))
            },
        },
        Aggregate {
            name: "numeric_histogram",
            forms: &["(bigint, double) -> map(double, double)", "(bigint, double, double) -> map(double, double)"],
            state: digest,
            make: |made| Ok(Box::new(Histogram { points: Points::default(), buckets: 0, weighted: made.arguments.len() == 3 })),
        },
    ]
}

/// So many are exact; above, neighbours are joined.
const POINTS_MAX: usize = 40_000;
/// How many are left then. The joined ones are small at both ends, as in a t-digest (Dunning and Ertl 2019), so that extreme quantiles stay exact.
const POINTS_KEPT: usize = 4_000;

/// `(value, weight)`
#[derive(Debug, Default)]
struct Points(Vec<(f64, f64)>);

impl Points {
    fn add(&mut self, value: f64, weight: f64) {
        self.0.push((value, weight));
        if self.0.len() > POINTS_MAX {
            self.compress();
        }
    }

    fn sort(&mut self) {
        self.0.sort_by(|a, b| a.0.total_cmp(&b.0));
    }

    fn total(&self) -> f64 {
        self.0.iter().map(|(_, weight)| weight).sum()
    }

    fn compress(&mut self) {
        self.sort();
        let total = self.total();
        // The scale on which every joined point has the same size.
        let scale = |share: f64| POINTS_KEPT as f64 / std::f64::consts::PI * (2.0 * share.clamp(0.0, 1.0) - 1.0).asin();
        let mut out: Vec<(f64, f64)> = Vec::with_capacity(POINTS_KEPT);
        let (mut before, mut start) = (0.0, f64::NEG_INFINITY);
        for (value, weight) in self.0.drain(..) {
            let end = scale((before + weight) / total);
            match out.last_mut() {
                Some((mean, sum)) if end - start <= 1.0 => {
                    *sum += weight;
                    *mean += (value - *mean) * weight / *sum;
                }
                _ => {
                    start = scale(before / total);
                    out.push((value, weight));
                }
            }
            before += weight;
        }
        self.0 = out;
    }

    /// The least value with so much of the weight at or below it.
    fn quantile(&self, at: f64, total: f64) -> Option<f64> {
        let wanted = at * total;
        let mut sum = 0.0;
        let found = self.0.iter().find(|(_, weight)| {
            sum += weight;
            sum >= wanted
        });
        found.or(self.0.last()).map(|(value, _)| *value)
    }

    fn state(&self, extra: Vec<f64>) -> Result<Vec<ScalarValue>> {
        let column = |values: Vec<f64>| list_value(values.into_iter().map(ScalarValue::from).collect(), &DataType::Float64);
        Ok(vec![
            column(self.0.iter().map(|(value, _)| *value).collect())?,
            column(self.0.iter().map(|(_, weight)| *weight).collect())?,
            column(extra)?,
        ])
    }

    /// Takes over the points of other states; gives what stands beside them.
    fn merge(&mut self, states: &[ArrayRef]) -> Vec<f64> {
        let mut extra = Vec::new();
        let column = |index: usize, row: usize| {
            let lists = states[index].as_list::<i32>();
            if lists.is_null(row) { Vec::new() } else { lists.value(row).as_primitive::<Float64Type>().values().to_vec() }
        };
        for row in 0..states[0].len() {
            for (value, weight) in column(0, row).into_iter().zip(column(1, row)) {
                self.add(value, weight);
            }
            let more = column(2, row);
            if !more.is_empty() {
                extra = more;
            }
        }
        extra
    }

    fn update(&mut self, values: &ArrayRef, weights: Option<&ArrayRef>) -> Result<()> {
        let values = cast(values, &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        let weights = weights.map(|weights| weights.as_primitive::<Float64Type>());
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            let weight = match weights {
                Some(weights) if weights.is_null(row) => continue,
                Some(weights) => weights.value(row),
                None => 1.0,
            };
            if weight.is_nan() || weight < 0.0 {
                return Err(bad("weight must be > 0"));
            }
            if weight > 0.0 {
                self.add(values.value(row), weight);
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Percentile {
    points: Points,
    /// The shares that are asked for.
    at: Vec<f64>,
    weighted: bool,
    returns: DataType,
}

impl Percentile {
    fn shares(&mut self, column: &ArrayRef) -> Result<()> {
        if !self.at.is_empty() {
            return Ok(());
        }
        let Some(row) = (0..column.len()).find(|row| column.is_valid(*row)) else { return Ok(()) };
        self.at = match column.data_type() {
            DataType::List(_) => {
                let shares = column.as_list::<i32>().value(row);
                if shares.null_count() > 0 {
                    return Err(bad("Percentile cannot be null"));
                }
                shares.as_primitive::<Float64Type>().values().to_vec()
            }
            _ => vec![column.as_primitive::<Float64Type>().value(row)],
        };
        match self.at.iter().all(|share| (0.0..=1.0).contains(share)) {
            true => Ok(()),
            false => Err(bad("Percentile must be between 0 and 1")),
        }
    }
}

impl Accumulator for Percentile {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let place = if self.weighted { 2 } else { 1 };
        self.shares(&values[place])?;
        self.points.update(&values[0], self.weighted.then(|| &values[1]))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.points.0.is_empty() || self.at.is_empty() {
            return ScalarValue::try_from(&self.returns);
        }
        self.points.sort();
        let total = self.points.total();
        let item = match &self.returns {
            DataType::List(item) => item.data_type().clone(),
            plain => plain.clone(),
        };
        let value = |share: &f64| {
            let value = self.points.quantile(*share, total);
            let value = if item.is_integer() { value.map(f64::round) } else { value };
            ScalarValue::Float64(value).cast_to(&item)
        };
        let values = self.at.iter().map(value).collect::<Result<Vec<_>>>()?;
        match &self.returns {
            DataType::List(_) => list_value(values, &item),
            plain => values.into_iter().next().map_or_else(|| ScalarValue::try_from(plain), Ok),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.points.0.capacity() * 16
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.points.state(self.at.clone())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let shares = self.points.merge(states);
        if self.at.is_empty() {
            self.at = shares;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Histogram {
    points: Points,
    buckets: usize,
    weighted: bool,
}

impl Histogram {
    /// Joins the nearest neighbours until there are as many as wanted (Ben-Haim and Tom-Tov 2010).
    fn join(&mut self) {
        self.points.sort();
        let points = &mut self.points.0;
        points.dedup_by(|b, a| {
            let same = a.0 == b.0;
            if same {
                a.1 += b.1;
            }
            same
        });
        while points.len() > self.buckets.max(1) {
            let gap = |index: &usize| points[index + 1].0 - points[*index].0;
            let Some(nearest) = (0..points.len() - 1).min_by(|a, b| gap(a).total_cmp(&gap(b))) else { return };
            let (value, weight) = points.remove(nearest + 1);
            let (mean, sum) = &mut points[nearest];
            *sum += weight;
            *mean += (value - *mean) * weight / *sum;
        }
    }
}

/// As Trino: more buckets are not kept.
const BUCKETS_MAX: i64 = 10_000;

impl Accumulator for Histogram {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let buckets = values[0].as_primitive::<arrow::datatypes::Int64Type>().iter().flatten().next();
        if let Some(buckets) = buckets {
            if !(2..=BUCKETS_MAX).contains(&buckets) {
                return Err(bad(format!("numeric_histogram bucket count must be from 2 to {BUCKETS_MAX}: {buckets}")));
            }
            self.buckets = usize::try_from(buckets).unwrap_or(2);
        }
        self.points.update(&values[1], self.weighted.then(|| &values[2]))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.points.0.is_empty() {
            return ScalarValue::try_from(&crate::types::trino::map_of(DataType::Float64, DataType::Float64));
        }
        self.join();
        let (keys, weights) =
            self.points.0.iter().map(|(value, weight)| (ScalarValue::from(*value), ScalarValue::from(*weight))).unzip();
        map_value(keys, weights, &DataType::Float64, &DataType::Float64)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.points.0.capacity() * 16
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.points.state(vec![self.buckets as f64])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if let Some(buckets) = self.points.merge(states).first() {
            self.buckets = self.buckets.max(*buckets as usize);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_points_keep_their_quantiles() {
        let mut points = Points::default();
        for value in 0..1_000_000u32 {
            points.add(f64::from(value.wrapping_mul(7919) % 1_000_000), 1.0);
        }
        points.sort();
        let total = points.total();
        assert!(points.0.len() <= POINTS_MAX);
        for share in [0.001, 0.1, 0.5, 0.9, 0.999] {
            let found = points.quantile(share, total).unwrap();
            assert!((found - share * 1e6).abs() < 2_000.0, "{share}: {found}");
        }
    }
}
