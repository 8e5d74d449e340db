//! Tables as a whole: create, describe, list, update, delete.

use super::model::{Encryption, Index, NewIndex, NewTable, OnDemand, Settings, TableState, Throughput, Warm};
use super::sql::TableRow;
use super::table::Table;
use super::{DynamoDb, DynamoError, billing, create, items_error, sql, tags, tokens};
use millpond_core::env::EnvExt;
use millpond_store::Tx;
use millpond_tables::store::{Counts, IndexState, Items};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a listing answers at the most.
const PAGE_MAX: usize = 100;

/// Tables at the most. Developer guide, "Service, account, and table quotas".
const TABLES_MAX: usize = 2500;

/// A table, and how much is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its id.
    pub id: String,
    /// What it does now; absent: it is being deleted.
    pub state: Option<TableState>,
    /// What its owner wants it to be.
    pub settings: Settings,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Items, exactly.
    pub items: u64,
    /// Their sizes, exactly.
    pub bytes: u64,
    /// By index: entries, their sizes, and whether it is still being filled.
    pub indexes: BTreeMap<String, (u64, u64, bool)>,
}

/// A page of tables' names.
#[derive(Debug, Clone, PartialEq)]
pub struct TableNames {
    /// In their order.
    pub names: Vec<String>,
    /// The last one, where more follow.
    pub last: Option<String>,
}

/// A change of a global index.
#[derive(Debug, Clone, PartialEq)]
pub enum IndexChange {
    /// Adds it.
    Create(NewIndex),
    /// Changes what it may take.
    Update {
        /// Its name.
        name: String,
        /// `ProvisionedThroughput`.
        throughput: Option<Throughput>,
        /// `OnDemandThroughput`.
        on_demand: Option<OnDemand>,
        /// `WarmThroughput`.
        warm: Option<Warm>,
    },
    /// Removes it.
    Delete(String),
}

impl IndexChange {
    /// The index's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Create(NewIndex { name, .. }) | Self::Update { name, .. } | Self::Delete(name) => name,
        }
    }
}

/// A change of a table: what is absent stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableChange {
    /// The table's name or ARN.
    pub name: String,
    /// Attributes of keys; those of new indexes must be among them.
    pub definitions: Vec<super::model::Definition>,
    /// `BillingMode`: whether it is `PAY_PER_REQUEST`.
    pub pay_per_request: Option<bool>,
    /// `ProvisionedThroughput`.
    pub throughput: Option<Throughput>,
    /// `OnDemandThroughput`.
    pub on_demand: Option<OnDemand>,
    /// `WarmThroughput`.
    pub warm: Option<Warm>,
    /// `StreamSpecification.StreamEnabled`.
    pub stream: Option<bool>,
    /// `SSESpecification`: the key, or none.
    pub encryption: Option<Option<Encryption>>,
    /// `TableClass`.
    pub class: Option<String>,
    /// `DeletionProtectionEnabled`.
    pub protected: Option<bool>,
    /// `GlobalSecondaryIndexUpdates`.
    pub indexes: Vec<IndexChange>,
    /// The name of a parameter that was given and that Millpond does not support.
    pub unsupported: Option<&'static str>,
}

impl DynamoDb {
    /// `CreateTable`. The table is active when this answers.
    pub async fn create_table(&self, new: NewTable) -> Result<Described, DynamoError> {
        let table = self.create_with(new, TableState::Active, |_, _| Ok(())).await?;
        self.describe(&table).await
    }

