//! IAM: roles, their policies, and what these allow.
//!
//! The rows and what reads them for other services are in [`crate::lake::identity`]; here is what changes and lists them. There
//! are no users and no groups: a lake has one key, the root's, and sessions of roles.

mod error;
mod linked;
mod policies;
mod profiles;
mod role_policies;
mod roles;
mod simulate;
mod sql;
mod tags;

pub use error::IamError;
pub use policies::{NewPolicy, Policy, PolicyVersion, Scope, Usage};
pub use profiles::InstanceProfile;
pub use roles::{NewRole, RoleDetail};
pub use simulate::{ContextEntry, MatchedStatement, Simulated, Simulation, SourceKind};
pub use tags::Owner;

use crate::lake::Lake;
use crate::lake::identity::{Identity, Role, iam_arn, managed, role_by_name};
use millpond_core::env::Env;
use rusqlite::Connection;

/// What a listing answers in one page, where its caller says nothing.
const PAGE: usize = 100;

/// Key and value of tags.
pub type Tags = Vec<(String, String)>;

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct Iam {
    lake: Lake,
    identity: Identity,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In the order of the listing.
    pub items: Vec<T>,
    /// Where more follows: the marker of the next page.
    pub next: Option<String>,
}

/// What of a listing is wanted.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// The marker that the page before answered.
    pub marker: Option<String>,
    /// From 1 to 1,000.
    pub items_max: Option<usize>,
}

impl Window {
    fn size(&self) -> usize {
        self.items_max.unwrap_or(PAGE)
    }

    /// The name after which the page begins; empty at the start.
    fn after(&self) -> Result<String, IamError> {
        use base64::Engine;
        let Some(marker) = &self.marker else { return Ok(String::new()) };
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(marker).ok();
        let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        name.ok_or_else(|| IamError::Validation("Invalid Marker: give the one that the page before answered.".into()))
    }

    /// Cuts what is sorted by `name` to the page.
    fn cut<T>(&self, items: Vec<T>, name: impl Fn(&T) -> &str) -> Result<Page<T>, IamError> {
        use base64::Engine;
        let after = self.after()?.to_lowercase();
        let started = self.marker.is_some();
        let mut items: Vec<T> =
            items.into_iter().filter(|item| !started || name(item).to_lowercase() > after).take(self.size() + 1).collect();
        let more = items.len() > self.size();
        items.truncate(self.size());
        let last = items.last().filter(|_| more).map(name);
        let next = last.map(|name| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(name));
        Ok(Page { items, next })
    }
}

impl Iam {
    /// IAM over a lake.
    pub fn new(lake: Lake, identity: Identity) -> Self {
        Self { lake, identity }
    }

    fn arn(&self, resource: &str) -> String {
        iam_arn(&self.lake.place, resource)
    }

    /// Runs a change in a transaction.
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Self, &millpond_store::Tx<'_>) -> Result<T, IamError> + Send + 'static,
    ) -> Result<T, IamError> {
        let iam = self.clone();
        self.lake.store.write(move |tx| change(&iam, tx)).await
    }

    /// Looks at a snapshot.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Self, &Connection) -> Result<T, IamError> + Send + 'static,
    ) -> Result<T, IamError> {
        let iam = self.clone();
        self.lake.store.read(move |connection| look(&iam, connection)).await
    }
}

/// An id as AWS makes them: four letters for the kind, and 17 of base 32.
fn new_id(env: &dyn Env, prefix: &str) -> String {
    let mut bytes = [0u8; 17];
    env.fill_random(&mut bytes);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letters: String = bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % 32])).collect();
    format!("{prefix}{letters}")
}

fn find_role(connection: &Connection, name: &str) -> Result<Role, IamError> {
    role_by_name(connection, name)?.ok_or_else(|| IamError::no_role(name))
}

/// A role that its owner may change.
fn own_role(connection: &Connection, name: &str) -> Result<Role, IamError> {
    let role = find_role(connection, name)?;
    match role.is_service_linked() {
        true => Err(IamError::Unmodifiable(role.name)),
        false => Ok(role),
    }
}

/// The characters of a policy that count against its limit: all but white space ("IAM and AWS STS quotas").
fn policy_size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

/// A policy of AWS's that is not known here, and what to do about it.
fn unknown_managed(arn: &str) -> IamError {
    let name = arn.rsplit('/').next().unwrap_or_default();
    let near = managed::all().iter().find(|policy| policy.name == name);
    IamError::NoSuchEntity(match near {
        Some(policy) => format!("Policy {arn} does not exist or is not attachable. Its ARN is {}.", policy.arn),
        None => format!(
            "Policy {arn} does not exist or is not attachable. Millpond knows those of AWS's policies that lakes use \
             (ListPolicies with Scope AWS lists them); make this one your own: `aws iam create-policy --policy-name {name} \
             --policy-document file://{name}.json`, with the document from the AWS managed policy reference, and attach \
             arn:aws:iam::ACCOUNT:policy/{name}."
        ),
    })
}

#[cfg(test)]
mod tests;
