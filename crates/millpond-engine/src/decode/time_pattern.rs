//! Java's patterns of dates and times (`yyyy-MM-dd'T'HH:mm:ss`), as partition projection and the `timestamp.formats` of SerDes take them (Java SE
//! documentation, `DateTimeFormatter`; Joda-Time, `DateTimeFormat`).
//!
//! Text is read strictly: as many digits as the pattern has letters where it has two or more, and nothing before or after. What a pattern does not say is that of
//! 1970-01-01 00:00. Times are in UTC; a zone in a text is taken into account.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike};

/// The longest pattern that is taken, in characters.
const PATTERN_MAX: usize = 256;

/// The finest part of a time that a pattern tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// `y`
    Year,
    /// `M`
    Month,
    /// `d`, `D`
    Day,
    /// `H`, `h`
    Hour,
    /// `m`
    Minute,
    /// `s`
    Second,
    /// `S`
    Fraction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    Month,
    MonthName,
    Day,
    DayOfYear,
    DayName,
    Hour,
    HourFrom1,
    Hour12,
    Hour12From0,
    HalfOfDay,
    Minute,
    Second,
    Fraction,
    Offset(char),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    Field(Field, usize),
}

/// A pattern that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimePattern {
    items: Vec<Item>,
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl TimePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, for people: a letter that is not supported, a quote that is not closed, no field at all.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        if pattern.chars().count() > PATTERN_MAX {
            return Err(format!("a date pattern has at most {PATTERN_MAX} characters"));
        }
        let mut items = Vec::new();
        let mut literal = String::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' => quoted(&mut chars, &mut literal)?,
                '[' | ']' | '{' | '}' | '#' => return Err(format!("'{c}' in the date pattern '{pattern}' is not supported")),
                letter if letter.is_ascii_alphabetic() => {
                    let mut width = 1;
                    while chars.next_if_eq(&letter).is_some() {
                        width += 1;
                    }
                    if !literal.is_empty() {
                        items.push(Item::Literal(std::mem::take(&mut literal)));
                    }
                    let field = field(letter, width).ok_or_else(|| {
                        format!(
                            "the letters '{}' in the date pattern '{pattern}' are not supported",
                            letter.to_string().repeat(width)
                        )
                    })?;
                    items.push(Item::Field(field, width));
                }
                other => literal.push(other),
            }
        }
        if !literal.is_empty() {
            items.push(Item::Literal(literal));
        }
        if !items.iter().any(|item| matches!(item, Item::Field(..))) {
            return Err(format!("the date pattern '{pattern}' has no field"));
        }
        Ok(Self { items })
    }

    fn fields(&self) -> impl Iterator<Item = (Field, usize)> + '_ {
        self.items.iter().filter_map(|item| match item {
            Item::Field(field, width) => Some((*field, *width)),
            Item::Literal(_) => None,
        })
    }

    /// The finest part that it tells.
    pub fn precision(&self) -> Precision {
        self.fields().filter_map(|(field, _)| field.precision()).max().unwrap_or(Precision::Year)
    }

    /// Whether texts compare as the times do: from the year on, each field is followed by the next smaller one, all of fixed width.
    pub fn is_sortable(&self) -> bool {
        let mut last: Option<Precision> = None;
        for (field, width) in self.fields() {
            let fixed = match field {
                Field::Year => width == 4,
                Field::Month | Field::Day | Field::Hour | Field::Minute | Field::Second => width == 2,
                Field::DayOfYear => width == 3,
                Field::Fraction => true,
                _ => false,
            };
            let Some(precision) = field.precision().filter(|_| fixed) else { return false };
            let follows = match (last, field) {
                (None, Field::Year) => true,
                (Some(last), Field::DayOfYear) => last == Precision::Year,
                (Some(last), _) => precision as u8 == last as u8 + 1,
                _ => false,
            };
            if !follows {
                return false;
            }
            last = Some(precision);
        }
        last.is_some()
    }

    /// A time in microseconds since the epoch as text; `None` beyond the years that a calendar has here.
    pub fn format(&self, micros: i64) -> Option<String> {
        let time = DateTime::from_timestamp_micros(micros)?.naive_utc();
        let mut text = String::new();
        for item in &self.items {
            match item {
                Item::Literal(literal) => text.push_str(literal),
                Item::Field(field, width) => field.write(&time, *width, &mut text),
            }
        }
        Some(text)
    }

    /// The time that a text says, in microseconds since the epoch; `None` where it is not of this pattern, or no time.
    pub fn read(&self, text: &str) -> Option<i64> {
        let mut parts = Parts::default();
        let mut rest = text;
        for (i, item) in self.items.iter().enumerate() {
            rest = match item {
                Item::Literal(literal) => rest.strip_prefix(literal.as_str())?,
                Item::Field(field, width) => {
                    let adjacent = matches!(self.items.get(i + 1), Some(Item::Field(next, _)) if next.is_number());
                    field.read(*width, adjacent, rest, &mut parts)?
                }
            };
        }
        if rest.is_empty() { parts.micros() } else { None }
    }
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, literal: &mut String) -> Result<(), String> {
    let before = literal.len();
    while let Some(c) = chars.next() {
        if c != '\'' {
            literal.push(c);
        } else if chars.next_if_eq(&'\'').is_some() {
            literal.push('\'');
        } else {
            // Nothing between two quotes is a quote.
            if literal.len() == before {
                literal.push('\'');
            }
            return Ok(());
        }
    }
    Err("a quote in the date pattern is not closed".into())
}

