//! The rules' side of the dispatcher: who wants an event, and what each target gets.

use super::model::NewRule;
use super::sql;
use super::transform::{Context, Input};
use crate::runtime::delivery::{Delivery, Parameters, RetryPolicy, Sender};
use crate::runtime::dispatcher::{Heard, Listener, Matcher};
use millpond_core::arn::Place;
use millpond_core::env::SharedEnv;
use millpond_core::event::pattern::{Pattern, PatternSet};
use millpond_store::StoreError;
use rusqlite::Connection;
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
        let mut entries = Vec::new();
        for (id, rule) in sql::rules(connection, "", "", usize::MAX >> 1)? {
            let Some(text) = rule.pattern.as_deref().filter(|_| rule.state.is_enabled()) else { continue };
            let arn = self.place.arn("events", format_args!("rule/{}", rule.name)).to_string();
            match Pattern::parse(text) {
                Ok(pattern) => entries.extend(CompiledRule::new(arn, id, &rule, connection)?.map(|rule| (pattern, rule))),
                Err(error) => {
                    tracing::error!(rule = rule.name, %error, "a stored rule's pattern is not valid; put the rule again")
                }
            }
        }
        Ok(Compiled { env: self.env.clone(), rules: entries.into_iter().collect() })
    }
}

impl Listener for Rules {
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

#[derive(Debug)]
struct Compiled {
    env: SharedEnv,
    rules: PatternSet<CompiledRule>,
}

impl Matcher for Compiled {
    fn deliveries(&self, heard: &Heard, into: &mut Vec<Delivery>) {
        let now_ms = self.env.now_ms();
        for rule in self.rules.matching(&heard.value) {
            rule.deliveries(heard, now_ms, into);
        }
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
    input: Input,
    retry: RetryPolicy,
    dead_letter: Option<String>,
}

impl CompiledRule {
    /// `None` where the rule has no targets.
    pub(super) fn new(arn: String, id: i64, rule: &NewRule, connection: &Connection) -> Result<Option<Self>, StoreError> {
        let mut targets = Vec::new();
        for target in sql::targets(connection, id, "", usize::MAX >> 1)? {
            match Input::compile(&target) {
                Ok(input) => {
                    let retry = target.retry.unwrap_or_default();
                    let dead_letter = target.dead_letter_arn;
                    targets.push(CompiledTarget { id: target.id, arn: target.arn, input, retry, dead_letter });
                }
                Err(error) => {
                    tracing::error!(rule = rule.name, target = target.id, %error, "a stored target is not valid; put it again")
                }
            }
        }
        Ok((!targets.is_empty()).then(|| Self { arn, name: rule.name.clone(), targets }))
    }

    pub(super) fn deliveries(&self, heard: &Heard, now_ms: i64, into: &mut Vec<Delivery>) {
        let context = Context { heard, rule_arn: &self.arn, rule_name: &self.name, now_ms };
        into.extend(self.targets.iter().map(|target| Delivery {
            target: target.arn.clone(),
            source: self.arn.clone(),
            target_id: target.id.clone(),
            sender: Sender::Events,
            input: target.input.of(&context),
            event: Some(heard.event.clone()),
            parameters: Parameters::default(),
            retry: target.retry,
            dead_letter: target.dead_letter.clone(),
        }));
    }
}
