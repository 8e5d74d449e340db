//! PutTargets, RemoveTargets, ListTargetsByRule, ListRuleNamesByTarget.

use super::model::{Page, SqsParameters, Target};
use super::rules::{find, page, page_size};
use super::transform::Input;
use super::{Events, EventsError, buses, sql};
use millpond_core::arn::Arn;
use std::collections::BTreeSet;

/// Of one rule, as EventBridge's quotas say.
const TARGETS_MAX: usize = 5;

/// What is for kinds of target that the lake does not have.
const REFUSED: &[&str] = &[
    "AppSyncParameters",
    "BatchParameters",
    "EcsParameters",
    "HttpParameters",
    "KinesisParameters",
    "RedshiftDataParameters",
    "RunCommandParameters",
    "SageMakerPipelineParameters",
];

impl Events {
    /// `PutTargets`: all or none. A target of the same id is replaced. What an ARN names need not exist.
    pub async fn put_targets(&self, bus: Option<&str>, rule: &str, targets: Vec<Target>) -> Result<(), EventsError> {
        let bus = self.bus_name(bus)?;
        for (index, target) in targets.iter().enumerate() {
            self.check_target(target)?;
            if targets[..index].iter().any(|before| before.id == target.id) {
                return Err(EventsError::invalid(format!("Duplicate target id {} in the request.", target.id)));
            }
        }
        let rule = rule.to_owned();
        self.lake
            .store
            .write(move |tx| {
                let (id, _) = find(tx, &bus, &rule)?;
                let before = sql::targets(tx, id, "", TARGETS_MAX)?;
                let ids: BTreeSet<_> = before.iter().chain(&targets).map(|target| target.id.as_str()).collect();
                if ids.len() > TARGETS_MAX {
                    return Err(EventsError::Limit(format!("a rule has up to {TARGETS_MAX} targets")));
                }
                for target in &targets {
                    sql::put_target(tx, id, target)?;
                }
                Ok(())
            })
            .await
    }

    fn check_target(&self, target: &Target) -> Result<(), EventsError> {
        let Target { id, arn, .. } = target;
        let parsed: Arn = arn.parse().map_err(|_| {
            EventsError::invalid(format!("Parameter {arn} is not valid. Reason: Provided Arn is not in correct format."))
        })?;
        if let Some(name) = REFUSED.iter().find(|name| target.parameters.contains_key(**name)) {
            let known = self.targets.titles();
            return Err(EventsError::invalid(format!(
                "Target {id}: {name} is for a kind of target that this lake does not have; its rules deliver to {known}."
            )));
        }
        if self.targets.find(&parsed).is_none() {
            let known = self.targets.titles();
            let message = format!("Target {id}: this lake's rules deliver to {known}; '{arn}' is none of them.");
            return Err(EventsError::invalid(message));
        }
        let place = &self.lake.place;
        if parsed.region != place.region || parsed.account != place.account {
            let message = format!(
                "Target {id}: '{arn}' is of another account or region; this lake is {} in {}.",
                place.account, place.region
            );
            return Err(EventsError::invalid(message));
        }
        check_fifo(target, &parsed)?;
        if super::target::bus_name(&parsed).is_some()
            && (target.input.is_some() || target.input_path.is_some() || target.transformer.is_some())
        {
            return Err(EventsError::invalid(format!(
                "Target {id}: an event bus gets the event as it is; Input, InputPath and InputTransformer cannot be used with it."
            )));
        }
        check_dead_letter(target, &place.region)?;
        Input::compile(target).map(|_| ())
    }

    /// `RemoveTargets`. Answers the ids of which the rule has none.
    pub async fn remove_targets(&self, bus: Option<&str>, rule: &str, ids: Vec<String>) -> Result<Vec<String>, EventsError> {
        let (bus, rule) = (self.bus_name(bus)?, rule.to_owned());
        self.lake
            .store
            .write(move |tx| {
                let (rule, _) = find(tx, &bus, &rule)?;
                let mut missing = Vec::new();
                for id in ids {
                    if !sql::remove_target(tx, rule, &id)? {
                        missing.push(id);
                    }
                }
                Ok(missing)
            })
            .await
    }