fn field(letter: char, width: usize) -> Option<Field> {
    Some(match (letter, width) {
        ('y' | 'u', 1..=9) => Field::Year,
        ('M' | 'L', 1 | 2) => Field::Month,
        ('M' | 'L', 3 | 4) => Field::MonthName,
        ('d', 1 | 2) => Field::Day,
        ('D', 1..=3) => Field::DayOfYear,
        ('E', 1..=4) => Field::DayName,
        ('H', 1 | 2) => Field::Hour,
        ('k', 1 | 2) => Field::HourFrom1,
        ('h', 1 | 2) => Field::Hour12,
        ('K', 1 | 2) => Field::Hour12From0,
        ('a', 1) => Field::HalfOfDay,
        ('m', 1 | 2) => Field::Minute,
        ('s', 1 | 2) => Field::Second,
        ('S', 1..=9) => Field::Fraction,
        ('Z' | 'X' | 'x' | 'z', 1..=3) => Field::Offset(letter),
        _ => return None,
    })
}

impl Field {
    fn precision(self) -> Option<Precision> {
        Some(match self {
            Self::Year => Precision::Year,
            Self::Month | Self::MonthName => Precision::Month,
            Self::Day | Self::DayOfYear => Precision::Day,
            Self::Hour | Self::HourFrom1 | Self::Hour12 | Self::Hour12From0 => Precision::Hour,
            Self::Minute => Precision::Minute,
            Self::Second => Precision::Second,
            Self::Fraction => Precision::Fraction,
            Self::DayName | Self::HalfOfDay | Self::Offset(_) => return None,
        })
    }

    fn is_number(self) -> bool {
        !matches!(self, Self::MonthName | Self::DayName | Self::HalfOfDay | Self::Offset(_))
    }

    fn write(self, time: &NaiveDateTime, width: usize, out: &mut String) {
        let named = |name: &str| if width >= 4 { name.to_owned() } else { name.chars().take(3).collect() };
        let number = match self {
            Self::Year if width == 2 => i64::from(time.year().rem_euclid(100)),
            Self::Year => i64::from(time.year()),
            Self::Month => i64::from(time.month()),
            Self::Day => i64::from(time.day()),
            Self::DayOfYear => i64::from(time.ordinal()),
            Self::Hour => i64::from(time.hour()),
            Self::HourFrom1 => i64::from(if time.hour() == 0 { 24 } else { time.hour() }),
            Self::Hour12 => i64::from(time.hour12().1),
            Self::Hour12From0 => i64::from(time.hour() % 12),
            Self::Minute => i64::from(time.minute()),
            Self::Second => i64::from(time.second()),
            Self::Fraction => {
                let digits = format!("{:09}", time.nanosecond().min(999_999_999));
                return out.push_str(&digits[..width.min(9)]);
            }
            Self::MonthName => return out.push_str(&named(MONTHS[time.month0() as usize])),
            Self::DayName => return out.push_str(&named(DAYS[time.weekday().num_days_from_monday() as usize])),
            Self::HalfOfDay => return out.push_str(if time.hour() < 12 { "AM" } else { "PM" }),
            Self::Offset(letter) => {
                return out.push_str(match (letter, width) {
                    ('X', _) => "Z",
                    ('x', 1) => "+00",
                    ('x', 2) => "+0000",
                    ('x', _) => "+00:00",
                    ('z', _) => "UTC",
                    _ => "+0000",
                });
            }
        };
        out.push_str(&format!("{number:0width$}"));
    }