    /// Makes a table, which is in that state; `also` is done in the same transaction. Goes on when the caller goes away.
    pub(super) async fn create_with(
        &self,
        new: NewTable,
        state: TableState,
        also: impl FnOnce(&Tx<'_>, &TableRow) -> Result<(), DynamoError> + Send + 'static,
    ) -> Result<Arc<Table>, DynamoError> {
        let settings = create::settings(&new, self.now_ms())?;
        tags::check(&new.tags)?;
        let (name, tags, dynamodb) = (self.name_of(&new.name)?, new.tags, self.clone());
        ended(tokio::spawn(async move {
            let _changes = dynamodb.shared.changes.lock().await;
            if let Some(table) = dynamodb.known(&name) {
                return Err(DynamoError::InUse(format!("Table already exists: {}", table.name)));
            }
            if dynamodb.shared.tables.read().expect("nobody panics while holding the tables").len() >= TABLES_MAX {
                return Err(DynamoError::Limit(format!("Subscriber limit exceeded: There is a limit of {TABLES_MAX} tables")));
            }
            let row = dynamodb.lake.store.write(move |tx| {
                let row = sql::insert_table(tx, &name, tx.env().uuid(), state, &settings)?;
                tags.iter().try_for_each(|(key, value)| sql::put_tag(tx, row.id, key, value))?;
                also(tx, &row)?;
                Ok::<_, DynamoError>(row)
            });
            let table = Table::of(row.await?, &dynamodb.lake.place)?;
            let spec = table.spec();
            let made = dynamodb.look(move |items| {
                items.create_table(&tokens::spec()).and_then(|()| items.create_table(&spec)).map_err(items_error)
            });
            if let Err(error) = made.await {
                // Without its items it is no table; where this fails too, the next start makes them.
                let id = table.id;
                dynamodb.lake.store.write(move |tx| Ok::<_, DynamoError>(sql::delete_table(tx, id)?)).await?;
                return Err(error);
            }
            Ok(dynamodb.publish(table))
        }))
        .await
    }

    /// `DescribeTable`.
    pub async fn describe_table(&self, name: &str) -> Result<Described, DynamoError> {
        let table = self.any_table(name)?;
        self.describe(&table).await
    }

    pub(super) async fn describe(&self, table: &Arc<Table>) -> Result<Described, DynamoError> {
        let table = table.clone();
        let described = self.look(move |items| described(items, &table));
        described.await
    }

    /// `ListTables`: names after `after`, in their order.
    pub fn list_tables(&self, after: Option<&str>, limit: Option<usize>) -> Result<TableNames, DynamoError> {
        if let Some(after) = after {
            create::check_name(after)?;
        }
        let limit = limit.unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let all = self.shared.tables.read().expect("nobody panics while holding the tables");
        let mut names: Vec<&String> = all.keys().filter(|name| after.is_none_or(|after| name.as_str() > after)).collect();
        names.sort_unstable();
        let more = names.len() > limit;
        let names: Vec<String> = names.into_iter().take(limit).cloned().collect();
        Ok(TableNames { last: names.last().filter(|_| more).cloned(), names })
    }

    /// `DeleteTable`: nobody sees it any more when this answers.
    pub async fn delete_table(&self, name: &str) -> Result<Described, DynamoError> {
        let (name, dynamodb) = (self.name_of(name)?, self.clone());
        ended(tokio::spawn(async move {
            let _changes = dynamodb.shared.changes.lock().await;
            let table = dynamodb.known(&name).ok_or_else(|| DynamoError::NoSuchTable(name.clone()))?;
            let busy = "Attempt to change a resource which is still in use: Table is being created";
            match (table.state, table.settings.protected) {
                (TableState::Creating, _) => return Err(DynamoError::InUse(format!("{busy}: {name}"))),
                (TableState::Active, true) => {
                    let text = "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.";
                    return Err(DynamoError::invalid(text));
                }
                (TableState::Active, false) => {}
            }
            let last = dynamodb.describe(&table).await?;
            dynamodb.remove(&table).await?;
            Ok(Described { state: None, ..last })
        }))
        .await
    }

    /// Removes a table, whatever its state. The caller holds `changes`.
    pub(super) async fn remove(&self, table: &Arc<Table>) -> Result<(), DynamoError> {
        let id = table.id;
        self.lake.store.write(move |tx| Ok::<_, DynamoError>(sql::delete_table(tx, id)?)).await?;
        self.unpublish(&table.name);
        let id = table.id();
        let dropped = self.look(move |items| items.drop_table(id).map_err(items_error)).await;
        // The row is gone, and the table with it: what is left is removed at the next start.
        dropped.unwrap_or_else(|error| tracing::error!(%error, table = table.name, "the items of a deleted table are left"));
        Ok(())
    }

    /// `UpdateTable`.
    pub async fn update_table(&self, change: TableChange) -> Result<Described, DynamoError> {
        let (name, dynamodb) = (self.name_of(&change.name)?, self.clone());
        ended(tokio::spawn(async move {
            let _changes = dynamodb.shared.changes.lock().await;
            let table = dynamodb.known(&name).ok_or_else(|| DynamoError::NoSuchTable(name.clone()))?;
            let filling = dynamodb.describe(&table).await?.indexes.values().any(|(.., filling)| *filling);
            if table.state == TableState::Creating || filling && !change.indexes.is_empty() {
                let text = "Attempt to change a resource which is still in use: Table is being updated";
                return Err(DynamoError::InUse(format!("{text}: {name}")));
            }
            let settings = changed(&table.settings, &change, dynamodb.now_ms())?;
            let table = dynamodb.replace(&table, settings).await?;
            dynamodb.describe(&table).await
        }))
        .await
    }

    /// Gives a table other settings: its row, then the store of items, then memory. The caller holds `changes`.
    pub(super) async fn replace(&self, old: &Arc<Table>, settings: Settings) -> Result<Arc<Table>, DynamoError> {
        let row = TableRow { settings, ..old.row() };
        let new = Table::of(row.clone(), &self.lake.place)?;
        self.lake.store.write(move |tx| Ok::<_, DynamoError>(sql::update_table(tx, &row)?)).await?;
        let (before, after) = (old.clone(), new.clone());
        if let Err(error) = self.look(move |items| bring(items, &before, &after).map_err(items_error)).await {
            let row = old.row();
            self.lake.store.write(move |tx| Ok::<_, DynamoError>(sql::update_table(tx, &row)?)).await?;
            return Err(error);
        }
        Ok(self.publish(new))
    }

    /// Changes the settings of a table as `change` says.
    pub(super) async fn change_settings<T: Send + 'static>(
        &self,
        name: String,
        change: impl FnOnce(&Table, &mut Settings) -> Result<T, DynamoError> + Send + 'static,
    ) -> Result<T, DynamoError> {
        let dynamodb = self.clone();
        ended(tokio::spawn(async move {
            let _changes = dynamodb.shared.changes.lock().await;
            let table = dynamodb.known(&name).ok_or(DynamoError::NoSuchTable(name))?;
            let mut settings = table.settings.clone();
            let answer = change(&table, &mut settings)?;
            if settings != table.settings {
                dynamodb.replace(&table, settings).await?;
            }
            Ok(answer)
        }))
        .await
    }
}

