//! Streams that leave a program's network, and as which port of [`crate::sandbox::address::TRANSLATED`] each of them comes to the listener.
//!
//! A stream is *asked for* until its destination has answered, *awaited* until the listener takes it, *open* until both sides have ended, and *over*
//! for a while, in which last packets still find their way.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

/// How long last packets find their way.
const OVER_TIME: Duration = Duration::from_secs(30);

/// How long an answered stream may wait to be taken. The script was gone if it does.
const AWAITED_TIME: Duration = Duration::from_secs(60);

/// Ports before this one are not used.
const PORTS_FIRST: u16 = 1_024;

/// What a program's stream is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The program's port.
    pub port: u16,
    pub destination: SocketAddrV4,
}

/// How far a stream has come.
#[derive(Debug)]
pub enum State {
    /// With the packet that asks for it.
    Asked(Vec<u8>),
    Awaited(TcpStream),
    Open,
    Over,
}

#[derive(Debug)]
struct Entry {
    flow: Flow,
    state: State,
    since: Instant,
    place: Option<OwnedSemaphorePermit>,
}

/// The streams of one program.
#[derive(Debug)]
pub struct Flows {
    streams_max: usize,
    entries: HashMap<u16, Entry>,
    ports: HashMap<Flow, u16>,
    next: u16,
    live: usize,
}

impl Flows {
    /// With room for so many streams that are not over.
    pub fn new(streams_max: usize) -> Self {
        Self { streams_max, entries: HashMap::new(), ports: HashMap::new(), next: PORTS_FIRST, live: 0 }
    }

    /// Whether there is room for another stream.
    pub fn has_room(&self) -> bool {
        self.live < self.streams_max
    }

    /// How many streams are not over.
    pub fn live(&self) -> usize {
        self.live
    }

    /// The port of a stream.
    pub fn port(&self, flow: &Flow) -> Option<u16> {
        self.ports.get(flow).copied()
    }

    /// How far the stream of a port has come, and which one it is.
    pub fn at(&self, port: u16) -> Option<(&State, Flow)> {
        self.entries.get(&port).map(|entry| (&entry.state, entry.flow))
    }

    /// Begins a stream with the packet that asks for it; answers its port. One of the same name that is over is forgotten.
    pub fn ask(&mut self, flow: Flow, packet: Vec<u8>, place: OwnedSemaphorePermit, now: Instant) -> Option<u16> {
        if let Some(former) = self.port(&flow) {
            self.forget(former);
        }
        if self.entries.len() >= usize::from(u16::MAX - PORTS_FIRST) {
            return None;
        }
        while self.entries.contains_key(&self.next) {
            self.step();
        }
        // One after the other, so that the kernel has forgotten a port when it comes again.
        let port = self.next;
        self.step();
        self.entries.insert(port, Entry { flow, state: State::Asked(packet), since: now, place: Some(place) });
        self.ports.insert(flow, port);
        self.live += 1;
        Some(port)
    }

    fn step(&mut self) {
        self.next = self.next.checked_add(1).unwrap_or(PORTS_FIRST);
    }

    /// The destination has answered; gives back the packet that asked for it.
    pub fn answered(&mut self, port: u16, stream: TcpStream, now: Instant) -> Option<Vec<u8>> {
        let entry = self.entries.get_mut(&port)?;
        let State::Asked(packet) = &mut entry.state else { return None };
        let packet = std::mem::take(packet);
        (entry.state, entry.since) = (State::Awaited(stream), now);
        Some(packet)
    }

    /// The listener has taken it; gives back the stream to its destination.
    pub fn taken(&mut self, port: u16) -> Option<TcpStream> {
        let entry = self.entries.get_mut(&port)?;
        match std::mem::replace(&mut entry.state, State::Open) {
            State::Awaited(stream) => Some(stream),
            other => {
                entry.state = other;
                None
            }
        }
    }

