use super::workgroups::require;
use super::{Athena, AthenaError, sql};
use millpond_core::arn::Arn;

/// A resource has so many tags at the most (Athena API reference, `TagResource`).
const TAGS_MAX: usize = 50;

impl Athena {
    /// The tags of a workgroup, by its ARN.
    pub async fn tags(&self, arn: &str) -> Result<Vec<(String, String)>, AthenaError> {
        let name = workgroup_of(arn)?;
        self.lake.store.read(move |connection| Ok(require(connection, &name)?.tags)).await
    }

    /// Adds tags to a workgroup, or changes their values.
    pub async fn tag(&self, arn: &str, tags: Vec<(String, String)>) -> Result<(), AthenaError> {
        let name = workgroup_of(arn)?;
        let tagged = self.lake.store.write(move |tx| {
            let mut workgroup = require(tx, &name)?;
            for (key, value) in tags {
                workgroup.tags.retain(|(known, _)| *known != key);
                workgroup.tags.push((key, value));
            }
            if workgroup.tags.len() > TAGS_MAX {
                return Err(AthenaError::invalid(format!("A resource can have {TAGS_MAX} tags at the most.")));
            }
            Ok(sql::put_workgroup(tx, &workgroup)?)
        });
        tagged.await
    }

    /// Removes tags from a workgroup.
    pub async fn untag(&self, arn: &str, keys: Vec<String>) -> Result<(), AthenaError> {
        let name = workgroup_of(arn)?;
        let untagged = self.lake.store.write(move |tx| {
            let mut workgroup = require(tx, &name)?;
            workgroup.tags.retain(|(key, _)| !keys.contains(key));
            Ok(sql::put_workgroup(tx, &workgroup)?)
        });
        untagged.await
    }
}

fn workgroup_of(arn: &str) -> Result<String, AthenaError> {
    let parsed: Option<Arn> = arn.parse().ok();
    let name =
        parsed.as_ref().and_then(|arn| (arn.service == "athena").then(|| arn.resource.strip_prefix("workgroup/")).flatten());
    name.map(str::to_owned).ok_or_else(|| AthenaError::NotFound {
        message: format!("{arn} is not the ARN of a workgroup (arn:aws:athena:region:account:workgroup/name)."),
        resource: arn.to_owned(),
    })
}
