//! From a policy's text to its statements: IAM user guide, "Grammar of the IAM JSON policy language". The messages are IAM's.

use super::condition::{self, Condition};
use super::error::{PolicyError, Syntax, place};
use super::json::{self, Member, Node, Value};
use super::pattern::{Pattern, Rules};
use super::principal::{self, Named};
use super::{Effect, Listed, Place, Policy, PolicyKind, Principals, Statement};
use std::borrow::Cow;

/// Bytes of a policy at the most. Each service has a lower limit of its own.
pub const POLICY_BYTES_MAX: usize = 128 * 1024;

const STATEMENT_ELEMENTS: &[&str] =
    &["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

struct Parser<'t> {
    text: &'t str,
    kind: PolicyKind,
    /// Whether the policy's version has variables.
    variables: bool,
}

type Parsed<T> = Result<T, PolicyError>;

pub(super) fn parse(text: &str, kind: PolicyKind) -> Parsed<Policy> {
    if text.len() > POLICY_BYTES_MAX {
        let detail = format!("the policy has {} bytes; {POLICY_BYTES_MAX} are the most", text.len());
        return Err(PolicyError::at(Syntax::Shape.text(), detail, text, 0));
    }
    let root = json::read(text)?;
    Parser { text, kind, variables: false }.policy(&root)
}

impl<'t> Parser<'t> {
    fn error(&self, syntax: Syntax, node: usize, detail: impl Into<String>) -> PolicyError {
        self.said(syntax.text(), node, detail)
    }

    fn said(&self, message: impl Into<String>, node: usize, detail: impl Into<String>) -> PolicyError {
        PolicyError::at(message, detail, self.text, node)
    }

