//! Schedule expressions: `rate(5 minutes)` and `cron(0 12 * * ? *)`, in UTC.
//!
//! The syntax is that of the EventBridge user guide, "Setting a schedule pattern for scheduled rules (legacy)", which Glue's triggers and
//! crawlers share.

use chrono::{DateTime, Datelike, Duration, NaiveDate, Utc};

/// A parsed schedule expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// Every so many milliseconds.
    Rate(i64),
    /// At the times of a calendar.
    Cron(Box<Cron>),
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a schedule: {reason}")]
pub struct NotASchedule {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The fields of a cron expression: which numbers each allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    months: u64,
    /// From 1970 on.
    years: Vec<bool>,
    day: Day,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Day {
    /// Bits of days of the month.
    OfMonth(u64),
    LastOfMonth,
    /// The weekday nearest to a day of the month.
    NearestWeekday(u32),
    /// Bits of days of the week, Sunday is 1.
    OfWeek(u64),
    /// A day of the week (Sunday is 1), the how-manieth of its month.
    Nth(u32, u32),
    /// The last such day of the week in the month.
    LastWeekday(u32),
}

const YEARS: std::ops::RangeInclusive<i32> = 1970..=2199;
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Schedule {
    /// Parses `rate(…)` or `cron(…)`.
    pub fn parse(text: &str) -> Result<Self, NotASchedule> {
        let refuse = |reason: String| NotASchedule { text: text.into(), reason };
        let inner = |name: &str| text.trim().strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(rate) = inner("rate") {
            return parse_rate(rate).map_err(refuse);
        }
        match inner("cron") {
            Some(cron) => Cron::parse(cron).map(|cron| Self::Cron(Box::new(cron))).map_err(refuse),
            None => Err(refuse("it must be rate(value unit) or cron(minutes hours day-of-month month day-of-week year)".into())),
        }
    }

    /// The first time after `after_ms` (milliseconds since the epoch) at which it is due; `None` where there is none any more.
    pub fn next_after(&self, after_ms: i64) -> Option<i64> {
        match self {
            Self::Rate(every_ms) => Some(after_ms + every_ms),
            Self::Cron(cron) => cron.next_after(after_ms),
        }
    }
}

fn parse_rate(text: &str) -> Result<Schedule, String> {
    let mut words = text.split_whitespace();
    let (value, unit) = match (words.next(), words.next(), words.next()) {
        (Some(value), Some(unit), None) => (value, unit),
        _ => return Err("a rate is a number and a unit, for example rate(5 minutes)".into()),
    };
    let value: i64 = value
        .parse()
        .ok()
        .filter(|value| (1..=1_000_000).contains(value))
        .ok_or("a rate's value must be a positive whole number")?;
    let minutes = match (unit, value) {
        ("minute", 1) | ("minutes", 2..) => 1,
        ("hour", 1) | ("hours", 2..) => 60,
        ("day", 1) | ("days", 2..) => 24 * 60,
        ("minute" | "minutes" | "hour" | "hours" | "day" | "days", _) => {
            return Err("the unit is singular for 1 (1 minute), and plural otherwise (5 minutes)".into());
        }
        _ => return Err("a rate's unit is minute(s), hour(s) or day(s)".into()),
    };
    Ok(Schedule::Rate(value * minutes * 60_000))
}

impl Cron {
    fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let &[minutes, hours, day, month, weekday, year] = &fields[..] else {
            return Err(format!(
                "cron has six fields (minutes hours day-of-month month day-of-week year), here are {}",
                fields.len()
            ));
        };
        let mut years = vec![false; (YEARS.end() - YEARS.start() + 1) as usize];
        for value in values(year, *YEARS.start() as u32, *YEARS.end() as u32, &[], "year")? {
            years[(value - *YEARS.start() as u32) as usize] = true;
        }
        Ok(Self {
            minutes: bits(values(minutes, 0, 59, &[], "minutes")?),
            hours: bits(values(hours, 0, 23, &[], "hours")?),
            months: bits(values(month, 1, 12, &MONTHS, "month")?),
            years,
            day: parse_day(day, weekday)?,
        })
    }

