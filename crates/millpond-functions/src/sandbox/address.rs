//! The addresses of a network of a process's own, as far as it leads out.
//!
//! They are of 192.0.0.0/29, which is set apart for what a host translates inside of itself (RFC 7335): nobody else has them. The process has
//! [`OWN`]; the server answers for all the rest.

use std::net::Ipv4Addr;

/// The device's name.
pub const DEVICE: &str = "out";

/// The process's own address.
pub const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);

/// Where it asks for names.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 3);

/// As whom translated streams come to the listener.
pub const TRANSLATED: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 4);

/// Bits of the network's prefix.
pub const PREFIX: u8 = 29;

/// Bytes of a packet at the most. There is no wire, and large packets cost less.
pub const MTU: u32 = 65_520;
