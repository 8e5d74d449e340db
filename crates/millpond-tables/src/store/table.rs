//! A table while it is open, and what the store writes down about it.

use super::{Counts, IndexSpec, Projection, TableId, TableSpec, keys};
use crate::value::binary::Writer;
use crate::value::key::{KeyAttribute, KeySchema, KeyType};
use crate::value::{Item, Value};
use fjall::{Keyspace, Slice};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Items that expired earlier than this before now are left alone: five years. Developer guide, "Using DynamoDB Time to Live".
pub(super) const EXPIRY_SECONDS_MAX: u64 = 5 * 365 * 86_400;

/// A table.
pub(super) struct Table {
    pub(super) id: TableId,
    pub(super) key: KeySchema,
    pub(super) keyspace: Keyspace,
    /// Written by the writer thread only, after the commit that says the same.
    state: Mutex<State>,
    indexes: RwLock<Arc<[Arc<Index>]>>,
}

struct State {
    definition: Definition,
    sums: Sums,
}

/// What entries are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IndexKind {
    Secondary(IndexSpec),
    /// Of the seconds that this attribute says.
    Expiry(String),
}

/// An index, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexDefinition {
    /// Its number in keys; never given twice in a table.
    pub(super) section: u32,
    pub(super) kind: IndexKind,
    pub(super) active: bool,
}

/// A table, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) key: KeySchema,
    pub(super) indexes: Vec<IndexDefinition>,
    pub(super) next_section: u32,
    /// Sections of indexes that are no more, whose entries are being removed.
    pub(super) dropped: Vec<u32>,
}

/// How much is in a table and in its indexes, by their sections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) table: Counts,
    pub(super) sections: BTreeMap<u32, Counts>,
}

/// An index while it is open.
pub(super) struct Index {
    pub(super) section: u32,
    pub(super) name: Arc<str>,
    pub(super) kind: IndexKind,
    /// How far it is built: items behind this key are not in it yet, and changes of them leave it alone.
    progress: RwLock<Progress>,
}

/// How far an index is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    Building { cursor: Vec<u8>, items_done: u64 },
    Active,
}

/// What an item has in an index.
pub(super) struct Entry {
    pub(super) key: Slice,
    pub(super) value: Slice,
    pub(super) size_bytes: usize,
}

fn unpoisoned<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    pub(super) fn new(
        id: TableId,
        keyspace: Keyspace,
        definition: Definition,
        sums: Sums,
        progress: impl Fn(u32) -> Progress,
    ) -> Self {
        let indexes = definition
            .indexes
            .iter()
            .map(|index| Arc::new(Index::new(index, if index.active { Progress::Active } else { progress(index.section) })));
        let indexes = indexes.collect();
        Self {
            id,
            key: definition.key.clone(),
            keyspace,
            state: Mutex::new(State { definition, sums }),
            indexes: RwLock::new(indexes),
        }
    }

    pub(super) fn indexes(&self) -> Arc<[Arc<Index>]> {
        unpoisoned(self.indexes.read()).clone()
    }

    pub(super) fn secondary(&self, name: &str) -> Option<Arc<Index>> {
        self.indexes().iter().find(|index| &*index.name == name && index.spec().is_some()).cloned()
    }

    pub(super) fn expiry(&self) -> Option<Arc<Index>> {
        self.indexes().iter().find(|index| index.spec().is_none()).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }

    pub(super) fn definition(&self) -> Definition {
        self.state().definition.clone()
    }

    pub(super) fn sums(&self) -> Sums {
        self.state().sums.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        self.state().sums.table
    }

    pub(super) fn section_counts(&self, section: u32) -> Counts {
        self.state().sums.sections.get(&section).copied().unwrap_or_default()
    }

    pub(super) fn set_sums(&self, sums: Sums) {
        self.state().sums = sums;
    }

    /// Indexes that stay keep their progress.
    pub(super) fn set_definition(&self, definition: Definition) {
        let before = self.indexes();
        let indexes = definition.indexes.iter().map(|index| {
            let same = before.iter().find(|old| old.section == index.section);
            same.cloned().unwrap_or_else(|| Arc::new(Index::new(index, Progress::start())))
        });
        *unpoisoned(self.indexes.write()) = indexes.collect();
        self.state().definition = definition;
    }
}