    fn next_after(&self, after_ms: i64) -> Option<i64> {
        let from = DateTime::<Utc>::from_timestamp_millis(after_ms)? + Duration::minutes(1);
        let (mut date, mut minute_from) = (from.date_naive(), from.timestamp().rem_euclid(86_400) / 60);
        // 29 February may be eight years away, around a century that is no leap year.
        let end = date + Duration::days(366 * 9);
        while date <= end || self.years_left(date) {
            if self.allows(date)
                && let Some(minute) = (minute_from..24 * 60)
                    .find(|minute| self.hours >> (minute / 60) & 1 == 1 && self.minutes >> (minute % 60) & 1 == 1)
            {
                return Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis() + minute * 60_000);
            }
            minute_from = 0;
            date = date.succ_opt()?;
            if date.year() > *YEARS.end() {
                return None;
            }
        }
        None
    }

    /// Whether a year that is allowed has yet to begin.
    fn years_left(&self, date: NaiveDate) -> bool {
        let passed = (date.year() - YEARS.start()).max(0) as usize;
        !self.years.iter().all(|allowed| *allowed) && self.years.iter().skip(passed).any(|allowed| *allowed)
    }

    fn allows(&self, date: NaiveDate) -> bool {
        let year = (date.year() - YEARS.start()) as usize;
        self.years.get(year).copied().unwrap_or(false) && self.months >> date.month() & 1 == 1 && self.day.allows(date)
    }
}

impl Day {
    fn allows(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday() + 1;
        let last = last_day(date);
        match *self {
            Self::OfMonth(days) => days >> date.day() & 1 == 1,
            Self::LastOfMonth => date.day() == last,
            Self::NearestWeekday(day) => date.day() == nearest_weekday(date, day.min(last)),
            Self::OfWeek(days) => days >> weekday & 1 == 1,
            Self::Nth(wanted, nth) => weekday == wanted && (date.day() - 1) / 7 + 1 == nth,
            Self::LastWeekday(wanted) => weekday == wanted && date.day() + 7 > last,
        }
    }
}

fn last_day(date: NaiveDate) -> u32 {
    let next = if date.month() == 12 { (date.year() + 1, 1) } else { (date.year(), date.month() + 1) };
    NaiveDate::from_ymd_opt(next.0, next.1, 1).and_then(|first| first.pred_opt()).map_or(31, |last| last.day())
}

/// The weekday (Monday to Friday) of the same month that is nearest to `day`.
fn nearest_weekday(date: NaiveDate, day: u32) -> u32 {
    let weekday = date.with_day(day).map_or(1, |at| at.weekday().number_from_monday());
    match weekday {
        6 if day == 1 => 3,
        6 => day - 1,
        7 if day == last_day(date) => day - 2,
        7 => day + 1,
        _ => day,
    }
}

fn parse_day(day: &str, weekday: &str) -> Result<Day, String> {
    match (day, weekday) {
        ("?", "?") => Err("only one of day-of-month and day-of-week may be ?".into()),
        (day, "?") => parse_day_of_month(day),
        ("?", weekday) => parse_weekday(weekday),
        _ => Err("one of day-of-month and day-of-week must be ?".into()),
    }
}

fn parse_day_of_month(text: &str) -> Result<Day, String> {
    match text {
        "L" => Ok(Day::LastOfMonth),
        _ => match text.strip_suffix('W') {
            Some(day) => number(day, 1, 31, &[], "day-of-month").map(Day::NearestWeekday),
            None => Ok(Day::OfMonth(bits(values(text, 1, 31, &[], "day-of-month")?))),
        },
    }
}

fn parse_weekday(text: &str) -> Result<Day, String> {
    let of = |text: &str| number(text, 1, 7, &WEEKDAYS, "day-of-week");
    if let Some((day, nth)) = text.split_once('#') {
        return Ok(Day::Nth(of(day)?, number(nth, 1, 5, &[], "day-of-week")?));
    }
    match text.strip_suffix('L') {
        Some("") => Ok(Day::OfWeek(1 << 7)),
        Some(day) => of(day).map(Day::LastWeekday),
        None => Ok(Day::OfWeek(bits(values(text, 1, 7, &WEEKDAYS, "day-of-week")?))),
    }
}

fn bits(values: Vec<u32>) -> u64 {
    values.into_iter().fold(0, |bits, value| bits | 1 << value)
}

