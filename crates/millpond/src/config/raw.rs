//! The form of `millpond.toml`: every value with the place where it stands.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    pub server: RawServer,
    pub limits: RawLimits,
    pub zones: BTreeMap<Spanned<String>, Spanned<String>>,
    pub flow: Vec<Spanned<RawFlow>>,
    pub smtp: Option<Spanned<RawSmtp>>,
    pub functions: RawFunctions,
    pub jobs: RawJobs,
    pub postgres: Option<Spanned<RawPostgres>>,
    pub athena: RawAthena,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawServer {
    pub listen: Option<Spanned<String>>,
    pub data: Option<Spanned<String>>,
    pub account: Option<Spanned<String>>,
    pub region: Option<Spanned<String>>,
    pub domains: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub memory: Option<Spanned<Size>>,
    pub threads: Option<Spanned<u32>>,
    pub spill: Option<Spanned<Size>>,
    pub page_cache: Option<Spanned<Size>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAthena {
    pub dml_queries: Option<Spanned<u32>>,
    pub ddl_queries: Option<Spanned<u32>>,
    pub queue: Option<Spanned<u32>>,
    pub timeout_s: Option<Spanned<u32>>,
    pub query_memory: Option<Spanned<Size>>,
}

/// Bytes: a number, or a text such as `512MiB`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a number of bytes, or a text such as \"512MiB\"")]
pub(super) enum Size {
    Bytes(u64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFlow {
    pub name: Spanned<String>,
    pub from: Spanned<String>,
    pub suffix: Option<Spanned<String>>,
    #[serde(default)]
    pub exclude: Vec<Spanned<String>>,
    pub to: Spanned<String>,
    pub key: Option<Spanned<Names>>,
    pub types: Option<Spanned<String>>,
    pub location: Option<Spanned<String>>,
    #[serde(default)]
    pub partition_by: Vec<Spanned<String>>,
    pub sql: Option<Spanned<String>>,
    #[serde(default)]
    pub notify: Vec<Spanned<String>>,
    pub ingestion_timestamp: Option<bool>,
    pub source_file: Option<bool>,
}

/// One name, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a name, or a list of names")]
pub(super) enum Names {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSmtp {
    pub host: Spanned<String>,
    pub port: Option<Spanned<u16>>,
    pub from: Spanned<String>,
    pub tls: Option<Spanned<String>>,
    pub username: Option<Spanned<String>>,
    pub password: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFunctions {
    pub python: Option<Spanned<String>>,
    pub packages: Option<Vec<String>>,
    pub retry_delays_s: Option<Spanned<Vec<f64>>>,
    pub idle_s: Option<Spanned<u32>>,
    pub concurrency: Option<Spanned<u32>>,
    pub memory: Option<Spanned<Size>>,
    pub isolation: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawJobs {
    pub environments: Option<Spanned<String>>,
    pub engine: Option<Spanned<String>>,
    pub python: Option<Spanned<String>>,
    pub concurrency: Option<Spanned<u32>>,
    pub memory: Option<Spanned<Size>>,
    pub disk: Option<Spanned<Size>>,
    pub spark_jars: Option<Spanned<String>>,
    pub network: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPostgres {
    pub listen: Option<Spanned<String>>,
    pub certificate: Option<Spanned<String>>,
    pub key: Option<Spanned<String>>,
    pub connections: Option<Spanned<u32>>,
    pub idle_s: Option<Spanned<u32>>,
}
