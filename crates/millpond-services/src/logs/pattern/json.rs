//! JSON: `{ $.level = "error" && ($.took > 3 || $.tags[*] = slow*) }`.
//!
//! A selector that points to nothing, to an object or to an array fulfils no comparison, not even `!=`. `&&` binds more tightly than `||`.

use super::PatternError;
use super::cursor::Cursor;
use super::value::{self, Comparison};
use serde_json::Value;
use std::collections::BTreeMap;

/// Wildcards in one pattern at the most (one in each selector).
const WILDCARDS_MAX: usize = 3;

#[derive(Debug, Clone)]
pub(super) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Is(Selector, Test),
}

#[derive(Debug, Clone)]
pub(super) enum Test {
    Compare(Comparison),
    Null,
    Boolean(bool),
    Missing,
}

#[derive(Debug, Clone)]
pub(super) struct Selector {
    steps: Vec<Step>,
    /// As it was written, without spaces.
    text: String,
}

#[derive(Debug, Clone)]
enum Step {
    Member(String),
    Element(usize),
    /// Any element or member.
    Any,
}

/// The message as JSON. What is neither an object nor an array has nothing to select.
pub(super) fn read(message: &str) -> Option<Value> {
    let start = message.trim_start();
    // Most lines that are no JSON are told by their first character.
    start.starts_with(['{', '[']).then(|| serde_json::from_str(start).ok()).flatten()
}

pub(super) fn parse(text: &str) -> Result<Expression, PatternError> {
    let mut cursor = Cursor::new(text);
    let mut wildcards = 0;
    let expression = any(&mut cursor, &mut wildcards)?;
    if !cursor.is_at_end() {
        return Err(PatternError::new(format!("'&&', '||' or the end is expected before {}", cursor.shown())));
    }
    if wildcards > WILDCARDS_MAX {
        return Err(PatternError::new(format!("it has more than {WILDCARDS_MAX} wildcard selectors")));
    }
    Ok(expression)
}

fn any(cursor: &mut Cursor<'_>, wildcards: &mut usize) -> Result<Expression, PatternError> {
    let mut parts = vec![all(cursor, wildcards)?];
    while cursor.take("||") {
        parts.push(all(cursor, wildcards)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) })
}

fn all(cursor: &mut Cursor<'_>, wildcards: &mut usize) -> Result<Expression, PatternError> {
    let mut parts = vec![one(cursor, wildcards)?];
    while cursor.take("&&") {
        parts.push(one(cursor, wildcards)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) })
}

fn one(cursor: &mut Cursor<'_>, wildcards: &mut usize) -> Result<Expression, PatternError> {
    if cursor.take("(") {
        cursor.enter()?;
        let inner = any(cursor, wildcards)?;
        cursor.leave()?;
        return Ok(inner);
    }
    let selector = selector(cursor)?;
    match selector.steps.iter().filter(|step| matches!(step, Step::Any)).count() {
        0 => {}
        1 => *wildcards += 1,
        _ => return Err(PatternError::new(format!("{} has more than one wildcard", selector.text))),
    }
    let test = test(cursor)?;
    Ok(Expression::Is(selector, test))
}

fn test(cursor: &mut Cursor<'_>) -> Result<Test, PatternError> {
    if cursor.take_word("IS") {
        return match () {
            () if cursor.take_word("NULL") => Ok(Test::Null),
            () if cursor.take_word("TRUE") => Ok(Test::Boolean(true)),
            () if cursor.take_word("FALSE") => Ok(Test::Boolean(false)),
            () => Err(PatternError::new(format!("NULL, TRUE or FALSE is expected after IS, before {}", cursor.shown()))),
        };
    }
    if cursor.take_word("NOT") {
        let found = cursor.take_word("EXISTS");
        return found.then_some(Test::Missing).ok_or_else(|| PatternError::new("EXISTS is expected after NOT"));
    }
    let expected =
        |cursor: &Cursor<'_>| PatternError::new(format!("an operator, IS or NOT EXISTS is expected before {}", cursor.shown()));
    let operator = cursor.operator().ok_or_else(|| expected(cursor))?;
    let ends = |rest: &str| rest.starts_with([')', '(']) || rest.starts_with("&&") || rest.starts_with("||");
    cursor.comparison(operator, ends).map(Test::Compare)
}