impl Progress {
    pub(super) fn start() -> Self {
        Self::Building { cursor: Vec::new(), items_done: 0 }
    }

    /// What [`keys::cursor`] leads to.
    pub(super) fn encode(cursor: &[u8], items_done: u64) -> Vec<u8> {
        let mut bytes = items_done.to_be_bytes().to_vec();
        bytes.extend(cursor);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        match bytes.split_first_chunk::<8>() {
            Some((done, cursor)) => Self::Building { cursor: cursor.to_vec(), items_done: u64::from_be_bytes(*done) },
            None => Self::start(),
        }
    }
}

impl Index {
    fn new(definition: &IndexDefinition, progress: Progress) -> Self {
        let name = match &definition.kind {
            IndexKind::Secondary(spec) => spec.name.as_str(),
            IndexKind::Expiry(attribute) => attribute.as_str(),
        };
        Self { section: definition.section, name: name.into(), kind: definition.kind.clone(), progress: RwLock::new(progress) }
    }

    pub(super) fn spec(&self) -> Option<&IndexSpec> {
        if let IndexKind::Secondary(spec) = &self.kind { Some(spec) } else { None }
    }

    pub(super) fn progress(&self) -> Progress {
        unpoisoned(self.progress.read()).clone()
    }

    pub(super) fn set_progress(&self, progress: Progress) {
        *unpoisoned(self.progress.write()) = progress;
    }

    pub(super) fn active(&self) -> bool {
        *unpoisoned(self.progress.read()) == Progress::Active
    }

    /// Is the item with this key taken in already (or to be, being new)?
    pub(super) fn covers(&self, item_key: &[u8]) -> bool {
        match &*unpoisoned(self.progress.read()) {
            Progress::Active => true,
            Progress::Building { cursor, .. } => item_key <= cursor.as_slice(),
        }
    }

    /// What the item has in this index, if anything. `bytes` are the item's.
    pub(super) fn entry(
        &self,
        table: &KeySchema,
        item_key: &[u8],
        item: &Item,
        bytes: &Slice,
    ) -> Result<Option<Entry>, super::ItemError> {
        let suffix = keys::suffix(item_key);
        match &self.kind {
            IndexKind::Secondary(spec) => {
                let Some(key) = keys::entry(self.section, &spec.key, &spec.name, item, suffix)? else { return Ok(None) };
                let (value, size_bytes) = project(spec, table, item, bytes);
                Ok(Some(Entry { key: key.into(), value, size_bytes }))
            }
            IndexKind::Expiry(attribute) => Ok(second_of(item, attribute).map(|second| Entry {
                key: keys::expiry(self.section, second, suffix).into(),
                value: Slice::empty(),
                size_bytes: 0,
            })),
        }
    }
}

/// The second at which the item expires, if it says one.
pub(super) fn second_of(item: &Item, attribute: &str) -> Option<u64> {
    match item.get(attribute) {
        Some(Value::Number(number)) => u64::try_from(number.to_i64()?).ok(),
        _ => None,
    }
}

/// Has it expired, so that it should be deleted?
pub(super) fn expired(second: u64, now: u64) -> bool {
    second < now && second >= now.saturating_sub(EXPIRY_SECONDS_MAX)
}

