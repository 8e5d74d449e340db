//! Submitting query executions.

use super::catalogs::not_found;
use super::model::{Details, Execution, Resolved, State, StatementKind, Statistics, Workgroup};
use super::queue::Ticket;
use super::workgroups::{PRIMARY, check_location, require};
use super::{Athena, AthenaError, run, sql};
use crate::lake::catalog::{self, CatalogError};
use crate::lake::objects;
use crate::runtime::at_once;
use millpond_core::arn::Place;
use millpond_core::env::EnvExt;
use millpond_engine::query::{QueryError, view};
use millpond_engine::sql::{self as dialect, Prepared, ResultName, Show, Statement};
use millpond_store::Tx;
use millpond_store::task::{self, NewTask, Task};

/// A statement's most bytes (Athena user guide, "Service quotas").
const QUERY_BYTES_MAX: usize = 262_144;

/// Minutes that a result may be old at the most, and where nothing is said (Athena API reference, `ResultReuseByAgeConfiguration`).
const REUSE_MINUTES: (i32, i32) = (10_080, 60);

/// A query to start.
#[derive(Debug, Clone, Default)]
pub struct StartQuery {
    /// One statement.
    pub query: String,
    /// The same token and query answer the same execution.
    pub token: Option<String>,
    /// The database of unqualified names.
    pub database: Option<String>,
    /// `AwsDataCatalog`, in any case, or absent.
    pub catalog: Option<String>,
    /// Where the result goes: `s3://bucket/prefix/`.
    pub output_location: Option<String>,
    /// In Athena's JSON form; kept.
    pub encryption: Option<serde_json::Value>,
    /// The account that must own the bucket of the result.
    pub expected_owner: Option<String>,
    /// In Athena's JSON form; kept.
    pub acl: Option<serde_json::Value>,
    /// `primary` where absent.
    pub workgroup: Option<String>,
    /// Values for the statement's `?`: expressions, or texts.
    pub parameters: Vec<String>,
    /// Whether an earlier result may be used.
    pub reuse: Option<ReuseByAge>,
}

/// Athena's `ResultReuseByAgeConfiguration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReuseByAge {
    /// Whether an earlier result may be used.
    pub enabled: bool,
    /// How old it may be, in minutes; an hour where absent.
    pub minutes_max: Option<i32>,
}

/// What came of a submission.
struct Started {
    id: String,
    /// Where it found a place: it is begun already.
    task: Option<Task>,
}

impl Athena {
    /// Takes a query; answers the execution's id.
    ///
    /// # Errors
    /// A statement that cannot be parsed, a workgroup that does not exist or is disabled, no place for the result, and a full queue.
    pub async fn start(&self, start: StartQuery) -> Result<String, AthenaError> {
        if let Some(catalog) = start.catalog.as_deref().filter(|catalog| !catalog.is_empty()) {
            self.data_catalog(catalog).await?;
        }
        let start = checked(start, &self.lake.place)?;
        let statement = dialect::parse(&start.query).map_err(malformed)?;
        if let Some(query) = statement.query() {
            dialect::check_query(query).map_err(malformed)?;
        }
        let (states, queue) = (self.states.clone(), self.queue.clone());
        let id = self.lake.store.env().uuid();
        let submitted = id.clone();
        let started = self.lake.store.write(move |tx| {
            let workgroup = require(tx, start.workgroup.as_deref().unwrap_or(PRIMARY))?;
            if !workgroup.enabled {
                return Err(AthenaError::invalid(format!("WorkGroup {} is disabled.", workgroup.name)));
            }
            if let Some(known) = known_by_token(tx, &workgroup, &start)? {
                return Ok(Started { id: known, task: None });
            }
            let waiting = task::waiting(tx, run::KIND)?;
            if waiting >= queue.limits().waiting as u64 {
                return Err(AthenaError::TooManyRequests);
            }
            let token = start.token.clone();
            let mut execution = new_execution(tx, &states.place, submitted, &workgroup, start, &statement)?;
            sql::insert_execution(tx, &execution, token.as_deref())?;
            states.announce(tx, &execution, None)?;
            let ticket = Ticket::of(&execution);
            let new = NewTask::new(run::KIND, &ticket).keyed(&execution.id).failures_max(3);
            // Nobody is overtaken.
            if waiting > 0 || !queue.try_enter(&ticket) {
                tx.enqueue(&new)?;
                return Ok(Started { id: execution.id, task: None });
            }
            states.begin(tx, &mut execution)?;
            Ok(Started { id: execution.id, task: Some(tx.enqueue_leased(&new)?) })
        });
        match started.await {
            Ok(Started { id, task }) => {
                if let Some(task) = task {
                    at_once(&self.lake, self.runner(), task, &self.under_way);
                }
                Ok(id)
            }
            Err(error) => {
                self.queue.leave(&id);
                Err(error)
            }
        }
    }
}

