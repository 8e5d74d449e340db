//! MERGE.
//!
//! The source is read once and kept in memory, so that all queries see the same rows. The first query finds which rows of the table are matched with an
//! action, and that none is matched twice; the second reads the files that have such rows and replaces them; the third finds the source's rows
//! that no row of the table matches.

use super::change::{Changed, Writing, assigned, check_types};
use super::commit::{Change, Guard};
use super::named;
use super::schema::arrow_schema;
use crate::query::QueryError;
use crate::query::plan::Given;
use crate::scan::Hidden;
use crate::sql::quote_identifier;
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::MemoryConsumer;
use futures::StreamExt;
use iceberg::spec::Operation;
use std::collections::HashSet;
use std::sync::Arc;

/// What happens to a row of the table that the source matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matched {
    /// It goes.
    Delete,
    /// Columns (in lower case) get values (SQL text).
    Update(Vec<(String, String)>),
}

/// A row of the source becomes one of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insertion {
    /// In lower case; `None`: all, in their order.
    pub columns: Option<Vec<String>>,
    /// SQL text of each.
    pub values: Vec<String>,
}

/// `MERGE INTO t [AS] alias USING source ON condition WHEN …`: of the clauses of a kind, the first one that fits a row counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merging {
    /// The name by which expressions know the table.
    pub alias: String,
    /// SQL text of the source: a table's name, or a query in parentheses.
    pub source: String,
    /// The name by which expressions know the source.
    pub source_alias: String,
    /// What the source's columns are called; empty: as they are.
    pub source_columns: Vec<String>,
    /// SQL text.
    pub condition: String,
    /// `WHEN MATCHED [AND …]`
    pub matched: Vec<(Option<String>, Matched)>,
    /// `WHEN NOT MATCHED [AND …]`
    pub not_matched: Vec<(Option<String>, Insertion)>,
}

const SOURCE: &str = "$source";
const PRESENT: &str = "$present";
const CASE: &str = "$case";
const ROW: &str = "$row";

/// A source larger than this is refused. Bytes.
const SOURCE_BYTES_MAX: usize = 256 << 20;

struct Merge<'a, 'w> {
    writing: &'a Writing<'w>,
    merging: &'a Merging,
    source: Arc<MemTable>,
    schema: SchemaRef,
}

/// Carries a MERGE out.
///
/// # Errors
/// `MERGE_TARGET_ROW_MULTIPLE_MATCHES`; those of its expressions; values do not fit their columns.
pub async fn merge(writing: &Writing<'_>, merging: &Merging) -> Result<Changed, QueryError> {
    // What the source keeps is given back at the end.
    let (source, _held) = source(writing, merging).await?;
    let schema = arrow_schema(&writing.version.schema);
    let mut merge = Merge { writing, merging, source, schema };
    let removed = if merging.matched.is_empty() { HashSet::new() } else { merge.matched_files().await? };
    let mut writer = writing.writer()?;
    let mut rows = 0;
    if !merging.matched.is_empty() {
        // Without files, too: what is wrong with the statement is wrong whatever the data.
        rows += merge.rewrite(&mut writer, removed.clone()).await?;
    }
    if !merging.not_matched.is_empty() {
        rows += merge.insert(&mut writer).await?;
    }
    let change = Change {
        base: Arc::clone(&writing.version),
        operation: Operation::Overwrite,
        added: writer.finish().await?,
        removed,
        guard: Guard::Anything,
    };
    Ok(Changed { change, rows })
}

