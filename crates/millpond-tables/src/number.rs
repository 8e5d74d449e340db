//! Numbers as DynamoDB has them: decimal, exact to 38 significant digits.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A decimal number of up to 38 significant digits, zero or of a magnitude from 1E-130 to 9.9…E+125. Developer guide, "Naming rules and data types".
///
/// Small and `Copy`. Equality, order and hash are those of the value (`1.0` is `1`); [`fmt::Display`] writes what DynamoDB writes: no exponent, no zeros
/// in front or behind that do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Number {
    /// Below 10^38, no trailing zero unless it is 0.
    digits: u128,
    /// Of the last digit: the value is `digits × 10^exponent`.
    exponent: i16,
    negative: bool,
}

/// Why a text or a result is no number.
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
    /// Too far from zero.
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
        let _ = (unscaled, scale);
        todo!()
    }

    /// The sum, exactly.
    ///
    /// # Errors
    /// It has more than 38 significant digits or is out of range.
    pub fn checked_add(self, other: Self) -> Result<Self, NumberError> {
        let _ = other;
        todo!()
    }

    /// The difference, exactly.
    ///
    /// # Errors
    /// As [`Self::checked_add`].
    pub fn checked_sub(self, other: Self) -> Result<Self, NumberError> {
        let _ = other;
        todo!()
    }

    /// The value if it is whole and fits.
    pub fn to_i64(self) -> Option<i64> {
        todo!()
    }
}

impl From<i64> for Number {
    fn from(_value: i64) -> Self {
        todo!()
    }
}

impl From<u64> for Number {
    fn from(_value: u64) -> Self {
        todo!()
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(_text: &str) -> Result<Self, NumberError> {
        todo!()
    }
}

impl fmt::Display for Number {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl Ord for Number {
    fn cmp(&self, _other: &Self) -> Ordering {
        todo!()
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
