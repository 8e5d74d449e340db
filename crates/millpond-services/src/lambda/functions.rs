//! CreateFunction, GetFunction, ListFunctions, DeleteFunction: what a function is, and how it is shown.

use super::code::{Package, Source, base64_of};
use super::model::{self, Config, ConfigChange, Facts, Layer, Tags, check_tags, time_text};
use super::name::version_text;
use super::sql::{self, AliasRow, FunctionRow, VersionRow};
use super::{FunctionName, Lambda, LambdaError, Page, Qualifier, UNPACKED_MAX, layers, link, page_size, roles, versions};
use crate::lake::Lake;
use millpond_core::env::EnvExt;
use millpond_store::Tx;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

/// All packages of an account together, in bytes: "Lambda quotas".
pub(super) const STORAGE_MAX: i64 = 75 << 30;

/// A function to create.
#[derive(Debug, Clone)]
pub struct NewFunction {
    /// A name or an ARN.
    pub name: String,
    /// Its package.
    pub code: Source,
    /// Its configuration.
    pub config: ConfigChange,
    /// Whether version 1 is published at once.
    pub publish: bool,
    /// Its tags.
    pub tags: Tags,
}

/// Whether a function can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It can.
    Active,
    /// What its runtime needs is being installed; invocations wait.
    Pending,
    /// That could not be installed.
    Failed(String),
}

/// A version of a function, as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionView {
    /// Without anything around it.
    pub name: String,
    /// With the qualifier that was asked for.
    pub arn: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// How it is configured.
    pub config: Config,
    /// Of the package, base64.
    pub code_sha256: String,
    /// Of the package, in bytes.
    pub code_size: u64,
    /// `2024-05-01T12:00:00.123+0000`.
    pub modified: String,
    /// Changes with each change.
    pub revision: String,
    /// Whether it can run.
    pub state: State,
    /// A name for what runs it, of the form that AWS gives one.
    pub runtime_arn: String,
}

/// What GetFunction answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The version.
    pub view: FunctionView,
    /// A link to the package: a path of this lake.
    pub location: String,
    /// Of the function.
    pub tags: Tags,
    /// Its reserved concurrency.
    pub reserved: Option<u32>,
}

/// A version with what it belongs to, as it was looked up.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) function: FunctionRow,
    pub(super) version: VersionRow,
    pub(super) alias: Option<AliasRow>,
}

/// Looks up what a caller named. Of an alias with two versions it is the first.
pub(super) fn resolve(connection: &Connection, lake: &Lake, name: &FunctionName) -> Result<Resolved, LambdaError> {
    let missing = || LambdaError::no_function(&name.arn(&lake.place));
    let function = sql::function(connection, &name.name)?.ok_or_else(missing)?;
    let (number, alias) = match name.qualifier_or_latest() {
        Qualifier::Latest => (0, None),
        Qualifier::Version(0) => return Err(missing()),
        Qualifier::Version(number) => (number, None),
        Qualifier::Alias(alias) => {
            let row = sql::alias(connection, function.id, &alias)?.ok_or_else(missing)?;
            (row.version, Some(row))
        }
    };
    let version = sql::version(connection, function.id, number)?.ok_or_else(missing)?;
    Ok(Resolved { function, version, alias })
}

/// What all versions of the function share, for changes of `$LATEST`.
pub(super) fn latest(
    connection: &Connection,
    lake: &Lake,
    name: &FunctionName,
) -> Result<(FunctionRow, VersionRow), LambdaError> {
    let latest = FunctionName { name: name.name.clone(), qualifier: None };
    let resolved = resolve(connection, lake, &latest)?;
    Ok((resolved.function, resolved.version))
}

/// The row of a new function, before its layers were looked up.
struct Insert {
    name: String,
    config: Config,
    layer_arns: Vec<String>,
    tags: Tags,
    publish: bool,
}

impl Lambda {
    /// `CreateFunction`.
    pub async fn create_function(&self, new: NewFunction) -> Result<FunctionView, LambdaError> {
        let name = self.parse(&new.name, None)?;
        if name.qualifier.is_some() {
            return Err(LambdaError::invalid(format!(
                "A function is created without a version or alias; leave it out of '{}'.",
                new.name
            )));
        }
        let NewFunction { config: change, code, publish, tags, .. } = new;
        if change.runtime.is_none() || change.handler.is_none() {
            let message = "Runtime and Handler are mandatory parameters for functions created with deployment packages.";
            return Err(LambdaError::invalid(message));
        }
        change.check(&self.inner.lake.place)?;
        check_tags(&tags)?;
        let name = name.name;
        self.check_new(&name, &change).await?;
        let package = self.inner.code.take(code).await?;
        let mut config = Config::new(&name);
        let layer_arns = change.layers.clone().unwrap_or_default();
        config.apply(change);
        let (lambda, insert) = (self.clone(), Insert { name, config, layer_arns, tags, publish });
        let written = self.inner.lake.store.write(move |tx| lambda.insert(tx, insert, &package));
        let (function, version) = written.await?;
        // As on AWS: with `Publish` it is version 1 under the function's own ARN.
        self.view(&function, version, None).await
    }

