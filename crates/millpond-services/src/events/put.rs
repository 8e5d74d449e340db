use super::{Events, EventsError};
use millpond_core::env::{EnvExt, iso8601};
use millpond_core::event::Event;
use millpond_store::StoreError;
use serde_json::Value;

/// All entries of a request together, in bytes.
const SIZE_MAX: usize = 1024 * 1024;

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
    /// `PutEvents`. The entries that are right are kept together in one transaction; the others say what is wrong.
    pub async fn put_events(&self, entries: Vec<NewEntry>) -> Result<Vec<EntryResult>, EventsError> {
        if entries.iter().map(NewEntry::size).sum::<usize>() > SIZE_MAX {
            return Err(EventsError::invalid("Total size of the entries in the request is over the limit."));
        }
        let env = self.lake.store.env();
        let events: Vec<Result<Event, (&'static str, String)>> =
            entries.into_iter().map(|entry| self.event(entry, env.now_ms(), env.uuid())).collect();
        let results = events.iter().map(|event| event.as_ref().map(|event| event.id.clone()).map_err(Clone::clone)).collect();
        self.lake
            .store
            .write(move |tx| {
                events.iter().flatten().try_for_each(|event| tx.emit(event))?;
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(results)
    }

    fn event(&self, entry: NewEntry, now_ms: i64, id: String) -> Result<Event, (&'static str, String)> {
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
        self.check_bus(entry.bus.as_deref()).map_err(|error| ("ResourceNotFoundException", error.to_string()))?;
        let detail = object(&detail).ok_or(("MalformedDetail", "Detail is malformed.".to_owned()))?;
        Ok(Event {
            version: "0".into(),
            id,
            detail_type,
            source,
            account: self.lake.place.account.clone(),
            time: iso8601(entry.time_ms.unwrap_or(now_ms), false),
            region: self.lake.place.region.clone(),
            resources: entry.resources,
            detail,
        })
    }
}

/// Reads a JSON object that is not nested so deeply that the event around it could not be read.
fn object(text: &str) -> Option<Value> {
    let wrapped: [Value; 1] = serde_json::from_str(&format!("[{text}]")).ok()?;
    let [value] = wrapped;
    value.is_object().then_some(value)
}
