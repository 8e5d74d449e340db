//! What concerns a function as a whole, or the account: reserved concurrency, recursion, runtime management, account settings.

use super::functions::{STORAGE_MAX, latest, resolve};
use super::{FunctionName, Lambda, LambdaError, PACKED_MAX, Qualifier, UNPACKED_MAX, sql};
use rusqlite::Connection;

/// What stays for functions that reserve nothing: "Configuring reserved concurrency for a function".
const UNRESERVED_MIN: i64 = 100;

/// `GetAccountSettings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountSettings {
    /// The most bytes of all packages.
    pub storage_max: i64,
    /// The most bytes of one unpacked with its layers.
    pub unpacked_max: i64,
    /// The most bytes of one in a request.
    pub packed_max: i64,
    /// Invocations at the same time.
    pub concurrency: i64,
    /// Those that no function reserved.
    pub unreserved: i64,
    /// Bytes of all packages.
    pub storage: i64,
    /// Functions.
    pub functions: i64,
}

/// `GetRuntimeManagementConfig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeManagement {
    /// With the qualifier.
    pub arn: String,
    /// `Auto`, `FunctionUpdate` or `Manual`.
    pub update_on: String,
    /// With `Manual`.
    pub runtime_arn: Option<String>,
}

impl Lambda {
    fn unqualified(&self, name: &str) -> Result<FunctionName, LambdaError> {
        let name = self.parse(name, None)?;
        match name.qualifier {
            None => Ok(name),
            Some(_) => Err(LambdaError::invalid(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please \
                 specify either a function name or an unqualified function ARN.",
            )),
        }
    }

    /// `PutFunctionConcurrency`. Answers what is reserved.
    pub async fn put_concurrency(&self, name: &str, reserved: u32) -> Result<u32, LambdaError> {
        let (name, lake) = (self.unqualified(name)?, self.inner.lake.clone());
        let all = i64::from(self.inner.settings.concurrency);
        let written = self.inner.lake.store.write(move |tx| {
            let (mut function, _) = latest(tx, &lake, &name)?;
            let others = sql::reserved_by_others(tx, function.id)?;
            if reserved > 0 && all - others - i64::from(reserved) < UNRESERVED_MIN {
                return Err(LambdaError::invalid(format!(
                    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its \
                     minimum value of [{UNRESERVED_MIN}]."
                )));
            }
            function.reserved = Some(reserved);
            sql::update_function(tx, &function)?;
            Ok(reserved)
        });
        written.await
    }

    /// `GetFunctionConcurrency`.
    pub async fn get_concurrency(&self, name: &str) -> Result<Option<u32>, LambdaError> {
        let (name, lake) = (self.unqualified(name)?, self.inner.lake.clone());
        let look = move |connection: &Connection| Ok(latest(connection, &lake, &name)?.0.reserved);
        self.inner.lake.store.read(look).await
    }

    /// `DeleteFunctionConcurrency`.
    pub async fn delete_concurrency(&self, name: &str) -> Result<(), LambdaError> {
        let (name, lake) = (self.unqualified(name)?, self.inner.lake.clone());
        let written = self.inner.lake.store.write(move |tx| {
            let (mut function, _) = latest(tx, &lake, &name)?;
            function.reserved = None;
            Ok::<_, LambdaError>(sql::update_function(tx, &function)?)
        });
        written.await
    }

    /// `GetAccountSettings`.
    pub async fn account_settings(&self) -> Result<AccountSettings, LambdaError> {
        let concurrency = i64::from(self.inner.settings.concurrency);
        let look = move |connection: &Connection| {
            let (storage, functions) = sql::usage(connection)?;
            let reserved = sql::reserved_by_others(connection, -1)?;
            Ok(AccountSettings {
                storage_max: STORAGE_MAX,
                unpacked_max: UNPACKED_MAX as i64,
                packed_max: PACKED_MAX as i64,
                concurrency,
                unreserved: concurrency - reserved,
                storage,
                functions,
            })
        };
        self.inner.lake.store.read(look).await
    }

