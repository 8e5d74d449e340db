//! How callers name functions: by name, partial ARN or ARN, each with a version or an alias or without.

use super::LambdaError;
use super::error::constraint_text;
use millpond_core::arn::Place;
use regex::Regex;
use std::fmt;
use std::sync::LazyLock;

/// The unpublished version.
pub const LATEST: &str = "$LATEST";

/// The longest name of a function.
const NAME_MAX: usize = 64;

const PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";

static NAME: LazyLock<Regex> = LazyLock::new(|| {
    // The pattern of the model, with names for the groups that count and a hyphen where Rust wants it.
    let pattern = concat!(
        r"^(?:arn:(?:aws[a-zA-Z-]*)?:lambda:)?",
        r"(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?",
        r"(?:(?P<account>\d{12}):)?(?:function:)?",
        r"(?P<name>[a-zA-Z0-9_-]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?$",
    );
    Regex::new(pattern).expect("the pattern is a constant")
});

/// Which version of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Qualifier {
    /// The unpublished one.
    Latest,
    /// A published one, from 1.
    Version(i64),
    /// What an alias points to.
    Alias(String),
}

impl Qualifier {
    /// Reads `$LATEST`, a number or an alias's name.
    pub fn parse(text: &str) -> Self {
        match text {
            LATEST => Self::Latest,
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_or(Self::Version(i64::MAX), Self::Version),
            _ => Self::Alias(text.to_owned()),
        }
    }
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str(LATEST),
            Self::Version(number) => write!(f, "{number}"),
            Self::Alias(name) => f.write_str(name),
        }
    }
}

/// How a version's number is shown; 0 is the unpublished one.
pub(super) fn version_text(version: i64) -> String {
    if version == 0 { LATEST.to_owned() } else { version.to_string() }
}

/// A function as a caller named it, in this account and region.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionName {
    /// Without anything around it.
    pub name: String,
    /// Where one was given.
    pub qualifier: Option<Qualifier>,
}

impl FunctionName {
    /// Reads `text`, and `qualifier` where it was given beside it.
    ///
    /// # Errors
    /// It is no function's name, one of another region or account, or the two qualifiers differ.
    pub fn parse(place: &Place, text: &str, qualifier: Option<&str>) -> Result<Self, LambdaError> {
        let matches = |text| format!("Member must satisfy regular expression pattern: {text}");
        let Some(found) = NAME.captures(text) else {
            return Err(LambdaError::constraint(text, "functionName", matches(PATTERN)));
        };
        let part = |name: &str| found.name(name).map(|part| part.as_str());
        if let Some(region) = part("region").filter(|region| *region != place.region) {
            let message = format!("Functions from '{region}' are not reachable in this region ('{}')", place.region);
            return Err(LambdaError::NotFound(message));
        }
        if let Some(account) = part("account").filter(|account| *account != place.account) {
            let message = format!("The function {text} is of account {account}; this lake answers for {}.", place.account);
            return Err(LambdaError::Denied(message));
        }
        let name = part("name").expect("the group is not optional").to_owned();
        if name.len() > NAME_MAX {
            let limit = format!("Member must have length less than or equal to {NAME_MAX}");
            return Err(LambdaError::invalid(constraint_text(name, "functionName", limit)));
        }
        let inner = part("qualifier");
        if let (Some(inner), Some(outer)) = (inner, qualifier)
            && inner != outer
        {
            let message = "The derived qualifier from the function name does not match the specified qualifier.";
            return Err(LambdaError::invalid(message));
        }
        Ok(Self { name, qualifier: inner.or(qualifier).map(Qualifier::parse) })
    }

    /// The version or alias; the unpublished version where none was given.
    pub fn qualifier_or_latest(&self) -> Qualifier {
        self.qualifier.clone().unwrap_or(Qualifier::Latest)
    }

    /// The ARN, with the qualifier where one was given.
    pub fn arn(&self, place: &Place) -> String {
        arn(place, &self.name, self.qualifier.as_ref())
    }
}

/// A function's ARN.
pub(super) fn arn(place: &Place, name: &str, qualifier: Option<&Qualifier>) -> String {
    match qualifier {
        Some(qualifier) => place.arn("lambda", format_args!("function:{name}:{qualifier}")).to_string(),
        None => place.arn("lambda", format_args!("function:{name}")).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, qualifier: Option<&str>) -> Result<String, String> {
        let parsed = FunctionName::parse(&Place::default(), text, qualifier).map_err(|error| error.to_string())?;
        Ok(match parsed.qualifier {
            Some(qualifier) => format!("{} {qualifier}", parsed.name),
            None => parsed.name,
        })
    }

    #[test]
    fn a_function_is_named_by_name_or_arn_with_or_without_qualifier() {
        for (text, qualifier, expected) in [
            ("resize", None, "resize"),
            ("resize:1", None, "resize 1"),
            ("resize:$LATEST", None, "resize $LATEST"),
            ("resize:live", Some("live"), "resize live"),
            ("resize", Some("7"), "resize 7"),
            ("function:resize", None, "resize"),
            ("000000000000:function:resize", None, "resize"),
            ("000000000000:resize:live", None, "resize live"),
            ("us-east-1:000000000000:function:resize", None, "resize"),
            ("arn:aws:lambda:us-east-1:000000000000:function:resize", None, "resize"),
            ("arn:aws:lambda:us-east-1:000000000000:function:resize:prod", None, "resize prod"),
        ] {
            assert_eq!(parse(text, qualifier).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn names_that_are_none_say_why() {
        let long = "a".repeat(65);
        for (text, qualifier, expected) in [
            ("", None, "regular expression pattern"),
            ("*", None, "regular expression pattern"),
            ("a b", None, "regular expression pattern"),
            ("my.function", None, "regular expression pattern"),
            ("arn:aws:lambda:us-east-1:000000000000:function:a:b:c", None, "regular expression pattern"),
            ("arn:aws:iam::000000000000:role/x", None, "regular expression pattern"),
            ("a:1", Some("2"), "The derived qualifier from the function name does not match"),
            (&long, None, "length less than or equal to 64"),
            (
                "arn:aws:lambda:eu-west-1:000000000000:function:a",
                None,
                "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
            ),
            ("111111111111:function:a", None, "is of account 111111111111"),
        ] {
            let error = parse(text, qualifier).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn an_arn_has_the_qualifier_that_was_given() {
        let place = Place::default();
        let arn = |text| FunctionName::parse(&place, text, None).unwrap().arn(&place);
        assert_eq!(arn("a"), "arn:aws:lambda:us-east-1:000000000000:function:a");
        assert_eq!(arn("a:$LATEST"), "arn:aws:lambda:us-east-1:000000000000:function:a:$LATEST");
    }
}
