//! Glue's schedules: `cron(minutes hours day-of-month month day-of-week year)`, in UTC (developer guide, "Time-based schedules for jobs and
//! crawlers").

use chrono::{DateTime, Datelike, Days, NaiveDate, Timelike, Utc};

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// How far ahead a next time is looked for: the calendar repeats after 28 years within a century.
const LOOK_AHEAD_DAYS: u64 = 366 * 40;

/// A parsed schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: Vec<bool>,
    hours: Vec<bool>,
    month_days: MonthDays,
    months: Vec<bool>,
    week_days: WeekDays,
    years: Vec<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum MonthDays {
    Any,
    On(Vec<bool>),
    Last,
    NearestWeekday(u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum WeekDays {
    Any,
    On(Vec<bool>),
    /// The last such day of the month.
    Last(u32),
    /// The n-th such day of the month.
    Nth(u32, u32),
}

const FIRST_YEAR: u32 = 1970;
const LAST_YEAR: u32 = 2199;

impl Cron {
    /// Reads `cron(…)`.
    ///
    /// # Errors
    /// A text that says which field is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.trim().strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')'));
        let inner = inner.ok_or("it must have the form cron(minutes hours day-of-month month day-of-week year)")?;
        let fields: Vec<&str> = inner.split_whitespace().collect();
        let [minutes, hours, month_day, month, week_day, year] = fields[..] else {
            return Err(format!("it must have six fields, has {}", fields.len()));
        };
        let open = |field: &str| matches!(field, "?" | "*");
        if !open(month_day) && !open(week_day) || (month_day == "?" && week_day == "?") {
            return Err("one of day-of-month and day-of-week must be '?'".into());
        }
        Ok(Self {
            minutes: set("minutes", minutes, 0, 59, &[])?,
            hours: set("hours", hours, 0, 23, &[])?,
            month_days: month_days(month_day)?,
            months: set("month", month, 1, 12, &MONTHS)?,
            week_days: week_days(week_day)?,
            years: set("year", year, FIRST_YEAR, LAST_YEAR, &[])?,
        })
    }

    /// The first time after `after_ms` (milliseconds since the epoch) that fits; `None` where there is none within forty years.
    pub fn next_after(&self, after_ms: i64) -> Option<i64> {
        let after = DateTime::<Utc>::from_timestamp_millis(after_ms)?;
        let start = after.date_naive();
        (0..LOOK_AHEAD_DAYS).map_while(|ahead| start.checked_add_days(Days::new(ahead))).filter(|day| self.fits(*day)).find_map(
            |day| {
                let same = day == start;
                let minutes = (0..24 * 60u32).filter(|minute| {
                    let (hour, minute) = (minute / 60, minute % 60);
                    let later = !same || (hour, minute) > (after.hour(), after.minute());
                    later && self.hours[hour as usize] && self.minutes[minute as usize]
                });
                let first = minutes.min()?;
                Some(day.and_hms_opt(first / 60, first % 60, 0)?.and_utc().timestamp_millis())
            },
        )
    }

    fn fits(&self, day: NaiveDate) -> bool {
        let year = day.year();
        let in_year =
            u32::try_from(year).ok().and_then(|year| year.checked_sub(FIRST_YEAR)).and_then(|at| self.years.get(at as usize));
        in_year == Some(&true) && self.months[day.month0() as usize] && self.month_days.fits(day) && self.week_days.fits(day)
    }
}

fn last_day(day: NaiveDate) -> u32 {
    let (year, month) = if day.month() == 12 { (day.year() + 1, 1) } else { (day.year(), day.month() + 1) };
    NaiveDate::from_ymd_opt(year, month, 1).and_then(|first| first.pred_opt()).map_or(28, |last| last.day())
}

impl MonthDays {
    fn fits(&self, day: NaiveDate) -> bool {
        match self {
            Self::Any => true,
            Self::On(days) => days[day.day0() as usize],
            Self::Last => day.day() == last_day(day),
            Self::NearestWeekday(wanted) => nearest_weekday(day, *wanted) == Some(day.day()),
        }
    }
}

/// The weekday of the same month that is nearest to its day `wanted`.
fn nearest_weekday(month: NaiveDate, wanted: u32) -> Option<u32> {
    let last = last_day(month);
    let at = month.with_day(wanted)?;
    Some(match at.weekday().num_days_from_sunday() {
        6 if wanted > 1 => wanted - 1,
        6 => wanted + 2,
        0 if wanted < last => wanted + 1,
        0 => wanted - 2,
        _ => wanted,
    })
}

impl WeekDays {
    fn fits(&self, day: NaiveDate) -> bool {
        let week_day = day.weekday().num_days_from_sunday();
        match self {
            Self::Any => true,
            Self::On(days) => days[week_day as usize],
            Self::Last(wanted) => week_day == *wanted && day.day() + 7 > last_day(day),
            Self::Nth(wanted, nth) => week_day == *wanted && day.day0() / 7 + 1 == *nth,
        }
    }
}

fn month_days(field: &str) -> Result<MonthDays, String> {
    match field {
        "?" | "*" => Ok(MonthDays::Any),
        "L" => Ok(MonthDays::Last),
        _ => match field.strip_suffix('W') {
            Some(day) => Ok(MonthDays::NearestWeekday(number("day-of-month", day, 1, 31, &[])?)),
            None => Ok(MonthDays::On(set("day-of-month", field, 1, 31, &[])?)),
        },
    }
}

fn week_days(field: &str) -> Result<WeekDays, String> {
    let name = "day-of-week";
    if matches!(field, "?" | "*") {
        return Ok(WeekDays::Any);
    }
    if let Some(day) = field.strip_suffix('L').filter(|day| !day.is_empty()) {
        return Ok(WeekDays::Last(number(name, day, 1, 7, &DAYS)? - 1));
    }
    if let Some((day, nth)) = field.split_once('#') {
        return Ok(WeekDays::Nth(number(name, day, 1, 7, &DAYS)? - 1, number(name, nth, 1, 5, &[])?));
    }
    let field = if field == "L" { "7" } else { field };
    Ok(WeekDays::On(set(name, field, 1, 7, &DAYS)?))
}

fn number(name: &str, text: &str, low: u32, high: u32, names: &[&str]) -> Result<u32, String> {
    let named = names.iter().position(|known| known.eq_ignore_ascii_case(text)).map(|at| at as u32 + low);
    let number = named.or_else(|| text.parse().ok()).filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| format!("{name}: '{text}' is not from {low} to {high}"))
}

