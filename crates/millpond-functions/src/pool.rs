//! Which processes there are, which of them idle, and who waits for one. All of it under one lock, which is never held across a wait.

use crate::error::HostError;
use crate::life::Life;
use crate::process::{InitFailure, Process};
use crate::spec::{HostSettings, Usage};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What a process is thought to take before it was looked at.
const FIRST_GUESS_BYTES: u64 = 48 << 20;

/// What an invocation gets that waits for a process.
#[derive(Debug)]
pub enum Lease {
    /// A process that is ready.
    Ready(Box<Process>),
    /// A process was started for it and did not begin.
    Unbegun(InitFailure),
    /// None could be started.
    None(HostError),
}

/// The processes of a host.
#[derive(Debug, Default)]
pub struct Pool {
    functions: HashMap<String, Function>,
    lives: HashMap<String, Arc<Life>>,
    /// Processes that are about to be, and what they are thought to take.
    reserved: Vec<u64>,
    /// Keys that get no more processes.
    retired: HashSet<String>,
    stopped: bool,
}

/// The processes of one key.
#[derive(Debug, Default)]
struct Function {
    /// The one that was used last is the last.
    idle: Vec<(Box<Process>, Instant)>,
    waiting: VecDeque<oneshot::Sender<Lease>>,
    /// Starts that are under way.
    starting: usize,
    /// Processes that have answered a moment ago and are about to ask for more.
    settling: usize,
    /// The last one had no room.
    refused: Option<HostError>,
    /// The most that one of them was seen to take.
    peak_bytes: u64,
}

impl Pool {
    /// A process that is ready; the one that was used last, whose memory is warmest.
    pub fn take(&mut self, key: &str, usable: impl Fn(&Process) -> bool) -> Option<Box<Process>> {
        let function = self.functions.get_mut(key)?;
        while let Some((process, _)) = function.idle.pop() {
            if process.is_ready() && usable(&process) {
                return Some(process);
            }
            // It ended meanwhile, or its credentials do soon. Dropping it ends it.
        }
        None
    }

    /// Waits in line for a process.
    pub fn wait(&mut self, key: &str) -> oneshot::Receiver<Lease> {
        let (sender, receiver) = oneshot::channel();
        self.functions.entry(key.to_owned()).or_default().waiting.push_back(sender);
        receiver
    }

    /// A process has answered, and is about to ask for more.
    pub fn begin_settling(&mut self, key: &str) {
        self.functions.entry(key.to_owned()).or_default().settling += 1;
    }

    /// It asks for more, has ended, or takes its time.
    pub fn end_settling(&mut self, key: &str) {
        if let Some(function) = self.functions.get_mut(key) {
            function.settling = function.settling.saturating_sub(1);
        }
    }

    /// Whether somebody waits for whom no process settles and no start is under way; then the caller begins one, and must end it.
    pub fn begin_start(&mut self, key: &str) -> bool {
        let Some(function) = self.functions.get_mut(key) else { return false };
        function.waiting.retain(|waiting| !waiting.is_closed());
        let wanted = function.waiting.len() > function.starting + function.settling;
        function.starting += usize::from(wanted);
        wanted
    }

    /// Whether a start that was begun is still wanted. Where it is not it has ended.
    pub fn is_wanted(&mut self, key: &str) -> bool {
        let Some(function) = self.functions.get_mut(key) else { return false };
        function.waiting.retain(|waiting| !waiting.is_closed());
        let wanted = function.waiting.len() >= function.starting;
        function.starting -= usize::from(!wanted);
        wanted
    }

    /// A start is over, and its lease is about to be given. Where there was no room for it and others of its key run, nobody is refused yet: who
    /// waits may get one of those. Answers whether the lease is to be given.
    pub fn end_start(&mut self, key: &str, lease: &Lease) -> bool {
        let others = self.lives.values().any(|life| life.key == key && life.end().is_none());
        let Some(function) = self.functions.get_mut(key) else { return false };
        function.starting = function.starting.saturating_sub(1);
        function.refused = match lease {
            Lease::None(error @ HostError::NoRoom(_)) => Some(error.clone()),
            _ => None,
        };
        function.refused.is_none() || !others
    }

    /// Why there was no room when a process of this key was to be started last.
    pub fn refused(&self, key: &str) -> Option<HostError> {
        self.functions.get(key)?.refused.clone()
    }

    /// Gives a lease to the first in line. Where nobody waits a ready process becomes idle, and all else is dropped.
    pub fn give(&mut self, key: &str, mut lease: Lease) {
        let over = self.stopped || self.retired.contains(key);
        let function = self.functions.entry(key.to_owned()).or_default();
        if let Lease::Ready(process) = &lease {
            function.peak_bytes = function.peak_bytes.max(process.life.peak_bytes());
        }
        while let Some(waiting) = function.waiting.pop_front() {
            match waiting.send(lease) {
                Ok(()) => return,
                Err(back) => lease = back,
            }
        }
        match lease {
            Lease::Ready(process) if !over => function.idle.push((process, Instant::now())),
            _ => {}
        }
    }

