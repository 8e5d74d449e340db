//! Numbers (Trino documentation, "Mathematical functions and operators").

mod bases;
mod distribution;
mod random;
mod round;
mod vectors;

use super::call::{bad, each};
use super::{Function, function};

pub(super) use random::{below, bytes};

const UNARY: &[&str] = &["(double) -> double"];
const BINARY: &[&str] = &["(double, double) -> double"];

/// A function of one `double`.
macro_rules! unary {
    ($($name:literal => |$x:ident| $value:expr),+ $(,)?) => {
        vec![$( function($name, UNARY, |call| each!(call, DoubleOut, |$x: 0 double| Some($value))) ),+]
    };
}

pub(super) fn functions() -> Vec<Function> {
    let mut all = unary![
        "acos" => |x| x.acos(), "asin" => |x| x.asin(), "atan" => |x| x.atan(), "cos" => |x| x.cos(), "cosh" => |x| x.cosh(),
        "sin" => |x| x.sin(), "sinh" => |x| x.sinh(), "tan" => |x| x.tan(), "tanh" => |x| x.tanh(),
        "cbrt" => |x| x.cbrt(), "sqrt" => |x| x.sqrt(), "exp" => |x| x.exp(), "ln" => |x| x.ln(), "log2" => |x| x.log2(),
        "log10" => |x| x.log10(), "degrees" => |x| x.to_degrees(), "radians" => |x| x.to_radians(),
    ];
    all.extend([
        function("atan2", BINARY, |call| each!(call, DoubleOut, |y: 0 double, x: 1 double| Some(y.atan2(x)))),
        function("power", BINARY, |call| each!(call, DoubleOut, |x: 0 double, p: 1 double| Some(x.powf(p)))),
        function("pow", BINARY, |call| each!(call, DoubleOut, |x: 0 double, p: 1 double| Some(x.powf(p)))),
        function("log", BINARY, |call| each!(call, DoubleOut, |base: 0 double, x: 1 double| Some(logarithm(base, x)))),
        function("e", &["() -> double"], |call| constant(call.rows, std::f64::consts::E)),
        function("pi", &["() -> double"], |call| constant(call.rows, std::f64::consts::PI)),
        function("infinity", &["() -> double"], |call| constant(call.rows, f64::INFINITY)),
        function("nan", &["() -> double"], |call| constant(call.rows, f64::NAN)),
        function("is_finite", TEST, |call| each!(call, BooleanOut, |x: 0 double| Some(x.is_finite()))),
        function("is_infinite", TEST, |call| each!(call, BooleanOut, |x: 0 double| Some(x.is_infinite()))),
        function("is_nan", TEST, |call| each!(call, BooleanOut, |x: 0 double| Some(x.is_nan()))),
        function("width_bucket", WIDTH_BUCKET, width_bucket),
    ]);
    all.extend(round::functions());
    all.extend(bases::functions());
    all.extend(distribution::functions());
    all.extend(random::functions());
    all.extend(vectors::functions());
    all
}

const TEST: &[&str] = &["(double) -> boolean"];
const WIDTH_BUCKET: &[&str] = &["(double, double, double, bigint) -> bigint", "(double, array(double)) -> bigint"];

/// Exact where the base has a logarithm of its own.
fn logarithm(base: f64, x: f64) -> f64 {
    match base {
        2.0 => x.log2(),
        10.0 => x.log10(),
        _ => x.ln() / base.ln(),
    }
}

fn constant(rows: usize, value: f64) -> datafusion::common::Result<arrow::array::ArrayRef> {
    Ok(std::sync::Arc::new(arrow::array::Float64Array::from_value(value, rows)))
}

fn width_bucket(call: &super::call::Call<'_>) -> datafusion::common::Result<arrow::array::ArrayRef> {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float64Type;
    if call.count() == 4 {
        return each!(call, IntOut, |x: 0 double, low: 1 double, high: 2 double, count: 3 int| {
            Some(bucket_of(x, low, high, count)?)
        });
    }
    let (operands, bins) = (call.double(0), call.list(1));
    let mut out = super::call::IntOut::with_rows(call.rows);
    for row in 0..call.rows {
        if operands.is_null(row) || bins.is_null(row) {
            out.null();
            continue;
        }
        let bins = bins.value(row);
        let bins = bins.as_primitive::<Float64Type>();
        let x = operands.value(row);
        if bins.is_empty() || bins.null_count() > 0 {
            return Err(bad("Bins cannot be an empty array, and none of them NULL"));
        }
        if x.is_nan() {
            return Err(bad("Operand cannot be NaN"));
        }
        if bins.values().windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(bad("Bin values are not sorted in ascending order"));
        }
        out.push(Some(bins.values().partition_point(|bin| *bin <= x) as i64))?;
    }
    Ok(out.finish())
}

fn bucket_of(x: f64, low: f64, high: f64, count: i64) -> datafusion::common::Result<i64> {
    if count <= 0 {
        return Err(bad("bucketCount must be greater than 0"));
    }
    if x.is_nan() {
        return Err(bad("operand must not be NaN"));
    }
    if !low.is_finite() || !high.is_finite() {
        return Err(bad("bounds must be finite"));
    }
    if low == high {
        return Err(bad("bounds cannot equal each other"));
    }
    let (lower, upper) = (low.min(high), low.max(high));
    let bucket = if x < lower {
        0
    } else if x >= upper {
        count.checked_add(1).ok_or_else(|| super::call::out_of_range(format!("Bucket for value {x} is out of range")))?
    } else {
        (count as f64 * (x - lower) / (upper - lower)) as i64 + 1
    };
    Ok(if low > high { count - bucket + 1 } else { bucket })
}
