//! From a pattern's text to its branches.
//!
//! The grammar and the reasons in the messages are those of EventBridge's documentation ("Comparison operators for use in event patterns") and
//! of answers observed from the service.

use super::json::{self, Kind, Node, Place};
use super::test::{Network, Range, Test, Wildcard};
use super::{BRANCHES_MAX, Leaf, PatternError, STARS_MAX, Tree};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Field names that `$or` may not hold, as they are operators or reserved for such.
const RESERVED: &[&str] = &[
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

const TOO_COMPLEX: &str =
    "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a wildcard character";

/// The fields of one branch by their dotted paths.
type Branch = BTreeMap<String, Arc<Leaf>>;

/// The branches, and how many leaves among them ask for absence.
pub(super) fn compile(text: &str) -> Result<(Vec<Branch>, usize), PatternError> {
    let node = json::read(text)?;
    let compiler = Compiler { text, absences: Cell::new(0) };
    let Kind::Object(members, end) = &node.kind else { return Err(compiler.error("Filter is not an object", node.at)) };
    let mut branches = vec![Branch::new()];
    compiler.object(&mut branches, "", members, *end, false)?;
    Ok((branches, compiler.absences.get()))
}

/// The tree of a branch: paths are cut at their dots, so that `{"a.b": …}` and `{"a": {"b": …}}` are the same.
pub(super) fn tree(branch: &Branch) -> Tree {
    let mut root = Tree::default();
    for (path, leaf) in branch {
        let mut node = &mut root;
        for step in path.split('.') {
            node = node.children.entry(step.to_owned()).or_default();
        }
        node.leaf = Some(leaf.clone());
    }
    root
}

struct Compiler<'a> {
    text: &'a str,
    absences: Cell<usize>,
}

