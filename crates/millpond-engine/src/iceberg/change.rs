//! INSERT, DELETE and UPDATE.
//!
//! Files never change: those with rows that a statement concerns are replaced by others (copy-on-write). Which files these are is asked first, by a
//! query that reads no more than the condition's columns of what manifests leave; then they are read whole, in one query that says of each row
//! whether it is concerned. Conditions that may answer otherwise a second time (subqueries, `random()`) are asked once, of all files.

use super::commit::{Change, Guard};
use super::metadata::Version;
use super::named;
use super::provider::{self, IcebergTable, Seen};
use super::schema::arrow_schema;
use super::write::{DataWriter, Target};
use crate::output::assign;
use crate::query::plan::Given;
use crate::query::{Engine, QueryError, QueryRequest, QueryStream};
use crate::result::columns::trino_type;
use crate::scan::Hidden;
use crate::sql::quote_identifier;
use crate::table::TableSource;
use crate::types::TrinoType;
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures::StreamExt;
use iceberg::spec::Operation;
use millpond_core::catalog::Table;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// What a statement did.
#[derive(Debug)]
pub struct Changed {
    /// To be committed.
    pub change: Change,
    /// Rows that were added, changed or removed.
    pub rows: u64,
}

/// A statement under way: the engine, the table as it was at its start, and where files go.
#[derive(Debug)]
pub struct Writing<'a> {
    /// Runs the queries.
    pub engine: &'a Engine,
    /// The table in the catalog.
    pub table: &'a Table,
    /// The version that is changed.
    pub version: Arc<Version>,
    /// A request for a query in the statement's context; its text does not matter.
    pub request: QueryRequest,
    /// Where files go.
    pub target: Target,
}

/// The current version of a table.
///
/// # Errors
/// Its metadata cannot be read.
pub async fn version(table: &Table, source: &Arc<dyn TableSource>) -> Result<Arc<Version>, QueryError> {
    provider::load(table, source, None).await.map(Arc::new)
}

/// What rows a statement concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// SQL text of a boolean expression, at its place in the statement; `None`: all rows.
    pub sql: Option<String>,
    /// Whether it could answer otherwise a second time.
    pub once: bool,
}

/// The name of the table among whose rows a statement's condition is asked.
const TARGET: &str = "$target";
/// The name of the column that says whether a row is concerned.
const HIT: &str = "$hit";

impl<'a> Writing<'a> {
    pub(super) fn columns(&self) -> Vec<String> {
        arrow_schema(&self.version.schema).fields().iter().map(|field| field.name().clone()).collect()
    }

    /// `"database"."t$target" AS "t"`: the rows that are looked at, under the name by which the statement knows them.
    pub(super) fn target_sql(&self, alias: &str) -> String {
        let name = format!("{}{TARGET}", self.table.name);
        format!("{}.{} AS {}", quote_identifier(&self.table.database), quote_identifier(&name), quote_identifier(alias))
    }

    /// The table itself at the statement's version, and its rows in `restricted` files as the target.
    pub(super) fn given(&self, restricted: Option<Arc<HashSet<String>>>, seen: Option<&Arc<Mutex<Seen>>>) -> Given {
        let make = |restricted: Option<Arc<HashSet<String>>>, seen: Option<Arc<Mutex<Seen>>>| {
            let (version, source) = (Arc::clone(&self.version), Arc::clone(&self.request.catalog));
            move |hidden: &Hidden| {
                let mut table = IcebergTable::new(Arc::clone(&version), &source, hidden.clone());
                if let Some(files) = &restricted {
                    table = table.restricted_to(Arc::clone(files));
                }
                if let Some(seen) = &seen {
                    // What a plan has seen that is made again.
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::default();
                    table = table.noting(seen);
                }
                Arc::new(table) as Arc<dyn datafusion::catalog::TableProvider>
            }
        };
        let database = self.table.database.clone();
        let mut given = Given::new();
        given.insert((database.clone(), self.table.name.clone()), Arc::new(make(None, None)));
        given.insert((database, format!("{}{TARGET}", self.table.name)), Arc::new(make(restricted, seen.cloned())));
        given
    }

    pub(super) fn query(&self, sql: String) -> QueryRequest {
        QueryRequest { sql, ..self.request.clone() }
    }

    /// The rows of a query over `given` tables.
    pub(super) async fn open(&self, sql: String, given: Given) -> Result<QueryStream, QueryError> {
        self.engine.query_over(self.query(sql), given).await
    }

