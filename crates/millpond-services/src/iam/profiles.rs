use super::roles::detail;
use super::{Iam, IamError, Page, RoleDetail, Tags, Window, find_role, new_id, sql, tags};
use crate::lake::identity;
use rusqlite::Connection;

/// The row of an instance profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ProfileRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) created_ms: i64,
    /// The id of its role.
    pub(super) role: Option<String>,
}

/// An instance profile: what carries a role to a machine. Nothing in a lake uses one; tools that make roles for machines make
/// them too.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceProfile {
    /// `AIPA…`
    pub id: String,
    /// Without its path.
    pub name: String,
    /// `/`, …
    pub path: String,
    /// `arn:aws:iam::ACCOUNT:instance-profile/…`
    pub arn: String,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// One at the most.
    pub role: Option<RoleDetail>,
    /// By key.
    pub tags: Tags,
}

pub(super) fn find_profile(connection: &Connection, name: &str) -> Result<ProfileRow, IamError> {
    let missing = || IamError::NoSuchEntity(format!("Instance Profile {name} cannot be found."));
    sql::profile(connection, name)?.ok_or_else(missing)
}

impl Iam {
    fn profile_of(&self, connection: &Connection, row: ProfileRow) -> Result<InstanceProfile, IamError> {
        let role = match &row.role {
            Some(id) => identity::role_by_id(connection, id)?,
            None => None,
        };
        Ok(InstanceProfile {
            arn: self.arn(&format!("instance-profile{}{}", row.path, row.name)),
            tags: identity::tags(connection, &row.id)?,
            id: row.id,
            name: row.name,
            path: row.path,
            created_ms: row.created_ms,
            role: role.map(|role| detail(self, connection, role)).transpose()?,
        })
    }

    /// `CreateInstanceProfile`
    pub async fn create_instance_profile(
        &self,
        name: String,
        path: Option<String>,
        tags: Tags,
    ) -> Result<InstanceProfile, IamError> {
        tags::check(&tags)?;
        self.write(move |iam, tx| {
            if sql::profile(tx, &name)?.is_some() {
                return Err(IamError::AlreadyExists(format!("Instance Profile {name} already exists.")));
            }
            let path = path.unwrap_or_else(|| "/".into());
            let row = ProfileRow { id: new_id(tx.env().as_ref(), "AIPA"), name, path, created_ms: tx.now_ms(), role: None };
            sql::put_profile(tx, &row)?;
            tags::put(tx, &row.id, &tags)?;
            iam.profile_of(tx, row)
        })
        .await
    }

    /// `GetInstanceProfile`
    pub async fn instance_profile(&self, name: String) -> Result<InstanceProfile, IamError> {
        self.read(move |iam, connection| iam.profile_of(connection, find_profile(connection, &name)?)).await
    }

    /// `ListInstanceProfiles`, by name; with a role's name `ListInstanceProfilesForRole`.
    pub async fn instance_profiles(
        &self,
        path_prefix: Option<String>,
        role: Option<String>,
        window: Window,
    ) -> Result<Page<InstanceProfile>, IamError> {
        self.read(move |iam, connection| {
            let role = role.map(|name| find_role(connection, &name)).transpose()?;
            let prefix = path_prefix.unwrap_or_else(|| "/".into());
            let rows = sql::profiles(connection, &prefix, role.as_ref().map(|role| role.id.as_str()))?;
            let page = window.cut(rows, |row| &row.name)?;
            let items = page.items.into_iter().map(|row| iam.profile_of(connection, row)).collect::<Result<_, _>>()?;
            Ok(Page { items, next: page.next })
        })
        .await
    }

    /// `DeleteInstanceProfile`
    pub async fn delete_instance_profile(&self, name: String) -> Result<(), IamError> {
        self.write(move |_, tx| {
            let row = find_profile(tx, &name)?;
            if row.role.is_some() {
                let text = "Cannot delete entity, must remove roles from instance profile first.";
                return Err(IamError::DeleteConflict(text.into()));
            }
            Ok(sql::delete_profile(tx, &row.id)?)
        })
        .await
    }

    /// `AddRoleToInstanceProfile`
    pub async fn add_role_to_instance_profile(&self, name: String, role: String) -> Result<(), IamError> {
        self.write(move |_, tx| {
            let mut row = find_profile(tx, &name)?;
            let role = find_role(tx, &role)?;
            if row.role.is_some() {
                let text = "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1";
                return Err(IamError::LimitExceeded(text.into()));
            }
            row.role = Some(role.id);
            Ok(sql::put_profile(tx, &row)?)
        })
        .await
    }

    /// `RemoveRoleFromInstanceProfile`
    pub async fn remove_role_from_instance_profile(&self, name: String, role: String) -> Result<(), IamError> {
        self.write(move |_, tx| {
            let mut row = find_profile(tx, &name)?;
            let role = find_role(tx, &role)?;
            if row.role.as_ref() != Some(&role.id) {
                let text = format!("The role with name {} is not in the instance profile {name}.", role.name);
                return Err(IamError::NoSuchEntity(text));
            }
            row.role = None;
            Ok(sql::put_profile(tx, &row)?)
        })
        .await
    }
}
