//! The requests themselves.

use super::super::endpoints::{http_url, refused_address};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// "The connection will time out in about 15 seconds."
const PATIENCE: Duration = Duration::from_secs(15);

/// An answer is read so far, in bytes: what it says is of no interest, but a connection can be used again only when it was read.
const ANSWER_MAX: usize = 64 * 1024;

const AGENT: &str = "Amazon Simple Notification Service Agent";

/// A request to an endpoint.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) protocol: String,
    pub(super) url: String,
    pub(super) content_type: String,
    /// The message's type.
    pub(super) kind: &'static str,
    pub(super) message_id: String,
    pub(super) topic_arn: String,
    /// Of notifications.
    pub(super) subscription_arn: Option<String>,
    pub(super) is_raw: bool,
    pub(super) body: String,
}

/// Why a request failed, and whether another one can help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) reason: String,
    pub(super) retry: bool,
}

impl Outcome {
    fn again(reason: String) -> Self {
        Self { reason, retry: true }
    }

    fn lasting(reason: String) -> Self {
        Self { reason, retry: false }
    }
}

/// Sends requests over connections that are kept for a while. Follows no redirect, asks no proxy, and calls no address that
/// [`refused_address`] names.
#[derive(Debug, Default)]
pub(super) struct Client {
    inner: OnceCell<reqwest::Client>,
}

impl Client {
    async fn inner(&self) -> Result<&reqwest::Client, Outcome> {
        // Reads the machine's certificates from the disk.
        let make = async || match tokio::task::spawn_blocking(make).await {
            Ok(made) => made.map_err(|error| Outcome::again(format!("no client could be made: {}", causes(&error)))),
            Err(_) => Err(Outcome::again("an internal fault ended the making of a client".into())),
        };
        self.inner.get_or_try_init(make).await
    }

    /// Sends one.
    ///
    /// # Errors
    /// It was not taken.
    pub(super) async fn send(&self, post: Post) -> Result<(), Outcome> {
        // It was checked when the subscription was made; what a name means is checked when it is looked up.
        let url = http_url(&post.protocol, &post.url).map_err(Outcome::lasting)?;
        let request = headed(self.inner().await?.post(url), &post).body(post.body);
        let failed = |error: reqwest::Error| match find_refused(&error) {
            Some(refused) => Outcome::lasting(refused),
            None if error.is_builder() => Outcome::lasting(causes(&error)),
            None if error.is_timeout() => Outcome::again(format!("no answer within {} s", PATIENCE.as_secs())),
            None => Outcome::again(causes(&error)),
        };
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        drain(answer).await;
        match status {
            status if status.is_success() => Ok(()),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status.is_informational() => {
                Err(Outcome::again(format!("it answered {status}")))
            }
            status if status.is_redirection() => Err(Outcome::lasting(format!(
                "it answered {status}, and redirects are not followed; subscribe the URL that it leads to"
            ))),
            status => Err(Outcome::lasting(format!("it answered {status}, after which no try is made again"))),
        }
    }
}

fn headed(request: RequestBuilder, post: &Post) -> RequestBuilder {
    let request = request
        .header("x-amz-sns-message-type", post.kind)
        .header("x-amz-sns-message-id", &post.message_id)
        .header("x-amz-sns-topic-arn", &post.topic_arn)
        .header("Content-Type", &post.content_type)
        .header("Accept-Encoding", "gzip,deflate");
    let request = match &post.subscription_arn {
        Some(arn) => request.header("x-amz-sns-subscription-arn", arn),
        None => request,
    };
    if post.is_raw { request.header("x-amz-sns-rawdelivery", "true") } else { request }
}

async fn drain(mut answer: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > ANSWER_MAX {
            break;
        }
    }
}

fn make() -> Result<reqwest::Client, reqwest::Error> {
    let builder = || {
        reqwest::Client::builder()
            .user_agent(AGENT)
            .redirect(Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .pool_max_idle_per_host(4)
            .dns_resolver(Arc::new(Guarded))
    };
    // A machine without any certificate of an authority can still call http; what it cannot do is told by each call of https.
    builder().build().or_else(|error| {
        tracing::warn!(%error, "the machine's certificates could not be read: no https endpoint can be verified");
        builder().tls_built_in_root_certs(false).build()
    })
}

/// A name means an address that is not called.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' means {1}, {2}, which this lake sends nothing to")]
struct Refused(String, SocketAddr, &'static str);

/// Looks names up, and refuses those that mean addresses that are not called: what a name means when the connection is made is what counts.
#[derive(Debug)]
struct Guarded;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &found {
                if let Some(reason) = refused_address(address.ip()) {
                    return Err(Refused(name.as_str().to_owned(), *address, reason).into());
                }
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn find_refused(error: &reqwest::Error) -> Option<String> {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(found) = cause {
        if let Some(refused) = found.downcast_ref::<Refused>() {
            return Some(refused.to_string());
        }
        cause = found.source();
    }
    None
}

/// An error with what caused it; without the URL, which may have a password.
fn causes(error: &reqwest::Error) -> String {
    let mut text = match (error.is_connect(), error.is_timeout()) {
        (true, _) => "no connection".to_owned(),
        (_, true) => "no answer in time".to_owned(),
        _ => "the request failed".to_owned(),
    };
    let mut cause = error.source();
    while let Some(found) = cause {
        text = format!("{text}: {found}");
        cause = found.source();
    }
    text
}
