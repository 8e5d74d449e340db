//! Custom CSV classifiers (Glue API reference, "Classifier"). Grok, XML and JSON ones come with other formats.

use super::crawler::page::{self, Page};
use super::{Glue, GlueError};
use millpond_store::{Component, StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The tables of this module.
pub const COMPONENT: Component = Component { name: "classifiers", migrations: &[include_str!("classifier.sql")] };

/// What a custom classifier says about CSV: the members of Glue's `CsvClassifier` but its name and times.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CsvSpec {
    /// One character.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// One character, other than the delimiter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote_symbol: Option<String>,
    /// `UNKNOWN`, `PRESENT` or `ABSENT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains_header: Option<String>,
    /// Column names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub header: Vec<String>,
    /// Values keep the blanks around them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_value_trimming: Option<bool>,
    /// A file of one column is CSV too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_single_column: Option<bool>,
    /// `CustomDatatypeConfigured`, `CustomDatatypes`, `Serde`: kept and shown.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

/// A classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    /// Unique.
    pub name: String,
    /// What it says.
    pub spec: CsvSpec,
    /// Counts up from 1 with each update.
    pub version: i64,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    pub updated_ms: i64,
}

fn invalid(message: impl Into<String>) -> GlueError {
    GlueError::InvalidInput(message.into())
}

impl CsvSpec {
    /// Checks what the members say together.
    ///
    /// # Errors
    /// `InvalidInput` that names the member.
    pub fn check(&self) -> Result<(), GlueError> {
        for (member, text) in [("Delimiter", &self.delimiter), ("QuoteSymbol", &self.quote_symbol)] {
            if let Some(text) = text.as_deref().filter(|text| one_byte(text).is_none()) {
                return Err(invalid(format!("{member} must be one ASCII character (\\t for a tab), is '{text}'.")));
            }
        }
        if self.delimiter.is_some() && self.delimiter == self.quote_symbol {
            return Err(invalid("Delimiter and QuoteSymbol must be different."));
        }
        if let Some(other) = self.contains_header.as_deref().filter(|text| !matches!(*text, "UNKNOWN" | "PRESENT" | "ABSENT")) {
            return Err(invalid(format!("ContainsHeader must be UNKNOWN, PRESENT or ABSENT, is '{other}'.")));
        }
        let mut names: Vec<String> = self.header.iter().map(|name| name.trim().to_lowercase()).collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(invalid(format!("Header names the column '{}' twice.", pair[0])));
        }
        if names.first().is_some_and(String::is_empty) {
            return Err(invalid("Header has an empty name."));
        }
        Ok(())
    }
}

/// The byte of a one-character text; `\t` for a tab.
pub fn one_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        b"\\t" => Some(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Some(*byte),
        _ => None,
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<(Classifier, String)> {
    let classifier = Classifier {
        name: row.get(0)?,
        spec: CsvSpec::default(),
        version: row.get(2)?,
        created_ms: row.get(3)?,
        updated_ms: row.get(4)?,
    };
    Ok((classifier, row.get(1)?))
}

fn with_spec((classifier, spec): (Classifier, String)) -> Result<Classifier, StoreError> {
    Ok(Classifier { spec: serde_json::from_str(&spec)?, ..classifier })
}

/// The classifier of this name.
pub fn classifier(connection: &Connection, name: &str) -> Result<Option<Classifier>, StoreError> {
    let select = "SELECT name, spec, version, created_ms, updated_ms FROM classifier WHERE name = ?";
    connection.prepare_cached(select)?.query_row([name], row).optional()?.map(with_spec).transpose()
}

/// Checks that every classifier that a crawler names is there.
pub(super) fn check_names(tx: &Tx<'_>, names: &[String]) -> Result<(), GlueError> {
    for name in names {
        classifier(tx, name)?.ok_or_else(|| missing(name))?;
    }
    Ok(())
}

fn missing(name: &str) -> GlueError {
    GlueError::EntityNotFound(format!("Classifier {name} does not exist"))
}

impl Glue {
    /// `CreateClassifier`.
    pub async fn create_classifier(&self, name: String, spec: CsvSpec) -> Result<(), GlueError> {
        spec.check()?;
        let made = self.lake.store.write(move |tx| {
            let insert =
                "INSERT INTO classifier (name, spec, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?3) ON CONFLICT DO NOTHING";
            let spec = serde_json::to_string(&spec).map_err(StoreError::from)?;
            match tx.prepare_cached(insert)?.execute(params![name, spec, tx.now_ms()])? {
                0 => Err(GlueError::AlreadyExists(format!("Classifier {name} already exists"))),
                _ => Ok(()),
            }
        });
        made.await
    }

    /// `UpdateClassifier`: the members that `changes` has (in Glue's JSON form) replace the former ones.
    pub async fn update_classifier(&self, name: String, changes: Map<String, Value>) -> Result<(), GlueError> {
        let updated = self.lake.store.write(move |tx| {
            let former = classifier(tx, &name)?.ok_or_else(|| missing(&name))?;
            let Value::Object(mut members) = serde_json::to_value(&former.spec).map_err(StoreError::from)? else {
                return Err(GlueError::Internal("a classifier is no JSON object".into()));
            };
            members.extend(changes);
            let spec = serde_json::from_value::<CsvSpec>(Value::Object(members)).map_err(|error| invalid(error.to_string()))?;
            spec.check()?;
            let update = "UPDATE classifier SET spec = ?2, version = version + 1, updated_ms = ?3 WHERE name = ?1";
            let spec = serde_json::to_string(&spec).map_err(StoreError::from)?;
            tx.prepare_cached(update)?.execute(params![name, spec, tx.now_ms()])?;
            Ok(())
        });
        updated.await
    }

    /// `DeleteClassifier`.
    pub async fn delete_classifier(&self, name: String) -> Result<(), GlueError> {
        let deleted = self.lake.store.write(move |tx| {
            match tx.prepare_cached("DELETE FROM classifier WHERE name = ?")?.execute([&name])? {
                0 => Err(missing(&name)),
                _ => Ok(()),
            }
        });
        deleted.await
    }

    /// `GetClassifier`.
    pub async fn classifier(&self, name: String) -> Result<Classifier, GlueError> {
        self.lake.store.read(move |connection| classifier(connection, &name)?.ok_or_else(|| missing(&name))).await
    }

    /// `GetClassifiers`.
    pub async fn classifiers(&self, token: Option<String>, limit: usize) -> Result<Page<Classifier>, GlueError> {
        let after = page::after(token.as_deref())?;
        let listed = self.lake.store.read(move |connection| {
            let select =
                "SELECT name, spec, version, created_ms, updated_ms FROM classifier WHERE name > ? ORDER BY name LIMIT ?";
            let mut statement = connection.prepare_cached(select)?;
            let rows = statement.query_map(params![after, limit as i64 + 1], row)?;
            let classifiers = rows.map(|row| with_spec(row?)).collect::<Result<Vec<_>, StoreError>>()?;
            Ok(Page::of(classifiers, limit, |classifier| classifier.name.clone()))
        });
        listed.await
    }
}
