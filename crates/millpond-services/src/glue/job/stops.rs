//! What is under way in this process and can be told to stop. Only a hint: what must hold is in the rows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

type Running = HashMap<(&'static str, String), CancellationToken>;

/// The crawls and job runs under way, by kind and name; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Stops(Arc<Mutex<Running>>);

/// Removes its entry when dropped.
#[derive(Debug)]
pub struct Registered {
    stops: Stops,
    key: (&'static str, String),
    /// Cancelled when it is to stop.
    pub token: CancellationToken,
}

impl Stops {
    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.0.lock().expect("nobody panics while holding the map")
    }

    /// Makes what begins now known.
    pub fn register(&self, kind: &'static str, name: &str) -> Registered {
        let key = (kind, name.to_owned());
        let token = CancellationToken::new();
        self.running().insert(key.clone(), token.clone());
        Registered { stops: self.clone(), key, token }
    }

    /// Tells it to stop, where it is under way here.
    pub fn stop(&self, kind: &'static str, name: &str) {
        if let Some(token) = self.running().get(&(kind, name.to_owned())) {
            token.cancel();
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.stops.running().remove(&self.key);
    }
}
