//! Aliases: names for versions, which can be moved, and can share out invocations between two.

use super::functions::latest;
use super::name::version_text;
use super::sql::{self, AliasRow, FunctionRow};
use super::update::check_revision;
use super::{FunctionName, Lambda, LambdaError, Page, Qualifier, link, page_size};
use millpond_core::env::EnvExt;
use rusqlite::Connection;
use std::collections::BTreeMap;

/// An alias as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Alias {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// Another version, and the part of invocations that it gets, from 0 to 1.
    pub other: Option<(String, f64)>,
    /// For people.
    pub description: String,
    /// Changes with each change.
    pub revision: String,
}

/// What is set of an alias; what is absent stays, or is empty for a new one.
#[derive(Debug, Clone, Default)]
pub struct AliasChange {
    /// `$LATEST` or a number.
    pub version: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Other versions with their parts; none: all goes to the one version.
    pub weights: Option<BTreeMap<String, f64>>,
    /// Only where this is the current revision.
    pub revision: Option<String>,
}

impl Lambda {
    fn alias_view(&self, function: &FunctionRow, row: AliasRow) -> Alias {
        Alias {
            arn: self.arn(&function.name, Some(&Qualifier::Alias(row.name.clone()))),
            version: version_text(row.version),
            other: row.other.map(|(version, weight)| (version.to_string(), weight)),
            name: row.name,
            description: row.description,
            revision: row.revision,
        }
    }

