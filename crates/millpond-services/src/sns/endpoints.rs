//! Where messages can be sent, by protocol: what an endpoint must look like, and which addresses are never called.

use super::SnsError;
use lettre::Address;
use millpond_core::arn::{Arn, Place};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// Of an endpoint, in bytes.
const LENGTH_MAX: usize = 2048;

/// Services that clouds answer with a machine's secrets at addresses that are not link-local.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Checks a subscriber's address; answers it as it is stored.
pub(super) fn check(protocol: &str, endpoint: &str, topic_is_fifo: bool, place: &Place) -> Result<String, SnsError> {
    let invalid = |message: String| Err(SnsError::invalid(message));
    if endpoint.len() > LENGTH_MAX {
        return invalid(format!("Endpoint Reason: it has up to {LENGTH_MAX} bytes"));
    }
    if topic_is_fifo && matches!(protocol, "email" | "email-json" | "http" | "https" | "lambda") {
        return invalid("Endpoint Reason: FIFO topics deliver to SQS queues only; use the protocol sqs".into());
    }
    match protocol {
        "email" | "email-json" => email(endpoint),
        "http" | "https" => http_url(protocol, endpoint).map(|_| endpoint.to_owned()).map_err(SnsError::InvalidParameter),
        "sqs" => arn("SQS", "sqs", endpoint, place).and_then(|found| match found.resource.ends_with(".fifo") && !topic_is_fifo {
            true => {
                invalid("Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics".into())
            }
            false => Ok(endpoint.to_owned()),
        }),
        "lambda" => arn("Lambda", "lambda", endpoint, place).and_then(|found| match found.resource.starts_with("function:") {
            true => Ok(endpoint.to_owned()),
            false => invalid("Lambda endpoint ARN".into()),
        }),
        "sms" | "application" | "firehose" => invalid(format!(
            "Protocol Reason: this lake does not deliver to {protocol}; it does to email, email-json, http, https, sqs and lambda"
        )),
        other => invalid(format!("Amazon SNS does not support this protocol string: {other}")),
    }
}

fn email(endpoint: &str) -> Result<String, SnsError> {
    let address = endpoint.strip_prefix("mailto:").unwrap_or(endpoint);
    match address.parse::<Address>() {
        Ok(_) if address.len() <= 320 => Ok(address.to_owned()),
        _ => Err(SnsError::invalid("Email address")),
    }
}

fn arn(title: &str, service: &str, endpoint: &str, place: &Place) -> Result<Arn, SnsError> {
    let found = endpoint.parse::<Arn>().ok().filter(|arn| arn.service == service);
    let Some(found) = found else { return Err(SnsError::invalid(format!("{title} endpoint ARN"))) };
    match found.account == place.account && found.region == place.region {
        true => Ok(found),
        false => Err(SnsError::invalid(format!(
            "{title} endpoint ARN Reason: this lake is account {} in {}, and '{endpoint}' is elsewhere",
            place.account, place.region
        ))),
    }
}

/// Parses the URL of an HTTP endpoint; answers what is wrong with it.
pub(super) fn http_url(protocol: &str, endpoint: &str) -> Result<Url, String> {
    let url = Url::parse(endpoint).map_err(|error| format!("Endpoint Reason: '{endpoint}' is not a URL: {error}"))?;
    if url.scheme() != protocol {
        return Err("Endpoint must match the specified protocol".into());
    }
    let refused = match url.host() {
        None => return Err(format!("Endpoint Reason: '{endpoint}' names no host")),
        Some(Host::Domain(_)) => None,
        Some(Host::Ipv4(ip)) => refused_address(ip.into()),
        Some(Host::Ipv6(ip)) => refused_address(ip.into()),
    };
    match refused {
        Some(reason) => Err(format!("Endpoint Reason: '{endpoint}' is {reason}, which this lake sends nothing to")),
        None => Ok(url),
    }
}

/// Why nothing is sent to an address: it is where machines ask for their own secrets, or no single machine. Loopback and private addresses are
/// fine: a lake and its subscribers are neighbours.
pub(super) fn refused_address(ip: IpAddr) -> Option<&'static str> {
    let ip = ip.to_canonical();
    if let IpAddr::V6(outer) = ip
        && let Some(reason) = embedded(outer).into_iter().flatten().find_map(|inner| refused_address(inner.into()))
    {
        return Some(reason);
    }
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if link_local {
        return Some("a link-local address");
    }
    if METADATA.contains(&ip) {
        return Some("the address of a cloud's metadata service");
    }
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_multicast() || broadcast {
        return Some("a multicast or broadcast address");
    }
    ip.is_unspecified().then_some("the unspecified address")
}

