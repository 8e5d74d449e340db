//! What a run of a job has written and nobody else sees yet becomes visible before the run asks another service to act on the lake.
//!
//! The operations are those after which somebody else may read what the run wrote: what starts a crawler, a job, a query, a function or an import,
//! what tells others (messages and events, by which chains are made), and what reads a package from S3. Operations that only describe (tables,
//! partitions, jobs) are none: what they describe may come later, and a run that fails should leave as little as possible behind.

use crate::router::Context;
use http::StatusCode;
use millpond_core::error::ErrorKind;
use millpond_services::lake::staging;
use millpond_wire::WireError;

/// Services with their operations.
const ACTS_ON_THE_LAKE: &[(&str, &[&str])] = &[
    ("athena", &["StartQueryExecution"]),
    ("dynamodb", &["ImportTable"]),
    ("events", &["PutEvents"]),
    ("glue", &["ResumeWorkflowRun", "StartCrawler", "StartCrawlerSchedule", "StartJobRun", "StartTrigger", "StartWorkflowRun"]),
    (
        "lambda",
        &["CreateFunction", "Invoke", "InvokeAsync", "InvokeWithResponseStream", "PublishLayerVersion", "UpdateFunctionCode"],
    ),
    ("sns", &["Publish", "PublishBatch"]),
    ("sqs", &["SendMessage", "SendMessageBatch"]),
];

fn acts(service: &str, operation: &str) -> bool {
    ACTS_ON_THE_LAKE.iter().any(|(name, operations)| *name == service && operations.contains(&operation))
}

/// Publishes what the caller's run has staged, where it is the session of an open run and the operation is one of these. For every other caller
/// this is a look at the caller.
///
/// # Errors
/// What was staged cannot be published: a bucket is gone, a condition does not hold any more. The operation must not be done then.
pub(crate) async fn pass(context: &Context, service: &'static str, operation: &'static str) -> Result<(), WireError> {
    let Some(acting) = &context.principal.acting else { return Ok(()) };
    let Some(run) = acting.session.job_run.as_deref().filter(|_| acts(service, operation)) else { return Ok(()) };
    let published = staging::publish_before(acting.identity.lake(), run, &format!("{service}:{operation}")).await;
    match published {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::Bug | ErrorKind::Retry => {
                tracing::error!(%error, run, "what a run has written could not be published");
                Err(WireError::internal(&context.request_id))
            }
            _ => Err(WireError::sender(StatusCode::CONFLICT, "ConflictException", error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::{Keys, RootKey};
    use crate::router::Router;
    use crate::sessions::LakeKeys;
    use bytes::Bytes;
    use millpond_core::env::SystemEnv;
    use millpond_services::lake::Lake;
    use millpond_services::lake::identity::{self, Identity, NewSession};
    use millpond_services::lake::objects::{self, Cause, ListSpec, NewObject, ObjectMeta};
    use millpond_services::lake::staging::View;
    use millpond_store::blobs::NewBlob;
    use millpond_store::{Store, StoreError};
    use millpond_wire::glue;
    use std::sync::Arc;

    /// How many objects everybody sees.
    async fn visible(lake: &Lake) -> usize {
        let all = ListSpec { limit: 10, ..ListSpec::default() };
        let listed = lake.store.read(move |c| {
            let bucket = objects::bucket(c, "raw")?.unwrap();
            Ok::<_, StoreError>(objects::list(c, bucket.id, &all)?.objects.len())
        });
        listed.await.unwrap()
    }

    #[tokio::test]
    async fn what_a_run_wrote_is_published_before_others_are_asked_to_act_on_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[objects::COMPONENT, identity::COMPONENT], Arc::new(SystemEnv)).unwrap();
        let lake = Lake { store, place: Arc::default() };
        let identity = Identity::open(&lake, "secret").await.unwrap();
        let session = NewSession { name: "run".into(), seconds: 60, job_run: Some("jr_1".into()), ..NewSession::default() };
        let keys = identity.issue_new(session);
        let _run = identity.admit_run("jr_1");
        let known = LakeKeys::new(RootKey::new("000000000000", "AK", "secret"), identity);
        let now_ms = millpond_core::env::Env::now_ms(&SystemEnv);
        let caller = known.secret(&keys.access_key, Some(&keys.session_token), now_ms).unwrap().caller;
        let stage = lake.store.write(|tx| {
            staging::open(tx, "jr_1", "job", "/jobs/output")?;
            let bucket = objects::create_bucket(tx, "raw", "r")?.unwrap();
            let blob = tx.adopt(&NewBlob::Inline(b"x".as_slice().into()))?;
            let new = NewObject { key: "k".into(), blob, size: 1, etag: "e".into(), meta: ObjectMeta::default() };
            let view = View::of(tx, Some("jr_1"))?;
            view.put(tx, &Default::default(), &bucket, new, false, &Cause::default())
        });
        stage.await.unwrap();
        let seen = lake.clone();
        let mut router = Router::default();
        router
            .service(())
            .on(glue::StartCrawler, move |(), _, _| {
                let lake = seen.clone();
                async move {
                    assert_eq!(visible(&lake).await, 1, "the handler's work finds what the run wrote");
                    Ok(glue::StartCrawlerOutput::default())
                }
            })
            .on(glue::GetTags, |(), _, _| async { Ok(glue::GetTagsOutput::default()) });
        let context = |principal| Context {
            account: "000000000000".into(),
            region: "us-east-1".into(),
            principal,
            source_ip: String::new(),
            request_id: "r".into(),
            now_ms,
            endpoint: String::new(),
            host: None,
        };
        let crawler = Bytes::from_static(br#"{"Name":"c"}"#);
        let tags = Bytes::from_static(br#"{"ResourceArn":"arn:aws:glue:us-east-1:000000000000:crawler/c"}"#);
        router.call(&glue::SERVICE, "GetTags", context(caller.clone()), tags).await.unwrap();
        assert_eq!(visible(&lake).await, 0);
        router.call(&glue::SERVICE, "StartCrawler", context(caller), crawler).await.unwrap();
        assert_eq!(visible(&lake).await, 1);
        assert!(lake.store.read(|c| staging::is_open(c, "jr_1")).await.unwrap());
    }

    #[test]
    fn the_operations_are_named_as_the_models_name_them() {
        for (service, operations) in ACTS_ON_THE_LAKE {
            let known = millpond_wire::SERVICES.iter().find(|known| known.name == *service);
            let known = known.unwrap_or_else(|| panic!("{service}"));
            let missing: Vec<_> = operations.iter().filter(|name| known.operation(name).is_none()).collect();
            assert!(missing.is_empty(), "{service}: {missing:?}");
        }
        assert!(acts("glue", "StartCrawler") && !acts("glue", "GetTable") && !acts("s3", "PutObject"));
    }
}
