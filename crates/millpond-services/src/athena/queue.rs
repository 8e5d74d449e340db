//! Which executions run, and which wait.
//!
//! So many of each class run at a time. One that finds a free place when it is submitted, and nobody waiting, is begun in the transaction that
//! takes it. The others wait as tasks; whenever a place becomes free, the workgroup that has the fewest running gets it, so that one with a
//! thousand queries does not hold up one with a single query.
//!
//! Places are held in memory, beside the leases of the tasks in the store: after a crash nobody holds one, and all leases are void.

use super::model::{Execution, StatementKind};
use millpond_store::task::Task;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// How many executions run and wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Queries and statements that write that run at a time.
    pub dml: usize,
    /// Statements on the catalog that run at a time.
    pub ddl: usize,
    /// Executions that wait; one more is refused.
    pub waiting: usize,
}

impl Default for QueueLimits {
    /// Fewer run than AWS's quotas allow (Athena user guide, "Service quotas": 20 DDL, 200 DML with those that wait), on a machine of one's
    /// own; more wait.
    fn default() -> Self {
        Self { dml: 8, ddl: 20, waiting: 1000 }
    }
}

/// What is limited separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    Dml,
    Ddl,
}

impl Class {
    /// `CREATE TABLE AS` counts as DML (Athena user guide, "Service quotas").
    pub(super) fn of(execution: &Execution) -> Self {
        match execution.kind {
            StatementKind::Dml => Self::Dml,
            StatementKind::Ddl if execution.substatement == "CREATE_TABLE_AS_SELECT" => Self::Dml,
            StatementKind::Ddl | StatementKind::Utility => Self::Ddl,
        }
    }
}

/// The payload of an execution's task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ticket {
    pub(super) id: String,
    pub(super) workgroup: String,
    pub(super) class: Class,
}

impl Ticket {
    pub(super) fn of(execution: &Execution) -> Self {
        Self { id: execution.id.clone(), workgroup: execution.workgroup.clone(), class: Class::of(execution) }
    }

    /// What a task is about. Those of former releases are nothing but the id.
    pub(super) fn read(task: &Task) -> Self {
        serde_json::from_value(task.payload.clone()).unwrap_or_else(|_| Self {
            id: task.payload.as_str().unwrap_or_default().to_owned(),
            workgroup: super::PRIMARY.to_owned(),
            class: Class::Dml,
        })
    }
}

#[derive(Debug)]
struct Place {
    workgroup: String,
    class: Class,
    cancel: CancellationToken,
    counts: bool,
}

/// The places.
#[derive(Debug)]
pub(super) struct Queue {
    limits: QueueLimits,
    places: Mutex<HashMap<String, Place>>,
}

