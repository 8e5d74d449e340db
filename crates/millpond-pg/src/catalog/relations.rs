//! The lake's databases, tables and columns as rows of `pg_catalog`.
//!
//! Namespaces are databases; relations are tables and views, beside those of `pg_catalog` itself. All tables of one statement show the lake as it
//! was when the first of them was asked for. What a lake never has (indexes, constraints, sequences, …) is an empty table: [`EMPTY`]. The rest
//! (types, casts, operators) is as `datafusion-pg-catalog` ships it.

use super::table::{Cells, batch, numbers, texts};
use crate::rows::pg_type;
use crate::settings::Session;
use crate::text::Kind::Symbol;
use crate::text::{name_of, tokens};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemTable, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::datasource::empty::EmptyTable;
use millpond_core::catalog::{Column, Table};
use millpond_engine::query::view;
use millpond_engine::table::TableSource;
use millpond_engine::types::{TrinoType, arrow_type};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;

/// Tables of `pg_catalog` that have no row about anything of a lake.
pub(super) const EMPTY: &[&str] = &[
    "pg_attrdef",
    "pg_auth_members",
    "pg_collation",
    "pg_constraint",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_depend",
    "pg_enum",
    "pg_foreign_table",
    "pg_index",
    "pg_inherits",
    "pg_matviews",
    "pg_partitioned_table",
    "pg_policy",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_rewrite",
    "pg_seclabel",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_trigger",
];

/// The number that PostgreSQL gives the namespace `pg_catalog`, which rows of `pg_type` refer to.
const PG_CATALOG: i32 = 11;
/// The owner of everything.
const OWNER: i32 = 10;
/// The first number of what a user makes; PostgreSQL's own are below.
const FIRST: i32 = 16_384;
/// Below them those of the relations of `pg_catalog` that clients know no number of.
const FIRST_OWN: i32 = 12_000;

/// Numbers of PostgreSQL's own relations that rows of its catalog refer to (its source, `CATALOG(…)` of each header).
const KNOWN: &[(&str, i32)] = &[
    ("pg_type", 1247),
    ("pg_attribute", 1249),
    ("pg_proc", 1255),
    ("pg_class", 1259),
    ("pg_authid", 1260),
    ("pg_database", 1262),
    ("pg_constraint", 2606),
    ("pg_description", 2609),
    ("pg_namespace", 2615),
];

/// A relation's kind (PostgreSQL documentation, `pg_class.relkind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    View,
}

#[derive(Debug)]
struct Namespace {
    oid: i32,
    name: String,
    comment: Option<String>,
}

#[derive(Debug)]
struct Relation {
    oid: i32,
    namespace: usize,
    name: String,
    kind: Kind,
    comment: Option<String>,
    /// A view's query.
    query: Option<String>,
    columns: Vec<Attribute>,
}

#[derive(Debug)]
struct Attribute {
    name: String,
    type_oid: u32,
    length: i16,
    modifier: i32,
    comment: Option<String>,
}

/// The numbers of namespaces and relations, which stay as long as they are there and the server runs.
#[derive(Debug, Default)]
pub(super) struct Oids(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    given: i32,
    databases: HashMap<String, i32>,
    tables: HashMap<(String, String), i32>,
}

impl Numbers {
    fn next(&mut self) -> i32 {
        self.given += 1;
        FIRST + self.given - 1
    }
}

/// The lake as one statement sees it.
#[derive(Debug)]
pub(super) struct Snapshot {
    namespaces: Vec<Namespace>,
    relations: Vec<Arc<Relation>>,
    by_oid: HashMap<i32, usize>,
}