fn project(spec: &IndexSpec, table: &KeySchema, item: &Item, bytes: &Slice) -> (Slice, usize) {
    let has = |name: &str| match &spec.projection {
        Projection::All => true,
        Projection::KeysOnly => spec.key.has(name) || table.has(name),
        Projection::Include(names) => spec.key.has(name) || table.has(name) || names.contains(name),
    };
    let kept = || item.iter().filter(|(name, _)| has(name));
    if spec.projection == Projection::All || kept().count() == item.len() {
        return (bytes.clone(), crate::value::item_size(item));
    }
    let mut out = Vec::with_capacity(256);
    let mut writer = Writer::begin(&mut out, kept().count());
    for (name, value) in kept() {
        writer.value(name, value);
    }
    let size = writer.finish();
    (out.into(), size)
}

impl Definition {
    pub(super) fn new(spec: &TableSpec) -> Self {
        let mut definition = Self { key: spec.key.clone(), indexes: Vec::new(), next_section: 1, dropped: Vec::new() };
        for index in &spec.indexes {
            definition.add(IndexKind::Secondary(index.clone()), true);
        }
        if let Some(attribute) = &spec.expiry {
            definition.add(IndexKind::Expiry(attribute.clone()), true);
        }
        definition
    }

    /// A secondary index by its name, with its section.
    pub(super) fn secondary(&self, name: &str) -> Option<(u32, &IndexSpec)> {
        self.indexes.iter().find_map(|index| match &index.kind {
            IndexKind::Secondary(spec) if spec.name == name => Some((index.section, spec)),
            _ => None,
        })
    }

    /// The attribute of expiry, with its section.
    pub(super) fn expiry(&self) -> Option<(u32, &str)> {
        self.indexes.iter().find_map(|index| match &index.kind {
            IndexKind::Expiry(attribute) => Some((index.section, attribute.as_str())),
            IndexKind::Secondary(_) => None,
        })
    }

    /// Is it what is wanted, whatever the order of its indexes?
    pub(super) fn same(&self, spec: &TableSpec) -> bool {
        let indexes = self.indexes.iter().filter(|index| matches!(index.kind, IndexKind::Secondary(_))).count();
        self.key == spec.key
            && indexes == spec.indexes.len()
            && spec.indexes.iter().all(|index| self.secondary(&index.name).is_some_and(|(_, present)| present == index))
            && self.expiry().map(|(_, attribute)| attribute) == spec.expiry.as_deref()
    }

    /// Adds an index; answers its section.
    pub(super) fn add(&mut self, kind: IndexKind, active: bool) -> u32 {
        let section = self.next_section;
        self.next_section += 1;
        self.indexes.push(IndexDefinition { section, kind, active });
        section
    }

    /// Removes an index; its entries are to be removed.
    pub(super) fn remove(&mut self, section: u32) {
        self.indexes.retain(|index| index.section != section);
        self.dropped.push(section);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let indexes: Vec<Json> = self.indexes.iter().map(IndexDefinition::to_json).collect();
        let json = json!({
            "version": 1, "key": key_to_json(&self.key), "indexes": indexes, "next_section": self.next_section, "dropped": self.dropped,
        });
        json.to_string().into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let json: Json = serde_json::from_slice(bytes).ok()?;
        if json["version"] != 1 {
            return None;
        }
        let number = |json: &Json| json.as_u64().and_then(|number| u32::try_from(number).ok());
        Some(Self {
            key: key_of_json(&json["key"])?,
            indexes: json["indexes"].as_array()?.iter().map(IndexDefinition::of_json).collect::<Option<_>>()?,
            next_section: number(&json["next_section"])?,
            dropped: json["dropped"].as_array()?.iter().map(number).collect::<Option<_>>()?,
        })
    }
}

impl IndexDefinition {
    fn to_json(&self) -> Json {
        match &self.kind {
            IndexKind::Secondary(spec) => {
                let projection = match &spec.projection {
                    Projection::All => json!("ALL"),
                    Projection::KeysOnly => json!("KEYS_ONLY"),
                    Projection::Include(names) => json!(names),
                };
                json!({"section": self.section, "active": self.active, "name": spec.name, "key": key_to_json(&spec.key), "projection": projection})
            }
            IndexKind::Expiry(attribute) => json!({"section": self.section, "active": self.active, "expiry": attribute}),
        }
    }

