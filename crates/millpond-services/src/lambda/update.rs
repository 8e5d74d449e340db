//! UpdateFunctionCode and UpdateFunctionConfiguration: changes of `$LATEST`.

use super::code::Source;
use super::functions::{FunctionView, check_storage, check_unpacked, drop_layers, hold_layers, latest, process_key};
use super::model::ConfigChange;
use super::sql::{self, FunctionRow, VersionRow};
use super::{FunctionName, Lambda, LambdaError, Qualifier, layers, roles, versions};
use millpond_core::env::EnvExt;
use millpond_store::Tx;

/// What `UpdateFunctionCode` changes.
#[derive(Debug, Clone)]
pub struct CodeUpdate {
    /// A name or an ARN.
    pub name: String,
    /// The new package.
    pub code: Source,
    /// `x86_64` or `arm64`.
    pub architecture: Option<String>,
    /// Whether a version is published with it.
    pub publish: bool,
    /// Whether nothing is to be changed.
    pub dry_run: bool,
    /// Only where this is the current revision.
    pub revision: Option<String>,
}

/// Refuses a change that was made for another revision.
pub(super) fn check_revision(given: Option<&str>, current: &str) -> Result<(), LambdaError> {
    match given {
        Some(given) if given != current => Err(LambdaError::revision("GetFunction/GetAlias")),
        _ => Ok(()),
    }
}

fn of_latest(name: &FunctionName) -> Result<(), LambdaError> {
    match &name.qualifier {
        None | Some(Qualifier::Latest) => Ok(()),
        Some(_) => Err(LambdaError::invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify \
             either a function name or an unqualified function ARN.",
        )),
    }
}

impl Lambda {
    /// `UpdateFunctionCode`.
    pub async fn update_function_code(&self, update: CodeUpdate) -> Result<FunctionView, LambdaError> {
        let name = self.parse(&update.name, None)?;
        of_latest(&name)?;
        let (lake, wanted, revision) = (self.inner.lake.clone(), name.clone(), update.revision.clone());
        let look = move |connection: &rusqlite::Connection| {
            let (_, version) = latest(connection, &lake, &wanted)?;
            check_revision(revision.as_deref(), &version.revision)
        };
        self.inner.lake.store.read(look).await?;
        let package = self.inner.code.take(update.code).await?;
        let lake = self.inner.lake.clone();
        let written = self.inner.lake.store.write(move |tx| {
            let (mut function, mut version) = latest(tx, &lake, &name)?;
            check_revision(update.revision.as_deref(), &version.revision)?;
            check_unpacked(tx, package.unpacked(), &version.config.layers)?;
            let before = version.clone();
            if let Some(architecture) = update.architecture {
                version.config.architecture = architecture;
            }
            if update.dry_run {
                version.code = package.sha256().to_owned();
                return Ok((function, version, None));
            }
            check_storage(tx, package.size())?;
            package.name(tx)?;
            sql::drop_code(tx, &before.code)?;
            version.code = package.sha256().to_owned();
            put_changed(tx, function.id, &before, &mut version)?;
            if update.publish {
                version = versions::publish(tx, &mut function, version, None)?;
            }
            Ok::<_, LambdaError>((function, version, Some(before)))
        });
        let (function, version, before) = written.await?;
        let qualifier = (version.version > 0).then_some(Qualifier::Version(version.version));
        self.retire(&function, before.as_ref());
        self.view(&function, version, qualifier.as_ref()).await
    }

    /// `UpdateFunctionConfiguration`.
    pub async fn update_function_configuration(
        &self,
        name: &str,
        change: ConfigChange,
        revision: Option<String>,
    ) -> Result<FunctionView, LambdaError> {
        let name = self.parse(name, None)?;
        of_latest(&name)?;
        change.check(&self.inner.lake.place)?;
        self.check_dead_letter(change.dead_letter.clone()).await?;
        self.check_runtime(change.runtime.as_deref()).await?;
        let lake = self.inner.lake.clone();
        let written = self.inner.lake.store.write(move |tx| {
            let (function, mut version) = latest(tx, &lake, &name)?;
            check_revision(revision.as_deref(), &version.revision)?;
            if let Some(role) = &change.role {
                roles::check(tx, &lake, role)?;
            }
            let before = version.clone();
            let arns = change.layers.clone();
            version.config.apply(change);
            if let Some(arns) = arns {
                version.config.layers = layers::resolve(tx, &lake.place, &arns)?;
                let code = sql::code(tx, &version.code)?.map_or(0, |code| code.unpacked);
                check_unpacked(tx, code, &version.config.layers)?;
                hold_layers(tx, &version.config.layers)?;
                drop_layers(tx, &before.config.layers)?;
            }
            put_changed(tx, function.id, &before, &mut version)?;
            Ok::<_, LambdaError>((function, version, before))
        });
        let (function, version, before) = written.await?;
        self.retire(&function, Some(&before));
        self.view(&function, version, None).await
    }

    /// Ends the processes of what `$LATEST` was before, where it is something else now.
    fn retire(&self, function: &FunctionRow, before: Option<&VersionRow>) {
        if let Some(before) = before {
            let key = process_key(function.id, before);
            self.inner.specs.forget(&key);
            self.inner.host.retire(&key);
            self.sweep_later();
        }
    }
}

/// Keeps `$LATEST` as it is now. Each update is a new revision, and a new generation: whoever updates a function to get fresh processes gets them.
/// What a version was published of is told apart by its values, not by the generation: see [`versions::publish`].
fn put_changed(tx: &Tx<'_>, function: i64, before: &VersionRow, version: &mut VersionRow) -> Result<(), LambdaError> {
    debug_assert_eq!(before.version, version.version);
    version.revision = tx.env().uuid();
    version.generation = tx.next_seq();
    version.modified_ms = tx.now_ms();
    sql::put_version(tx, function, version)?;
    Ok(())
}
