//! What botocore sends is found, read, and means what botocore was given. `models/requests.py` makes the requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::request::Parts;
use serde_json::{Map, Value};

use crate::schema::{Kind, Location, Schema};
use crate::service::{Protocol, Service, Spoken};
use crate::shapes::{Shape as _, Side, Timestamp};
use crate::target::{self, Target};
use crate::{query, rest, validate};

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("botocore.json")).unwrap()
}

fn parts(vector: &Value) -> Parts {
    let text = |name: &str| vector[name].as_str().unwrap().to_owned();
    let credential = format!("AWS4-HMAC-SHA256 Credential=AK/20261120/us-east-1/{}/aws4_request", text("service"));
    let mut request = http::Request::builder().method(&*text("method")).uri(text("uri")).header("authorization", credential);
    for (name, value) in vector["headers"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

/// An input in the names of its model becomes one in the names of the wire, with times in one form and no bits beyond those of its types.
fn on_the_wire(value: &Value, schema: &Schema) -> Value {
    match (schema.kind, value) {
        (Kind::Structure(members), Value::Object(object)) => {
            let mut renamed = Map::new();
            for member in members {
                if let Some(value) = object.get(member.title).or_else(|| object.get(member.name)) {
                    renamed.insert(member.name.to_owned(), on_the_wire(value, member.schema));
                }
            }
            Value::Object(renamed)
        }
        (Kind::List { member, .. }, Value::Array(values)) => values.iter().map(|value| on_the_wire(value, member)).collect(),
        (Kind::Map { value: schema, .. }, Value::Object(object)) => {
            Value::Object(object.iter().map(|(name, value)| (name.clone(), on_the_wire(value, schema))).collect())
        }
        (Kind::Timestamp, value) => Timestamp::from_value(value.clone()).unwrap().to_value().unwrap(),
        (_, value) => value.clone(),
    }
}

fn side(service: &Service, schema: &Schema) -> Side {
    let found = super::sides().into_iter().find(|(_, found, _)| std::ptr::eq(*found, schema));
    found.unwrap_or_else(|| panic!("{} of {} has no type", schema.name, service.name))
}

#[test]
fn what_botocore_sends_means_what_it_was_given() {
    let mut checked = 0;
    for vector in vectors() {
        let parts = parts(&vector);
        let body = BASE64.decode(vector["body"].as_str().unwrap()).unwrap();
        let name = format!("{} {}", vector["service"], vector["operation"]);
        assert!(target::is_small(&parts), "{name} is taken for S3's");
        let scope = target::scope(&parts);
        let found = target::find(&parts, &body, scope.as_deref()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let Target::Operation { spoken: Spoken { service, protocol }, operation } = found else { panic!("{name}") };
        assert_eq!(format!("{:?} {operation:?}", service.name), name);

        let (_, schema) = super::inputs().into_iter().find(|(key, _)| *key == (service.name, operation)).unwrap();
        let value = match protocol {
            Protocol::RestJson => {
                let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
                let parts = rest::Parts { path, query, headers: Some(&parts.headers), body: &body };
                rest::value(service.route(operation).unwrap(), schema, &parts)
            }
            Protocol::Query { .. } => query::parse(&body, schema),
            other => panic!("{name} in {other:?}"),
        };
        let value = validate::conform(value.unwrap_or_else(|error| panic!("{name}: {error}")), schema).unwrap();
        let (_, _, there_and_back) = side(service, schema);
        let read = there_and_back(value).unwrap_or_else(|error| panic!("{name}: {error}")).unwrap();
        assert_eq!(super::sorted(&read), super::sorted(&on_the_wire(&vector["input"], schema)), "{name}");
        // Whatever is in a place of its own is there to be read.
        let places = schema.members().iter().filter(|member| member.location != Location::Body).count();
        checked += 1 + places.min(1);
    }
    assert!(checked > 160, "{checked}");
}
