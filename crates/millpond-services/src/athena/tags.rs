use super::workgroups::require;
use super::{Athena, AthenaError, catalogs, sql};
use millpond_core::arn::Arn;
use millpond_store::Tx;
use rusqlite::Connection;

/// A resource has so many tags at the most (Athena API reference, `TagResource`).
const TAGS_MAX: usize = 50;

/// What has tags.
#[derive(Debug, Clone)]
enum Tagged {
    Workgroup(String),
    DataCatalog(String),
}

impl Athena {
    /// The tags of a workgroup or data catalog, by its ARN.
    pub async fn tags(&self, arn: &str) -> Result<Vec<(String, String)>, AthenaError> {
        let tagged = named_by(arn)?;
        self.lake.store.read(move |connection| tags_of(connection, &tagged)).await
    }

    /// Adds tags to a workgroup or data catalog, or changes their values.
    pub async fn tag(&self, arn: &str, tags: Vec<(String, String)>) -> Result<(), AthenaError> {
        let tagged = named_by(arn)?;
        let done = self.lake.store.write(move |tx| {
            let mut all = tags_of(tx, &tagged)?;
            for (key, value) in tags {
                all.retain(|(known, _)| *known != key);
                all.push((key, value));
            }
            if all.len() > TAGS_MAX {
                return Err(AthenaError::invalid(format!("A resource can have {TAGS_MAX} tags at the most.")));
            }
            set_tags(tx, &tagged, all)
        });
        done.await
    }

    /// Removes tags from a workgroup or data catalog.
    pub async fn untag(&self, arn: &str, keys: Vec<String>) -> Result<(), AthenaError> {
        let tagged = named_by(arn)?;
        let done = self.lake.store.write(move |tx| {
            let mut all = tags_of(tx, &tagged)?;
            all.retain(|(key, _)| !keys.contains(key));
            set_tags(tx, &tagged, all)
        });
        done.await
    }
}

fn tags_of(connection: &Connection, tagged: &Tagged) -> Result<Vec<(String, String)>, AthenaError> {
    Ok(match tagged {
        Tagged::Workgroup(name) => require(connection, name)?.tags,
        Tagged::DataCatalog(name) => catalogs::require_own(connection, name, "tagged")?.tags,
    })
}

fn set_tags(tx: &Tx<'_>, tagged: &Tagged, tags: Vec<(String, String)>) -> Result<(), AthenaError> {
    match tagged {
        Tagged::Workgroup(name) => {
            let mut workgroup = require(tx, name)?;
            workgroup.tags = tags;
            sql::put_workgroup(tx, &workgroup)?;
        }
        Tagged::DataCatalog(name) => {
            let mut catalog = catalogs::require_own(tx, name, "tagged")?;
            catalog.tags = tags;
            sql::put_data_catalog(tx, &catalog)?;
        }
    }
    Ok(())
}

fn named_by(arn: &str) -> Result<Tagged, AthenaError> {
    let parsed: Option<Arn> = arn.parse().ok();
    let resource = parsed.as_ref().filter(|arn| arn.service == "athena").and_then(|arn| arn.resource.split_once('/'));
    match resource {
        Some(("workgroup", name)) => Ok(Tagged::Workgroup(name.to_owned())),
        Some(("datacatalog", name)) => Ok(Tagged::DataCatalog(name.to_owned())),
        _ => Err(AthenaError::NotFound {
            message: format!(
                "{arn} is not the ARN of a workgroup or data catalog (arn:aws:athena:region:account:workgroup/name)."
            ),
            resource: arn.to_owned(),
        }),
    }
}
