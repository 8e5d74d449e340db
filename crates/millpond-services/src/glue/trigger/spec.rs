//! What a trigger is told: the members of `CreateTrigger`.

use crate::glue::job::Arguments;
use crate::glue::{GlueError, schedule};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Actions and conditions of a trigger at the most (Glue API reference, "Triggers").
const MEMBERS_MAX: usize = 500;

/// When a trigger fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TriggerKind {
    /// At the times of a schedule.
    Scheduled,
    /// When jobs and crawlers that triggers started have ended.
    Conditional,
    /// When it is told to.
    #[default]
    OnDemand,
    /// When a rule sends an event to its workflow.
    Event,
}

/// How conditions are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Logical {
    /// All must have come true.
    And,
    /// One suffices.
    Any,
}

/// What a conditional trigger waits for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Predicate {
    /// Needed where there are several conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical: Option<Logical>,
    /// At least one.
    pub conditions: Vec<Condition>,
}

/// The end of a job's run, or of a crawl, in a state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Condition {
    /// `EQUALS`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_operator: Option<String>,
    /// Whose runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// `SUCCEEDED`, `STOPPED`, `FAILED` or `TIMEOUT`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Whose crawls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crawler_name: Option<String>,
    /// `SUCCEEDED`, `CANCELLED` or `FAILED`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crawl_state: Option<String>,
}

/// What a trigger starts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Action {
    /// A run of this job …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// … or a crawl of this crawler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crawler_name: Option<String>,
    /// The run's arguments, over the job's defaults.
    #[serde(skip_serializing_if = "Arguments::is_empty")]
    pub arguments: Arguments,
    /// Of the run, in minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i32>,
    /// `NotificationProperty`, `SecurityConfiguration`: kept and shown.
    #[serde(flatten)]
    pub kept: Map<String, Value>,
}

/// How many events an `EVENT` trigger waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventBatching {
    /// Events.
    pub batch_size: i32,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_window: Option<i32>,
}

/// A trigger's definition: `CreateTrigger`'s members but its name, workflow and tags.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TriggerSpec {
    /// When it fires.
    pub r#type: TriggerKind,
    /// Of a scheduled one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Of a conditional one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate: Option<Predicate>,
    /// In the order in which they are started.
    pub actions: Vec<Action>,
    /// Kept and shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of an event's one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_batching_condition: Option<EventBatching>,
}

fn invalid(message: impl Into<String>) -> GlueError {
    GlueError::InvalidInput(message.into())
}

/// `job/NAME` or `crawler/NAME`: exactly one of the two must be named.
fn node(what: &str, job: Option<&String>, crawler: Option<&String>) -> Result<String, GlueError> {
    match (job, crawler) {
        (Some(job), None) => Ok(format!("job/{job}")),
        (None, Some(crawler)) => Ok(format!("crawler/{crawler}")),
        _ => Err(invalid(format!("{what} must name either a JobName or a CrawlerName."))),
    }
}

impl Condition {
    /// `job/NAME` or `crawler/NAME`.
    ///
    /// # Errors
    /// `InvalidInput` where it names neither or both.
    pub fn node(&self) -> Result<String, GlueError> {
        node("A condition", self.job_name.as_ref(), self.crawler_name.as_ref())
    }

    /// The state that it waits for.
    ///
    /// # Errors
    /// `InvalidInput` where nothing ends in it.
    pub fn awaited(&self) -> Result<&str, GlueError> {
        let (name, state, known): (_, _, &[&str]) = match self.job_name {
            Some(_) => ("State", self.state.as_deref(), &["SUCCEEDED", "STOPPED", "FAILED", "TIMEOUT"]),
            None => ("CrawlState", self.crawl_state.as_deref(), &["SUCCEEDED", "CANCELLED", "FAILED"]),
        };
        let state = state.ok_or_else(|| invalid(format!("A condition must have a {name}: one of {}.", known.join(", "))))?;
        match known.contains(&state) {
            true => Ok(state),
            false => Err(invalid(format!("A condition's {name} must be one of {}, is {state}.", known.join(", ")))),
        }
    }
}

