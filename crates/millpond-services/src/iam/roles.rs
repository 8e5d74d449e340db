use super::{Iam, IamError, Page, Tags, Window, find_role, new_id, own_role, policies, policy_size, sql, tags};
use crate::lake::identity::{self, Role, attached_policies, inline_policies, role_by_arn, role_by_name};
use millpond_core::policy::{Policy, PolicyKind};
use rusqlite::Connection;

/// AWS's default (1,000).
const ROLES_MAX: i64 = 1_000;

const TRUST_SIZE_MAX: usize = 2_048;

/// A role to create.
#[derive(Debug, Clone, Default)]
pub struct NewRole {
    /// `/` where none is given.
    pub path: Option<String>,
    /// Other than all there are, also in lower case.
    pub name: String,
    /// The trust policy.
    pub trust: String,
    /// For people.
    pub description: Option<String>,
    /// From 3,600 to 43,200.
    pub session_seconds_max: Option<i64>,
    /// The ARN of a policy.
    pub boundary: Option<String>,
    /// At most 50.
    pub tags: Tags,
}

/// A role as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleDetail {
    /// Its row.
    pub role: Role,
    /// `arn:aws:iam::ACCOUNT:role/…`
    pub arn: String,
    /// By key.
    pub tags: Tags,
}

/// Reads a trust policy and looks whether the roles of this account that it names exist; answers it as it is kept.
fn checked_trust(iam: &Iam, connection: &Connection, text: &str) -> Result<String, IamError> {
    if policy_size(text) > TRUST_SIZE_MAX {
        return Err(IamError::LimitExceeded(format!("Cannot exceed quota for ACLSizePerRole: {TRUST_SIZE_MAX}")));
    }
    let policy = Policy::parse_as(text, PolicyKind::Trust)?;
    let place = &iam.lake.place;
    let ours = |arn: &&str| arn.split(':').nth(4) == Some(place.account.as_str());
    for arn in policy.statements().iter().flat_map(|statement| statement.named_arns()).filter(ours) {
        let exists = match arn.split(':').nth(5).unwrap_or_default().split_once('/') {
            Some(("role", _)) => role_by_arn(connection, place, arn)?.is_some(),
            Some(("assumed-role", rest)) => role_by_name(connection, rest.split('/').next().unwrap_or_default())?.is_some(),
            _ => true, // Users are not kept here, so that they exist elsewhere cannot be denied.
        };
        if !exists {
            let text = format!("Invalid principal in policy: \"AWS\":\"{arn}\" (this role does not exist; create it first)");
            return Err(IamError::MalformedPolicy(text));
        }
    }
    Ok(with_roots(text))
}

/// A valid trust policy with `arn:aws:iam::ACCOUNT:root` for each account that is named by its digits alone, as IAM keeps it. All else
/// stays as it was written, so this looks for the places in the text.
fn with_roots(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // The containers that are open here, each with the member that is being read; lists have none.
    let mut open: Vec<(bool, Option<String>)> = Vec::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(&byte) = text.as_bytes().get(at) {
        let begin = at;
        at += 1;
        match byte {
            b'{' | b'[' => open.push((byte == b'{', None)),
            b'}' | b']' => drop(open.pop()),
            b',' => {
                if let Some((_, member)) = open.last_mut() {
                    *member = None;
                }
            }
            b'"' => {
                at = end_of_string(text, at);
                let Ok(string) = serde_json::from_str::<String>(&text[begin..at]) else { continue };
                let names_member = matches!(open.last(), Some((true, None)));
                if names_member {
                    if let Some((_, member)) = open.last_mut() {
                        *member = Some(string);
                    }
                } else if is_account(&string) && open.iter().filter_map(|(_, member)| member.as_deref()).eq(TRUSTED) {
                    out.push_str(&text[copied..begin]);
                    out.push_str(&format!("\"arn:aws:iam::{string}:root\""));
                    copied = at;
                }
            }
            _ => {}
        }
    }
    out.push_str(&text[copied..]);
    out
}

