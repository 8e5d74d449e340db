use super::{Iam, IamError, Page, Tags, Window, new_id, policy_size, sql, tags, unknown_managed};
use crate::lake::identity::managed::{self, ManagedPolicy};
use crate::lake::identity::{self, Role};
use millpond_core::policy::{Policy as Document, PolicyKind};
use rusqlite::Connection;

/// AWS's default (1,500).
const POLICIES_MAX: usize = 1_500;

const VERSIONS_MAX: usize = 5;

const SIZE_MAX: usize = 6_144;

/// The row of one of the account's own policies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PolicyRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) description: Option<String>,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
    pub(super) default_version: i64,
    pub(super) last_version: i64,
}

/// A policy to create.
#[derive(Debug, Clone, Default)]
pub struct NewPolicy {
    /// `/` where none is given.
    pub path: Option<String>,
    /// Other than all the account has, also in lower case.
    pub name: String,
    /// JSON.
    pub document: String,
    /// For people; never changes.
    pub description: Option<String>,
    /// At most 50.
    pub tags: Tags,
}

/// A managed policy: the account's own, or AWS's.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// `ANPA…`
    pub id: String,
    /// Without its path.
    pub name: String,
    /// `/`, `/service-role/`, …
    pub path: String,
    /// `arn:aws:iam::ACCOUNT:policy/…`, `arn:aws:iam::aws:policy/…`
    pub arn: String,
    /// For people.
    pub description: Option<String>,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    pub updated_ms: i64,
    /// The number in `v1`.
    pub default_version: i64,
    /// To how many roles it is attached.
    pub attachments: i64,
    /// How many roles it bounds.
    pub boundaries: i64,
    /// By key; none in listings.
    pub tags: Tags,
}

/// A version of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyVersion {
    /// The number in `v1`.
    pub version: i64,
    /// JSON.
    pub document: String,
    /// Whether it is the one that counts.
    pub is_default: bool,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
}

/// Whose policies to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// The account's and AWS's.
    #[default]
    All,
    /// AWS's.
    Aws,
    /// The account's.
    Local,
}

/// How a policy is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Attached.
    Permissions,
    /// As a boundary.
    Boundary,
}

/// The row of the account's own policy with this ARN.
pub(super) fn own_policy(iam: &Iam, connection: &Connection, arn: &str) -> Result<PolicyRow, IamError> {
    if managed::is_managed(arn) {
        let text = format!("Policy {arn} is AWS's: it can be attached, and not be changed.");
        return Err(IamError::InvalidInput(text));
    }
    find_own(iam, connection, arn)?.ok_or_else(|| IamError::no_policy(arn))
}

fn find_own(iam: &Iam, connection: &Connection, arn: &str) -> Result<Option<PolicyRow>, IamError> {
    let name = arn.rsplit('/').next().unwrap_or_default();
    let found = sql::policy(connection, name)?;
    Ok(found.filter(|row| iam.arn(&format!("policy{}{}", row.path, row.name)) == arn))
}

/// Fails where there is no policy with this ARN to attach.
pub(super) fn exists(iam: &Iam, connection: &Connection, arn: &str) -> Result<(), IamError> {
    match managed::is_managed(arn) {
        true if managed::find(arn).is_some() => Ok(()),
        true => Err(unknown_managed(arn)),
        false if !arn.starts_with("arn:") || !arn.contains(":policy/") => {
            Err(IamError::Validation(format!("ARN {arn} is not valid: a policy's is arn:aws:iam::ACCOUNT:policy/NAME.")))
        }
        false => match find_own(iam, connection, arn)? {
            Some(_) => Ok(()),
            None => Err(IamError::NoSuchEntity(format!("Policy {arn} does not exist or is not attachable."))),
        },
    }
}

fn check(document: &str) -> Result<(), IamError> {
    if policy_size(document) > SIZE_MAX {
        return Err(IamError::LimitExceeded(format!("Cannot exceed quota for PolicySize: {SIZE_MAX}")));
    }
    Document::parse_as(document, PolicyKind::Identity)?;
    Ok(())
}

impl Iam {
    fn policy_arn(&self, row: &PolicyRow) -> String {
        self.arn(&format!("policy{}{}", row.path, row.name))
    }

    fn shown(&self, connection: &Connection, row: PolicyRow) -> Result<Policy, IamError> {
        let arn = self.policy_arn(&row);
        Ok(Policy {
            attachments: sql::count_attachments(connection, &arn)?,
            boundaries: sql::count_boundaries(connection, &arn)?,
            arn,
            id: row.id,
            name: row.name,
            path: row.path,
            description: row.description,
            created_ms: row.created_ms,
            updated_ms: row.updated_ms,
            default_version: row.default_version,
            tags: Tags::new(),
        })
    }

