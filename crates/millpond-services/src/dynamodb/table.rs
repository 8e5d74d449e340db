//! A table as it is known in memory, and how one is found by its name or ARN.

use super::model::{Index, KeyKind, KeyPart, Projected, Settings, TableState};
use super::sql::TableRow;
use super::{DynamoDb, DynamoError, create};
use millpond_core::arn::{Arn, Place};
use millpond_tables::store::{IndexSpec, Projection, TableId, TableSpec};
use millpond_tables::value::key::{KeyAttribute, KeySchema, KeyType};
use std::sync::Arc;

/// A table, ready for use. It changes by being replaced.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) uuid: String,
    pub(super) state: TableState,
    pub(super) settings: Settings,
    pub(super) created_ms: i64,
    pub(super) schema: KeySchema,
    /// Local ones first.
    pub(super) indexes: Vec<TableIndex>,
}

/// An index, ready for use.
#[derive(Debug, Clone)]
pub(super) struct TableIndex {
    pub(super) name: String,
    pub(super) global: bool,
    pub(super) schema: KeySchema,
    pub(super) projected: Projected,
}

impl TableIndex {
    /// As the store of items knows it.
    pub(super) fn spec(&self) -> IndexSpec {
        let projection = match &self.projected {
            Projected::All => Projection::All,
            Projected::KeysOnly => Projection::KeysOnly,
            Projected::Include(names) => Projection::Include(names.iter().cloned().collect()),
        };
        IndexSpec { name: self.name.clone(), key: self.schema.clone(), projection }
    }

    /// Whether the attribute is in the index, where the item is.
    pub(super) fn holds(&self, table: &KeySchema, name: &str) -> bool {
        match &self.projected {
            Projected::All => true,
            Projected::Include(names) if names.iter().any(|one| one == name) => true,
            Projected::Include(_) | Projected::KeysOnly => table.has(name) || self.schema.has(name),
        }
    }
}

fn schema(settings: &Settings, key: &[KeyPart]) -> Result<KeySchema, DynamoError> {
    let attribute = |part: &KeyPart| {
        let kind = settings.kind_of(&part.name);
        let kind = kind.ok_or_else(|| DynamoError::Items(format!("the key attribute {} has no type", part.name)))?;
        Ok::<_, DynamoError>(KeyAttribute { name: part.name.clone(), key_type: key_type(kind) })
    };
    let hash = key.first().ok_or_else(|| DynamoError::Items("a table has no key".into()))?;
    Ok(KeySchema { hash: attribute(hash)?, range: key.get(1).map(attribute).transpose()? })
}

fn key_type(kind: KeyKind) -> KeyType {
    match kind {
        KeyKind::S => KeyType::String,
        KeyKind::N => KeyType::Number,
        KeyKind::B => KeyType::Binary,
    }
}

impl Table {
    /// Of its row.
    pub(super) fn of(row: TableRow, place: &Place) -> Result<Self, DynamoError> {
        let TableRow { id, name, uuid, state, settings, created_ms } = row;
        let ready = |index: &Index, global: bool| {
            Ok::<_, DynamoError>(TableIndex {
                name: index.name.clone(),
                global,
                schema: schema(&settings, &index.key)?,
                projected: index.projected.clone(),
            })
        };
        let local = settings.local.iter().map(|index| ready(index, false));
        let global = settings.global.iter().map(|index| ready(index, true));
        let indexes = local.chain(global).collect::<Result<_, _>>()?;
        let (schema, arn) = (schema(&settings, &settings.key)?, place.arn("dynamodb", format!("table/{name}")).to_string());
        Ok(Self { id, name, arn, uuid, state, settings, created_ms, schema, indexes })
    }

    /// The row that it came from.
    pub(super) fn row(&self) -> TableRow {
        TableRow {
            id: self.id,
            name: self.name.clone(),
            uuid: self.uuid.clone(),
            state: self.state,
            settings: self.settings.clone(),
            created_ms: self.created_ms,
        }
    }

    /// The index of that name.
    pub(super) fn index(&self, name: &str) -> Result<&TableIndex, DynamoError> {
        let found = self.indexes.iter().find(|index| index.name == name);
        found.ok_or_else(|| DynamoError::invalid(format!("The table does not have the specified index: {name}")))
    }

    /// As the store of items knows it.
    pub(super) fn spec(&self) -> TableSpec {
        let key = self.schema.clone();
        let indexes = self.indexes.iter().map(TableIndex::spec).collect();
        TableSpec { id: self.id(), key, indexes, expiry: self.settings.expires.clone() }
    }

    /// What the store calls it by.
    pub(super) fn id(&self) -> TableId {
        TableId(self.id)
    }
}

impl DynamoDb {
    /// The name in what may be a table's name or its ARN.
    pub(super) fn name_of(&self, given: &str) -> Result<String, DynamoError> {
        if !given.starts_with("arn:") {
            create::check_name(given)?;
            return Ok(given.to_owned());
        }
        let wrong = || DynamoError::invalid(format!("Invalid TableArn: Invalid ResourceArn provided as input {given}"));
        let arn: Arn = given.parse().map_err(|_| wrong())?;
        let name = arn.resource.strip_prefix("table/").ok_or_else(wrong)?;
        if arn.service != "dynamodb" || !create::is_name(name) {
            return Err(wrong());
        }
        match arn.account == self.lake.place.account && arn.region == self.lake.place.region {
            true => Ok(name.to_owned()),
            false => Err(DynamoError::NotFound),
        }
    }

    /// The table of that name, in whatever state.
    pub(super) fn known(&self, name: &str) -> Option<Arc<Table>> {
        self.shared.tables.read().expect("nobody panics while holding the tables").get(name).cloned()
    }

    /// The table that an operation on items names.
    pub(super) fn table(&self, given: &str) -> Result<Arc<Table>, DynamoError> {
        let found = match self.known(given) {
            Some(table) => Some(table),
            None => self.known(&self.name_of(given)?),
        };
        found.filter(|table| table.state == TableState::Active).ok_or(DynamoError::NotFound)
    }

    /// The table that an operation on tables names.
    pub(super) fn any_table(&self, given: &str) -> Result<Arc<Table>, DynamoError> {
        let name = self.name_of(given)?;
        self.known(&name).ok_or(DynamoError::NoSuchTable(name))
    }

    /// The table of an ARN.
    pub(super) fn table_of_arn(&self, arn: &str) -> Result<Arc<Table>, DynamoError> {
        if !arn.starts_with("arn:") {
            let text = format!("Invalid TableArn: Invalid ResourceArn provided as input {arn}");
            return Err(DynamoError::Validation(text));
        }
        self.known(&self.name_of(arn)?).ok_or_else(|| DynamoError::NoSuchResource(format!("ResourcArn: {arn} not found")))
    }

    /// Makes known what a table is now.
    pub(super) fn publish(&self, table: Table) -> Arc<Table> {
        let table = Arc::new(table);
        let mut all = self.shared.tables.write().expect("nobody panics while holding the tables");
        all.insert(table.name.clone(), table.clone());
        table
    }

    /// Forgets a table.
    pub(super) fn unpublish(&self, name: &str) {
        self.shared.tables.write().expect("nobody panics while holding the tables").remove(name);
    }
}
