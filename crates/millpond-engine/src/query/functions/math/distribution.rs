//! Distributions of probability: normal, beta, Student's t, Wilson's interval.
//!
//! The normal and t distributions come from the incomplete gamma and beta functions, by series and continued fractions (Abramowitz and Stegun
//! 6.5 and 26.5), which are exact to about 14 digits.

use crate::query::functions::call::{bad, each};
use crate::query::functions::{Function, function};
use datafusion::common::Result;
use std::f64::consts::{PI, SQRT_2};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("normal_cdf", THREE, |call| {
            each!(call, DoubleOut, |mean: 0 double, deviation: 1 double, value: 2 double| {
                if deviation.is_nan() || deviation <= 0.0 {
                    return Err(bad("standardDeviation must be > 0"));
                }
                Some(normal_cdf((value - mean) / deviation))
            })
        }),
        function("inverse_normal_cdf", THREE, |call| {
            each!(call, DoubleOut, |mean: 0 double, deviation: 1 double, p: 2 double| {
                if !(p > 0.0 && p < 1.0) {
                    return Err(bad("p must be in the interval (0, 1)"));
                }
                if deviation.is_nan() || deviation <= 0.0 {
                    return Err(bad("standardDeviation must be > 0"));
                }
                Some(mean + deviation * inverse_normal(p))
            })
        }),
        function("beta_cdf", THREE, |call| {
            each!(call, DoubleOut, |a: 0 double, b: 1 double, value: 2 double| {
                beta_parameters(a, b)?;
                if !(0.0..=1.0).contains(&value) {
                    return Err(bad("value must be in the interval [0, 1]"));
                }
                Some(incomplete_beta(a, b, value))
            })
        }),
        function("inverse_beta_cdf", THREE, |call| {
            each!(call, DoubleOut, |a: 0 double, b: 1 double, p: 2 double| {
                beta_parameters(a, b)?;
                if !(0.0..=1.0).contains(&p) {
                    return Err(bad("p must be in the interval [0, 1]"));
                }
                Some(inverse_beta(a, b, p))
            })
        }),
        function("t_cdf", TWO, |call| {
            each!(call, DoubleOut, |x: 0 double, freedom: 1 double| {
                degrees(freedom)?;
                let tail = incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + x * x)) / 2.0;
                Some(if x > 0.0 { 1.0 - tail } else { tail })
            })
        }),
        function("t_pdf", TWO, |call| {
            each!(call, DoubleOut, |x: 0 double, freedom: 1 double| {
                degrees(freedom)?;
                let scale = ln_gamma((freedom + 1.0) / 2.0) - ln_gamma(freedom / 2.0) - (freedom * PI).ln() / 2.0;
                Some((scale - (freedom + 1.0) / 2.0 * (x * x / freedom).ln_1p()).exp())
            })
        }),
        function(
            "wilson_interval_lower",
            WILSON,
            |call| each!(call, DoubleOut, |successes: 0 int, trials: 1 int, z: 2 double| Some(wilson(successes, trials, z, -1.0)?)),
        ),
        function(
            "wilson_interval_upper",
            WILSON,
            |call| each!(call, DoubleOut, |successes: 0 int, trials: 1 int, z: 2 double| Some(wilson(successes, trials, z, 1.0)?)),
        ),
    ]
}

const TWO: &[&str] = &["(double, double) -> double"];
const THREE: &[&str] = &["(double, double, double) -> double"];
const WILSON: &[&str] = &["(bigint, bigint, double) -> double"];

fn beta_parameters(a: f64, b: f64) -> Result<()> {
    if a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite() { Ok(()) } else { Err(bad("a and b must be > 0")) }
}

fn degrees(freedom: f64) -> Result<()> {
    if freedom > 0.0 { Ok(()) } else { Err(bad("df must be greater than 0")) }
}

fn wilson(successes: i64, trials: i64, z: f64, side: f64) -> Result<f64> {
    if successes < 0 {
        return Err(bad("number of successes must not be negative"));
    }
    if trials <= 0 {
        return Err(bad("number of trials must be positive"));
    }
    if successes > trials {
        return Err(bad("number of successes must not be larger than number of trials"));
    }
    if z.is_nan() || z < 0.0 {
        return Err(bad("z-score must not be negative"));
    }
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    Ok((p + z * z / (2.0 * n) + side * spread) / (1.0 + z * z / n))
}

