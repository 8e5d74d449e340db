//! What a path of the protocol names.

use http::Method;
use percent_encoding::percent_decode_str;

/// Separates the levels of a namespace in a path (Iceberg REST catalog specification, `namespace` parameter).
const LEVELS: char = '\u{1f}';

/// An operation, with what its path names. Databases and tables are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Config,
    ListNamespaces,
    CreateNamespace,
    LoadNamespace(String),
    NamespaceExists(String),
    DropNamespace(String),
    UpdateNamespace(String),
    ListTables(String),
    CreateTable(String),
    RegisterTable(String),
    LoadTable(String, String),
    TableExists(String, String),
    CommitTable(String, String),
    DropTable(String, String),
    Credentials(String, String),
    Metrics,
    RenameTable,
    CommitTransaction,
    ListViews(String),
}

/// Why a path names no operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// Nothing is called so.
    Unknown,
    /// A catalog that this lake does not have.
    Catalog(String),
    /// A namespace of several levels, which the catalog cannot have.
    Nested(String),
}

/// What `GET /v1/config` tells clients that they may call (specification, `CatalogConfig.endpoints`).
pub(super) const ENDPOINTS: &[&str] = &[
    "GET /v1/{prefix}/namespaces",
    "POST /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "DELETE /v1/{prefix}/namespaces/{namespace}",
    "POST /v1/{prefix}/namespaces/{namespace}/properties",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/register",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}/credentials",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics",
    "POST /v1/{prefix}/tables/rename",
    "POST /v1/{prefix}/transactions/commit",
];

impl Route {
    /// The operation of a path below `/iceberg/v1/`. The prefix that `GET /v1/config` gives, `catalogs/ACCOUNT`, may be left out.
    pub(super) fn of(method: &Method, path: &str, account: &str) -> Result<Self, NoRoute> {
        let decode =
            |part: &str| percent_decode_str(part).decode_utf8().map(|text| text.into_owned()).map_err(|_| NoRoute::Unknown);
        let parts = path.trim_end_matches('/').split('/').map(decode).collect::<Result<Vec<_>, _>>()?;
        let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if let ["catalogs", catalog, ..] = parts.as_slice() {
            if *catalog != account {
                return Err(NoRoute::Catalog((*catalog).to_owned()));
            }
            parts.drain(..2);
        }
        let database = |name: &str| match name.contains(LEVELS) {
            true => Err(NoRoute::Nested(name.replace(LEVELS, "."))),
            false => Ok(name.to_lowercase()),
        };
        let (get, head, post, delete) =
            (method == Method::GET, method == Method::HEAD, method == Method::POST, method == Method::DELETE);
        Ok(match parts.as_slice() {
            ["config"] if get => Self::Config,
            ["namespaces"] if get => Self::ListNamespaces,
            ["namespaces"] if post => Self::CreateNamespace,
            ["namespaces", name] if get => Self::LoadNamespace(database(name)?),
            ["namespaces", name] if head => Self::NamespaceExists(database(name)?),
            ["namespaces", name] if delete => Self::DropNamespace(database(name)?),
            ["namespaces", name, "properties"] if post => Self::UpdateNamespace(database(name)?),
            ["namespaces", name, "tables"] if get => Self::ListTables(database(name)?),
            ["namespaces", name, "tables"] if post => Self::CreateTable(database(name)?),
            ["namespaces", name, "register"] if post => Self::RegisterTable(database(name)?),
            ["namespaces", name, "views"] if get => Self::ListViews(database(name)?),
            ["namespaces", name, "tables", table] if get => Self::LoadTable(database(name)?, table.to_lowercase()),
            ["namespaces", name, "tables", table] if head => Self::TableExists(database(name)?, table.to_lowercase()),
            ["namespaces", name, "tables", table] if post => Self::CommitTable(database(name)?, table.to_lowercase()),
            ["namespaces", name, "tables", table] if delete => Self::DropTable(database(name)?, table.to_lowercase()),
            ["namespaces", name, "tables", table, "credentials"] if get => {
                Self::Credentials(database(name)?, table.to_lowercase())
            }
            ["namespaces", _, "tables", _, "metrics"] if post => Self::Metrics,
            ["tables", "rename"] if post => Self::RenameTable,
            ["transactions", "commit"] if post => Self::CommitTransaction,
            _ => return Err(NoRoute::Unknown),
        })
    }

    /// The IAM action that the caller needs (Glue developer guide, "Connecting to the Data Catalog using AWS Glue Iceberg REST endpoint").
    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::Config | Self::Metrics => "glue:GetCatalog",
            Self::ListNamespaces => "glue:GetDatabases",
            Self::CreateNamespace => "glue:CreateDatabase",
            Self::LoadNamespace(_) | Self::NamespaceExists(_) => "glue:GetDatabase",
            Self::DropNamespace(_) => "glue:DeleteDatabase",
            Self::UpdateNamespace(_) => "glue:UpdateDatabase",
            Self::ListTables(_) | Self::ListViews(_) => "glue:GetTables",
            Self::CreateTable(_) | Self::RegisterTable(_) => "glue:CreateTable",
            Self::LoadTable(..) | Self::TableExists(..) | Self::Credentials(..) => "glue:GetTable",
            Self::CommitTable(..) | Self::CommitTransaction | Self::RenameTable => "glue:UpdateTable",
            Self::DropTable(..) => "glue:DeleteTable",
        }
    }

    /// What the operation touches, after `arn:aws:glue:REGION:ACCOUNT:`.
    pub(super) fn resource(&self) -> String {
        match self {
            Self::Config
            | Self::Metrics
            | Self::ListNamespaces
            | Self::CreateNamespace
            | Self::RenameTable
            | Self::CommitTransaction => "catalog".into(),
            Self::LoadNamespace(database)
            | Self::NamespaceExists(database)
            | Self::DropNamespace(database)
            | Self::UpdateNamespace(database)
            | Self::ListTables(database)
            | Self::ListViews(database)
            | Self::CreateTable(database)
            | Self::RegisterTable(database) => format!("database/{database}"),
            Self::LoadTable(database, table)
            | Self::TableExists(database, table)
            | Self::CommitTable(database, table)
            | Self::DropTable(database, table)
            | Self::Credentials(database, table) => format!("table/{database}/{table}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_operation_with_and_without_the_prefix() {
        let of = |method: Method, path: &str| Route::of(&method, path, "000000000000");
        assert_eq!(of(Method::GET, "config"), Ok(Route::Config));
        assert_eq!(of(Method::GET, "namespaces/Db%20x/tables/T"), Ok(Route::LoadTable("db x".into(), "t".into())));
        assert_eq!(of(Method::POST, "catalogs/000000000000/namespaces/d/tables"), Ok(Route::CreateTable("d".into())));
        assert_eq!(of(Method::GET, "catalogs/1/namespaces"), Err(NoRoute::Catalog("1".into())));
        assert_eq!(of(Method::GET, "namespaces/a%1Fb/tables"), Err(NoRoute::Nested("a.b".into())));
        assert_eq!(of(Method::PUT, "namespaces"), Err(NoRoute::Unknown));
        assert_eq!(of(Method::GET, "namespaces/%ff"), Err(NoRoute::Unknown));
    }
}
