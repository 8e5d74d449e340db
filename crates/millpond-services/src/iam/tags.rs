use super::profiles::find_profile;
use super::{Iam, IamError, Page, Tags, Window, own_role, policies, sql};
use crate::lake::identity;
use millpond_store::Tx;
use rusqlite::Connection;
use std::collections::HashSet;

const TAGS_MAX: usize = 50;

/// What has tags.
#[derive(Debug, Clone)]
pub enum Owner {
    /// By its name.
    Role(String),
    /// By its ARN.
    Policy(String),
    /// By its name.
    InstanceProfile(String),
}

impl Owner {
    /// The id that its tags are kept under.
    fn id(&self, iam: &Iam, connection: &Connection) -> Result<String, IamError> {
        match self {
            Self::Role(name) => Ok(own_role(connection, name)?.id),
            Self::Policy(arn) => Ok(policies::own_policy(iam, connection, arn)?.id),
            Self::InstanceProfile(name) => Ok(find_profile(connection, name)?.id),
        }
    }
}

/// Keys that differ in case alone are the same.
pub(super) fn check(tags: &[(String, String)]) -> Result<(), IamError> {
    let mut keys = HashSet::new();
    for (key, _) in tags {
        if key.to_lowercase().starts_with("aws:") {
            let text = format!("The tag key '{key}' begins with 'aws:', which is kept for AWS's own tags.");
            return Err(IamError::InvalidInput(text));
        }
        if !keys.insert(key.to_lowercase()) {
            let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(IamError::InvalidInput(text.into()));
        }
    }
    Ok(())
}

pub(super) fn put(tx: &Tx<'_>, owner: &str, tags: &[(String, String)]) -> Result<(), IamError> {
    tags.iter().try_for_each(|(key, value)| sql::put_tag(tx, owner, key, value))?;
    match identity::tags(tx, owner)?.len() {
        0..=TAGS_MAX => Ok(()),
        _ => Err(IamError::LimitExceeded(format!("The number of tags has reached the maximum limit ({TAGS_MAX})."))),
    }
}

impl Iam {
    /// `TagRole`, `TagPolicy`, `TagInstanceProfile`.
    pub async fn tag(&self, owner: Owner, tags: Tags) -> Result<(), IamError> {
        check(&tags)?;
        self.write(move |iam, tx| put(tx, &owner.id(iam, tx)?, &tags)).await
    }

    /// `UntagRole`, `UntagPolicy`, `UntagInstanceProfile`.
    pub async fn untag(&self, owner: Owner, keys: Vec<String>) -> Result<(), IamError> {
        self.write(move |iam, tx| {
            let id = owner.id(iam, tx)?;
            Ok(keys.iter().try_for_each(|key| sql::delete_tag(tx, &id, key))?)
        })
        .await
    }

    /// `ListRoleTags`, `ListPolicyTags`, `ListInstanceProfileTags`, by key.
    pub async fn tags(&self, owner: Owner, window: Window) -> Result<Page<(String, String)>, IamError> {
        self.read(move |iam, connection| {
            let id = match &owner {
                Owner::Role(name) => super::find_role(connection, name)?.id,
                Owner::Policy(arn) if identity::managed::find(arn).is_some() => String::new(),
                _ => owner.id(iam, connection)?,
            };
            window.cut(identity::tags(connection, &id)?, |(key, _)| key)
        })
        .await
    }
}
