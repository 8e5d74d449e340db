//! What is known of a table besides its items. Kept as JSON in its row.

use serde::{Deserialize, Serialize};

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyKind {
    /// A string.
    S,
    /// A number.
    N,
    /// Bytes.
    B,
}

impl KeyKind {
    /// AWS's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}

/// An attribute that keys are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: KeyKind,
}

/// A part of a key, as a request gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    /// The attribute.
    pub name: String,
    /// Whether it is the partition key (`HASH`), and not the sort key (`RANGE`).
    pub hash: bool,
}

/// What of an item is in an index besides its keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum Projected {
    /// Everything.
    #[default]
    All,
    /// Nothing.
    KeysOnly,
    /// These attributes.
    Include(Vec<String>),
}

/// Provisioned capacity, in units a second: kept and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throughput {
    /// Of reads.
    pub read: i64,
    /// Of writes.
    pub write: i64,
}

/// The most that an on-demand table takes, in units a second: kept and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemand {
    /// Of reads.
    pub read: Option<i64>,
    /// Of writes.
    pub write: Option<i64>,
}

/// What a table or index shall take at once (`WarmThroughput`), in units a second: kept and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warm {
    /// Of reads.
    pub read: Option<i64>,
    /// Of writes.
    pub write: Option<i64>,
}

/// What a new on-demand table or index takes at once. Developer guide, "DynamoDB on-demand capacity mode".
pub(super) const ON_DEMAND_WARM: Throughput = Throughput { read: 12_000, write: 4_000 };

/// What a table or index takes at once: what it has got to, and what it is provisioned for at the least.
fn warm(reached: Option<Throughput>, provisioned: Option<Throughput>) -> Throughput {
    let least = provisioned.unwrap_or(ON_DEMAND_WARM);
    let reached = reached.unwrap_or(least);
    Throughput { read: reached.read.max(least.read), write: reached.write.max(least.write) }
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: Vec<KeyPart>,
    /// What it holds.
    pub projected: Projected,
    /// Of a global one of a provisioned table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Throughput>,
    /// Of a global one of an on-demand table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<OnDemand>,
    /// As [`Settings::warmed`], of a global one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmed: Option<Throughput>,
}

impl Index {
    /// What it takes at once, in units a second.
    pub fn warm(&self) -> Throughput {
        warm(self.warmed, self.throughput)
    }
}

/// Encryption as its owner asked for it: kept and shown. What is at rest is encrypted as the disk is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encryption {
    /// The key's ARN, where one was named.
    pub key: Option<String>,
}

/// What a table does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TableState {
    /// It is being filled by an import.
    Creating,
    /// It answers.
    #[default]
    Active,
}

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// In the order given.
    pub definitions: Vec<Definition>,
    /// The primary key.
    pub key: Vec<KeyPart>,
    /// Indexes with the table's partition key.
    #[serde(default)]
    pub local: Vec<Index>,
    /// Indexes with keys of their own.
    #[serde(default)]
    pub global: Vec<Index>,
    /// Present where the table is provisioned; absent: on demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Throughput>,
    /// When it became an on-demand table, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand_since_ms: Option<i64>,
    /// The most that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<OnDemand>,
    /// What it has got to take at once: by asking for it, or by what it was provisioned for before. It never falls. Developer guide, "Understanding DynamoDB warm throughput".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmed: Option<Throughput>,
    /// Where a KMS key was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// `STANDARD` (absent) or `STANDARD_INFREQUENT_ACCESS`: kept and shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Whether it cannot be deleted.
    #[serde(default)]
    pub protected: bool,
    /// The attribute that says when an item expires, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Since when point-in-time recovery is enabled, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recoverable_since_ms: Option<i64>,
    /// For how many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recoverable_days: Option<i32>,
}

impl Settings {
    /// All indexes, local ones first.
    pub fn indexes(&self) -> impl Iterator<Item = &Index> {
        self.local.iter().chain(&self.global)
    }

    /// What it takes at once, in units a second.
    pub fn warm(&self) -> Throughput {
        warm(self.warmed, self.throughput)
    }

    /// To be called before what the table or its indexes are provisioned for changes.
    pub(super) fn keep_warm(&mut self) {
        self.warmed = Some(self.warm());
        self.global.iter_mut().for_each(|index| index.warmed = Some(index.warm()));
    }

    /// The type of a key attribute.
    pub fn kind_of(&self, name: &str) -> Option<KeyKind> {
        self.definitions.iter().find(|definition| definition.name == name).map(|definition| definition.kind)
    }
}

/// A table to create, as it was asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NewTable {
    /// A name, or an ARN that ends with it.
    pub name: String,
    /// The attributes of keys.
    pub definitions: Vec<Definition>,
    /// The primary key.
    pub key: Vec<KeyPart>,
    /// Absent: none were given; AWS refuses an empty list.
    pub local: Option<Vec<NewIndex>>,
    /// Absent: none were given; AWS refuses an empty list.
    pub global: Option<Vec<NewIndex>>,
    /// Whether `BillingMode` is `PAY_PER_REQUEST`.
    pub pay_per_request: bool,
    /// `ProvisionedThroughput`.
    pub throughput: Option<Throughput>,
    /// `OnDemandThroughput`.
    pub on_demand: Option<OnDemand>,
    /// `WarmThroughput`.
    pub warm: Option<Warm>,
    /// `StreamSpecification.StreamEnabled`.
    pub stream: bool,
    /// A KMS key.
    pub encryption: Option<Encryption>,
    /// `TableClass`.
    pub class: Option<String>,
    /// `DeletionProtectionEnabled`.
    pub protected: bool,
    /// In the order given.
    pub tags: Vec<(String, String)>,
    /// The name of a parameter that was given and that Millpond does not support.
    #[serde(skip)]
    pub unsupported: Option<&'static str>,
}

/// An index to create, as it was asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NewIndex {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: Vec<KeyPart>,
    /// `ALL`, `KEYS_ONLY` or `INCLUDE`.
    pub projection: Option<String>,
    /// `NonKeyAttributes`.
    pub attributes: Option<Vec<String>>,
    /// `ProvisionedThroughput`.
    pub throughput: Option<Throughput>,
    /// `OnDemandThroughput`.
    pub on_demand: Option<OnDemand>,
    /// `WarmThroughput`.
    pub warm: Option<Warm>,
}