/// Which of `low..=high` a field of lists, ranges and steps names.
fn set(name: &str, field: &str, low: u32, high: u32, names: &[&str]) -> Result<Vec<bool>, String> {
    let mut on = vec![false; (high - low + 1) as usize];
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(number(name, step, 1, high.max(1), &[])?)),
            None => (item, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (low, high),
            Some((from, to)) => (number(name, from, low, high, names)?, number(name, to, low, high, names)?),
            None => {
                let one = number(name, range, low, high, names)?;
                (one, if step.is_some() { high } else { one })
            }
        };
        if from > to {
            return Err(format!("{name}: the range '{range}' goes backwards"));
        }
        (from..=to).step_by(step.unwrap_or(1) as usize).for_each(|at| on[(at - low) as usize] = true);
    }
    Ok(on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::env::iso8601;

    fn ms(text: &str) -> i64 {
        text.parse::<DateTime<Utc>>().unwrap().timestamp_millis()
    }

    #[test]
    fn the_next_time_of_a_schedule_is_found() {
        for (cron, after, next) in [
            ("cron(15 12 * * ? *)", "2024-05-01T12:15:00Z", "2024-05-02T12:15:00Z"),
            ("cron(15 12 * * ? *)", "2024-05-01T12:14:59Z", "2024-05-01T12:15:00Z"),
            ("cron(0/15 * * * ? *)", "2024-05-01T12:16:00Z", "2024-05-01T12:30:00Z"),
            ("cron(0 18 ? * MON-FRI *)", "2024-05-03T19:00:00Z", "2024-05-06T18:00:00Z"),
            ("cron(0 8 1 * ? *)", "2024-12-15T00:00:00Z", "2025-01-01T08:00:00Z"),
            ("cron(0 0 L 2 ? *)", "2024-01-01T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("cron(0 9 ? * 2#1 *)", "2024-05-01T00:00:00Z", "2024-05-06T09:00:00Z"),
            ("cron(0 9 ? * 6L *)", "2024-05-01T00:00:00Z", "2024-05-31T09:00:00Z"),
            ("cron(0 9 1W * ? *)", "2024-05-31T00:00:00Z", "2024-06-03T09:00:00Z"),
        ] {
            let found = Cron::parse(cron).unwrap().next_after(ms(after)).unwrap();
            assert_eq!(iso8601(found, false), next, "{cron} after {after}");
        }
        assert_eq!(Cron::parse("cron(0 0 30 2 ? *)").unwrap().next_after(0), None);
        assert_eq!(Cron::parse("cron(0 0 * * ? 2020)").unwrap().next_after(ms("2024-01-01T00:00:00Z")), None);
    }

    #[test]
    fn a_wrong_schedule_says_which_field_is_wrong() {
        for (cron, say) in [
            ("rate(5 minutes)", "form"),
            ("cron(* * * *)", "six fields"),
            ("cron(61 * * * ? *)", "minutes"),
            ("cron(0 12 1 * MON *)", "day-of-week must be '?'"),
            ("cron(0 12 ? * ? *)", "must be '?'"),
            ("cron(0 12 * FOO ? *)", "month"),
            ("cron(9-3 12 * * ? *)", "backwards"),
        ] {
            let error = Cron::parse(cron).unwrap_err();
            assert!(error.contains(say), "{cron}: {error}");
        }
    }
}
