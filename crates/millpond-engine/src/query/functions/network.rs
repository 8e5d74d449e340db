//! Addresses of networks (Trino documentation, "IP address functions").

use super::call::{Call, bad, each};
use arrow::array::ArrayRef;
use datafusion::common::Result;
use std::net::IpAddr;

/// Whether an address is in a network in CIDR notation.
pub(super) fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    each!(call, BooleanOut, |network: 0 text, address: 1 text| {
        let address: IpAddr = address.parse().map_err(|_| bad(format!("Cannot cast value to IPADDRESS: {address}")))?;
        Some(within(network, address).ok_or_else(|| bad(format!("Invalid CIDR: {network}")))?)
    })
}

fn within(network: &str, address: IpAddr) -> Option<bool> {
    let (base, prefix) = network.split_once('/')?;
    let (base, prefix): (IpAddr, u32) = (base.parse().ok()?, prefix.parse().ok()?);
    let (width, base, address) = match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => (32, u128::from(base.to_bits()), u128::from(address.to_bits())),
        (IpAddr::V6(base), IpAddr::V6(address)) => (128, base.to_bits(), address.to_bits()),
        _ => return Some(false),
    };
    let hidden = u32::checked_sub(width, prefix)?;
    let cut = |bits: u128| bits.checked_shr(hidden).unwrap_or(0);
    Some(cut(base) == cut(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, address, want) in [
            ("10.0.0.0/8", "10.255.1.2", Some(true)),
            ("10.0.0.0/8", "11.0.0.0", Some(false)),
            ("0.0.0.0/0", "1.2.3.4", Some(true)),
            ("2001:db8::/32", "2001:db8:1::1", Some(true)),
            ("10.0.0.0/33", "10.0.0.1", None),
            ("10.0.0.0", "10.0.0.1", None),
        ] {
            assert_eq!(within(network, address.parse().unwrap()), want, "{network} {address}");
        }
    }
}
