//! Layers: packages that functions share, in versions.

use super::code::{Source, base64_of};
use super::functions::check_storage;
use super::model::{Layer, layer_version, time_text};
use super::policy::{document, with, without};
use super::{Lambda, LambdaError, Page, link, page_size, sql};
use millpond_core::arn::Place;
use millpond_core::env::EnvExt;
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A layer version to publish.
#[derive(Debug, Clone)]
pub struct NewLayer {
    /// A name or a layer's ARN.
    pub name: String,
    /// Its package.
    pub code: Source,
    /// For people.
    pub description: String,
    /// Runtimes that it is for.
    pub runtimes: Vec<String>,
    /// Architectures that it is for.
    pub architectures: Vec<String>,
    /// Its licence.
    pub license: Option<String>,
}

/// What is kept of a layer version besides its package.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct LayerFacts {
    description: String,
    runtimes: Vec<String>,
    architectures: Vec<String>,
    license: Option<String>,
}

/// A layer version as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerView {
    /// The layer's name.
    pub name: String,
    /// Of the layer.
    pub arn: String,
    /// Of this version.
    pub version_arn: String,
    /// From 1.
    pub version: i64,
    /// For people.
    pub description: String,
    /// Runtimes that it is for.
    pub runtimes: Vec<String>,
    /// Architectures that it is for.
    pub architectures: Vec<String>,
    /// Its licence.
    pub license: Option<String>,
    /// `2024-05-01T12:00:00.123+0000`.
    pub created: String,
    /// Of the package, base64.
    pub code_sha256: String,
    /// Of the package, in bytes.
    pub code_size: u64,
    /// A link to the package, a path of this lake; empty in listings.
    pub location: String,
}

#[derive(Debug, Clone)]
struct LayerRow {
    name: String,
    version: i64,
    code: String,
    created_ms: i64,
    facts: LayerFacts,
    statements: Vec<Value>,
    policy_revision: String,
    size: u64,
}

const LAYER: &str = "SELECT l.name, l.version, l.code, l.created_ms, l.facts, l.statements, l.policy_revision, c.size
                     FROM lambda_layer_version AS l LEFT JOIN lambda_code AS c ON c.sha256 = l.code";

fn layer_row(row: &rusqlite::Row<'_>) -> Result<LayerRow, StoreError> {
    Ok(LayerRow {
        name: row.get(0)?,
        version: row.get(1)?,
        code: row.get(2)?,
        created_ms: row.get(3)?,
        facts: sql::json(row, 4)?,
        statements: sql::json(row, 5)?,
        policy_revision: row.get(6)?,
        size: row.get::<_, Option<i64>>(7)?.unwrap_or(0) as u64,
    })
}

fn row(connection: &Connection, name: &str, version: i64) -> Result<Option<LayerRow>, StoreError> {
    let select = format!("{LAYER} WHERE l.name = ? AND l.version = ?");
    connection.prepare_cached(&select)?.query_and_then(params![name, version], layer_row)?.next().transpose()
}

fn version_arn(place: &Place, name: &str, version: i64) -> String {
    place.arn("lambda", format_args!("layer:{name}:{version}")).to_string()
}

/// The layer versions that a function names. One of another account (AWS and others share layers that way) is looked for among the lake's own
/// layers, by its name: its version where that is there, else the newest.
pub(super) fn resolve(connection: &Connection, place: &Place, arns: &[String]) -> Result<Vec<Layer>, LambdaError> {
    let mut layers = Vec::new();
    for arn in arns {
        let (_, name, version) = layer_version(arn)?;
        let ours = *arn == version_arn(place, &name, version);
        let found = match row(connection, &name, version)? {
            None if !ours => newest(connection, &name)?,
            found => found,
        };
        let found = found.ok_or_else(|| {
            let hint = match ours {
                true => String::new(),
                false => format!(
                    " It is of another account, and this lake has no layer of its name: publish one (aws lambda publish-layer-version \
                     --layer-name {name} --zip-file fileb://layer.zip), and it will be used."
                ),
            };
            LambdaError::invalid(format!("Layer version {arn} does not exist.{hint}"))
        })?;
        layers.push(Layer { arn: arn.clone(), code: found.code, size: found.size });
    }
    Ok(layers)
}