    /// It has ended.
    pub fn end(&mut self, port: u16, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&port)
            && !matches!(entry.state, State::Over)
        {
            (entry.state, entry.since, entry.place) = (State::Over, now, None);
            self.live -= 1;
        }
    }

    /// It never began; gives back the packet that asked for it.
    pub fn refused(&mut self, port: u16) -> Option<Vec<u8>> {
        match self.forget(port)?.state {
            State::Asked(packet) => Some(packet),
            _ => None,
        }
    }

    fn forget(&mut self, port: u16) -> Option<Entry> {
        let entry = self.entries.remove(&port)?;
        self.ports.remove(&entry.flow);
        if !matches!(entry.state, State::Over) {
            self.live -= 1;
        }
        Some(entry)
    }

    /// Forgets what is over, and what nobody takes.
    pub fn sweep(&mut self, now: Instant) {
        let old = |entry: &Entry| match entry.state {
            State::Over => now.duration_since(entry.since) >= OVER_TIME,
            State::Awaited(_) => now.duration_since(entry.since) >= AWAITED_TIME,
            State::Asked(_) | State::Open => false,
        };
        let gone: Vec<u16> = self.entries.iter().filter(|(_, entry)| old(entry)).map(|(port, _)| *port).collect();
        for port in gone {
            self.forget(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    fn flow(port: u16) -> Flow {
        Flow { port, destination: "203.0.113.9:443".parse().unwrap() }
    }

    fn place(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        Arc::clone(places).try_acquire_owned().unwrap()
    }

    async fn stream() -> TcpStream {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_stream_gives_its_place_back_at_its_end_and_its_port_later() {
        let (places, now) = (Arc::new(Semaphore::new(1)), Instant::now());
        let mut flows = Flows::new(1);
        let port = flows.ask(flow(1), vec![7], place(&places), now).unwrap();
        assert!(!flows.has_room() && places.available_permits() == 0);
        assert!(flows.taken(port).is_none());
        assert_eq!(flows.answered(port, stream().await, now), Some(vec![7]));
        assert!(flows.answered(port, stream().await, now).is_none());
        assert!(flows.taken(port).is_some() && flows.taken(port).is_none());
        flows.end(port, now);
        flows.end(port, now);
        assert!(flows.has_room() && places.available_permits() == 1);
        flows.sweep(now);
        assert_eq!(flows.port(&flow(1)), Some(port));
        flows.sweep(now + OVER_TIME);
        assert!(flows.port(&flow(1)).is_none() && flows.at(port).is_none());
    }

    #[tokio::test]
    async fn what_nobody_takes_goes_and_what_is_open_stays() {
        let (places, now) = (Arc::new(Semaphore::new(9)), Instant::now());
        let mut flows = Flows::new(9);
        let awaited = flows.ask(flow(1), vec![], place(&places), now).unwrap();
        let open = flows.ask(flow(2), vec![], place(&places), now).unwrap();
        for port in [awaited, open] {
            flows.answered(port, stream().await, now).unwrap();
        }
        flows.taken(open).unwrap();
        flows.sweep(now + Duration::from_secs(86_400));
        assert!(flows.at(awaited).is_none() && matches!(flows.at(open), Some((State::Open, _))));
        assert_eq!((flows.live(), places.available_permits()), (1, 8));
    }

    #[test]
    fn a_port_comes_again_after_all_others_and_a_flow_at_once() {
        let (places, now) = (Arc::new(Semaphore::new(2)), Instant::now());
        let mut flows = Flows::new(9);
        let kept = flows.ask(flow(1), vec![], place(&places), now).unwrap();
        let mut last = kept;
        for _ in 0..u16::MAX - PORTS_FIRST {
            let port = flows.ask(flow(2), vec![1], place(&places), now).unwrap();
            assert!(port != last && port != kept && port >= PORTS_FIRST);
            last = port;
            flows.end(port, now);
        }
        assert_eq!(flows.ask(flow(3), vec![], place(&places), now), Some(kept + 1));
        assert_eq!(flows.refused(kept + 1), Some(vec![]));
        assert_eq!(flows.live(), 1);
    }
}
