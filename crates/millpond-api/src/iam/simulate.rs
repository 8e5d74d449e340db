use super::{Answer, paged, refused, window};
use crate::router::{Context, Router};
use millpond_core::policy::{Decision, Place};
use millpond_services::iam::{self, Iam, MatchedStatement, Page, Simulated, Simulation, SourceKind};
use millpond_wire::WireError;
use millpond_wire::iam::*;

pub(super) fn register(router: &mut Router, iam: &Iam) {
    router.service(iam.clone()).on(SimulatePrincipalPolicy, principal).on(SimulateCustomPolicy, custom);
}

async fn principal(iam: Iam, _: Context, input: SimulatePrincipalPolicyInput) -> Answer<SimulatePolicyResponse> {
    if input.policy_exclusion_list.is_some_and(|list| !list.is_empty()) {
        return Err(unsupported("PolicyExclusionList"));
    }
    let simulation = Simulation {
        source: Some(input.policy_source_arn),
        policies: input.policy_input_list.unwrap_or_default(),
        boundary: one_boundary(input.permissions_boundary_policy_input_list)?,
        actions: input.action_names,
        resources: input.resource_arns.unwrap_or_default(),
        resource_policy: input.resource_policy,
        caller: input.caller_arn,
        context: context_entries(input.context_entries),
    };
    answer(iam.simulate(simulation, window(input.marker, input.max_items)).await.map_err(refused)?)
}

async fn custom(iam: Iam, _: Context, input: SimulateCustomPolicyInput) -> Answer<SimulatePolicyResponse> {
    if input.ordered_organization_policy_input_list.is_some_and(|list| !list.is_empty()) {
        return Err(unsupported("OrderedOrganizationPolicyInputList"));
    }
    let simulation = Simulation {
        source: None,
        policies: input.policy_input_list,
        boundary: one_boundary(input.permissions_boundary_policy_input_list)?,
        actions: input.action_names,
        resources: input.resource_arns.unwrap_or_default(),
        resource_policy: input.resource_policy,
        caller: input.caller_arn,
        context: context_entries(input.context_entries),
    };
    answer(iam.simulate(simulation, window(input.marker, input.max_items)).await.map_err(refused)?)
}

fn unsupported(parameter: &str) -> WireError {
    WireError::of(&error::INVALID_INPUT_EXCEPTION, format!("{parameter} is not supported by this simulator: leave it out."))
}

fn one_boundary(list: Option<Vec<String>>) -> Answer<Option<String>> {
    let mut list = list.unwrap_or_default();
    match list.len() {
        0 | 1 => Ok(list.pop()),
        _ => Err(WireError::of(&error::INVALID_INPUT_EXCEPTION, "A permissions boundary is one policy.")),
    }
}

fn context_entries(entries: Option<Vec<ContextEntry>>) -> Vec<iam::ContextEntry> {
    let entry = |entry: ContextEntry| iam::ContextEntry {
        key: entry.context_key_name.unwrap_or_default(),
        values: entry.context_key_values.unwrap_or_default(),
    };
    entries.unwrap_or_default().into_iter().map(entry).collect()
}

fn answer(page: Page<Simulated>) -> Answer<SimulatePolicyResponse> {
    let (results, is_truncated, marker) = paged(page, result);
    Ok(SimulatePolicyResponse { evaluation_results: Some(results), is_truncated, marker })
}

fn result(simulated: Simulated) -> EvaluationResult {
    let boundary = |allowed| PermissionsBoundaryDecisionDetail { allowed_by_permissions_boundary: Some(allowed) };
    EvaluationResult {
        eval_action_name: simulated.action,
        eval_resource_name: Some(simulated.resource),
        eval_decision: match simulated.decision {
            Decision::Allow => PolicyEvaluationDecisionType::Allowed,
            Decision::Deny => PolicyEvaluationDecisionType::ExplicitDeny,
            Decision::Silent => PolicyEvaluationDecisionType::ImplicitDeny,
        },
        matched_statements: Some(simulated.matched.into_iter().map(statement).collect()),
        missing_context_values: Some(simulated.missing),
        permissions_boundary_decision_detail: simulated.allowed_by_boundary.map(boundary),
        ..EvaluationResult::default()
    }
}

fn statement(matched: MatchedStatement) -> Statement {
    let position = |place: Place| Position { line: Some(place.line as i32), column: Some(place.column as i32) };
    Statement {
        source_policy_id: Some(matched.policy),
        source_policy_type: Some(match matched.kind {
            SourceKind::Role => PolicySourceType::Role,
            SourceKind::AwsManaged => PolicySourceType::AwsManaged,
            SourceKind::UserManaged => PolicySourceType::UserManaged,
            SourceKind::Resource => PolicySourceType::Resource,
            SourceKind::None => PolicySourceType::None,
        }),
        start_position: Some(position(matched.places.0)),
        end_position: Some(position(matched.places.1)),
    }
}
