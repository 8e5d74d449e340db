//! The policy language of IAM: what a policy says about a request.
//!
//! Three kinds of policies share it ([`PolicyKind`]): those of identities (roles), trust policies, and those of resources
//! (queues, topics, functions, buses, buckets). [`Policy::decide`] asks one of them; [`evaluate`] puts several together as AWS
//! does. Nothing is looked up here: what a condition may ask about is in [`Request::context`].
//!
//! Policies come from strangers: their size and depth are bounded, and a match takes time in proportion to the text that is
//! matched. What is defined: IAM user guide, "Policy reference" (elements, grammar, evaluation logic).

mod cache;
mod condition;
mod error;
pub mod evaluate;
mod json;
mod parse;
mod pattern;
mod principal;

pub use cache::{cached, cached_as};
pub use error::PolicyError;
pub use parse::POLICY_BYTES_MAX;
pub use principal::Closeness;

use condition::Condition;
use pattern::Pattern;
use principal::{Named, Who};
use std::borrow::Cow;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal<'a> {
    /// `events.amazonaws.com`
    Service(&'a str),
    /// `arn:aws:iam::ACCOUNT:root`, `…:role/NAME`, `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`.
    Arn(&'a str),
    /// Nobody signed.
    Anonymous,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: Principal<'a>,
    /// `sqs:SendMessage`; case does not matter.
    pub action: &'a str,
    /// An ARN, or `*`.
    pub resource: &'a str,
    /// What conditions may ask about: `("aws:SourceArn", "arn:…")`. A key with several values comes several times. What follows
    /// from the principal (`aws:PrincipalArn`, `aws:PrincipalAccount`, `aws:PrincipalType`, …) is filled in where it is not
    /// given.
    pub context: &'a [(&'a str, &'a str)],
}

/// What a policy says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it, and none denies it.
    Allow,
    /// A statement denies it.
    Deny,
    /// No statement is about it.
    Silent,
}

/// What a policy is attached to: it says which elements a statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// A role: no principal, and a resource.
    Identity,
    /// A role, to say who may assume it: a principal, no resource, and STS's actions only.
    Trust,
    /// A queue, topic, function, bus or bucket: a principal; without a resource it is about what it is attached to.
    Resource,
}

/// Whether a statement allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// `Allow`
    Allow,
    /// `Deny`
    Deny,
}

/// A place in a policy's text; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// A compiled policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    id: Option<String>,
    statements: Vec<Statement>,
}

/// A compiled statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    sid: Option<String>,
    effect: Effect,
    principals: Option<Principals>,
    actions: Listed,
    resources: Option<Listed>,
    conditions: Vec<Condition>,
    start: Place,
    end: Place,
}

#[derive(Debug, Clone, PartialEq)]
struct Principals {
    not: bool,
    named: Vec<Named>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Debug, Clone, PartialEq)]
struct Listed {
    not: bool,
    patterns: Vec<Pattern>,
}

/// What a policy says about a request, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained<'p> {
    /// The answer.
    pub decision: Decision,
    /// The statements that made it, in their order.
    pub statements: Vec<&'p Statement>,
    /// How closely the statements that allow it name the caller; [`Closeness::Account`] leaves it to the caller's own policies.
    pub closeness: Option<Closeness>,
}

impl Statement {
    /// `Sid`.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// `Effect`.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Where its text begins and ends.
    pub fn places(&self) -> (Place, Place) {
        (self.start, self.end)
    }

    /// The ARNs and ids of roles and users that it names, and accounts: what must exist.
    pub fn named_arns(&self) -> impl Iterator<Item = &str> + '_ {
        let named = self.principals.iter().flat_map(|principals| &principals.named);
        named.filter_map(|named| match named {
            Named::Role { arn, .. } | Named::Arn(arn) => Some(arn.as_str()),
            _ => None,
        })
    }
}