    fn object<'n>(&self, node: &'n Node, what: &str) -> Parsed<&'n [Member]> {
        match &node.value {
            Value::Object(members) => Ok(members),
            other => Err(self.error(Syntax::Shape, node.start, format!("{what} must be an object, not {}", other.title()))),
        }
    }

    fn string<'n>(&self, node: &'n Node, what: &str) -> Parsed<&'n str> {
        match &node.value {
            Value::Text(text) => Ok(text),
            other => Err(self.error(Syntax::Shape, node.start, format!("{what} must be a string, not {}", other.title()))),
        }
    }

    /// A string, or a list of strings.
    fn strings<'n>(&self, node: &'n Node, what: &str) -> Parsed<Vec<(&'n str, usize)>> {
        let items = match &node.value {
            Value::List(items) => &items[..],
            _ => std::slice::from_ref(node),
        };
        items.iter().map(|item| Ok((self.string(item, what)?, item.start))).collect()
    }

    fn policy(mut self, root: &Node) -> Parsed<Policy> {
        let members = self.object(root, "a policy")?;
        let (mut id, mut statements) = (None, None);
        for Member { name, at, node } in members {
            match name.as_str() {
                "Version" => {
                    let version = self.string(node, "Version")?;
                    if !matches!(version, "2012-10-17" | "2008-10-17") {
                        let detail = format!("Version is '{version}'; it must be 2012-10-17 (or 2008-10-17)");
                        return Err(self.error(Syntax::Version, node.start, detail));
                    }
                    self.variables = version == "2012-10-17";
                }
                "Id" => id = Some(self.string(node, "Id")?.to_owned()),
                "Statement" => statements = Some(node),
                other => return Err(self.unknown(other, *at, &["Version", "Id", "Statement"], "a policy")),
            }
        }
        let Some(node) = statements else {
            return Err(self.error(Syntax::Shape, root.start, "the policy has no Statement"));
        };
        let nodes = match &node.value {
            Value::List(nodes) => &nodes[..],
            _ => std::slice::from_ref(node),
        };
        if nodes.is_empty() && self.kind != PolicyKind::Resource {
            return Err(self.error(Syntax::Shape, node.start, "Statement is empty"));
        }
        let mut parsed: Vec<Statement> = Vec::with_capacity(nodes.len());
        let mut sids = std::collections::HashSet::new();
        for node in nodes {
            let statement = self.statement(node)?;
            if let Some(sid) = statement.sid.as_ref().filter(|sid| !sid.is_empty() && self.kind != PolicyKind::Resource)
                && !sids.insert(sid.clone())
            {
                return Err(self.error(Syntax::SidUnique, node.start, format!("'{sid}' comes twice")));
            }
            parsed.push(statement);
        }
        Ok(Policy { id, statements: parsed })
    }

    fn unknown(&self, name: &str, at: usize, known: &[&str], of: &str) -> PolicyError {
        let near = known.iter().find(|known| known.eq_ignore_ascii_case(name));
        let name: String = name.chars().take(64).collect();
        let detail = match near {
            Some(near) => format!("{of} has no element '{name}'; write '{near}'"),
            None => format!("{of} has no element '{name}'"),
        };
        self.error(Syntax::Shape, at, detail)
    }

    fn statement(&self, node: &Node) -> Parsed<Statement> {
        let members = self.object(node, "a statement")?;
        if let Some(other) = members.iter().find(|member| !STATEMENT_ELEMENTS.contains(&member.name.as_str())) {
            return Err(self.unknown(&other.name, other.at, STATEMENT_ELEMENTS, "a statement"));
        }
        let find = |name: &str| members.iter().find(|member| member.name == name);
        let both = |name: &str, not: &str| match (find(name), find(not)) {
            (Some(_), Some(second)) => {
                let detail = format!("a statement has either {name} or {not}, not both");
                Err(self.error(Syntax::Shape, second.at, detail))
            }
            (Some(one), None) => Ok(Some((one, false))),
            (None, Some(one)) => Ok(Some((one, true))),
            (None, None) => Ok(None),
        };
        let Some(effect) = find("Effect") else {
            return Err(self.said("Missing required field Effect", node.start, "a statement allows or denies"));
        };
        let effect = match self.string(&effect.node, "Effect")? {
            "Allow" => Effect::Allow,
            "Deny" => Effect::Deny,
            other => {
                let detail = format!("Effect is '{other}'; it must be Allow or Deny");
                return Err(self.error(Syntax::Shape, effect.node.start, detail));
            }
        };
        let sid = find("Sid").map(|sid| self.sid(&sid.node)).transpose()?;
        let principals = self.principals(node, both("Principal", "NotPrincipal")?, effect)?;
        let actions = match both("Action", "NotAction")? {
            Some((member, not)) => Listed { not, patterns: self.actions(&member.node)? },
            None if self.kind == PolicyKind::Trust => {
                return Err(self.said("Missing required field Action", node.start, "name sts:AssumeRole"));
            }
            None => return Err(self.error(Syntax::Actions, node.start, "the statement has neither Action nor NotAction")),
        };
        let resources = match (both("Resource", "NotResource")?, self.kind) {
            (Some((member, _)), PolicyKind::Trust) => {
                let detail = "the role is the resource of its trust policy";
                return Err(self.said(format!("Has prohibited field {}", member.name), member.at, detail));
            }
            (Some((member, not)), _) => Some(Listed { not, patterns: self.resources(&member.node)? }),
            (None, PolicyKind::Identity) => {
                return Err(self.error(Syntax::Resources, node.start, "the statement has neither Resource nor NotResource"));
            }
            (None, PolicyKind::Trust | PolicyKind::Resource) => None,
        };
        let conditions = find("Condition").map(|member| self.conditions(&member.node)).transpose()?.unwrap_or_default();
        let at = |offset| {
            let (line, column) = place(self.text, offset);
            Place { line, column }
        };
        Ok(Statement { sid, effect, principals, actions, resources, conditions, start: at(node.start), end: at(node.end) })
    }

    fn sid(&self, node: &Node) -> Parsed<String> {
        let sid = self.string(node, "Sid")?;
        if self.kind != PolicyKind::Resource && !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let sid: String = sid.chars().take(64).collect();
            return Err(self.error(Syntax::Sid, node.start, format!("Sid is '{sid}'")));
        }
        Ok(sid.to_owned())
    }

    fn principals(&self, statement: &Node, found: Option<(&Member, bool)>, effect: Effect) -> Parsed<Option<Principals>> {
        let Some((member, not)) = found else {
            return match self.kind {
                PolicyKind::Identity => Ok(None),
                PolicyKind::Trust | PolicyKind::Resource => {
                    Err(self.said("Missing required field Principal", statement.start, "say whom the statement is about"))
                }
            };
        };
        match self.kind {
            PolicyKind::Identity => {
                let detail = "an identity's policy is about that identity";
                return Err(self.error(Syntax::ForbiddenPrincipal, member.at, detail));
            }
            PolicyKind::Trust if not => {
                return Err(self.said("Has prohibited field NotPrincipal", member.at, "a trust policy says whom it trusts"));
            }
            PolicyKind::Resource if not && effect == Effect::Allow => {
                let detail = "NotPrincipal goes with Deny only; to allow all but some, deny those in a statement of their own";
                return Err(self.error(Syntax::Shape, member.at, detail));
            }
            PolicyKind::Trust | PolicyKind::Resource => {}
        }
        let mut named = Vec::new();
        match &member.node.value {
            Value::Text(text) if text == "*" => named.push(Named::Anyone),
            Value::Text(text) => return Err(self.invalid_principal("AWS", text, member.node.start)),
            _ => {
                for Member { name, at, node } in self.object(&member.node, "Principal")? {
                    for (text, at_value) in self.strings(node, "a principal")? {
                        named.push(self.principal(name, *at, text, at_value)?);
                    }
                }
            }
        }
        if named.is_empty() {
            return Err(self.error(Syntax::Shape, member.at, format!("{} names nobody", member.name)));
        }
        Ok(Some(Principals { not, named }))
    }

    fn principal(&self, kind: &str, at: usize, text: &str, at_value: usize) -> Parsed<Named> {
        let found = match kind {
            "AWS" => principal::aws(text),
            "Service" => principal::service(text),
            "Federated" | "CanonicalUser" => (!text.is_empty() && !text.contains(['*', '?'])).then_some(Named::Nobody),
            _ => {
                let kind: String = kind.chars().take(64).collect();
                let detail = format!("'{kind}' is not a kind of principal; there are AWS, Service, Federated and CanonicalUser");
                return Err(self.error(Syntax::Shape, at, detail));
            }
        };
        found.ok_or_else(|| self.invalid_principal(kind, text, at_value))
    }

    fn invalid_principal(&self, kind: &str, text: &str, at: usize) -> PolicyError {
        let shown: String = text.chars().take(256).collect();
        let detail = match kind {
            "Service" => "a service is named as in 'lambda.amazonaws.com'",
            _ => {
                "give '*', an account's 12 digits, or the ARN of an account's root, a role, a user or a session, without wildcards"
            }
        };
        let kind = if kind == "Service" { "SERVICE" } else { kind };
        self.said(format!("Invalid principal in policy: \"{kind}\":\"{shown}\""), at, detail)
    }

    fn actions(&self, node: &Node) -> Parsed<Vec<Pattern>> {
        let found = self.strings(node, "an action")?;
        if found.is_empty() {
            return Err(self.error(Syntax::Actions, node.start, "the list is empty"));
        }
        found.into_iter().map(|(text, at)| self.action(text, at)).collect()
    }

    fn action(&self, text: &str, at: usize) -> Parsed<Pattern> {
        let shown = || text.chars().take(128).collect::<String>();
        match text.split_once(':') {
            None if text == "*" => {}
            None => return Err(self.error(Syntax::Vendor, at, format!("'{}' does not begin with a service", shown()))),
            Some((_, name)) if name.contains(':') => return Err(self.error(Syntax::OneColon, at, format!("'{}'", shown()))),
            Some((vendor, name)) => {
                let valid = |c: char| c.is_ascii_alphanumeric() || c == '-';
                if vendor.is_empty() || name.is_empty() || !vendor.chars().all(valid) {
                    let detail = format!("'{}' is not an action: write service:Action", shown());
                    return Err(self.said(
                        format!("Vendor {} is not valid", vendor.chars().take(64).collect::<String>()),
                        at,
                        detail,
                    ));
                }
            }
        }
        if self.kind == PolicyKind::Trust && !text.split_once(':').is_some_and(|(vendor, _)| vendor.eq_ignore_ascii_case("sts")) {
            return Err(self.error(Syntax::TrustActions, at, format!("'{}' is none of them", shown())));
        }
        let rules = Rules { wildcards: true, variables: false, fold: true };
        Pattern::compile(text, rules).map_err(|detail| self.error(Syntax::Shape, at, detail))
    }

    fn resources(&self, node: &Node) -> Parsed<Vec<Pattern>> {
        let found = self.strings(node, "a resource")?;
        if found.is_empty() {
            return Err(self.error(Syntax::Resources, node.start, "the list is empty"));
        }
        let rules = Rules { wildcards: true, variables: self.variables, fold: false };
        let compile = |(text, at): (&str, usize)| {
            if self.kind == PolicyKind::Identity {
                self.check_arn(text, at)?;
            }
            Pattern::compile(text, rules).map_err(|detail| self.error(Syntax::Shape, at, detail))
        };
        found.into_iter().map(compile).collect()
    }

    fn check_arn(&self, text: &str, at: usize) -> Parsed<()> {
        if text == "*" {
            return Ok(());
        }
        let shown: String = text.chars().take(256).collect();
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        if parts.len() < 2 || parts[0] != "arn" {
            let detail = "an ARN is arn:partition:service:region:account:resource";
            return Err(self.said(format!("Resource {shown} must be in ARN format or \"*\"."), at, detail));
        }
        if !matches!(parts[1], "aws" | "aws-cn" | "aws-us-gov") && !parts[1].contains(['*', '?', '$']) {
            return Err(self.said(format!("Partition \"{}\" is not valid for resource \"{shown}\".", parts[1]), at, "write aws"));
        }
        if parts.len() < 6 && !text.ends_with('*') {
            let detail = format!("Resource {shown} has {} of an ARN's six parts", parts.len());
            return Err(self.error(Syntax::Legacy, at, detail));
        }
        Ok(())
    }

    fn conditions(&self, node: &Node) -> Parsed<Vec<Condition>> {
        let mut conditions = Vec::new();
        for Member { name, at, node } in self.object(node, "Condition")? {
            if !condition::is_operator(name) {
                let name: String = name.chars().take(64).collect();
                return Err(self.said(format!("Invalid Condition type : {name}"), *at, "there is no such operator"));
            }
            for Member { name: key, at, node } in self.object(node, "a condition")? {
                if !key.contains(':') {
                    let key: String = key.chars().take(64).collect();
                    let detail = format!("the key '{key}' does not begin with a service (aws:SourceArn, s3:prefix)");
                    return Err(self.error(Syntax::Vendor, *at, detail));
                }
                let values = self.values(node)?;
                let compiled = Condition::compile(name, key, &values, self.variables);
                conditions.push(compiled.map_err(|detail| self.error(Syntax::Shape, node.start, detail))?);
            }
        }
        Ok(conditions)
    }

    /// Strings, and what people write without quotes: numbers and booleans.
    fn values<'n>(&self, node: &'n Node) -> Parsed<Vec<Cow<'n, str>>> {
        let items = match &node.value {
            Value::List(items) => &items[..],
            _ => std::slice::from_ref(node),
        };
        let text = |item: &'n Node| match &item.value {
            Value::Text(text) | Value::Number(text) => Ok(Cow::Borrowed(text.as_str())),
            Value::Bool(value) => Ok(Cow::Borrowed(if *value { "true" } else { "false" })),
            other => Err(self.error(Syntax::Shape, item.start, format!("a condition's value cannot be {}", other.title()))),
        };
        items.iter().map(text).collect()
    }
}
