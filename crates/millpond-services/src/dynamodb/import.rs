//! ImportTable: a new table of what lies in S3. Developer guide, "DynamoDB data import from Amazon S3: how it works".
//!
//! One transaction makes the table's row (in the state of being created), the import's row and its task. The task puts all items by one bulk load, which can be done again after a kill,
//! and then one transaction makes the table active, says what was done, and ends the task. Lines that are no items of the table are told in a log group, and the import is then
//! `FAILED` with `ItemValidationError`, as on AWS: what could be put is in the table. An import that found no file leaves no table.

mod files;
mod lines;

use super::model::{NewTable, TableState};
use super::table::Table;
use super::transfer::{self, Import, Transfer, TransferKind, TransferState, new_id};
use super::{DynamoDb, DynamoError, sql};
use crate::lake::{Lake, log};
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use lines::Tally;
use millpond_core::env::EnvExt;
use millpond_core::log::Line;
use millpond_store::task::{NewTask, Task};
use millpond_tables::store::{LoadError, LoadOptions};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The kind of an import's task. Its payload is the import's id.
const KIND: &str = "dynamodb.import";

/// Where errors are told.
const LOG_GROUP: &str = "/aws-dynamodb/imports";

/// How long a token counts: eight hours. API reference, `ImportTable`.
pub(super) const TOKEN_MS: i64 = 8 * 60 * 60 * 1000;

/// What `InputCompressionType` is where it is not said.
const UNCOMPRESSED: &str = "NONE";

/// How CSV is to be read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CsvOptions {
    /// One of `,;:|`, tab or space; absent: a comma.
    pub delimiter: Option<String>,
    /// The names of the columns; absent: the first line of each file has them.
    pub header: Option<Vec<String>>,
}

/// `ImportTable`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImportRequest {
    /// `ClientToken`.
    pub token: Option<String>,
    /// Where the files are.
    pub bucket: String,
    /// As the request has it.
    pub bucket_owner: Option<String>,
    /// What their keys begin with.
    pub prefix: Option<String>,
    /// `CSV`, `DYNAMODB_JSON` or `ION`.
    pub format: String,
    /// How CSV is to be read.
    pub csv: Option<CsvOptions>,
    /// `NONE`, `GZIP` or `ZSTD`.
    pub compression: Option<String>,
    /// The table.
    pub table: NewTable,
}

fn check(request: &ImportRequest) -> Result<(), DynamoError> {
    match (request.format.as_str(), &request.csv) {
        ("CSV", _) | ("DYNAMODB_JSON", None) => {}
        ("DYNAMODB_JSON", Some(_)) => {
            return Err(DynamoError::parameter("InputFormatOptions has Csv, but InputFormat is DYNAMODB_JSON"));
        }
        (format, _) => {
            return Err(DynamoError::parameter(format!(
                "Millpond imports CSV and DYNAMODB_JSON: InputFormat {format} is not supported"
            )));
        }
    }
    if let Some(delimiter) = request.csv.as_ref().and_then(|csv| csv.delimiter.as_deref())
        && !matches!(delimiter, "," | ";" | ":" | "|" | "\t" | " ")
    {
        return Err(DynamoError::parameter("The Delimiter of CSV files is one of , ; : | tab and space"));
    }
    Ok(())
}

