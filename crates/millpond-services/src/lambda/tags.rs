//! Tags of functions and of mappings, by ARN.

use super::model::{Tags, check_tags};
use super::{FunctionName, Lambda, LambdaError, mapping, sql};
use millpond_core::arn::Arn;
use rusqlite::Connection;

/// What has tags.
#[derive(Debug, Clone)]
enum Tagged {
    Function(String),
    Mapping(String),
}

impl Lambda {
    fn tagged(&self, arn: &str) -> Result<Tagged, LambdaError> {
        let place = &self.inner.lake.place;
        let parsed: Option<Arn> = arn.parse().ok();
        let parsed =
            parsed.filter(|parsed| parsed.service == "lambda" && !parsed.region.is_empty() && !parsed.account.is_empty());
        let parsed = parsed.ok_or_else(|| {
            let message = "Member must be the ARN of a function (arn:aws:lambda:REGION:ACCOUNT:function:NAME) or of an event source mapping \
                           (…:event-source-mapping:UUID)";
            LambdaError::constraint(arn, "resource", message)
        })?;
        let mut parts = parsed.resource.split(':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("function"), Some(_), Some(_)) => Err(LambdaError::invalid(
                "Tags on function aliases and versions are not supported. Please specify a function ARN.",
            )),
            (Some("function"), Some(_), None) => Ok(Tagged::Function(FunctionName::parse(place, arn, None)?.name)),
            (Some("event-source-mapping"), Some(uuid), None) => Ok(Tagged::Mapping(uuid.to_owned())),
            _ => Err(LambdaError::invalid(format!(
                "The resource {arn} cannot have tags here; functions and event source mappings can."
            ))),
        }
    }

    /// `TagResource`.
    pub async fn tag_resource(&self, arn: &str, tags: Tags) -> Result<(), LambdaError> {
        if tags.is_empty() {
            return Err(LambdaError::invalid("An error occurred and the request cannot be processed."));
        }
        self.change_tags(arn, move |all| all.extend(tags)).await
    }

    /// `UntagResource`.
    pub async fn untag_resource(&self, arn: &str, keys: Vec<String>) -> Result<(), LambdaError> {
        self.change_tags(arn, move |all| all.retain(|key, _| !keys.contains(key))).await
    }

    async fn change_tags(&self, arn: &str, change: impl FnOnce(&mut Tags) + Send + 'static) -> Result<(), LambdaError> {
        let (tagged, arn) = (self.tagged(arn)?, arn.to_owned());
        let written = self.inner.lake.store.write(move |tx| match tagged {
            Tagged::Function(name) => {
                let mut function = sql::function(tx, &name)?.ok_or_else(|| LambdaError::no_function(&arn))?;
                change(&mut function.facts.tags);
                check_tags(&function.facts.tags)?;
                Ok::<_, LambdaError>(sql::update_function(tx, &function)?)
            }
            Tagged::Mapping(uuid) => {
                let mut tags = mapping::tags(tx, &uuid)?.ok_or_else(|| no_mapping(&arn))?;
                change(&mut tags);
                check_tags(&tags)?;
                mapping::put_tags(tx, &uuid, &tags)
            }
        });
        written.await
    }

    /// `ListTags`.
    pub async fn list_tags(&self, arn: &str) -> Result<Tags, LambdaError> {
        let (tagged, arn) = (self.tagged(arn)?, arn.to_owned());
        let look = move |connection: &Connection| match tagged {
            Tagged::Function(name) => {
                let function = sql::function(connection, &name)?.ok_or_else(|| LambdaError::no_function(&arn))?;
                Ok(function.facts.tags)
            }
            Tagged::Mapping(uuid) => mapping::tags(connection, &uuid)?.ok_or_else(|| no_mapping(&arn)),
        };
        self.inner.lake.store.read(look).await
    }
}

fn no_mapping(arn: &str) -> LambdaError {
    LambdaError::NotFound(format!("Event source mapping not found: {arn}"))
}
