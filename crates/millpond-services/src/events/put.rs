use super::heard::Route;
use super::{Events, EventsError, buses, permissions, sql};
use millpond_core::env::{EnvExt, iso8601};
use millpond_core::event::Event;
use millpond_store::Tx;
use serde_json::Value;

/// All entries of a request together, in bytes.
const SIZE_MAX: usize = 1024 * 1024;

/// Characters of `DetailType`, by the API reference, "PutEventsRequestEntry".
const DETAIL_TYPE_MAX: usize = 128;

/// An entry of `PutEvents`, as it was given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewEntry {
    /// Milliseconds since the epoch; absent: now.
    pub time_ms: Option<i64>,
    /// Who says it.
    pub source: Option<String>,
    /// ARNs of what it is about.
    pub resources: Vec<String>,
    /// What sort of event it is.
    pub detail_type: Option<String>,
    /// A JSON object.
    pub detail: Option<String>,
    /// A name or an ARN; absent: the default bus.
    pub bus: Option<String>,
    /// An X-Ray trace header, for queues.
    pub trace: Option<String>,
}

impl NewEntry {
    /// As the user guide counts it ("Calculating PutEvents event entry size").
    fn size(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let resources: usize = self.resources.iter().map(String::len).sum();
        let time = if self.time_ms.is_some() { 14 } else { 0 };
        time + length(&self.source) + length(&self.detail_type) + length(&self.detail) + resources
    }
}

/// What became of an entry: the event's id, or an error code with its message.
pub type EntryResult = Result<String, (&'static str, String)>;

impl Events {
    /// `PutEvents`, by the principal of this ARN. The entries that are right are kept together in one transaction; the others say what is wrong.
    pub async fn put_events(&self, caller: &str, entries: Vec<NewEntry>) -> Result<Vec<EntryResult>, EventsError> {
        if entries.iter().map(NewEntry::size).sum::<usize>() > SIZE_MAX {
            return Err(EventsError::invalid("Total size of the entries in the request is over the limit."));
        }
        let env = self.lake.store.env();
        let made = entries.into_iter().map(|entry| self.event(entry, env.now_ms(), env.uuid())).collect::<Vec<_>>();
        let (events, caller) = (self.clone(), caller.to_owned());
        self.lake
            .store
            .write(move |tx| {
                let mut results = Vec::with_capacity(made.len());
                for made in made {
                    results.push(match made {
                        Ok((event, route)) => events.put_one(tx, &caller, &event, &route)?,
                        Err(refused) => Err(refused),
                    });
                }
                Ok(results)
            })
            .await
    }

    fn event(&self, entry: NewEntry, now_ms: i64, id: String) -> Result<(Event, Route), (&'static str, String)> {
        let required = |name: &str, value: Option<String>| {
            let message = format!("Parameter {name} is not valid. Reason: {name} is a required argument.");
            value.filter(|value| !value.is_empty()).ok_or(("InvalidArgument", message))
        };
        let source = required("Source", entry.source)?;
        let detail_type = required("DetailType", entry.detail_type)?;
        let detail = required("Detail", entry.detail)?;
        if source.starts_with("aws.") {
            return Err(("NotAuthorizedForSourceException", "Not authorized for the source.".into()));
        }
        if detail_type.encode_utf16().count() > DETAIL_TYPE_MAX {
            let message = format!("Parameter DetailType is not valid. Reason: it may have {DETAIL_TYPE_MAX} characters.");
            return Err(("InvalidArgument", message));
        }
        let bus = self.bus_name(entry.bus.as_deref()).map_err(|error| ("ResourceNotFoundException", error.to_string()))?;
        let detail = object(&detail).ok_or(("MalformedDetail", "Detail is malformed.".to_owned()))?;
        let event = Event {
            version: "0".into(),
            id,
            detail_type,
            source,
            account: self.lake.place.account.clone(),
            time: iso8601(entry.time_ms.unwrap_or(now_ms), false),
            region: self.lake.place.region.clone(),
            resources: entry.resources,
            detail,
        };
        Ok((event, Route { bus, via: None, trace: entry.trace }))
    }

    /// Puts an event on its bus, where there is such a bus and its policy does not deny it.
    fn put_one(&self, tx: &Tx<'_>, caller: &str, event: &Event, route: &Route) -> Result<EntryResult, EventsError> {
        let bus = match buses::find(tx, &route.bus) {
            Ok(bus) => bus,
            Err(EventsError::Store(error)) => return Err(error.into()),
            Err(error) => return Ok(Err(("ResourceNotFoundException", error.to_string()))),
        };
        let arn = self.bus_arn(&route.bus);
        if permissions::denies(&bus, &arn, caller, &self.lake.place.account) {
            let message = format!(
                "User: {caller} is not authorized to perform: events:PutEvents on resource: {arn} with an explicit deny in a \
                 resource-based policy"
            );
            return Ok(Err(("AccessDeniedException", message)));
        }
        sql::emit(tx, event, route)?;
        Ok(Ok(event.id.clone()))
    }
}

/// Reads a JSON object that is not nested so deeply that the event around it could not be read.
fn object(text: &str) -> Option<Value> {
    let wrapped: [Value; 1] = serde_json::from_str(&format!("[{text}]")).ok()?;
    let [value] = wrapped;
    value.is_object().then_some(value)
}