impl DynamoDb {
    /// `ImportTable`.
    pub async fn import_table(&self, request: ImportRequest) -> Result<Import, DynamoError> {
        check(&request)?;
        if let Some(before) = self.import_of_token(&request).await? {
            return Ok(before);
        }
        let (now_ms, place) = (self.now_ms(), self.lake.place.clone());
        let id = new_id(now_ms, &self.lake.store.env().random_hex(4));
        let name = self.name_of(&request.table.name)?;
        let ImportRequest { token, bucket, bucket_owner, prefix, format, csv, compression, table } = request;
        let mut import = Import {
            transfer: Transfer {
                arn: place.arn("dynamodb", format!("table/{name}/import/{id}")).to_string(),
                state: TransferState::InProgress,
                table_arn: place.arn("dynamodb", format!("table/{name}")).to_string(),
                table_name: name,
                table_id: String::new(),
                token,
                bucket,
                bucket_owner,
                prefix,
                started_ms: now_ms,
                ended_ms: None,
                failure_code: None,
                failure_message: None,
            },
            log_group_arn: place.arn("logs", format!("log-group:{LOG_GROUP}:*")).to_string(),
            format,
            csv,
            compression: compression.unwrap_or_else(|| UNCOMPRESSED.into()),
            table: table.clone(),
            errors: 0,
            processed_bytes: 0,
            processed_items: 0,
            imported_items: 0,
        };
        let mut row = import.clone();
        let made = self.create_with(table, TableState::Creating, move |tx, table| {
            row.transfer.table_id.clone_from(&table.uuid);
            let Transfer { table_name, token, .. } = &row.transfer;
            let description = transfer::write(&row)?;
            let (kind, token) = (TransferKind::Import, token.as_deref());
            sql::insert_transfer(tx, &sql::NewTransfer { kind, id: &id, table: table_name, token, description: &description })?;
            // The table's items are there before the task looks: both are made while changes of tables wait.
            tx.enqueue(&NewTask::new(KIND, &id).at(tx.now_ms() + 100))?;
            Ok(())
        });
        import.transfer.table_id.clone_from(&made.await?.uuid);
        Ok(import)
    }

    async fn import_of_token(&self, request: &ImportRequest) -> Result<Option<Import>, DynamoError> {
        let Some(token) = request.token.clone() else { return Ok(None) };
        let look = self.lake.store.write(move |tx| {
            Ok::<_, DynamoError>(sql::transfer_of_token(tx, TransferKind::Import, &token, tx.now_ms() - TOKEN_MS)?)
        });
        let Some(row) = look.await? else { return Ok(None) };
        let before: Import = transfer::read(&row)?;
        let same = before.table == request.table
            && before.transfer.bucket == request.bucket
            && before.transfer.prefix == request.prefix
            && before.transfer.bucket_owner == request.bucket_owner
            && before.compression == request.compression.as_deref().unwrap_or(UNCOMPRESSED)
            && before.format == request.format
            && before.csv == request.csv;
        match same {
            true => Ok(Some(before)),
            false => Err(DynamoError::ImportConflict("An import with this ClientToken was asked for in other words".into())),
        }
    }
}

/// Imports.
#[derive(Debug)]
pub(super) struct ImportHandler {
    pub(super) dynamodb: DynamoDb,
}

/// How an import ended.
enum Outcome {
    /// Everything that is an item is in the table.
    Loaded(Tally, u64),
    /// There was nothing to read: code and text.
    Nothing(&'static str, String),
}

impl ImportHandler {
    async fn load(&self, import: &Import, table: &Arc<Table>) -> Result<Outcome, Failure> {
        let files = match files::of(&self.dynamodb.lake, &import.transfer).await? {
            Ok(files) => files,
            Err((code, text)) => return Ok(Outcome::Nothing(code, text)),
        };
        let (items, table, import) = (self.dynamodb.items().clone(), table.clone(), import.clone());
        let (lake, handle) = (self.dynamodb.lake.clone(), tokio::runtime::Handle::current());
        let loaded = tokio::task::spawn_blocking(move || {
            let loader =
                items.loader(table.id(), LoadOptions { writers: 1, ..LoadOptions::default() }).map_err(Failure::transient)?;
            let mut writer = loader.writer();
            let mut tally = Tally::default();
            for file in &files {
                lines::read(&lake, &handle, &import, &table, file, &mut writer, &mut tally)?;
            }
            let ended = writer.finish().and_then(|()| loader.finish(|_, _| true));
            match ended {
                Ok(counts) => Ok(Outcome::Loaded(tally, counts.created + counts.replaced)),
                Err(LoadError::Item(error)) => Err(Failure::lasting(error)),
                Err(error) => Err(Failure::transient(error)),
            }
        });
        loaded.await.unwrap_or_else(|_| Err(Failure::lasting("an internal fault ended the import")))
    }

