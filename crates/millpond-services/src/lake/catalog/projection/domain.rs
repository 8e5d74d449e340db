//! The values that a projected partition key can have, as a sequence of which any place can be computed.

use chrono::{DateTime, Months, NaiveDateTime};
use millpond_core::partition_expr::{KeyType, KeyValue};
use millpond_engine::decode::time_pattern::{Precision, TimePattern};

/// The most digits that `projection.<column>.digits` may ask for.
const DIGITS_MAX: usize = 64;

/// A key's values.
#[derive(Debug)]
pub(super) enum Domain {
    Enum(Vec<String>),
    Integer {
        first: i64,
        count: u64,
        interval: u64,
        digits: usize,
    },
    Date(Dates),
    /// Whatever the query names.
    Injected,
}

/// Times at equal distances.
#[derive(Debug)]
pub(super) struct Dates {
    pattern: TimePattern,
    first: NaiveDateTime,
    count: u64,
    step: Step,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Months(u32),
    Micros(i64),
}

impl Domain {
    /// Reads the domain of one key; `read` gives a property by what follows `projection.<column>.`.
    ///
    /// # Errors
    /// The property that is missing or wrong, and how.
    pub(super) fn of<'t>(
        column: &str,
        key_type: KeyType,
        read: &dyn Fn(&str) -> Option<&'t str>,
        now_ms: i64,
    ) -> Result<Self, String> {
        let required =
            |suffix: &str| read(suffix).ok_or_else(|| format!("the property 'projection.{column}.{suffix}' is missing"));
        let kind = required("type")?.trim().to_ascii_lowercase();
        match kind.as_str() {
            "enum" => Ok(Self::Enum(required("values")?.split(',').map(str::to_owned).collect())),
            "integer" => integers(column, required("range")?, read),
            "date" => Dates::of(column, required("range")?, required("format")?, read, now_ms).map(Self::Date),
            "injected" if key_type == KeyType::Text => Ok(Self::Injected),
            "injected" => Err(format!("'projection.{column}.type' is 'injected', which needs a column of type string")),
            other => {
                Err(format!("'projection.{column}.type' is '{other}': it must be one of 'enum', 'integer', 'date', 'injected'"))
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Enum(values) => values.len() as u64,
            Self::Integer { count, .. } => *count,
            Self::Date(dates) => dates.count,
            Self::Injected => 0,
        }
    }

    /// The text in locations, and the value as the key's type writes it.
    pub(super) fn texts(&self, index: u64, key_type: KeyType) -> Option<(String, String)> {
        match self {
            Self::Enum(values) => {
                let value = values.get(usize::try_from(index).ok()?)?;
                Some((value.clone(), value.clone()))
            }
            Self::Integer { first, interval, digits, .. } => {
                let number = i128::from(*first) + i128::from(index) * i128::from(*interval);
                let text = format!("{number:0digits$}");
                Some((text.clone(), text))
            }
            Self::Date(dates) => {
                let time = dates.at(index)?;
                let path = dates.pattern.format(time.and_utc().timestamp_micros())?;
                let text = match key_type {
                    KeyType::Date => time.format("%Y-%m-%d").to_string(),
                    KeyType::Timestamp => time.format("%Y-%m-%d %H:%M:%S%.f").to_string(),
                    _ => path.clone(),
                };
                Some((path, text))
            }
            Self::Injected => None,
        }
    }

    /// Whether the values of a key of this type never fall from place to place.
    pub(super) fn is_sorted(&self, key_type: KeyType) -> bool {
        match self {
            Self::Enum(_) | Self::Injected => false,
            Self::Integer { first, count, interval, digits } => match key_type {
                KeyType::Integer | KeyType::Decimal | KeyType::Float => true,
                KeyType::Text => {
                    let last = i128::from(*first) + i128::from(count.saturating_sub(1)) * i128::from(*interval);
                    *first >= 0 && last.to_string().len() <= *digits
                }
                _ => false,
            },
            Self::Date(dates) => match key_type {
                KeyType::Date | KeyType::Timestamp => true,
                KeyType::Text | KeyType::Integer => dates.pattern.is_sortable() && dates.has_four_digit_years(),
                _ => false,
            },
        }
    }

    /// Where a value lies, if it is one of the domain's. (Whether it is written the same way is for the filter to find.)
    pub(super) fn place_of(&self, value: &KeyValue, key_type: KeyType) -> Option<u64> {
        match self {
            Self::Enum(values) => {
                let text = match value {
                    KeyValue::Text(text) => text.clone(),
                    KeyValue::Integer(number) => number.to_string(),
                    _ => return None,
                };
                let same =
                    |own: &String| *own == text || own.trim().parse::<i64>().is_ok_and(|own| KeyValue::Integer(own) == *value);
                values.iter().position(same).map(|place| place as u64)
            }
            Self::Integer { first, count, interval, .. } => {
                let number: i64 = match value {
                    KeyValue::Integer(number) => *number,
                    KeyValue::Text(text) => text.parse().ok()?,
                    _ => return None,
                };
                let distance = u64::try_from(i128::from(number) - i128::from(*first)).ok()?;
                (distance % interval == 0 && distance / interval < *count).then_some(distance / interval)
            }
            Self::Date(dates) => dates.place_of(value, key_type),
            Self::Injected => None,
        }
    }
}

