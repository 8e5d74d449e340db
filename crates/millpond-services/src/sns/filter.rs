//! Which messages a subscriber wants: filter policies, in EventBridge's pattern language.

use super::message::Notice;
use super::sql::Attributes;
use crate::runtime::delivery::MessageAttribute;
use millpond_core::event::pattern::Pattern;
use serde_json::{Map, Value};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// Values of a policy, multiplied: SNS's measure of complexity.
const COMBINATIONS_MAX: u64 = 150;

/// Fields that a policy names.
const FIELDS_MAX: usize = 5;

/// Of a policy, in bytes.
const SIZE_MAX: usize = 256 * 1024;

/// A compiled filter policy.
#[derive(Debug)]
pub(super) struct Filter {
    /// Absent: all messages are wanted.
    pattern: Option<Pattern>,
    on_body: bool,
}

impl Filter {
    /// Compiles the policy among a subscription's attributes. The reasons are those of SNS.
    pub(super) fn compile(attributes: &Attributes) -> Result<Self, String> {
        let on_body = attributes.get("FilterPolicyScope").is_some_and(|scope| scope == "MessageBody");
        let Some(text) = attributes.get("FilterPolicy").filter(|text| !text.trim().is_empty()) else {
            return Ok(Self { pattern: None, on_body });
        };
        if text.len() > SIZE_MAX {
            return Err(format!("FilterPolicy: Filter policy can not be larger than {SIZE_MAX} bytes"));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| format!("FilterPolicy: failed to parse JSON. {error}"))?;
        if value.as_object().is_some_and(Map::is_empty) {
            return Ok(Self { pattern: None, on_body });
        }
        if !on_body && is_nested(&value) {
            return Err("Filter policy scope MessageAttributes does not support nested filter policy".into());
        }
        let pattern = Pattern::parse(text).map_err(|error| format!("FilterPolicy: {error}"))?;
        if pattern.fields() > FIELDS_MAX {
            return Err(format!("FilterPolicy: Filter policy can not have more than {FIELDS_MAX} keys"));
        }
        if pattern.combinations() > COMBINATIONS_MAX {
            return Err("FilterPolicy: Filter policy is too complex".into());
        }
        Ok(Self { pattern: Some(pattern), on_body })
    }

    /// Whether the subscriber wants the message. A body that is no JSON object is wanted by no policy that looks into bodies.
    pub(super) fn wants(&self, message: &Looked<'_>, protocol: &str) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        match self.on_body {
            true => message.body(protocol).is_some_and(|body| pattern.matches(&body)),
            false => pattern.matches(message.attributes()),
        }
    }
}

fn is_nested(policy: &Value) -> bool {
    let Value::Object(members) = policy else { return false };
    members.iter().any(|(name, value)| match value {
        Value::Object(_) => true,
        Value::Array(items) if name == "$or" => items.iter().any(is_nested),
        _ => false,
    })
}

/// A text, and the JSON object that it is, where it is one.
type Body<'a> = (&'a str, Option<Rc<Value>>);

/// A message as filters look at it: parsed once, however many subscribers there are.
#[derive(Debug)]
pub(super) struct Looked<'a> {
    notice: &'a Notice,
    attributes: OnceCell<Value>,
    bodies: RefCell<Vec<Body<'a>>>,
}

impl<'a> Looked<'a> {
    pub(super) fn new(notice: &'a Notice) -> Self {
        Self { notice, attributes: OnceCell::new(), bodies: RefCell::default() }
    }

    /// The attributes as a JSON object. Binary ones cannot be compared, and count as absent.
    fn attributes(&self) -> &Value {
        let one = |attribute: &MessageAttribute| match attribute.data_type.as_str() {
            "String.Array" => serde_json::from_str(&attribute.value).ok().filter(Value::is_array),
            kind if kind == "Number" || kind.starts_with("Number.") => {
                serde_json::from_str::<serde_json::Number>(attribute.value.trim()).ok().map(Value::Number)
            }
            _ if attribute.is_binary() => None,
            _ => Some(Value::String(attribute.value.clone())),
        };
        let all =
            || self.notice.attributes.iter().filter_map(|(name, attribute)| Some((name.clone(), one(attribute)?))).collect();
        self.attributes.get_or_init(all)
    }

