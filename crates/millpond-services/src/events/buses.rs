use super::model::Page;
use super::{Events, EventsError};

/// The bus that every account has.
pub const DEFAULT_BUS: &str = "default";

/// An event bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bus {
    /// Its name.
    pub name: String,
    /// `arn:aws:events:REGION:ACCOUNT:event-bus/NAME`.
    pub arn: String,
}

impl Events {
    /// `DescribeEventBus`. `bus` is a name or an ARN; absent: the default bus.
    pub fn describe_event_bus(&self, bus: Option<&str>) -> Result<Bus, EventsError> {
        self.check_bus(bus)?;
        Ok(self.default_bus())
    }

    /// `ListEventBuses`.
    pub fn list_event_buses(&self, prefix: Option<&str>) -> Page<Bus> {
        let wanted = DEFAULT_BUS.starts_with(prefix.unwrap_or_default());
        Page { items: if wanted { vec![self.default_bus()] } else { Vec::new() }, next: None }
    }

    fn default_bus(&self) -> Bus {
        let arn = self.lake.place.arn("events", format_args!("event-bus/{DEFAULT_BUS}")).to_string();
        Bus { name: DEFAULT_BUS.into(), arn }
    }

    /// Fails where `bus` (a name or an ARN; absent: the default bus) is not one that the lake has.
    pub fn check_bus(&self, bus: Option<&str>) -> Result<(), EventsError> {
        match bus {
            None | Some(DEFAULT_BUS) => Ok(()),
            Some(bus) if bus == self.default_bus().arn => Ok(()),
            Some(bus) => Err(EventsError::NoSuchBus(bus.rsplit('/').next().unwrap_or(bus).into())),
        }
    }
}