pub(super) fn malformed(error: QueryError) -> AthenaError {
    AthenaError::InvalidRequest { message: error.to_string(), code: "MALFORMED_QUERY" }
}

/// The statement without what is around it, and settings that can be.
fn checked(mut start: StartQuery, place: &Place) -> Result<StartQuery, AthenaError> {
    if start.query.len() > QUERY_BYTES_MAX {
        let message = format!("The query has {} bytes; {QUERY_BYTES_MAX} are the limit.", start.query.len());
        return Err(AthenaError::invalid(message));
    }
    check_location(start.output_location.as_deref())?;
    if let Some(owner) = start.expected_owner.as_deref().filter(|owner| *owner != place.account) {
        return Err(AthenaError::invalid(not_owner(owner)));
    }
    if let Some(minutes) = start.reuse.and_then(|reuse| reuse.minutes_max)
        && !(0..=REUSE_MINUTES.0).contains(&minutes)
    {
        return Err(AthenaError::invalid(format!("MaxAgeInMinutes must be from 0 to {}.", REUSE_MINUTES.0)));
    }
    let bare = start.query.trim_matches(|character: char| character == ';' || character.is_whitespace());
    if bare.len() < start.query.len() {
        start.query = bare.to_owned();
    }
    Ok(start)
}

fn not_owner(owner: &str) -> String {
    format!("Unable to verify/create output bucket: it is not owned by the expected account {owner}")
}

/// The execution that this token has started, where the request is the same: by statement, parameters, context and output location. (Athena's
/// reference says that a parameter that has changed is an error; the service itself was seen to overlook `ExecutionParameters`, and to answer with
/// the rows of others.)
fn known_by_token(tx: &Tx<'_>, workgroup: &Workgroup, start: &StartQuery) -> Result<Option<String>, AthenaError> {
    let Some(token) = &start.token else { return Ok(None) };
    let Some(known) = sql::execution_of_token(tx, &workgroup.name, token)? else { return Ok(None) };
    let same = known.query == start.query
        && known.database == start.database.clone().filter(|database| !database.is_empty())
        && known.catalog == sent_catalog(start)
        && known.parameters == start.parameters
        && known.details.asked_output == start.output_location;
    match same {
        true => Ok(Some(known.id)),
        false => Err(AthenaError::InvalidRequest {
            message: "Idempotent parameters do not match".to_owned(),
            code: "IDEMPOTENT_PARAMETER_MISMATCH",
        }),
    }
}

/// A catalog comes back in lower case, and only where it was sent.
fn sent_catalog(start: &StartQuery) -> Option<String> {
    start.catalog.as_deref().filter(|catalog| !catalog.is_empty()).map(str::to_lowercase)
}