async fn source(
    writing: &Writing<'_>,
    merging: &Merging,
) -> Result<(Arc<MemTable>, datafusion::execution::memory_pool::MemoryReservation), QueryError> {
    let text = merging.source.trim();
    let mut alias = quote_identifier(&merging.source_alias);
    if !merging.source_columns.is_empty() {
        let columns: Vec<String> = merging.source_columns.iter().map(|name| quote_identifier(name)).collect();
        alias = format!("{alias}({})", columns.join(", "));
    }
    let sql = format!("SELECT * FROM {text} AS {alias}");
    let mut stream = writing.engine.query_over(writing.query(sql), writing.given(None, None)).await?;
    let held = MemoryConsumer::new("merge source").register(&writing.engine.memory_pool());
    let fields = stream.schema().fields().iter().map(|field| field.as_ref().clone().with_name(field.name().to_lowercase()));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        held.try_grow(batch.get_array_memory_size()).map_err(QueryError::from_execution)?;
        if held.size() > SOURCE_BYTES_MAX {
            let message = format!("the source of MERGE has more than {SOURCE_BYTES_MAX} bytes: merge it in parts");
            return Err(QueryError::ExceededMemory(message));
        }
        batches.push(batch.with_schema(Arc::clone(&schema)).map_err(|error| QueryError::Internal(error.to_string()))?);
    }
    let table = MemTable::try_new(schema, vec![batches]).map_err(QueryError::from_execution)?;
    Ok((Arc::new(table), held))
}

/// `CASE WHEN condition THEN 0 … ELSE -1 END`
fn first_fitting<'c>(clauses: impl Iterator<Item = &'c Option<String>>) -> String {
    let cases =
        clauses.enumerate().map(|(index, condition)| format!("WHEN ({}) THEN {index}", condition.as_deref().unwrap_or("TRUE")));
    format!("CASE {} ELSE -1 END", cases.collect::<Vec<_>>().join(" "))
}

impl Merge<'_, '_> {
    fn given(&self, restricted: Option<Arc<HashSet<String>>>) -> Given {
        let mut given = self.writing.given(restricted, None);
        let source: Arc<dyn TableProvider> = Arc::clone(&self.source) as _;
        let name = (self.writing.table.database.clone(), format!("{}{SOURCE}", self.writing.table.name));
        given.insert(name, Arc::new(move |_: &Hidden| Arc::clone(&source)));
        given
    }

    fn source_sql(&self) -> String {
        let name = quote_identifier(&format!("{}{SOURCE}", self.writing.table.name));
        format!("{}.{name}", quote_identifier(&self.writing.table.database))
    }

    fn alias(&self) -> String {
        quote_identifier(&self.merging.alias)
    }

    /// The source with a column that is there for each of its rows.
    fn present_source(&self) -> String {
        let (present, alias) = (quote_identifier(PRESENT), quote_identifier(&self.merging.source_alias));
        format!("(SELECT *, TRUE AS {present} FROM {}) AS {alias}", self.source_sql())
    }

