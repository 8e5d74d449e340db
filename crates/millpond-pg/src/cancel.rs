//! What can be stopped from another connection: each session's statement, by the session's number and secret.

use millpond_core::env::SharedEnv;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

/// The sessions that are open.
#[derive(Debug)]
pub(crate) struct Sessions {
    env: SharedEnv,
    open: Mutex<HashMap<i32, Session>>,
}

#[derive(Debug)]
struct Session {
    secret: [u8; 4],
    running: CancellationToken,
    /// Whether the time of what runs now is over: nothing begins any more then.
    is_over: Arc<AtomicBool>,
}

/// An open session's entry; it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    sessions: Arc<Sessions>,
    pub(crate) process: i32,
    pub(crate) secret: i32,
}

impl Sessions {
    /// None is open yet.
    pub(crate) fn new(env: SharedEnv) -> Self {
        Self { env, open: Mutex::default() }
    }

    /// Opens a session under a number that no other has.
    pub(crate) fn open(self: &Arc<Self>) -> Entry {
        let random = || {
            let mut bytes = [0; 4];
            self.env.fill_random(&mut bytes);
            bytes
        };
        let secret = random();
        let mut open = self.open.lock().expect("nothing panics while it holds the sessions");
        let process = loop {
            let process = i32::from_be_bytes(random()) & i32::MAX;
            if process != 0 && !open.contains_key(&process) {
                break process;
            }
        };
        open.insert(process, Session { secret, running: CancellationToken::new(), is_over: Arc::default() });
        Entry { sessions: Arc::clone(self), process, secret: i32::from_be_bytes(secret) }
    }

    fn set_time(&self, process: i32, is_over: &Arc<AtomicBool>) {
        let mut open = self.open.lock().expect("nothing panics while it holds the sessions");
        if let Some(session) = open.get_mut(&process) {
            session.is_over = Arc::clone(is_over);
        }
    }

    /// Stops what a session runs now. Who has not its secret changes nothing, and is not told so.
    pub(crate) fn cancel(&self, process: i32, secret: &[u8]) {
        let open = self.open.lock().expect("nothing panics while it holds the sessions");
        if let Some(session) = open.get(&process)
            && secret.len() == session.secret.len()
            && bool::from(session.secret.as_slice().ct_eq(secret))
        {
            session.running.cancel();
        }
    }
}

impl Entry {
    /// What stops the next statement. One that came too late for the statement before does not count.
    pub(crate) fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        let mut open = self.sessions.open.lock().expect("nothing panics while it holds the sessions");
        if let Some(session) = open.get_mut(&self.process) {
            session.running = token.clone();
            if session.is_over.load(Ordering::Acquire) {
                token.cancel();
            }
        }
        token
    }
}

impl Entry {
    /// Stops what the session runs, and begins, after `time`, unless the answer is dropped before.
    pub(crate) fn stop_after(&self, time: Duration) -> Timeout {
        let (sessions, process, is_over) = (Arc::clone(&self.sessions), self.process, Arc::new(AtomicBool::new(false)));
        sessions.set_time(process, &is_over);
        let own = Arc::clone(&is_over);
        let timer = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let open = sessions.open.lock().expect("nothing panics while it holds the sessions");
            // The next statement has its own time.
            if let Some(session) = open.get(&process).filter(|session| Arc::ptr_eq(&session.is_over, &own)) {
                own.store(true, Ordering::Release);
                session.running.cancel();
            }
        });
        Timeout { sessions: Arc::clone(&self.sessions), process, timer, is_over }
    }
}

/// The end of a statement's time.
#[derive(Debug)]
pub(crate) struct Timeout {
    sessions: Arc<Sessions>,
    process: i32,
    timer: tokio::task::JoinHandle<()>,
    is_over: Arc<AtomicBool>,
}

impl Timeout {
    /// Whether the time is over.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        self.timer.abort();
        self.sessions.set_time(self.process, &Arc::default());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.sessions.open.lock().expect("nothing panics while it holds the sessions").remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::env::SystemEnv;

    #[test]
    fn only_the_secret_stops_a_statement() {
        let sessions = Arc::new(Sessions::new(Arc::new(SystemEnv)));
        let entry = sessions.open();
        let token = entry.begin();
        sessions.cancel(entry.process, &(entry.secret ^ 1).to_be_bytes());
        sessions.cancel(entry.process, b"");
        sessions.cancel(entry.process ^ 1, &entry.secret.to_be_bytes());
        assert!(!token.is_cancelled());
        sessions.cancel(entry.process, &entry.secret.to_be_bytes());
        assert!(token.is_cancelled());
        assert!(!entry.begin().is_cancelled(), "the next statement is another one");
        drop(entry);
        assert!(sessions.open.lock().unwrap().is_empty());
    }
}
