//! The way out of a program's network: what it sends to elsewhere goes on from here, as this server's own.
//!
//! The packets come from a device. Streams are not taken apart: when a program asks for one, the server connects to the destination first. When that
//! has answered, the packets are sent back into the network under other addresses, to a listener that the server has in there, so that the kernel,
//! which made the stream, is its other end, too; what comes out of both sockets is copied. What the destination refuses is refused to the program.
//! Datagrams are taken out of their packets.
//!
//! Nobody comes through here to this machine's loopback, to the metadata services of clouds, or to a multicast group.

use super::flows::{Flow, Flows, State};
use super::packet::{Kind, Packet, Reason, datagram, refusal};
use super::{relay, resolver};
use crate::sandbox::address::{OWN, PREFIX, RESOLVER, TRANSLATED};
use nix::sys::socket::MsgFlags;
use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Streams of one program at the same time.
const STREAMS_MAX: usize = 512;

/// Pairs of addresses between which one program sends datagrams at the same time.
const EXCHANGES_MAX: usize = 256;

/// After how long without a datagram two addresses are forgotten.
const EXCHANGE_TIME: Duration = Duration::from_secs(60);

/// A destination that does not answer in this time is not reached.
const CONNECT_TIME: Duration = Duration::from_secs(60);

/// What is over is forgotten this often.
const SWEEP_TIME: Duration = Duration::from_secs(5);

/// Packets that are taken before others have their turn.
const PACKETS_A_TURN: usize = 64;

/// No packet is longer, bytes.
const PACKET_BYTES: usize = 65_536;

/// Where clouds tell a machine its secrets, beside 169.254.0.0/16: Azure ("What is IP address 168.63.129.16?") and Alibaba Cloud ("Instance metadata").
const METADATA: [Ipv4Addr; 2] = [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200)];

/// The program's device.
#[derive(Debug)]
struct Device(AsyncFd<File>);

impl Device {
    #[expect(unsafe_code, reason = "tokio has no safe way for a file of any kind that can be polled")]
    fn new(file: File) -> std::io::Result<Self> {
        // SAFETY: a `File` owns its descriptor, which stays open and the same until the `AsyncFd` that owns the file is dropped.
        Ok(Self(unsafe { AsyncFd::register(file) }?))
    }

    /// Sends a packet into the network. What finds no room is lost; streams send it again.
    fn write(&self, packet: &[u8]) {
        if let Err(error) = self.0.get_ref().write(packet) {
            tracing::debug!(%error, bytes = packet.len(), "a packet to a script is lost");
        }
    }

    async fn read(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.async_io(tokio::io::Interest::READABLE, |mut file: &File| file.read(buffer)).await
    }

    /// What is there already.
    fn read_now(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.get_ref().read(buffer)
    }
}

/// What tasks of a way out have come to.
enum Event {
    Connected(u16, std::io::Result<TcpStream>),
    Ended(u16),
    Silent(Flow),
}

/// The way out of one network.
pub struct WayOut {
    device: Arc<Device>,
    listener: TcpListener,
    listens_at: SocketAddrV4,
    resolver: SocketAddr,
    places: Arc<Semaphore>,
    flows: Flows,
    exchanges: HashMap<Flow, Arc<Exchange>>,
    tasks: JoinSet<Event>,
}

impl WayOut {
    /// `places` are for streams and exchanges of all programs.
    pub fn new(device: OwnedFd, listener: TcpListener, places: Arc<Semaphore>) -> std::io::Result<Self> {
        let SocketAddr::V4(listens_at) = listener.local_addr()? else {
            return Err(std::io::Error::other("the listener for streams has no address of IPv4"));
        };
        Ok(Self {
            device: Arc::new(Device::new(device.into())?),
            listener,
            listens_at,
            resolver: resolver::address(),
            places,
            flows: Flows::new(STREAMS_MAX),
            exchanges: HashMap::new(),
            tasks: JoinSet::new(),
        })
    }

