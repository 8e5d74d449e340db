use super::model::{NewRule, Page, Rule, RuleState};
use super::{DEFAULT_BUS, Events, EventsError, buses, schedule, sql};
use millpond_core::event::pattern::Pattern;
use millpond_core::event::schedule::Schedule;
use millpond_store::Tx;
use rusqlite::Connection;
use serde_json::Value;

/// Of one bus. More than EventBridge's default quota (300), which AWS raises when asked: each costs memory in the dispatcher.
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

/// A rule with its row's id.
///
/// # Errors
/// There is no such bus, or no such rule on it.
pub(super) fn find(connection: &Connection, bus: &str, name: &str) -> Result<(i64, NewRule), EventsError> {
    if let Some(found) = sql::rule(connection, bus, name)? {
        return Ok(found);
    }
    buses::find(connection, bus)?;
    Err(EventsError::NoSuchRule { rule: name.into(), bus: bus.into() })
}

impl Events {
    /// `PutRule`: in the place of the rule of that name, of which only the targets and tags stay. `tags` are for a new rule. Answers its ARN.
    pub async fn put_rule(&self, bus: Option<&str>, rule: NewRule, tags: Vec<(String, String)>) -> Result<String, EventsError> {
        let bus = self.bus_name(bus)?;
        check_rule(&bus, &rule)?;
        let arn = self.rule_arn(&bus, &rule.name);
        let answer = arn.clone();
        self.lake
            .store
            .write(move |tx| {
                buses::find(tx, &bus)?;
                let is_new = sql::rule(tx, &bus, &rule.name)?.is_none();
                if is_new && sql::count_rules(tx, &bus)? >= RULES_MAX {
                    return Err(EventsError::Limit(format!("an event bus has up to {RULES_MAX} rules")));
                }
                sql::put_rule(tx, &bus, &rule)?;
                schedule::plan(tx, &rule, &bus)?;
                for (key, value) in tags.iter().filter(|_| is_new) {
                    sql::put_tag(tx, &arn, key, value)?;
                }
                super::tags::check_count(tx, &arn)
            })
            .await?;
        Ok(answer)
    }

    /// `DescribeRule`.
    pub async fn describe_rule(&self, bus: Option<&str>, name: &str) -> Result<Rule, EventsError> {
        let (bus, name) = (self.bus_name(bus)?, name.to_owned());
        let arn = self.rule_arn(&bus, &name);
        let at = bus.clone();
        let (_, spec) = self.lake.store.read(move |connection| find(connection, &at, &name)).await?;
        Ok(Rule { arn, bus, spec })
    }

    /// `ListRules`, by name.
    pub async fn list_rules(
        &self,
        bus: Option<&str>,
        prefix: &str,
        token: Option<&str>,
        limit: Option<i32>,
    ) -> Result<Page<Rule>, EventsError> {
        let (prefix, after, size) = (prefix.to_owned(), token.unwrap_or_default().to_owned(), page_size(limit));
        let bus = self.bus_name(bus)?;
        let at = bus.clone();
        let look = move |connection: &Connection| {
            buses::find(connection, &at)?;
            Ok::<_, EventsError>(sql::rules(connection, &at, &prefix, &after, size + 1)?)
        };
        let found = self.lake.store.read(look).await?;
        let rule = |(_, spec): (i64, NewRule)| Rule { arn: self.rule_arn(&bus, &spec.name), bus: bus.clone(), spec };
        Ok(page(found.into_iter().map(rule).collect(), size, |rule: &Rule| rule.spec.name.clone()))
    }

    /// All rules of all buses with the ARNs of their targets, for the lake's owner.
    pub async fn all_rules(&self) -> Result<Vec<(Rule, Vec<String>)>, EventsError> {
        let events = self.clone();
        let look = move |connection: &Connection| {
            let mut all = Vec::new();
            for (bus, id, spec) in sql::all_rules(connection)? {
                let targets = sql::targets(connection, id, "", PAGE_MAX)?.into_iter().map(|target| target.arn).collect();
                all.push((Rule { arn: events.rule_arn(&bus, &spec.name), bus, spec }, targets));
            }
            Ok(all)
        };
        self.lake.store.read(look).await
    }

    /// `DeleteRule`. A rule that is not there is deleted already; one with targets is not deleted.
    pub async fn delete_rule(&self, bus: Option<&str>, name: &str) -> Result<(), EventsError> {
        let (bus, name) = (self.bus_name(bus)?, name.to_owned());
        let arn = self.rule_arn(&bus, &name);
        self.lake
            .store
            .write(move |tx| {
                buses::find(tx, &bus)?;
                let Some((id, _)) = sql::rule(tx, &bus, &name)? else { return Ok(()) };
                if sql::count_targets(tx, id)? > 0 {
                    return Err(EventsError::invalid("Rule can't be deleted since it has targets."));
                }
                sql::delete_rule(tx, id)?;
                sql::remove_tags(tx, &arn)?;
                schedule::forget(tx, &name, &bus)
            })
            .await
    }

    /// `EnableRule` and `DisableRule`.
    pub async fn set_rule_state(&self, bus: Option<&str>, name: &str, state: RuleState) -> Result<(), EventsError> {
        let (bus, name) = (self.bus_name(bus)?, name.to_owned());
        let change = move |tx: &Tx<'_>| {
            let (_, mut rule) = find(tx, &bus, &name)?;
            if rule.state == state {
                return Ok(());
            }
            rule.state = state;
            sql::put_rule(tx, &bus, &rule)?;
            schedule::plan(tx, &rule, &bus)
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

fn check_rule(bus: &str, rule: &NewRule) -> Result<(), EventsError> {
    if let Some(pattern) = &rule.pattern {
        Pattern::parse(pattern)?;
    }
    if let Some(schedule) = &rule.schedule {
        if bus != DEFAULT_BUS {
            return Err(EventsError::invalid("ScheduleExpression is supported only on the default event bus."));
        }
        let reason = |error| EventsError::invalid(format!("Parameter ScheduleExpression is not valid. Reason: {error}."));
        Schedule::parse(schedule).map_err(reason)?;
    }
    if rule.pattern.is_none() && rule.schedule.is_none() {
        return Err(EventsError::invalid("Parameter(s) EventPattern or ScheduleExpression must be specified."));
    }
    Ok(())
}
