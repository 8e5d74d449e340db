//! The launcher's part of a network of a process's own: it makes what the server is to have of it, and hands that over.

use super::address::{DEVICE, MTU, OWN, PREFIX};
use super::launcher::{Trouble, trouble};
use super::netlink::Netlink;
use super::plan::Message;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::fs::File;
use std::io::IoSlice;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

/// The loopback's number in every network (the kernel's `LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

/// Where devices are made that a program serves.
const TUN: &str = "/dev/net/tun";

/// Sets up the network that this process has just entered, with a listener at each address of `listen`; answers what the server gets of it, in the order
/// that [`Message::Network`] names.
pub fn make(listen: &[SocketAddr], way_out: bool) -> Result<Vec<OwnedFd>, Trouble> {
    let netlink = Netlink::open()?;
    netlink.bring_up(LOOPBACK, None)?;
    let mut descriptors = Vec::new();
    for address in listen {
        if !address.ip().is_loopback() {
            netlink.add_address(LOOPBACK, address.ip(), if address.is_ipv4() { 32 } else { 128 })?;
        }
        descriptors.push(bind(*address)?);
    }
    if way_out {
        let device = make_device()?;
        let number = nix::net::if_::if_nametoindex(DEVICE).map_err(trouble(DEVICE))?;
        netlink.add_address(number, OWN.into(), PREFIX)?;
        netlink.bring_up(number, Some(MTU))?;
        netlink.add_default_route(number)?;
        descriptors.push(device.into());
        descriptors.push(bind((OWN, 0).into())?);
    }
    Ok(descriptors)
}

fn bind(address: SocketAddr) -> Result<OwnedFd, Trouble> {
    TcpListener::bind(address).map(OwnedFd::from).map_err(trouble(format_args!("listening at {address} in the network")))
}

/// A device whose packets are what is read from and written to the file.
fn make_device() -> Result<File, Trouble> {
    let file = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN).map_err(trouble(TUN))?;
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI;
    let ifru_flags = libc::c_short::try_from(flags).map_err(trouble("flags"))?;
    let request = libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags } };
    set_interface(&file, &request).map_err(trouble(format_args!("making a device with {TUN}")))?;
    Ok(file)
}

#[expect(unsafe_code, reason = "there is no other way to make such a device than this ioctl")]
fn set_interface(file: &File, request: &libc::ifreq) -> nix::Result<()> {
    nix::ioctl_write_ptr_bad!(tun_set_iff, libc::TUNSETIFF, libc::ifreq);
    // SAFETY: the descriptor is open, and the kernel reads one `ifreq` from where the reference points to.
    unsafe { tun_set_iff(file.as_raw_fd(), request) }.map(drop)
}

/// Sends a line to the server, and descriptors with it.
pub fn hand_over(socket: &File, message: &Message, descriptors: &[OwnedFd]) -> Result<(), Trouble> {
    let mut line = serde_json::to_vec(message).map_err(trouble("a message"))?;
    line.push(b'\n');
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let sent = sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(&line)], &rights, MsgFlags::MSG_NOSIGNAL, None);
    match sent.map_err(trouble("handing over the network"))? {
        all if all == line.len() => Ok(()),
        _ => Err("the network was handed over in part".into()),
    }
}