    fn of_json(json: &Json) -> Option<Self> {
        let section = u32::try_from(json["section"].as_u64()?).ok()?;
        let kind = if let Some(attribute) = json["expiry"].as_str() {
            IndexKind::Expiry(attribute.to_owned())
        } else {
            let projection = match &json["projection"] {
                Json::String(all) if all == "ALL" => Projection::All,
                Json::String(keys) if keys == "KEYS_ONLY" => Projection::KeysOnly,
                names => Projection::Include(
                    names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?,
                ),
            };
            IndexKind::Secondary(IndexSpec {
                name: json["name"].as_str()?.to_owned(),
                key: key_of_json(&json["key"])?,
                projection,
            })
        };
        Some(Self { section, kind, active: json["active"].as_bool()? })
    }
}

fn key_to_json(key: &KeySchema) -> Json {
    key.attributes().map(|attribute| json!([attribute.name, attribute.key_type.name()])).collect()
}

fn key_of_json(json: &Json) -> Option<KeySchema> {
    let attribute =
        |json: &Json| Some(KeyAttribute { name: json[0].as_str()?.to_owned(), key_type: KeyType::from_name(json[1].as_str()?)? });
    let parts = json.as_array()?;
    let range = match parts.get(1) {
        Some(part) => Some(attribute(part)?),
        None => None,
    };
    Some(KeySchema { hash: attribute(parts.first()?)?, range })
}

impl Sums {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![1];
        let mut push = |counts: Counts| {
            bytes.extend(counts.items.to_be_bytes());
            bytes.extend(counts.bytes.to_be_bytes());
        };
        push(self.table);
        for (&section, &counts) in &self.sections {
            bytes.extend(section.to_be_bytes());
            bytes.extend(counts.items.to_be_bytes());
            bytes.extend(counts.bytes.to_be_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let counts = |bytes: &[u8]| {
            let (items, rest) = bytes.split_first_chunk::<8>()?;
            let (bytes, _) = rest.split_first_chunk::<8>()?;
            Some(Counts { items: u64::from_be_bytes(*items), bytes: u64::from_be_bytes(*bytes) })
        };
        let (1, rest) = bytes.split_first().map(|(version, rest)| (*version, rest))? else { return None };
        let table = counts(rest)?;
        let entries = rest.get(16..)?.chunks(20);
        let sections = entries.map(|entry| {
            let (section, rest) = entry.split_first_chunk::<4>()?;
            Some((u32::from_be_bytes(*section), counts(rest)?))
        });
        Some(Self { table, sections: sections.collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_and_sums_read_back() {
        let attribute = |name: &str, key_type| KeyAttribute { name: name.into(), key_type };
        let key = KeySchema { hash: attribute("a", KeyType::String), range: Some(attribute("b", KeyType::Number)) };
        let by_b = KeySchema { hash: attribute("b", KeyType::Number), range: None };
        let include = Projection::Include(["x".to_owned()].into());
        let index = |name: &str, projection| IndexSpec { name: name.into(), key: by_b.clone(), projection };
        let spec = TableSpec {
            id: TableId(7),
            key,
            indexes: vec![index("i", Projection::All), index("j", Projection::KeysOnly), index("k", include)],
            expiry: Some("ttl".into()),
        };
        let mut definition = Definition::new(&spec);
        definition.remove(2);
        assert_eq!(Definition::decode(&definition.encode()), Some(definition));

        let counts = |items, bytes| Counts { items, bytes };
        let sums = Sums { table: counts(1, 2), sections: [(1, counts(3, 4)), (9, counts(0, u64::MAX))].into() };
        assert_eq!(Sums::decode(&sums.encode()), Some(sums.clone()));
        assert_eq!(Sums::decode(&sums.encode()[..30]), None);
    }
}
