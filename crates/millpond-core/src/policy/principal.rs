//! Whom a statement names, and who asks: IAM user guide, "AWS JSON policy elements: Principal" and "… NotPrincipal".

use super::{Principal, Request};

/// One entry of `Principal`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Named {
    Anyone,
    /// Twelve digits: everyone of the account.
    Account(String),
    Role {
        arn: String,
        account: String,
        name: String,
    },
    /// A user, a session, a federated user.
    Arn(String),
    /// `AROA…` or `AIDA…`: what AWS makes of a deleted role's ARN.
    Id(String),
    AnyService,
    Service(String),
    /// Sessions of identity providers and canonical users: nobody of this kind calls a lake.
    Nobody,
}

/// How closely an entry names a caller. The order is that of closeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closeness {
    /// The caller's account is named: the account decides by its own (identity) policies.
    Account,
    /// The caller's role, or everyone.
    Role,
    /// The caller itself.
    Itself,
}

/// A request's caller, taken apart once.
#[derive(Debug)]
pub(super) struct Who<'a> {
    pub(super) principal: Principal<'a>,
    pub(super) account: &'a str,
    resource: &'a str,
    /// The role's ARN with its path, where the request's context tells it (`aws:PrincipalArn`).
    role_arn: Option<&'a str>,
    user_id: Option<&'a str>,
}

impl<'a> Who<'a> {
    pub(super) fn of(request: &Request<'a>) -> Self {
        let (account, resource) = match request.principal {
            Principal::Arn(arn) => {
                let mut parts = arn.splitn(6, ':').skip(4);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
            Principal::Service(_) | Principal::Anonymous => ("", ""),
        };
        let told = |key: &str| request.context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| *value);
        Self { principal: request.principal, account, resource, role_arn: told("aws:PrincipalArn"), user_id: told("aws:userid") }
    }

    pub(super) fn is_root(&self) -> bool {
        self.resource == "root"
    }

    /// The role's name, of a role's session.
    pub(super) fn session_of(&self) -> Option<&'a str> {
        self.resource.strip_prefix("assumed-role/").and_then(|rest| rest.split('/').next())
    }

    /// `aws:PrincipalType`.
    pub(super) fn kind(&self) -> Option<&'static str> {
        match self.principal {
            Principal::Service(_) => None,
            Principal::Anonymous => Some("Anonymous"),
            Principal::Arn(_) if self.is_root() => Some("Account"),
            Principal::Arn(_) if self.resource.starts_with("user/") => Some("User"),
            Principal::Arn(_) if self.resource.starts_with("federated-user/") => Some("FederatedUser"),
            Principal::Arn(_) => Some("AssumedRole"),
        }
    }

    /// `aws:username`.
    pub(super) fn user_name(&self) -> Option<&'a str> {
        self.resource.strip_prefix("user/").and_then(|rest| rest.rsplit('/').next())
    }
}

impl Named {
    /// How closely it names the caller; `None` where it names another.
    pub(super) fn names(&self, who: &Who<'_>) -> Option<Closeness> {
        match (self, who.principal) {
            (Self::Anyone, _) => Some(Closeness::Role),
            (Self::AnyService, Principal::Service(_)) => Some(Closeness::Itself),
            (Self::Service(named), Principal::Service(service)) => {
                (named == &*plain_service(service)).then_some(Closeness::Itself)
            }
            (Self::Account(account), Principal::Arn(_)) => (account == who.account).then_some(match who.is_root() {
                true => Closeness::Itself,
                false => Closeness::Account,
            }),
            (Self::Arn(named), Principal::Arn(arn)) => (named == arn).then_some(Closeness::Itself),
            (Self::Role { arn: named, account, name }, Principal::Arn(arn)) => {
                let is_session = match (who.session_of(), who.role_arn) {
                    (Some(_), Some(role_arn)) => named == role_arn,
                    (Some(session_of), None) => account == who.account && name == session_of,
                    (None, _) => false,
                };
                (named == arn || is_session).then_some(Closeness::Role)
            }
            (Self::Id(id), Principal::Arn(_)) => {
                let own = who.user_id.map(|user_id| user_id.split(':').next().unwrap_or_default());
                (own == Some(id)).then_some(Closeness::Role)
            }
            _ => None,
        }
    }
}