impl Snapshot {
    async fn read(source: &dyn TableSource, oids: &Oids, own: &[Arc<Relation>]) -> DfResult<Self> {
        let external = |error| DataFusionError::External(Box::new(error));
        let mut databases = Vec::new();
        for database in source.databases().await.map_err(external)? {
            let tables = source.tables(&database.name).await.map_err(external)?;
            databases.push((database, tables));
        }
        let mut numbers = oids.0.lock().expect("nothing panics while it holds the numbers");
        let mut old = std::mem::take(&mut *numbers);
        numbers.given = old.given;
        let mut namespaces = vec![Namespace { oid: PG_CATALOG, name: "pg_catalog".into(), comment: None }];
        let mut relations = own.to_vec();
        for (database, tables) in databases {
            let oid = old.databases.remove(&database.name).unwrap_or_else(|| numbers.next());
            numbers.databases.insert(database.name.clone(), oid);
            for table in tables {
                let key = (database.name.clone(), table.name.clone());
                let oid = old.tables.remove(&key).unwrap_or_else(|| numbers.next());
                numbers.tables.insert(key, oid);
                relations.push(Arc::new(Relation::of(oid, namespaces.len(), table)));
            }
            namespaces.push(Namespace { oid, name: database.name, comment: database.description });
        }
        let by_oid = relations.iter().enumerate().map(|(place, relation)| (relation.oid, place)).collect();
        Ok(Self { namespaces, relations, by_oid })
    }

    fn relation(&self, oid: i32) -> Option<&Relation> {
        self.by_oid.get(&oid).map(|place| self.relations[*place].as_ref())
    }

    /// Whether the relation is found by its name alone where `database` is the session's.
    pub(super) fn is_visible(&self, oid: i32, database: &str) -> Option<bool> {
        let namespace = self.relation(oid)?.namespace;
        Some(namespace == 0 || self.namespaces[namespace].name == database)
    }

    /// The relation of a name as SQL writes it, with its namespace or without: `database`'s then, or one of `pg_catalog`.
    pub(super) fn find(&self, name: &str, database: &str) -> Option<i32> {
        let tokens = tokens(name);
        let parts: Vec<String> = tokens.iter().filter(|token| token.kind != Symbol).map(|token| name_of(name, token)).collect();
        let find = |namespace: &str, table: &str| {
            let is_it =
                |relation: &&Arc<Relation>| relation.name == table && self.namespaces[relation.namespace].name == namespace;
            self.relations.iter().find(is_it).map(|relation| relation.oid)
        };
        match parts.as_slice() {
            [table] => find(database, table).or_else(|| find("pg_catalog", table)),
            [namespace, table] | [_, namespace, table] => find(namespace, table),
            _ => None,
        }
    }

    /// A relation's name, with its namespace where it is not found without.
    pub(super) fn name(&self, oid: i32, database: &str) -> Option<String> {
        let relation = self.relation(oid)?;
        Some(match self.is_visible(oid, database)? {
            true => relation.name.clone(),
            false => format!("{}.{}", self.namespaces[relation.namespace].name, relation.name),
        })
    }

    /// The comment of a relation (`pg_class`) or a namespace (`pg_namespace`).
    pub(super) fn comment(&self, oid: i32, of: Option<&str>) -> Option<&str> {
        match of {
            Some("pg_namespace") => self.namespaces.iter().find(|namespace| namespace.oid == oid)?.comment.as_deref(),
            Some("pg_class") | None => self.relation(oid)?.comment.as_deref(),
            Some(_) => None,
        }
    }