    fn body(&self, protocol: &str) -> Option<Rc<Value>> {
        let text = self.notice.text(protocol);
        let mut bodies = self.bodies.borrow_mut();
        if let Some((_, body)) = bodies.iter().find(|(known, _)| std::ptr::eq(*known, text)) {
            return body.clone();
        }
        let body = serde_json::from_str(text).ok().filter(Value::is_object).map(Rc::new);
        bodies.push((text, body.clone()));
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(data_type: &str, value: &str) -> MessageAttribute {
        MessageAttribute { data_type: data_type.into(), value: value.into() }
    }

    fn wants(scope: &str, policy: &str, notice: &Notice) -> bool {
        let attributes =
            [("FilterPolicy", policy), ("FilterPolicyScope", scope)].map(|(name, value)| (name.into(), value.into()));
        Filter::compile(&attributes.into()).unwrap().wants(&Looked::new(notice), "sqs")
    }

    #[test]
    fn attributes_are_compared_by_their_types() {
        let attributes = [
            ("text", attribute("String", "100")),
            ("own", attribute("String.Colour", "red")),
            ("number", attribute("Number", " 100.0")),
            ("int", attribute("Number.int", "7")),
            ("array", attribute("String.Array", r#"["a", 3, true, null]"#)),
            ("broken", attribute("String.Array", "a, b")),
            ("binary", attribute("Binary", "AAEC")),
            ("ip", attribute("String", "10.0.1.7")),
            ("dotted.name", attribute("String", "x")),
        ];
        let notice = Notice { attributes: attributes.map(|(name, value)| (name.into(), value)).into(), ..Notice::default() };
        for (policy, expected) in [
            (r#"{"text": ["100"]}"#, true),
            (r#"{"text": [100]}"#, false),
            (r#"{"number": [100]}"#, true),
            (r#"{"number": ["100"]}"#, false),
            (r#"{"number": [{"numeric": [">", 99, "<=", 100]}]}"#, true),
            (r#"{"int": [{"numeric": ["=", 7]}]}"#, true),
            (r#"{"own": [{"anything-but": ["red"]}]}"#, false),
            (r#"{"own": [{"anything-but": {"prefix": "b"}}]}"#, true),
            (r#"{"own": [{"anything-but": {"suffix": "d"}}]}"#, false),
            (r#"{"own": [{"anything-but": {"wildcard": "r*d"}}]}"#, false),
            (r#"{"own": [{"equals-ignore-case": "RED"}]}"#, true),
            (r#"{"own": [{"wildcard": "r*d"}]}"#, true),
            (r#"{"array": ["a"]}"#, true),
            (r#"{"array": [3]}"#, true),
            (r#"{"array": [true]}"#, true),
            (r#"{"array": [null]}"#, true),
            (r#"{"array": ["b"]}"#, false),
            (r#"{"broken": [{"exists": true}]}"#, false),
            (r#"{"binary": [{"exists": false}]}"#, true),
            (r#"{"none": [{"exists": false}]}"#, true),
            (r#"{"none": [{"anything-but": "x"}]}"#, false),
            (r#"{"none": [null, {"anything-but": "x"}]}"#, false),
            (r#"{"ip": [{"cidr": "10.0.0.0/16"}]}"#, true),
            (r#"{"ip": [{"cidr": "10.1.0.0/16"}]}"#, false),
            (r#"{"dotted.name": ["x"]}"#, true),
            (r#"{"$or": [{"text": ["1"]}, {"own": ["red"]}]}"#, true),
            (r#"{"text": ["100"], "own": ["blue"]}"#, false),
            ("{}", true),
        ] {
            assert_eq!(wants("MessageAttributes", policy, &notice), expected, "{policy}");
        }
    }

    #[test]
    fn bodies_are_looked_into_where_they_are_objects() {
        let notice = |body: &str| Notice { body: body.into(), ..Notice::default() };
        for (policy, body, expected) in [
            (r#"{"a": {"b": [1]}}"#, r#"{"a": {"b": 1}}"#, true),
            (r#"{"a": {"b": [1]}}"#, r#"{"a": [{"b": 2}, {"b": 1}]}"#, true),
            (r#"{"a": [{"exists": false}]}"#, r#"{"a": 1}"#, false),
            (r#"{"a": [{"exists": false}]}"#, "{}", true),
            (r#"{"a": [{"exists": false}]}"#, "[]", false),
            (r#"{"a": [1]}"#, "not json", false),
        ] {
            assert_eq!(wants("MessageBody", policy, &notice(body)), expected, "{policy} {body}");
        }
    }

    #[test]
    fn a_policy_has_its_limits() {
        let wrong = |scope: &str, policy: &str| {
            let attributes = [("FilterPolicy", policy), ("FilterPolicyScope", scope)];
            Filter::compile(&attributes.map(|(name, value)| (name.into(), value.into())).into()).unwrap_err()
        };
        let values = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let many = format!(r#"{{"a": [{}], "b": [{}]}}"#, values(16), values(10));
        assert_eq!(wrong("MessageAttributes", &many), "FilterPolicy: Filter policy is too complex");
        let keys = r#"{"a": [1], "b": [1], "c": [1], "d": [1], "e": [1], "f": [1]}"#;
        assert_eq!(wrong("MessageBody", keys), "FilterPolicy: Filter policy can not have more than 5 keys");
        let nested = wrong("MessageAttributes", r#"{"a": {"b": [1]}}"#);
        assert_eq!(nested, "Filter policy scope MessageAttributes does not support nested filter policy");
        assert!(wrong("MessageBody", &format!(r#"{{"a": ["{}"]}}"#, "x".repeat(SIZE_MAX))).contains("262144 bytes"));
        assert!(wrong("MessageBody", r#"{"a": 1}"#).starts_with("FilterPolicy: \"a\" must be an object or an array"));
    }
}
