//! Numbers as DynamoDB has them: decimal, exact to 38 significant digits.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The most significant digits that a number has.
const DIGITS_MAX: u32 = 38;
/// The power of ten of the first digit, at most and at least.
const MAGNITUDE_MAX: i64 = 125;
const MAGNITUDE_MIN: i64 = -130;
/// 10^38: the first count of units that has too many digits.
const LIMIT: u128 = 10u128.pow(DIGITS_MAX);

/// A decimal number of up to 38 significant digits, zero or of a magnitude from 1E-130 to 9.9…E+125. Developer guide, "Naming rules and data types".
///
/// Small and `Copy`. Equality, order and hash are those of the value (`1.0` is `1`); [`fmt::Display`] writes what DynamoDB writes: no exponent, no zeros
/// in front or behind that do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Number {
    /// Below 10^38, no trailing zero unless it is 0.
    digits: u128,
    /// Of the last digit: the value is `digits × 10^exponent`. 0 for zero.
    exponent: i16,
    /// Never for zero.
    negative: bool,
}

/// Why a text or a result is no number; the text is DynamoDB's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not a number.
    #[error("The parameter cannot be converted to a numeric value: {0}")]
    Syntax(String),
    /// Nothing at all.
    #[error("The parameter cannot be converted to a numeric value")]
    Empty,
    /// More than 38 significant digits.
    #[error("Attempting to store more than 38 significant digits in a Number")]
    Precision,
    /// Too far from zero. DynamoDB also says so of a sum that has too many digits.
    #[error("Number overflow. Attempting to store a number with magnitude larger than supported range")]
    Overflow,
    /// Too near to zero.
    #[error("Number underflow. Attempting to store a number with magnitude smaller than supported range")]
    Underflow,
}

impl Number {
    /// Zero.
    pub const ZERO: Self = Self { digits: 0, exponent: 0, negative: false };

    /// `unscaled × 10^-scale`, as decimals of columnar formats have it.
    ///
    /// # Errors
    /// More than 38 significant digits, or out of range.
    pub fn from_decimal(unscaled: i128, scale: i32) -> Result<Self, NumberError> {
        Self::normal(unscaled < 0, unscaled.unsigned_abs(), -i64::from(scale), NumberError::Precision)
    }

    /// The sum, exactly.
    ///
    /// # Errors
    /// It has more than 38 significant digits or is out of range.
    pub fn checked_add(self, other: Self) -> Result<Self, NumberError> {
        if self.digits == 0 {
            return Ok(other);
        }
        if other.digits == 0 {
            return Ok(self);
        }
        let (high, low) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let distance = u32::try_from(i32::from(high.exponent) - i32::from(low.exponent)).map_err(|_| NumberError::Overflow)?;
        // What does not fit here has 39 digits or more even after the subtraction of anything below 10^38, and the last of them is not 0.
        let aligned =
            10u128.checked_pow(distance).and_then(|power| high.digits.checked_mul(power)).ok_or(NumberError::Overflow)?;
        let (negative, digits) = if high.negative == low.negative {
            (high.negative, aligned.checked_add(low.digits).ok_or(NumberError::Overflow)?)
        } else if aligned >= low.digits {
            (high.negative, aligned - low.digits)
        } else {
            (low.negative, low.digits - aligned)
        };
        Self::normal(negative, digits, i64::from(low.exponent), NumberError::Overflow)
    }

    /// The difference, exactly.
    ///
    /// # Errors
    /// As [`Self::checked_add`].
    pub fn checked_sub(self, other: Self) -> Result<Self, NumberError> {
        self.checked_add(Self { negative: !other.negative && other.digits != 0, ..other })
    }

