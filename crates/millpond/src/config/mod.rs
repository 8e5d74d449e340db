//! `millpond.toml`: what a lake's owner declares.
//!
//! The file is read in two steps: [`raw`] takes its form (unknown keys are refused, and every value remembers where it stood), and [`check`] its
//! meaning. Both report through [`problem::Problem`], so that each message says the file, the line, the key, and what to write instead; all
//! that is wrong with the meaning is told at once. Passwords may come from the environment, and are never printed.

mod athena;
mod check;
mod functions;
mod jobs;
mod postgres;
mod problem;
mod raw;

pub use athena::Athena;
pub use check::{bucket_name, listen_address};
pub use functions::Functions;
pub use jobs::{ENVIRONMENTS, Jobs, Network};
pub use postgres::Postgres;
pub use problem::ConfigError;

use millpond_services::glue::job::QUARANTINE;
use millpond_services::glue::job::spec::ITEMS;
use millpond_services::lake::items::AttributeTypes;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file's name, where none is given.
pub const FILE: &str = "millpond.toml";

/// The lake's directory, where none is given.
pub const DATA: &str = "millpond-data";

/// The environment's variable for the SMTP password.
pub const SMTP_PASSWORD: &str = "MILLPOND_SMTP_PASSWORD";

/// The environment's variable for the SMTP user name.
pub const SMTP_USERNAME: &str = "MILLPOND_SMTP_USERNAME";

/// A lake as its owner declares it, checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Where it came from; `None` for defaults.
    pub file: Option<PathBuf>,
    /// `[server]`
    pub server: ServerConfig,
    /// `[limits]`
    pub limits: Limits,
    /// `[zones]`, in the order of the file.
    pub zones: Vec<Zone>,
    /// `[[flow]]`, in the order of the file.
    pub flows: Vec<Flow>,
    /// `[smtp]`; without it messages are kept in the lake's mailbox.
    pub smtp: Option<Smtp>,
    /// `[functions]`
    pub functions: Functions,
    /// `[jobs]`
    pub jobs: Jobs,
    /// `[postgres]`; without it there is no such listener.
    pub postgres: Option<Postgres>,
    /// `[athena]`
    pub athena: Athena,
}

/// `[server]`: where the lake is, and as whom it answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerConfig {
    /// Address and port.
    pub listen: Option<String>,
    /// The lake's directory; relative to the file's.
    pub data: Option<PathBuf>,
    /// Twelve digits.
    pub account: Option<String>,
    /// For example `us-east-1`.
    pub region: Option<String>,
    /// Domains below which a bucket's name may stand (virtual-host addressing), besides `localhost`.
    pub domains: Vec<String>,
}

/// `[limits]`: what the lake may use of the machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Memory of all columnar work together, in bytes.
    pub memory_bytes: Option<u64>,
    /// Threads of columnar work.
    pub threads: Option<usize>,
    /// Disk that queries may spill to, in bytes.
    pub spill_bytes: Option<u64>,
    /// Memory of unpacked pages that are kept for the next query, in bytes.
    pub page_cache_bytes: Option<u64>,
}

/// A bucket with a database of the zone's name over it.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// The database.
    pub name: String,
    /// The bucket.
    pub bucket: String,
}

/// `[[flow]]`: files that come in here become a table there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Lower-case letters, digits and hyphens: part of the names of what the flow creates.
    pub name: String,
    /// The bucket that files are dropped into.
    pub bucket: String,
    /// The folder in it, with its final slash; empty for the whole bucket.
    pub prefix: String,
    /// Only keys that end so.
    pub suffix: Option<String>,
    /// Files that are left alone: Glue's exclude patterns, relative to the folder.
    pub exclude: Vec<String>,
    /// Where the target is a table of items: which, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Items>,
    /// The target's database. Beside a table of items: that of its quarantine.
    pub database: String,
    /// The target's table. Beside a table of items: what the name of its quarantine begins with.
    pub table: String,
    /// `s3://bucket/folder/` of the target's files (or what the quarantine of a table of items is beside); `None` for the folder named like the table in the zone's bucket.
    pub location: Option<String>,
    /// Columns that partition the target.
    pub partition_by: Vec<String>,
    /// A `SELECT` over `input`.
    pub sql: Option<String>,
    /// Mail addresses that are told.
    pub notify: Vec<String>,
    /// Whether rows get the time of their conversion.
    pub ingestion_timestamp: bool,
    /// Whether rows get the object that they came from.
    pub source_file: bool,
}

/// A table of items as a flow's target: `to = "dynamodb:company"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Items {
    /// Its name, with case.
    pub table: String,
    /// `key`: its key attributes, the partition key first.
    pub key: Vec<String>,
    /// `types`: whether attributes are strings or have the types of their columns.
    pub types: AttributeTypes,
}

/// How a connection to the mail server is protected. The names are the words of the configuration.
#[allow(clippy::enum_variant_names)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// Not at all.
    None,
    /// Plain at first, then encrypted, or not at all used.
    #[default]
    StartTls,
    /// Encrypted from the first byte.
    Tls,
}

/// `[smtp]`: the mail server.
#[derive(Clone, PartialEq)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The sender.
    pub from: String,
    /// How the connection is protected.
    pub tls: Tls,
    /// Who logs in.
    pub username: Option<String>,
    /// With what; from the file or the environment.
    pub password: Option<String>,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, from, tls, username, password } = self;
        let password = password.as_ref().map(|_| "…");
        write!(f, "Smtp {{ {host}:{port}, from {from}, {tls:?}, username {username:?}, password {password:?} }}")
    }
}

impl Config {
    /// Reads `file`; without one, [`FILE`] in the working directory where it exists, else the defaults.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong: all of it, with places.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let path = match file {
            Some(path) => path.to_owned(),
            None if Path::new(FILE).is_file() => PathBuf::from(FILE),
            None => return Ok(Self::default()),
        };
        let text = std::fs::read_to_string(&path).map_err(|error| ConfigError::unreadable(&path, &error))?;
        Self::parse(&path, &text, |name| std::env::var(name).ok())
    }

    /// Reads the text of a file; `environment` answers variables.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(path: &Path, text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let raw = toml::from_str(text).map_err(|error| ConfigError::of_toml(path, text, &error))?;
        let mut config = check::check(raw, &environment).map_err(|problems| ConfigError::of(path, text, problems))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.server.data = config.server.data.map(|data| folder.join(data));
        config.postgres = config.postgres.map(|postgres| postgres.below(folder));
        config.file = Some(path.to_owned());
        Ok(config)
    }
}

impl Flow {
    /// `s3://bucket/folder/` that files are dropped into.
    pub fn source(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    /// `database.table` that they become, or `dynamodb:table`.
    pub fn target(&self) -> String {
        match &self.items {
            Some(items) => format!("{ITEMS}{}", items.table),
            None => format!("{}.{}", self.database, self.table),
        }
    }

    /// The table with the rows that did not fit.
    pub fn quarantine(&self) -> String {
        format!("{}.{}{QUARANTINE}", self.database, self.table)
    }

    /// The database and table that the flow's crawler describes the incoming files in.
    pub fn source_database(&self) -> String {
        table_name(&self.bucket)
    }
}

/// A bucket's or folder's name as a database's or table's: lower case, with `_` for what SQL would need quotes for.
pub fn table_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests;