/// What a task of ours that outlives its caller answers.
pub(super) async fn ended<T>(task: tokio::task::JoinHandle<Result<T, DynamoError>>) -> Result<T, DynamoError> {
    task.await.unwrap_or_else(|_| Err(DynamoError::Items("an internal fault ended a change of a table".into())))
}

/// Brings the store of items to what a table is now.
fn bring(items: &Items, before: &Table, after: &Table) -> Result<(), millpond_tables::store::StoreError> {
    for index in &before.indexes {
        if !after.indexes.iter().any(|other| other.name == index.name) {
            items.drop_index(before.id(), &index.name)?;
        }
    }
    for index in &after.indexes {
        if !before.indexes.iter().any(|other| other.name == index.name) {
            items.add_index(after.id(), index.spec())?;
        }
    }
    match before.settings.expires == after.settings.expires {
        true => Ok(()),
        false => items.set_expiry(after.id(), after.settings.expires.as_deref()),
    }
}

fn described(items: &Items, table: &Table) -> Result<Described, DynamoError> {
    let Counts { items: count, bytes } = items.counts(table.id()).map_err(items_error)?;
    let mut indexes = BTreeMap::new();
    for index in &table.indexes {
        let counts = items.index_counts(table.id(), &index.name).map_err(items_error)?;
        let filling = items.index_state(table.id(), &index.name).map_err(items_error)? != IndexState::Active;
        indexes.insert(index.name.clone(), (counts.items, counts.bytes, filling));
    }
    Ok(Described {
        name: table.name.clone(),
        arn: table.arn.clone(),
        id: table.uuid.clone(),
        state: Some(table.state),
        settings: table.settings.clone(),
        created_ms: table.created_ms,
        items: count,
        bytes,
        indexes,
    })
}

