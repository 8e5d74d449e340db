//! Service-linked roles: IAM user guide, "Create a service-linked role". A service's name says the role's name, path and trust
//! policy.

use super::roles::detail;
use super::{Iam, IamError, RoleDetail, new_id, sql};
use crate::lake::identity::{Role, role_by_name};
use serde_json::json;

/// The names that differ from `AWSServiceRoleFor` and the service's own.
const NAMES: &[(&str, &str)] = &[
    ("apidestinations.events.amazonaws.com", "AmazonEventBridgeApiDestinations"),
    ("autoscaling.amazonaws.com", "AutoScaling"),
    ("contributorinsights.dynamodb.amazonaws.com", "DynamoDBCloudWatchContributorInsights"),
    ("dynamodb.application-autoscaling.amazonaws.com", "ApplicationAutoScaling_DynamoDBTable"),
    ("ecs.amazonaws.com", "ECS"),
    ("elasticmapreduce.amazonaws.com", "EMRCleanup"),
    ("events.amazonaws.com", "CloudWatchEvents"),
    ("kafka.amazonaws.com", "Kafka"),
    ("kinesisreplication.dynamodb.amazonaws.com", "DynamoDBKinesisDataStreamsReplication"),
    ("lakeformation.amazonaws.com", "LakeFormationDataAccess"),
    ("opensearchservice.amazonaws.com", "AmazonOpenSearchService"),
    ("ops.apigateway.amazonaws.com", "APIGateway"),
    ("rds.amazonaws.com", "RDS"),
    ("replication.dynamodb.amazonaws.com", "DynamoDBReplication"),
];

fn role_name(service: &str, suffix: Option<&str>) -> Option<String> {
    let own = service.strip_suffix(".amazonaws.com").filter(|own| !own.is_empty())?;
    let plain = match NAMES.iter().find(|(name, _)| *name == service) {
        Some((_, plain)) => (*plain).to_owned(),
        None => {
            let capital = |part: &str| {
                let mut letters = part.chars();
                let first = letters.next().map(|first| first.to_ascii_uppercase());
                first.into_iter().chain(letters).collect::<String>()
            };
            own.split(['.', '-']).map(capital).collect()
        }
    };
    let suffix = suffix.map(|suffix| format!("_{suffix}")).unwrap_or_default();
    Some(format!("AWSServiceRoleFor{plain}{suffix}"))
}

impl Iam {
    /// `CreateServiceLinkedRole`
    pub async fn create_service_linked_role(
        &self,
        service: String,
        description: Option<String>,
        suffix: Option<String>,
    ) -> Result<RoleDetail, IamError> {
        let Some(name) = role_name(&service, suffix.as_deref()) else {
            let text = format!("{service} is not a service's name: write it as in lambda.amazonaws.com.");
            return Err(IamError::InvalidInput(text));
        };
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
        });
        self.write(move |iam, tx| {
            if role_by_name(tx, &name)?.is_some() {
                let text = format!("Service role name {name} has been taken in this account, please try a different suffix.");
                return Err(IamError::InvalidInput(text));
            }
            let role = Role {
                id: new_id(tx.env().as_ref(), "AROA"),
                name,
                path: format!("/aws-service-role/{service}/"),
                description,
                created_ms: tx.now_ms(),
                session_seconds_max: 3600,
                trust: trust.to_string(),
                boundary: None,
            };
            iam.insert_role(tx, &role)?;
            detail(iam, tx, role)
        })
        .await
    }

    /// `DeleteServiceLinkedRole`: at once, since no service of a lake uses one. Answers the id of the deletion's task.
    pub async fn delete_service_linked_role(&self, name: String) -> Result<String, IamError> {
        self.write(move |iam, tx| {
            let role = super::find_role(tx, &name)?;
            if !role.is_service_linked() {
                let text = format!("Role {name} is not a service-linked role: use DeleteRole.");
                return Err(IamError::InvalidInput(text));
            }
            sql::delete_role(tx, &role.id)?;
            iam.identity.role_goes(tx, &role.id);
            Ok(format!("task{}{}/{}", role.path, role.name, role.id))
        })
        .await
    }

    /// `GetServiceLinkedRoleDeletionStatus`: a deletion that was answered is over.
    pub async fn deletion_status(&self, task: String) -> Result<(), IamError> {
        let unknown = || IamError::NoSuchEntity(format!("DeletionTask with ID {task} cannot be found."));
        let id = task.strip_prefix("task/aws-service-role/").and_then(|rest| rest.rsplit('/').next()).ok_or_else(unknown)?;
        let id = id.to_owned();
        let exists = self.read(move |_, connection| Ok(crate::lake::identity::role_by_id(connection, &id)?)).await?;
        match exists {
            None => Ok(()),
            Some(_) => Err(unknown()),
        }
    }
}
