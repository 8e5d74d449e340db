//! Functions as targets of deliveries, and the targets that functions themselves send to.

use super::functions::{Resolved, resolve};
use super::invoke::{ASYNCHRONOUS_MAX, check_payload};
use super::queue::{self, Queued};
use super::{FunctionName, Lambda, LambdaError, policy};
use crate::runtime::Failure;
use crate::runtime::delivery::{Delivering, Delivery, Sender, TargetKind};
use millpond_core::arn::Arn;
use millpond_core::env::EnvExt;
use millpond_core::error::ErrorKind;

/// `arn:aws:lambda:…:function:NAME[:QUALIFIER]`: a delivery is an asynchronous invocation.
#[derive(Debug, Clone, Copy)]
pub struct FunctionTarget;

fn failure(error: LambdaError) -> Failure {
    match error {
        LambdaError::NotFound(message) => {
            Failure::lasting(format!("{message}; create the function, or take it out of what delivers to it")).code("NO_RESOURCE")
        }
        LambdaError::InvalidContent(message) => Failure::lasting(message).code("INVALID_JSON"),
        error if error.kind() == ErrorKind::Bug || error.kind() == ErrorKind::Retry => Failure::transient(error),
        error => Failure::lasting(error),
    }
}

fn find(at: &Delivering<'_>, arn: &Arn, sender: Sender, source: &str) -> Result<(FunctionName, Resolved), Failure> {
    let text = arn.to_string();
    let place = &at.lake.place;
    let name = FunctionName::parse(place, &text, None).map_err(failure)?;
    let resolved = resolve(at.tx, at.lake, &name).map_err(failure)?;
    policy::allows(at.tx, resolved.function.id, &name, &text, &place.account, sender, source)?;
    Ok((name, resolved))
}

impl TargetKind for FunctionTarget {
    fn title(&self) -> &'static str {
        "Lambda functions"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        arn.service == "lambda" && arn.resource.starts_with("function:")
    }

    fn check(&self, at: &Delivering<'_>, arn: &Arn, sender: Sender, source: &str) -> Result<(), Failure> {
        find(at, arn, sender, source).map(|_| ())
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure> {
        let (name, _) = find(at, arn, delivery.sender, &delivery.source)?;
        check_payload(delivery.input.as_bytes(), "Event", ASYNCHRONOUS_MAX).map_err(failure)?;
        let queued = Queued {
            function: name.name,
            qualifier: name.qualifier.as_ref().map(ToString::to_string),
            request_id: at.tx.env().uuid(),
            event: if delivery.input.is_empty() { "{}".into() } else { delivery.input.to_string() },
            since_ms: at.tx.now_ms(),
            trace_id: None,
            source: Some(delivery.source.clone()),
        };
        queue::put(at.tx, queued)?;
        Ok(())
    }
}

impl Lambda {
    /// Functions as targets.
    pub fn target_kind() -> std::sync::Arc<dyn TargetKind> {
        std::sync::Arc::new(FunctionTarget)
    }

    /// Whether what a function sends would arrive at `target` now. The text says why not.
    pub(super) async fn check_target(&self, target: String, source: String) -> Result<(), String> {
        let (targets, lake) = (self.inner.targets.clone(), self.inner.lake.clone());
        let checked = self
            .inner
            .lake
            .store
            .write(move |tx| Ok::<_, millpond_store::StoreError>(targets.check(tx, &lake, &target, Sender::Lambda, &source)));
        match checked.await {
            Ok(checked) => checked.map_err(|failure| failure.reason),
            Err(error) => Err(error.to_string()),
        }
    }
}
