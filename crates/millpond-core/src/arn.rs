//! Amazon Resource Names, as the [AWS General Reference] defines them: `arn:partition:service:region:account:resource`.
//!
//! [AWS General Reference]: https://docs.aws.amazon.com/general/latest/gr/aws-arns-and-namespaces.html

use serde::{Deserialize, Serialize};
use std::fmt;

/// The account and region that a lake answers for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Twelve digits.
    pub account: String,
    /// For example `us-east-1`.
    pub region: String,
}

impl Default for Place {
    fn default() -> Self {
        Self { account: "000000000000".into(), region: "us-east-1".into() }
    }
}

impl Place {
    /// The ARN of `resource` of `service` in this account and region.
    pub fn arn(&self, service: &str, resource: impl fmt::Display) -> Arn {
        Arn {
            partition: "aws".into(),
            service: service.into(),
            region: self.region.clone(),
            account: self.account.clone(),
            resource: resource.to_string(),
        }
    }
}

/// A parsed ARN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arn {
    /// `aws`, `aws-cn`, …
    pub partition: String,
    /// For example `glue`.
    pub service: String,
    /// May be empty (IAM, S3).
    pub region: String,
    /// May be empty (S3).
    pub account: String,
    /// All that follows the fifth colon, for example `crawler/flights`.
    pub resource: String,
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

/// The text is not an ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an ARN (arn:partition:service:region:account:resource)")]
pub struct NotAnArn(pub String);

impl std::str::FromStr for Arn {
    type Err = NotAnArn;

    fn from_str(text: &str) -> Result<Self, NotAnArn> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next();
        match (next(), next(), next(), next(), next(), next()) {
            (Some("arn"), Some(partition), Some(service), Some(region), Some(account), Some(resource))
                if !partition.is_empty() && !service.is_empty() && !resource.is_empty() =>
            {
                Ok(Self {
                    partition: partition.into(),
                    service: service.into(),
                    region: region.into(),
                    account: account.into(),
                    resource: resource.into(),
                })
            }
            _ => Err(NotAnArn(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_survives_parsing_and_printing() {
        for text in
            ["arn:aws:s3:::raw", "arn:aws:sns:us-east-1:000000000000:a:b", "arn:aws:glue:us-east-1:000000000000:crawler/x"]
        {
            assert_eq!(text.parse::<Arn>().unwrap().to_string(), text);
        }
        for text in ["", "arn:aws", "arn:aws:s3:::", "urn:aws:s3:::raw", "arn::s3:::raw"] {
            assert!(text.parse::<Arn>().is_err(), "{text}");
        }
    }
}
