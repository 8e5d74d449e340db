//! What Athena keeps: executions, workgroups and named queries. They are stored as JSON in these forms.

use millpond_engine::result::ResultColumn;
use serde::{Deserialize, Serialize};

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
    /// Rows that it wrote, of statements that write.
    #[serde(default)]
    pub update_count: Option<i64>,
}

impl Execution {
    /// Whether the result is text, a line a row, and not CSV with a header.
    pub fn is_text(&self) -> bool {
        self.output.ends_with(".txt")
    }
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
    /// Whether the settings beat those of the client.
    pub enforce: bool,
    /// Kept.
    pub publish_metrics: bool,
    /// Kept.
    pub requester_pays: bool,
    /// A query that reads more bytes fails.
    pub scan_bytes_max: Option<u64>,
    /// What was chosen: `AUTO` or `Athena engine version 3`.
    pub engine_version: String,
}

impl Default for WorkgroupConfiguration {
    /// The defaults of `CreateWorkGroup`.
    fn default() -> Self {
        Self {
            output_location: None,
            encryption: None,
            enforce: true,
            publish_metrics: true,
            requester_pays: false,
            scan_bytes_max: None,
            engine_version: "AUTO".into(),
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

/// A page of a listing, and where the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// An opaque token.
    pub next: Option<String>,
}
