//! The catalog by Iceberg's REST protocol, as AWS Glue serves it below `/iceberg` (Glue developer guide, "Connecting to the Data Catalog using AWS Glue
//! Iceberg REST endpoint"; Apache Iceberg, "REST catalog specification").
//!
//! Namespaces are databases, tables are the Iceberg tables of the catalog, and a commit is the one that Athena's statements make, too. Requests are
//! signed for the service `glue`, or carry a bearer token ([`oauth`]), which tells them from those for a bucket of the name `iceberg`.

pub(crate) mod oauth;
mod route;

use crate::authorize::Authorizer;
use crate::router::Context;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use millpond_core::catalog::Database;
use millpond_core::error::ErrorKind;
use millpond_services::glue::iceberg::{IcebergError, LoadedTable, NewTable, TableChange, TableIdent};
use millpond_services::glue::{Glue, GlueError};
use millpond_services::sts::Sts;
use millpond_wire::WireError;
use route::{ENDPOINTS, NoRoute, Route};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What the paths of the protocol begin with.
pub const PREFIX: &str = "/iceberg/v1/";

/// Names of one page where the client asks for none, and at the most.
const PAGE: usize = 1000;

/// The databases' comment among a namespace's properties, and its location.
const COMMENT: &str = "comment";
const LOCATION: &str = "location";

/// A request of the protocol, verified.
#[derive(Debug)]
pub struct RestRequest {
    /// Its method.
    pub method: Method,
    /// What follows [`PREFIX`].
    pub path: String,
    /// The query string; empty where there is none.
    pub query: String,
    /// JSON.
    pub body: Bytes,
    /// By what bearer token it came, where it was not signed.
    pub(crate) session: Option<oauth::Session>,
}

/// Answers the protocol's requests.
#[derive(Debug, Clone)]
pub struct IcebergRest {
    glue: Glue,
    pub(crate) sts: Sts,
}

/// Why a request is refused: the specification's `ErrorModel`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RestError {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl RestError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestException", message)
    }

    fn no_namespace(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchNamespaceException", message)
    }
}

impl From<NoRoute> for RestError {
    fn from(none: NoRoute) -> Self {
        match none {
            NoRoute::Unknown => Self::new(
                StatusCode::NOT_FOUND,
                "UnsupportedOperationException",
                "This catalog has no such operation; GET /v1/config lists those that it has.",
            ),
            NoRoute::Catalog(name) => Self::new(
                StatusCode::NOT_FOUND,
                "NotFoundException",
                format!("Catalog {name} not found: a lake has one, that of its account."),
            ),
            NoRoute::Nested(name) => Self::no_namespace(format!("Namespace {name} has several levels: a database has one.")),
        }
    }
}

impl From<GlueError> for RestError {
    fn from(error: GlueError) -> Self {
        let message = error.to_string();
        match error {
            GlueError::EntityNotFound(_) => Self::no_namespace(message),
            GlueError::AlreadyExists(_) => Self::new(StatusCode::CONFLICT, "AlreadyExistsException", message),
            GlueError::InvalidInput(_) => Self::bad_request(message),
            other => by_kind(other.kind(), message),
        }
    }
}

impl From<IcebergError> for RestError {
    fn from(error: IcebergError) -> Self {
        let message = error.to_string();
        match error {
            IcebergError::NoDatabase(_) => Self::no_namespace(message),
            IcebergError::NoTable(_) => Self::new(StatusCode::NOT_FOUND, "NoSuchTableException", message),
            IcebergError::NotIceberg(_) => Self::new(StatusCode::NOT_FOUND, "NoSuchIcebergTableException", message),
            IcebergError::AlreadyExists(_) => Self::new(StatusCode::CONFLICT, "AlreadyExistsException", message),
            IcebergError::NotEmpty(_) => Self::new(StatusCode::CONFLICT, "NamespaceNotEmptyException", message),
            IcebergError::Conflict(_) => Self::new(StatusCode::CONFLICT, "CommitFailedException", message),
            other => by_kind(other.kind(), message),
        }
    }
}

impl From<WireError> for RestError {
    fn from(error: WireError) -> Self {
        Self::new(error.status, "ForbiddenException", error.message)
    }
}

