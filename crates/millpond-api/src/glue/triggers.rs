//! Triggers on the wire.

use super::crawlers::{page, recode};
use super::error::wire;
use crate::router::{Context, Router};
use millpond_services::glue::trigger::{NewTrigger, Trigger as Known, TriggerSpec, Wanted};
use millpond_services::glue::{Glue, GlueError};
use millpond_wire::WireError;
use millpond_wire::glue::{self, *};
use serde_json::{Map, Value};

/// Registers triggers.
pub fn register(router: &mut Router, service: &Glue) {
    router
        .service(service.clone())
        .on(glue::CreateTrigger, create)
        .on(glue::UpdateTrigger, update)
        .on(glue::GetTrigger, get)
        .on(glue::GetTriggers, get_many)
        .on(glue::ListTriggers, list)
        .on(glue::BatchGetTriggers, batch_get)
        .on(glue::DeleteTrigger, delete)
        .on(glue::StartTrigger, start)
        .on(glue::StopTrigger, stop);
}

async fn create(service: Glue, _: Context, mut input: CreateTriggerInput) -> Result<CreateTriggerOutput, WireError> {
    let (name, workflow) = (std::mem::take(&mut input.name), input.workflow_name.take().filter(|name| !name.is_empty()));
    let (start, tags) = (input.start_on_creation.take().unwrap_or(false), input.tags.take().unwrap_or_default());
    let mut members: Map<String, Value> = recode(&input)?;
    members.remove("Name");
    let spec: TriggerSpec = recode(&members)?;
    let name = service.create_trigger(NewTrigger { name, workflow, spec, start, tags }).await.map_err(wire)?;
    Ok(CreateTriggerOutput { name: Some(name) })
}

async fn update(service: Glue, _: Context, input: UpdateTriggerInput) -> Result<UpdateTriggerOutput, WireError> {
    if input.trigger_update.name.as_ref().is_some_and(|name| *name != input.name) {
        return Err(wire(GlueError::InvalidInput("TriggerUpdate.Name is reserved: a trigger keeps its name.".into())));
    }
    let updated = service.update_trigger(input.name, recode(&input.trigger_update)?).await.map_err(wire)?;
    Ok(UpdateTriggerOutput { trigger: Some(trigger(&updated)?) })
}

async fn get(service: Glue, _: Context, input: GetTriggerInput) -> Result<GetTriggerOutput, WireError> {
    let known = service.trigger(input.name).await.map_err(wire)?;
    Ok(GetTriggerOutput { trigger: Some(trigger(&known)?) })
}

async fn get_many(service: Glue, _: Context, input: GetTriggersInput) -> Result<GetTriggersOutput, WireError> {
    let wanted = Wanted { job: input.dependent_job_name, ..Wanted::default() };
    let found = service.triggers(wanted, input.next_token, page(input.max_results)).await.map_err(wire)?;
    let triggers = found.items.iter().map(trigger).collect::<Result<_, _>>()?;
    Ok(GetTriggersOutput { triggers: Some(triggers), next_token: found.next })
}

async fn list(service: Glue, _: Context, input: ListTriggersInput) -> Result<ListTriggersOutput, WireError> {
    let wanted = Wanted { job: input.dependent_job_name, tags: input.tags.unwrap_or_default() };
    let found = service.triggers(wanted, input.next_token, page(input.max_results)).await.map_err(wire)?;
    let names = found.items.into_iter().map(|known| known.name).collect();
    Ok(ListTriggersOutput { trigger_names: Some(names), next_token: found.next })
}

async fn batch_get(service: Glue, _: Context, input: BatchGetTriggersInput) -> Result<BatchGetTriggersOutput, WireError> {
    let (there, not_there) = service.triggers_by_name(input.trigger_names).await.map_err(wire)?;
    let triggers = there.iter().map(trigger).collect::<Result<_, _>>()?;
    Ok(BatchGetTriggersOutput { triggers: Some(triggers), triggers_not_found: Some(not_there) })
}

async fn delete(service: Glue, _: Context, input: DeleteTriggerInput) -> Result<DeleteTriggerOutput, WireError> {
    let name = service.delete_trigger(input.name).await.map_err(wire)?;
    Ok(DeleteTriggerOutput { name: Some(name) })
}

async fn start(service: Glue, _: Context, input: StartTriggerInput) -> Result<StartTriggerOutput, WireError> {
    let name = service.start_trigger(input.name).await.map_err(wire)?;
    Ok(StartTriggerOutput { name: Some(name) })
}

async fn stop(service: Glue, _: Context, input: StopTriggerInput) -> Result<StopTriggerOutput, WireError> {
    let name = service.stop_trigger(input.name).await.map_err(wire)?;
    Ok(StopTriggerOutput { name: Some(name) })
}

/// A trigger as Glue shows it.
pub(super) fn trigger(known: &Known) -> Result<Trigger, WireError> {
    Ok(Trigger {
        name: Some(known.name.clone()),
        workflow_name: known.workflow.clone(),
        state: TriggerState::from_text(known.state.as_str()),
        ..recode(&known.spec)?
    })
}