/// The IPv4 addresses that a packet to an IPv6 address may end up at: of translators and tunnels.
fn embedded(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let parts = ip.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    let last = of(parts[6], parts[7]);
    let at_end = match parts {
        // IPv4-compatible (RFC 4291), but for the unspecified address and loopback, which are IPv6's own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, _, _] => Some(last),
        // IPv4-translated (RFC 2765).
        [0, 0, 0, 0, 0xffff, 0, _, _] => Some(last),
        // NAT64: the prefix of all (RFC 6052), and those of one network (RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(last),
        [0x64, 0xff9b, 1, ..] => Some(last).filter(|ip| !ip.is_unspecified()),
        // Teredo (RFC 4380): inverted.
        [0x2001, 0, ..] => Some(of(!parts[6], !parts[7])),
        // ISATAP (RFC 5214), within any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => Some(last),
        _ => None,
    };
    let six_to_four = (parts[0] == 0x2002).then(|| of(parts[1], parts[2]));
    // Of RFC 8215's prefix of 48 bits, the address may also follow at once; bits 64 to 71 are skipped (RFC 6052).
    let [[_, high], [low, _]] = [parts[4].to_be_bytes(), parts[5].to_be_bytes()];
    let split = (parts[..3] == [0x64, 0xff9b, 1]).then(|| of(parts[3], u16::from_be_bytes([high, low])));
    [at_end, six_to_four, split.filter(|ip| !ip.is_unspecified())]
}

/// As listings show it: without the password that a URL may have.
pub(super) fn shown(protocol: &str, endpoint: String) -> String {
    if !matches!(protocol, "http" | "https") || !endpoint.contains('@') {
        return endpoint;
    }
    let Ok(mut url) = Url::parse(&endpoint) else { return endpoint };
    if url.password().is_none() || url.set_password(Some("****")).is_err() {
        return endpoint;
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(protocol: &str, endpoint: &str, fifo: bool) -> String {
        check(protocol, endpoint, fifo, &Place::default()).unwrap_err().to_string()
    }

    #[test]
    fn endpoints_fit_their_protocol() {
        for (protocol, endpoint, fifo) in [
            ("email", "a@example.com", false),
            ("http", "http://127.0.0.1:8000/hook", false),
            ("https", "https://user:secret@example.com/", false),
            ("http", "http://[::1]/", false),
            ("http", "http://[64:ff9b::c0a8:102]/", false),
            ("http", "http://[64:ff9b:1::c0a8:102]/", false),
            ("http", "http://[2002:c0a8:102::1]/", false),
            ("http", "http://[2001:db8::a9fe:a9fe]/", false),
            ("http", "http://192.168.1.2/", false),
            ("sqs", "arn:aws:sqs:us-east-1:000000000000:q", false),
            ("sqs", "arn:aws:sqs:us-east-1:000000000000:q", true),
            ("sqs", "arn:aws:sqs:us-east-1:000000000000:q.fifo", true),
            ("lambda", "arn:aws:lambda:us-east-1:000000000000:function:f:live", false),
        ] {
            assert!(check(protocol, endpoint, fifo, &Place::default()).is_ok(), "{protocol} {endpoint}");
        }
        for (protocol, endpoint, expected) in [
            ("email", "nobody", "Email address"),
            ("email", "a@b.c\r\nBcc: d@e.f", "Email address"),
            ("https", "http://example.com", "Endpoint must match the specified protocol"),
            ("http", "example.com", "is not a URL"),
            ("http", "http://169.254.169.254/latest/meta-data", "a link-local address"),
            ("http", "http://2852039166/", "a link-local address"),
            ("http", "http://[fe80::1]/", "a link-local address"),
            ("http", "http://[::ffff:169.254.169.254]/", "a link-local address"),
            ("http", "http://[fd00:ec2::254]/", "metadata"),
            ("http", "http://[64:ff9b::a9fe:a9fe]/", "a link-local address"),
            ("http", "http://[64:ff9b::169.254.169.254]/", "a link-local address"),
            ("http", "http://[64:ff9b:1::a9fe:a9fe]/", "a link-local address"),
            ("http", "http://[64:ff9b:1:a9fe:a9:fe00::]/", "a link-local address"),
            ("http", "http://[::a9fe:a9fe]/", "a link-local address"),
            ("http", "http://[::ffff:0:a9fe:a9fe]/", "a link-local address"),
            ("http", "http://[2002:a9fe:a9fe::]/", "a link-local address"),
            ("http", "http://[2002:6464:64c8::1]/", "metadata"),
            ("http", "http://[2001:0:1:2:3:4:5601:5601]/", "a link-local address"),
            ("http", "http://[fd00::5efe:a9fe:a9fe]/", "a link-local address"),
            ("http", "http://[::]/", "unspecified"),
            ("http", "http://224.0.0.1/", "multicast"),
            ("http", "http://0.0.0.0/", "unspecified"),
            ("sqs", "http://localhost:4566/000000000000/q", "SQS endpoint ARN"),
            ("sqs", "arn:aws:sqs:eu-west-1:000000000000:q", "us-east-1"),
            ("sqs", "arn:aws:sqs:us-east-1:000000000000:q.fifo", "FIFO SQS Queues can not be subscribed to standard SNS topics"),
            ("lambda", "arn:aws:lambda:us-east-1:000000000000:layer:l", "Lambda endpoint ARN"),
            ("sms", "+15551234567", "does not deliver to sms"),
            ("pigeon", "x", "does not support this protocol string: pigeon"),
        ] {
            let refused = refusal(protocol, endpoint, false);
            assert!(refused.contains(expected), "{endpoint}: {refused}");
        }
        assert!(refusal("http", "http://127.0.0.1/", true).contains("FIFO topics deliver to SQS queues only"));
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(shown("https", "https://u:secret@example.com/x".into()), "https://u:****@example.com/x");
        assert_eq!(shown("https", "https://example.com/x@y".into()), "https://example.com/x@y");
        assert_eq!(shown("email", "u:x@example.com".into()), "u:x@example.com");
    }
}