fn pair<'t>(column: &str, range: &'t str) -> Result<(&'t str, &'t str), String> {
    match range.split(',').collect::<Vec<_>>()[..] {
        [first, last] => Ok((first.trim(), last.trim())),
        _ => Err(format!("'projection.{column}.range' must be two values with a comma between them, is '{range}'")),
    }
}

fn interval<'t>(column: &str, read: &dyn Fn(&str) -> Option<&'t str>) -> Result<Option<u32>, String> {
    let Some(text) = read("interval") else { return Ok(None) };
    let number = text.trim().parse::<u32>().ok().filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| format!("'projection.{column}.interval' must be a positive whole number, is '{text}'"))
}

fn integers<'t>(column: &str, range: &str, read: &dyn Fn(&str) -> Option<&'t str>) -> Result<Domain, String> {
    let (first, last) = pair(column, range)?;
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| format!("'projection.{column}.range' must be two whole numbers, is '{range}'"))
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!("'projection.{column}.range' begins with {first}, after its end {last}"));
    }
    let interval = u64::from(interval(column, read)?.unwrap_or(1));
    let digits = match read("digits") {
        None => 0,
        Some(text) => {
            text.trim().parse::<usize>().ok().filter(|digits| (1..=DIGITS_MAX).contains(digits)).ok_or_else(|| {
                format!("'projection.{column}.digits' must be a whole number from 1 to {DIGITS_MAX}, is '{text}'")
            })?
        }
    };
    let span = u64::try_from(i128::from(last) - i128::from(first)).unwrap_or(u64::MAX);
    Ok(Domain::Integer { first, count: (span / interval).saturating_add(1), interval, digits })
}

impl Dates {
    fn of<'t>(
        column: &str,
        range: &str,
        format: &str,
        read: &dyn Fn(&str) -> Option<&'t str>,
        now_ms: i64,
    ) -> Result<Self, String> {
        let pattern = TimePattern::parse(format).map_err(|error| format!("'projection.{column}.format': {error}"))?;
        let (first, last) = pair(column, range)?;
        let bound = |text: &str| {
            let unreadable = || {
                format!("'projection.{column}.range' must be two dates of the format '{format}' or NOW[+-n UNIT], is '{range}'")
            };
            bound(text, &pattern, now_ms).ok_or_else(unreadable)
        };
        let (first, last) = (bound(first)?, bound(last)?);
        if first > last {
            return Err(format!("'projection.{column}.range' '{range}' begins after its end"));
        }
        let step = step(column, interval(column, read)?, read("interval.unit"), pattern.precision())?;
        let mut dates = Self { pattern, first, count: u64::MAX, step };
        dates.count = dates.places_until(last) + 1;
        Ok(dates)
    }

    fn at(&self, index: u64) -> Option<NaiveDateTime> {
        match self.step {
            Step::Months(months) => self.first.checked_add_months(Months::new(u32::try_from(index).ok()?.checked_mul(months)?)),
            Step::Micros(micros) => {
                let distance = i64::try_from(index).ok()?.checked_mul(micros)?;
                self.first.checked_add_signed(chrono::TimeDelta::microseconds(distance))
            }
        }
    }

    /// The greatest place that is not after `time`, which is not before the first.
    fn places_until(&self, time: NaiveDateTime) -> u64 {
        match self.step {
            Step::Micros(micros) => {
                let distance =
                    i128::from(time.and_utc().timestamp_micros()) - i128::from(self.first.and_utc().timestamp_micros());
                u64::try_from(distance / i128::from(micros)).unwrap_or(0)
            }
            // Calendars here end long before a million months.
            Step::Months(_) => super::bisect(4_000_000, |index| self.at(index).is_some_and(|at| at <= time)).saturating_sub(1),
        }
    }

    fn place_of(&self, value: &KeyValue, key_type: KeyType) -> Option<u64> {
        let micros = match (value, key_type) {
            (KeyValue::Text(text), _) => self.pattern.read(text)?,
            (KeyValue::Integer(days), KeyType::Date) => days.checked_mul(86_400_000_000)?,
            (KeyValue::Integer(micros), KeyType::Timestamp) => *micros,
            (KeyValue::Integer(number), _) => self.pattern.read(&number.to_string())?,
            _ => return None,
        };
        let time = DateTime::from_timestamp_micros(micros)?.naive_utc();
        if time < self.first {
            return None;
        }
        let place = self.places_until(time);
        (place < self.count && self.at(place) == Some(time)).then_some(place)
    }

    fn has_four_digit_years(&self) -> bool {
        use chrono::Datelike;
        let year = |index: u64| self.at(index).map_or(0, |time| time.year());
        self.count == 0 || (year(0) >= 0 && (0..=9999).contains(&year(self.count - 1)))
    }
}

