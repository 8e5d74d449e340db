//! What a target gets: the event, a part of it, a constant, or a template filled from it.
//!
//! Follows the EventBridge user guide, "Amazon EventBridge input transformation", and answers observed from the service: a value that the event
//! does not have is an empty text; within quotes, the quotes of objects and lists fall away. The outcome of a JSON template is always JSON.

use super::EventsError;
use super::heard::Heard;
use super::model::{Target, Transformer};
use crate::runtime::Failure;
use millpond_core::env::iso8601;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Variables of one template.
const VARIABLES_MAX: usize = 100;

/// Bytes of a filled template at the most, as of an event: a small template may name a large part of it many times.
const FILLED_MAX: usize = 1024 * 1024;

/// What an input is made from.
pub(super) struct Context<'a> {
    pub(super) heard: &'a Heard,
    pub(super) rule_arn: &'a str,
    pub(super) rule_name: &'a str,
    pub(super) now_ms: i64,
}

/// How a target's input is made.
#[derive(Debug, Clone)]
pub(super) enum Input {
    Event,
    Constant(Arc<str>),
    Part(Path),
    Template(Template),
}

impl Input {
    /// Compiles what a target says of its input.
    pub(super) fn compile(target: &Target) -> Result<Self, EventsError> {
        let id = &target.id;
        match (&target.input, &target.input_path, &target.transformer) {
            (None, None, None) => Ok(Self::Event),
            (Some(input), None, None) => match serde_json::from_str::<serde::de::IgnoredAny>(input) {
                Ok(_) => Ok(Self::Constant(input.as_str().into())),
                Err(error) => Err(EventsError::invalid(format!("JSON syntax error in input for target {id}: {error}."))),
            },
            (None, Some(path), None) => {
                let path = Path::parse(path)
                    .map_err(|reason| EventsError::invalid(format!("Invalid InputPath for target {id}: {reason}.")))?;
                Ok(Self::Part(path))
            }
            (None, None, Some(transformer)) => Template::compile(id, transformer).map(Self::Template),
            _ => Err(EventsError::invalid(format!(
                "Only one of Input, InputPath, or InputTransformer must be provided for target {id}."
            ))),
        }
    }

    /// What the target gets.
    ///
    /// # Errors
    /// It would be too large.
    pub(super) fn of(&self, context: &Context<'_>) -> Result<Arc<str>, Failure> {
        Ok(match self {
            Self::Event => context.heard.text.clone(),
            Self::Constant(input) => input.clone(),
            Self::Part(path) => path.get(&context.heard.value).unwrap_or_default().to_string().into(),
            Self::Template(template) => template.fill(context)?.into(),
        })
    }
}

/// A JSON path of the subset that EventBridge knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
    All,
}

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a JSON path of names and indices, such as $.detail.files[0].name");
        let (mut rest, mut steps) = (text.strip_prefix('$').ok_or_else(wrong)?, Vec::new());
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let (inner, after) = after.split_once(']').ok_or_else(wrong)?;
                let quoted = ['\'', '"'].iter().find_map(|quote| inner.strip_prefix(*quote)?.strip_suffix(*quote));
                steps.push(match (quoted, inner) {
                    (Some(name), _) => Step::Name(name.into()),
                    (None, "*") => Step::All,
                    (None, index) => Step::Index(index.parse().map_err(|_| wrong())?),
                });
                rest = after;
            } else {
                let after = rest.strip_prefix('.').ok_or_else(wrong)?;
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | ':' | '$' | '@');
                steps.push(match &after[..end] {
                    "*" => Step::All,
                    name if !name.is_empty() && name.chars().all(allowed) => Step::Name(name.into()),
                    _ => return Err(wrong()),
                });
                rest = &after[end..];
            }
        }
        Ok(Self(steps))
    }

    /// The value there; a list of all values where the path has a star.
    pub(super) fn get(&self, value: &Value) -> Option<Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found
                .into_iter()
                .flat_map(|value| -> Vec<&Value> {
                    match (step, value) {
                        (Step::Name(name), Value::Object(members)) => members.get(name).into_iter().collect(),
                        (Step::Index(index), Value::Array(items)) => items.get(*index).into_iter().collect(),
                        (Step::All, Value::Array(items)) => items.iter().collect(),
                        (Step::All, Value::Object(members)) => members.values().collect(),
                        _ => Vec::new(),
                    }
                })
                .collect();
        }
        if self.0.contains(&Step::All) {
            return Some(found.into_iter().cloned().collect());
        }
        found.first().map(|value| (*value).clone())
    }
}

/// A compiled template.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    paths: BTreeMap<String, Path>,
    /// Whether it is text without quotes, whose values are put in as they are.
    is_plain: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Literal(String),
    Variable { name: String, quoted: bool },
}

const PREDEFINED: &[&str] = &[
    "aws.events.rule-arn",
    "aws.events.rule-name",
    "aws.events.event.ingestion-time",
    "aws.events.event",
    "aws.events.event.json",
];