    /// `PutFunctionRecursionConfig`: kept, and told.
    pub async fn put_recursion(&self, name: &str, recursive_loop: String) -> Result<String, LambdaError> {
        let (name, lake) = (self.unqualified(name)?, self.inner.lake.clone());
        let written = self.inner.lake.store.write(move |tx| {
            let (mut function, _) = latest(tx, &lake, &name)?;
            function.facts.recursion = Some(recursive_loop.clone());
            sql::update_function(tx, &function)?;
            Ok::<_, LambdaError>(recursive_loop)
        });
        written.await
    }

    /// `GetFunctionRecursionConfig`.
    pub async fn get_recursion(&self, name: &str) -> Result<String, LambdaError> {
        let (name, lake) = (self.unqualified(name)?, self.inner.lake.clone());
        let look = move |connection: &Connection| Ok::<_, LambdaError>(latest(connection, &lake, &name)?.0.facts.recursion);
        Ok(self.inner.lake.store.read(look).await?.unwrap_or_else(|| "Terminate".into()))
    }

    /// `PutRuntimeManagementConfig`: kept, and told.
    pub async fn put_runtime_management(
        &self,
        name: &str,
        qualifier: Option<&str>,
        update_on: String,
        runtime_arn: Option<String>,
    ) -> Result<RuntimeManagement, LambdaError> {
        if (update_on == "Manual") != runtime_arn.is_some() {
            let message = "You must specify a RuntimeVersionArn when UpdateRuntimeOn is Manual, and only then.";
            return Err(LambdaError::invalid(message));
        }
        let (name, lake) = (self.parse(name, qualifier)?, self.inner.lake.clone());
        let key = name.qualifier_or_latest().to_string();
        let arn = name.arn(&lake.place);
        let written = self.inner.lake.store.write(move |tx| {
            let mut function = resolve(tx, &lake, &name)?.function;
            function.facts.runtime_management.insert(key, (update_on.clone(), runtime_arn.clone()));
            sql::update_function(tx, &function)?;
            Ok::<_, LambdaError>(RuntimeManagement { arn, update_on, runtime_arn })
        });
        written.await
    }

    /// `GetRuntimeManagementConfig`.
    pub async fn get_runtime_management(&self, name: &str, qualifier: Option<&str>) -> Result<RuntimeManagement, LambdaError> {
        let (name, lake) = (self.parse(name, qualifier)?, self.inner.lake.clone());
        let arn = self.arn(&name.name, Some(&name.qualifier_or_latest()));
        let look = move |connection: &Connection| {
            let mut all = resolve(connection, &lake, &name)?.function.facts.runtime_management;
            Ok::<_, LambdaError>(all.remove(&name.qualifier_or_latest().to_string()))
        };
        let (update_on, runtime_arn) = self.inner.lake.store.read(look).await?.unwrap_or_else(|| ("Auto".into(), None));
        Ok(RuntimeManagement { arn, update_on, runtime_arn })
    }

    /// Whether a function, version or alias exists; for operations that answer the same for all.
    pub async fn exists(&self, name: &str, qualifier: Option<&str>) -> Result<String, LambdaError> {
        let (resolved, _) = self.look_up(name, qualifier).await?;
        Ok(resolved.function.name)
    }
}

/// Whether a qualifier names what exists, in the words that AWS has for aliases.
pub(super) fn qualified(
    connection: &Connection,
    lambda: &Lambda,
    name: &FunctionName,
) -> Result<super::functions::Resolved, LambdaError> {
    let lake = &lambda.inner.lake;
    resolve(connection, lake, name).map_err(|error| match (&name.qualifier, error) {
        (Some(Qualifier::Alias(alias)), LambdaError::NotFound(message)) if !alias.contains('$') => {
            let exists = sql::function(connection, &name.name).is_ok_and(|found| found.is_some());
            let arn = name.arn(&lake.place);
            LambdaError::NotFound(if exists { format!("Cannot find alias arn: {arn}") } else { message })
        }
        (_, error) => error,
    })
}
