//! The `millpond` command as a client of a lake: AWS's own operations by the same types that the server reads, and Millpond's few own ones.

use crate::credentials::Credentials;
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use millpond_core::env::{Env, SystemEnv};
use millpond_wire::sigv4::{self, Signer};
use millpond_wire::{Operation, WireError, client as wire};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ClientOptions, RetryConfig};
use serde_json::Value;
use std::time::Duration;

/// What the signature of a request to `/_millpond/…` is for.
const OWN_SERVICE: &str = "millpond";

/// A connection to a lake; clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    region: String,
    credentials: Credentials,
}

impl Client {
    /// A client of the lake that answers at `endpoint`.
    ///
    /// # Errors
    /// The system's TLS certificates cannot be read.
    pub fn new(endpoint: &str, region: &str, credentials: Credentials) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .no_proxy()
            .build()
            .context("the HTTP client cannot be set up")?;
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(Self { http, endpoint, region: region.to_owned(), credentials })
    }

    /// Where the lake answers.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Who asks.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Calls an operation of AWS.
    ///
    /// # Errors
    /// What the service answered (see [`code`]), or that the lake cannot be reached.
    pub async fn call<O: Operation>(&self, _operation: O, input: &O::Input) -> Result<O::Output> {
        let (status, body) = self.send(wire::request::<O>(input), O::SERVICE.signing_name).await?;
        Ok(wire::response::<O>(status, &body)?)
    }

    /// Calls one of Millpond's own operations.
    ///
    /// # Errors
    /// What the lake answered, or that it cannot be reached.
    pub async fn own(&self, path: &str, input: &Value) -> Result<Value> {
        let mut request = Request::new(Bytes::from(input.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("/_millpond/{path}").parse().context("a path of our own")?;
        let (status, body) = self.send(request, OWN_SERVICE).await?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let message = text("message").or_else(|| text("Message")).unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
        let code = text("__type").unwrap_or_else(|| format!("HTTP status {status}"));
        Err(WireError::sender(status, code, message).into())
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// What S3 answered.
    pub async fn create_bucket(&self, name: &str) -> Result<()> {
        self.s3(Method::PUT, &format!("/{name}")).await.map(drop)
    }

    /// The names of all buckets.
    ///
    /// # Errors
    /// What S3 answered.
    pub async fn buckets(&self) -> Result<Vec<String>> {
        let body = self.s3(Method::GET, "/").await?;
        let text = std::str::from_utf8(&body).context("the list of buckets is not text")?;
        texts_of(text, "Name").context("the list of buckets cannot be read")
    }

    async fn s3(&self, method: Method, path: &str) -> Result<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().with_context(|| format!("'{path}' cannot be asked for"))?;
        let (status, body) = self.send(request, "s3").await?;
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body);
        let part = |name| texts_of(&text, name).ok().and_then(|found| found.into_iter().next());
        let code = part("Code").unwrap_or_else(|| format!("HTTP status {status}"));
        Err(WireError::sender(status, code, part("Message").unwrap_or_default()).into())
    }

    async fn send(&self, request: Request<Bytes>, service: &str) -> Result<(StatusCode, Bytes)> {
        let signer = Signer {
            access_key: &self.credentials.access_key_id,
            secret_key: &self.credentials.secret_access_key,
            session_token: None,
            region: &self.region,
            service,
        };
        let request = sigv4::sign(request, &self.endpoint, &signer, SystemEnv.now_ms()).map_err(|error| anyhow!(error))?;
        let request = reqwest::Request::try_from(request).context("the request cannot be sent")?;
        let unreachable = || format!("the lake at {} does not answer", self.endpoint);
        let response = self.http.execute(request).await.with_context(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.with_context(unreachable)?;
        Ok((status, body))
    }

    /// S3 for the objects of one bucket.
    ///
    /// # Errors
    /// The endpoint is not an address.
    pub fn bucket(&self, name: &str) -> Result<AmazonS3> {
        let options =
            ClientOptions::new().with_allow_http(true).with_timeout_disabled().with_pool_idle_timeout(Duration::from_secs(20));
        let retry = RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() };
        AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_region(&self.region)
            .with_bucket_name(name)
            .with_access_key_id(&self.credentials.access_key_id)
            .with_secret_access_key(&self.credentials.secret_access_key)
            .with_virtual_hosted_style_request(false)
            // Hashing every byte twice protects nothing within one machine.
            .with_unsigned_payload(self.is_local())
            .with_client_options(options)
            .with_retry(retry)
            .build()
            .with_context(|| format!("s3://{name} at {} cannot be used", self.endpoint))
    }

    fn is_local(&self) -> bool {
        let host = url::Url::parse(&self.endpoint).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// The code of AWS's error, where that is what went wrong.
pub fn code(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<WireError>().map(|error| &*error.code)
}

/// The texts of all elements of a name.
fn texts_of(xml: &str, name: &str) -> Result<Vec<String>> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(xml);
    let (mut texts, mut inside) = (Vec::new(), false);
    loop {
        match reader.read_event()? {
            Event::Start(start) if start.local_name().as_ref() == name.as_bytes() => {
                inside = true;
                texts.push(String::new());
            }
            Event::End(end) if end.local_name().as_ref() == name.as_bytes() => inside = false,
            Event::Text(text) if inside => texts.last_mut().expect("pushed at the start").push_str(&text.decode()?),
            Event::GeneralRef(reference) if inside => {
                let name = reference.decode()?;
                let resolved = match reference.resolve_char_ref()? {
                    Some(character) => character.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(&name).unwrap_or_default().to_owned(),
                };
                texts.last_mut().expect("pushed at the start").push_str(&resolved);
            }
            Event::Eof => return Ok(texts),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_xml() {
        let xml = "<?xml version=\"1.0\"?><R xmlns=\"x\"><Buckets><Bucket><Name>raw</Name><D>1</D></Bucket>\
                   <Bucket><Name>a&amp;b&#x21;</Name></Bucket></Buckets></R>";
        assert_eq!(texts_of(xml, "Name").unwrap(), ["raw", "a&b!"]);
        assert!(texts_of("<a><Name>x</b>", "Name").is_err());
    }
}
