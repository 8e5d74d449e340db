//! Who answers questions for names, inside and outside.

use crate::sandbox::address::RESOLVER;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where the machine's settings are.
pub const FILE: &str = "/etc/resolv.conf";

/// Of questions for names.
pub const PORT: u16 = 53;

/// The machine's resolver: the first that its settings name, else its own, as resolv.conf(5) says.
pub fn address() -> SocketAddr {
    first(&settings())
}

/// The settings for a program that is to ask [`RESOLVER`]: the machine's, but for who is asked.
pub fn inside() -> String {
    rewritten(&settings())
}

fn settings() -> String {
    std::fs::read_to_string(FILE).unwrap_or_default()
}

fn nameserver(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    (words.next() == Some("nameserver")).then(|| words.next().unwrap_or_default())
}

fn first(settings: &str) -> SocketAddr {
    // `fe80::1%eth0` names an interface, which an address here does not.
    let mut named = settings.lines().filter_map(nameserver).filter_map(|text| text.parse::<IpAddr>().ok());
    SocketAddr::new(named.next().unwrap_or(Ipv4Addr::LOCALHOST.into()), PORT)
}

fn rewritten(settings: &str) -> String {
    let kept =
        settings.lines().filter(|line| ["search", "options", "domain"].contains(&line.split_whitespace().next().unwrap_or("")));
    kept.map(|line| format!("{line}\n")).chain([format!("nameserver {RESOLVER}\n")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_nameserver_is_asked() {
        let check = |settings: &str, expected: &str| assert_eq!(first(settings), expected.parse().unwrap(), "{settings}");
        check("# none\nsearch a.example\n", "127.0.0.1:53");
        check("search x\nnameserver 10.1.2.3\nnameserver 10.1.2.4\n", "10.1.2.3:53");
        check("nameserver fe80::1%eth0\nnameserver\t::1 \n", "[::1]:53");
    }

    #[test]
    fn only_who_is_asked_changes() {
        let settings = "# by hand\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch a.example b.example\nnameserver ::1\n";
        assert_eq!(rewritten(settings), "options edns0 trust-ad\nsearch a.example b.example\nnameserver 192.0.0.3\n");
        assert_eq!(rewritten(""), "nameserver 192.0.0.3\n");
    }
}
