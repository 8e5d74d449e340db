//! The rules' side of the dispatcher: who wants an event, and what each target gets.

use super::heard::Heard;
use super::model::{NewRule, SqsParameters};
use super::transform::{Context, Input};
use super::{DEFAULT_BUS, rule_arn, sql};
use crate::runtime::Failure;
use crate::runtime::delivery::{Delivery, Parameters, RetryPolicy, Sender};
use crate::runtime::dispatcher::{Listener, Matcher, Plan, Posted};
use millpond_core::arn::Place;
use millpond_core::env::SharedEnv;
use millpond_core::event::pattern::{Pattern, PatternSet};
use millpond_store::{StoreError, outbox};
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The rules, compiled once for each version of them.
#[derive(Debug)]
pub struct Rules {
    place: Arc<Place>,
    env: SharedEnv,
    compiled: Mutex<Option<(i64, Arc<Compiled>)>>,
}

impl Rules {
    /// The rules of a lake.
    pub fn new(lake: &crate::lake::Lake) -> Self {
        Self { place: lake.place.clone(), env: lake.store.env().clone(), compiled: Mutex::new(None) }
    }

    fn compile(&self, connection: &Connection) -> Result<Compiled, StoreError> {
        let mut buses = HashMap::<String, Vec<(Pattern, CompiledRule)>>::new();
        for (bus, id, rule) in sql::all_rules(connection)? {
            let Some(text) = rule.pattern.as_deref().filter(|_| rule.state.is_enabled()) else { continue };
            match Pattern::parse(text) {
                Ok(pattern) => {
                    let rule = CompiledRule::new(&self.place, &bus, id, &rule, connection)?;
                    buses.entry(bus).or_default().extend(rule.map(|rule| (pattern, rule)));
                }
                Err(error) => {
                    tracing::error!(bus, rule = rule.name, %error, "a stored rule's pattern is not valid; put the rule again")
                }
            }
        }
        let buses = buses.into_iter().map(|(bus, rules)| (bus, rules.into_iter().collect())).collect();
        Ok(Compiled { env: self.env.clone(), buses })
    }
}

impl Listener for Rules {
    fn channel(&self) -> &'static str {
        outbox::EVENTS
    }

    fn version(&self, connection: &Connection) -> Result<i64, StoreError> {
        sql::version(connection)
    }

    fn matcher(&self, connection: &Connection) -> Result<Arc<dyn Matcher>, StoreError> {
        let version = sql::version(connection)?;
        let held = self.compiled.lock().expect("nobody panics while holding the compiled rules").clone();
        if let Some((_, compiled)) = held.filter(|(of, _)| *of == version) {
            return Ok(compiled);
        }
        let compiled = Arc::new(self.compile(connection)?);
        *self.compiled.lock().expect("nobody panics while holding the compiled rules") = Some((version, compiled.clone()));
        Ok(compiled)
    }
}

/// The rules of each bus.
#[derive(Debug)]
struct Compiled {
    env: SharedEnv,
    buses: HashMap<String, PatternSet<CompiledRule>>,
}

impl Matcher for Compiled {
    fn deliveries(&self, posted: &Posted, into: &mut Plan) -> Result<(), String> {
        let heard = Heard::read(posted)?;
        let Some(rules) = self.buses.get(&heard.route.bus) else { return Ok(()) };
        let now_ms = self.env.now_ms();
        for rule in rules.matching(&heard.value) {
            rule.deliveries(&heard, now_ms, into);
        }
        Ok(())
    }
}

/// A rule with what its targets get.
#[derive(Debug)]
pub(super) struct CompiledRule {
    arn: String,
    name: String,
    targets: Vec<CompiledTarget>,
}

#[derive(Debug)]
struct CompiledTarget {
    id: String,
    arn: String,
    /// Where it is a bus: its name.
    bus: Option<String>,
    input: Input,
    retry: RetryPolicy,
    dead_letter: Option<String>,
    message_group_id: Option<String>,
}