    /// The comment of a column; `number` counts from 1.
    pub(super) fn column_comment(&self, oid: i32, number: i32) -> Option<&str> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.relation(oid)?.columns.get(place)?.comment.as_deref()
    }

    /// The query of a view.
    pub(super) fn view(&self, oid: i32) -> Option<&str> {
        self.relation(oid)?.query.as_deref()
    }

    fn namespace(&self, schema: SchemaRef) -> DfResult<RecordBatch> {
        let of = &self.namespaces;
        let cells: Cells = vec![
            ("oid", numbers(of, |namespace| namespace.oid)),
            ("nspname", texts(of, |namespace| Some(namespace.name.clone()))),
            ("nspowner", numbers(of, |_| OWNER)),
        ];
        batch(schema, of.len(), cells)
    }

    fn class(&self, schema: SchemaRef) -> DfResult<RecordBatch> {
        let of = &self.relations;
        let kind = |relation: &Arc<Relation>| if relation.kind == Kind::View { "v" } else { "r" };
        let cells: Cells = vec![
            ("oid", numbers(of, |relation| relation.oid)),
            ("relname", texts(of, |relation| Some(relation.name.clone()))),
            ("relnamespace", numbers(of, |relation| self.namespaces[relation.namespace].oid)),
            ("reloftype", numbers(of, |_| 0)),
            ("relowner", numbers(of, |_| OWNER)),
            ("relpersistence", texts(of, |_| Some("p".into()))),
            ("relkind", texts(of, |relation| Some(kind(relation).into()))),
            ("relnatts", numbers(of, |relation| relation.columns.len() as i32)),
            // PostgreSQL documentation, `pg_class.reltuples`: -1 where it is not known.
            ("reltuples", numbers(of, |_| -1)),
            ("relhasrules", texts(of, |relation| Some((relation.kind == Kind::View).to_string()))),
            ("relispopulated", texts(of, |_| Some("true".into()))),
            ("relreplident", texts(of, |_| Some("n".into()))),
        ];
        batch(schema, of.len(), cells)
    }

    fn attribute(&self, schema: SchemaRef) -> DfResult<RecordBatch> {
        let count = self.relations.iter().map(|relation| relation.columns.len()).sum();
        let mut all: Vec<(i32, usize, &Attribute)> = Vec::with_capacity(count);
        for relation in &self.relations {
            all.extend(relation.columns.iter().enumerate().map(|(place, column)| (relation.oid, place + 1, column)));
        }
        let cells: Cells = vec![
            ("attrelid", numbers(&all, |(relation, _, _)| *relation)),
            ("attname", texts(&all, |(_, _, column)| Some(column.name.clone()))),
            ("atttypid", numbers(&all, |(_, _, column)| column.type_oid.cast_signed())),
            ("attstattarget", numbers(&all, |_| -1)),
            ("attlen", numbers(&all, |(_, _, column)| i32::from(column.length))),
            ("attnum", numbers(&all, |(_, number, _)| *number as i32)),
            ("attcacheoff", numbers(&all, |_| -1)),
            ("atttypmod", numbers(&all, |(_, _, column)| column.modifier)),
            ("attbyval", texts(&all, |(_, _, column)| Some((1..=8).contains(&column.length).to_string()))),
            ("attalign", texts(&all, |_| Some("i".into()))),
            ("attstorage", texts(&all, |(_, _, column)| Some(if column.length < 0 { "x" } else { "p" }.into()))),
            ("attislocal", texts(&all, |_| Some("true".into()))),
        ];
        batch(schema, count, cells)
    }

    /// Comments of tables, views, columns and databases.
    fn description(&self, schema: SchemaRef) -> DfResult<RecordBatch> {
        let class = number_of("pg_class");
        let mut all: Vec<(i32, i32, i32, &str)> = Vec::new();
        for namespace in &self.namespaces {
            all.extend(namespace.comment.as_deref().map(|text| (namespace.oid, number_of("pg_namespace"), 0, text)));
        }
        for relation in &self.relations {
            all.extend(relation.comment.as_deref().map(|text| (relation.oid, class, 0, text)));
            for (place, column) in relation.columns.iter().enumerate() {
                all.extend(column.comment.as_deref().map(|text| (relation.oid, class, place as i32 + 1, text)));
            }
        }
        let cells: Cells = vec![
            ("objoid", numbers(&all, |row| row.0)),
            ("classoid", numbers(&all, |row| row.1)),
            ("objsubid", numbers(&all, |row| row.2)),
            ("description", texts(&all, |row| Some(row.3.to_owned()))),
        ];
        batch(schema, all.len(), cells)
    }

    fn tables(&self, schema: SchemaRef, owner: &str) -> DfResult<RecordBatch> {
        let all: Vec<&Arc<Relation>> = self.relations.iter().filter(|relation| relation.kind == Kind::Table).collect();
        let cells: Cells = vec![
            ("schemaname", texts(&all, |relation| Some(self.namespaces[relation.namespace].name.clone()))),
            ("tablename", texts(&all, |relation| Some(relation.name.clone()))),
            ("tableowner", texts(&all, |_| Some(owner.to_owned()))),
        ];
        batch(schema, all.len(), cells)
    }

    fn views(&self, schema: SchemaRef, owner: &str) -> DfResult<RecordBatch> {
        let all: Vec<&Arc<Relation>> = self.relations.iter().filter(|relation| relation.kind == Kind::View).collect();
        let cells: Cells = vec![
            ("schemaname", texts(&all, |relation| Some(self.namespaces[relation.namespace].name.clone()))),
            ("viewname", texts(&all, |relation| Some(relation.name.clone()))),
            ("viewowner", texts(&all, |_| Some(owner.to_owned()))),
            ("definition", texts(&all, |relation| relation.query.clone())),
        ];
        batch(schema, all.len(), cells)
    }
}

