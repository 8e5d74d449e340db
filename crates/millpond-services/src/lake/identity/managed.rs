//! The policies that AWS manages, by name, as far as lakes use them: `arn:aws:iam::aws:policy/…`.
//!
//! Their documents are data (`managed.json`): the statements of the AWS managed policy reference guide; the descriptions are
//! ours. `ReadOnlyAccess` lists the services that lakes are made of, where AWS's lists all.

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::OnceLock;

/// A policy of AWS.
#[derive(Debug, Clone, PartialEq)]
pub struct ManagedPolicy {
    /// Without its path.
    pub name: String,
    /// `/`, `/service-role/`, …
    pub path: String,
    /// `arn:aws:iam::aws:policy/…`
    pub arn: String,
    /// `ANPA…`: made from the name, since AWS's own ids are not told.
    pub id: String,
    /// The number of its only version here, which is AWS's.
    pub version: i64,
    /// When that version was made, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// What it is for.
    pub description: String,
    /// JSON.
    pub document: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    path: String,
    version: i64,
    updated: String,
    description: String,
    document: Value,
}

const PREFIX: &str = "arn:aws:iam::aws:policy";

/// Whether an ARN is of a policy that AWS manages, known here or not.
pub fn is_managed(arn: &str) -> bool {
    arn.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('/'))
}

/// The policy with this ARN.
pub fn find(arn: &str) -> Option<&'static ManagedPolicy> {
    if !is_managed(arn) {
        return None;
    }
    static BY_ARN: OnceLock<HashMap<&'static str, &'static ManagedPolicy>> = OnceLock::new();
    let by_arn = BY_ARN.get_or_init(|| all().iter().map(|policy| (policy.arn.as_str(), policy)).collect());
    by_arn.get(arn).copied()
}

/// All, by name.
pub fn all() -> &'static [ManagedPolicy] {
    static ALL: OnceLock<Vec<ManagedPolicy>> = OnceLock::new();
    ALL.get_or_init(|| {
        let entries: Vec<Entry> = serde_json::from_str(include_str!("managed.json")).expect("the data is tested");
        entries.into_iter().map(managed).collect()
    })
}

fn managed(entry: Entry) -> ManagedPolicy {
    let arn = format!("{PREFIX}{}{}", entry.path, entry.name);
    let day = chrono::NaiveDate::parse_from_str(&entry.updated, "%Y-%m-%d").unwrap_or_default();
    let digest = Sha256::digest(arn.as_bytes());
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let id: String = digest.iter().take(17).map(|byte| char::from(alphabet[usize::from(*byte) % 32])).collect();
    ManagedPolicy {
        id: format!("ANPA{id}"),
        version: entry.version,
        updated_ms: day.and_hms_opt(0, 0, 0).unwrap_or_default().and_utc().timestamp_millis(),
        description: entry.description,
        document: serde_json::to_string_pretty(&entry.document).expect("a JSON value is JSON"),
        name: entry.name,
        path: entry.path,
        arn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::policy::{Policy, PolicyKind};

    #[test]
    fn every_managed_policy_is_one_and_is_found_by_its_arn() {
        assert!(all().len() > 40);
        for policy in all() {
            Policy::parse_as(&policy.document, PolicyKind::Identity).unwrap_or_else(|error| panic!("{}: {error}", policy.name));
            assert_eq!(find(&policy.arn), Some(policy));
            assert!(policy.updated_ms > 0 && policy.document.len() < 20_000, "{}", policy.name);
        }
        let names: Vec<String> = all().iter().map(|policy| policy.name.to_lowercase()).collect();
        assert!(names.is_sorted(), "listings go by name");
        assert!(find("arn:aws:iam::aws:policy/service-role/AWSGlueServiceRole").is_some());
        assert!(find("arn:aws:iam::aws:policy/AWSGlueServiceRole").is_none(), "the path belongs to the name");
        assert!(is_managed("arn:aws:iam::aws:policy/Unknown") && !is_managed("arn:aws:iam::000000000000:policy/Mine"));
    }
}
