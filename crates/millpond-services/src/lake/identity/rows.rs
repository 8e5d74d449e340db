//! The SQL that reads roles and policies, for all services. What writes them is IAM's.

use super::{iam_arn, managed};
use millpond_core::arn::Place;
use millpond_store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row};
use std::borrow::Cow;

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// `AROA…`: never used again, also where the name is.
    pub id: String,
    /// As it was given; another role's name differs in more than case.
    pub name: String,
    /// `/`, or `/teams/etl/`.
    pub path: String,
    /// Where one was given.
    pub description: Option<String>,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// What `AssumeRole` may ask for.
    pub session_seconds_max: i64,
    /// Who may assume it: the text as it was given.
    pub trust: String,
    /// The ARN of the policy that bounds its permissions.
    pub boundary: Option<String>,
}

impl Role {
    /// `arn:aws:iam::ACCOUNT:role/path/name`
    pub fn arn(&self, place: &Place) -> String {
        iam_arn(place, &format!("role{}{}", self.path, self.name))
    }

    /// Whether AWS makes and changes it for a service.
    pub fn is_service_linked(&self) -> bool {
        self.path.starts_with("/aws-service-role/")
    }
}

const ROLE: &str = "SELECT id, name, path, description, created_ms, session_seconds_max, trust, boundary FROM iam_role";

/// Reads a row of `SELECT` with [`Role`]'s columns, in their order.
pub fn role_of(row: &Row<'_>) -> rusqlite::Result<Role> {
    Ok(Role {
        id: row.get(0)?,
        name: row.get(1)?,
        path: row.get(2)?,
        description: row.get(3)?,
        created_ms: row.get(4)?,
        session_seconds_max: row.get(5)?,
        trust: row.get(6)?,
        boundary: row.get(7)?,
    })
}

/// The role of this name (without its path).
pub fn role_by_name(connection: &Connection, name: &str) -> Result<Option<Role>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{ROLE} WHERE name = ?"))?;
    Ok(statement.query_row([name], role_of).optional()?)
}

/// The role with this id.
pub fn role_by_id(connection: &Connection, id: &str) -> Result<Option<Role>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{ROLE} WHERE id = ?"))?;
    Ok(statement.query_row([id], role_of).optional()?)
}

/// The role with this ARN; the path must be right too.
pub fn role_by_arn(connection: &Connection, place: &Place, arn: &str) -> Result<Option<Role>, StoreError> {
    let name = arn.rsplit('/').next().unwrap_or_default();
    Ok(role_by_name(connection, name)?.filter(|role| role.arn(place) == arn))
}

/// Name and document of a role's inline policies, by name.
pub fn inline_policies(connection: &Connection, role_id: &str) -> Result<Vec<(String, String)>, StoreError> {
    let select = "SELECT name, document FROM iam_role_policy WHERE role = ? ORDER BY name";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map([role_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The ARNs of the policies that are attached to a role, in the order of their attaching.
pub fn attached_policies(connection: &Connection, role_id: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT policy FROM iam_attachment WHERE role = ? ORDER BY seq")?;
    let rows = statement.query_map([role_id], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The document of a policy's default version: the account's or AWS's.
pub fn policy_document(connection: &Connection, place: &Place, arn: &str) -> Result<Option<Cow<'static, str>>, StoreError> {
    if let Some(policy) = managed::find(arn) {
        return Ok(Some(Cow::Borrowed(policy.document.as_str())));
    }
    let select = "SELECT policy.path, version.document FROM iam_policy AS policy JOIN iam_policy_version AS version
        ON version.policy = policy.id AND version.version = policy.default_version WHERE policy.name = ?";
    let name = arn.rsplit('/').next().unwrap_or_default();
    let mut statement = connection.prepare_cached(select)?;
    let found: Option<(String, String)> = statement.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let own = |path: &str| iam_arn(place, &format!("policy{path}{name}")) == arn;
    Ok(found.filter(|(path, _)| own(path)).map(|(_, document)| Cow::Owned(document)))
}

/// The same, where it must be there since something refers to it.
pub fn boundary_or_policy(connection: &Connection, place: &Place, arn: &str) -> Result<Cow<'static, str>, StoreError> {
    let missing = || StoreError::Corrupt(format!("the policy {arn} is referred to and does not exist"));
    policy_document(connection, place, arn)?.ok_or_else(missing)
}

/// Key and value of the tags of a role, policy or instance profile (by its id), by key.
pub fn tags(connection: &Connection, owner: &str) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM iam_tag WHERE owner = ? ORDER BY key")?;
    let rows = statement.query_map([owner], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
