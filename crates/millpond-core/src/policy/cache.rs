//! Compiled policies by their text: a delivery asks the same few policies again and again.

use super::{Policy, PolicyError, PolicyKind};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

/// Bytes of text kept in each of the two generations. Compiled, a policy takes a few times its text.
const GENERATION_BYTES_MAX: usize = 2 * 1024 * 1024;

#[derive(Default)]
struct Cache {
    young: HashMap<Box<str>, Arc<Policy>>,
    old: HashMap<Box<str>, Arc<Policy>>,
    young_bytes: usize,
}

impl Cache {
    fn get(&mut self, text: &str) -> Option<Arc<Policy>> {
        if let Some(policy) = self.young.get(text) {
            return Some(policy.clone());
        }
        let policy = self.old.remove(text)?;
        self.put(text, policy.clone());
        Some(policy)
    }

    /// When the young ones are many, they become the old ones, and the old ones go.
    fn put(&mut self, text: &str, policy: Arc<Policy>) {
        if self.young_bytes + text.len() > GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(text.into(), policy).is_none() {
            self.young_bytes += text.len();
        }
    }
}

/// One for each kind of policy: a text may be a policy of one kind and none of another.
static CACHES: OnceLock<[Mutex<Cache>; 3]> = OnceLock::new();

/// The policy of a resource that `text` says, compiled once for all that ask soon after one another.
///
/// # Errors
/// The text is not such a policy.
pub fn cached(text: &str) -> Result<Arc<Policy>, PolicyError> {
    cached_as(text, PolicyKind::Resource)
}

/// The same for a policy of the given kind.
///
/// # Errors
/// The text is not such a policy.
pub fn cached_as(text: &str, kind: PolicyKind) -> Result<Arc<Policy>, PolicyError> {
    let caches = CACHES.get_or_init(Default::default);
    let cache = match kind {
        PolicyKind::Identity => &caches[0],
        PolicyKind::Trust => &caches[1],
        PolicyKind::Resource => &caches[2],
    };
    if let Some(policy) = cache.lock().expect("nothing panics while it holds the cache").get(text) {
        return Ok(policy);
    }
    let policy = Arc::new(Policy::parse_as(text, kind)?);
    cache.lock().expect("nothing panics while it holds the cache").put(text, policy.clone());
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_compiled_once_and_the_cache_stays_small() {
        let text = r#"{"Statement": []}"#;
        assert!(Arc::ptr_eq(&cached(text).unwrap(), &cached(text).unwrap()));
        assert!(cached("{").is_err());
        let (mut cache, policy) = (Cache::default(), cached(text).unwrap());
        let long = "x".repeat(100_000);
        for number in 0..100 {
            cache.put(&format!("{number}{long}"), policy.clone());
            assert!(cache.get(&format!("0{long}")).is_some(), "what is asked for stays");
        }
        let bytes: usize = cache.young.keys().chain(cache.old.keys()).map(|text| text.len()).sum();
        assert!(bytes <= 2 * GENERATION_BYTES_MAX + 200_000, "{bytes}");
    }
}
