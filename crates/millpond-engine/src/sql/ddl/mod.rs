//! Statements that change the catalog.

mod parse;

pub(super) use parse::{alter, create, database_name, distinct, drop, list, location, msck, partition, properties, table_name};

use super::{PartitionSpec, TableName};
use millpond_core::catalog::{Column, Parameters, Table};

/// A condition of `DROP PARTITION (key < 'value', …)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCondition {
    /// Lower case.
    pub key: String,
    /// `=`, `<>`, `<`, `<=`, `>` or `>=`.
    pub op: millpond_core::partition_expr::CompareOp,
    /// As text.
    pub value: String,
}

/// What `ALTER TABLE` does.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterTable {
    /// `ADD [IF NOT EXISTS] PARTITION (…) [LOCATION '…'] …`
    AddPartitions {
        /// Partitions that exist are left as they are.
        if_not_exists: bool,
        /// Values, and the location where one is given.
        partitions: Vec<(PartitionSpec, Option<String>)>,
    },
    /// `DROP [IF EXISTS] PARTITION (…), …`: those for which all conditions of one list hold.
    DropPartitions {
        /// No error where nothing fits.
        if_exists: bool,
        /// Lists of conditions.
        partitions: Vec<Vec<PartitionCondition>>,
    },
    /// `PARTITION (…) RENAME TO PARTITION (…)`
    RenamePartition {
        /// The partition.
        from: PartitionSpec,
        /// Its new values.
        to: PartitionSpec,
    },
    /// `[PARTITION (…)] SET LOCATION '…'`
    SetLocation {
        /// Of one partition only.
        partition: Option<PartitionSpec>,
        /// `s3://bucket/prefix/`
        location: String,
    },
    /// `SET TBLPROPERTIES (…)`
    SetProperties(Parameters),
    /// `UNSET TBLPROPERTIES [IF EXISTS] ('name', …)`
    UnsetProperties {
        /// No error where one is not there.
        if_exists: bool,
        /// Their names.
        names: Vec<String>,
    },
    /// `[PARTITION (…)] ADD COLUMNS (…)`
    AddColumns {
        /// Of one partition only.
        partition: Option<PartitionSpec>,
        /// In order.
        columns: Vec<Column>,
    },
    /// `REPLACE COLUMNS (…)`
    ReplaceColumns(Vec<Column>),
    /// `CHANGE [COLUMN] old new type [COMMENT '…'] [FIRST | AFTER column]`
    ChangeColumn {
        /// The column's name now.
        from: String,
        /// What it becomes.
        to: Column,
        /// Where it goes; stays where it is otherwise.
        place: Option<ColumnPlace>,
    },
    /// `DROP COLUMN name`
    DropColumn(String),
    /// `RENAME TO name`
    RenameTo(TableName),
    /// What Hive has and Athena refuses: `SET SERDE …`, `SET FILEFORMAT …`, `CLUSTERED BY …`
    Unsupported(&'static str),
}

/// Where `CHANGE COLUMN` puts a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnPlace {
    /// Before all others.
    First,
    /// Behind this one.
    After(String),
}

/// A statement that changes the catalog.
#[derive(Debug, Clone, PartialEq)]
pub enum Ddl {
    /// `CREATE {DATABASE | SCHEMA}`
    CreateDatabase {
        /// Lower case.
        name: String,
        /// No error where it exists.
        if_not_exists: bool,
        /// `COMMENT`
        comment: Option<String>,
        /// `LOCATION`
        location: Option<String>,
        /// `WITH DBPROPERTIES`
        properties: Parameters,
    },
    /// `DROP {DATABASE | SCHEMA}`
    DropDatabase {
        /// Lower case.
        name: String,
        /// No error where there is none.
        if_exists: bool,
        /// With its tables; without (`RESTRICT`) a database with tables is not dropped.
        cascade: bool,
    },
    /// `ALTER {DATABASE | SCHEMA} name SET DBPROPERTIES (…)`
    AlterDatabase {
        /// Lower case.
        name: String,
        /// To be set.
        properties: Parameters,
    },
    /// `CREATE EXTERNAL TABLE`: the catalog entry in full; its `database` is empty where none is written.
    CreateExternalTable {
        /// Where the name stands, and its database.
        name: TableName,
        /// What to put into the catalog.
        table: Box<Table>,
        /// No error where it exists.
        if_not_exists: bool,
    },
    /// `DROP TABLE`
    DropTable {
        /// The table.
        name: TableName,
        /// No error where there is none.
        if_exists: bool,
    },
    /// `CREATE [OR REPLACE] VIEW name AS query`
    CreateView {
        /// The view.
        name: TableName,
        /// An old one is replaced.
        or_replace: bool,
        /// The query's text.
        sql: String,
    },
    /// `DROP VIEW`
    DropView {
        /// The view.
        name: TableName,
        /// No error where there is none.
        if_exists: bool,
    },
    /// `MSCK REPAIR TABLE`: adds the partitions that are found under the table's location.
    MsckRepair {
        /// The table.
        name: TableName,
    },
    /// `ALTER TABLE`
    AlterTable {
        /// The table.
        name: TableName,
        /// What is done.
        action: AlterTable,
    },
    /// What Athena has and Millpond does not: why. It fails when it is carried out.
    Unsupported(String),
}

impl Ddl {
    pub(super) fn sub_kind(&self) -> &'static str {
        match self {
            Self::CreateDatabase { .. } => "CREATE_DATABASE",
            Self::DropDatabase { .. } => "DROP_DATABASE",
            Self::AlterDatabase { .. } => "ALTER_DATABASE",
            Self::CreateExternalTable { .. } => "CREATE_TABLE",
            Self::DropTable { .. } => "DROP_TABLE",
            Self::CreateView { .. } => "CREATE_VIEW",
            Self::DropView { .. } => "DROP_VIEW",
            Self::MsckRepair { .. } => "MSCK_REPAIR",
            Self::Unsupported(_) => "",
            Self::AlterTable { action, .. } => match action {
                AlterTable::AddPartitions { .. } => "ALTER_TABLE_ADD_PARTITION",
                AlterTable::DropPartitions { .. } => "ALTER_TABLE_DROP_PARTITION",
                AlterTable::RenamePartition { .. } => "ALTER_TABLE_RENAME_PARTITION",
                AlterTable::SetLocation { .. } => "ALTER_TABLE_SET_LOCATION",
                AlterTable::SetProperties(_) | AlterTable::UnsetProperties { .. } => "ALTER_TABLE_PROPERTIES",
                AlterTable::AddColumns { .. } => "ALTER_TABLE_ADD_COLUMN",
                AlterTable::ReplaceColumns(_) => "ALTER_TABLE_REPLACE_COLUMN",
                AlterTable::ChangeColumn { .. } => "ALTER_TABLE_CHANGE_COLUMN",
                AlterTable::DropColumn(_) => "ALTER_TABLE_DROP_COLUMN",
                AlterTable::RenameTo(_) => "ALTER_TABLE_RENAME",
                AlterTable::Unsupported(_) => "ALTER_TABLE",
            },
        }
    }
}
