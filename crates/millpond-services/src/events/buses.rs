//! CreateEventBus, UpdateEventBus, DeleteEventBus, DescribeEventBus, ListEventBuses.
//!
//! Every account has the default bus, which hears what the lake itself has to say. The others hear what is put on them: by `PutEvents`, by rules
//! of other buses, by destinations of functions.

use super::model::Page;
use super::rules::{page, page_size};
use super::{Events, EventsError, sql};
use millpond_store::Tx;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The bus that every account has.
pub const DEFAULT_BUS: &str = "default";

/// EventBridge's default quota is 100; each costs nothing while it has no rules.
const BUSES_MAX: i64 = 1000;

/// An event bus.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bus {
    /// Its name.
    pub name: String,
    /// `arn:aws:events:REGION:ACCOUNT:event-bus/NAME`.
    pub arn: String,
    /// For people.
    pub description: Option<String>,
    /// Milliseconds since the epoch; absent for the default bus, which was always there.
    pub created_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub modified_ms: Option<i64>,
    /// What else was set.
    pub settings: BusSettings,
    /// Who else may put events on it: JSON.
    pub policy: Option<String>,
}

/// What can be set of a bus besides its description.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BusSettings {
    /// Kept, not used: it is for events that could not be encrypted, and the lake has no such key.
    pub dead_letter_arn: Option<String>,
    /// Kept, not used: how much AWS would log, in its own form.
    pub log_config: Option<Value>,
}

/// A bus to create, or what to change of one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewBus {
    /// Letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// What else is set.
    pub settings: BusSettings,
}

/// The bus of this name.
///
/// # Errors
/// There is none.
pub(super) fn find(connection: &Connection, name: &str) -> Result<Bus, EventsError> {
    match sql::bus(connection, name)? {
        Some(bus) => Ok(bus),
        None if name == DEFAULT_BUS => Ok(Bus { name: name.into(), ..Bus::default() }),
        None => Err(EventsError::NoSuchBus(name.into())),
    }
}

impl Events {
    /// `CreateEventBus`. Answers its ARN.
    pub async fn create_event_bus(&self, new: NewBus, tags: Vec<(String, String)>) -> Result<Bus, EventsError> {
        check_name(&new.name)?;
        let arn = self.bus_arn(&new.name);
        let created = self.lake.store.write(move |tx| {
            if new.name == DEFAULT_BUS || sql::bus(tx, &new.name)?.is_some() {
                return Err(EventsError::Exists(format!("Event bus {} already exists.", new.name)));
            }
            if sql::count_buses(tx)? >= BUSES_MAX {
                return Err(EventsError::Limit(format!("a lake has up to {BUSES_MAX} event buses")));
            }
            let now = Some(tx.now_ms());
            let NewBus { name, description, settings } = new;
            let bus = Bus { name, arn, description, created_ms: now, modified_ms: now, settings, policy: None };
            sql::put_bus(tx, &bus)?;
            for (key, value) in &tags {
                sql::put_tag(tx, &bus.arn, key, value)?;
            }
            super::tags::check_count(tx, &bus.arn)?;
            Ok(bus)
        });
        created.await
    }

    /// `UpdateEventBus`: what is given replaces what was there.
    pub async fn update_event_bus(&self, bus: Option<&str>, change: NewBus) -> Result<Bus, EventsError> {
        let name = self.bus_name(bus)?;
        let arn = self.bus_arn(&name);
        let changed = self.lake.store.write(move |tx| {
            let mut bus = find(tx, &name)?;
            let NewBus { description, settings, .. } = change;
            bus.arn = arn;
            bus.description = description.or(bus.description);
            bus.settings.dead_letter_arn = settings.dead_letter_arn.or(bus.settings.dead_letter_arn);
            bus.settings.log_config = settings.log_config.or(bus.settings.log_config);
            bus.modified_ms = Some(tx.now_ms());
            sql::put_bus(tx, &bus)?;
            Ok(bus)
        });
        changed.await
    }

