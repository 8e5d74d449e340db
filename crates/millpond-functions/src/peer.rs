//! Who is at the other end of a connection on the loopback, as `/proc` says.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user whose socket it is.
    pub user: u32,
    /// The socket's inode.
    pub inode: u64,
}

/// Finds the socket that is connected from `theirs` to `ours`.
///
/// # Errors
/// The kernel's table cannot be read.
pub fn find(theirs: SocketAddr, ours: SocketAddr) -> io::Result<Option<Peer>> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    Ok(find_in(&table, theirs, ours))
}

fn find_in(table: &str, theirs: SocketAddr, ours: SocketAddr) -> Option<Peer> {
    let (from, to) = (written(theirs)?, written(ours)?);
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = *fields.get(1)? == from && *fields.get(2)? == to;
        if !is_it {
            return None;
        }
        Some(Peer { user: fields.get(7)?.parse().ok()?, inode: fields.get(9)?.parse().ok()? })
    })
}

/// An address as the table has it: in the machine's byte order, hexadecimal.
fn written(address: SocketAddr) -> Option<String> {
    match address.ip() {
        IpAddr::V4(ip) => Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port())),
        IpAddr::V6(_) => None,
    }
}

/// Whether a process has this socket open.
pub fn holds(process: i32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(files) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_connection_is_found_with_its_holder() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, ours) = (client.local_addr().unwrap(), listener.local_addr().unwrap());
        let peer = find(theirs, ours).unwrap().unwrap();
        assert_eq!(peer.user, nix::unistd::geteuid().as_raw());
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(holds(me, peer.inode) && !holds(me, peer.inode + 1_000_000));
        assert_eq!(find(ours, SocketAddr::from(([127, 0, 0, 1], 1))).unwrap(), None);
    }
}