impl Template {
    fn compile(target: &str, transformer: &Transformer) -> Result<Self, EventsError> {
        let mut paths = BTreeMap::new();
        for (name, path) in &transformer.paths {
            if name.to_ascii_lowercase().starts_with("aws") {
                let message = format!("InputPathsMap for target {target}: the name '{name}' is reserved (it begins with AWS).");
                return Err(EventsError::invalid(message));
            }
            let wrong = |reason| EventsError::invalid(format!("Invalid InputPathsMap for target {target}: {name}: {reason}."));
            paths.insert(name.clone(), Path::parse(path).map_err(wrong)?);
        }
        if paths.len() > VARIABLES_MAX {
            return Err(EventsError::invalid(format!(
                "InputPathsMap for target {target} has more than {VARIABLES_MAX} variables."
            )));
        }
        let pieces = cut(&transformer.template);
        for piece in &pieces {
            if let Piece::Variable { name, .. } = piece
                && !paths.contains_key(name)
                && !PREDEFINED.contains(&name.as_str())
            {
                let message = format!("InputTemplate for target {target} contains invalid placeholder {name}.");
                return Err(EventsError::invalid(message));
            }
        }
        let is_plain = !is_json(&pieces);
        if is_plain && transformer.template.trim_start().starts_with(['{', '[', '"']) {
            let message = format!(
                "Invalid InputTemplate for target {target}: it begins like JSON and is not JSON when its variables are filled."
            );
            return Err(EventsError::invalid(message));
        }
        Ok(Self { pieces, paths, is_plain })
    }

    fn fill(&self, context: &Context<'_>) -> Result<String, Failure> {
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => filled.push_str(text),
                Piece::Variable { name, quoted } => {
                    let value = self.value(name, context);
                    match (self.is_plain, quoted) {
                        (true, _) => filled.push_str(&bare(&value)),
                        (false, true) => filled.push_str(&within_quotes(&value)),
                        (false, false) => filled.push_str(&value.to_string()),
                    }
                }
            }
            if filled.len() > FILLED_MAX {
                let reason =
                    format!("the input template, filled from the event, is larger than {FILLED_MAX} bytes; take less of it");
                return Err(Failure::lasting(reason).code("INVALID_PARAMETER"));
            }
        }
        Ok(filled)
    }

    fn value(&self, name: &str, context: &Context<'_>) -> Value {
        let event = &context.heard.event;
        match name {
            "aws.events.rule-arn" => context.rule_arn.into(),
            "aws.events.rule-name" => context.rule_name.into(),
            "aws.events.event.ingestion-time" => iso8601(context.now_ms, false).into(),
            "aws.events.event.json" => context.heard.value.clone(),
            "aws.events.event" => json!({
                "id": event.id, "account": event.account, "detailType": event.detail_type, "time": event.time, "source": event.source,
                "region": event.region, "resources": event.resources, "version": event.version,
            }),
            name => self.paths.get(name).and_then(|path| path.get(&context.heard.value)).unwrap_or_else(|| "".into()),
        }
    }
}

/// Cuts a template at its variables, and marks those that stand within quotes.
fn cut(template: &str) -> Vec<Piece> {
    let (mut pieces, mut literal, mut quoted, mut rest) = (Vec::new(), String::new(), false, template);
    while let Some(c) = rest.chars().next() {
        let variable = rest.strip_prefix('<').and_then(|after| after.split_once('>')).filter(|(name, _)| is_name(name));
        if let Some((name, after)) = variable {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            pieces.push(Piece::Variable { name: name.into(), quoted });
            rest = after;
            continue;
        }
        literal.push(c);
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => {
                if let Some(escaped) = rest.chars().next() {
                    literal.push(escaped);
                    rest = &rest[escaped.len_utf8()..];
                }
            }
            _ => {}
        }
    }
    pieces.push(Piece::Literal(literal));
    pieces
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// Whether the template is JSON, or several JSON values one after another (as lines of quoted text are).
fn is_json(pieces: &[Piece]) -> bool {
    let sample = |piece: &Piece| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Variable { quoted: true, .. } => String::new(),
        Piece::Variable { quoted: false, .. } => "null".into(),
    };
    let text: String = pieces.iter().map(sample).collect();
    !text.trim().is_empty()
        && serde_json::Deserializer::from_str(&text).into_iter::<serde::de::IgnoredAny>().all(|value| value.is_ok())
}