    /// `CreateAlias`.
    pub async fn create_alias(&self, function: &str, name: String, change: AliasChange) -> Result<Alias, LambdaError> {
        let function = self.parse(function, None)?;
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            let pattern = "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)";
            return Err(LambdaError::constraint(name, "name", pattern));
        }
        let lambda = self.clone();
        let written = self.inner.lake.store.write(move |tx| {
            let target = FunctionName { name: function.name.clone(), qualifier: change.version.as_deref().map(Qualifier::parse) };
            let missing = || LambdaError::no_function(&target.arn(&lambda.inner.lake.place));
            let row = sql::function(tx, &function.name)?.ok_or_else(missing)?;
            if sql::alias(tx, row.id, &name)?.is_some() {
                let arn = lambda.arn(&row.name, Some(&Qualifier::Alias(name)));
                return Err(LambdaError::Conflict(format!("Alias already exists: {arn}")));
            }
            let fresh = AliasRow { name, version: 0, other: None, description: String::new(), revision: tx.env().uuid() };
            let alias = lambda.changed(tx, &row, fresh, change)?;
            sql::put_alias(tx, row.id, &alias)?;
            Ok::<_, LambdaError>((row, alias))
        });
        let (row, alias) = written.await?;
        Ok(self.alias_view(&row, alias))
    }

    /// An alias with a change applied; its versions must exist.
    fn changed(
        &self,
        connection: &Connection,
        function: &FunctionRow,
        mut alias: AliasRow,
        change: AliasChange,
    ) -> Result<AliasRow, LambdaError> {
        let known = |text: &str| -> Result<i64, LambdaError> {
            let qualifier = Qualifier::parse(text);
            let missing = || LambdaError::no_function(&self.arn(&function.name, Some(&qualifier)));
            let number = match &qualifier {
                Qualifier::Latest => 0,
                Qualifier::Version(number) if *number > 0 => *number,
                _ => return Err(missing()),
            };
            sql::version(connection, function.id, number)?.map(|_| number).ok_or_else(missing)
        };
        if let Some(version) = &change.version {
            alias.version = known(version)?;
        }
        if let Some(weights) = change.weights {
            alias.other = match weights.len() {
                0 => None,
                1 => {
                    let (version, weight) = weights.into_iter().next().expect("there is one");
                    Some((version, weight))
                        .map(|(version, weight)| Ok::<_, LambdaError>((known(&version)?, weight)))
                        .transpose()?
                }
                _ => return Err(LambdaError::invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")),
            };
        }
        if let Some((other, weight)) = alias.other {
            if alias.version == 0 {
                return Err(LambdaError::invalid("$LATEST is not supported for an alias pointing to more than 1 version"));
            }
            if other == alias.version {
                return Err(LambdaError::invalid(format!(
                    "Invalid function version {other}. Function version {other} is already included in routing configuration."
                )));
            }
            if !(0.0..=1.0).contains(&weight) {
                let limits = "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have \
                              value greater than or equal to 0.0, Member must not be null]";
                return Err(LambdaError::constraint(
                    format_args!("{{{other}={weight:?}}}"),
                    "routingConfig.additionalVersionWeights",
                    limits,
                ));
            }
        }
        if let Some(description) = change.description {
            alias.description = description;
        }
        Ok(alias)
    }

    fn no_alias(&self, function: &str, name: &str) -> LambdaError {
        let arn = self.arn(function, Some(&Qualifier::Alias(name.to_owned())));
        LambdaError::NotFound(format!("Cannot find alias arn: {arn}"))
    }

    /// `GetAlias`.
    pub async fn get_alias(&self, function: &str, name: &str) -> Result<Alias, LambdaError> {
        let (function, name, lambda) = (self.parse(function, None)?, name.to_owned(), self.clone());
        let found = self.inner.lake.store.read(move |connection| {
            let missing = || lambda.no_alias(&function.name, &name);
            let row = sql::function(connection, &function.name)?.ok_or_else(missing)?;
            let alias = sql::alias(connection, row.id, &name)?.ok_or_else(missing)?;
            Ok::<_, LambdaError>((row, alias))
        });
        let (row, alias) = found.await?;
        Ok(self.alias_view(&row, alias))
    }

    /// `UpdateAlias`.
    pub async fn update_alias(&self, function: &str, name: &str, change: AliasChange) -> Result<Alias, LambdaError> {
        let (function, name, lambda) = (self.parse(function, None)?, name.to_owned(), self.clone());
        let written = self.inner.lake.store.write(move |tx| {
            let missing = || {
                let arn = lambda.arn(&function.name, Some(&Qualifier::Alias(name.clone())));
                LambdaError::NotFound(format!("Alias not found: {arn}"))
            };
            let row = sql::function(tx, &function.name)?.ok_or_else(missing)?;
            let alias = sql::alias(tx, row.id, &name)?.ok_or_else(missing)?;
            check_revision(change.revision.as_deref(), &alias.revision)?;
            let alias = AliasRow { revision: tx.env().uuid(), ..lambda.changed(tx, &row, alias, change)? };
            sql::put_alias(tx, row.id, &alias)?;
            Ok::<_, LambdaError>((row, alias))
        });
        let (row, alias) = written.await?;
        Ok(self.alias_view(&row, alias))
    }

    /// `DeleteAlias`. One that is not there is deleted already.
    pub async fn delete_alias(&self, function: &str, name: &str) -> Result<(), LambdaError> {
        let (function, name, lake) = (self.parse(function, None)?, name.to_owned(), self.inner.lake.clone());
        let written = self.inner.lake.store.write(move |tx| {
            let (row, _) = latest(tx, &lake, &function)?;
            Ok::<_, LambdaError>(sql::delete_alias(tx, row.id, &name)?)
        });
        written.await
    }

    /// `ListAliases`, by name; those of one version where it is given.
    pub async fn list_aliases(
        &self,
        function: &str,
        version: Option<&str>,
        marker: Option<&str>,
        max: Option<u32>,
    ) -> Result<Page<Alias>, LambdaError> {
        let (function, limit) = (self.parse(function, None)?, page_size(max));
        let (from, lake) = (link::position(marker)?, self.inner.lake.clone());
        let version = version.map(Qualifier::parse).map(|qualifier| match qualifier {
            Qualifier::Latest => 0,
            Qualifier::Version(number) => number,
            Qualifier::Alias(_) => -1,
        });
        let look = move |connection: &Connection| {
            let (row, _) = latest(connection, &lake, &function)?;
            let aliases = sql::aliases(connection, row.id, &from, version, limit + 1)?;
            Ok::<_, LambdaError>((row, aliases))
        };
        let (row, aliases) = self.inner.lake.store.read(look).await?;
        let page = Page::cut(aliases, limit, |alias| alias.name.clone());
        Ok(page.map(|alias| self.alias_view(&row, alias)))
    }
}