    /// `CreatePolicy`
    pub async fn create_policy(&self, new: NewPolicy) -> Result<Policy, IamError> {
        check(&new.document)?;
        tags::check(&new.tags)?;
        self.write(move |iam, tx| {
            if sql::policy(tx, &new.name)?.is_some() {
                let text = format!("A policy called {} already exists. Duplicate names are not allowed.", new.name);
                return Err(IamError::AlreadyExists(text));
            }
            if sql::policies(tx)?.len() >= POLICIES_MAX {
                let text = format!("Cannot exceed quota for PoliciesPerAccount: {POLICIES_MAX}");
                return Err(IamError::LimitExceeded(text));
            }
            let row = PolicyRow {
                id: new_id(tx.env().as_ref(), "ANPA"),
                name: new.name,
                path: new.path.unwrap_or_else(|| "/".into()),
                description: new.description,
                created_ms: tx.now_ms(),
                updated_ms: tx.now_ms(),
                default_version: 1,
                last_version: 1,
            };
            sql::put_policy(tx, &row)?;
            sql::insert_version(tx, &row.id, 1, &new.document)?;
            tags::put(tx, &row.id, &new.tags)?;
            let tags = identity::tags(tx, &row.id)?;
            Ok(Policy { tags, ..iam.shown(tx, row)? })
        })
        .await
    }

    /// `GetPolicy`
    pub async fn policy(&self, arn: String) -> Result<Policy, IamError> {
        self.read(move |iam, connection| {
            if let Some(policy) = managed::find(&arn) {
                return of_aws(connection, policy);
            }
            if managed::is_managed(&arn) {
                return Err(unknown_managed(&arn));
            }
            let row = own_policy(iam, connection, &arn)?;
            let tags = identity::tags(connection, &row.id)?;
            Ok(Policy { tags, ..iam.shown(connection, row)? })
        })
        .await
    }

    /// `ListPolicies`, by name.
    pub async fn policies(
        &self,
        scope: Scope,
        only_attached: bool,
        path_prefix: Option<String>,
        usage: Option<Usage>,
        window: Window,
    ) -> Result<Page<Policy>, IamError> {
        self.read(move |iam, connection| {
            let mut all = Vec::new();
            if scope != Scope::Aws {
                for row in sql::policies(connection)? {
                    all.push(iam.shown(connection, row)?);
                }
            }
            if scope != Scope::Local {
                for policy in managed::all() {
                    all.push(of_aws(connection, policy)?);
                }
            }
            let prefix = path_prefix.unwrap_or_else(|| "/".into());
            all.retain(|policy| {
                let used = match usage {
                    Some(Usage::Permissions) => policy.attachments > 0,
                    Some(Usage::Boundary) => policy.boundaries > 0,
                    None => true,
                };
                let attached = !only_attached || policy.attachments > 0;
                used && attached && policy.path.starts_with(&prefix)
            });
            // Of two with the same name the account's comes first, and both are on the same page.
            all.sort_by_key(|policy| policy.name.to_lowercase());
            window.cut(all, |policy| &policy.name)
        })
        .await
    }

    /// `DeletePolicy`
    pub async fn delete_policy(&self, arn: String) -> Result<(), IamError> {
        self.write(move |iam, tx| {
            let row = own_policy(iam, tx, &arn)?;
            if sql::count_attachments(tx, &arn)? + sql::count_boundaries(tx, &arn)? > 0 {
                return Err(IamError::DeleteConflict("Cannot delete a policy attached to entities.".into()));
            }
            if sql::versions(tx, &row.id)?.len() > 1 {
                let text = "This policy has more than one version. Before you delete a policy, you must delete the policy's \
                            versions. The default version is deleted with the policy.";
                return Err(IamError::DeleteConflict(text.into()));
            }
            Ok(sql::delete_policy(tx, &row.id)?)
        })
        .await
    }

    /// `CreatePolicyVersion`
    pub async fn create_policy_version(
        &self,
        arn: String,
        document: String,
        set_default: bool,
    ) -> Result<PolicyVersion, IamError> {
        check(&document)?;
        self.write(move |iam, tx| {
            let mut row = own_policy(iam, tx, &arn)?;
            if sql::versions(tx, &row.id)?.len() >= VERSIONS_MAX {
                let text = format!(
                    "A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new version, you must delete \
                     an existing version."
                );
                return Err(IamError::LimitExceeded(text));
            }
            row.last_version += 1;
            row.updated_ms = tx.now_ms();
            if set_default {
                row.default_version = row.last_version;
            }
            sql::put_policy(tx, &row)?;
            sql::insert_version(tx, &row.id, row.last_version, &document)?;
            Ok(PolicyVersion { version: row.last_version, document, is_default: set_default, created_ms: row.updated_ms })
        })
        .await
    }

