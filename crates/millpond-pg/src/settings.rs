//! A session's settings: two that mean something here (database and workgroup), those that clients read, and what they set for themselves.

use crate::errors::error;
use millpond_engine::table::TableSource;
use millpond_services::athena::Athena;
use pgwire::error::ErrorInfo;
use std::collections::BTreeMap;
use std::time::Duration;

/// The name of the lake's one catalog, which is PostgreSQL's database.
pub(crate) const CATALOG: &str = "awsdatacatalog";

/// What the catalog's answers are like: clients choose their statements by it.
const VERSION: &str = concat!("16.6 (Millpond ", env!("CARGO_PKG_VERSION"), ")");

/// Settings that a session keeps for its client at the most; longer values are refused.
const SETTINGS_MAX: usize = 200;
const VALUE_MAX: usize = 1024;

/// Settings that are as they are: name, value, and whether clients are told at the start.
const FIXED: &[(&str, &str, bool)] = &[
    ("server_version", VERSION, true),
    ("server_version_num", "160006", false),
    ("server_encoding", "UTF8", true),
    ("integer_datetimes", "on", true),
    ("standard_conforming_strings", "on", true),
    ("is_superuser", "off", true),
    ("in_hot_standby", "off", true),
    ("transaction_isolation", "read committed", false),
    ("default_transaction_isolation", "read committed", false),
    ("max_identifier_length", "63", false),
    ("lc_collate", "C", false),
    ("lc_ctype", "C", false),
    ("max_index_keys", "32", false),
    ("block_size", "8192", false),
];

/// How long a statement may run: the one setting of PostgreSQL's that has its effect here. Milliseconds, or a number with a unit; 0 for ever.
const STATEMENT_TIMEOUT: &str = "statement_timeout";

/// Settings with what they are at first, which a client may set, all but one without effect; whether it is told of them.
const KEPT: &[(&str, &str, bool)] = &[
    ("application_name", "", true),
    ("client_encoding", "UTF8", true),
    ("datestyle", "ISO, MDY", true),
    ("intervalstyle", "postgres", true),
    ("timezone", "UTC", true),
    ("default_transaction_read_only", "off", true),
    ("transaction_read_only", "off", false),
    ("client_min_messages", "notice", false),
    ("extra_float_digits", "1", false),
    (STATEMENT_TIMEOUT, "0", false),
    ("lock_timeout", "0", false),
    ("idle_in_transaction_session_timeout", "0", false),
    ("bytea_output", "hex", false),
    ("row_security", "on", false),
];

/// How clients write the names that are told (`ParameterStatus` has their case).
fn told(name: &str) -> String {
    match name {
        "datestyle" => "DateStyle".to_owned(),
        "intervalstyle" => "IntervalStyle".to_owned(),
        "timezone" => "TimeZone".to_owned(),
        name => name.to_owned(),
    }
}

/// A time as PostgreSQL's settings have it: of milliseconds, or with its unit.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit.trim() {
        "" | "ms" => 1,
        "us" => return Some(Duration::from_micros(number)),
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // PostgreSQL's own limit.
    let milliseconds = number.checked_mul(milliseconds).filter(|all| *all <= i32::MAX as u64)?;
    Some(Duration::from_millis(milliseconds))
}

/// The settings of one session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) user: String,
    /// The database of unqualified names: Athena's, which is PostgreSQL's schema.
    pub(crate) database: String,
    /// `primary` where none was chosen.
    pub(crate) workgroup: Option<String>,
    values: BTreeMap<String, String>,
}

impl Session {
    /// As a session begins.
    pub(crate) fn new(user: String) -> Self {
        Self { user, database: "default".to_owned(), workgroup: None, values: BTreeMap::new() }
    }

    /// What clients are told at the start.
    pub(crate) fn reported(&self) -> Vec<(String, String)> {
        let mut found: Vec<_> = FIXED.iter().filter(|fixed| fixed.2).map(|fixed| (told(fixed.0), fixed.1.to_owned())).collect();
        for (name, default, _) in KEPT.iter().filter(|kept| kept.2) {
            found.push((told(name), self.values.get(*name).cloned().unwrap_or_else(|| (*default).to_owned())));
        }
        found.push(("session_authorization".to_owned(), self.user.clone()));
        found
    }

    /// The setting that clients are told of when it changes, with its value now.
    pub(crate) fn to_report(&self, name: &str) -> Option<(String, String)> {
        let name = name.to_lowercase();
        KEPT.iter().find(|kept| kept.2 && kept.0 == name)?;
        self.get(&name).map(|value| (told(&name), value))
    }

