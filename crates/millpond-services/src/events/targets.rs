use super::model::{Page, Target};
use super::rules::{find, page, page_size};
use super::transform::Input;
use super::{Events, EventsError, sql};
use millpond_core::arn::Arn;
use std::collections::BTreeSet;

/// Of one rule, as EventBridge's quotas say.
const TARGETS_MAX: usize = 5;

impl Events {
    /// `PutTargets`: all or none. A target of the same id is replaced. What an ARN names need not exist.
    pub async fn put_targets(&self, rule: &str, targets: Vec<Target>) -> Result<(), EventsError> {
        for target in &targets {
            self.check_target(target)?;
        }
        let rule = rule.to_owned();
        self.lake
            .store
            .write(move |tx| {
                let (id, _) = find(tx, &rule)?;
                let before = sql::targets(tx, id, "", TARGETS_MAX)?;
                let ids: BTreeSet<_> = before.iter().chain(&targets).map(|target| target.id.as_str()).collect();
                if ids.len() > TARGETS_MAX {
                    return Err(EventsError::Limit(String::new()));
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
        if self.targets.find(&parsed).is_none() {
            let known = self.targets.titles();
            let message = format!("Target {id}: this lake's rules deliver to {known}; '{arn}' is none of them.");
            return Err(EventsError::invalid(message));
        }
        Input::compile(target).map(|_| ())
    }

    /// `RemoveTargets`. Answers the ids of which the rule has none.
    pub async fn remove_targets(&self, rule: &str, ids: Vec<String>) -> Result<Vec<String>, EventsError> {
        let rule = rule.to_owned();
        self.lake
            .store
            .write(move |tx| {
                let (rule, _) = find(tx, &rule)?;
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
        rule: &str,
        token: Option<&str>,
        limit: Option<i32>,
    ) -> Result<Page<Target>, EventsError> {
        let (rule, after, size) = (rule.to_owned(), token.unwrap_or_default().to_owned(), page_size(limit));
        let look = move |connection: &rusqlite::Connection| {
            let (rule, _) = find(connection, &rule)?;
            Ok::<_, EventsError>(sql::targets(connection, rule, &after, size + 1)?)
        };
        Ok(page(self.lake.store.read(look).await?, size, |target: &Target| target.id.clone()))
    }

    /// `ListRuleNamesByTarget`, by name.
    pub async fn list_rule_names_by_target(
        &self,
        arn: &str,
        token: Option<&str>,
        limit: Option<i32>,
    ) -> Result<Page<String>, EventsError> {
        let (arn, after, size) = (arn.to_owned(), token.unwrap_or_default().to_owned(), page_size(limit));
        let look = move |connection: &rusqlite::Connection| sql::rules_of_target(connection, &arn, &after, size + 1);
        Ok(page(self.lake.store.read(look).await?, size, String::clone))
    }
}
