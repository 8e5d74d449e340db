//! Crawlers, jobs and workflows as targets of rules. (For the first two AWS needs a Lambda function between.)

use super::run::arguments_of;
use crate::glue::crawler::deliver_to_crawler;
use crate::glue::{GlueError, job::deliver_to_job, workflow};
use crate::runtime::Failure;
use crate::runtime::delivery::{Delivering, Delivery, TargetKind};
use millpond_core::arn::Arn;
use millpond_core::error::ErrorKind;

/// `arn:aws:glue:…:crawler/NAME`: a delivery asks for a crawl.
#[derive(Debug, Clone, Copy)]
pub struct CrawlerTarget;

/// `arn:aws:glue:…:job/NAME`: a delivery asks for a run. An input that is a JSON object of `--key` members gives its arguments.
#[derive(Debug, Clone, Copy)]
pub struct JobTarget;

/// `arn:aws:glue:…:workflow/NAME`: a delivery starts a run of a workflow that begins with a trigger of type `EVENT`.
#[derive(Debug, Clone, Copy)]
pub struct WorkflowTarget;

fn name<'a>(arn: &'a Arn, sort: &str) -> Option<&'a str> {
    let name = arn.resource.strip_prefix(sort)?.strip_prefix('/')?;
    (arn.service == "glue" && !name.is_empty()).then_some(name)
}

/// What does not exist yet may be made while the delivery is tried again; what is wrong stays wrong.
fn failure(error: GlueError) -> Failure {
    match error.kind() {
        ErrorKind::Input | ErrorKind::Denied => Failure::lasting(error),
        _ => Failure::transient(error),
    }
}

impl TargetKind for CrawlerTarget {
    fn title(&self) -> &'static str {
        "Glue crawlers"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        name(arn, "crawler").is_some()
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, _: &Delivery) -> Result<(), Failure> {
        deliver_to_crawler(at.tx, name(arn, "crawler").unwrap_or_default()).map_err(failure)
    }
}

impl TargetKind for JobTarget {
    fn title(&self) -> &'static str {
        "Glue jobs"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        name(arn, "job").is_some()
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure> {
        let arguments = arguments_of(&delivery.input);
        deliver_to_job(at.tx, name(arn, "job").unwrap_or_default(), arguments).map(|_| ()).map_err(failure)
    }
}

impl TargetKind for WorkflowTarget {
    fn title(&self) -> &'static str {
        "Glue workflows"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        name(arn, "workflow").is_some()
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, _: &Delivery) -> Result<(), Failure> {
        workflow::deliver(at.tx, &at.lake.place, name(arn, "workflow").unwrap_or_default()).map_err(failure)
    }
}