impl Policy {
    /// Reads the policy of a resource. (Of a role: [`Policy::parse_as`].)
    ///
    /// # Errors
    /// The text is not such a policy.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Self::parse_as(text, PolicyKind::Resource)
    }

    /// Reads a policy of the given kind.
    ///
    /// # Errors
    /// The text is not such a policy.
    pub fn parse_as(text: &str, kind: PolicyKind) -> Result<Self, PolicyError> {
        parse::parse(text, kind)
    }

    /// `Id`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// In the order of the text.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The keys that its conditions ask about and `request` does not have, as the policy writes them; a key may come several
    /// times.
    pub fn missing_keys(&self, request: &Request<'_>) -> Vec<String> {
        let asked = Asked::of(request);
        let conditions = self.statements.iter().flat_map(|statement| &statement.conditions);
        let missing = conditions.filter(|condition| asked.values(&condition.key).is_empty());
        missing.map(|condition| condition.name.clone()).collect()
    }

    /// What the policy says about `request`. A statement that denies wins.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        self.explain(request).decision
    }

    /// What the policy says about `request`, and by which statements.
    pub fn explain(&self, request: &Request<'_>) -> Explained<'_> {
        let asked = Asked::of(request);
        let (mut allowing, mut denying, mut closeness) = (Vec::new(), Vec::new(), None);
        for statement in &self.statements {
            let Some(close) = statement.applies(&asked) else { continue };
            match statement.effect {
                Effect::Deny => denying.push(statement),
                Effect::Allow => {
                    allowing.push(statement);
                    closeness = closeness.max(Some(close));
                }
            }
        }
        match (denying.is_empty(), allowing.is_empty()) {
            (false, _) => Explained { decision: Decision::Deny, statements: denying, closeness: None },
            (true, false) => Explained { decision: Decision::Allow, statements: allowing, closeness },
            (true, true) => Explained { decision: Decision::Silent, statements: Vec::new(), closeness: None },
        }
    }
}

/// A request, prepared once for all statements.
struct Asked<'a> {
    request: &'a Request<'a>,
    who: Who<'a>,
    action: String,
}

impl<'a> Asked<'a> {
    fn of(request: &'a Request<'a>) -> Self {
        Self { request, who: Who::of(request), action: request.action.to_lowercase() }
    }

    /// The values of a context key (in lower case).
    fn values(&self, key: &str) -> Vec<Cow<'a, str>> {
        let given = self.request.context.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        let given: Vec<Cow<'a, str>> = given.map(|(_, value)| Cow::Borrowed(*value)).collect();
        if !given.is_empty() {
            return given;
        }
        self.derived(key).into_iter().collect()
    }

    /// What follows from the principal: "AWS global condition context keys".
    fn derived(&self, key: &str) -> Option<Cow<'a, str>> {
        match (key, self.request.principal) {
            ("aws:principalarn", Principal::Arn(arn)) => Some(match self.who.session_of() {
                Some(role) => format!("arn:aws:iam::{}:role/{role}", self.who.account).into(),
                None => arn.into(),
            }),
            ("aws:principalaccount", Principal::Arn(_)) => Some(self.who.account.into()),
            ("aws:principaltype", _) => self.who.kind().map(Cow::Borrowed),
            ("aws:username", Principal::Arn(_)) => self.who.user_name().map(Cow::Borrowed),
            ("aws:userid", Principal::Arn(_)) if self.who.is_root() => Some(self.who.account.into()),
            ("aws:principalservicename" | "aws:principalservicenameslist", Principal::Service(service)) => Some(service.into()),
            ("aws:principalisawsservice", Principal::Service(_)) => Some("true".into()),
            // A service of the lake sends within the process: nobody can listen in.
            ("aws:securetransport", Principal::Service(_)) => Some("true".into()),
            ("aws:principalisawsservice", _) => Some("false".into()),
            _ => None,
        }
    }

    /// The value of a variable: a key that has several values is none.
    fn variable(&self, key: &str) -> Option<String> {
        let mut values = self.values(key);
        (values.len() == 1).then(|| values.pop().map(Cow::into_owned)).flatten()
    }
}

impl Statement {
    /// How closely it names the caller, where it is about this request.
    fn applies(&self, asked: &Asked<'_>) -> Option<Closeness> {
        let closeness = match &self.principals {
            None => Closeness::Itself,
            Some(Principals { not: false, named }) => principal::closest(named, &asked.who)?,
            Some(Principals { not: true, named }) if principal::spares(named, &asked.who) => return None,
            Some(Principals { not: true, .. }) => Closeness::Role,
        };
        let lookup = |key: &str| asked.variable(key);
        if !self.actions.has(&asked.action, self.effect, &lookup) {
            return None;
        }
        if let Some(resources) = &self.resources
            && !resources.has(asked.request.resource, self.effect, &lookup)
        {
            return None;
        }
        let holds = |condition: &Condition| condition.holds(&asked.values(&condition.key), &lookup);
        self.conditions.iter().all(holds).then_some(closeness)
    }
}

impl Listed {
    /// Whether the list is about `text`. Where a variable has no value, nothing is allowed by it.
    fn has(&self, text: &str, effect: Effect, lookup: pattern::Lookup<'_>) -> bool {
        let (mut found, mut unresolved) = (false, false);
        for pattern in &self.patterns {
            match pattern.matches(text, lookup) {
                Some(matches) => found |= matches,
                None => unresolved = true,
            }
        }
        match self.not {
            false => found,
            true => !(found || unresolved && effect == Effect::Allow),
        }
    }
}

#[cfg(test)]
mod tests;