fn number(text: &str, least: u32, most: u32, names: &[&str], field: &str) -> Result<u32, String> {
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(text)).map(|at| at as u32 + 1);
    let value = named.or_else(|| text.parse().ok()).filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| format!("'{text}' is no {field} ({least} to {most})"))
}

/// All values of a field: `*`, `5`, `1-5`, `0/15`, `MON-FRI`, and lists of these.
fn values(text: &str, least: u32, most: u32, names: &[&str], field: &str) -> Result<Vec<u32>, String> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step, 1, most.max(1), &[], field)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from, least, most, names, field)?, number(to, least, most, names, field)?),
            None => {
                let from = number(range, least, most, names, field)?;
                (from, if step.is_some() { most } else { from })
            }
        };
        // A range may go round: FRI-MON.
        if from <= to {
            all.extend((from..=to).step_by(step.unwrap_or(1) as usize));
        } else {
            all.extend((from..=most).chain(least..=to).step_by(step.unwrap_or(1) as usize));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::iso8601;

    fn ms(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn check(schedule: &str, after: &str, expected: &str) {
        let next = Schedule::parse(schedule).unwrap().next_after(ms(after));
        assert_eq!(next.map(|next| iso8601(next, false)).unwrap_or_default(), expected, "{schedule} after {after}");
    }

    #[test]
    fn the_next_time_is_the_first_that_the_fields_allow() {
        for (schedule, after, expected) in [
            ("rate(1 minute)", "2024-05-01T12:00:30Z", "2024-05-01T12:01:30Z"),
            ("rate(7 days)", "2024-05-01T12:00:00Z", "2024-05-08T12:00:00Z"),
            ("cron(0 10 * * ? *)", "2024-05-01T09:59:59Z", "2024-05-01T10:00:00Z"),
            ("cron(0 10 * * ? *)", "2024-05-01T10:00:00Z", "2024-05-02T10:00:00Z"),
            ("cron(15 12 * * ? *)", "2024-12-31T13:00:00Z", "2025-01-01T12:15:00Z"),
            ("cron(0 18 ? * MON-FRI *)", "2024-05-03T18:00:00Z", "2024-05-06T18:00:00Z"),
            ("cron(0 8 1 * ? *)", "2024-05-01T08:00:00Z", "2024-06-01T08:00:00Z"),
            ("cron(0/15 * * * ? *)", "2024-05-01T10:01:00Z", "2024-05-01T10:15:00Z"),
            ("cron(0/5 8-17 ? * MON-FRI *)", "2024-05-03T17:55:00Z", "2024-05-06T08:00:00Z"),
            ("cron(0 0 L * ? *)", "2024-02-10T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("cron(0 0 29 2 ? *)", "2024-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("cron(0 0 ? * 6#3 *)", "2024-05-01T00:00:00Z", "2024-05-17T00:00:00Z"),
            ("cron(0 0 ? * 6L *)", "2024-05-01T00:00:00Z", "2024-05-31T00:00:00Z"),
            ("cron(0 0 1W 6 ? *)", "2024-05-01T00:00:00Z", "2024-06-03T00:00:00Z"),
            ("cron(0 0 ? * FRI-MON *)", "2024-05-01T00:00:00Z", "2024-05-03T00:00:00Z"),
            ("cron(0 0 1 1 ? 2050)", "2024-05-01T00:00:00Z", "2050-01-01T00:00:00Z"),
            ("cron(0 0 1 1 ? 2020)", "2024-05-01T00:00:00Z", ""),
            ("cron(0 0 31 2 ? *)", "2024-05-01T00:00:00Z", ""),
        ] {
            check(schedule, after, expected);
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "5 minutes",
            "rate(1 minutes)",
            "rate(5 minute)",
            "rate(0 days)",
            "rate(-1 days)",
            "rate(5 weeks)",
            "rate(10)",
            "cron(INVALID)",
            "cron(0 dummy ? * MON-FRI *)",
            "cron(7 20 * * NOT *)",
            "cron(71 8 1 * ? *)",
            "cron(0 1 * * * *)",
            "cron(0 1 ? * ? *)",
            "cron(0 1 * * ? 1969)",
            "cron(0 1 * * ?)",
            "cron(0/0 * * * ? *)",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
