//! PublishVersion: a copy of `$LATEST` that never changes.

use super::functions::{FunctionView, hold_layers, latest};
use super::sql::{self, FunctionRow, VersionRow};
use super::update::check_revision;
use super::{Lambda, LambdaError, Qualifier, code};
use millpond_core::env::EnvExt;
use millpond_store::Tx;

/// Publishes `$LATEST`; answers the version that was published last where nothing changed since.
pub(super) fn publish(
    tx: &Tx<'_>,
    function: &mut FunctionRow,
    latest: VersionRow,
    description: Option<String>,
) -> Result<VersionRow, LambdaError> {
    if let Some(last) = sql::last_published(tx, function.id)? {
        let mut config = latest.config.clone();
        // The description of a version may be its own.
        config.description.clone_from(&last.config.description);
        let described = description.as_ref().unwrap_or(&latest.config.description);
        let same = last.code == latest.code && last.config == config;
        if same && (last.config.description == *described || last.generation == latest.generation) {
            return Ok(last);
        }
    }
    function.last_version += 1;
    sql::update_function(tx, function)?;
    sql::revise_version(tx, function.id, 0, &tx.env().uuid())?;
    let mut version = latest;
    version.version = function.last_version;
    version.revision = tx.env().uuid();
    version.modified_ms = tx.now_ms();
    if let Some(description) = description {
        version.config.description = description;
    }
    sql::hold_code(tx, &version.code)?;
    hold_layers(tx, &version.config.layers)?;
    sql::put_version(tx, function.id, &version)?;
    Ok(version)
}

impl Lambda {
    /// `PublishVersion`. `code_sha256` (base64) and `revision`: only where `$LATEST` has them.
    pub async fn publish_version(
        &self,
        name: &str,
        description: Option<String>,
        code_sha256: Option<String>,
        revision: Option<String>,
    ) -> Result<FunctionView, LambdaError> {
        let name = self.parse(name, None)?;
        let lake = self.inner.lake.clone();
        let written = self.inner.lake.store.write(move |tx| {
            let (mut function, version) = latest(tx, &lake, &name)?;
            check_revision(revision.as_deref(), &version.revision)?;
            let current = code::base64_of(&version.code);
            if let Some(given) = code_sha256.filter(|given| *given != current) {
                return Err(LambdaError::invalid(format!(
                    "CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({current}). Please try again with the \
                     CodeSHA256 in $LATEST."
                )));
            }
            let version = publish(tx, &mut function, version, description)?;
            Ok((function, version))
        });
        let (function, version) = written.await?;
        let qualifier = Qualifier::Version(version.version);
        self.view(&function, version, Some(&qualifier)).await
    }
}