    /// Reads the field from the start of `text`, and gives what follows it.
    fn read<'t>(self, width: usize, adjacent: bool, text: &'t str, parts: &mut Parts) -> Option<&'t str> {
        match self {
            Self::MonthName => {
                let (place, rest) = name(text, &MONTHS, width)?;
                parts.month = Some(place as u32 + 1);
                return Some(rest);
            }
            Self::DayName => return name(text, &DAYS, width).map(|(_, rest)| rest),
            Self::HalfOfDay => {
                let half = text.get(..2)?;
                parts.afternoon = Some(if half.eq_ignore_ascii_case("am") {
                    false
                } else if half.eq_ignore_ascii_case("pm") {
                    true
                } else {
                    return None;
                });
                return text.get(2..);
            }
            Self::Offset(_) => {
                let (seconds, rest) = offset(text)?;
                parts.offset_seconds = seconds;
                return Some(rest);
            }
            _ => {}
        }
        let fixed = adjacent || !(width == 1 || (self == Self::Year && width != 2));
        let have = text.bytes().take_while(u8::is_ascii_digit).count();
        let digits = if fixed { width } else { have.min(if self == Self::Year { 9 } else { 3.max(width) }) };
        if have < digits || digits < width {
            return None;
        }
        let (number, rest) = text.split_at(digits);
        if self == Self::Fraction {
            parts.nanos = format!("{number:0<9}").parse().ok()?;
            return Some(rest);
        }
        let number: u32 = number.parse().ok()?;
        match self {
            Self::Year if width == 2 => parts.year = Some(2000 + number.cast_signed()),
            Self::Year => parts.year = Some(number.try_into().ok()?),
            Self::Month => parts.month = Some(number),
            Self::Day => parts.day = Some(number),
            Self::DayOfYear => parts.day_of_year = Some(number),
            Self::Hour => parts.hour = Some(number),
            Self::HourFrom1 => parts.hour = Some((1..=24).contains(&number).then_some(number % 24)?),
            Self::Hour12 => parts.hour12 = Some((1..=12).contains(&number).then_some(number % 12)?),
            Self::Hour12From0 => parts.hour12 = Some((0..=11).contains(&number).then_some(number)?),
            Self::Minute => parts.minute = number,
            Self::Second => parts.second = number,
            _ => {}
        }
        Some(rest)
    }
}

/// The place of a name that a text begins with, and what follows it.
fn name<'t>(text: &'t str, names: &[&str], width: usize) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(place, name)| {
        let length = if width >= 4 { name.len() } else { 3 };
        let start = text.get(..length)?;
        start.eq_ignore_ascii_case(&name[..length]).then(|| (place, &text[length..]))
    })
}

/// A zone's offset in seconds: `Z`, `UTC`, `GMT`, `+hh`, `+hhmm`, `+hh:mm`.
fn offset(text: &str) -> Option<(i64, &str)> {
    for utc in ["UTC", "GMT", "Z", "z"] {
        if let Some(rest) = text.strip_prefix(utc) {
            return Some((0, rest));
        }
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let two = |at: usize| {
        let digits = text.get(at..at + 2)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse::<i64>().ok() } else { None }
    };
    let hours = two(1)?;
    let (minutes, end) = match text.as_bytes().get(3) {
        Some(b':') => (two(4)?, 6),
        Some(b'0'..=b'9') => (two(3)?, 5),
        _ => (0, 3),
    };
    (hours <= 18 && minutes < 60).then(|| (sign * (hours * 3_600 + minutes * 60), &text[end..]))
}

/// What a text says of a time.
#[derive(Debug, Default)]
struct Parts {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    hour12: Option<u32>,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanos: u32,
    offset_seconds: i64,
}