fn newest(connection: &Connection, name: &str) -> Result<Option<LayerRow>, StoreError> {
    let select = format!("{LAYER} WHERE l.name = ? ORDER BY l.version DESC LIMIT 1");
    connection.prepare_cached(&select)?.query_and_then([name], layer_row)?.next().transpose()
}

fn from_one(version: i64) -> Result<i64, LambdaError> {
    if version < 1 { Err(LambdaError::invalid("Layer Version Cannot be less than 1")) } else { Ok(version) }
}

impl Lambda {
    /// The name of a layer that was named by its name or its ARN.
    fn layer_name(&self, text: &str) -> Result<String, LambdaError> {
        let name = match text.strip_prefix("arn:") {
            None => text,
            Some(_) => {
                let place = &self.inner.lake.place;
                let prefix = place.arn("lambda", "layer:").to_string();
                let foreign = || LambdaError::Denied(format!("{text} is not a layer of this account and region ({prefix}…)."));
                text.strip_prefix(&prefix).ok_or_else(foreign)?
            }
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 140 || !name.chars().all(valid) {
            let pattern = "Member must satisfy regular expression pattern: (arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:)?[a-zA-Z0-9-_]+";
            return Err(LambdaError::constraint(text, "layerName", pattern));
        }
        Ok(name.to_owned())
    }

    fn layer_view(&self, row: LayerRow) -> LayerView {
        let place = &self.inner.lake.place;
        LayerView {
            arn: place.arn("lambda", format_args!("layer:{}", row.name)).to_string(),
            version_arn: version_arn(place, &row.name, row.version),
            version: row.version,
            description: row.facts.description,
            runtimes: row.facts.runtimes,
            architectures: row.facts.architectures,
            license: row.facts.license,
            created: time_text(row.created_ms),
            code_sha256: base64_of(&row.code),
            code_size: row.size,
            location: String::new(),
            name: row.name,
        }
    }

    /// `PublishLayerVersion`. Numbers are never used twice.
    pub async fn publish_layer(&self, new: NewLayer) -> Result<LayerView, LambdaError> {
        let name = self.layer_name(&new.name)?;
        let package = self.inner.code.take(new.code).await?;
        let NewLayer { description, runtimes, architectures, license, .. } = new;
        let facts = LayerFacts { description, runtimes, architectures, license };
        let written = self.inner.lake.store.write(move |tx| {
            check_storage(tx, package.size())?;
            let next = "INSERT INTO lambda_layer (name, last_version) VALUES (?, 1)
                        ON CONFLICT (name) DO UPDATE SET last_version = last_version + 1 RETURNING last_version";
            let version: i64 = tx.prepare_cached(next)?.query_row([&name], |row| row.get(0))?;
            package.name(tx)?;
            let insert = "INSERT INTO lambda_layer_version (name, version, code, created_ms, facts, policy_revision)
                          VALUES (?, ?, ?, ?, ?, ?)";
            let facts = sql::text(&facts)?;
            tx.prepare_cached(insert)?.execute(params![name, version, package.sha256(), tx.now_ms(), facts, tx.env().uuid()])?;
            row(tx, &name, version)?.ok_or_else(LambdaError::no_resource)
        });
        self.with_location(written.await?).await
    }

    async fn with_location(&self, row: LayerRow) -> Result<LayerView, LambdaError> {
        let location = self.link(&row.code).await?;
        Ok(LayerView { location, ..self.layer_view(row) })
    }

    /// `GetLayerVersion`.
    pub async fn get_layer_version(&self, name: &str, version: i64) -> Result<LayerView, LambdaError> {
        let (name, version) = (self.layer_name(name)?, from_one(version)?);
        let look = move |connection: &Connection| row(connection, &name, version)?.ok_or_else(LambdaError::no_resource);
        let found = self.inner.lake.store.read(look).await?;
        self.with_location(found).await
    }

    /// `GetLayerVersionByArn`.
    pub async fn get_layer_version_by_arn(&self, arn: &str) -> Result<LayerView, LambdaError> {
        let (_, name, version) = layer_version(arn)?;
        self.get_layer_version(&name, version).await
    }

    /// `DeleteLayerVersion`. Functions that use it keep it; one that is not there is deleted already.
    pub async fn delete_layer_version(&self, name: &str, version: i64) -> Result<(), LambdaError> {
        let (name, version) = (self.layer_name(name)?, from_one(version)?);
        let written = self.inner.lake.store.write(move |tx| {
            let delete = "DELETE FROM lambda_layer_version WHERE name = ? AND version = ? RETURNING code";
            let code: Option<String> =
                tx.prepare_cached(delete)?.query_row(params![name, version], |row| row.get(0)).optional()?;
            match code {
                Some(code) => Ok::<_, LambdaError>(sql::drop_code(tx, &code)?),
                None => Ok(()),
            }
        });
        written.await?;
        self.sweep_later();
        Ok(())
    }

    /// `ListLayerVersions`, the newest first; those for a runtime or an architecture where one is given.
    pub async fn list_layer_versions(
        &self,
        name: &str,
        runtime: Option<String>,
        architecture: Option<String>,
        marker: Option<&str>,
        max: Option<u32>,
    ) -> Result<Page<LayerView>, LambdaError> {
        let (name, limit) = (self.layer_name(name)?, page_size(max));
        let from: i64 = link::position(marker)?.parse().unwrap_or(i64::MAX);
        let look = move |connection: &Connection| {
            let select = format!("{LAYER} WHERE l.name = ? AND l.version <= ? ORDER BY l.version DESC");
            let mut statement = connection.prepare_cached(&select)?;
            let rows = statement.query_and_then(params![name, from], layer_row)?;
            matching(rows, runtime.as_deref(), architecture.as_deref(), limit + 1)
        };
        let page = Page::cut(self.inner.lake.store.read(look).await?, limit, |row| row.version.to_string());
        Ok(page.map(|row| self.layer_view(row)))
    }

    /// `ListLayers`, by name, each with its newest version.
    pub async fn list_layers(
        &self,
        runtime: Option<String>,
        architecture: Option<String>,
        marker: Option<&str>,
        max: Option<u32>,
    ) -> Result<Page<LayerView>, LambdaError> {
        let (from, limit) = (link::position(marker)?, page_size(max));
        let look = move |connection: &Connection| {
            let names = "SELECT DISTINCT name FROM lambda_layer_version WHERE name >= ? ORDER BY name";
            let mut names = connection.prepare_cached(names)?;
            let names = names.query_map([from], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            let mut rows = Vec::new();
            for name in names {
                let select = format!("{LAYER} WHERE l.name = ? ORDER BY l.version DESC");
                let mut statement = connection.prepare_cached(&select)?;
                let found = statement.query_and_then([name], layer_row)?;
                rows.extend(matching(found, runtime.as_deref(), architecture.as_deref(), 1)?);
                if rows.len() > limit {
                    break;
                }
            }
            Ok::<_, LambdaError>(rows)
        };
        let page = Page::cut(self.inner.lake.store.read(look).await?, limit, |row| row.name.clone());
        Ok(page.map(|row| self.layer_view(row)))
    }

    /// `AddLayerVersionPermission`. Answers the statement and the policy's revision.
    pub async fn add_layer_permission(
        &self,
        name: &str,
        version: i64,
        statement_id: String,
        principal: String,
        organization: Option<String>,
        revision: Option<String>,
    ) -> Result<(Value, String), LambdaError> {
        let is_account = principal.len() == 12 && principal.bytes().all(|byte| byte.is_ascii_digit());
        let principal = match principal.as_str() {
            "*" => json!("*"),
            account if is_account => json!({ "AWS": format!("arn:aws:iam::{account}:root") }),
            arn if arn.starts_with("arn:") && arn.contains(":iam::") => json!({ "AWS": arn }),
            _ => {
                return Err(LambdaError::invalid(
                    "The provided principal was invalid. Please check the principal and try again.",
                ));
            }
        };
        let arn = version_arn(&self.inner.lake.place, &self.layer_name(name)?, version);
        let mut statement = json!({
            "Sid": statement_id,
            "Effect": "Allow",
            "Principal": principal,
            "Action": "lambda:GetLayerVersion",
            "Resource": arn,
        });
        if let Some(organization) = organization {
            statement["Condition"] = json!({ "StringEquals": { "aws:PrincipalOrgID": organization } });
        }
        let added = statement.clone();
        let revision = self.change_layer_policy(name, version, revision, move |before| with(before, added)).await?;
        Ok((statement, revision))
    }

    /// `RemoveLayerVersionPermission`.
    pub async fn remove_layer_permission(
        &self,
        name: &str,
        version: i64,
        statement_id: String,
        revision: Option<String>,
    ) -> Result<(), LambdaError> {
        self.change_layer_policy(name, version, revision, move |before| without(before, &statement_id)).await.map(|_| ())
    }

    async fn change_layer_policy(
        &self,
        name: &str,
        version: i64,
        revision: Option<String>,
        change: impl FnOnce(Vec<Value>) -> Result<Vec<Value>, LambdaError> + Send + 'static,
    ) -> Result<String, LambdaError> {
        let (name, place) = (self.layer_name(name)?, self.inner.lake.place.clone());
        let written = self.inner.lake.store.write(move |tx: &Tx<'_>| {
            let found = row(tx, &name, version)?.ok_or_else(|| no_layer(&place, &name, version))?;
            let statements = change(found.statements)?;
            if revision.is_some_and(|given| given != found.policy_revision) {
                return Err(LambdaError::revision("GetLayerPolicy"));
            }
            let revision = tx.env().uuid();
            let update = "UPDATE lambda_layer_version SET statements = ?, policy_revision = ? WHERE name = ? AND version = ?";
            tx.prepare_cached(update)?.execute(params![sql::text(&statements)?, revision, name, version])?;
            Ok(revision)
        });
        written.await
    }

    /// `GetLayerVersionPolicy`. Answers the policy and its revision.
    pub async fn get_layer_policy(&self, name: &str, version: i64) -> Result<(Value, String), LambdaError> {
        let (name, place) = (self.layer_name(name)?, self.inner.lake.place.clone());
        let look = move |connection: &Connection| {
            let found = row(connection, &name, version)?.ok_or_else(|| no_layer(&place, &name, version))?;
            match found.statements.is_empty() {
                true => Err(LambdaError::NotFound("No policy is associated with the given resource.".into())),
                false => Ok((document(&found.statements), found.policy_revision)),
            }
        };
        self.inner.lake.store.read(look).await
    }
}

fn no_layer(place: &Place, name: &str, version: i64) -> LambdaError {
    LambdaError::NotFound(format!("Layer version {} does not exist.", version_arn(place, name, version)))
}

/// The first rows that name a runtime and an architecture, where they are asked for.
fn matching(
    rows: impl Iterator<Item = Result<LayerRow, StoreError>>,
    runtime: Option<&str>,
    architecture: Option<&str>,
    limit: usize,
) -> Result<Vec<LayerRow>, LambdaError> {
    let fits = |wanted: Option<&str>, of: &[String]| wanted.is_none_or(|wanted| of.iter().any(|one| one == wanted));
    let mut found = Vec::new();
    for row in rows {
        let row = row?;
        if fits(runtime, &row.facts.runtimes) && fits(architecture, &row.facts.architectures) {
            found.push(row);
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}