/// The turn of a waiting task, what it says of itself, and the task.
type Waiting = (usize, Ticket, Task);

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self { limits, places: Mutex::default() }
    }

    pub(super) fn limits(&self) -> QueueLimits {
        self.limits
    }

    fn most(&self, class: Class) -> usize {
        match class {
            Class::Dml => self.limits.dml,
            Class::Ddl => self.limits.ddl,
        }
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<String, Place>> {
        self.places.lock().expect("the places are only counted, added and removed")
    }

    /// Takes a place where one is free; answers whether there was one.
    pub(super) fn try_enter(&self, ticket: &Ticket) -> bool {
        let mut places = self.places();
        let free = places.values().filter(|place| place.counts && place.class == ticket.class).count() < self.most(ticket.class);
        if free {
            places.insert(ticket.id.clone(), Place::of(ticket));
        }
        free
    }

    /// What stops the execution. It has a place already, or gets one: whoever leased its task has counted.
    pub(super) fn enter(&self, ticket: &Ticket) -> CancellationToken {
        self.places().entry(ticket.id.clone()).or_insert_with(|| Place::of(ticket)).cancel.clone()
    }

    /// Takes a place that is not counted, for an execution that its caller holds a connection for; `cancel` stops it.
    pub(super) fn hold(&self, ticket: &Ticket, cancel: CancellationToken) {
        self.places().insert(ticket.id.clone(), Place { cancel, counts: false, ..Place::of(ticket) });
    }

    /// Gives a place back.
    pub(super) fn leave(&self, id: &str) {
        self.places().remove(id);
    }

    /// Stops an execution, where it runs.
    pub(super) fn cancel(&self, id: &str) {
        if let Some(place) = self.places().get(id) {
            place.cancel.cancel();
        }
    }

    /// Stops all of a workgroup's that run.
    pub(super) fn cancel_workgroup(&self, workgroup: &str) {
        self.places().values().filter(|place| place.workgroup == workgroup).for_each(|place| place.cancel.cancel());
    }

    /// Those of the waiting tasks that get a place, `free` at the most; `waiting` is in the order in which they came.
    pub(super) fn admit(&self, waiting: Vec<Task>, free: usize) -> Vec<Task> {
        let mut places = self.places();
        let mut running: HashMap<(Class, String), usize> = HashMap::new();
        for place in places.values().filter(|place| place.counts) {
            *running.entry((place.class, place.workgroup.clone())).or_default() += 1;
        }
        let mut queues: BTreeMap<(Class, String), VecDeque<Waiting>> = BTreeMap::new();
        for (turn, task) in waiting.into_iter().enumerate() {
            let ticket = Ticket::read(&task);
            queues.entry((ticket.class, ticket.workgroup.clone())).or_default().push_back((turn, ticket, task));
        }
        let mut admitted = Vec::new();
        for class in [Class::Ddl, Class::Dml] {
            let mut busy: usize = running.iter().filter(|((of, _), _)| *of == class).map(|(_, count)| count).sum();
            while admitted.len() < free && busy < self.most(class) {
                let fits = queues.iter_mut().filter(|((of, _), queue)| *of == class && !queue.is_empty());
                let least = fits.min_by_key(|(group, queue)| {
                    (running.get(*group).copied().unwrap_or_default(), queue.front().map(|(turn, ..)| *turn))
                });
                let Some((group, queue)) = least else { break };
                let Some((_, ticket, task)) = queue.pop_front() else { break };
                *running.entry(group.clone()).or_default() += 1;
                busy += 1;
                places.insert(ticket.id.clone(), Place::of(&ticket));
                admitted.push(task);
            }
        }
        admitted
    }
}

impl Place {
    fn of(ticket: &Ticket) -> Self {
        Self { workgroup: ticket.workgroup.clone(), class: ticket.class, cancel: CancellationToken::new(), counts: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(id: &str, workgroup: &str, class: Class) -> Ticket {
        Ticket { id: id.into(), workgroup: workgroup.into(), class }
    }

    fn task(ticket: &Ticket) -> Task {
        Task {
            id: 0,
            kind: "athena.query".into(),
            key: None,
            payload: serde_json::to_value(ticket).unwrap(),
            failures: 0,
            failures_max: 1,
            deaths: 0,
            lease: 0,
            reason: None,
            created_ms: 0,
            changed_ms: 0,
        }
    }

    fn ids(tasks: &[Task]) -> Vec<String> {
        tasks.iter().map(|task| Ticket::read(task).id).collect()
    }

    #[test]
    fn a_place_goes_to_the_workgroup_that_has_the_fewest() {
        let queue = Queue::new(QueueLimits { dml: 3, ddl: 1, waiting: 10 });
        assert!(queue.try_enter(&ticket("a0", "a", Class::Dml)));
        let waiting: Vec<Task> = ["a1", "a2", "a3", "b1", "b2"].map(|id| task(&ticket(id, &id[..1], Class::Dml))).into();
        assert_eq!(ids(&queue.admit(waiting, 10)), ["b1", "a1"]);
        assert!(!queue.try_enter(&ticket("c", "c", Class::Dml)), "all places are taken");
        assert!(queue.try_enter(&ticket("d", "c", Class::Ddl)), "DDL has places of its own");
        queue.leave("b1");
        assert!(queue.try_enter(&ticket("c", "c", Class::Dml)));
    }

    #[test]
    fn tasks_of_former_releases_are_read() {
        let old = Task { payload: serde_json::json!("some-id"), ..task(&ticket("", "", Class::Ddl)) };
        assert_eq!(Ticket::read(&old), ticket("some-id", "primary", Class::Dml));
    }

    #[test]
    fn stopping_reaches_who_has_a_place() {
        let queue = Queue::new(QueueLimits::default());
        let one = ticket("x", "a", Class::Dml);
        let token = queue.enter(&one);
        queue.cancel("y");
        assert!(!token.is_cancelled());
        queue.cancel("x");
        assert!(token.is_cancelled() && queue.enter(&one).is_cancelled());
        queue.leave("x");
        assert!(!queue.enter(&one).is_cancelled());
    }
}