    /// Makes room for a process that may take `memory_mb`, by ending those that idle longest; answers what is reserved for it, until it is added or
    /// given up ([`Pool::release`]).
    ///
    /// # Errors
    /// There is none.
    pub fn make_room(&mut self, key: &str, memory_mb: u32, settings: &HostSettings) -> Result<u64, HostError> {
        if self.stopped {
            return Err(HostError::Stopped);
        }
        self.lives.retain(|_, life| life.end().is_none());
        let seen = self.functions.get(key).map_or(0, |function| function.peak_bytes);
        let guess = if seen == 0 { FIRST_GUESS_BYTES } else { seen }.min(u64::from(memory_mb) << 20);
        loop {
            let taken: u64 = self
                .lives
                .values()
                .map(|life| life.memory_bytes().max(FIRST_GUESS_BYTES / 4))
                .chain(self.reserved.iter().copied())
                .sum();
            let count = self.lives.len() + self.reserved.len();
            let crowded = count >= settings.processes_max;
            if !crowded && taken.saturating_add(guess) <= settings.memory_bytes_max {
                self.reserved.push(guess);
                return Ok(guess);
            }
            if !self.end_idlest() {
                let reason = if crowded {
                    format!(
                        "{count} processes run, which is the most that there may be (`[functions] concurrency` in millpond.toml)"
                    )
                } else {
                    let (taken, most) = (taken >> 20, settings.memory_bytes_max >> 20);
                    format!(
                        "{count} processes take {taken} MB of the {most} MB that functions may take (`[functions] memory` in millpond.toml)"
                    )
                };
                return Err(HostError::NoRoom(reason));
            }
        }
    }

    /// Ends the process that idles longest; false where none does.
    fn end_idlest(&mut self) -> bool {
        let idlest = self
            .functions
            .iter()
            .filter_map(|(key, function)| function.idle.first().map(|(_, since)| (*since, key.clone())))
            .min();
        let Some((_, key)) = idlest else { return false };
        if let Some(function) = self.functions.get_mut(&key) {
            let (process, _) = function.idle.remove(0);
            self.lives.remove(&process.life.id);
        }
        true
    }

    /// Gives back what was reserved.
    pub fn release(&mut self, reserved: u64) {
        if let Some(at) = self.reserved.iter().position(|other| *other == reserved) {
            self.reserved.swap_remove(at);
        }
    }

    /// Counts a process.
    pub fn add(&mut self, life: Arc<Life>) {
        self.lives.insert(life.id.clone(), life);
    }

    /// Ends idle processes of a key, now and later.
    pub fn retire(&mut self, key: &str) {
        self.retired.insert(key.to_owned());
        if let Some(function) = self.functions.get_mut(key) {
            function.idle.clear();
        }
    }

    /// A key that is asked for again is not retired any more.
    pub fn revive(&mut self, key: &str) {
        if !self.retired.is_empty() {
            self.retired.remove(key);
        }
    }

    /// Ends what idles for too long, and forgets what ended.
    pub fn sweep(&mut self, idle: Duration) {
        self.lives.retain(|_, life| life.end().is_none());
        for function in self.functions.values_mut() {
            function.idle.retain(|(process, since)| process.is_ready() && since.elapsed() < idle);
        }
        let awaited = |function: &Function| {
            function.starting > 0 || !function.idle.is_empty() || function.waiting.iter().any(|waiting| !waiting.is_closed())
        };
        let alive: HashSet<&str> = self.lives.values().map(|life| life.key.as_str()).collect();
        self.functions.retain(|key, function| awaited(function) || alive.contains(key.as_str()));
        // Remembered while a process of it may come back.
        self.retired.retain(|key| alive.contains(key.as_str()));
    }

    /// Ends everything.
    pub fn stop(&mut self) -> Vec<Arc<Life>> {
        self.stopped = true;
        // Those who wait see that nobody gives them anything.
        self.functions.clear();
        let lives: Vec<Arc<Life>> = self.lives.drain().map(|(_, life)| life).collect();
        lives.iter().for_each(|life| life.kill(None));
        lives
    }

    /// Whether everything was ended.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// All that live, with whether they idle.
    pub fn lives(&self) -> Vec<Arc<Life>> {
        self.lives.values().filter(|life| life.end().is_none()).cloned().collect()
    }

    /// What runs now.
    pub fn usage(&self) -> Usage {
        let processes = self.lives.values().filter(|life| life.end().is_none()).count();
        Usage { processes, idle: self.functions.values().map(|function| function.idle.len()).sum() }
    }
}