    /// The files that have rows which are matched with an action.
    async fn matched_files(&mut self) -> Result<HashSet<String>, QueryError> {
        let (alias, row, case) = (self.alias(), quote_identifier(ROW), quote_identifier(CASE));
        let table = self.writing.target_sql(&self.merging.alias);
        let sql = format!(
            "SELECT \"$file\", {row}, count(*) FROM (\
             SELECT {alias}.\"$file\", {alias}.{row}, {cases} AS {case} \
             FROM (SELECT *, \"$path\" AS \"$file\", row_number() OVER () AS {row} FROM {table}) AS {alias} \
             JOIN {source} AS {source_alias} ON ({condition})\
             ) AS matches WHERE {case} >= 0 GROUP BY \"$file\", {row}",
            cases = first_fitting(self.merging.matched.iter().map(|(condition, _)| condition)),
            source = self.source_sql(),
            source_alias = quote_identifier(&self.merging.source_alias),
            condition = self.merging.condition,
        );
        let mut files = HashSet::new();
        let given = self.given(None);
        let mut stream = self.writing.open(sql, given).await?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if batch.column(2).as_primitive::<Int64Type>().iter().flatten().any(|count| count > 1) {
                let message = "One MERGE target table row matched more than one source row";
                return Err(named("MERGE_TARGET_ROW_MULTIPLE_MATCHES", message));
            }
            for path in batch.column(0).as_string::<i32>().iter().flatten() {
                if !files.contains(path) {
                    files.insert(path.to_owned());
                }
            }
        }
        Ok(files)
    }

    /// Writes the rows of `files` anew; answers how many were changed or removed.
    async fn rewrite(&mut self, writer: &mut super::write::DataWriter, files: HashSet<String>) -> Result<u64, QueryError> {
        let sql = self.rewritten();
        let schema = Arc::clone(&self.schema);
        let width = schema.fields().len();
        let mut changed = 0u64;
        let given = self.given(Some(Arc::new(files)));
        let matched = &self.merging.matched;
        let updates = matched.iter().map(|(_, action)| match action {
            Matched::Delete => Ok(Vec::new()),
            Matched::Update(sets) => set_places(&schema, sets),
        });
        let updates = updates.collect::<Result<Vec<_>, _>>()?;
        let mut stream = self.writing.open(sql, given).await?;
        let mut types = stream.schema().fields().iter().skip(width).map(|field| field.data_type());
        for places in updates.iter().filter(|places| !places.is_empty()) {
            let wanted: Vec<&Field> = places.iter().map(|place| schema.field(*place)).collect();
            let what = "MERGE table column types don't match SET expressions: Table";
            check_types(what, "Expressions", &wanted, types.by_ref().take(wanted.len()))?;
        }
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let cases = batch.column(batch.num_columns() - 1).clone();
            let mut arrays: Vec<ArrayRef> = batch.columns()[..width].to_vec();
            let mut gone = BooleanArray::from(vec![false; batch.num_rows()]);
            let mut next = width;
            for (index, ((_, action), places)) in matched.iter().zip(&updates).enumerate() {
                let concerned = is_case(&cases, index)?;
                changed += concerned.true_count() as u64;
                match action {
                    Matched::Delete => gone = arrow::compute::or(&gone, &concerned).map_err(internal)?,
                    Matched::Update(_) => {
                        for place in places {
                            let value = assigned(batch.column(next), schema.field(*place))?;
                            arrays[*place] = zip(&concerned, &value, &arrays[*place]).map_err(internal)?;
                            next += 1;
                        }
                    }
                }
            }
            let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(internal)?;
            let kept = filter_record_batch(&batch, &not(&gone).map_err(internal)?).map_err(internal)?;
            writer.write(&kept).await?;
        }
        Ok(changed)
    }

    /// All columns, the new values of each clause where it is the row's, and which clause that is.
    fn rewritten(&self) -> String {
        let (alias, case) = (self.alias(), quote_identifier(CASE));
        let present = format!("{}.{}", quote_identifier(&self.merging.source_alias), quote_identifier(PRESENT));
        let cases = first_fitting(self.merging.matched.iter().map(|(condition, _)| condition));
        let case_sql = format!("CASE WHEN {present} IS NULL THEN -1 ELSE {cases} END");
        let columns = self.writing.columns();
        let columns = columns.iter().map(|name| format!("{alias}.{}", quote_identifier(name)));
        let values = self.merging.matched.iter().enumerate().flat_map(|(index, (_, action))| {
            let sets: &[(String, String)] = match action {
                Matched::Delete => &[],
                Matched::Update(sets) => sets,
            };
            let case_sql = &case_sql;
            sets.iter().map(move |(_, value)| format!("CASE WHEN {case_sql} = {index} THEN ({value}) END"))
        });
        let outputs = columns.chain(values).enumerate().map(|(index, sql)| format!("{sql} AS \"{index}\""));
        format!(
            "SELECT {outputs}, {case_sql} AS {case} FROM {table} LEFT JOIN {source} ON ({condition}) AND ({cases}) >= 0",
            outputs = outputs.collect::<Vec<_>>().join(", "),
            table = self.writing.target_sql(&self.merging.alias),
            source = self.present_source(),
            condition = self.merging.condition,
        )
    }

    /// Writes the source's rows that nothing matches; answers how many.
    async fn insert(&mut self, writer: &mut super::write::DataWriter) -> Result<u64, QueryError> {
        let case = quote_identifier(CASE);
        let cases = first_fitting(self.merging.not_matched.iter().map(|(condition, _)| condition));
        let values = self.merging.not_matched.iter().enumerate().flat_map(|(index, (_, insertion))| {
            let cases = &cases;
            insertion.values.iter().map(move |value| format!("CASE WHEN {cases} = {index} THEN ({value}) END"))
        });
        let outputs: Vec<String> = values.enumerate().map(|(index, sql)| format!("{sql} AS \"{index}\"")).collect();
        let sql = format!(
            "SELECT {outputs}, {cases} AS {case} FROM {source} AS {source_alias} \
             WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {condition})",
            outputs = outputs.join(", "),
            source = self.source_sql(),
            source_alias = quote_identifier(&self.merging.source_alias),
            table = self.writing.target_sql(&self.merging.alias),
            condition = self.merging.condition,
        );
        let schema = Arc::clone(&self.schema);
        let given = self.given(None);
        let clauses = &self.merging.not_matched;
        let before = writer.rows();
        let mut stream = self.writing.open(sql, given).await?;
        let mut types = stream.schema().fields().iter().map(|field| field.data_type());
        let mut targets = Vec::with_capacity(clauses.len());
        for (_, insertion) in clauses {
            let places = insertion_places(&schema, insertion)?;
            let wanted: Vec<&Field> = places.iter().map(|place| schema.field(*place)).collect();
            let what = "MERGE table column types don't match for INSERT: Table";
            check_types(what, "Query", &wanted, types.by_ref().take(insertion.values.len()))?;
            targets.push(places);
        }
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let cases = batch.column(batch.num_columns() - 1).clone();
            let mut next = 0;
            for (index, places) in targets.iter().enumerate() {
                let own = inserted(&schema, &batch, places, &mut next)?;
                writer.write(&filter_record_batch(&own, &is_case(&cases, index)?).map_err(internal)?).await?;
            }
        }
        Ok(writer.rows() - before)
    }
}