fn normal_cdf(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return 0.5 + x;
    }
    // The tail beyond |x|.
    let tail = upper_gamma_half(x * x / 2.0) / 2.0;
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// The regularized upper incomplete gamma function of 1/2: `erfc(√x)`.
fn upper_gamma_half(x: f64) -> f64 {
    const A: f64 = 0.5;
    if x > 700.0 {
        return 0.0;
    }
    let scale = (-x + A * x.ln()).exp() / PI.sqrt();
    if x < A + 1.0 {
        let (mut term, mut sum) = (1.0 / A, 1.0 / A);
        for n in 1..500 {
            term *= x / (A + f64::from(n));
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return 1.0 - scale * sum;
    }
    let fraction =
        continued(|n| if n == 0 { 1.0 } else { f64::from(n) * (A - f64::from(n)) }, |n| x + 2.0 * f64::from(n) + 1.0 - A);
    scale * fraction
}

/// `a0 / (b0 + a1 / (b1 + …))` by Lentz's method.
fn continued(a: impl Fn(i32) -> f64, b: impl Fn(i32) -> f64) -> f64 {
    const TINY: f64 = 1e-300;
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut f, mut c, mut d) = (TINY, TINY, 0.0);
    for n in 0..1000 {
        d = 1.0 / nonzero(b(n) + a(n) * d);
        c = nonzero(b(n) + a(n) / c);
        let delta = c * d;
        f *= delta;
        if (delta - 1.0).abs() < 1e-16 {
            break;
        }
    }
    f
}

/// Acklam's rational approximation, then two steps of Newton.
fn inverse_normal(p: f64) -> f64 {
    if p > 0.5 {
        return -inverse_normal(1.0 - p);
    }
    let mut x = if p < 0.02425 {
        let q = (-2.0 * p.ln()).sqrt();
        let top = [
            -7.784894002430293e-3,
            -3.223964580411365e-1,
            -2.400758277161838,
            -2.549732539343734,
            4.374664141464968,
            2.938163982698783,
        ];
        let bottom = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0];
        polynomial(&top, q) / polynomial(&bottom, q)
    } else {
        let q = p - 0.5;
        let r = q * q;
        let top = [
            -3.969683028665376e1,
            2.209460984245205e2,
            -2.759285104469687e2,
            1.383_577_518_672_69e2,
            -3.066479806614716e1,
            2.506628277459239,
        ];
        let bottom =
            [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1, 1.0];
        polynomial(&top, r) * q / polynomial(&bottom, r)
    };
    for _ in 0..2 {
        let density = (-x * x / 2.0).exp() / (SQRT_2 * PI.sqrt());
        if density > 0.0 {
            x -= (normal_cdf(x) - p) / density;
        }
    }
    x
}

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// Lanczos' approximation (g = 7, nine terms).
pub(super) fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return (PI / (PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let t = x + 7.5;
    let sum: f64 = TERMS[0] + TERMS[1..].iter().enumerate().map(|(index, term)| term / (x + index as f64 + 1.0)).sum::<f64>();
    (2.0 * PI).ln() / 2.0 + (x + 0.5) * t.ln() - t + sum.ln()
}

fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let scale = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    let term = |n: i32| {
        let m = f64::from(n / 2);
        match n {
            0 => 1.0,
            n if n % 2 == 0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        }
    };
    scale * continued(term, |_| 1.0)
}

fn inverse_beta(a: f64, b: f64, p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    if p <= 0.0 || p >= 1.0 {
        return p;
    }
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if incomplete_beta(a, b, middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_agree_with_tables() {
        let check = |got: f64, want: f64| assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        check(normal_cdf(1.96), 0.975_002_104_851_779_5);
        check(normal_cdf(-3.0), 0.001_349_898_031_630_094_6);
        check(normal_cdf(0.3), 0.617_911_422_188_952_7);
        check(inverse_normal(0.3), -0.524_400_512_708_040_9);
        check(inverse_normal(0.999), 3.090_232_306_167_813_5);
        check(incomplete_beta(2.0, 3.0, 0.4), 0.5248);
        check(incomplete_beta(3.0, 2.0, 0.6), 0.4752);
        check(inverse_beta(2.0, 3.0, 0.5248), 0.4);
        check(ln_gamma(5.0), 24f64.ln());
    }
}