    /// What can be refused before the package is looked at.
    async fn check_new(&self, name: &str, change: &ConfigChange) -> Result<(), LambdaError> {
        let (wanted, role) = (name.to_owned(), change.role.clone().unwrap_or_default());
        let lake = self.inner.lake.clone();
        let targets = change.dead_letter.clone();
        self.inner
            .lake
            .store
            .read(move |connection| {
                if sql::function(connection, &wanted)?.is_some() {
                    return Err(LambdaError::Conflict(format!("Function already exist: {wanted}")));
                }
                roles::check(connection, &lake, &role)
            })
            .await?;
        self.check_dead_letter(targets).await?;
        self.check_runtime(change.runtime.as_deref()).await
    }

    /// Whether this machine can run functions of a runtime.
    pub(super) async fn check_runtime(&self, runtime: Option<&str>) -> Result<(), LambdaError> {
        let Some(runtime) = runtime else { return Ok(()) };
        self.inner.host.check_runtime(runtime).await.map_err(|missing| LambdaError::invalid(missing.to_string()))
    }

    /// Whether the dead-letter target exists.
    pub(super) async fn check_dead_letter(&self, target: Option<String>) -> Result<(), LambdaError> {
        let Some(target) = target.filter(|target| !target.is_empty()) else { return Ok(()) };
        self.check_target(target.clone(), String::new()).await.map_err(|failure| {
            LambdaError::invalid(format!("The provided dead letter target {target} cannot be used: {failure}"))
        })
    }

    fn insert(&self, tx: &Tx<'_>, insert: Insert, package: &Package) -> Result<(FunctionRow, VersionRow), LambdaError> {
        let Insert { name, mut config, layer_arns, tags, publish } = insert;
        let name = name.as_str();
        if sql::function(tx, name)?.is_some() {
            return Err(LambdaError::Conflict(format!("Function already exist: {name}")));
        }
        config.layers = layers::resolve(tx, &self.inner.lake.place, &layer_arns)?;
        check_unpacked(tx, package.unpacked(), &config.layers)?;
        check_storage(tx, package.size())?;
        let facts = Facts { tags, ..Facts::default() };
        let id = sql::insert_function(tx, name, &facts)?;
        let version = VersionRow {
            version: 0,
            revision: tx.env().uuid(),
            generation: tx.next_seq(),
            modified_ms: tx.now_ms(),
            code: package.sha256().to_owned(),
            config,
        };
        package.name(tx)?;
        hold_layers(tx, &version.config.layers)?;
        sql::put_version(tx, id, &version)?;
        let mut function = FunctionRow { id, name: name.to_owned(), last_version: 0, reserved: None, facts };
        match publish {
            true => Ok((function.clone(), versions::publish(tx, &mut function, version, None)?)),
            false => Ok((function, version)),
        }
    }

    /// `GetFunction`.
    pub async fn get_function(&self, name: &str, qualifier: Option<&str>) -> Result<Found, LambdaError> {
        let (resolved, qualifier) = self.look_up(name, qualifier).await?;
        let location = self.link(&resolved.version.code).await?;
        let (tags, reserved) = (resolved.function.facts.tags.clone(), resolved.function.reserved);
        let view = self.view(&resolved.function, resolved.version, qualifier.as_ref()).await?;
        Ok(Found { view, location, tags, reserved })
    }

    /// `GetFunctionConfiguration`.
    pub async fn get_function_configuration(&self, name: &str, qualifier: Option<&str>) -> Result<FunctionView, LambdaError> {
        let (resolved, qualifier) = self.look_up(name, qualifier).await?;
        self.view(&resolved.function, resolved.version, qualifier.as_ref()).await
    }