    pub(super) fn writer(&self) -> Result<DataWriter, QueryError> {
        DataWriter::new(&self.version.metadata, self.target.clone())
    }

    /// Data files with rows for which `condition` holds, and how many in each.
    async fn hits(&self, condition: &str, seen: &Arc<Mutex<Seen>>) -> Result<HashMap<String, u64>, QueryError> {
        let table = self.target_sql(&self.table.name);
        let sql = format!("SELECT \"$path\", count(*) FROM {table} WHERE {condition} GROUP BY \"$path\"");
        let mut hits = HashMap::new();
        let mut stream = self.open(sql, self.given(None, Some(seen))).await?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let (paths, counts) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
            for (path, count) in paths.iter().zip(counts.iter()) {
                hits.insert(path.unwrap_or_default().to_owned(), u64::try_from(count.unwrap_or_default()).unwrap_or_default());
            }
        }
        Ok(hits)
    }

    /// Rows of the version, by what its snapshot says or by counting.
    async fn count(&self) -> Result<u64, QueryError> {
        let sql = format!("SELECT count(*) FROM {}", self.target_sql(&self.table.name));
        let mut rows = 0;
        let mut stream = self.open(sql, self.given(None, None)).await?;
        while let Some(batch) = stream.next().await {
            rows += batch?.column(0).as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
        }
        Ok(u64::try_from(rows).unwrap_or_default())
    }

    /// URIs of all data files of the version.
    async fn files(&self) -> Result<HashSet<String>, QueryError> {
        let version = Arc::clone(&self.version);
        super::look(self.request.catalog.as_ref(), move |objects| {
            let live = super::plan::live(objects, &version, None, false)?;
            Ok(live.into_iter().map(|(entry, _)| entry.file_path().to_owned()).collect())
        })
        .await
    }
}

/// The rows of a query into a table.
///
/// # Errors
/// The query's; its columns do not fit those of the table (`columns`: those that are given, all without).
pub async fn insert(writing: &Writing<'_>, columns: Option<&[String]>, sql: String) -> Result<Changed, QueryError> {
    let schema = arrow_schema(&writing.version.schema);
    let places = match columns {
        None => (0..schema.fields().len()).collect(),
        Some(names) => places(&schema, names)?,
    };
    let mut writer = writing.writer()?;
    let mut stream = writing.engine.query(writing.query(sql)).await?;
    let given = Arc::clone(stream.schema());
    let wanted: Vec<&Field> = places.iter().map(|place| schema.field(*place)).collect();
    check_types(
        "Insert query has mismatched column types: Table",
        "Query",
        &wanted,
        given.fields().iter().map(|field| field.data_type()),
    )?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let arrays =
            schema.fields().iter().enumerate().map(|(index, field)| match places.iter().position(|place| *place == index) {
                Some(place) => assigned(batch.column(place), field),
                None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
            });
        let arrays = arrays.collect::<Result<Vec<_>, QueryError>>()?;
        writer.write(&rows(&schema, arrays)?).await?;
    }
    let rows = writer.rows();
    let change = Change::append(Arc::clone(&writing.version), writer.finish().await?);
    Ok(Changed { change, rows })
}

fn places(schema: &Schema, names: &[String]) -> Result<Vec<usize>, QueryError> {
    let mut places = Vec::with_capacity(names.len());
    for name in names {
        let Some((place, _)) = schema.fields().find(name) else {
            return Err(named("COLUMN_NOT_FOUND", format!("Insert column name does not exist in target table: {name}")));
        };
        if places.contains(&place) {
            return Err(named("SYNTAX_ERROR", format!("line 1:1: Insert column name is specified more than once: {name}")));
        }
        places.push(place);
    }
    Ok(places)
}

fn rows(schema: &Arc<Schema>, arrays: Vec<ArrayRef>) -> Result<RecordBatch, QueryError> {
    RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|error| QueryError::Internal(error.to_string()))
}

/// Values as those of a column.
pub(super) fn assigned(array: &ArrayRef, to: &Field) -> Result<ArrayRef, QueryError> {
    assign::assigned(array, to.data_type()).map_err(|error| QueryError::InvalidCast(format!("column '{}': {error}", to.name())))
}

