use super::{Iam, IamError, Page, Window, find_role, own_role, policies, policy_size, sql};
use crate::lake::identity::{attached_policies, inline_policies};
use millpond_core::policy::{Policy, PolicyKind};

/// Characters of all inline policies of a role together.
const INLINE_SIZE_MAX: usize = 10_240;

/// AWS's default.
const ATTACHED_MAX: usize = 10;

impl Iam {
    /// `PutRolePolicy`
    pub async fn put_role_policy(&self, role: String, name: String, document: String) -> Result<(), IamError> {
        Policy::parse_as(&document, PolicyKind::Identity)?;
        self.write(move |_, tx| {
            let role = own_role(tx, &role)?;
            let others = inline_policies(tx, &role.id)?;
            let others: usize = others.iter().filter(|other| other.0 != name).map(|other| policy_size(&other.1)).sum();
            if others + policy_size(&document) > INLINE_SIZE_MAX {
                let text = format!("Maximum policy size of {INLINE_SIZE_MAX} bytes exceeded for role {}", role.name);
                return Err(IamError::LimitExceeded(text));
            }
            Ok(sql::put_inline(tx, &role.id, &name, &document)?)
        })
        .await
    }

    /// `GetRolePolicy`: its document.
    pub async fn role_policy(&self, role: String, name: String) -> Result<String, IamError> {
        self.read(move |_, connection| {
            let role = find_role(connection, &role)?;
            let found = inline_policies(connection, &role.id)?.into_iter().find(|policy| policy.0 == name);
            found.map(|policy| policy.1).ok_or_else(|| no_inline(&name))
        })
        .await
    }

    /// `ListRolePolicies`: names.
    pub async fn role_policies(&self, role: String, window: Window) -> Result<Page<String>, IamError> {
        self.read(move |_, connection| {
            let role = find_role(connection, &role)?;
            let mut names: Vec<String> = inline_policies(connection, &role.id)?.into_iter().map(|policy| policy.0).collect();
            names.sort_by_key(|name| name.to_lowercase());
            window.cut(names, |name| name)
        })
        .await
    }

    /// `DeleteRolePolicy`
    pub async fn delete_role_policy(&self, role: String, name: String) -> Result<(), IamError> {
        self.write(move |_, tx| {
            let role = own_role(tx, &role)?;
            match sql::delete_inline(tx, &role.id, &name)? {
                true => Ok(()),
                false => Err(no_inline(&name)),
            }
        })
        .await
    }

    /// `AttachRolePolicy`. One that is attached already stays so.
    pub async fn attach(&self, role: String, policy: String) -> Result<(), IamError> {
        self.write(move |iam, tx| {
            let role = own_role(tx, &role)?;
            policies::exists(iam, tx, &policy)?;
            let attached = attached_policies(tx, &role.id)?;
            if !attached.contains(&policy) && attached.len() >= ATTACHED_MAX {
                return Err(IamError::LimitExceeded(format!("Cannot exceed quota for PoliciesPerRole: {ATTACHED_MAX}")));
            }
            Ok(sql::attach(tx, &role.id, &policy)?)
        })
        .await
    }

    /// `DetachRolePolicy`
    pub async fn detach(&self, role: String, policy: String) -> Result<(), IamError> {
        self.write(move |_, tx| {
            let role = own_role(tx, &role)?;
            match sql::detach(tx, &role.id, &policy)? {
                true => Ok(()),
                false => Err(IamError::no_policy(&policy)),
            }
        })
        .await
    }

    /// `ListAttachedRolePolicies`: name and ARN, by name.
    pub async fn attached(
        &self,
        role: String,
        path_prefix: Option<String>,
        window: Window,
    ) -> Result<Page<(String, String)>, IamError> {
        self.read(move |_, connection| {
            let role = find_role(connection, &role)?;
            let prefix = path_prefix.unwrap_or_else(|| "/".into());
            let attached = attached_policies(connection, &role.id)?.into_iter();
            let mut attached: Vec<(String, String)> = attached
                .filter(|arn| arn.split_once(":policy").is_some_and(|(_, path)| path.starts_with(&prefix)))
                .map(|arn| (arn.rsplit('/').next().unwrap_or_default().to_owned(), arn))
                .collect();
            attached.sort_by_key(|(name, _)| name.to_lowercase());
            window.cut(attached, |(name, _)| name)
        })
        .await
    }
}

fn no_inline(name: &str) -> IamError {
    IamError::NoSuchEntity(format!("The role policy with name {name} cannot be found."))
}
