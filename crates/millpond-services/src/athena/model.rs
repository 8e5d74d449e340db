//! What Athena keeps: executions, workgroups, named queries, prepared statements and data catalogs. They are stored as JSON in these forms.

use millpond_engine::query::Stage;
use millpond_engine::result::ResultColumn;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A query execution's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// Runs.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Was stopped.
    Cancelled,
}

impl State {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// Athena's three kinds of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StatementKind {
    /// Changes the catalog.
    Ddl,
    /// Reads or writes data.
    Dml,
    /// Shows the catalog or a plan.
    Utility,
}

/// Why a query failed: Athena's `AthenaError`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryFailure {
    /// 1: system, 2: user, 3: other.
    pub category: i32,
    /// A number of the error's sort (Athena user guide, "Athena error catalog").
    pub error_type: i32,
    /// Whether the same query may succeed later.
    pub retryable: bool,
    /// For people.
    pub message: String,
}

/// What an execution cost. Milliseconds and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Bytes read from objects.
    pub scanned_bytes: u64,
    /// From submission to the start.
    pub queue_ms: i64,
    /// Parsing and planning.
    pub planning_ms: i64,
    /// Planning and running.
    pub engine_ms: i64,
    /// Writing and naming the result.
    pub service_ms: i64,
    /// From submission to the end.
    pub total_ms: i64,
    /// Rows of the result.
    pub rows: u64,
    /// Bytes of the result.
    pub result_bytes: u64,
    /// Rows that were read of tables.
    #[serde(default)]
    pub input_rows: u64,
    /// Bytes of the tables that were read, all of them: what a scan without pruning and projection would have read.
    #[serde(default)]
    pub table_bytes: u64,
    /// Bytes that an earlier execution had scanned for the result that was used again.
    #[serde(default)]
    pub reused_bytes: u64,
    /// Whether the result is an earlier execution's.
    #[serde(default)]
    pub reused: bool,
}

/// A column of a result, as `ResultSetMetadata` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputColumn {
    /// Also the label.
    pub name: String,
    /// Athena's name of the type.
    pub data_type: String,
    /// Digits, or the greatest length.
    pub precision: i32,
    /// Of decimals.
    pub scale: i32,
    /// Texts are.
    pub case_sensitive: bool,
}

impl From<&ResultColumn> for OutputColumn {
    fn from(column: &ResultColumn) -> Self {
        Self {
            name: column.name.clone(),
            data_type: column.data_type.to_owned(),
            precision: column.precision,
            scale: column.scale,
            case_sensitive: column.case_sensitive,
        }
    }
}

/// A query execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// A UUID.
    pub id: String,
    /// As it was given.
    pub query: String,
    /// The workgroup's name.
    pub workgroup: String,
    /// The database of unqualified names.
    pub database: Option<String>,
    /// `AwsDataCatalog`.
    pub catalog: Option<String>,
    /// For the statement's `?`.
    pub parameters: Vec<String>,
    /// Of its statement.
    pub kind: StatementKind,
    /// For example `SELECT` or `CREATE_TABLE`.
    pub substatement: String,
    /// The result's object: `s3://bucket/prefix/ID.csv` (or `.txt`).
    pub output: String,
    /// What the caller wanted of encryption, in Athena's JSON form; kept.
    pub encryption: Option<serde_json::Value>,
    /// Its state.
    pub state: State,
    /// Why it failed or was stopped.
    pub reason: Option<String>,
    /// Why it failed, for programs.
    pub failure: Option<QueryFailure>,
    /// Milliseconds since the epoch.
    pub submitted_ms: i64,
    /// Milliseconds since the epoch.
    pub completed_ms: Option<i64>,
    /// What it cost.
    pub statistics: Statistics,
    /// The result's columns, once it succeeded.
    pub columns: Vec<OutputColumn>,
    /// What not every execution has.
    #[serde(default)]
    pub details: Details,
    /// Rows that it wrote, of statements that write.
    #[serde(default)]
    pub update_count: Option<i64>,
}

