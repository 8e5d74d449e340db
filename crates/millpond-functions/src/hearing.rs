//! What a launcher says: lines, and the descriptors that come with them.

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use std::io::{IoSliceMut, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// No line is longer, bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// No launcher passes more descriptors.
const DESCRIPTORS_MAX: usize = 32;

/// Listens to a launcher.
#[derive(Debug)]
pub struct Hearing<'a> {
    socket: &'a UnixStream,
    text: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl<'a> Hearing<'a> {
    pub fn new(socket: &'a UnixStream) -> Self {
        Self { socket, text: Vec::new(), descriptors: Vec::new() }
    }

    /// The next line; none when the launcher has nothing more to say, or says too much at once.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let heard = self.socket.async_io(Interest::READABLE, || receive(self.socket.as_raw_fd())).await;
            let (bytes, descriptors) = heard.ok()?;
            self.text.extend(&bytes);
            self.descriptors.extend(descriptors);
            if bytes.is_empty() || self.text.len() > LINE_BYTES_MAX || self.descriptors.len() > DESCRIPTORS_MAX {
                return None;
            }
        }
    }

    /// The descriptors that came until now.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }
}

fn receive(socket: RawFd) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut buffer = [0u8; 4096];
    let mut room = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let received = recvmsg::<UnixAddr>(socket, &mut parts, Some(&mut room), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(passed) = message {
            descriptors.extend(passed.into_iter().map(own));
        }
    }
    let count = received.bytes;
    Ok((buffer[..count].to_vec(), descriptors))
}

#[expect(unsafe_code, reason = "the kernel hands descriptors over as numbers")]
fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