/// What did not happen is never answered with 500, 502 or 504, which clients take for a commit that may have happened.
fn by_kind(kind: ErrorKind, message: String) -> RestError {
    match kind {
        ErrorKind::Missing => RestError::new(StatusCode::NOT_FOUND, "NotFoundException", message),
        ErrorKind::Conflict => RestError::new(StatusCode::CONFLICT, "CommitFailedException", message),
        ErrorKind::Input | ErrorKind::Limit => RestError::bad_request(message),
        ErrorKind::Denied => RestError::new(StatusCode::FORBIDDEN, "ForbiddenException", message),
        ErrorKind::Retry | ErrorKind::Bug => {
            RestError::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", message)
        }
    }
}

#[derive(Deserialize)]
struct CreateNamespace {
    namespace: Vec<String>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct UpdateNamespace {
    #[serde(default)]
    removals: Vec<String>,
    #[serde(default)]
    updates: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct CreateTable {
    name: String,
    location: Option<String>,
    schema: Value,
    partition_spec: Option<Value>,
    write_order: Option<Value>,
    #[serde(default)]
    stage_create: bool,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RegisterTable {
    name: String,
    metadata_location: String,
    #[serde(default)]
    overwrite: bool,
}

#[derive(Deserialize)]
struct Identifier {
    namespace: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
struct Commit {
    identifier: Option<Identifier>,
    #[serde(default)]
    requirements: Vec<Value>,
    #[serde(default)]
    updates: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Transaction {
    table_changes: Vec<Commit>,
}

#[derive(Deserialize)]
struct Rename {
    source: Identifier,
    destination: Identifier,
}

impl Identifier {
    fn ident(self) -> Result<TableIdent, RestError> {
        Ok(TableIdent { database: one_level(&self.namespace)?, name: self.name.to_lowercase() })
    }
}

fn one_level(namespace: &[String]) -> Result<String, RestError> {
    match namespace {
        [name] => Ok(name.to_lowercase()),
        levels => Err(RestError::bad_request(format!("The namespace {levels:?} must have one level: the database."))),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, RestError> {
    serde_json::from_slice(body).map_err(|error| RestError::bad_request(format!("Malformed request: {error}")))
}

/// A parameter of the query string.
fn parameter(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

type Answer = Result<(StatusCode, Option<Value>), RestError>;

fn ok(value: Value) -> Answer {
    Ok((StatusCode::OK, Some(value)))
}

fn done() -> Answer {
    Ok((StatusCode::NO_CONTENT, None))
}

impl IcebergRest {
    /// Over the catalog; sessions come from STS.
    #[must_use]
    pub fn new(glue: Glue, sts: Sts) -> Self {
        Self { glue, sts }
    }

    /// Answers a request.
    pub async fn answer(&self, context: &Context, authorizer: &dyn Authorizer, request: RestRequest) -> Response<Bytes> {
        let head = request.method == Method::HEAD;
        let (status, body) = match self.carry_out(context, authorizer, request).await {
            Ok(answer) => answer,
            Err(error) => (error.status, Some(error_body(&error))),
        };
        respond(status, body.filter(|_| !head))
    }

    async fn carry_out(&self, context: &Context, authorizer: &dyn Authorizer, request: RestRequest) -> Answer {
        let route = Route::of(&request.method, &request.path, &context.account)?;
        let arn = format!("arn:aws:glue:{}:{}:{}", context.region, context.account, route.resource());
        authorizer.authorize(context, route.action(), &arn)?;
        let session = request.session.as_ref();
        match route {
            Route::Config => config(context, &request.query),
            Route::ListNamespaces => self.list_namespaces(&request.query).await,
            Route::CreateNamespace => self.create_namespace(parse(&request.body)?).await,
            Route::LoadNamespace(name) => ok(namespace(&self.glue.database(name).await?)),
            Route::NamespaceExists(name) => self.glue.database(name).await.map_err(RestError::from).and_then(|_| done()),
            Route::DropNamespace(name) => {
                self.glue.drop_empty_database(name).await?;
                done()
            }
            Route::UpdateNamespace(name) => self.update_namespace(name, parse(&request.body)?).await,
            Route::ListTables(database) => self.list_tables(database, &request.query).await,
            Route::ListViews(database) => {
                self.glue.database(database).await?;
                ok(json!({"identifiers": []}))
            }
            Route::CreateTable(database) => {
                let created = self.create_table(database, parse(&request.body)?).await?;
                ok(loaded(context, session, created))
            }
            Route::RegisterTable(database) => {
                let RegisterTable { name, metadata_location, overwrite } = parse(&request.body)?;
                let ident = TableIdent { database, name: name.to_lowercase() };
                ok(loaded(context, session, self.glue.register_iceberg(ident, metadata_location, overwrite).await?))
            }
            Route::LoadTable(database, name) => {
                ok(loaded(context, session, self.glue.load_iceberg(TableIdent { database, name }).await?))
            }
            Route::TableExists(database, name) => {
                self.glue.load_iceberg(TableIdent { database, name }).await?;
                done()
            }
            // Who signs reaches the bucket with the credentials that it has; who brought a token gets those of its session.
            Route::Credentials(database, name) => {
                self.glue.load_iceberg(TableIdent { database, name }).await?;
                let keys = session.map(|session| json!({"prefix": "s3://", "config": keys_of(session)}));
                ok(json!({"storage-credentials": keys.into_iter().collect::<Vec<_>>()}))
            }
            Route::CommitTable(database, name) => {
                let commit: Commit = parse(&request.body)?;
                let ident = TableIdent { database, name };
                if let Some(named) = commit.identifier
                    && named.ident()? != ident
                {
                    return Err(RestError::bad_request("The identifier in the body is not that of the path."));
                }
                let change = TableChange { ident, requirements: commit.requirements, updates: commit.updates };
                let committed = self.glue.commit_iceberg(vec![change]).await?.pop();
                let table = committed.ok_or_else(|| RestError::bad_request("Nothing was committed."))?;
                ok(json!({"metadata-location": table.metadata_location, "metadata": table.metadata}))
            }
            Route::CommitTransaction => self.commit_transaction(parse(&request.body)?).await,
            Route::DropTable(database, name) => {
                let purge = parameter(&request.query, "purgeRequested").is_some_and(|value| value.eq_ignore_ascii_case("true"));
                self.glue.drop_iceberg(TableIdent { database, name }, purge).await?;
                done()
            }
            Route::Metrics => done(),
            Route::RenameTable => {
                let Rename { source, destination } = parse(&request.body)?;
                self.glue.rename_iceberg(source.ident()?, destination.ident()?).await?;
                done()
            }
        }
    }

    async fn list_namespaces(&self, query: &str) -> Answer {
        if let Some(parent) = parameter(query, "parent").filter(|parent| !parent.is_empty()) {
            // Databases have no databases below them.
            self.glue.database(parent.to_lowercase()).await?;
            return ok(json!({"namespaces": []}));
        }
        let (token, size) = page(query)?;
        let page = self.glue.databases(token, size).await?;
        let names: Vec<_> = page.items.iter().map(|database| json!([database.name])).collect();
        ok(json!({"namespaces": names, "next-page-token": page.next}))
    }

    async fn create_namespace(&self, create: CreateNamespace) -> Answer {
        let name = one_level(&create.namespace)?;
        let mut parameters = create.properties.clone();
        let database = Database {
            name: name.clone(),
            description: parameters.remove(COMMENT),
            location_uri: parameters.remove(LOCATION),
            parameters,
            ..Database::default()
        };
        self.glue.create_database(database, Default::default()).await?;
        ok(json!({"namespace": [name], "properties": create.properties}))
    }

    async fn update_namespace(&self, name: String, change: UpdateNamespace) -> Answer {
        if let Some(both) = change.removals.iter().find(|key| change.updates.contains_key(*key)) {
            let message = format!("The property {both} is both to be updated and to be removed.");
            return Err(RestError::new(StatusCode::UNPROCESSABLE_ENTITY, "UnprocessableEntityException", message));
        }
        let mut database = self.glue.database(name.clone()).await?;
        let (mut removed, mut missing) = (Vec::new(), Vec::new());
        for key in change.removals {
            let old = match key.as_str() {
                COMMENT => database.description.take(),
                LOCATION => database.location_uri.take(),
                _ => database.parameters.remove(&key),
            };
            if old.is_some() { removed.push(key) } else { missing.push(key) }
        }
        let updated: Vec<_> = change.updates.keys().cloned().collect();
        for (key, value) in change.updates {
            match key.as_str() {
                COMMENT => database.description = Some(value),
                LOCATION => database.location_uri = Some(value),
                _ => drop(database.parameters.insert(key, value)),
            }
        }
        self.glue.update_database(name, database).await?;
        ok(json!({"updated": updated, "removed": removed, "missing": missing}))
    }

    async fn list_tables(&self, database: String, query: &str) -> Answer {
        let (token, size) = page(query)?;
        let page = self.glue.iceberg_names(database.clone(), token, size).await?;
        let names: Vec<_> = page.items.iter().map(|name| json!({"namespace": [database], "name": name})).collect();
        ok(json!({"identifiers": names, "next-page-token": page.next}))
    }

    async fn create_table(&self, database: String, create: CreateTable) -> Result<LoadedTable, RestError> {
        let new = NewTable {
            ident: TableIdent { database, name: create.name.to_lowercase() },
            location: create.location,
            schema: create.schema,
            partition_spec: create.partition_spec,
            write_order: create.write_order,
            properties: create.properties,
            stage: create.stage_create,
        };
        Ok(self.glue.create_iceberg(new).await?)
    }

    async fn commit_transaction(&self, transaction: Transaction) -> Answer {
        let mut changes = Vec::with_capacity(transaction.table_changes.len());
        for Commit { identifier, requirements, updates } in transaction.table_changes {
            let identifier =
                identifier.ok_or_else(|| RestError::bad_request("A change of a transaction must have an identifier."))?;
            changes.push(TableChange { ident: identifier.ident()?, requirements, updates });
        }
        self.glue.commit_iceberg(changes).await?;
        done()
    }
}

fn config(context: &Context, query: &str) -> Answer {
    let warehouse = parameter(query, "warehouse").filter(|warehouse| !warehouse.is_empty());
    // AWS takes the account's number, and names of catalogs after it: `ACCOUNT:s3tablescatalog/…`.
    if let Some(other) = warehouse.filter(|warehouse| *warehouse != context.account) {
        return Err(NoRoute::Catalog(other).into());
    }
    ok(json!({
        "defaults": storage(context),
        "overrides": {"prefix": format!("catalogs/{}", context.account)},
        "endpoints": ENDPOINTS,
    }))
}

/// Where clients find the objects.
fn storage(context: &Context) -> Map<String, Value> {
    let settings = [
        ("s3.endpoint", context.base_url()),
        ("s3.path-style-access", "true".to_owned()),
        ("s3.region", context.region.clone()),
        ("client.region", context.region.clone()),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// What the S3 requests of a bearer token's session are signed with: its own keys, which open what it may open anyway.
fn keys_of(session: &oauth::Session) -> Map<String, Value> {
    let oauth::Session { access_key, token, key } = session;
    let keys = [("s3.access-key-id", access_key), ("s3.secret-access-key", &key.secret), ("s3.session-token", token)];
    keys.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

fn loaded(context: &Context, session: Option<&oauth::Session>, table: LoadedTable) -> Value {
    let mut answer = Map::new();
    if let Some(location) = table.metadata_location {
        answer.insert("metadata-location".into(), json!(location));
    }
    answer.insert("metadata".into(), table.metadata);
    let mut config = storage(context);
    config.extend(session.map(keys_of).unwrap_or_default());
    answer.insert("config".into(), config.into());
    answer.into()
}

fn namespace(database: &Database) -> Value {
    let mut properties = database.parameters.clone();
    properties.extend(database.description.clone().map(|comment| (COMMENT.to_owned(), comment)));
    properties.extend(database.location_uri.clone().map(|location| (LOCATION.to_owned(), location)));
    json!({"namespace": [database.name], "properties": properties})
}

fn page(query: &str) -> Result<(Option<String>, usize), RestError> {
    let size = match parameter(query, "pageSize") {
        None => PAGE,
        Some(text) => match text.parse::<usize>() {
            Ok(size) if size > 0 => size.min(PAGE),
            _ => return Err(RestError::bad_request(format!("pageSize must be a positive number, is '{text}'."))),
        },
    };
    Ok((parameter(query, "pageToken").filter(|token| !token.is_empty()), size))
}

fn error_body(error: &RestError) -> Value {
    json!({"error": {"message": error.message, "type": error.kind, "code": error.status.as_u16()}})
}

/// A refusal that comes before the request is looked at: of its signature, or of its size.
pub(crate) fn refused(error: &WireError) -> Response<Bytes> {
    let (status, kind) = match error.status {
        status @ (StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) => (status, "BadRequestException"),
        _ => (StatusCode::FORBIDDEN, "ForbiddenException"),
    };
    let error = RestError::new(status, kind, error.message.clone());
    respond(status, Some(error_body(&error)))
}

fn respond(status: StatusCode, body: Option<Value>) -> Response<Bytes> {
    let mut response = Response::new(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