fn selector(cursor: &mut Cursor<'_>) -> Result<Selector, PatternError> {
    if !cursor.take("$") {
        return Err(PatternError::new(format!("a selector such as $.name is expected before {}", cursor.shown())));
    }
    let (mut steps, mut text) = (Vec::new(), "$".to_owned());
    loop {
        if cursor.next_is('.') {
            cursor.take(".");
            if cursor.next_is('[') {
                continue; // `$.['a.b']`
            }
            if cursor.next_is('*') {
                cursor.take("*");
                steps.push(Step::Any);
                text.push_str(".*");
                continue;
            }
            let name = cursor.take_until(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || "_-@#/:".contains(c)));
            if name.is_empty() {
                return Err(PatternError::new(format!("a name is expected after '{text}.', before {}", cursor.shown())));
            }
            text.push('.');
            text.push_str(name);
            steps.push(Step::Member(name.to_owned()));
        } else if cursor.next_is('[') {
            cursor.take("[");
            let (step, shown) = bracketed(cursor)?;
            text.push_str(&format!("[{shown}]"));
            steps.push(step);
        } else {
            break;
        }
    }
    if steps.is_empty() {
        return Err(PatternError::new(format!("'.' and a name are expected after '$', before {}", cursor.shown())));
    }
    Ok(Selector { steps, text })
}

/// What lies between brackets: a number, `*`, or a name in quotation marks.
fn bracketed(cursor: &mut Cursor<'_>) -> Result<(Step, String), PatternError> {
    cursor.skip_spaces();
    let step = if cursor.next_is('"') {
        let name = cursor.quoted()?;
        let shown = format!("\"{name}\"");
        (Step::Member(name), shown)
    } else if cursor.next_is('\'') {
        cursor.take("'");
        let name = cursor.take_until(|rest| rest.starts_with('\''));
        cursor.take("'");
        (Step::Member(name.to_owned()), format!("'{name}'"))
    } else {
        let inner = cursor.take_until(|rest| rest.starts_with(']')).trim();
        let index = inner.parse().ok().map(Step::Element);
        let step = if inner == "*" { Some(Step::Any) } else { index };
        let wrong = || PatternError::new(format!("a number, * or a name in quotation marks is expected in '[{inner}]'"));
        (step.ok_or_else(wrong)?, inner.to_owned())
    };
    let closed = cursor.take("]");
    closed.then_some(step).ok_or_else(|| PatternError::new(format!("']' is expected before {}", cursor.shown())))
}

impl Selector {
    /// All that it points to: one at the most, where it has no wildcard.
    fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.steps {
            found = match step {
                Step::Member(name) => found.into_iter().filter_map(|value| value.get(name)).collect(),
                Step::Element(index) => found.into_iter().filter_map(|value| value.get(index)).collect(),
                Step::Any => found.into_iter().flat_map(children).collect(),
            };
        }
        found
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(elements) => elements.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    }
}

/// A value that can be compared, as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Test {
    fn holds(&self, found: &[&Value]) -> bool {
        match self {
            Self::Missing => found.is_empty(),
            Self::Null => found.iter().any(|value| value.is_null()),
            Self::Boolean(wanted) => found.iter().any(|value| value.as_bool() == Some(*wanted)),
            Self::Compare(comparison) => found.iter().any(|value| match value {
                Value::String(text) => comparison.holds(value::Value::text(text)),
                Value::Number(number) => comparison.holds(value::Value { text: &number.to_string(), number: number.as_f64() }),
                other => scalar(other).is_some_and(|text| comparison.holds(value::Value::text(&text))),
            }),
        }
    }
}

impl Expression {
    pub(super) fn holds(&self, value: &Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(value)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(value)),
            Self::Is(selector, test) => test.holds(&selector.find(value)),
        }
    }

    /// The values of all selectors that point to one.
    pub(super) fn extract(&self, value: &Value) -> BTreeMap<String, String> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(|part| part.extract(value)).collect(),
            Self::Is(selector, _) => {
                let first = selector.find(value).first().and_then(|value| scalar(value));
                first.map(|text| (selector.text.clone(), text)).into_iter().collect()
            }
        }
    }
}
