//! Buses as targets: of rules of other buses, and of functions' destinations.

use super::heard::Route;
use super::matching::bus_and_rule;
use super::sql;
use crate::runtime::Failure;
use crate::runtime::delivery::{Delivering, Delivery, Sender, TargetKind};
use millpond_core::arn::Arn;
use millpond_core::env::{EnvExt, iso8601};
use millpond_core::error::ErrorKind;
use millpond_core::event::Event;
use serde_json::Value;
use std::borrow::Cow;

/// The name of the bus that an ARN names.
pub(super) fn bus_name(arn: &Arn) -> Option<&str> {
    arn.resource.strip_prefix("event-bus/").filter(|name| arn.service == "events" && !name.is_empty() && !name.contains('/'))
}

/// `arn:aws:events:…:event-bus/NAME`: a delivery puts its event on the bus.
#[derive(Debug, Clone, Copy)]
pub struct BusTarget;

impl TargetKind for BusTarget {
    fn title(&self) -> &'static str {
        "event buses"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        bus_name(arn).is_some()
    }

    fn check(&self, at: &Delivering<'_>, arn: &Arn, sender: Sender, source: &str) -> Result<(), Failure> {
        open_to(at, arn, sender, source)
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure> {
        open_to(at, arn, delivery.sender, &delivery.source)?;
        let source: Option<Arn> = delivery.source.parse().ok();
        let via = source.as_ref().and_then(|source| bus_and_rule(&source.resource)).map(|(bus, _)| bus.to_owned());
        let event = match &delivery.event {
            Some(event) => Cow::Borrowed(event.as_ref()),
            None => Cow::Owned(told(at, delivery)?),
        };
        let route = Route { bus: bus_name(arn).unwrap_or_default().into(), via, trace: delivery.parameters.trace.clone() };
        sql::emit(at.tx, &event, &route)?;
        Ok(())
    }
}

/// Fails where there is no such bus here, or where its policy denies it.
fn open_to(at: &Delivering<'_>, arn: &Arn, sender: Sender, source: &str) -> Result<(), Failure> {
    let (name, place) = (bus_name(arn).unwrap_or_default(), &at.lake.place);
    if arn.region != place.region || arn.account != place.account {
        let reason = format!("{arn} is a bus of another account or region; this lake delivers to its own");
        return Err(Failure::lasting(reason).code("NO_RESOURCE"));
    }
    let bus = super::buses::find(at.tx, name).map_err(|error| match error.kind() {
        ErrorKind::Missing => {
            let reason = format!("the event bus {arn} does not exist; create it (aws events create-event-bus --name {name})");
            Failure::lasting(reason).code("NO_RESOURCE")
        }
        _ => Failure::transient(error),
    })?;
    super::permissions::check(&bus, arn, sender, source, &place.account)
}

/// The event that a text becomes which was caused by none: what a function's destination gets (Lambda developer guide, "Capturing records of
/// Lambda asynchronous invocations").
fn told(at: &Delivering<'_>, delivery: &Delivery) -> Result<Event, Failure> {
    let detail: Value = serde_json::from_str(&delivery.input).unwrap_or_default();
    if !detail.is_object() {
        let reason = format!("what {} sends to the bus is no JSON object, and cannot be an event", delivery.source);
        return Err(Failure::lasting(reason).code("INVALID_JSON"));
    }
    let succeeded = detail["requestContext"]["condition"] == "Success";
    let place = &at.lake.place;
    Ok(Event {
        version: "0".into(),
        id: at.tx.env().uuid(),
        detail_type: format!("Lambda Function Invocation Result - {}", if succeeded { "Success" } else { "Failure" }),
        source: "lambda".into(),
        account: place.account.clone(),
        time: iso8601(at.tx.now_ms(), false),
        region: place.region.clone(),
        resources: vec![delivery.target.clone(), delivery.source.clone()],
        detail,
    })
}