    /// Goes on until it is dropped, or `closing` is cancelled and no stream is left.
    pub async fn serve(mut self, closing: CancellationToken) {
        let mut buffer = vec![0u8; PACKET_BYTES];
        let mut sweep = tokio::time::interval(SWEEP_TIME);
        let device = Arc::clone(&self.device);
        while !closing.is_cancelled() || self.flows.live() > 0 {
            tokio::select! {
                read = device.read(&mut buffer) => match read {
                    Ok(count) => self.turn(&mut buffer, count),
                    Err(error) => {
                        tracing::debug!(%error, "the device of a script's network is gone");
                        return;
                    }
                },
                Ok((stream, from)) = self.listener.accept() => self.take(stream, from),
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(event) = ended {
                        self.note(event);
                    }
                }
                _ = sweep.tick() => self.flows.sweep(Instant::now()),
                () = closing.cancelled(), if !closing.is_cancelled() => {}
            }
        }
    }

    fn turn(&mut self, buffer: &mut [u8], first: usize) {
        self.packet(&mut buffer[..first]);
        for _ in 1..PACKETS_A_TURN {
            match self.device.read_now(buffer) {
                Ok(count) => self.packet(&mut buffer[..count]),
                Err(_) => return,
            }
        }
    }

    fn packet(&mut self, bytes: &mut [u8]) {
        let Some(packet) = Packet::read(bytes) else { return };
        if *packet.source.ip() != OWN {
            return;
        }
        match packet.kind {
            Kind::Tcp { .. } if packet.source == self.listens_at => self.inward(packet),
            _ if !may_leave(packet.destination) => self.refuse(&packet.head(), packet.destination, Reason::Prohibited),
            Kind::Tcp { opens } => self.outward(packet, opens),
            Kind::Udp => self.datagram(&packet),
        }
    }

    /// From the listener to the program.
    fn inward(&mut self, mut packet: Packet<'_>) {
        if let Some((State::Awaited(_) | State::Open | State::Over, flow)) = self.flows.at(packet.destination.port()) {
            packet.readdress(flow.destination, SocketAddrV4::new(OWN, flow.port));
            self.device.write(packet.bytes());
        }
    }

    /// From the program to the listener.
    fn outward(&mut self, mut packet: Packet<'_>, opens: bool) {
        let flow = Flow { port: packet.source.port(), destination: packet.destination };
        let known = self.flows.port(&flow).and_then(|port| self.flows.at(port).map(|(state, _)| (port, state)));
        match known {
            Some((_, State::Over)) | None if opens => self.ask(flow, &packet),
            Some((port, State::Awaited(_) | State::Open | State::Over)) => {
                packet.readdress(SocketAddrV4::new(TRANSLATED, port), self.listens_at);
                self.device.write(packet.bytes());
            }
            // It asks again, and is being asked for.
            Some((_, State::Asked(_))) | None => {}
        }
    }

    fn ask(&mut self, flow: Flow, packet: &Packet<'_>) {
        // Where there is no room, the program's kernel asks again.
        let place = if self.flows.has_room() { self.place() } else { None };
        let Some(place) = place else { return };
        let Some(port) = self.flows.ask(flow, packet.bytes().to_vec(), place, Instant::now()) else { return };
        let destination = self.outside(flow.destination);
        self.tasks.spawn(async move {
            let connected = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(destination)).await;
            Event::Connected(port, connected.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())))
        });
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        if place.is_none() {
            tracing::debug!("the scripts of jobs have as many connections as they may together");
        }
        place
    }

    /// Where a destination is, outside.
    fn outside(&self, destination: SocketAddrV4) -> SocketAddr {
        if *destination.ip() == RESOLVER { self.resolver } else { destination.into() }
    }

    fn take(&mut self, stream: TcpStream, from: SocketAddr) {
        let awaited = if from.ip() == TRANSLATED { self.flows.taken(from.port()) } else { None };
        let Some(outside) = awaited else { return };
        let port = from.port();
        self.tasks.spawn(async move {
            relay(stream, outside).await;
            Event::Ended(port)
        });
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Ended(port) => self.flows.end(port, Instant::now()),
            Event::Silent(flow) => drop(self.exchanges.remove(&flow)),
            Event::Connected(port, Ok(stream)) => {
                let Some(mut asked) = self.flows.answered(port, stream, Instant::now()) else { return };
                if let Some(mut packet) = Packet::read(&mut asked) {
                    packet.readdress(SocketAddrV4::new(TRANSLATED, port), self.listens_at);
                    self.device.write(packet.bytes());
                }
            }
            Event::Connected(port, Err(error)) => {
                let Some(mut asked) = self.flows.refused(port) else { return };
                let Some(packet) = Packet::read(&mut asked) else { return };
                match error.kind() {
                    ErrorKind::ConnectionRefused => self.device.write(&packet.reset()),
                    _ => self.refuse(&packet.head(), packet.destination, Reason::Host),
                }
            }
        }
    }

    /// Says that a packet does not arrive; groups are not answered.
    fn refuse(&self, head: &[u8], destination: SocketAddrV4, reason: Reason) {
        if !destination.ip().is_multicast() && !destination.ip().is_broadcast() {
            self.device.write(&refusal(head, TRANSLATED, reason));
        }
    }

    fn datagram(&mut self, packet: &Packet<'_>) {
        let flow = Flow { port: packet.source.port(), destination: packet.destination };
        if let Some(exchange) = self.exchanges.get(&flow) {
            return exchange.send(packet.payload());
        }
        if self.exchanges.len() >= EXCHANGES_MAX {
            return;
        }
        let Some(place) = self.place() else { return };
        let exchange = match Exchange::new(flow, self.outside(flow.destination), packet.head(), &self.device) {
            Ok(exchange) => Arc::new(exchange),
            Err(error) => {
                tracing::debug!(%error, to = %flow.destination, "datagrams of a script do not arrive");
                return self.refuse(&packet.head(), flow.destination, Reason::Host);
            }
        };
        exchange.send(packet.payload());
        self.exchanges.insert(flow, Arc::clone(&exchange));
        self.tasks.spawn(async move {
            exchange.answers().await;
            drop(place);
            Event::Silent(flow)
        });
    }
}

