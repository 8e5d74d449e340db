//! The SQL that writes and lists what IAM keeps. What reads single roles and policies is in `lake::identity`.

use super::policies::PolicyRow;
use super::profiles::ProfileRow;
use crate::lake::identity::{Role, role_of};
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};

type Done = Result<(), StoreError>;

fn count(connection: &Connection, sql: &str, of: &[&str]) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached(sql)?.query_row(rusqlite::params_from_iter(of), |row| row.get(0))?)
}

// Roles

pub(super) fn insert_role(tx: &Tx<'_>, role: &Role) -> Done {
    let insert = "INSERT INTO iam_role (id, name, path, description, created_ms, session_seconds_max, trust, boundary)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let Role { id, name, path, description, created_ms, session_seconds_max, trust, boundary } = role;
    let values = params![id, name, path, description, created_ms, session_seconds_max, trust, boundary];
    tx.prepare_cached(insert)?.execute(values)?;
    Ok(())
}

pub(super) fn update_role(tx: &Tx<'_>, role: &Role) -> Done {
    let update = "UPDATE iam_role SET description = ?, session_seconds_max = ?, trust = ?, boundary = ? WHERE id = ?";
    let Role { id, description, session_seconds_max, trust, boundary, .. } = role;
    tx.prepare_cached(update)?.execute(params![description, session_seconds_max, trust, boundary, id])?;
    Ok(())
}

pub(super) fn delete_role(tx: &Tx<'_>, id: &str) -> Done {
    delete_tags(tx, id)?;
    tx.prepare_cached("DELETE FROM iam_role WHERE id = ?")?.execute([id])?;
    Ok(())
}

pub(super) fn count_roles(connection: &Connection) -> Result<i64, StoreError> {
    count(connection, "SELECT count(*) FROM iam_role", &[])
}

pub(super) fn roles(connection: &Connection, path_prefix: &str) -> Result<Vec<Role>, StoreError> {
    let select = "SELECT id, name, path, description, created_ms, session_seconds_max, trust, boundary FROM iam_role
        WHERE substr(path, 1, length(?1)) = ?1 ORDER BY name";
    let mut statement = connection.prepare_cached(select)?;
    Ok(statement.query_map([path_prefix], role_of)?.collect::<Result<_, _>>()?)
}

// Inline and attached policies

pub(super) fn put_inline(tx: &Tx<'_>, role: &str, name: &str, document: &str) -> Done {
    let put = "INSERT INTO iam_role_policy (role, name, document) VALUES (?1, ?2, ?3)
        ON CONFLICT (role, name) DO UPDATE SET document = ?3";
    tx.prepare_cached(put)?.execute([role, name, document])?;
    Ok(())
}

pub(super) fn delete_inline(tx: &Tx<'_>, role: &str, name: &str) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("DELETE FROM iam_role_policy WHERE role = ? AND name = ?")?.execute([role, name])? > 0)
}

pub(super) fn attach(tx: &Tx<'_>, role: &str, policy: &str) -> Done {
    let insert = "INSERT INTO iam_attachment (role, policy, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    tx.prepare_cached(insert)?.execute(params![role, policy, tx.next_seq()])?;
    Ok(())
}

pub(super) fn detach(tx: &Tx<'_>, role: &str, policy: &str) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("DELETE FROM iam_attachment WHERE role = ? AND policy = ?")?.execute([role, policy])? > 0)
}

pub(super) fn count_attachments(connection: &Connection, policy: &str) -> Result<i64, StoreError> {
    count(connection, "SELECT count(*) FROM iam_attachment WHERE policy = ?", &[policy])
}

pub(super) fn count_boundaries(connection: &Connection, policy: &str) -> Result<i64, StoreError> {
    count(connection, "SELECT count(*) FROM iam_role WHERE boundary = ?", &[policy])
}

/// The roles that a policy is attached to, or bounds.
pub(super) fn roles_with(connection: &Connection, policy: &str, as_boundary: bool) -> Result<Vec<Role>, StoreError> {
    let columns = "SELECT role.id, role.name, role.path, role.description, role.created_ms, role.session_seconds_max, role.trust,
        role.boundary FROM iam_role AS role";
    let select = match as_boundary {
        true => format!("{columns} WHERE role.boundary = ? ORDER BY role.name"),
        false => format!(
            "{columns} JOIN iam_attachment AS attachment ON attachment.role = role.id WHERE attachment.policy = ? ORDER BY role.name"
        ),
    };
    let mut statement = connection.prepare_cached(&select)?;
    Ok(statement.query_map([policy], role_of)?.collect::<Result<_, _>>()?)
}

// The account's own policies

fn policy_row(row: &Row<'_>) -> rusqlite::Result<PolicyRow> {
    Ok(PolicyRow {
        id: row.get(0)?,
        name: row.get(1)?,
        path: row.get(2)?,
        description: row.get(3)?,
        created_ms: row.get(4)?,
        updated_ms: row.get(5)?,
        default_version: row.get(6)?,
        last_version: row.get(7)?,
    })
}

const POLICY: &str = "SELECT id, name, path, description, created_ms, updated_ms, default_version, last_version FROM iam_policy";