/// Where a trust policy names accounts.
const TRUSTED: [&str; 3] = ["Statement", "Principal", "AWS"];

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Behind the closing quote of the string whose first character is at `from`.
fn end_of_string(text: &str, from: usize) -> usize {
    let mut escaped = false;
    let closing = text.as_bytes()[from..].iter().position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    });
    closing.map_or(text.len(), |at| from + at + 1)
}

pub(super) fn detail(iam: &Iam, connection: &Connection, role: Role) -> Result<RoleDetail, IamError> {
    Ok(RoleDetail { arn: role.arn(&iam.lake.place), tags: identity::tags(connection, &role.id)?, role })
}

impl Iam {
    /// `CreateRole`
    pub async fn create_role(&self, new: NewRole) -> Result<RoleDetail, IamError> {
        tags::check(&new.tags)?;
        let path = new.path.clone().unwrap_or_else(|| "/".into());
        if path.starts_with("/aws-service-role/") {
            let text = "The path /aws-service-role/ is kept for service-linked roles: use CreateServiceLinkedRole.";
            return Err(IamError::Validation(text.into()));
        }
        self.write(move |iam, tx| {
            let trust = checked_trust(iam, tx, &new.trust)?;
            if let Some(arn) = &new.boundary {
                policies::exists(iam, tx, arn)?;
            }
            let role = Role {
                id: new_id(tx.env().as_ref(), "AROA"),
                name: new.name,
                path,
                description: new.description,
                created_ms: tx.now_ms(),
                session_seconds_max: new.session_seconds_max.unwrap_or(3600),
                trust,
                boundary: new.boundary,
            };
            iam.insert_role(tx, &role)?;
            tags::put(tx, &role.id, &new.tags)?;
            detail(iam, tx, role)
        })
        .await
    }

    pub(super) fn insert_role(&self, tx: &millpond_store::Tx<'_>, role: &Role) -> Result<(), IamError> {
        if role_by_name(tx, &role.name)?.is_some() {
            return Err(IamError::AlreadyExists(format!("Role with name {} already exists.", role.name)));
        }
        if sql::count_roles(tx)? >= ROLES_MAX {
            return Err(IamError::LimitExceeded(format!("Cannot exceed quota for RolesPerAccount: {ROLES_MAX}")));
        }
        sql::insert_role(tx, role)?;
        self.identity.role_comes(tx, &role.id);
        Ok(())
    }

    /// `GetRole`
    pub async fn role(&self, name: String) -> Result<RoleDetail, IamError> {
        self.read(move |iam, connection| detail(iam, connection, find_role(connection, &name)?)).await
    }

    /// `ListRoles`, by name.
    pub async fn roles(&self, path_prefix: Option<String>, window: Window) -> Result<Page<RoleDetail>, IamError> {
        self.read(move |iam, connection| {
            let roles = sql::roles(connection, path_prefix.as_deref().unwrap_or("/"))?;
            let page = window.cut(roles, |role| &role.name)?;
            let shown = |role: Role| RoleDetail { arn: role.arn(&iam.lake.place), tags: Tags::new(), role };
            Ok(Page { items: page.items.into_iter().map(shown).collect(), next: page.next })
        })
        .await
    }

    /// `UpdateRole`. A time that is not given becomes an hour, as IAM's API reference says; a description that is not given
    /// stays.
    pub async fn update_role(
        &self,
        name: String,
        description: Option<String>,
        session_seconds_max: Option<i64>,
    ) -> Result<RoleDetail, IamError> {
        self.change_role(name, move |_, _, role| {
            role.session_seconds_max = session_seconds_max.unwrap_or(3600);
            role.description = description.or_else(|| role.description.take());
            Ok(())
        })
        .await
    }