fn number_of(known: &str) -> i32 {
    KNOWN.iter().find(|(name, _)| *name == known).map_or(0, |(_, oid)| *oid)
}

impl Relation {
    fn of(oid: i32, namespace: usize, table: Table) -> Self {
        let kind = if view::is_view(&table) { Kind::View } else { Kind::Table };
        let query = (kind == Kind::View).then(|| view::read(&table).ok().map(|view| view.sql)).flatten();
        let columns = table.storage.columns.into_iter().chain(table.partition_keys).map(Attribute::of).collect();
        Self { oid, namespace, name: table.name, kind, comment: table.description, query, columns }
    }
}

impl Attribute {
    /// A column of the lake, with text for what PostgreSQL has no type for.
    fn of(column: Column) -> Self {
        let data_type = arrow_type(&column.data_type).unwrap_or(DataType::Utf8);
        let kind = match TrinoType::parse(&column.data_type) {
            // Trino's words, as views have them, say how long a text is.
            Ok(kind @ (TrinoType::Varchar(_) | TrinoType::Char(_))) => kind,
            _ => TrinoType::of_arrow(&data_type),
        };
        let (pg, length, modifier) = pg_type(&kind, &data_type);
        Self { name: column.name, type_oid: pg.oid(), length, modifier, comment: column.comment }
    }

    fn of_field(field: &Field) -> Self {
        let (pg, length, modifier) = pg_type(&TrinoType::of_field(field), field.data_type());
        Self { name: field.name().clone(), type_oid: pg.oid(), length, modifier, comment: None }
    }
}

/// What is the same for all statements: the tables that `datafusion-pg-catalog` ships, and numbers.
#[derive(Debug)]
pub(super) struct Shipped {
    tables: Arc<dyn SchemaProvider>,
    oids: Oids,
    own: Vec<Arc<Relation>>,
}

impl Shipped {
    /// Takes its tables' names and columns.
    pub(super) async fn new(tables: Arc<dyn SchemaProvider>) -> DfResult<Self> {
        let mut shipped = Self { tables, oids: Oids::default(), own: Vec::new() };
        for (place, name) in shipped.tables.table_names().into_iter().enumerate() {
            let known = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, oid)| *oid);
            let Some(table) = shipped.tables.table(&name).await? else { continue };
            let schema = widened(&name, table.schema());
            let columns = schema.fields().iter().map(|field| Attribute::of_field(field)).collect();
            let oid = known.unwrap_or(FIRST_OWN + place as i32);
            let relation = Relation { oid, namespace: 0, name, kind: Kind::Table, comment: None, query: None, columns };
            shipped.own.push(Arc::new(relation));
        }
        Ok(shipped)
    }
}