impl Compiler<'_> {
    fn error(&self, reason: impl Into<String>, place: Place) -> PatternError {
        PatternError::at(reason, self.text, place)
    }

    fn object(
        &self,
        branches: &mut Vec<Branch>,
        path: &str,
        members: &[(String, Node)],
        end: Place,
        in_or: bool,
    ) -> Result<(), PatternError> {
        if members.is_empty() {
            return Err(self.error("Empty objects are not allowed", end));
        }
        for (name, value) in members {
            if name == "$or" {
                self.or(branches, path, value)?;
                continue;
            }
            if in_or && RESERVED.contains(&name.as_str()) {
                let reason = format!("{name} is Ruler reserved fieldName which cannot be used inside $or.");
                return Err(self.error(reason, value.at));
            }
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match &value.kind {
                Kind::Object(members, end) => self.object(branches, &path, members, *end, in_or)?,
                Kind::List(items, end) => {
                    let leaf = Arc::new(self.leaf(&path, items, *end)?);
                    for branch in branches.iter_mut() {
                        branch.insert(path.clone(), leaf.clone());
                    }
                }
                _ => return Err(self.error(format!("\"{name}\" must be an object or an array"), value.at)),
            }
        }
        Ok(())
    }

    fn or(&self, branches: &mut Vec<Branch>, path: &str, value: &Node) -> Result<(), PatternError> {
        let Kind::List(items, end) = &value.kind else {
            return Err(self.error("It must be an Array followed with $or.", value.at));
        };
        let before = std::mem::take(branches);
        for item in items {
            let Kind::Object(members, end) = &item.kind else {
                return Err(self.error("Only JSON object is allowed in array of $or relationship.", item.at));
            };
            let mut forked = before.clone();
            self.object(&mut forked, path, members, *end, true)?;
            branches.append(&mut forked);
            if branches.len() > BRANCHES_MAX {
                let reason = format!("$or makes more than {BRANCHES_MAX} combinations; use several rules, or fewer alternatives");
                return Err(self.error(reason, item.end));
            }
        }
        if items.len() < 2 {
            return Err(self.error("There must have at least 2 Objects in $or relationship.", *end));
        }
        Ok(())
    }

    fn leaf(&self, path: &str, items: &[Node], end: Place) -> Result<Leaf, PatternError> {
        if items.is_empty() {
            return Err(self.error("Empty arrays are not allowed", end));
        }
        let path = path.split('.').map(str::to_owned).collect();
        let mut leaf = Leaf { path, tests: Vec::with_capacity(items.len()), absence: None };
        for item in items {
            match &item.kind {
                Kind::Object(members, end) => match self.expression(members, *end)? {
                    Some(test) => leaf.tests.push(test),
                    None if leaf.absence.is_some() => {}
                    None => leaf.absence = Some(self.absences.replace(self.absences.get() + 1)),
                },
                Kind::List(..) => {
                    return Err(self.error("Match value must be String, number, true, false, or null", item.at));
                }
                _ => leaf.tests.push(scalar(item)),
            }
        }
        Ok(leaf)
    }

    /// An operator with its operand; `None`: the field must be absent.
    fn expression(&self, members: &[(String, Node)], end: Place) -> Result<Option<Test>, PatternError> {
        let Some((operator, operand)) = members.first() else {
            return Err(self.error("Match expression name not found", end));
        };
        let test = match operator.as_str() {
            "exactly" => Test::Text(self.string(operand, "exact match pattern must be a string")?),
            "prefix" => match self.ignoring_case(operand)? {
                Some(text) => Test::PrefixIgnoreCase(text),
                None => Test::Prefix(self.string(operand, "prefix match pattern must be a string")?),
            },
            "suffix" => match self.ignoring_case(operand)? {
                Some(text) => Test::SuffixIgnoreCase(text),
                None => Test::Suffix(self.string(operand, "suffix match pattern must be a string")?),
            },
            "equals-ignore-case" => {
                Test::EqualsIgnoreCase(self.string(operand, "equals-ignore-case match pattern must be a string")?.to_lowercase())
            }
            "wildcard" => Test::Wildcard(self.wildcard(operand)?),
            "cidr" => {
                let text = self.string(operand, "prefix match pattern must be a string")?;
                Test::Network(Network::parse(&text).map_err(PatternError::plain)?)
            }
            "numeric" => Test::Range(self.numeric(operand)?),
            "anything-but" => Test::NoneOf(self.anything_but(operand)?),
            "exists" => match operand.kind {
                Kind::Bool(true) => Test::Exists,
                Kind::Bool(false) => return self.only_one(members).map(|()| None),
                _ => return Err(self.error("exists match pattern must be either true or false.", operand.at)),
            },
            other => return Err(self.error(format!("Unrecognized match type {other}"), operand.at)),
        };
        self.only_one(members).map(|()| Some(test))
    }

    fn only_one(&self, members: &[(String, Node)]) -> Result<(), PatternError> {
        match members.get(1) {
            None => Ok(()),
            Some((_, second)) => Err(self.error("Only one key allowed in match expression", second.at)),
        }
    }

    fn string(&self, node: &Node, otherwise: &str) -> Result<String, PatternError> {
        match &node.kind {
            Kind::Text(text) => Ok(text.clone()),
            _ => Err(self.error(otherwise, node.at)),
        }
    }

    /// The text of `{"equals-ignore-case": text}` in lower case; `None` where the operand is no object.
    fn ignoring_case(&self, node: &Node) -> Result<Option<String>, PatternError> {
        let Kind::Object(members, end) = &node.kind else { return Ok(None) };
        match members.first() {
            Some((name, text)) if name == "equals-ignore-case" => {
                let text = self.string(text, "equals-ignore-case match pattern must be a string")?;
                self.only_one(members).map(|()| Some(text.to_lowercase()))
            }
            Some((name, value)) => Err(self.error(format!("Unsupported prefix/suffix pattern: {name}"), value.at)),
            None => Err(self.error("Prefix/suffix expression name not found", *end)),
        }
    }

    fn wildcard(&self, node: &Node) -> Result<Wildcard, PatternError> {
        let text = self.string(node, "wildcard match pattern must be a string")?;
        let wildcard = Wildcard::parse(&text).map_err(|reason| self.error(reason, node.end))?;
        if wildcard.stars() > STARS_MAX {
            return Err(PatternError::plain(TOO_COMPLEX));
        }
        Ok(wildcard)
    }

    fn anything_but(&self, node: &Node) -> Result<Vec<Test>, PatternError> {
        let Kind::Object(members, end) = &node.kind else { return self.plain_values(node) };
        let Some((operator, operand)) = members.first() else {
            return Err(self.error("Anything-But expression name not found", *end));
        };
        let items: &[Node] = match &operand.kind {
            Kind::List(items, _) => items,
            Kind::Text(_) | Kind::Number(_) => std::slice::from_ref(operand),
            _ if matches!(operator.as_str(), "equals-ignore-case" | "prefix" | "suffix" | "wildcard") => {
                return Err(self.error("Value of anything-but must be an array or single string/number value.", operand.at));
            }
            _ => &[],
        };
        if items.is_empty() && matches!(operand.kind, Kind::List(..)) {
            return Err(self.error("Empty arrays are not allowed", operand.end));
        }
        let test = |item: &Node| match operator.as_str() {
            "equals-ignore-case" => self
                .string(item, "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.")
                .map(|text| Test::EqualsIgnoreCase(text.to_lowercase())),
            "prefix" => self.affix(item).map(Test::Prefix),
            "suffix" => self.affix(item).map(Test::Suffix),
            "wildcard" => self.wildcard(item).map(Test::Wildcard),
            other => Err(self.error(format!("Unsupported anything-but pattern: {other}"), operand.at)),
        };
        if items.is_empty() {
            return Err(self.error(format!("Unsupported anything-but pattern: {operator}"), operand.at));
        }
        let tests = items.iter().map(test).collect::<Result<_, _>>()?;
        self.only_one(members)?;
        Ok(tests)
    }

    fn affix(&self, node: &Node) -> Result<String, PatternError> {
        match self.string(node, "prefix/suffix match pattern must be a string")? {
            text if text.is_empty() => Err(self.error("Null prefix/suffix not allowed", node.end)),
            text => Ok(text),
        }
    }

    fn plain_values(&self, node: &Node) -> Result<Vec<Test>, PatternError> {
        match &node.kind {
            Kind::Text(_) | Kind::Number(_) => Ok(vec![scalar(node)]),
            Kind::List(items, end) => {
                for item in items {
                    if !matches!(item.kind, Kind::Text(_) | Kind::Number(_)) {
                        return Err(self.error("Inside anything but list, start|null|boolean is not supported.", item.at));
                    }
                }
                let numbers = items.iter().filter(|item| matches!(item.kind, Kind::Number(_))).count();
                if items.is_empty() || (numbers > 0 && numbers < items.len()) {
                    let reason = "Inside anything but list, either all values are number or string, mixed type is not supported";
                    return Err(self.error(reason, *end));
                }
                Ok(items.iter().map(scalar).collect())
            }
            _ => Err(self.error("Value of anything-but must be an array or single string/number value.", node.at)),
        }
    }

    fn numeric(&self, node: &Node) -> Result<Range, PatternError> {
        let Kind::List(items, end) = &node.kind else {
            return Err(self.error("Value of numeric must be an array.", node.at));
        };
        let place = |index: usize| items.get(index).map_or(*end, |item| item.at);
        let operator = match items.first() {
            Some(Node { kind: Kind::Text(operator), .. }) => operator.as_str(),
            Some(other) => return Err(self.error(format!("Invalid member in numeric match: {}", other.literal()), other.end)),
            None => return Err(self.error("Invalid member in numeric match: ]", *end)),
        };
        let bound = |index: usize, of: &str| match items.get(index).map(|item| &item.kind) {
            Some(Kind::Number(number)) => Ok(number.as_f64().unwrap_or(f64::NAN)),
            _ => Err(self.error(format!("Value of {of} must be numeric"), place(index))),
        };
        let range = match operator {
            "=" => {
                let value = bound(1, "equals")?;
                Range { bottom: Some((value, true)), top: Some((value, true)) }
            }
            "<" => Range { top: Some((bound(1, "<")?, false)), ..Range::default() },
            "<=" => Range { top: Some((bound(1, "<=")?, true)), ..Range::default() },
            ">" | ">=" => {
                let bottom = (bound(1, operator)?, operator == ">=");
                return self.second_bound(items, bottom, *end);
            }
            other => return Err(self.error(format!("Unrecognized numeric range operator: {other}"), place(1))),
        };
        match items.get(2) {
            None => Ok(range),
            Some(_) => Err(self.error("Too many elements in numeric expression", place(2))),
        }
    }

    fn second_bound(&self, items: &[Node], bottom: (f64, bool), end: Place) -> Result<Range, PatternError> {
        let operator = match items.get(2) {
            None => return Ok(Range { bottom: Some(bottom), top: None }),
            Some(Node { kind: Kind::Text(operator), .. }) => operator.as_str(),
            Some(other) => return Err(self.error(format!("Bad value in numeric range: {}", other.literal()), other.end)),
        };
        if !matches!(operator, "<" | "<=") {
            return Err(self.error(format!("Bad numeric range operator: {operator}"), items[2].end));
        }
        let place = items.get(3).map_or(end, |item| item.at);
        let Some(Kind::Number(top)) = items.get(3).map(|item| &item.kind) else {
            return Err(self.error(format!("Value of {operator} must be numeric"), place));
        };
        let top = top.as_f64().unwrap_or(f64::NAN);
        if let Some(more) = items.get(4) {
            return Err(self.error("Too many terms in numeric range expression", more.at));
        }
        if bottom.0 >= top {
            return Err(self.error("Bottom must be less than top", end));
        }
        Ok(Range { bottom: Some(bottom), top: Some((top, operator == "<=")) })
    }
}

/// The test for a value that stands for itself.
fn scalar(node: &Node) -> Test {
    match &node.kind {
        Kind::Bool(value) => Test::Bool(*value),
        Kind::Number(value) => Test::Number(value.clone()),
        Kind::Text(text) => match text.parse::<IpAddr>() {
            Ok(address) => Test::Address(address),
            Err(_) => Test::Text(text.clone()),
        },
        Kind::Null | Kind::List(..) | Kind::Object(..) => Test::Null,
    }
}
