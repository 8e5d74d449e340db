//! S3 at the edge: `s3s` parses and verifies requests, `millpond-services` acts, and this module stands between them.
//!
//! A request goes through [`edge`] (what is refused before it is read; chunked bodies are brought into bounded chunks), `s3s` (signature,
//! route, document), [`auth`] (who may, and what may not be asked), [`ops`] (the operations), and back through [`edge`] (request ids, errors in
//! AWS's form).

mod actions;
mod auth;
mod buckets;
mod chunked;
mod convert;
mod copy;
pub(crate) mod drain;
mod edge;
mod error;
mod hosts;
mod listing;
mod multipart;
mod notification;
mod objects;
mod ops;
mod range;
mod tagging;
mod version2;

pub use edge::S3Endpoint;
pub use hosts::Hosts;
pub use ops::IMPLEMENTED;

use crate::authorize::Authorizer;
use crate::caller::Keys;
use millpond_services::s3::S3;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use std::sync::Arc;

/// Bytes of a request's XML document at the most: a DeleteObjects of a thousand long keys, with room for escapes.
const DOCUMENT_MAX: usize = 8 * 1024 * 1024;

/// S3 over HTTP. `keys` say who asks and `authorizer` whether they may; `hosts` are the domains under which buckets may be named in the host
/// (`bucket.localhost`).
pub fn service(s3: S3, keys: Arc<dyn Keys>, authorizer: Arc<dyn Authorizer>, hosts: Hosts) -> S3Endpoint {
    let place = s3.lake().place.clone();
    let env = s3.lake().store.env().clone();
    let mut builder = S3ServiceBuilder::new(ops::Handlers { s3 });
    builder.set_auth(auth::Keys { keys, env: env.clone() });
    builder.set_access(auth::Access { place, env: env.clone(), authorizer });
    builder.set_host(hosts);
    builder.set_validation(hosts::AnyName);
    let mut config = S3Config::default();
    config.xml_max_body_size = DOCUMENT_MAX;
    // Forms are refused before they are read; these bounds are there in case one gets further.
    config.post_object_max_file_size = 1024 * 1024;
    config.form_max_fields_size = 64 * 1024;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    S3Endpoint::new(builder.build(), env)
}
