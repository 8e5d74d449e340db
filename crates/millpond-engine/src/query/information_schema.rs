//! `information_schema`: what clients ask to find schemas, tables and columns. Answered from the catalog when it is scanned, for those
//! databases and tables only that the query's conditions leave.

use super::catalog::CATALOG;
use super::error::QueryError;
use super::view;
use crate::result::columns::trino_type;
use crate::table::TableSource;
use crate::types::TrinoType;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use millpond_core::catalog::{Column, Table};
use std::sync::Arc;

/// The name of the schema, which every catalog has.
pub(crate) const NAME: &str = "information_schema";

/// What it has.
pub(crate) const TABLES: [&str; 4] = ["columns", "schemata", "tables", "views"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Schemata,
    Tables,
    Views,
    Columns,
}

/// The table of this name.
pub(crate) fn table(name: &str, catalog: &Arc<dyn TableSource>) -> Option<Arc<dyn TableProvider>> {
    let kind = match name {
        "schemata" => Kind::Schemata,
        "tables" => Kind::Tables,
        "views" => Kind::Views,
        "columns" => Kind::Columns,
        _ => return None,
    };
    Some(Arc::new(InformationTable { kind, catalog: Arc::clone(catalog) }))
}

#[derive(Debug)]
struct InformationTable {
    kind: Kind,
    catalog: Arc<dyn TableSource>,
}

impl Kind {
    fn columns(self) -> &'static [(&'static str, DataType)] {
        use DataType::{Int64, Utf8};
        match self {
            Self::Schemata => &[("catalog_name", Utf8), ("schema_name", Utf8)],
            Self::Tables => &[("table_catalog", Utf8), ("table_schema", Utf8), ("table_name", Utf8), ("table_type", Utf8)],
            Self::Views => &[("table_catalog", Utf8), ("table_schema", Utf8), ("table_name", Utf8), ("view_definition", Utf8)],
            Self::Columns => &[
                ("table_catalog", Utf8),
                ("table_schema", Utf8),
                ("table_name", Utf8),
                ("column_name", Utf8),
                ("ordinal_position", Int64),
                ("column_default", Utf8),
                ("is_nullable", Utf8),
                ("data_type", Utf8),
                ("comment", Utf8),
                ("extra_info", Utf8),
            ],
        }
    }
}

/// Columns of texts and numbers that grow row by row.
struct Rows {
    schema: SchemaRef,
    values: Vec<Vec<Option<String>>>,
}

impl Rows {
    fn push(&mut self, row: Vec<Option<String>>) {
        self.values.push(row);
    }

    fn batch(self) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().enumerate().map(|(index, field)| -> ArrayRef {
            let values = self.values.iter().map(|row| row.get(index).cloned().flatten());
            match field.data_type() {
                DataType::Int64 => {
                    Arc::new(values.map(|value| value.and_then(|v| v.parse::<i64>().ok())).collect::<Int64Array>())
                }
                _ => Arc::new(values.collect::<StringArray>()),
            }
        });
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns.collect())?)
    }
}

#[async_trait]
impl TableProvider for InformationTable {
    fn schema(&self) -> SchemaRef {
        let fields = self.kind.columns().iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut rows = Rows { schema: self.schema(), values: Vec::new() };
        self.fill(&mut rows, filters).await?;
        let schema = Arc::clone(&rows.schema);
        let exec = MemorySourceConfig::try_new_exec(&[vec![rows.batch()?]], schema, projection.cloned())?;
        Ok(exec)
    }
}