/// Whether all types can be assigned to their columns (Trino: `StatementAnalyzer`, "typesMatchForInsert").
pub(super) fn check_types<'t>(
    what: &str,
    whose: &str,
    columns: &[&Field],
    types: impl Iterator<Item = &'t DataType>,
) -> Result<(), QueryError> {
    let types: Vec<&DataType> = types.collect();
    let fits = types.len() == columns.len() && columns.iter().zip(&types).all(|(column, of)| assignable(of, column.data_type()));
    if fits {
        return Ok(());
    }
    let list = |of: Vec<String>| of.join(", ");
    let table = list(columns.iter().map(|column| trino_type(column.data_type())).collect());
    let query = list(types.iter().map(|of| trino_type(of)).collect());
    Err(named("TYPE_MISMATCH", format!("line 1:1: {what}: [{table}], {whose}: [{query}]")))
}

fn assignable(from: &DataType, to: &DataType) -> bool {
    let (from, to) = (TrinoType::of_arrow(from), TrinoType::of_arrow(to));
    // A column of Iceberg's `time` is a text to queries.
    assign::assignable(&from, &to) || matches!((from, to), (TrinoType::Time(_), TrinoType::Varchar(_)))
}

/// Takes the rows out for which a condition holds.
///
/// # Errors
/// The condition's.
pub async fn delete(writing: &Writing<'_>, condition: &Condition) -> Result<Changed, QueryError> {
    let Some(sql) = &condition.sql else {
        let (removed, rows) = (writing.files().await?, writing.count().await?);
        let base = Arc::clone(&writing.version);
        let change = Change { base, operation: Operation::Delete, added: Vec::new(), removed, guard: Guard::Anything };
        return Ok(Changed { change, rows });
    };
    match rewrite(writing, sql, condition.once, &[]).await {
        Ok(changed) => Ok(changed),
        Err(error) => Err(located(writing, error, Some(sql), &[]).await),
    }
}

/// Gives columns new values in the rows for which a condition holds.
///
/// # Errors
/// The condition's and the values'; they do not fit the columns.
pub async fn update(writing: &Writing<'_>, sets: &[(String, String)], condition: &Condition) -> Result<Changed, QueryError> {
    let sql = condition.sql.as_deref().unwrap_or("TRUE");
    match rewrite(writing, sql, condition.once, sets).await {
        Ok(changed) => Ok(changed),
        Err(error) => Err(located(writing, error, condition.sql.as_deref(), sets).await),
    }
}

/// An error with its place in the statement, where planning its expressions alone, at their places, gives one.
async fn located(writing: &Writing<'_>, error: QueryError, condition: Option<&str>, sets: &[(String, String)]) -> QueryError {
    if error.position().is_none() {
        return error;
    }
    // As short as the statement may have it.
    let plain = |name: &str| match name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        true => name.to_owned(),
        false => quote_identifier(name),
    };
    let (database, name) = (&writing.table.database, plain(&writing.table.name));
    let own = writing.request.database.as_ref() == Some(database);
    let table = if own { name } else { format!("{}.{name}", plain(database)) };
    let values = sets.iter().filter_map(|(_, value)| Some(format!("{} FROM {table}", overlaid("SELECT", value)?)));
    let condition = condition.and_then(|condition| overlaid(&format!("SELECT*FROM {table} WHERE"), condition));
    for sql in values.chain(condition) {
        if let Err(found) = writing.engine.describe(writing.query(sql)).await
            && found.position().is_some()
        {
            return found;
        }
    }
    error
}

/// `text` with `beginning` among the blanks before it, so that it keeps its place; `None`: they are too few.
fn overlaid(beginning: &str, text: &str) -> Option<String> {
    let blank = text.len() - text.trim_start().len();
    let (blanks, rest) = text.split_at(blank);
    let mut start = 0;
    for line in blanks.split_inclusive('\n') {
        if line.len() > beginning.len() {
            let end = start + beginning.len();
            return Some(format!("{}{beginning}{}{rest}", &blanks[..start], &blanks[end..]));
        }
        start += line.len();
    }
    None
}