    /// `GetPolicyVersion`; `version` is `v1`.
    pub async fn policy_version(&self, arn: String, version: String) -> Result<PolicyVersion, IamError> {
        let all = self.all_versions(arn.clone()).await?;
        all.into_iter().find(|found| format!("v{}", found.version) == version).ok_or_else(|| no_version(&arn, &version))
    }

    /// `ListPolicyVersions`, the newest first.
    pub async fn policy_versions(&self, arn: String, window: Window) -> Result<Page<PolicyVersion>, IamError> {
        let all = self.all_versions(arn).await?; // At most five.
        let skip = window.after()?.parse::<usize>().unwrap_or(0);
        let mut items: Vec<PolicyVersion> = all.into_iter().skip(skip).collect();
        let more = items.len() > window.size();
        items.truncate(window.size());
        let next = more.then(|| {
            use base64::Engine;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode((skip + items.len()).to_string())
        });
        Ok(Page { items, next })
    }

    async fn all_versions(&self, arn: String) -> Result<Vec<PolicyVersion>, IamError> {
        self.read(move |iam, connection| {
            if let Some(policy) = managed::find(&arn) {
                let (version, document) = (policy.version, policy.document.clone());
                return Ok(vec![PolicyVersion { version, document, is_default: true, created_ms: policy.updated_ms }]);
            }
            if managed::is_managed(&arn) {
                return Err(unknown_managed(&arn));
            }
            let row = own_policy(iam, connection, &arn)?;
            let versions = sql::versions(connection, &row.id)?.into_iter();
            let shown = |(version, document, created_ms)| {
                let is_default = version == row.default_version;
                PolicyVersion { version, document, is_default, created_ms }
            };
            Ok(versions.map(shown).collect())
        })
        .await
    }

    /// `DeletePolicyVersion`
    pub async fn delete_policy_version(&self, arn: String, version: String) -> Result<(), IamError> {
        self.write(move |iam, tx| {
            let row = own_policy(iam, tx, &arn)?;
            let number = find_version(tx, &row, &arn, &version)?;
            if number == row.default_version {
                return Err(IamError::DeleteConflict("Cannot delete the default version of a policy.".into()));
            }
            Ok(sql::delete_version(tx, &row.id, number)?)
        })
        .await
    }

    /// `SetDefaultPolicyVersion`
    pub async fn set_default_version(&self, arn: String, version: String) -> Result<(), IamError> {
        self.write(move |iam, tx| {
            let mut row = own_policy(iam, tx, &arn)?;
            row.default_version = find_version(tx, &row, &arn, &version)?;
            row.updated_ms = tx.now_ms();
            Ok(sql::put_policy(tx, &row)?)
        })
        .await
    }

    /// `ListEntitiesForPolicy`: the roles that it is attached to (or bounds), by name.
    pub async fn entities_for_policy(
        &self,
        arn: String,
        path_prefix: Option<String>,
        usage: Option<Usage>,
        window: Window,
    ) -> Result<Page<Role>, IamError> {
        self.read(move |iam, connection| {
            exists(iam, connection, &arn)?;
            let mut roles = Vec::new();
            if usage != Some(Usage::Boundary) {
                roles.extend(sql::roles_with(connection, &arn, false)?);
            }
            if usage != Some(Usage::Permissions) {
                roles.extend(sql::roles_with(connection, &arn, true)?);
            }
            let prefix = path_prefix.unwrap_or_else(|| "/".into());
            roles.retain(|role| role.path.starts_with(&prefix));
            roles.sort_by_key(|role| role.name.to_lowercase());
            roles.dedup_by(|one, other| one.id == other.id);
            window.cut(roles, |role| &role.name)
        })
        .await
    }
}

fn of_aws(connection: &Connection, policy: &ManagedPolicy) -> Result<Policy, IamError> {
    Ok(Policy {
        id: policy.id.clone(),
        name: policy.name.clone(),
        path: policy.path.clone(),
        arn: policy.arn.clone(),
        description: Some(policy.description.clone()),
        created_ms: policy.updated_ms,
        updated_ms: policy.updated_ms,
        default_version: policy.version,
        attachments: sql::count_attachments(connection, &policy.arn)?,
        boundaries: sql::count_boundaries(connection, &policy.arn)?,
        tags: Tags::new(),
    })
}

fn find_version(connection: &Connection, row: &PolicyRow, arn: &str, version: &str) -> Result<i64, IamError> {
    let number = version.strip_prefix('v').and_then(|number| number.parse::<i64>().ok());
    let found = sql::versions(connection, &row.id)?.into_iter().find(|(found, ..)| Some(*found) == number);
    found.map(|(number, ..)| number).ok_or_else(|| no_version(arn, version))
}

fn no_version(arn: &str, version: &str) -> IamError {
    IamError::NoSuchEntity(format!("Policy {arn} version {version} does not exist or is not attachable."))
}
