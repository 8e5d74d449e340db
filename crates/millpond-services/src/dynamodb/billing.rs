//! What a table and its global indexes pay for: provisioned throughput, limits on demand, warm throughput. All of it is kept and shown; nothing is throttled by it.

use super::DynamoError;
use super::create;
use super::model::{Index, ON_DEMAND_WARM, OnDemand, Settings, Throughput, Warm};
use super::tables::TableChange;

/// Units a second that can be asked for.
const UNITS_MAX: i64 = 1_000_000_000_000;

/// Where on-demand tables begin, as AWS's answers say it.
const INITIAL: &str = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html#on-demand-capacity-mode-initial";

/// Checks what a table is provisioned for.
pub(super) fn check(pay_per_request: bool, throughput: Option<Throughput>) -> Result<(), DynamoError> {
    match (pay_per_request, throughput) {
        (true, Some(_)) => Err(DynamoError::parameter(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        (false, None) => Err(DynamoError::parameter(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        )),
        (false, Some(throughput)) => check_units(throughput),
        (true, None) => Ok(()),
    }
}

pub(super) fn check_units(throughput: Throughput) -> Result<(), DynamoError> {
    for (units, name) in [(throughput.read, "ReadCapacityUnits"), (throughput.write, "WriteCapacityUnits")] {
        if units > UNITS_MAX {
            return Err(DynamoError::invalid(format!("Given value {units} for {name} is out of bounds")));
        }
    }
    Ok(())
}

/// Checks the most that an on-demand table or index (`table`, `index : NAME`) shall take.
pub(super) fn check_on_demand(pay_per_request: bool, given: Option<OnDemand>, of: &str) -> Result<(), DynamoError> {
    let Some(given) = given else { return Ok(()) };
    for (units, name) in [(given.read, "MaxReadRequestUnits"), (given.write, "MaxWriteRequestUnits")] {
        match units {
            Some(_) if !pay_per_request => {
                let text = "for OnDemandThroughput cannot be specified when the table BillingMode is PROVISIONED";
                return Err(DynamoError::parameter(format!("{name} {text}")));
            }
            Some(units) if !(1..=UNITS_MAX).contains(&units) => {
                let text = format!("Requested {name} for OnDemandThroughput for {of} is outside of valid range");
                return Err(DynamoError::parameter(text));
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// The limits of an on-demand table or index after a change: what is absent stays, -1 takes a limit away.
fn changed_on_demand(
    pay_per_request: bool,
    old: Option<OnDemand>,
    given: Option<OnDemand>,
    of: &str,
) -> Result<Option<OnDemand>, DynamoError> {
    let Some(given) = given else { return Ok(old.filter(|_| pay_per_request)) };
    let asked = |units: Option<i64>| units.filter(|units| *units != -1 || !pay_per_request);
    check_on_demand(pay_per_request, Some(OnDemand { read: asked(given.read), write: asked(given.write) }), of)?;
    let old = old.unwrap_or(OnDemand { read: None, write: None });
    let one = |old: Option<i64>, given: Option<i64>| given.or(old).filter(|units| *units != -1);
    let new = OnDemand { read: one(old.read, given.read), write: one(old.write, given.write) };
    Ok(Some(new).filter(|new| pay_per_request && (new.read.is_some() || new.write.is_some())))
}

/// What is kept of the warm throughput that a new table or index (`table`, `index NAME`) is asked for with: no less than it has anyway.
pub(super) fn warmed(asked: Option<Warm>, provisioned: Option<Throughput>, of: &str) -> Result<Option<Throughput>, DynamoError> {
    let Some(asked) = asked.filter(|asked| asked.read.is_some() || asked.write.is_some()) else { return Ok(None) };
    let least = provisioned.unwrap_or(ON_DEMAND_WARM);
    raise(asked, least, of, |capacity| match provisioned {
        Some(_) => format!("lower than {capacity} of ProvisionedThroughput"),
        None => format!("lower than initial throughput for OnDemand. See: {INITIAL}"),
    })
    .map(Some)
}

/// The warm throughput of a table or index after it was asked for.
fn rewarmed(asked: Warm, now: Throughput, of: &str) -> Result<Throughput, DynamoError> {
    if asked.read.is_none() && asked.write.is_none() {
        return Err(DynamoError::parameter(format!("WarmThroughput for {of} needs ReadUnitsPerSecond or WriteUnitsPerSecond")));
    }
    raise(asked, now, of, |_| "lower than current WarmThroughput, decreasing WarmThroughput is not supported".into())
}

/// `lower` says what is wrong with less than `least`, by the name of the provisioned capacity.
fn raise(asked: Warm, least: Throughput, of: &str, lower: impl Fn(&str) -> String) -> Result<Throughput, DynamoError> {
    let one = |asked: Option<i64>, least: i64, name: &str, capacity: &str| match asked.unwrap_or(least) {
        units if units < least => {
            Err(DynamoError::parameter(format!("Requested {name} for WarmThroughput for {of} is {}", lower(capacity))))
        }
        units if units > UNITS_MAX => Err(DynamoError::invalid(format!("Given value {units} for {name} is out of bounds"))),
        units => Ok(units),
    };
    Ok(Throughput {
        read: one(asked.read, least.read, "ReadUnitsPerSecond", "ReadCapacityUnits")?,
        write: one(asked.write, least.write, "WriteUnitsPerSecond", "WriteCapacityUnits")?,
    })
}

/// Changes what a table pays for, as `change` says.
pub(super) fn change(settings: &mut Settings, change: &TableChange, now_ms: i64) -> Result<(), DynamoError> {
    let changes = change.pay_per_request.is_some() || change.throughput.is_some();
    let pay_per_request = change.pay_per_request.unwrap_or(settings.throughput.is_none());
    if changes {
        check(pay_per_request, change.throughput)?;
        if let (Some(new), Some(old)) = (change.throughput, settings.throughput)
            && new == old
            && change.indexes.is_empty()
        {
            return Err(DynamoError::invalid(unchanged(old)));
        }
        settings.keep_warm();
        if pay_per_request {
            if settings.throughput.take().is_some() || settings.on_demand_since_ms.is_none() {
                settings.on_demand_since_ms = Some(now_ms);
            }
            settings.global.iter_mut().for_each(|index| index.throughput = None);
        } else {
            let was_on_demand = settings.throughput.is_none();
            settings.throughput = change.throughput;
            for index in settings.global.iter_mut().filter(|_| was_on_demand) {
                // As AWS: an index for which nothing is said gets what the table has.
                (index.throughput, index.on_demand) = (change.throughput, None);
            }
        }
    }
    settings.on_demand = changed_on_demand(pay_per_request, settings.on_demand, change.on_demand, "table")?;
    if let Some(asked) = change.warm {
        settings.warmed = Some(rewarmed(asked, settings.warm(), "table")?);
    }
    Ok(())
}

fn unchanged(now: Throughput) -> String {
    format!(
        "The provisioned throughput for the table will not change. The requested value equals the current value. \
         Current ReadCapacityUnits provisioned for the table: {0}. Requested ReadCapacityUnits: {0}. \
         Current WriteCapacityUnits provisioned for the table: {1}. Requested WriteCapacityUnits: {1}. \
         Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.",
        now.read, now.write
    )
}

/// Changes what a global index pays for. The table is provisioned, or not.
pub(super) fn change_index(
    index: &mut Index,
    provisioned: bool,
    throughput: Option<Throughput>,
    on_demand: Option<OnDemand>,
    warm: Option<Warm>,
) -> Result<(), DynamoError> {
    match throughput {
        Some(_) if !provisioned => {
            return Err(DynamoError::parameter(format!(
                "The only Updates for index: {} when TableThroughputMode is PAY_PER_REQUEST can be to OnDemandThroughput, WarmThroughput",
                index.name
            )));
        }
        Some(throughput) => {
            check_units(throughput)?;
            index.warmed = Some(index.warm());
            index.throughput = Some(throughput);
        }
        None if provisioned && warm.is_none() && on_demand.is_none() => {
            let text = "Both ReadCapacityUnits and WriteCapacityUnits must be specified for index";
            return Err(DynamoError::parameter(format!("{text}: {}", index.name)));
        }
        None => {}
    }
    index.on_demand = changed_on_demand(!provisioned, index.on_demand, on_demand, &format!("index : {}", index.name))?;
    if let Some(asked) = warm {
        index.warmed = Some(rewarmed(asked, index.warm(), &format!("index {}", index.name))?);
    }
    Ok(())
}

/// Checks a global index that is added to a table, in the words that AWS has for that.
pub(super) fn check_added(settings: &Settings, name: &str, throughput: Option<Throughput>) -> Result<(), DynamoError> {
    if settings.global.len() >= create::GLOBAL_MAX {
        let text = "Subscriber limit exceeded: GlobalSecondaryIndex count exceeds the per-table limit of";
        return Err(DynamoError::Limit(format!("{text} {}", create::GLOBAL_MAX)));
    }
    match (settings.throughput, throughput) {
        (Some(_), None) => Err(DynamoError::parameter(format!("ProvisionedThroughput must be specified for index: {name}"))),
        (None, Some(_)) => Err(DynamoError::parameter(format!(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVALID: &str = "One or more parameter values were invalid: ";

    fn asked(read: impl Into<Option<i64>>, write: impl Into<Option<i64>>) -> Warm {
        Warm { read: read.into(), write: write.into() }
    }

    #[test]
    fn warm_throughput_only_rises() {
        let units = |read, write| Throughput { read, write };
        let new = |warm, provisioned| warmed(Some(warm), provisioned, "table").map_err(|error| error.to_string());
        assert_eq!(new(asked(None, None), None), Ok(None));
        assert_eq!(new(asked(12_001, None), None), Ok(Some(units(12_001, 4_000))));
        assert_eq!(new(asked(50, 60), Some(units(5, 6))), Ok(Some(units(50, 60))));
        let text = new(asked(1, 1), None).unwrap_err();
        let start = format!(
            "{INVALID}Requested ReadUnitsPerSecond for WarmThroughput for table is lower than initial throughput for OnDemand. See: "
        );
        assert!(text.starts_with(&start), "{text}");
        let text = new(asked(5, 1), Some(units(5, 6))).unwrap_err();
        let expected = "Requested WriteUnitsPerSecond for WarmThroughput for table is lower than WriteCapacityUnits of ProvisionedThroughput";
        assert_eq!(text, format!("{INVALID}{expected}"));
        let again = |warm| rewarmed(warm, units(13_000, 5_000), "index i").map_err(|error| error.to_string());
        assert_eq!(again(asked(None, 5_000)), Ok(units(13_000, 5_000)));
        let text = again(asked(12_999, 6_000)).unwrap_err();
        assert!(
            text.ends_with("for index i is lower than current WarmThroughput, decreasing WarmThroughput is not supported"),
            "{text}"
        );
        assert!(again(asked(None, None)).is_err());
        assert!(again(asked(i64::MAX, None)).is_err());
    }

    #[test]
    fn limits_on_demand_are_positive_and_can_be_taken_away() {
        let limits = |read, write| Some(OnDemand { read, write });
        let change = |old, given| changed_on_demand(true, old, given, "table").map_err(|error| error.to_string());
        assert_eq!(change(limits(Some(5), None), limits(None, Some(6))), Ok(limits(Some(5), Some(6))));
        assert_eq!(change(limits(Some(5), Some(6)), limits(Some(-1), None)), Ok(limits(None, Some(6))));
        assert_eq!(change(limits(Some(5), None), limits(Some(-1), None)), Ok(None));
        let text = change(None, limits(Some(0), None)).unwrap_err();
        assert_eq!(
            text,
            format!("{INVALID}Requested MaxReadRequestUnits for OnDemandThroughput for table is outside of valid range")
        );
        let text = check_on_demand(false, limits(None, Some(1)), "table").unwrap_err().to_string();
        assert!(text.ends_with(
            "MaxWriteRequestUnits for OnDemandThroughput cannot be specified when the table BillingMode is PROVISIONED"
        ));
    }
}