    /// `DeleteEventBus`. One that is not there is deleted already; one with rules is not deleted.
    pub async fn delete_event_bus(&self, name: &str) -> Result<(), EventsError> {
        if name == DEFAULT_BUS {
            return Err(EventsError::invalid("Cannot delete event bus default."));
        }
        let (name, arn) = (name.to_owned(), self.bus_arn(name));
        let delete = move |tx: &Tx<'_>| {
            if sql::count_rules(tx, &name)? > 0 {
                return Err(EventsError::invalid(format!("Event bus {name} can't be deleted since it has rules.")));
            }
            sql::delete_bus(tx, &name)?;
            sql::remove_tags(tx, &arn)?;
            Ok(())
        };
        self.lake.store.write(delete).await
    }

    /// `DescribeEventBus`. `bus` is a name or an ARN; absent: the default bus.
    pub async fn describe_event_bus(&self, bus: Option<&str>) -> Result<Bus, EventsError> {
        let name = self.bus_name(bus)?;
        let arn = self.bus_arn(&name);
        let bus = self.lake.store.read(move |connection| find(connection, &name)).await?;
        Ok(Bus { arn, ..bus })
    }

    /// `ListEventBuses`, by name.
    pub async fn list_event_buses(
        &self,
        prefix: Option<&str>,
        token: Option<&str>,
        limit: Option<i32>,
    ) -> Result<Page<Bus>, EventsError> {
        let (prefix, after) = (prefix.unwrap_or_default().to_owned(), token.unwrap_or_default().to_owned());
        let size = page_size(limit);
        let look = move |connection: &Connection| {
            let mut buses = sql::buses(connection, &prefix, &after, size + 1)?;
            let default_fits = DEFAULT_BUS.starts_with(&prefix) && DEFAULT_BUS > after.as_str();
            if default_fits && !buses.iter().any(|bus| bus.name == DEFAULT_BUS) {
                let at = buses.partition_point(|bus| bus.name.as_str() < DEFAULT_BUS);
                buses.insert(at, find(connection, DEFAULT_BUS)?);
            }
            Ok::<_, EventsError>(buses)
        };
        let mut buses = self.lake.store.read(look).await?;
        buses.iter_mut().for_each(|bus| bus.arn = self.bus_arn(&bus.name));
        Ok(page(buses, size, |bus: &Bus| bus.name.clone()))
    }

    /// The name of a bus that is given by its name or ARN; absent: the default bus. Whether there is one of this name is not looked at.
    ///
    /// # Errors
    /// The ARN is that of a bus in another account or region, or of something else.
    pub fn bus_name(&self, bus: Option<&str>) -> Result<String, EventsError> {
        let Some(text) = bus.filter(|text| !text.is_empty()) else { return Ok(DEFAULT_BUS.into()) };
        if !text.starts_with("arn:") {
            return Ok(text.into());
        }
        let name = text.rsplit_once("event-bus/").map_or("", |(_, name)| name);
        match text == self.bus_arn(name) {
            true => Ok(name.into()),
            false => Err(EventsError::NoSuchBus(if name.is_empty() { text.into() } else { name.into() })),
        }
    }

    pub(super) fn bus_arn(&self, name: &str) -> String {
        self.lake.place.arn("events", format_args!("event-bus/{name}")).to_string()
    }
}

fn check_name(name: &str) -> Result<(), EventsError> {
    if name.starts_with("aws.partner/") {
        return Err(EventsError::invalid(format!("Partner event sources are not implemented: '{name}' names one.")));
    }
    if name.starts_with("aws.") {
        return Err(EventsError::invalid("EventBus name starting with 'aws.' is not valid."));
    }
    if name.contains('/') {
        return Err(EventsError::invalid("Event bus name must not contain '/'."));
    }
    Ok(())
}