/// The closest that any entry comes.
pub(super) fn closest(named: &[Named], who: &Who<'_>) -> Option<Closeness> {
    named.iter().filter_map(|named| named.names(who)).max()
}

/// Whether `NotPrincipal` spares the caller: it must be named itself (or by its role), and so must its account.
pub(super) fn spares(named: &[Named], who: &Who<'_>) -> bool {
    let all: Vec<Closeness> = named.iter().filter_map(|named| named.names(who)).collect();
    let itself = all.iter().any(|closeness| *closeness >= Closeness::Role);
    let account = match who.principal {
        Principal::Arn(_) if !who.is_root() => named.contains(&Named::Anyone) || all.contains(&Closeness::Account),
        _ => true,
    };
    itself && account
}

/// One entry below `AWS`. The error is nothing: the caller knows what it gave.
pub(super) fn aws(text: &str) -> Option<Named> {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if text == "*" {
        return Some(Named::Anyone);
    }
    if is_account(text) {
        return Some(Named::Account(text.into()));
    }
    let is_id = |text: &str| {
        (16..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    if (text.starts_with("AROA") || text.starts_with("AIDA")) && is_id(text) {
        return Some(Named::Id(text.into()));
    }
    let arn: crate::arn::Arn = text.parse().ok()?;
    let known_partition = matches!(arn.partition.as_str(), "aws" | "aws-cn" | "aws-us-gov");
    if !known_partition || !arn.region.is_empty() || !is_account(&arn.account) || text.contains(['*', '?']) {
        return None;
    }
    match (arn.service.as_str(), arn.resource.split_once('/')) {
        ("iam", None) if arn.resource == "root" => Some(Named::Account(arn.account)),
        ("iam", Some(("role", path))) => {
            let name = path.rsplit('/').next().filter(|name| !name.is_empty())?.to_owned();
            Some(Named::Role { arn: text.into(), account: arn.account, name })
        }
        ("iam", Some(("user", name))) if !name.is_empty() => Some(Named::Arn(text.into())),
        ("sts", Some(("assumed-role", path))) if path.split('/').count() == 2 => Some(Named::Arn(text.into())),
        ("sts", Some(("federated-user", name))) if !name.is_empty() => Some(Named::Arn(text.into())),
        _ => None,
    }
}

/// One entry below `Service`.
pub(super) fn service(text: &str) -> Option<Named> {
    if text == "*" {
        return Some(Named::AnyService);
    }
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    let known = [".amazonaws.com", ".amazonaws.com.cn", ".amazon.com", ".aws.internal"];
    let fits = known.iter().any(|end| text.len() > end.len() && text.ends_with(end)) && text.chars().all(valid);
    fits.then(|| Named::Service(plain_service(text).into_owned()))
}

/// `logs.us-east-1.amazonaws.com` is `logs.amazonaws.com`: the principals of a service's regions are one here.
fn plain_service(text: &str) -> std::borrow::Cow<'_, str> {
    let Some(inner) = text.strip_suffix(".amazonaws.com").or_else(|| text.strip_suffix(".amazonaws.com.cn")) else {
        return text.into();
    };
    let is_region = |text: &str| {
        let parts: Vec<&str> = text.split('-').collect();
        (3..=4).contains(&parts.len()) && parts.last().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match inner.rsplit_once('.') {
        Some((service, region)) if is_region(region) => format!("{service}.amazonaws.com").into(),
        _ => format!("{inner}.amazonaws.com").into(),
    }
}