impl Action {
    /// `job/NAME` or `crawler/NAME`.
    ///
    /// # Errors
    /// `InvalidInput` where it names neither or both.
    pub fn node(&self) -> Result<String, GlueError> {
        node("An action", self.job_name.as_ref(), self.crawler_name.as_ref())
    }
}

impl TriggerSpec {
    /// Whether a workflow can begin with it.
    pub fn starts(&self) -> bool {
        self.r#type != TriggerKind::Conditional
    }

    /// Its conditions; none where it has none.
    pub fn conditions(&self) -> &[Condition] {
        self.predicate.as_ref().map_or(&[], |predicate| &predicate.conditions)
    }

    /// Whether one condition suffices.
    pub fn any(&self) -> bool {
        self.predicate.as_ref().is_some_and(|predicate| predicate.logical == Some(Logical::Any))
    }

    /// Checks the definition.
    ///
    /// # Errors
    /// `InvalidInput` that says which member is wrong, and how.
    pub fn check(&mut self, in_workflow: bool) -> Result<(), GlueError> {
        self.schedule = self.schedule.take().filter(|text| !text.trim().is_empty());
        match (self.r#type, &self.schedule) {
            (TriggerKind::Scheduled, None) => return Err(invalid("A trigger of type SCHEDULED must have a Schedule.")),
            (TriggerKind::Scheduled, Some(text)) => drop(schedule::parse(text)?),
            (_, Some(_)) => return Err(invalid("Only a trigger of type SCHEDULED can have a Schedule.")),
            (_, None) => {}
        }
        match (self.r#type, self.conditions().len()) {
            (TriggerKind::Conditional, 0) => {
                return Err(invalid("A trigger of type CONDITIONAL must have a Predicate with at least one condition."));
            }
            (TriggerKind::Conditional, 2..) if self.predicate.as_ref().is_some_and(|one| one.logical.is_none()) => {
                return Err(invalid("Predicate.Logical must be AND or ANY where there are several conditions."));
            }
            (TriggerKind::Conditional, count) if count > MEMBERS_MAX => {
                return Err(invalid(format!("A trigger has {MEMBERS_MAX} conditions at the most.")));
            }
            (TriggerKind::Conditional, _) => {}
            (_, 0) => self.predicate = None,
            _ => return Err(invalid("Only a trigger of type CONDITIONAL can have a Predicate.")),
        }
        self.conditions().iter().try_for_each(|condition| condition.node().and_then(|_| condition.awaited().map(|_| ())))?;
        match (self.r#type, self.event_batching_condition) {
            (TriggerKind::Event, _) if !in_workflow => {
                return Err(invalid("A trigger of type EVENT must belong to a workflow: name it in WorkflowName."));
            }
            (TriggerKind::Event, Some(EventBatching { batch_size: 1, .. }) | None) => {}
            (TriggerKind::Event, Some(_)) => {
                return Err(invalid(
                    "EventBatchingCondition.BatchSize must be 1: this lake starts a run of the workflow for each event.",
                ));
            }
            (_, Some(_)) => return Err(invalid("Only a trigger of type EVENT can have an EventBatchingCondition.")),
            (_, None) => {}
        }
        if self.actions.is_empty() {
            return Err(invalid("A trigger must have at least one action."));
        }
        if self.actions.len() > MEMBERS_MAX {
            return Err(invalid(format!("A trigger has {MEMBERS_MAX} actions at the most.")));
        }
        for action in &self.actions {
            action.node()?;
            if let Some(minutes) = action.timeout.filter(|minutes| !(1..=10_080).contains(minutes)) {
                return Err(invalid(format!("An action's Timeout must be from 1 to 10,080 minutes, is {minutes}.")));
            }
        }
        Ok(())
    }
}