    /// `ListTargetsByRule`, by id.
    pub async fn list_targets_by_rule(
        &self,
        bus: Option<&str>,
        rule: &str,
        token: Option<&str>,
        limit: Option<i32>,
    ) -> Result<Page<Target>, EventsError> {
        let (bus, rule) = (self.bus_name(bus)?, rule.to_owned());
        let (after, size) = (token.unwrap_or_default().to_owned(), page_size(limit));
        let look = move |connection: &rusqlite::Connection| {
            let (rule, _) = find(connection, &bus, &rule)?;
            Ok::<_, EventsError>(sql::targets(connection, rule, &after, size + 1)?)
        };
        Ok(page(self.lake.store.read(look).await?, size, |target: &Target| target.id.clone()))
    }

    /// `ListRuleNamesByTarget`, by name.
    pub async fn list_rule_names_by_target(
        &self,
        bus: Option<&str>,
        arn: &str,
        token: Option<&str>,
        limit: Option<i32>,
    ) -> Result<Page<String>, EventsError> {
        let (bus, arn) = (self.bus_name(bus)?, arn.to_owned());
        let (after, size) = (token.unwrap_or_default().to_owned(), page_size(limit));
        let look = move |connection: &rusqlite::Connection| {
            buses::find(connection, &bus)?;
            Ok::<_, EventsError>(sql::rules_of_target(connection, &bus, &arn, &after, size + 1)?)
        };
        Ok(page(self.lake.store.read(look).await?, size, String::clone))
    }
}

/// User guide, "Using dead-letter queues to process undelivered events": a standard queue of the rule's region.
fn check_dead_letter(target: &Target, region: &str) -> Result<(), EventsError> {
    let (Some(text), id) = (&target.dead_letter_arn, &target.id) else { return Ok(()) };
    let arn: Option<Arn> = text.parse().ok().filter(|arn: &Arn| arn.service == "sqs");
    match arn {
        None => Err(EventsError::invalid(format!("Target {id}: the dead-letter queue '{text}' is not the ARN of a queue."))),
        Some(arn) if arn.region != region => Err(EventsError::invalid(format!(
            "Target {id}: the dead-letter queue '{text}' must be in the rule's region, {region}."
        ))),
        Some(arn) if arn.resource.ends_with(".fifo") => Err(EventsError::invalid(format!(
            "Target {id}: the dead-letter queue '{text}' is a FIFO queue; it must be a standard one."
        ))),
        Some(_) => Ok(()),
    }
}

/// A FIFO queue needs a group. User guide, "Amazon EventBridge targets": FIFO topics are none of them.
fn check_fifo(target: &Target, arn: &Arn) -> Result<(), EventsError> {
    let id = &target.id;
    let group = SqsParameters::of(target).and_then(|parameters| parameters.message_group_id);
    match (arn.service.as_str(), arn.resource.ends_with(".fifo")) {
        ("sqs", true) if group.is_none_or(|group| group.is_empty()) => {
            Err(EventsError::invalid(format!("Parameter(s) SqsParameters must be specified for target: {id}.")))
        }
        ("sns", true) => Err(EventsError::invalid(format!(
            "Target {id}: '{arn}' is a FIFO topic, to which rules cannot deliver: name a standard topic, or a FIFO queue with SqsParameters."
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fifo_queues_need_a_group_and_fifo_topics_are_no_targets() {
        for (service, name, group, expected) in [
            ("sqs", "q", None, None),
            ("sqs", "q.fifo", None, Some("SqsParameters must be specified for target: t.")),
            ("sqs", "q.fifo", Some(""), Some("SqsParameters must be specified")),
            ("sqs", "q.fifo", Some("g"), None),
            ("sns", "t", None, None),
            ("sns", "t.fifo", None, Some("is a FIFO topic")),
            ("sns", "t.fifo", Some("g"), Some("is a FIFO topic")),
        ] {
            let arn = format!("arn:aws:{service}:us-east-1:000000000000:{name}");
            let mut target = Target { id: "t".into(), arn: arn.clone(), ..Target::default() };
            if let Some(group) = group {
                target.parameters.insert("SqsParameters".into(), json!({ "MessageGroupId": group }));
            }
            let found = check_fifo(&target, &arn.parse().unwrap()).err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(found, None, "{arn}"),
                Some(part) => assert!(found.as_ref().is_some_and(|found| found.contains(part)), "{arn}: {found:?}"),
            }
        }
    }
}