/// Datagrams between a port of the program and a destination.
struct Exchange {
    flow: Flow,
    socket: UdpSocket,
    head: Vec<u8>,
    device: Arc<Device>,
    used: Mutex<Instant>,
}

impl Exchange {
    fn new(flow: Flow, to: SocketAddr, head: Vec<u8>, device: &Arc<Device>) -> std::io::Result<Self> {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = std::net::UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        Ok(Self { flow, socket, head, device: Arc::clone(device), used: Mutex::new(Instant::now()) })
    }

    fn used(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends at once or not at all: nothing waits here.
    fn send(&self, payload: &[u8]) {
        *self.used() = Instant::now();
        if let Err(error) = nix::sys::socket::send(self.socket.as_raw_fd(), payload, MsgFlags::MSG_NOSIGNAL) {
            self.note(&error.into());
        }
    }

    fn note(&self, error: &std::io::Error) {
        tracing::debug!(%error, to = %self.flow.destination, "a datagram of a script does not arrive");
        let reason = match error.kind() {
            ErrorKind::WouldBlock => return,
            ErrorKind::ConnectionRefused => Reason::Port,
            _ => Reason::Host,
        };
        self.device.write(&refusal(&self.head, TRANSLATED, reason));
    }

    /// Takes answers, until for some time there was neither question nor answer.
    async fn answers(&self) {
        let mut buffer = vec![0u8; PACKET_BYTES];
        loop {
            let silent_at = *self.used() + EXCHANGE_TIME;
            match tokio::time::timeout_at(silent_at.into(), self.socket.recv(&mut buffer)).await {
                Ok(Ok(count)) => {
                    *self.used() = Instant::now();
                    let to = SocketAddrV4::new(OWN, self.flow.port);
                    if let Some(packet) = datagram(self.flow.destination, to, &buffer[..count]) {
                        self.device.write(&packet);
                    }
                }
                Ok(Err(error)) => self.note(&error),
                Err(_) if *self.used() + EXCHANGE_TIME > silent_at => {}
                Err(_) => return,
            }
        }
    }
}

/// Whether a destination may be reached through here.
fn may_leave(destination: SocketAddrV4) -> bool {
    let ip = *destination.ip();
    if ip == RESOLVER {
        return destination.port() == resolver::PORT;
    }
    let [first, ..] = ip.octets();
    let is_ours = u32::from(ip) >> (32 - u32::from(PREFIX)) == u32::from(OWN) >> (32 - u32::from(PREFIX));
    let is_nobodys = first == 0 || first >= 224;
    !(is_ours || is_nobodys || ip.is_loopback() || ip.is_link_local() || METADATA.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inside_of_this_machine_and_of_clouds_is_not_reached() {
        for (address, leaves) in [
            ("203.0.113.9:443", true),
            ("10.1.2.3:5432", true),
            ("192.168.0.1:22", true),
            ("192.0.0.3:53", true),
            ("192.0.0.3:54", false),
            ("192.0.0.1:80", false),
            ("192.0.0.4:80", false),
            ("192.0.0.8:80", true),
            ("127.0.0.1:4566", false),
            ("127.9.9.9:80", false),
            ("0.0.0.0:4566", false),
            ("0.1.2.3:80", false),
            ("169.254.169.254:80", false),
            ("169.254.170.2:80", false),
            ("168.63.129.16:80", false),
            ("100.100.100.200:80", false),
            ("224.0.0.251:5353", false),
            ("240.0.0.1:1", false),
            ("255.255.255.255:67", false),
        ] {
            assert_eq!(may_leave(address.parse().unwrap()), leaves, "{address}");
        }
    }
}