    /// Says in one transaction how the import ended.
    async fn end(&self, task: &Task, id: String, import: Import, active: bool, errors: Vec<Line>) -> Result<(), Failure> {
        let dynamodb = &self.dynamodb;
        let _changes = dynamodb.shared.changes.lock().await;
        let known = dynamodb.known(&import.transfer.table_name).filter(|table| table.uuid == import.transfer.table_id);
        let (task, table) = (task.clone(), known.clone());
        let ended = dynamodb.lake.store.write(move |tx| {
            if let Some(table) = &table {
                match active {
                    true => sql::update_table(tx, &sql::TableRow { state: TableState::Active, ..table.row() })?,
                    false => sql::delete_table(tx, table.id)?,
                }
            }
            sql::update_transfer(tx, &id, &transfer::write(&import)?)?;
            log::write(tx, LOG_GROUP, &format!("{id}/error"), &errors)?;
            Ok::<_, DynamoError>(tx.finish_task(&task)?)
        });
        ended.await.map_err(Failure::transient)?;
        match (known, active) {
            (Some(table), true) => {
                dynamodb.publish(Table { state: TableState::Active, ..(*table).clone() });
            }
            (Some(table), false) => {
                dynamodb.unpublish(&table.name);
                let id = table.id();
                let dropped = dynamodb.look(move |items| items.drop_table(id).map_err(super::items_error));
                dropped.await.unwrap_or_else(|error| tracing::error!(%error, "the items of a failed import are left"));
            }
            (None, _) => {}
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for ImportHandler {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let id: String = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        let looked = id.clone();
        let row = lake.store.read(move |connection| sql::transfer(connection, TransferKind::Import, &looked)).await?;
        let row = row.ok_or_else(|| Failure::lasting(format!("there is no import {id}")))?;
        let mut import: Import = transfer::read(&row).map_err(Failure::lasting)?;
        let table = self.dynamodb.known(&import.transfer.table_name).filter(|table| table.uuid == import.transfer.table_id);
        let Some(table) = table else {
            // Its row is committed with the task, and it is known right after that, unless its items could not be made: then the row is gone again.
            let uuid = import.transfer.table_id.clone();
            return Err(match lake.store.read(move |connection| sql::has_table(connection, &uuid)).await? {
                true => Failure::transient("its table is not known yet").postponed(200),
                false => Failure::lasting("the table could not be made: ask for another import, with another ClientToken"),
            });
        };
        let outcome = self.load(&import, &table).await?;
        import.transfer.ended_ms = Some(lake.store.env().now_ms());
        let (active, errors) = match outcome {
            Outcome::Loaded(tally, imported) => {
                import.transfer.state = TransferState::Completed;
                import.processed_bytes = tally.bytes;
                import.processed_items = tally.lines;
                import.imported_items = imported;
                import.errors = tally.errors;
                if tally.errors > 0 {
                    import.transfer.state = TransferState::Failed;
                    import.transfer.failure_code = Some("ItemValidationError".into());
                    import.transfer.failure_message = Some(
                        "Some of the items failed validation checks and were not imported. Please check CloudWatch error logs for more details."
                            .into(),
                    );
                }
                (true, tally.told)
            }
            Outcome::Nothing(code, text) => {
                import.transfer.state = TransferState::Failed;
                import.transfer.failure_code = Some(code.into());
                import.transfer.failure_message = Some(text);
                (false, Vec::new())
            }
        };
        self.end(task, id, import, active, errors).await
    }

    async fn buried(&self, lake: &Lake, task: &Task, reason: &str) {
        let Ok(id) = serde_json::from_value::<String>(task.payload.clone()) else { return };
        let (place, dynamodb, reason) = (id.clone(), self.dynamodb.clone(), reason.to_owned());
        let row = lake.store.read(move |connection| sql::transfer(connection, TransferKind::Import, &place)).await;
        let Ok(Some(Ok(mut import))) = row.map(|row| row.as_ref().map(transfer::read::<Import>)) else { return };
        import.transfer.state = TransferState::Failed;
        import.transfer.ended_ms = Some(lake.store.env().now_ms());
        import.transfer.failure_code = Some("InternalServerError".into());
        import.transfer.failure_message = Some(reason);
        let table = dynamodb.known(&import.transfer.table_name).filter(|table| table.uuid == import.transfer.table_id);
        let wrote =
            lake.store.write(move |tx| Ok::<_, DynamoError>(sql::update_transfer(tx, &id, &transfer::write(&import)?)?)).await;
        let _changes = dynamodb.shared.changes.lock().await;
        let removed = match table {
            Some(table) => dynamodb.remove(&table).await,
            None => Ok(()),
        };
        if let Err(error) = wrote.and(removed) {
            tracing::error!(%error, "the end of an import could not be recorded");
        }
    }
}
