//! What a service and an operation are.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::resource::Part;
use crate::schema::Schema;
use crate::shapes::Shape;

/// How a service's requests and responses are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// awsJson1.0 or awsJson1.1: the operation in `X-Amz-Target`, JSON in both bodies.
    Json {
        /// `1.0` or `1.1`, as in the content type.
        version: &'static str,
        /// What stands before the operation's name in `X-Amz-Target`.
        target_prefix: &'static str,
    },
    /// awsQuery: the operation in the form field `Action`, XML in the response.
    Query {
        /// The namespace of the response's root element.
        xml_namespace: &'static str,
    },
    /// restJson1: method and path name the operation ([`Service::routes`]), the parts of an input are in path, query string,
    /// headers and body.
    RestJson,
    /// S3's protocol, which Millpond speaks through the `s3s` crate; this crate knows only the names of its operations.
    Rest,
}

impl Protocol {
    /// Whether errors are written in XML.
    #[must_use]
    pub fn speaks_xml(self) -> bool {
        matches!(self, Self::Query { .. } | Self::Rest)
    }
}

/// A service, and the protocol in which a request speaks to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// The service.
    pub service: &'static Service,
    /// Its own protocol, or Query where it speaks that too.
    pub protocol: Protocol,
}

impl From<&'static Service> for Spoken {
    fn from(service: &'static Service) -> Self {
        Self { service, protocol: service.protocol }
    }
}

/// The Query protocol of a service that speaks JSON too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryForm {
    /// The namespace of the response's root element.
    pub xml_namespace: &'static str,
    /// The errors that have another code there: name in the model, code, HTTP status; sorted.
    pub errors: &'static [(&'static str, &'static str, u16)],
}

/// How a REST service's operation is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The operation's name.
    pub operation: &'static str,
    /// `POST`.
    pub method: &'static str,
    /// `/2015-03-31/functions/{FunctionName}/aliases/{Name}`
    pub path: &'static str,
    /// What must be in the query string besides: `find=LayerVersion`, mostly nothing.
    pub query: &'static str,
    /// The status of a response, where no member of the output gives it.
    pub status: u16,
}

/// How a service answers when an input breaks a constraint of its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validation {
    /// The error's code.
    pub code: &'static str,
    /// The code where a required member is not there; mostly the same.
    pub missing: &'static str,
    /// Further members of the error's body.
    pub extra: &'static [(&'static str, &'static str)],
}

/// The facts of one service.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// The short name, as in `services.toml` and botocore: `glue`.
    pub name: &'static str,
    /// The name for people: `Glue`.
    pub title: &'static str,
    /// The API version: `2017-03-31`.
    pub version: &'static str,
    /// The service in a credential scope.
    pub signing_name: &'static str,
    /// Whether it is the same in all regions, so that any region may stand in a credential scope.
    pub global: bool,
    /// How it speaks.
    pub protocol: Protocol,
    /// The Query protocol, where it speaks that beside JSON.
    pub also_query: Option<QueryForm>,
    /// How it refuses an input that breaks a constraint.
    pub validation: Validation,
    /// The names of all operations in its model, sorted.
    pub operations: &'static [&'static str],
    /// How they are asked for, sorted by operation; empty for all but REST services.
    pub routes: &'static [Route],
}

impl Service {
    /// The service of that short name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        crate::SERVICES.iter().find(|service| service.name == name).copied()
    }

    /// The operation's name as a static string, if the service's model has it.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<&'static str> {
        self.operations.binary_search(&name).ok().map(|found| self.operations[found])
    }

    /// How its operation is asked for, if it is a REST service.
    #[must_use]
    pub fn route(&self, operation: &str) -> Option<&'static Route> {
        self.routes.binary_search_by_key(&operation, |route| route.operation).ok().map(|found| &self.routes[found])
    }

    /// The Query protocol, if it speaks that first or beside JSON.
    #[must_use]
    pub fn query_protocol(&self) -> Option<Protocol> {
        match (self.protocol, self.also_query) {
            (Protocol::Query { .. }, _) => Some(self.protocol),
            (_, Some(QueryForm { xml_namespace, .. })) => Some(Protocol::Query { xml_namespace }),
            _ => None,
        }
    }
}

/// One operation of a service; implemented by the generated marker types (`glue::CreateTable`).
pub trait Operation: Send + Sync + 'static {
    /// The type of its request.
    type Input: Shape + Serialize + DeserializeOwned + Send + 'static;
    /// The type of its response; an empty structure where AWS's model has none.
    type Output: Shape + Serialize + DeserializeOwned + Send + 'static;
    /// Its name: `CreateTable`.
    const NAME: &'static str;
    /// Its service.
    const SERVICE: &'static Service;
    /// The table of its request.
    const INPUT: &'static Schema;
    /// The table of its response.
    const OUTPUT: &'static Schema;
    /// The element around a Query response's members; `None` where there are no members to hold.
    const RESULT: Option<&'static str>;
    /// What a policy must allow: `glue:CreateTable`.
    const ACTION: &'static str;
    /// To which resource.
    const RESOURCE: &'static [Part];
}