impl Parts {
    fn micros(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let afternoon = if self.afternoon == Some(true) { 12 } else { 0 };
        let hour = self.hour.or(self.hour12.map(|hour| hour + afternoon)).unwrap_or(0);
        let time = date.and_hms_nano_opt(hour, self.minute, self.second, self.nanos)?;
        let time = time.checked_sub_signed(TimeDelta::seconds(self.offset_seconds))?;
        Some(time.and_utc().timestamp_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: i64 = 1_704_164_645_678_000; // 2024-01-02T03:04:05.678Z, a Tuesday

    #[test]
    fn times_are_written_and_read_by_javas_letters() {
        let check = |pattern: &str, text: &str, back: Option<i64>| {
            let parsed = TimePattern::parse(pattern).unwrap();
            assert_eq!(parsed.format(TIME).unwrap(), text, "{pattern}");
            assert_eq!(parsed.read(text), back, "{pattern}");
        };
        let day = 1_704_153_600_000_000;
        check("yyyy-MM-dd", "2024-01-02", Some(day));
        check("yyyyMMdd", "20240102", Some(day));
        check("yyyy/MM/dd/HH", "2024/01/02/03", Some(day + 3 * 3_600_000_000));
        check("yyyy-MM-dd'T'HH:mm:ss.SSS", "2024-01-02T03:04:05.678", Some(TIME));
        check("yyyy-MM-dd HH:mm:ss.SSSX", "2024-01-02 03:04:05.678Z", Some(TIME));
        check("d MMM yy", "2 Jan 24", Some(day));
        check("EEE, d MMMM yyyy", "Tue, 2 January 2024", Some(day));
        check("yyyyDDD", "2024002", Some(day));
        check("'year='yyyy''''", "year=2024'", Some(1_704_067_200_000_000));
        check("yyyy-M", "2024-1", Some(1_704_067_200_000_000));
        check("hh:mm a", "03:04 AM", Some(3 * 3_600_000_000 + 4 * 60_000_000));
    }

    #[test]
    fn what_is_not_of_a_pattern_is_not_read() {
        let check =
            |pattern: &str, text: &str| assert_eq!(TimePattern::parse(pattern).unwrap().read(text), None, "{pattern} {text}");
        check("yyyy-MM-dd", "2024-1-02");
        check("yyyy-MM-dd", "2024-13-02");
        check("yyyy-MM-dd", "2024-02-30");
        check("yyyy-MM-dd", "2024-01-02 ");
        check("yyyy-MM-dd", "x2024-01-02");
        check("yyyyMMdd", "2024010");
        check("HH:mm", "24:00");
        check("yyyy", "");
        check("yyyy-MM-dd", "é024-01-02");
        for pattern in ["", "-", "yyyy'", "yyyy[MM]", "QQ", "yyyyyyyyyy", "nope"] {
            assert!(TimePattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn zones_in_texts_are_taken_into_account() {
        let pattern = TimePattern::parse("yyyy-MM-dd'T'HH:mm:ssZ").unwrap();
        let want = Some(1_704_164_645_000_000);
        for text in ["2024-01-02T05:04:05+0200", "2024-01-02T05:04:05+02:00", "2024-01-02T05:04:05+02", "2024-01-02T03:04:05Z"] {
            assert_eq!(pattern.read(text), want, "{text}");
        }
    }

    #[test]
    fn patterns_know_their_precision_and_whether_they_sort() {
        for (pattern, precision, sortable) in [
            ("yyyy-MM-dd", Precision::Day, true),
            ("yyyy/MM/dd/HH", Precision::Hour, true),
            ("yyyyMM", Precision::Month, true),
            ("yyyyDDDHH", Precision::Hour, true),
            ("dd-MM-yyyy", Precision::Day, false),
            ("yyyy-M-d", Precision::Day, false),
            ("yy-MM", Precision::Month, false),
            ("yyyy-dd", Precision::Day, false),
            ("yyyy-MMM", Precision::Month, false),
        ] {
            let parsed = TimePattern::parse(pattern).unwrap();
            assert_eq!((parsed.precision(), parsed.is_sortable()), (precision, sortable), "{pattern}");
        }
    }
}