/// The columns of PostgreSQL that the shipped tables have not, or with another type.
fn widened(name: &str, schema: SchemaRef) -> SchemaRef {
    let list = || DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let lists: &[&str] = match name {
        "pg_class" => &["relacl", "reloptions"],
        "pg_namespace" => &["nspacl"],
        "pg_attribute" => &["attacl", "attoptions", "attfdwoptions"],
        _ => return schema,
    };
    let kept = schema.fields().iter().filter(|field| !lists.contains(&field.name().as_str())).cloned();
    let added = lists.iter().map(|name| Arc::new(Field::new(*name, list(), true)));
    Arc::new(Schema::new(kept.chain(added).collect::<Vec<_>>()))
}

/// `pg_catalog` as one statement of a session sees it.
#[derive(Debug)]
pub(super) struct Relations {
    shipped: Arc<Shipped>,
    source: Arc<dyn TableSource>,
    session: Session,
    snapshot: OnceCell<Snapshot>,
}

impl Relations {
    pub(super) fn new(shipped: Arc<Shipped>, source: Arc<dyn TableSource>, session: Session) -> Self {
        Self { shipped, source, session, snapshot: OnceCell::new() }
    }

    /// Reads the lake, once.
    pub(super) async fn load(&self) -> DfResult<&Snapshot> {
        self.snapshot.get_or_try_init(|| Snapshot::read(self.source.as_ref(), &self.shipped.oids, &self.shipped.own)).await
    }

    /// The lake, if it has been read.
    pub(super) fn loaded(&self) -> Option<&Snapshot> {
        self.snapshot.get()
    }

    fn roles(&self, schema: SchemaRef) -> DfResult<RecordBatch> {
        let all = [self.session.user.clone()];
        let yes = || texts(&all, |_| Some("true".to_owned()));
        let cells: Cells = vec![
            ("oid", numbers(&all, |_| OWNER)),
            ("rolname", texts(&all, |user| Some(user.clone()))),
            ("rolsuper", texts(&all, |_| Some("false".to_owned()))),
            ("rolinherit", yes()),
            ("rolcanlogin", yes()),
            ("rolconnlimit", numbers(&all, |_| -1)),
        ];
        batch(schema, all.len(), cells)
    }

    fn settings(&self, schema: SchemaRef) -> DfResult<RecordBatch> {
        let all: Vec<(String, String)> = self.session.all().into_iter().collect();
        let cells: Cells = vec![
            ("name", texts(&all, |setting| Some(setting.0.clone()))),
            ("setting", texts(&all, |setting| Some(setting.1.clone()))),
            ("context", texts(&all, |_| Some("user".to_owned()))),
            ("vartype", texts(&all, |_| Some("string".to_owned()))),
            ("source", texts(&all, |_| Some("session".to_owned()))),
        ];
        batch(schema, all.len(), cells)
    }
}

#[async_trait]
impl SchemaProvider for Relations {
    fn table_names(&self) -> Vec<String> {
        self.shipped.tables.table_names()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        let Some(shipped) = self.shipped.tables.table(name).await? else { return Ok(None) };
        let name = name.to_ascii_lowercase();
        let schema = widened(&name, shipped.schema());
        let rows = match name.as_str() {
            name if EMPTY.contains(&name) => return Ok(Some(Arc::new(EmptyTable::new(schema)))),
            "pg_attribute" => self.load().await?.attribute(schema)?,
            "pg_class" => self.load().await?.class(schema)?,
            "pg_description" => self.load().await?.description(schema)?,
            "pg_namespace" => self.load().await?.namespace(schema)?,
            "pg_roles" => self.roles(schema)?,
            "pg_settings" => self.settings(schema)?,
            "pg_tables" => self.load().await?.tables(schema, &self.session.user)?,
            "pg_views" => self.load().await?.views(schema, &self.session.user)?,
            _ => return Ok(Some(shipped)),
        };
        Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.shipped.tables.table_exist(name)
    }
}

/// The one catalog of a statement: `pg_catalog` alone.
#[derive(Debug)]
pub(super) struct OnlyPgCatalog(pub(super) Arc<Relations>);

impl CatalogProvider for OnlyPgCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec!["pg_catalog".to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        (name == "pg_catalog").then(|| Arc::clone(&self.0) as Arc<dyn SchemaProvider>)
    }
}
