//! Networks of programs' own, as the server has them: what it takes connections at in there, and where these lead.
//!
//! A program with such a network reaches the lake, the services of this machine's loopback that are named to it, and, where the kernel offers the device,
//! everything that is no part of this machine's inside (see `way_out`). It reaches no other program, and nobody else reaches it.

mod flows;
mod packet;
pub mod resolver;
mod way_out;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections of one program to the lake, and to each service of this machine, at the same time. Further ones wait to be taken.
const CONNECTIONS_MAX: usize = 1_024;

/// What is copied at once in each direction of a connection, bytes.
const COPY_BYTES: usize = 32 << 10;

/// How long what a program sent before its end may take to arrive.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// A connection from a program's network, and its place among those of the program.
pub type Visitor = (TcpStream, OwnedSemaphorePermit);

/// The lake, for programs that are not in its network.
#[derive(Debug, Clone)]
pub struct LakeDoor {
    /// Its endpoint: where programs find it in their own networks, too.
    pub at: SocketAddr,
    /// To whoever serves it.
    pub visitors: mpsc::Sender<Visitor>,
}

/// In whose network a program runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProgramNetwork {
    /// The machine's.
    #[default]
    Shared,
    /// Its own, where this machine can make one.
    Own {
        /// Services on this machine's loopback that it may use, at the same addresses.
        services: Vec<SocketAddr>,
    },
}

/// Where connections that a program makes to an address lead.
#[derive(Debug, Clone)]
pub enum Leads {
    /// To the lake.
    Lake(mpsc::Sender<Visitor>),
    /// To the same address outside.
    Outside(SocketAddr),
}

/// What leads out of a network that is to be made.
#[derive(Debug)]
pub struct Forwarding {
    /// In the order of the plan's `listen`.
    pub openings: Vec<Leads>,
    /// The places for streams that leave, where they may: all programs share them.
    pub way_out: Option<Arc<Semaphore>>,
}

/// What leads out of a network, under way. Ends when dropped.
#[derive(Debug)]
pub struct Passages {
    openings: JoinSet<()>,
    way_out: JoinSet<()>,
    closing: CancellationToken,
}

impl Forwarding {
    /// Begins, with the descriptors that came with [`crate::sandbox::Message::Network`].
    ///
    /// # Errors
    /// They are not what was asked for.
    pub fn begin(self, descriptors: Vec<OwnedFd>) -> std::io::Result<Passages> {
        let expected = self.openings.len() + if self.way_out.is_some() { 2 } else { 0 };
        if descriptors.len() != expected {
            let message = format!("{} descriptors came with the network instead of {expected}", descriptors.len());
            return Err(std::io::Error::other(message));
        }
        let mut descriptors = descriptors.into_iter();
        let (mut openings, mut way_out) = (JoinSet::new(), JoinSet::new());
        for (leads, descriptor) in self.openings.into_iter().zip(&mut descriptors) {
            openings.spawn(lead(listener(descriptor)?, leads));
        }
        let closing = CancellationToken::new();
        if let (Some(places), Some(device), Some(descriptor)) = (self.way_out, descriptors.next(), descriptors.next()) {
            let way = way_out::WayOut::new(device, listener(descriptor)?, places)?;
            way_out.spawn(way.serve(closing.clone()));
        }
        Ok(Passages { openings, way_out, closing })
    }
}

impl Passages {
    /// Waits, not for ever, until what the program sent before its end has left.
    pub async fn drain(mut self) {
        self.openings.abort_all();
        self.closing.cancel();
        let _ = tokio::time::timeout(DRAIN_TIME, self.way_out.join_next()).await;
    }
}

fn listener(descriptor: OwnedFd) -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Takes connections, as long as it is let.
async fn lead(listener: TcpListener, leads: Leads) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut relays = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while relays.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection of a script could not be taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        match &leads {
            Leads::Lake(visitors) => {
                if visitors.send((stream, place)).await.is_err() {
                    return;
                }
            }
            Leads::Outside(address) => {
                let address = *address;
                relays.spawn(async move {
                    match TcpStream::connect(address).await {
                        Ok(outside) => relay(stream, outside).await,
                        Err(error) => {
                            tracing::debug!(%address, %error, "a service of this machine does not answer");
                            let _ = stream.set_zero_linger();
                        }
                    }
                    drop(place);
                });
            }
        }
    }
}

/// Copies both ways until both have ended. What breaks on one side breaks on the other.
async fn relay(mut inside: TcpStream, mut outside: TcpStream) {
    let _ = (inside.set_nodelay(true), outside.set_nodelay(true));
    let copied = tokio::io::copy_bidirectional_with_sizes(&mut inside, &mut outside, COPY_BYTES, COPY_BYTES).await;
    if copied.is_err() {
        let _ = (inside.set_zero_linger(), outside.set_zero_linger());
    }
}