/// What a table's settings are after a change.
fn changed(old: &Settings, change: &TableChange, now_ms: i64) -> Result<Settings, DynamoError> {
    if let Some(parameter) = change.unsupported {
        return Err(DynamoError::parameter(format!("Millpond does not support {parameter}: leave it out")));
    }
    create::check_no_stream(change.stream == Some(true))?;
    let mut settings = old.clone();
    billing::change(&mut settings, change, now_ms)?;
    if let Some(encryption) = &change.encryption {
        settings.encryption.clone_from(encryption);
    }
    if let Some(class) = &change.class {
        settings.class = Some(class.clone()).filter(|class| class != "STANDARD");
    }
    if let Some(protected) = change.protected {
        settings.protected = protected;
    }
    change_indexes(&mut settings, change)?;
    let asks = change.pay_per_request.is_some()
        || change.throughput.is_some()
        || change.on_demand.is_some()
        || change.warm.is_some()
        || change.stream.is_some()
        || change.encryption.is_some()
        || change.class.is_some()
        || change.protected.is_some()
        || !change.indexes.is_empty();
    if !asks {
        return Err(DynamoError::invalid(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, SSESpecification, ReplicaUpdates, \
             MultiAccountReplicaReady, ReplicaTransitRoleArn, MultiRegionConsistency, DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or \
             TableClass is required",
        ));
    }
    Ok(settings)
}

fn change_indexes(settings: &mut Settings, change: &TableChange) -> Result<(), DynamoError> {
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = change.indexes.iter().map(IndexChange::name).find(|name| !seen.insert(*name)) {
        return Err(DynamoError::parameter(format!(
            "Only one global secondary index update per index is allowed simultaneously. Index: {twice}"
        )));
    }
    let moves = change.indexes.iter().filter(|change| !matches!(change, IndexChange::Update { .. })).count();
    if moves > 1 {
        let text = "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table";
        return Err(DynamoError::Limit(text.into()));
    }
    for change_of_index in &change.indexes {
        match change_of_index {
            IndexChange::Create(new) => {
                billing::check_added(settings, &new.name, new.throughput)?;
                for definition in &change.definitions {
                    match settings.kind_of(&definition.name) {
                        None => settings.definitions.push(definition.clone()),
                        Some(kind) if kind == definition.kind => {}
                        Some(_) => {
                            let text = format!("The type of the attribute {} cannot be changed", definition.name);
                            return Err(DynamoError::parameter(text));
                        }
                    }
                }
                if settings.indexes().any(|index| index.name == new.name) {
                    return Err(DynamoError::invalid("Attempting to create an index which already exists"));
                }
                create::add_global(settings, new)?;
                create::check_used(settings)?;
                create::check_projected(settings)?;
            }
            IndexChange::Update { name, throughput, on_demand, warm } => {
                let provisioned = settings.throughput.is_some();
                let index = global(settings, change, name, "update")?;
                billing::change_index(index, provisioned, *throughput, *on_demand, *warm)?;
            }
            IndexChange::Delete(name) => {
                global(settings, change, name, "delete")?;
                settings.global.retain(|index| index.name != *name);
                let used: Vec<String> = settings
                    .key
                    .iter()
                    .chain(settings.indexes().flat_map(|index| &index.key))
                    .map(|part| part.name.clone())
                    .collect();
                settings.definitions.retain(|definition| used.contains(&definition.name));
            }
        }
    }
    Ok(())
}

/// The global index that is to be changed; `what` is to be done with it.
fn global<'a>(settings: &'a mut Settings, change: &TableChange, name: &str, what: &str) -> Result<&'a mut Index, DynamoError> {
    if settings.local.iter().any(|index| index.name == name) {
        return Err(DynamoError::invalid(format!("Cannot {what} an index that is not a GlobalSecondaryIndex: {name}")));
    }
    let missing = || DynamoError::NoSuchResource(format!("Index {name} for table {}", change.name));
    settings.global.iter_mut().find(|index| index.name == name).ok_or_else(missing)
}
