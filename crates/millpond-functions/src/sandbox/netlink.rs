//! As much of rtnetlink(7) as it takes to set up a network: bring up a device, give it an address, make it the way to everywhere.

use super::launcher::{Trouble, trouble};
use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

/// A header of a message: length, type, flags, number, sender.
const HEADER_BYTES: usize = 16;

/// A connection to the kernel about the network that this process is in.
pub struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    pub fn open() -> Result<Self, Trouble> {
        let protocol = SockProtocol::NetlinkRoute;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol);
        socket.map(|socket| Self { socket }).map_err(trouble("netlink"))
    }

    /// Brings a device up; `mtu` in bytes, where it is to be changed.
    pub fn bring_up(&self, device: u32, mtu: Option<u32>) -> Result<(), Trouble> {
        let mut body = vec![0u8; 4];
        body.extend(device.to_ne_bytes());
        let up = libc::IFF_UP.cast_unsigned().to_ne_bytes();
        // The flags, and which of them are meant.
        body.extend(up);
        body.extend(up);
        if let Some(mtu) = mtu {
            attribute(&mut body, libc::IFLA_MTU, &mtu.to_ne_bytes());
        }
        self.ask(libc::RTM_NEWLINK, 0, &body).map_err(trouble(format_args!("bringing up device {device}")))
    }

    /// Gives a device an address, with the bits of its network's prefix.
    pub fn add_address(&self, device: u32, address: IpAddr, prefix: u8) -> Result<(), Trouble> {
        let (family, bytes) = match address {
            IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
            IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
        };
        let mut body = vec![family_byte(family), prefix, 0, 0];
        body.extend(device.to_ne_bytes());
        attribute(&mut body, libc::IFA_LOCAL, &bytes);
        attribute(&mut body, libc::IFA_ADDRESS, &bytes);
        self.ask(libc::RTM_NEWADDR, libc::NLM_F_CREATE, &body).map_err(trouble(format_args!("the address {address}")))
    }

    /// Sends all of IPv4 that goes nowhere else to a device.
    pub fn add_default_route(&self, device: u32) -> Result<(), Trouble> {
        let mut body = vec![family_byte(libc::AF_INET), 0, 0, 0];
        body.extend([libc::RT_TABLE_MAIN, libc::RTPROT_BOOT, libc::RT_SCOPE_LINK, libc::RTN_UNICAST]);
        body.extend([0; 4]);
        attribute(&mut body, libc::RTA_OIF, &device.to_ne_bytes());
        self.ask(libc::RTM_NEWROUTE, libc::NLM_F_CREATE, &body).map_err(trouble("the default route"))
    }

    /// Sends a message and waits for the kernel's word on it.
    fn ask(&self, kind: u16, flags: i32, body: &[u8]) -> Result<(), Trouble> {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK).map_err(trouble("flags"))?;
        let length = u32::try_from(HEADER_BYTES + body.len()).map_err(trouble("length"))?;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        let socket = self.socket.as_raw_fd();
        send(socket, &message, MsgFlags::empty()).map_err(trouble("asking"))?;
        let mut answer = [0u8; 4096];
        let count = recv(socket, &mut answer, MsgFlags::empty()).map_err(trouble("the answer"))?;
        let code = answer[..count].get(HEADER_BYTES..HEADER_BYTES + 4).and_then(|code| code.try_into().ok());
        match code.map(i32::from_ne_bytes) {
            Some(0) => Ok(()),
            Some(code) => Err(nix::errno::Errno::from_raw(-code).to_string()),
            None => Err("the kernel's answer is cut short".into()),
        }
    }
}

fn family_byte(family: i32) -> u8 {
    u8::try_from(family).unwrap_or_default()
}

/// Appends an attribute, filled up to four bytes.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}