pub(super) fn policy(connection: &Connection, name: &str) -> Result<Option<PolicyRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{POLICY} WHERE name = ?"))?;
    Ok(statement.query_row([name], policy_row).optional()?)
}

pub(super) fn policies(connection: &Connection) -> Result<Vec<PolicyRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{POLICY} ORDER BY name"))?;
    Ok(statement.query_map([], policy_row)?.collect::<Result<_, _>>()?)
}

pub(super) fn put_policy(tx: &Tx<'_>, policy: &PolicyRow) -> Done {
    let put = "INSERT INTO iam_policy (id, name, path, description, created_ms, updated_ms, default_version, last_version)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (id) DO UPDATE SET updated_ms = ?6, default_version = ?7, last_version = ?8";
    let PolicyRow { id, name, path, description, created_ms, updated_ms, default_version, last_version } = policy;
    let values = params![id, name, path, description, created_ms, updated_ms, default_version, last_version];
    tx.prepare_cached(put)?.execute(values)?;
    Ok(())
}

pub(super) fn delete_policy(tx: &Tx<'_>, id: &str) -> Done {
    delete_tags(tx, id)?;
    tx.prepare_cached("DELETE FROM iam_policy WHERE id = ?")?.execute([id])?;
    Ok(())
}

pub(super) fn insert_version(tx: &Tx<'_>, policy: &str, version: i64, document: &str) -> Done {
    let insert = "INSERT INTO iam_policy_version (policy, version, document, created_ms) VALUES (?, ?, ?, ?)";
    tx.prepare_cached(insert)?.execute(params![policy, version, document, tx.now_ms()])?;
    Ok(())
}

/// Number, document and time of the versions, the newest first.
pub(super) fn versions(connection: &Connection, policy: &str) -> Result<Vec<(i64, String, i64)>, StoreError> {
    let select = "SELECT version, document, created_ms FROM iam_policy_version WHERE policy = ? ORDER BY version DESC";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map([policy], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn delete_version(tx: &Tx<'_>, policy: &str, version: i64) -> Done {
    let delete = "DELETE FROM iam_policy_version WHERE policy = ? AND version = ?";
    tx.prepare_cached(delete)?.execute(params![policy, version])?;
    Ok(())
}

// Instance profiles

fn profile_row(row: &Row<'_>) -> rusqlite::Result<ProfileRow> {
    Ok(ProfileRow { id: row.get(0)?, name: row.get(1)?, path: row.get(2)?, created_ms: row.get(3)?, role: row.get(4)? })
}

pub(super) fn profile(connection: &Connection, name: &str) -> Result<Option<ProfileRow>, StoreError> {
    let select = "SELECT id, name, path, created_ms, role FROM iam_instance_profile WHERE name = ?";
    Ok(connection.prepare_cached(select)?.query_row([name], profile_row).optional()?)
}

/// Those below a path; with a role (its id) those that have it.
pub(super) fn profiles(connection: &Connection, path_prefix: &str, role: Option<&str>) -> Result<Vec<ProfileRow>, StoreError> {
    let select = "SELECT id, name, path, created_ms, role FROM iam_instance_profile
        WHERE substr(path, 1, length(?1)) = ?1 AND (?2 IS NULL OR role = ?2) ORDER BY name";
    let mut statement = connection.prepare_cached(select)?;
    Ok(statement.query_map(params![path_prefix, role], profile_row)?.collect::<Result<_, _>>()?)
}

pub(super) fn put_profile(tx: &Tx<'_>, profile: &ProfileRow) -> Done {
    let put = "INSERT INTO iam_instance_profile (id, name, path, created_ms, role) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (id) DO UPDATE SET role = ?5";
    let ProfileRow { id, name, path, created_ms, role } = profile;
    tx.prepare_cached(put)?.execute(params![id, name, path, created_ms, role])?;
    Ok(())
}

pub(super) fn delete_profile(tx: &Tx<'_>, id: &str) -> Done {
    delete_tags(tx, id)?;
    tx.prepare_cached("DELETE FROM iam_instance_profile WHERE id = ?")?.execute([id])?;
    Ok(())
}

// Tags

/// A key that is there in another case keeps its row and gets the case that is given.
pub(super) fn put_tag(tx: &Tx<'_>, owner: &str, key: &str, value: &str) -> Done {
    let put = "INSERT INTO iam_tag (owner, key, value) VALUES (?1, ?2, ?3)
        ON CONFLICT (owner, key) DO UPDATE SET key = ?2, value = ?3";
    tx.prepare_cached(put)?.execute([owner, key, value])?;
    Ok(())
}

pub(super) fn delete_tag(tx: &Tx<'_>, owner: &str, key: &str) -> Done {
    tx.prepare_cached("DELETE FROM iam_tag WHERE owner = ? AND key = ?")?.execute([owner, key])?;
    Ok(())
}

fn delete_tags(tx: &Tx<'_>, owner: &str) -> Done {
    tx.prepare_cached("DELETE FROM iam_tag WHERE owner = ?")?.execute([owner])?;
    Ok(())
}
