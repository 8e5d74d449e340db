//! The filters of `ListCrawls`.

use super::rows::Crawl;
use crate::glue::GlueError;

/// What a filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Field {
    CrawlId,
    State,
    StartTime,
    EndTime,
    DpuHour,
}

/// How it compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Gt,
    Ge,
    Lt,
    Le,
    Eq,
    Ne,
}

/// One filter; all of a call must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What it looks at.
    pub field: Field,
    /// How it compares.
    pub comparison: Comparison,
    /// With what. Times are seconds or milliseconds since the epoch, or ISO 8601.
    pub value: String,
}

impl Comparison {
    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
        }
    }
}

fn time_ms(text: &str) -> Option<i64> {
    if let Ok(number) = text.trim().parse::<f64>() {
        // Seconds reach this number in the year 5138.
        return Some(if number.abs() < 1e11 { (number * 1000.0) as i64 } else { number as i64 });
    }
    chrono::DateTime::parse_from_rfc3339(text.trim()).ok().map(|time| time.timestamp_millis())
}

impl Filter {
    /// Checks its value.
    ///
    /// # Errors
    /// `InvalidInput` where the value is none that the field can have.
    pub fn check(&self) -> Result<(), GlueError> {
        let sound = match self.field {
            Field::StartTime | Field::EndTime => time_ms(&self.value).is_some(),
            Field::DpuHour => self.value.parse::<f64>().is_ok(),
            Field::State | Field::CrawlId => matches!(self.comparison, Comparison::Eq | Comparison::Ne),
        };
        let wrong = || GlueError::InvalidInput(format!("The filter with the value '{}' does not fit its field.", self.value));
        sound.then_some(()).ok_or_else(wrong)
    }

    /// Whether it holds for a crawl.
    pub fn holds(&self, crawl: &Crawl) -> bool {
        let value = &self.value;
        let by_time = |ms: Option<i64>| ms.zip(time_ms(value)).is_some_and(|(ms, other)| self.comparison.holds(ms.cmp(&other)));
        match self.field {
            Field::CrawlId => self.comparison.holds(crawl.id.as_str().cmp(value)),
            Field::State => self.comparison.holds(crawl.state.as_str().cmp(value)),
            Field::StartTime => by_time(Some(crawl.started_ms)),
            Field::EndTime => by_time(crawl.ended_ms),
            // There are no data processing units here: a crawl takes none of them.
            Field::DpuHour => value.parse::<f64>().is_ok_and(|other| self.comparison.holds(0f64.total_cmp(&other))),
        }
    }
}