impl CompiledRule {
    /// `None` where the rule has no targets.
    pub(super) fn new(
        place: &Place,
        bus: &str,
        id: i64,
        rule: &NewRule,
        connection: &Connection,
    ) -> Result<Option<Self>, StoreError> {
        let mut targets = Vec::new();
        for target in sql::targets(connection, id, "", usize::MAX >> 1)? {
            let input = match Input::compile(&target) {
                Ok(input) => input,
                Err(error) => {
                    tracing::error!(rule = rule.name, target = target.id, %error, "a stored target is not valid; put it again");
                    continue;
                }
            };
            targets.push(CompiledTarget {
                message_group_id: SqsParameters::of(&target).and_then(|parameters| parameters.message_group_id),
                bus: target.arn.parse().ok().and_then(|arn| super::target::bus_name(&arn).map(str::to_owned)),
                id: target.id,
                arn: target.arn,
                input,
                retry: target.retry.unwrap_or_default(),
                dead_letter: target.dead_letter_arn,
            });
        }
        Ok((!targets.is_empty()).then(|| Self { arn: rule_arn(place, bus, &rule.name), name: rule.name.clone(), targets }))
    }

    pub(super) fn deliveries(&self, heard: &Heard, now_ms: i64, into: &mut Plan) {
        let context = Context { heard, rule_arn: &self.arn, rule_name: &self.name, now_ms };
        for target in &self.targets {
            let made = match into.is_heavy() {
                false => target.input.of(&context),
                true => Err(Failure::lasting(
                    "the inputs that all rules make of this event are too large together; let templates take less of it",
                )
                .code("RESOURCE_LIMIT_EXCEEDED")),
            };
            let refused = target.refusal(heard).or(made.as_ref().err().cloned());
            let delivery = Delivery {
                target: target.arn.clone(),
                source: self.arn.clone(),
                target_id: target.id.clone(),
                sender: Sender::Events,
                input: made.unwrap_or_else(|_| heard.text.clone()),
                event: Some(heard.event.clone()),
                parameters: Parameters {
                    message_group_id: target.message_group_id.clone(),
                    trace: heard.route.trace.clone(),
                    ..Parameters::default()
                },
                retry: target.retry,
                dead_letter: target.dead_letter.clone(),
            };
            match refused {
                None => into.deliver(delivery),
                Some(failure) => into.refuse(delivery, failure),
            }
        }
    }
}

impl CompiledTarget {
    /// An event goes from one bus to one other. User guide, "Sending and receiving events between event buses in the same account and Region".
    fn refusal(&self, heard: &Heard) -> Option<Failure> {
        let to = self.bus.as_deref()?;
        let here = heard.route.bus.as_str();
        if to == here {
            let reason = format!("the event is on the event bus '{here}' already; a rule cannot send it there again");
            return Some(Failure::lasting(reason).code("LOOP_DETECTED"));
        }
        let via = heard.route.via.as_deref()?;
        if via == to {
            let reason = format!("the event came to '{here}' from '{to}'; it cannot go back there");
            return Some(Failure::lasting(reason).code("LOOP_DETECTED"));
        }
        let reason = format!(
            "the event came to '{here}' from '{via}'; an event from another bus cannot be sent to a third one ('{to}'): let a rule of \
             '{via}' send it there"
        );
        Some(Failure::lasting(reason).code("THIRD_ACCOUNT_HOP_DETECTED"))
    }
}

/// The bus and the name of a rule, from what follows `rule/` in its ARN.
pub(super) fn bus_and_rule(resource: &str) -> Option<(&str, &str)> {
    match resource.strip_prefix("rule/")?.split_once('/') {
        Some((bus, name)) => Some((bus, name)),
        None => Some((DEFAULT_BUS, resource.strip_prefix("rule/")?)),
    }
}