    /// A setting's value.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        match name.as_str() {
            "database" | "schema" => return Some(self.database.clone()),
            "search_path" => return Some(self.values.get("search_path").cloned().unwrap_or_else(|| self.database.clone())),
            "workgroup" => return Some(self.workgroup.clone().unwrap_or_else(|| "primary".to_owned())),
            "session_authorization" | "role" => return Some(self.user.clone()),
            _ => {}
        }
        if let Some(fixed) = FIXED.iter().find(|fixed| fixed.0 == name) {
            return Some(fixed.1.to_owned());
        }
        let kept = || KEPT.iter().find(|kept| kept.0 == name).map(|kept| kept.1.to_owned());
        self.values.get(&name).cloned().or_else(kept)
    }

    /// How long a statement may run; `None` for ever.
    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        let time = duration(&self.get(STATEMENT_TIMEOUT)?)?;
        (!time.is_zero()).then_some(time)
    }

    /// All settings.
    pub(crate) fn all(&self) -> BTreeMap<String, String> {
        let names = FIXED.iter().chain(KEPT).map(|setting| setting.0.to_owned());
        let names = names.chain(self.values.keys().cloned()).chain(["search_path".into(), "workgroup".into()]);
        names.filter_map(|name| self.get(&name).map(|value| (name, value))).collect()
    }

    /// Sets one; `None` for what it was at first.
    ///
    /// # Errors
    /// It cannot be that.
    pub(crate) async fn set(
        &mut self,
        athena: &Athena,
        tables: &dyn TableSource,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), ErrorInfo> {
        let name = name.to_lowercase();
        if value.is_some_and(|value| value.len() > VALUE_MAX) || name.len() > 256 {
            return Err(error("22023", format!("invalid value for parameter \"{}\": it is too long", shorten(&name))));
        }
        match name.as_str() {
            "database" => return self.set_database(tables, value.unwrap_or("default"), "3D000").await,
            "schema" => return self.set_database(tables, value.unwrap_or("default"), "3F000").await,
            "search_path" => {
                let path = value.unwrap_or("default");
                let first = path
                    .split(',')
                    .map(|part| part.trim().trim_matches(['"', '\'']))
                    .find(|part| !part.is_empty() && !matches!(*part, "$user" | "public" | "pg_catalog"));
                if let Some(first) = first {
                    self.set_database(tables, first, "3F000").await?;
                }
                self.values.insert(name, path.to_owned());
                return Ok(());
            }
            "workgroup" => {
                if let Some(workgroup) = value {
                    athena.workgroup(workgroup).await.map_err(|cause| error("22023", cause.to_string()))?;
                }
                self.workgroup = value.map(str::to_owned);
                return Ok(());
            }
            "client_encoding" => {
                let wanted = value.unwrap_or("UTF8");
                let plain: String = wanted.chars().filter(char::is_ascii_alphanumeric).collect();
                if !matches!(plain.to_uppercase().as_str(), "UTF8" | "UNICODE") {
                    return Err(error(
                        "22023",
                        format!("invalid value for parameter \"client_encoding\": \"{}\"; text is UTF8", shorten(wanted)),
                    ));
                }
                return Ok(());
            }
            _ => {}
        }
        if name == STATEMENT_TIMEOUT
            && let Some(value) = value
            && duration(value).is_none()
        {
            return Err(error("22023", format!("invalid value for parameter \"{name}\": \"{}\"", shorten(value))));
        }
        if FIXED.iter().any(|fixed| fixed.0 == name) {
            // Clients that set it to what it is are right.
            return match value.is_none_or(|value| self.get(&name).is_some_and(|is| is.eq_ignore_ascii_case(value))) {
                true => Ok(()),
                false => Err(error("55P02", format!("parameter \"{name}\" cannot be changed"))),
            };
        }
        if self.values.len() >= SETTINGS_MAX && !self.values.contains_key(&name) {
            return Err(error("53400", format!("a session keeps at most {SETTINGS_MAX} settings")));
        }
        match value {
            Some(value) => self.values.insert(name, value.to_owned()),
            None => self.values.remove(&name),
        };
        Ok(())
    }

    /// All as they were at first, but who and where.
    pub(crate) fn reset(&mut self) {
        self.values.clear();
        self.workgroup = None;
    }

    async fn set_database(&mut self, tables: &dyn TableSource, name: &str, code: &str) -> Result<(), ErrorInfo> {
        let wanted = name.to_lowercase();
        // Clients name the user, or what every server has, where nobody chose.
        if name == self.user || matches!(wanted.as_str(), CATALOG | "postgres" | "" | "default" | "public") {
            self.database = "default".to_owned();
            return Ok(());
        }
        match tables.table_names(&wanted).await {
            Ok(Some(_)) => {
                self.database = wanted;
                Ok(())
            }
            Ok(None) => {
                let kind = if code == "3D000" { "database" } else { "schema" };
                Err(error(code, format!("{kind} \"{}\" does not exist", shorten(name))))
            }
            Err(cause) => Err(error("58000", cause.to_string())),
        }
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Settings from `options`: `-c name=value`, `-cname=value`, `--name=value`; a backslash takes the next character as it is (PostgreSQL
/// documentation, libpq, "options").
pub(crate) fn options(text: &str) -> Vec<(String, String)> {
    let (mut words, mut word, mut characters) = (Vec::new(), String::new(), text.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.extend(characters.next()),
            blank if blank.is_whitespace() => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    let mut found = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--") {
            Some(setting) => Some(setting.replace('-', "_")),
            None if word == "-c" => words.next(),
            None => word.strip_prefix("-c").map(str::to_owned),
        };
        if let Some((name, value)) = setting.as_deref().and_then(|setting| setting.split_once('=')) {
            found.push((name.to_owned(), value.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_libpq_writes_them() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(options(text), expected, "{text}");
        };
        check("", &[]);
        check("-c workgroup=w --search-path=a -cb=c\\ d", &[("workgroup", "w"), ("search_path", "a"), ("b", "c d")]);
        check("-c", &[]);
        check("nonsense -x y", &[]);
    }
}