/// The columns that a clause gives values.
fn insertion_places(schema: &Schema, insertion: &Insertion) -> Result<Vec<usize>, QueryError> {
    match &insertion.columns {
        None => Ok((0..schema.fields().len()).collect()),
        Some(names) => set_places(schema, &names.iter().map(|name| (name.clone(), String::new())).collect::<Vec<_>>()),
    }
}

/// The rows that a clause makes of the batch, whose values for it begin at `next`.
fn inserted(schema: &SchemaRef, batch: &RecordBatch, places: &[usize], next: &mut usize) -> Result<RecordBatch, QueryError> {
    let mut arrays: Vec<ArrayRef> =
        schema.fields().iter().map(|field| new_null_array(field.data_type(), batch.num_rows())).collect();
    for place in places {
        arrays[*place] = assigned(batch.column(*next), schema.field(*place))?;
        *next += 1;
    }
    RecordBatch::try_new(Arc::clone(schema), arrays).map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> QueryError {
    QueryError::Internal(error.to_string())
}

fn is_case(cases: &ArrayRef, index: usize) -> Result<BooleanArray, QueryError> {
    let cases = arrow::compute::cast(cases, &DataType::Int64).map_err(internal)?;
    let wanted = arrow::array::Int64Array::new_scalar(i64::try_from(index).map_err(internal)?);
    eq(&cases, &wanted).map_err(internal)
}

fn set_places(schema: &Schema, sets: &[(String, String)]) -> Result<Vec<usize>, QueryError> {
    let mut places = Vec::with_capacity(sets.len());
    for (name, _) in sets {
        let name = name.to_lowercase();
        let found = schema.fields().find(&name).map(|(place, _)| place);
        let place = found.ok_or_else(|| {
            named("COLUMN_NOT_FOUND", format!("line 1:1: Merge column name does not exist in target table: {name}"))
        })?;
        if places.contains(&place) {
            return Err(named("SYNTAX_ERROR", format!("line 1:1: Merge column name is specified more than once: {name}")));
        }
        places.push(place);
    }
    Ok(places)
}
