//! Where a request names its bucket: in the path, or in the host.

use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};
use s3s::validation::NameValidation;

/// The domains under which the first labels of a host may be a bucket.
///
/// `localhost` is always one: it and all below it are this machine (RFC 6761). For a base `localhost`: `localhost`, `s3.localhost` and `s3.<region>.localhost` name no bucket (path style), and a name before any of them
/// does. All other hosts (a container's name, an address) are path style too.
#[derive(Debug, Clone)]
pub struct Hosts {
    bases: Vec<String>,
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new(std::iter::empty::<String>())
    }
}

impl Hosts {
    /// Hosts below these domains, given without port, and below `localhost`.
    pub fn new(bases: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut bases: Vec<String> = bases
            .into_iter()
            .map(|base| base.into().trim_matches('.').to_ascii_lowercase())
            .filter(|base| !base.is_empty())
            .collect();
        bases.push("localhost".into());
        // The longest that fits counts: `s3.example.com` before `example.com`.
        bases.sort_by_key(|base| std::cmp::Reverse(base.len()));
        Self { bases }
    }

    /// The bucket that a host names.
    fn bucket(&self, host: &str) -> Option<String> {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let rest = self.bases.iter().find_map(|base| name.strip_suffix(base.as_str())?.strip_suffix('.'))?;
        let labels: Vec<&str> = rest.split('.').collect();
        let service = match labels.as_slice() {
            [.., "s3"] => 1,
            [.., "s3", region] if is_region(region) => 2,
            _ => 0,
        };
        let bucket = labels[..labels.len() - service].join(".");
        (!bucket.is_empty()).then_some(bucket)
    }
}

fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let number = parts.last().is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    parts.len() >= 3 && number && parts[..parts.len() - 1].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_lowercase()))
}

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let parsed = VirtualHost::new(host);
        Ok(match self.bucket(host) {
            Some(bucket) => parsed.with_bucket(bucket),
            None => parsed,
        })
    }
}

/// Lets every name through: the service knows the rules, and says which one a name breaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnyName;

impl NameValidation for AnyName {
    fn validate_bucket_name(&self, name: &str) -> bool {
        !name.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_found_in_hosts_below_the_bases() {
        let hosts = Hosts::new(["lake.example.com"]);
        for (host, bucket) in [
            ("localhost:4566", None),
            ("raw.localhost:4566", Some("raw")),
            ("RAW.localhost", Some("raw")),
            ("a.b.localhost", Some("a.b")),
            ("s3.localhost", None),
            ("raw.s3.localhost", Some("raw")),
            ("s3.us-east-1.localhost", None),
            ("raw.s3.us-east-1.localhost:80", Some("raw")),
            ("raw.s3.two.localhost", Some("raw.s3.two")),
            ("raw.lake.example.com.", Some("raw")),
            ("lake.example.com", None),
            ("millpond:4566", None),
            ("notlocalhost", None),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(hosts.bucket(host).as_deref(), bucket, "{host}");
        }
    }
}