    pub(super) async fn look_up(
        &self,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<(Resolved, Option<Qualifier>), LambdaError> {
        let name = self.parse(name, qualifier)?;
        let (lake, wanted) = (self.inner.lake.clone(), name.clone());
        let resolved = self.inner.lake.store.read(move |connection| resolve(connection, &lake, &wanted)).await?;
        Ok((resolved, name.qualifier))
    }

    /// A version as it is shown.
    pub(super) async fn view(
        &self,
        function: &FunctionRow,
        version: VersionRow,
        qualifier: Option<&Qualifier>,
    ) -> Result<FunctionView, LambdaError> {
        let code = version.code.clone();
        let size = self.inner.lake.store.read(move |connection| Ok::<_, LambdaError>(sql::code(connection, &code)?)).await?;
        Ok(self.show(function, version, size.map_or(0, |code| code.size), qualifier))
    }

    fn show(&self, function: &FunctionRow, version: VersionRow, code_size: u64, qualifier: Option<&Qualifier>) -> FunctionView {
        let state = match self.inner.host.is_ready(&version.config.runtime) {
            Ok(true) => State::Active,
            Ok(false) => State::Pending,
            Err(error) => State::Failed(error.to_string()),
        };
        FunctionView {
            name: function.name.clone(),
            arn: self.arn(&function.name, qualifier),
            version: version_text(version.version),
            code_sha256: base64_of(&version.code),
            code_size,
            modified: time_text(version.modified_ms),
            revision: version.revision,
            runtime_arn: runtime_arn(&self.inner.lake.place.region, &version.config.runtime),
            config: version.config,
            state,
        }
    }

    /// `ListFunctions`, by name; with `all` each with its versions.
    pub async fn list_functions(
        &self,
        marker: Option<&str>,
        max: Option<u32>,
        all: bool,
    ) -> Result<Page<FunctionView>, LambdaError> {
        let (position, limit) = (link::position(marker)?, page_size(max));
        let (from, first) =
            position.split_once('\n').map_or((position.as_str(), 0), |(name, version)| (name, version.parse().unwrap_or(0)));
        let from = from.to_owned();
        let look = move |connection: &Connection| {
            let mut rows = Vec::new();
            let mut first = first;
            for function in sql::functions(connection, &from, limit + 1)? {
                let most = if all { limit + 1 - rows.len() } else { 1 };
                for version in sql::versions(connection, function.id, std::mem::take(&mut first), most)? {
                    let size = sql::code(connection, &version.code)?.map_or(0, |code| code.size);
                    rows.push((function.clone(), version, size));
                }
                if rows.len() > limit {
                    break;
                }
            }
            Ok::<_, LambdaError>(rows)
        };
        let rows = self.inner.lake.store.read(look).await?;
        let page = Page::cut(rows, limit, |(function, version, _)| format!("{}\n{}", function.name, version.version));
        Ok(page.map(|(function, version, size)| {
            let qualifier = Qualifier::parse(&version_text(version.version));
            self.show(&function, version, size, all.then_some(&qualifier))
        }))
    }

    /// `ListVersionsByFunction`: `$LATEST` first.
    pub async fn list_versions(
        &self,
        name: &str,
        marker: Option<&str>,
        max: Option<u32>,
    ) -> Result<Page<FunctionView>, LambdaError> {
        let (name, limit) = (self.parse(name, None)?, page_size(max));
        let from: i64 = link::position(marker)?.parse().unwrap_or(0);
        let lake = self.inner.lake.clone();
        let look = move |connection: &Connection| {
            let (function, _) = latest(connection, &lake, &name)?;
            let mut rows = Vec::new();
            for version in sql::versions(connection, function.id, from, limit + 1)? {
                let size = sql::code(connection, &version.code)?.map_or(0, |code| code.size);
                rows.push((function.clone(), version, size));
            }
            Ok::<_, LambdaError>(rows)
        };
        let page = Page::cut(self.inner.lake.store.read(look).await?, limit, |(_, version, _)| version.version.to_string());
        Ok(page.map(|(function, version, size)| {
            let qualifier = Qualifier::parse(&version_text(version.version));
            self.show(&function, version, size, Some(&qualifier))
        }))
    }

    /// `DeleteFunction`: all of it, or one published version.
    pub async fn delete_function(&self, name: &str, qualifier: Option<&str>) -> Result<(), LambdaError> {
        let name = self.parse(name, qualifier)?;
        match &name.qualifier {
            Some(Qualifier::Latest) => {
                return Err(LambdaError::invalid("$LATEST version cannot be deleted without deleting the function."));
            }
            Some(Qualifier::Alias(_)) => {
                let message = "Deletion of aliases is not currently supported. Use the DeleteAlias operation.";
                return Err(LambdaError::invalid(message));
            }
            _ => {}
        }
        let lake = self.inner.lake.clone();
        let written = self.inner.lake.store.write(move |tx| {
            let missing = || LambdaError::no_function(&FunctionName { qualifier: None, ..name.clone() }.arn(&lake.place));
            let function = sql::function(tx, &name.name)?.ok_or_else(missing)?;
            match name.qualifier {
                Some(Qualifier::Version(number)) => delete_version(tx, &lake, &function, number),
                _ => delete_all(tx, &function),
            }
        });
        for key in written.await? {
            self.inner.specs.forget(&key);
            self.inner.host.retire(&key);
        }
        self.sweep_later();
        Ok(())
    }

    /// Removes unpacked packages that nobody needs, without anybody waiting for it.
    pub(super) fn sweep_later(&self) {
        let lambda = self.clone();
        tokio::spawn(async move {
            if let Err(error) = lambda.inner.code.sweep().await {
                tracing::warn!(%error, "unpacked packages that nobody needs could not be removed; they are when the next one goes");
            }
        });
    }
}

fn runtime_arn(region: &str, runtime: &str) -> String {
    format!("arn:aws:lambda:{region}::runtime:{}", hex::encode(Sha256::digest(runtime.as_bytes())))
}

/// What the processes of a version are known by.
pub(super) fn process_key(function: i64, version: &VersionRow) -> String {
    format!("{function}:{}:{}", version.version, version.generation)
}

fn delete_version(tx: &Tx<'_>, lake: &Lake, function: &FunctionRow, number: i64) -> Result<Vec<String>, LambdaError> {
    let arn = super::name::arn(&lake.place, &function.name, Some(&Qualifier::Version(number)));
    let Some(version) = sql::version(tx, function.id, number)?.filter(|_| number > 0) else {
        return Ok(Vec::new()); // As on AWS: what is not there is deleted already.
    };
    let aliases = sql::aliases(tx, function.id, "", Some(number), 1)?;
    if let Some(alias) = aliases.first() {
        return Err(LambdaError::Conflict(format!(
            "The version {arn} cannot be deleted: the alias {} points to it. Change or delete the alias first.",
            alias.name
        )));
    }
    sql::delete_version(tx, function.id, number)?;
    drop_code(tx, &version)?;
    Ok(vec![process_key(function.id, &version)])
}

fn delete_all(tx: &Tx<'_>, function: &FunctionRow) -> Result<Vec<String>, LambdaError> {
    let versions = sql::versions(tx, function.id, 0, usize::MAX >> 1)?;
    for version in &versions {
        drop_code(tx, version)?;
    }
    sql::delete_function(tx, function.id)?;
    Ok(versions.iter().map(|version| process_key(function.id, version)).collect())
}

/// One name less for a version's package and layers.
fn drop_code(tx: &Tx<'_>, version: &VersionRow) -> Result<(), LambdaError> {
    sql::drop_code(tx, &version.code)?;
    drop_layers(tx, &version.config.layers)
}

pub(super) fn drop_layers(tx: &Tx<'_>, layers: &[Layer]) -> Result<(), LambdaError> {
    layers.iter().try_for_each(|layer| Ok(sql::drop_code(tx, &layer.code)?))
}

pub(super) fn hold_layers(tx: &Tx<'_>, layers: &[Layer]) -> Result<(), LambdaError> {
    layers.iter().try_for_each(|layer| Ok(sql::hold_code(tx, &layer.code)?))
}

/// Whether a package and its layers are not too large together.
pub(super) fn check_unpacked(connection: &Connection, code: u64, layers: &[model::Layer]) -> Result<(), LambdaError> {
    let mut total = code;
    for layer in layers {
        total += sql::code(connection, &layer.code)?.map_or(0, |code| code.unpacked);
    }
    if total > UNPACKED_MAX {
        return Err(LambdaError::invalid(format!(
            "Function code combined with layers exceeds the maximum allowed size of {UNPACKED_MAX} bytes. The actual size is {total} \
             bytes."
        )));
    }
    Ok(())
}

pub(super) fn check_storage(connection: &Connection, size: u64) -> Result<(), LambdaError> {
    let (used, _) = sql::usage(connection)?;
    if used.saturating_add(size as i64) > STORAGE_MAX {
        return Err(LambdaError::StorageFull(format!(
            "Code storage limit exceeded: all packages together would have more than {STORAGE_MAX} bytes. Delete versions or functions \
             that are not needed any more."
        )));
    }
    Ok(())
}
