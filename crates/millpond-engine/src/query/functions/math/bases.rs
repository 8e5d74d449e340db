//! Integers in other bases.

use crate::query::functions::call::{bad, each};
use crate::query::functions::{Function, function};
use datafusion::common::Result;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("from_base", &["(varchar, bigint) -> bigint"], |call| {
            each!(call, IntOut, |text: 0 text, base: 1 int| {
                let parsed = i64::from_str_radix(text, radix(base)?);
                Some(parsed.map_err(|_| bad(format!("Not a valid base-{base} number: {text}")))?)
            })
        }),
        function(
            "to_base",
            &["(bigint, bigint) -> varchar"],
            |call| each!(call, TextOut, |value: 0 int, base: 1 int| Some(to_base(value, radix(base)?))),
        ),
    ]
}

fn radix(base: i64) -> Result<u32> {
    let known = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
    known.ok_or_else(|| bad("Radix must be between 2 and 36"))
}

fn to_base(value: i64, base: u32) -> String {
    let mut rest = value.unsigned_abs();
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(rest % u64::from(base)).unwrap_or(0);
        digits.extend(char::from_digit(digit, base));
        rest /= u64::from(base);
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        digits.push('-');
    }
    digits.iter().rev().collect()
}