fn new_execution(
    tx: &Tx<'_>,
    place: &Place,
    id: String,
    workgroup: &Workgroup,
    start: StartQuery,
    sent: &Statement,
) -> Result<Execution, AthenaError> {
    let resolved = resolve(tx, &workgroup.name, sent, &start.parameters)?;
    let statement = match &resolved {
        Some(resolved) => &dialect::parse(&resolved.query).map_err(malformed)?,
        None => sent,
    };
    let substatement = substatement(tx, statement, start.database.as_deref(), &id)?.to_owned();
    let settings = &workgroup.configuration;
    let enforced = settings.enforce && settings.output_location.is_some();
    let asked = start.output_location.clone().filter(|_| !enforced);
    let (location, of_workgroup) = match (asked, &settings.output_location) {
        (Some(location), _) => (location, false),
        (None, Some(location)) => (location.clone(), true),
        (None, None) => (default_output(tx, &place.account, &place.region)?, false),
    };
    let expected_owner = if enforced { settings.expected_owner.clone() } else { start.expected_owner.clone() };
    let expected_owner = expected_owner.or_else(|| settings.expected_owner.clone().filter(|_| of_workgroup));
    if let Some(owner) = expected_owner.as_deref().filter(|owner| *owner != place.account) {
        return Err(AthenaError::invalid(not_owner(owner)));
    }
    let of_client = |setting: Option<serde_json::Value>, workgroup: &Option<serde_json::Value>| match (enforced, setting) {
        (false, Some(setting)) => Some(setting),
        (true, _) => workgroup.clone(),
        (false, None) => workgroup.clone().filter(|_| of_workgroup),
    };
    let minutes = start.reuse.filter(|reuse| reuse.enabled).map(|reuse| reuse.minutes_max.unwrap_or(REUSE_MINUTES.1));
    Ok(Execution {
        output: output(&location, &id, statement.result_name()),
        id,
        catalog: sent_catalog(&start),
        query: start.query,
        workgroup: workgroup.name.clone(),
        database: start.database.filter(|database| !database.is_empty()),
        parameters: start.parameters,
        kind: kind(statement),
        substatement,
        encryption: of_client(start.encryption, &settings.encryption),
        state: State::Queued,
        reason: None,
        failure: None,
        submitted_ms: tx.now_ms(),
        completed_ms: None,
        statistics: Statistics::default(),
        columns: Vec::new(),
        update_count: None,
        details: Details {
            resolved,
            asked_output: start.output_location,
            expected_owner,
            acl: of_client(start.acl, &settings.acl),
            reuse_minutes: minutes,
            ..Details::default()
        },
    })
}

/// What an `EXECUTE` carries out. One whose statement is not there is taken, and fails when it runs.
fn resolve(tx: &Tx<'_>, workgroup: &str, statement: &Statement, parameters: &[String]) -> Result<Option<Resolved>, AthenaError> {
    let (query, values) = match statement {
        Statement::Prepared(Prepared::ExecuteImmediate { sql, values }) => (sql.clone(), values),
        Statement::Prepared(Prepared::Execute { name, values }) => match sql::prepared_statement(tx, workgroup, name)? {
            Some(prepared) => (prepared.query, values),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let parameters = if values.is_empty() { parameters.to_vec() } else { values.clone() };
    Ok(Some(Resolved { query, parameters }))
}

fn unreadable(error: CatalogError) -> AthenaError {
    match error {
        CatalogError::Store(error) => error.into(),
        other => AthenaError::invalid(other.to_string()),
    }
}

/// Athena's `SubstatementType`. It looks for a table that is to be described when the statement is submitted: there may be none, and a view has
/// a type of its own.
fn substatement(tx: &Tx<'_>, statement: &Statement, database: Option<&str>, id: &str) -> Result<&'static str, AthenaError> {
    let Statement::Show(Show::Describe { name, .. } | Show::Columns { name }) = statement else {
        return Ok(statement.sub_kind());
    };
    // Without a database it fails when it is carried out.
    let Ok((database, name)) = name.resolve(database.map(|name| name.trim_matches('`'))) else { return Ok(statement.sub_kind()) };
    match catalog::table(tx, &database, &name).map_err(unreadable)? {
        Some(table) if view::is_view(&table) => Ok("DESC_VIEW"),
        Some(_) => Ok(statement.sub_kind()),
        None => Err(AthenaError::invalid(not_found("Entity Not Found", id))),
    }
}

pub(super) fn kind(statement: &Statement) -> StatementKind {
    match statement.kind() {
        "DML" => StatementKind::Dml,
        "DDL" => StatementKind::Ddl,
        _ => StatementKind::Utility,
    }
}

/// Athena user guide, "Query output files".
fn output(location: &str, id: &str, name: ResultName) -> String {
    let location = location.trim_end_matches('/');
    match name {
        ResultName::Csv => format!("{location}/{id}.csv"),
        ResultName::Text => format!("{location}/{id}.txt"),
        ResultName::Bare => format!("{location}/{id}"),
        ResultName::Table => format!("{location}/tables/{id}"),
    }
}

/// Where results go when neither the query nor the workgroup says: the bucket that Athena's console proposes, made when missing. (AWS would
/// refuse the query; a lake that is just being tried out should not.)
fn default_output(tx: &Tx<'_>, account: &str, region: &str) -> Result<String, AthenaError> {
    let bucket = format!("aws-athena-query-results-{account}-{region}");
    if objects::bucket(tx, &bucket)?.is_none() {
        objects::create_bucket(tx, &bucket, region)?;
    }
    Ok(format!("s3://{bucket}"))
}