/// A text as it is, anything else as JSON.
fn bare(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// As it stands in a JSON text: escaped where it is a text, without its quotes where it is anything else.
fn within_quotes(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string().replace('"', ""),
    };
    let quoted = Value::String(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::heard::Route;
    use millpond_core::event::Event;

    fn heard() -> Heard {
        let value = json!({
            "version": "0", "id": "1", "detail-type": "Thing Done", "source": "mine", "account": "000000000000",
            "time": "2024-05-01T12:00:00Z", "region": "us-east-1", "resources": ["arn:r"],
            "detail": {"command": "say \"hi\"\n", "n": 5, "ok": true, "payload": {"id": "x", "list": [1, 2]}, "files": [{"name": "a"}, {"name": "b"}]},
        });
        let event: Event = serde_json::from_value(value).unwrap();
        Heard::of(event, Route::default()).unwrap()
    }

    fn target(template: &str) -> Target {
        let paths = [
            ("command", "$.detail.command"),
            ("type", "$.detail-type"),
            ("n", "$.detail.n"),
            ("ok", "$.detail.ok"),
            ("payload", "$.detail.payload"),
            ("none", "$.detail.none"),
            ("second", "$.detail.files[1].name"),
            ("all", "$.detail.files[*].name"),
        ];
        let paths = paths.into_iter().map(|(name, path)| (name.to_owned(), path.to_owned())).collect();
        Target { id: "t".into(), transformer: Some(Transformer { paths, template: template.into() }), ..Target::default() }
    }

    fn check(template: &str, expected: &str) {
        let heard = heard();
        let context = Context { heard: &heard, rule_arn: "arn:rule", rule_name: "rule", now_ms: 0 };
        let input = Input::compile(&target(template)).unwrap_or_else(|error| panic!("{template}: {error}"));
        assert_eq!(&*input.of(&context).unwrap(), expected, "{template}");
    }

    #[test]
    fn templates_are_filled_as_eventbridge_does() {
        check(r#""A <type> of <n>, <none>""#, r#""A Thing Done of 5, ""#);
        check(
            r#"{"c": <command>, "n": <n>, "ok": <ok>, "p": <payload>, "none": <none>}"#,
            r#"{"c": "say \"hi\"\n", "n": 5, "ok": true, "p": {"id":"x","list":[1,2]}, "none": ""}"#,
        );
        check(r#"{"path": "users/<second>/<second>", "said": "<command>"}"#, r#"{"path": "users/b/b", "said": "say \"hi\"\n"}"#);
        check(r#""<payload> <all>""#, r#""{id:x,list:[1,2]} [a,b]""#);
        check("\"<type>\"\n\"<n> <ok>\"", "\"Thing Done\"\n\"5 true\"");
        check(r#""{[/<type>""#, r#""{[/Thing Done""#);
        check(
            r#"{"all": <all>, "rule": <aws.events.rule-name>, "arn": "<aws.events.rule-arn>"}"#,
            r#"{"all": ["a","b"], "rule": "rule", "arn": "arn:rule"}"#,
        );
        check(r#""at <aws.events.event.ingestion-time>""#, r#""at 1970-01-01T00:00:00Z""#);
        check("<payload>", r#"{"id":"x","list":[1,2]}"#);
        check("Done: <type>, <n> \"rows\", <command>", "Done: Thing Done, 5 \"rows\", say \"hi\"\n");
    }

    #[test]
    fn the_whole_event_can_be_a_value() {
        let heard = heard();
        let context = Context { heard: &heard, rule_arn: "a", rule_name: "r", now_ms: 0 };
        let input = Input::compile(&target(r#"{"short": <aws.events.event>, "whole": <aws.events.event.json>}"#)).unwrap();
        let filled: Value = serde_json::from_str(&input.of(&context).unwrap()).unwrap();
        assert_eq!(filled["whole"], heard.value);
        assert_eq!((&filled["short"]["detailType"], &filled["short"]["detail"]), (&json!("Thing Done"), &Value::Null));
    }

    #[test]
    fn wrong_inputs_are_refused_with_the_target_and_the_reason() {
        let input = |change: fn(&mut Target)| {
            let mut target = Target { id: "t".into(), ..Target::default() };
            change(&mut target);
            Input::compile(&target).unwrap_err().to_string()
        };
        assert!(input(|t| t.input = Some("{".into())).starts_with("JSON syntax error in input for target t"));
        assert!(input(|t| t.input_path = Some("detail".into())).starts_with("Invalid InputPath for target t"));
        assert_eq!(
            input(|t| (t.input, t.input_path) = (Some("{}".into()), Some("$".into()))),
            "Only one of Input, InputPath, or InputTransformer must be provided for target t."
        );
        for (template, message) in [
            (r#""<nope>""#, "InputTemplate for target t contains invalid placeholder nope."),
            (r#"{"a": <n>"#, "Invalid InputTemplate for target t"),
        ] {
            let error = Input::compile(&target(template)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        for path in ["$..a", "$.a[", "$.a[x]", "$.", "a", "$.a b", "$.*[?(@.x)]"] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn parts_of_events_are_json() {
        let heard = heard();
        let context = Context { heard: &heard, rule_arn: "a", rule_name: "r", now_ms: 0 };
        for (path, expected) in [
            ("$.detail.payload", r#"{"id":"x","list":[1,2]}"#),
            ("$.source", r#""mine""#),
            ("$.detail.files[0]['name']", r#""a""#),
            ("$.x", "null"),
        ] {
            let target = Target { input_path: Some(path.into()), ..Target::default() };
            assert_eq!(&*Input::compile(&target).unwrap().of(&context).unwrap(), expected, "{path}");
        }
    }
}