    /// The value if it is whole and fits.
    pub fn to_i64(self) -> Option<i64> {
        let power = 10u128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        let magnitude = i128::try_from(self.digits.checked_mul(power)?).ok()?;
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    /// What it counts of an item's size, in bytes: one for each two significant digits, and one, and one for a sign. Developer guide, "DynamoDB item sizes
    /// and formats".
    pub fn size(self) -> usize {
        if self.digits == 0 {
            return 1;
        }
        usize::try_from(self.length().div_ceil(2)).unwrap_or(0) + 1 + usize::from(self.negative)
    }

    /// Sign, digits and exponent, for encodings.
    pub(crate) fn parts(self) -> (bool, u128, i16) {
        (self.negative, self.digits, self.exponent)
    }

    /// Of what [`Self::parts`] gave; `None` if that cannot be.
    pub(crate) fn from_parts(negative: bool, digits: u128, exponent: i16) -> Option<Self> {
        let number = Self { digits, exponent, negative };
        let canonical = if digits == 0 {
            !negative && exponent == 0
        } else {
            let round = u64::try_from(digits).map_or_else(|_| digits.is_multiple_of(10), |digits| digits.is_multiple_of(10));
            digits < LIMIT && !round && (MAGNITUDE_MIN..=MAGNITUDE_MAX).contains(&number.magnitude())
        };
        canonical.then_some(number)
    }

    /// How many significant digits.
    fn length(self) -> u32 {
        // Most numbers are short, and division of 128 bits is slow.
        let log = u64::try_from(self.digits).map_or_else(|_| self.digits.checked_ilog10(), u64::checked_ilog10);
        log.map_or(0, |log| log + 1)
    }

    /// The power of ten of the first digit.
    pub(crate) fn magnitude(self) -> i64 {
        i64::from(self.exponent) + i64::from(self.length()) - 1
    }

    /// Drops zeros behind, and checks; `too_long` is the error for too many digits.
    fn normal(negative: bool, mut digits: u128, mut exponent: i64, too_long: NumberError) -> Result<Self, NumberError> {
        if digits == 0 {
            return Ok(Self::ZERO);
        }
        while digits.is_multiple_of(10) {
            digits /= 10;
            exponent += 1;
        }
        if digits >= LIMIT {
            return Err(too_long);
        }
        let magnitude = exponent + i64::from(digits.ilog10());
        if magnitude > MAGNITUDE_MAX {
            return Err(NumberError::Overflow);
        }
        if magnitude < MAGNITUDE_MIN {
            return Err(NumberError::Underflow);
        }
        let exponent = i16::try_from(exponent).map_err(|_| NumberError::Overflow)?;
        Ok(Self { digits, exponent, negative })
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self { negative: value < 0, ..Self::from(value.unsigned_abs()) }
    }
}

impl From<u64> for Number {
    fn from(mut value: u64) -> Self {
        if value == 0 {
            return Self::ZERO;
        }
        let mut exponent = 0;
        while value.is_multiple_of(10) {
            value /= 10;
            exponent += 1;
        }
        Self { digits: u128::from(value), exponent, negative: false }
    }
}

/// Reads a text of a number while its digits come.
#[derive(Default)]
struct Digits {
    digits: u128,
    /// Significant digits in `digits`.
    count: u32,
    /// Zeros that came since, and count only if another digit follows.
    zeros: i64,
    any: bool,
    too_many: bool,
}

impl Digits {
    fn push(&mut self, digit: u8) {
        self.any = true;
        if digit == 0 {
            if self.digits != 0 {
                self.zeros += 1;
            }
            return;
        }
        let length = i64::from(self.count) + self.zeros + 1;
        match u32::try_from(length) {
            Ok(length) if length <= DIGITS_MAX => {
                self.digits = self.digits * 10u128.pow(length - self.count) + u128::from(digit);
                self.count = length;
            }
            _ => self.too_many = true,
        }
        self.zeros = 0;
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        let syntax = || NumberError::Syntax(text.to_owned());
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let mut digits = Digits::default();
        let mut fraction: Option<i64> = None;
        let mut at = 0;
        while let Some(&byte) = unsigned.get(at) {
            match byte {
                b'0'..=b'9' => {
                    digits.push(byte - b'0');
                    fraction = fraction.map(|places| places + 1);
                }
                b'.' if fraction.is_none() => fraction = Some(0),
                b'e' | b'E' => break,
                _ => return Err(syntax()),
            }
            at += 1;
        }
        let exponent = match unsigned.get(at + 1..) {
            Some(exponent) => read_exponent(exponent).ok_or_else(syntax)?,
            None if at == unsigned.len() => 0,
            None => return Err(syntax()),
        };
        if !digits.any {
            return Err(syntax());
        }
        if digits.too_many {
            return Err(NumberError::Precision);
        }
        let exponent = exponent + digits.zeros - fraction.unwrap_or(0);
        // A zero has its exponent checked, too: DynamoDB refuses 0e126.
        match exponent {
            _ if digits.digits != 0 => {}
            exponent if exponent > MAGNITUDE_MAX => return Err(NumberError::Overflow),
            exponent if exponent < MAGNITUDE_MIN => return Err(NumberError::Underflow),
            _ => {}
        }
        Self::normal(negative, digits.digits, exponent, NumberError::Precision)
    }
}

/// A whole number with or without a sign; far ones are as good as any other that is out of range.
fn read_exponent(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = (value * 10 + i64::from(digit)).min(1_000_000_000_000);
    }
    Some(if negative { -value } else { value })
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let Ok(places) = usize::try_from(-i32::from(self.exponent)) else {
            return write!(f, "{}{:0<width$}", self.digits, "", width = usize::try_from(self.exponent).unwrap_or(0));
        };
        if places == 0 {
            return write!(f, "{}", self.digits);
        }
        let length = usize::try_from(self.length()).unwrap_or(0);
        if length <= places {
            return write!(f, "0.{:0>places$}", self.digits);
        }
        let power = 10u128.pow(u32::try_from(places).unwrap_or(0));
        write!(f, "{}.{:0>places$}", self.digits / power, self.digits % power)
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits, number.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        sign(self).cmp(&sign(other)).then_with(|| {
            let magnitudes = self.compare_magnitude(other);
            if self.negative { magnitudes.reverse() } else { magnitudes }
        })
    }
}

