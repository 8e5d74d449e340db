//! One column's type from the texts of its values.
//!
//! What Glue's crawler says, and better where more can be known: it says `bigint`, `double`, `boolean` or `string`. Here also `date` and `timestamp`
//! (ISO 8601), `decimal(38,0)` for whole numbers beyond 64 bits, `decimal(18,s)` for amounts (all with the same two to four digits after the point, some
//! of them written zeros, which no float's shortest form has); and numbers with leading zeros (zip codes, phone numbers) stay `string`.

use crate::decode::values;
use crate::types::{HiveType, merge};

/// Values that a column needs before its common scale is trusted.
const AMOUNTS_MIN: u64 = 20;

/// What is known of a column so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guess {
    t: Option<HiveType>,
    /// Values that decide something.
    pub seen: u64,
    scale: Scale,
    /// A word for "nothing" (`NA`, `NULL`, …) was met.
    pub null_word: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Scale {
    /// Digits after the point of the first number.
    digits: Option<u8>,
    /// Some number had another.
    mixed: bool,
    /// Some number ended in a written zero.
    padded: bool,
    /// Digits before the point at most.
    whole: u8,
}

impl Guess {
    /// Takes one value: without its quotes.
    pub fn observe(&mut self, text: &[u8], null_values: &[Vec<u8>]) {
        let text = values::trim(text);
        if text.is_empty() {
            return;
        }
        if null_values.iter().any(|v| v == text) {
            self.null_word = true;
            return;
        }
        self.seen += 1;
        if self.t == Some(HiveType::String) {
            return;
        }
        let Some(t) = self.value(text) else { return };
        self.t = Some(match self.t.take() {
            None => t,
            Some(have) => merge(&have, &t),
        });
    }

    /// `None`: NaN, which numbers may be, and says nothing else.
    fn value(&mut self, text: &[u8]) -> Option<HiveType> {
        let first = text[0];
        if first.is_ascii_digit() || matches!(first, b'-' | b'.') {
            if text.len() >= 8 && text.len() <= 40 && text.get(4) == text.get(7) {
                if values::date(text).is_some() {
                    return Some(HiveType::Date);
                }
                if values::timestamp(text).is_some() {
                    return Some(HiveType::Timestamp);
                }
            }
            return Some(self.number(text));
        }
        if text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false") {
            return Some(HiveType::Boolean);
        }
        if text.eq_ignore_ascii_case(b"nan") {
            return None;
        }
        Some(HiveType::String)
    }

    fn number(&mut self, text: &[u8]) -> HiveType {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let leading_zero = digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit();
        if leading_zero {
            return HiveType::String;
        }
        if digits.iter().all(u8::is_ascii_digit) && !digits.is_empty() {
            return match values::integer(text) {
                Some(_) => HiveType::BigInt,
                None if digits.len() <= 38 => HiveType::Decimal(38, 0),
                None => HiveType::String,
            };
        }
        if !values::double(text).is_some_and(f64::is_finite) {
            return HiveType::String;
        }
        self.note_scale(digits);
        HiveType::Double
    }

    fn note_scale(&mut self, digits: &[u8]) {
        let scale = &mut self.scale;
        let point = digits.iter().position(|&c| c == b'.');
        let plain = digits.iter().all(|c| c.is_ascii_digit() || *c == b'.');
        let (Some(point), true) = (point, plain) else {
            scale.mixed = true;
            return;
        };
        let fraction = u8::try_from(digits.len() - point - 1).unwrap_or(u8::MAX);
        scale.mixed |= scale.digits.is_some_and(|d| d != fraction);
        scale.digits = Some(fraction);
        scale.padded |= digits.last() == Some(&b'0');
        scale.whole = scale.whole.max(u8::try_from(point).unwrap_or(u8::MAX));
    }

    /// The type, and whether any value decided it.
    pub fn finish(&self) -> (HiveType, bool) {
        let t = self.t.clone().unwrap_or(HiveType::String);
        if let (HiveType::Double, Scale { digits: Some(s @ 2..=4), mixed: false, padded: true, whole }) = (&t, self.scale)
            && self.seen >= AMOUNTS_MIN
            && whole + s <= 18
        {
            return (HiveType::Decimal(18, s), true);
        }
        let decided = self.t.is_some();
        (t, decided)
    }

    /// Whether only text was seen.
    pub fn is_text(&self) -> bool {
        self.t == Some(HiveType::String)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(values: &[&str]) -> String {
        let nulls = vec![b"NA".to_vec()];
        let mut guess = Guess::default();
        values.iter().for_each(|v| guess.observe(v.as_bytes(), &nulls));
        guess.finish().0.to_string()
    }

    #[test]
    fn values_decide_the_narrowest_type_that_holds_them() {
        for (values, want) in [
            (vec!["1", "-2", ""], "bigint"),
            (vec!["1", "NA", "2.5"], "double"),
            (vec!["007", "123"], "string"),
            (vec!["0", "10"], "bigint"),
            (vec!["0.5", "10"], "double"),
            (vec!["9223372036854775808"], "decimal(38,0)"),
            (vec!["9223372036854775808", "1"], "decimal(38,0)"),
            (vec!["1", "x"], "string"),
            (vec!["true", "FALSE"], "boolean"),
            (vec!["true", "1"], "string"),
            (vec!["2024-01-02"], "date"),
            (vec!["2024-01-02", "2024-01-02T03:04:05Z"], "timestamp"),
            (vec!["2024-01-02", "2024-13-02"], "string"),
            (vec!["", "NA"], "string"),
            (vec!["NaN", "1"], "bigint"),
            (vec!["1e5", "1"], "double"),
            (vec!["12e45678"], "string"),
            (vec!["+4912345"], "string"),
            (vec!["-"], "string"),
            (vec!["10-20"], "string"),
        ] {
            assert_eq!(guess(&values), want, "{values:?}");
        }
    }

    #[test]
    fn amounts_with_written_zeros_are_decimals() {
        let amounts: Vec<String> = (0..30).map(|i| format!("{i}.{:02}", i * 3 % 100)).collect();
        assert_eq!(guess(&amounts.iter().map(String::as_str).collect::<Vec<_>>()), "decimal(18,2)");
        let readings: Vec<String> = (0..30).map(|i| format!("{i}.{i}")).collect();
        assert_eq!(guess(&readings.iter().map(String::as_str).collect::<Vec<_>>()), "double");
    }
}