/// Replaces the files that have rows for which `condition` holds: those rows get `sets`' values, or go where there are none.
async fn rewrite(writing: &Writing<'_>, condition: &str, once: bool, sets: &[(String, String)]) -> Result<Changed, QueryError> {
    let schema = arrow_schema(&writing.version.schema);
    let names: Vec<String> = sets.iter().map(|(name, _)| name.to_lowercase()).collect();
    for name in &names {
        if schema.fields().find(name).is_none() {
            return Err(named("COLUMN_NOT_FOUND", format!("line 1:1: The UPDATE SET target column {name} doesn't exist")));
        }
    }
    let targets = places(&schema, &names)?;
    let seen = Arc::<Mutex<Seen>>::default();
    let files: HashSet<String> =
        if once { writing.files().await? } else { writing.hits(condition, &seen).await?.into_keys().collect() };
    let guard = {
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &seen.pruner {
            // Scanned once, under conditions that are all that was asked.
            Some(pruner) if seen.scans == 1 => Guard::Matching(Arc::clone(pruner)),
            _ => Guard::Anything,
        }
    };
    let base = Arc::clone(&writing.version);
    // New values are looked at whatever the data.
    if files.is_empty() && sets.is_empty() {
        let change = Change { base, operation: Operation::Overwrite, added: Vec::new(), removed: HashSet::new(), guard };
        return Ok(Changed { change, rows: 0 });
    }
    let sql = rewritten(writing, condition, sets);
    let mut writer = writing.writer()?;
    let mut hits = 0u64;
    let removed = files.clone();
    let mut stream = writing.open(sql, writing.given(Some(Arc::new(files)), None)).await?;
    let width = schema.fields().len();
    if !sets.is_empty() {
        let wanted: Vec<&Field> = targets.iter().map(|place| schema.field(*place)).collect();
        let types = stream.schema().fields().iter().skip(width).take(sets.len()).map(|field| field.data_type());
        check_types("UPDATE table column types don't match SET expressions: Table", "Expressions", &wanted, types)?;
    }
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let found = batch.column(width + sets.len()).as_boolean();
        hits += found.true_count() as u64;
        let mut arrays: Vec<ArrayRef> = batch.columns()[..width].to_vec();
        for (index, place) in targets.iter().enumerate() {
            let value = assigned(batch.column(width + index), schema.field(*place))?;
            arrays[*place] = zip(found, &value, &arrays[*place]).map_err(|error| QueryError::Internal(error.to_string()))?;
        }
        let batch = rows(&schema, arrays)?;
        if !sets.is_empty() {
            writer.write(&batch).await?;
            continue;
        }
        let kept: BooleanArray = not(found).map_err(|error| QueryError::Internal(error.to_string()))?;
        let kept = filter_record_batch(&batch, &kept).map_err(|error| QueryError::Internal(error.to_string()))?;
        writer.write(&kept).await?;
    }
    let added = writer.finish().await?;
    let operation = if added.is_empty() { Operation::Delete } else { Operation::Overwrite };
    let mut change = Change { base, operation, added, removed, guard };
    if hits == 0 {
        // Nothing was concerned after all: what was read stays as it is.
        change.added.clear();
        change.removed.clear();
    }
    Ok(Changed { change, rows: hits })
}

/// All columns, the new values where the condition holds, and whether it does.
fn rewritten(writing: &Writing<'_>, condition: &str, sets: &[(String, String)]) -> String {
    let alias = quote_identifier(&writing.table.name);
    let hit = quote_identifier(HIT);
    let columns = writing.columns();
    let columns = columns.iter().map(|name| format!("{alias}.{}", quote_identifier(name)));
    let values = sets.iter().map(|(_, value)| format!("CASE WHEN {alias}.{hit} THEN ({value}) END"));
    let outputs: Vec<String> = columns
        .chain(values)
        .chain([format!("{alias}.{hit}")])
        .enumerate()
        .map(|(index, sql)| format!("{sql} AS \"{index}\""))
        .collect();
    format!(
        "SELECT {} FROM (SELECT *, coalesce(({condition}), FALSE) AS {hit} FROM {}) AS {alias}",
        outputs.join(", "),
        writing.target_sql(&writing.table.name)
    )
}

/// Whether a text of SQL could answer otherwise a second time.
pub fn asks_once(sql: &str) -> bool {
    let lower = sql.to_lowercase();
    ["select", "random", "rand(", "uuid(", "shuffle"].iter().any(|word| lower.contains(word))
}

/// The columns that a query would give a new table.
///
/// # Errors
/// What is wrong with the query; a column without a name, or two of one name.
pub async fn new_columns(engine: &Engine, request: QueryRequest) -> Result<Vec<(String, DataType)>, QueryError> {
    engine.named_columns(request).await
}