impl Number {
    /// Without signs; neither is zero, or both are.
    fn compare_magnitude(&self, other: &Self) -> Ordering {
        self.magnitude().cmp(&other.magnitude()).then_with(|| {
            let (mine, theirs) = (self.length(), other.length());
            let longest = mine.max(theirs);
            // Both are below 10^38 then.
            (self.digits * 10u128.pow(longest - mine)).cmp(&(other.digits * 10u128.pow(longest - theirs)))
        })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bigdecimal::BigDecimal;
    use rand::Rng;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    /// Any number, and often a near one.
    pub(crate) fn random(rng: &mut impl Rng) -> Number {
        let length = rng.random_range(1..=38);
        let text: String = (0..length).map(|_| char::from(b'0' + rng.random_range(0..10u8))).collect();
        let exponent = if rng.random_bool(0.5) { rng.random_range(-3..3) } else { rng.random_range(-130..=125 - 37) };
        let sign = if rng.random_bool(0.5) { "-" } else { "" };
        format!("{sign}{text}e{exponent}").parse().unwrap_or(Number::ZERO)
    }

    #[test]
    fn numbers_are_written_as_dynamodb_writes_them() {
        for (text, expected) in [
            ("1", "1"),
            ("-5", "-5"),
            ("0", "0"),
            ("1000", "1000"),
            ("007", "7"),
            ("001.23", "1.23"),
            ("+3", "3"),
            ("+0", "0"),
            ("1.0", "1"),
            ("1.10", "1.1"),
            ("100.000", "100"),
            ("0.0", "0"),
            ("1e3", "1000"),
            ("1E+3", "1000"),
            ("-3e2", "-300"),
            ("1.5E2", "150"),
            ("1e-3", "0.001"),
            ("123e-2", "1.23"),
            ("1.23e-1", "0.123"),
            ("-0", "0"),
            ("-0.0e9", "0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("0e5", "0"),
            ("0e125", "0"),
            ("-56.789", "-56.789"),
            ("-0015.789e6", "-15789000"),
            ("9007199254740993", "9007199254740993"),
            ("0000012345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
            ("-00001.23456789012345678901234567890123456780000", "-1.2345678901234567890123456789012345678"),
        ] {
            assert_eq!(number(text).to_string(), expected, "{text}");
        }
        assert_eq!(number("0009.99999999999999999999999999999999999990000e125").to_string(), "9".repeat(38) + &"0".repeat(88));
        assert_eq!(number("-0001.000e-130").to_string(), format!("-0.{}1", "0".repeat(129)));
        assert_eq!(number("0.1e126").to_string(), format!("1{}", "0".repeat(125)));
    }

    #[test]
    fn what_is_no_number_is_refused_with_dynamodbs_words() {
        for (text, message) in [
            ("", "The parameter cannot be converted to a numeric value"),
            ("b", "The parameter cannot be converted to a numeric value: b"),
            ("NaN", "The parameter cannot be converted to a numeric value: NaN"),
            ("-Infinity", "The parameter cannot be converted to a numeric value: -Infinity"),
            (" 1", "The parameter cannot be converted to a numeric value:  1"),
            ("1 ", "The parameter cannot be converted to a numeric value: 1 "),
            ("1e", "The parameter cannot be converted to a numeric value: 1e"),
            ("1e+", "The parameter cannot be converted to a numeric value: 1e+"),
            (".", "The parameter cannot be converted to a numeric value: ."),
            ("-", "The parameter cannot be converted to a numeric value: -"),
            ("1.2.3", "The parameter cannot be converted to a numeric value: 1.2.3"),
            ("e5", "The parameter cannot be converted to a numeric value: e5"),
            ("123456789012345678901234567890123456789", "Attempting to store more than 38 significant digits in a Number"),
            ("-1.23456789012345678901234567890123456789", "Attempting to store more than 38 significant digits in a Number"),
            ("1e126", "Number overflow. Attempting to store a number with magnitude larger than supported range"),
            (
                "1e100000000000000000000",
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            ),
            ("0e126", "Number overflow. Attempting to store a number with magnitude larger than supported range"),
            ("0e-131", "Number underflow. Attempting to store a number with magnitude smaller than supported range"),
            ("-1e-131", "Number underflow. Attempting to store a number with magnitude smaller than supported range"),
        ] {
            assert_eq!(text.parse::<Number>().unwrap_err().to_string(), message, "{text}");
        }
        assert_eq!(number(&"0".repeat(100_000)), Number::ZERO);
    }

    #[test]
    fn order_and_sums_are_those_of_exact_decimals() {
        let mut rng = rand::rng();
        for _ in 0..20_000 {
            let (a, b) = (random(&mut rng), random(&mut rng));
            let (x, y): (BigDecimal, BigDecimal) = (a.to_string().parse().unwrap(), b.to_string().parse().unwrap());
            assert_eq!(a.cmp(&b), x.cmp(&y), "{a} {b}");
            assert_eq!(a == b, x == y);
            assert_eq!(a.to_string().parse::<Number>().unwrap(), a);
            for (sum, exact) in [(a.checked_add(b), &x + &y), (a.checked_sub(b), &x - &y)] {
                match sum {
                    Ok(sum) => assert_eq!(sum.to_string().parse::<BigDecimal>().unwrap(), exact, "{a} {b}"),
                    Err(_) => {
                        let (digits, exponent) = exact.normalized().into_bigint_and_exponent();
                        let length = i64::try_from(digits.magnitude().to_string().len()).unwrap();
                        assert!(length > 38 || length - exponent - 1 > 125 || length - exponent - 1 < -130, "{a} {b} {exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_sum_at_the_edge_of_38_digits_is_exact_or_refused() {
        assert_eq!(number("1e38").checked_sub(number("1")).unwrap().to_string(), "9".repeat(38));
        assert_eq!(number("1e39").checked_sub(number("1")), Err(NumberError::Overflow));
        assert_eq!(number("1e50").checked_add(number("1")), Err(NumberError::Overflow));
        assert_eq!(number("9e125").checked_add(number("9e125")), Err(NumberError::Overflow));
        assert_eq!(number("9e125").checked_add(number("9e124")).unwrap(), number("9.9e125"));
        assert_eq!(number("5").checked_sub(number("5")).unwrap(), Number::ZERO);
        assert_eq!(number("0").checked_sub(number("5")).unwrap(), number("-5"));
    }

    #[test]
    fn whole_numbers_go_in_and_out() {
        for value in [0, 1, -1, 10, -1000, i64::MAX, i64::MIN] {
            assert_eq!(Number::from(value).to_string(), value.to_string());
            assert_eq!(Number::from(value).to_i64(), Some(value));
        }
        assert_eq!(Number::from(u64::MAX).to_string(), u64::MAX.to_string());
        assert_eq!(Number::from(u64::MAX).to_i64(), None);
        assert_eq!(number("1.5").to_i64(), None);
        assert_eq!(Number::from_decimal(-12_500, 3).unwrap().to_string(), "-12.5");
        assert_eq!(Number::from_decimal(i128::MAX, 0), Err(NumberError::Precision));
        assert_eq!(Number::from_decimal(5, -3).unwrap().to_string(), "5000");
    }

    #[test]
    fn sizes_count_pairs_of_digits() {
        for (text, size) in [("0", 1), ("1", 2), ("12", 2), ("123", 3), ("-123", 4), ("1e100", 2), ("0.0012", 2)] {
            assert_eq!(number(text).size(), size, "{text}");
        }
    }
}