    /// `UpdateRoleDescription`
    pub async fn update_role_description(&self, name: String, description: String) -> Result<RoleDetail, IamError> {
        self.change_role(name, move |_, _, role| {
            role.description = Some(description);
            Ok(())
        })
        .await
    }

    /// `UpdateAssumeRolePolicy`
    pub async fn update_trust(&self, name: String, trust: String) -> Result<RoleDetail, IamError> {
        self.change_role(name, move |iam, connection, role| {
            role.trust = checked_trust(iam, connection, &trust)?;
            Ok(())
        })
        .await
    }

    /// `PutRolePermissionsBoundary`, and with `None` `DeleteRolePermissionsBoundary`.
    pub async fn set_boundary(&self, name: String, boundary: Option<String>) -> Result<RoleDetail, IamError> {
        self.change_role(name, move |iam, connection, role| {
            match &boundary {
                Some(arn) => policies::exists(iam, connection, arn)?,
                None if role.boundary.is_none() => {
                    let text = format!("Role {} does not have a permissions boundary.", role.name);
                    return Err(IamError::NoSuchEntity(text));
                }
                None => {}
            }
            role.boundary = boundary;
            Ok(())
        })
        .await
    }

    async fn change_role(
        &self,
        name: String,
        change: impl FnOnce(&Self, &Connection, &mut Role) -> Result<(), IamError> + Send + 'static,
    ) -> Result<RoleDetail, IamError> {
        self.write(move |iam, tx| {
            let mut role = own_role(tx, &name)?;
            change(iam, tx, &mut role)?;
            sql::update_role(tx, &role)?;
            detail(iam, tx, role)
        })
        .await
    }

    /// `DeleteRole`. Its sessions end with it.
    pub async fn delete_role(&self, name: String) -> Result<(), IamError> {
        self.write(move |iam, tx| {
            let role = own_role(tx, &name)?;
            let conflict = |text: &str| Err(IamError::DeleteConflict(format!("Cannot delete entity, must {text} first.")));
            if !sql::profiles(tx, "/", Some(&role.id))?.is_empty() {
                return conflict("remove roles from instance profile");
            }
            if !attached_policies(tx, &role.id)?.is_empty() {
                return conflict("detach all policies");
            }
            if !inline_policies(tx, &role.id)?.is_empty() {
                return conflict("delete policies");
            }
            sql::delete_role(tx, &role.id)?;
            iam.identity.role_goes(tx, &role.id);
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::with_roots;

    #[test]
    fn accounts_become_their_roots_and_all_else_stays_as_it_was_written() {
        let one = |principal: &str| {
            format!(
                "{{ \"Statement\":\t[{{\"Sid\": \"111122223333\", \"Principal\": {principal},\n \"Action\": \"sts:AssumeRole\", \
                     \"Condition\": {{\"StringEquals\": {{\"sts:ExternalId\": \"111122223333\", \"AWS\": [\"111122223333\"]}}}}}}]}}"
            )
        };
        let root = "\"arn:aws:iam::111122223333:root\"";
        for (given, kept) in [
            (r#"{"AWS": "111122223333"}"#, format!("{{\"AWS\": {root}}}")),
            (
                r#"{"AWS":["*" , "111122223333","444455556666"]}"#,
                format!(r#"{{"AWS":["*" , {root},"arn:aws:iam::444455556666:root"]}}"#),
            ),
            (r#"{"Service": "a\"\\", "AWS": "\u003111122223333"}"#, format!(r#"{{"Service": "a\"\\", "AWS": {root}}}"#)),
            (r#"{"Federated": "111122223333"}"#, r#"{"Federated": "111122223333"}"#.into()),
            (r#"{"AWS": "arn:aws:iam::111122223333:role/\u00e9"}"#, r#"{"AWS": "arn:aws:iam::111122223333:role/\u00e9"}"#.into()),
            (r#""*""#, r#""*""#.into()),
        ] {
            assert_eq!(with_roots(&one(given)), one(&kept));
        }
    }
}
