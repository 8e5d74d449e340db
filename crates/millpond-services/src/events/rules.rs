use super::model::{NewRule, Page, Rule, RuleState};
use super::{Events, EventsError, schedule, sql};
use millpond_core::event::pattern::Pattern;
use millpond_core::event::schedule::Schedule;
use millpond_store::Tx;
use rusqlite::Connection;
use serde_json::Value;

/// More than EventBridge's default (300): each costs memory in the dispatcher.
const RULES_MAX: i64 = 10_000;

/// What an operation answers at the most in one page.
const PAGE_MAX: usize = 100;

pub(super) fn page_size(asked: Option<i32>) -> usize {
    asked.map_or(PAGE_MAX, |asked| (asked.max(1) as usize).min(PAGE_MAX))
}

/// Cuts one row more than was wanted into a page; the token is the last one's name.
pub(super) fn page<T>(mut items: Vec<T>, size: usize, name: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > size;
    items.truncate(size);
    Page { next: more.then(|| items.last().map(name)).flatten(), items }
}

pub(super) fn find(connection: &Connection, name: &str) -> Result<(i64, NewRule), EventsError> {
    sql::rule(connection, name)?.ok_or_else(|| EventsError::NoSuchRule(name.into()))
}

impl Events {
    /// `PutRule`: in the place of the rule of that name, of which only the targets and tags stay. `tags` are for a new rule. Answers its ARN.
    pub async fn put_rule(&self, rule: NewRule, tags: Vec<(String, String)>) -> Result<String, EventsError> {
        if let Some(pattern) = &rule.pattern {
            Pattern::parse(pattern)?;
        }
        if let Some(schedule) = &rule.schedule {
            let reason = |error| EventsError::invalid(format!("Parameter ScheduleExpression is not valid. Reason: {error}."));
            Schedule::parse(schedule).map_err(reason)?;
        }
        if rule.pattern.is_none() && rule.schedule.is_none() {
            return Err(EventsError::invalid("Parameter(s) EventPattern or ScheduleExpression must be specified."));
        }
        let arn = self.rule_arn(&rule.name);
        let answer = arn.clone();
        self.lake
            .store
            .write(move |tx| {
                let is_new = sql::rule(tx, &rule.name)?.is_none();
                if is_new && sql::count_rules(tx)? >= RULES_MAX {
                    return Err(EventsError::Limit(format!("a lake has up to {RULES_MAX} rules")));
                }
                sql::put_rule(tx, &rule)?;
                schedule::plan(tx, &rule)?;
                for (key, value) in tags.iter().filter(|_| is_new) {
                    sql::put_tag(tx, &arn, key, value)?;
                }
                Ok(())
            })
            .await?;
        Ok(answer)
    }

    /// `DescribeRule`.
    pub async fn describe_rule(&self, name: &str) -> Result<Rule, EventsError> {
        let (arn, name) = (self.rule_arn(name), name.to_owned());
        let (_, spec) = self.lake.store.read(move |connection| find(connection, &name)).await?;
        Ok(Rule { arn, spec })
    }

    /// `ListRules`, by name.
    pub async fn list_rules(&self, prefix: &str, token: Option<&str>, limit: Option<i32>) -> Result<Page<Rule>, EventsError> {
        let (prefix, after, size) = (prefix.to_owned(), token.unwrap_or_default().to_owned(), page_size(limit));
        let found = self
            .lake
            .store
            .read(move |connection| Ok::<_, EventsError>(sql::rules(connection, &prefix, &after, size + 1)?))
            .await?;
        let rules = found.into_iter().map(|(_, spec)| Rule { arn: self.rule_arn(&spec.name), spec }).collect();
        Ok(page(rules, size, |rule: &Rule| rule.spec.name.clone()))
    }

    /// `DeleteRule`. A rule that is not there is deleted already; one with targets is not deleted.
    pub async fn delete_rule(&self, name: &str) -> Result<(), EventsError> {
        let (arn, name) = (self.rule_arn(name), name.to_owned());
        self.lake
            .store
            .write(move |tx| {
                let Some((id, _)) = sql::rule(tx, &name)? else { return Ok(()) };
                if sql::count_targets(tx, id)? > 0 {
                    return Err(EventsError::invalid("Rule can't be deleted since it has targets."));
                }
                sql::delete_rule(tx, id)?;
                sql::remove_tags(tx, &arn)?;
                schedule::forget(tx, &name)
            })
            .await
    }

    /// `EnableRule` and `DisableRule`.
    pub async fn set_rule_state(&self, name: &str, state: RuleState) -> Result<(), EventsError> {
        let name = name.to_owned();
        let change = move |tx: &Tx<'_>| {
            let (_, mut rule) = find(tx, &name)?;
            rule.state = state;
            sql::put_rule(tx, &rule)?;
            schedule::plan(tx, &rule)
        };
        self.lake.store.write(change).await
    }

    /// `TestEventPattern`.
    pub fn test_event_pattern(&self, pattern: &str, event: &str) -> Result<bool, EventsError> {
        let pattern = Pattern::parse(pattern)?;
        let event: Value = serde_json::from_str(event).unwrap_or_default();
        let mandatory = ["id", "account", "source", "time", "region", "detail-type"];
        match mandatory.iter().find(|name| event.get(name).is_none_or(Value::is_null)) {
            Some(_) if !event.is_object() => Err(EventsError::invalid("Parameter Event is not valid.")),
            Some(name) => Err(EventsError::invalid(format!("Parameter Event is not valid. Reason: it has no '{name}'."))),
            None => Ok(pattern.matches(&event)),
        }
    }
}