impl InformationTable {
    async fn fill(&self, rows: &mut Rows, filters: &[Expr]) -> Result<()> {
        let source = |error: crate::table::SourceError| QueryError::from(error);
        let some = |text: &str| Some(text.to_owned());
        if self.kind == Kind::Schemata {
            rows.push(vec![some(CATALOG), some(NAME)]);
            for database in self.catalog.databases().await.map_err(source)? {
                rows.push(vec![some(CATALOG), Some(database.name)]);
            }
            return Ok(());
        }
        let databases = match wanted(filters, "table_schema") {
            Some(names) => names,
            None => self.catalog.databases().await.map_err(source)?.into_iter().map(|database| database.name).collect(),
        };
        let wanted_tables = wanted(filters, "table_name");
        for database in databases {
            match &wanted_tables {
                Some(names) => {
                    for name in names {
                        if let Some(table) = self.catalog.table(&database, name).await.map_err(source)? {
                            self.describe(rows, &table);
                        }
                    }
                }
                None => {
                    for table in self.catalog.tables(&database).await.map_err(source)? {
                        self.describe(rows, &table);
                    }
                }
            }
        }
        Ok(())
    }

    fn describe(&self, rows: &mut Rows, table: &Table) {
        let head = || vec![Some(CATALOG.to_owned()), Some(table.database.clone()), Some(table.name.clone())];
        match self.kind {
            Kind::Schemata => {}
            Kind::Tables => {
                let kind = if view::is_view(table) { "VIEW" } else { "BASE TABLE" };
                let mut row = head();
                row.push(Some(kind.to_owned()));
                rows.push(row);
            }
            Kind::Views => {
                if view::is_view(table) {
                    let mut row = head();
                    row.push(view::read(table).ok().map(|text| text.sql));
                    rows.push(row);
                }
            }
            Kind::Columns => {
                for (index, column) in shown_columns(table).into_iter().enumerate() {
                    let mut row = head();
                    row.extend([
                        Some(column.name),
                        Some((index + 1).to_string()),
                        None,
                        Some("YES".to_owned()),
                        Some(column.data_type),
                        column.comment,
                        column.key.then(|| "partition key".to_owned()),
                    ]);
                    rows.push(row);
                }
            }
        }
    }
}

/// A column as a query sees it.
struct Shown {
    name: String,
    /// Trino's.
    data_type: String,
    comment: Option<String>,
    key: bool,
}

fn shown_columns(table: &Table) -> Vec<Shown> {
    if view::is_view(table)
        && let Ok(text) = view::read(table)
        && !text.columns.is_empty()
    {
        let shown =
            |column: view::ViewColumn| Shown { name: column.name, data_type: column.data_type, comment: None, key: false };
        return text.columns.into_iter().map(shown).collect();
    }
    let iceberg = crate::iceberg::is_iceberg(table);
    let columns = table.storage.columns.iter().filter(|column| !iceberg || crate::iceberg::schema::is_current(column));
    let shown = |column: &Column, key: bool| Shown {
        name: column.name.clone(),
        data_type: type_text(&column.data_type),
        comment: column.comment.clone(),
        key,
    };
    columns.map(|column| shown(column, false)).chain(table.partition_keys.iter().map(|column| shown(column, true))).collect()
}

/// The catalog's type in Trino's words: `varchar(10)` keeps its length.
fn type_text(data_type: &str) -> String {
    match (TrinoType::parse(data_type), crate::types::arrow_type(data_type)) {
        (Ok(simple), _) => simple.to_string(),
        (Err(_), Ok(nested)) => trino_type(&nested),
        (Err(_), Err(_)) => data_type.to_owned(),
    }
}

/// The values that the filters leave for a column, where they name them.
fn wanted(filters: &[Expr], column: &str) -> Option<Vec<String>> {
    filters.iter().find_map(|filter| values(filter, column))
}

fn values(filter: &Expr, column: &str) -> Option<Vec<String>> {
    let is_column = |expr: &Expr| matches!(expr, Expr::Column(found) if found.name == column);
    let text = |expr: &Expr| match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_column(left) => Some(vec![text(right)?]),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_column(right) => Some(vec![text(left)?]),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut all = values(left, column)?;
            all.extend(values(right, column)?);
            Some(all)
        }
        Expr::InList(list) if !list.negated && is_column(&list.expr) => list.list.iter().map(text).collect(),
        _ => None,
    }
}