fn step(column: &str, interval: Option<u32>, unit: Option<&str>, precision: Precision) -> Result<Step, String> {
    let number = interval.unwrap_or(1);
    let unit = match (unit, precision) {
        (Some(unit), _) => unit.trim().to_ascii_uppercase(),
        (None, Precision::Day) => "DAYS".into(),
        (None, Precision::Month) => "MONTHS".into(),
        (None, _) => {
            return Err(format!(
                "the property 'projection.{column}.interval.unit' is missing: only formats that end with days or months have a default"
            ));
        }
    };
    const SECOND: i64 = 1_000_000;
    let micros = match unit.trim_end_matches('S') {
        "YEAR" => return months(column, number, 12),
        "MONTH" => return months(column, number, 1),
        "WEEK" => 7 * 86_400 * SECOND,
        "DAY" => 86_400 * SECOND,
        "HOUR" => 3_600 * SECOND,
        "MINUTE" => 60 * SECOND,
        "SECOND" => SECOND,
        "MILLISECOND" => 1_000,
        _ => {
            return Err(format!(
                "'projection.{column}.interval.unit' is '{unit}': it must be one of YEARS, MONTHS, WEEKS, DAYS, HOURS, MINUTES, SECONDS, \
                 MILLISECONDS"
            ));
        }
    };
    micros.checked_mul(i64::from(number)).map(Step::Micros).ok_or_else(|| too_long(column, number))
}

fn months(column: &str, number: u32, each: u32) -> Result<Step, String> {
    number.checked_mul(each).map(Step::Months).ok_or_else(|| too_long(column, number))
}

fn too_long(column: &str, number: u32) -> String {
    format!("'projection.{column}.interval' {number} is too long")
}

/// One end of a range: a date of the pattern, or `NOW` with a distance, cut to what the pattern tells.
fn bound(text: &str, pattern: &TimePattern, now_ms: i64) -> Option<NaiveDateTime> {
    let micros = match pattern.read(text) {
        Some(micros) => micros,
        None => {
            let moved = relative(text, DateTime::from_timestamp_millis(now_ms)?.naive_utc())?;
            let micros = moved.and_utc().timestamp_micros();
            pattern.format(micros).and_then(|text| pattern.read(&text)).unwrap_or(micros)
        }
    };
    DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc())
}

/// `NOW`, `NOW-3YEARS`, `NOW + 2 days`.
fn relative(text: &str, now: NaiveDateTime) -> Option<NaiveDateTime> {
    let text = text.trim().to_ascii_uppercase();
    let rest = text.strip_prefix("NOW")?.trim_start();
    if rest.is_empty() {
        return Some(now);
    }
    let sign: i64 = match rest.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest = rest[1..].trim_start();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let number: u32 = rest[..digits].parse().ok()?;
    match step("", Some(number.max(1)), Some(&rest[digits..]), Precision::Year).ok()? {
        _ if number == 0 => Some(now),
        Step::Months(months) if sign > 0 => now.checked_add_months(Months::new(months)),
        Step::Months(months) => now.checked_sub_months(Months::new(months)),
        Step::Micros(micros) => now.checked_add_signed(chrono::TimeDelta::microseconds(sign * micros)),
    }
}