impl Execution {
    /// Whether the result is text, a line a row, and not CSV with a header.
    pub fn is_text(&self) -> bool {
        self.output.ends_with(".txt")
    }

    /// As it is carried out: the statement that an `EXECUTE` means, and the database without the back-quotes that clients put around it.
    pub(super) fn effective(&self) -> Self {
        let mut effective = self.clone();
        if let Some(Resolved { query, parameters }) = effective.details.resolved.take() {
            (effective.query, effective.parameters) = (query, parameters);
        }
        effective.database = effective.database.map(|database| database.trim_matches('`').to_lowercase());
        effective
    }
}

/// What not every execution has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// What an `EXECUTE` carries out: the prepared statement as it was when the execution was submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Resolved>,
    /// The output location that the caller sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_output: Option<String>,
    /// The account that must own the bucket of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_owner: Option<String>,
    /// In Athena's JSON form; kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acl: Option<serde_json::Value>,
    /// Whether an earlier result may be used, and how old it may be, in minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse_minutes: Option<i32>,
    /// A digest of what was read; absent where the result is not to be used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables_read: Option<String>,
    /// The ETag of the result's object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_etag: Option<String>,
    /// The list of files that were written: `s3://bucket/prefix/ID-manifest.csv`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The steps of the plan with what each of them did, the last one first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stage>,
}

/// A statement to carry out in place of the one that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Its text.
    pub query: String,
    /// For its `?`.
    pub parameters: Vec<String>,
}

/// A workgroup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workgroup {
    /// Its name.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// A disabled one takes no queries.
    pub enabled: bool,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Its settings.
    pub configuration: WorkgroupConfiguration,
    /// In the order given.
    pub tags: Vec<(String, String)>,
}

/// A workgroup's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkgroupConfiguration {
    /// `s3://bucket/prefix/`.
    pub output_location: Option<String>,
    /// In Athena's JSON form; kept.
    pub encryption: Option<serde_json::Value>,
    /// The account that must own the bucket of the results.
    #[serde(default)]
    pub expected_owner: Option<String>,
    /// In Athena's JSON form; kept.
    #[serde(default)]
    pub acl: Option<serde_json::Value>,
    /// Whether the settings beat those of the client.
    pub enforce: bool,
    /// Kept: the lake has no CloudWatch metrics. What a workgroup's queries came to is told by [`super::Usage`].
    pub publish_metrics: bool,
    /// Kept.
    pub requester_pays: bool,
    /// A query that reads more bytes is stopped.
    pub scan_bytes_max: Option<u64>,
    /// What was chosen: `AUTO` or `Athena engine version 3`.
    pub engine_version: String,
    /// Settings that are only kept, by AWS's names and in Athena's JSON form.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, serde_json::Value>,
}

impl Default for WorkgroupConfiguration {
    /// The defaults of `CreateWorkGroup`.
    fn default() -> Self {
        Self {
            output_location: None,
            encryption: None,
            expected_owner: None,
            acl: None,
            enforce: true,
            publish_metrics: true,
            requester_pays: false,
            scan_bytes_max: None,
            engine_version: "AUTO".into(),
            kept: BTreeMap::new(),
        }
    }
}

/// A named query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedQuery {
    /// A UUID.
    pub id: String,
    /// Its name; need not be unique.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// The database it is for.
    pub database: String,
    /// The statement.
    pub query: String,
    /// The workgroup's name.
    pub workgroup: String,
}

/// A prepared statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedStatement {
    /// Its name, unique in its workgroup; case counts.
    pub name: String,
    /// The workgroup's name.
    pub workgroup: String,
    /// The statement, with `?` for its parameters.
    pub query: String,
    /// Free text.
    pub description: Option<String>,
    /// Milliseconds since the epoch.
    pub modified_ms: i64,
}

/// A data catalog: a further name of the lake's one, or that one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataCatalog {
    /// As written when it was made.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// `catalog-id` among them.
    pub parameters: BTreeMap<String, String>,
    /// In the order given.
    pub tags: Vec<(String, String)>,
}

/// A page of a listing, and where the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// An opaque token.
    pub next: Option<String>,
}
