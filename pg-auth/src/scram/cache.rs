//! A cache of SCRAM keys.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

use super::ScramKeys;
use super::keys::{Bytes, filled, hmac};
use crate::secret::Password;

/// A cache of SCRAM keys: a later login with the same password does not derive the keys again. With cached keys, a login computes a few
/// hashes instead of the thousands of hashes that PBKDF2 takes.
///
/// Each entry contains a salt, an iteration count, the keys, and a hash of the password. The hash is keyed with a secret of the cache; the
/// password itself is not kept. When the cache is full, the least recently used entry is removed. An entry is also removed after an hour,
/// or after the time set by [`max_age`](Self::max_age). The client's state machine inserts keys only after the server has proven that it
/// knows the keys. A clone shares the same cache. Keys are wiped when they are removed or dropped, and never printed.
///
/// ```
/// use pg_auth::{Config, scram::KeyCache};
///
/// let cache = KeyCache::default();
/// let config = Config::new("alice").password("s3cret").scram_cache(&cache);
/// assert!(cache.is_empty(), "nobody has logged in yet");
/// # let _ = config;
/// ```
#[derive(Clone)]
pub struct KeyCache(Arc<Mutex<Entries>>);

struct Entries {
    /// The entries, most recently used first.
    entries: VecDeque<Entry>,
    most: NonZeroUsize,
    max_age: Option<Duration>,
    /// The secret key with which the cache hashes passwords.
    key: Bytes,
}

struct Entry {
    /// Keyed hash of the password from which the keys were derived.
    password: Bytes,
    /// The time of insertion, if there is an age limit.
    since: Option<Instant>,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    keys: ScramKeys,
}

/// Default of [`KeyCache::max_age`]: an hour. No limit on `wasm32-unknown-unknown`, because Rust's standard library has no clock on this
/// target.
const MAX_AGE: Option<Duration> = if cfg!(all(target_family = "wasm", target_os = "unknown")) {
    None
} else {
    Some(Duration::from_secs(60 * 60))
};

impl KeyCache {
    /// Creates an empty cache for up to `most` entries. Each user on each server needs one entry.
    pub fn new(most: NonZeroUsize) -> Self {
        let key = filled(|key| {
            // `RandomState` gets its seed from the operating system. So the key is random even without the feature `getrandom`.
            for part in key.chunks_mut(8) {
                part.copy_from_slice(&RandomState::new().build_hasher().finish().to_ne_bytes());
            }
        });
        Self(Arc::new(Mutex::new(Entries { entries: VecDeque::new(), most, max_age: MAX_AGE, key })))
    }

    /// Sets the maximum age of keys; `None` means no limit. Default: one hour. On `wasm32-unknown-unknown`, the default is no limit.
    ///
    /// With an age limit, [`get`](Self::get) and [`insert`](Self::insert) read the clock.
    pub fn max_age(self, age: Option<Duration>) -> Self {
        self.lock().max_age = age;
        self
    }

    /// The keys for this password, salt and iteration count, if the cache has them.
    pub fn get(&self, password: &Password, salt: &[u8], iterations: NonZeroU32) -> Option<ScramKeys> {
        let mut cache = self.lock();
        cache.expire();
        let at = cache.position(password, salt, iterations)?;
        let entry = cache.entries.remove(at)?;
        let keys = entry.keys.clone();
        cache.entries.push_front(entry);
        Some(keys)
    }

    /// Inserts keys. When the cache is full, the least recently used entry is removed.
    pub fn insert(&self, password: &Password, salt: &[u8], iterations: NonZeroU32, keys: ScramKeys) {
        let mut cache = self.lock();
        cache.expire();
        if let Some(at) = cache.position(password, salt, iterations) {
            cache.entries.remove(at);
        }
        let most = cache.most.get();
        cache.entries.truncate(most - 1);
        let (password, since) = (cache.hash(password), cache.max_age.map(|_| Instant::now()));
        cache.entries.push_front(Entry { password, since, salt: salt.to_vec(), iterations, keys });
    }

    /// The number of entries in the cache.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether the cache is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all keys.
    pub fn clear(&self) {
        self.lock().entries.clear();
    }

    /// Locks the entries. A poisoned lock is safe to use: no panic can leave an entry half changed.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn position(&self, password: &Password, salt: &[u8], iterations: NonZeroU32) -> Option<usize> {
        let password = self.hash(password);
        // The hashes of the passwords are compared in constant time. The salts are not, because salts are not secret.
        self.entries.iter().position(|entry| {
            let same: bool = entry.password.ct_eq(password.as_slice()).into();
            entry.iterations == iterations && entry.salt == salt && same
        })
    }

    fn hash(&self, password: &Password) -> Bytes {
        filled(|out| hmac(self.key.as_slice(), &[password.as_bytes()], out))
    }

    /// Removes the entries that are too old.
    fn expire(&mut self) {
        let Some(max_age) = self.max_age else { return };
        let now = Instant::now();
        let is_young = |since: Instant| now.saturating_duration_since(since) < max_age;
        self.entries.retain(|entry| entry.since.is_some_and(is_young));
    }
}

impl Default for KeyCache {
    /// A cache for up to 64 entries.
    fn default() -> Self {
        Self::new(const { NonZeroUsize::new(64).expect("the number is not zero") })
    }
}

impl PartialEq for KeyCache {
    /// Whether both values share the same cache.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for KeyCache {}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scram::{DEFAULT_ITERATIONS, Derivation};

    fn keys(password: &str) -> ScramKeys {
        let one = NonZeroU32::new(1).expect("the number is not zero");
        let salted = Derivation::new(&password.into(), b"salt".to_vec(), one).run();
        ScramKeys { client: salted.client_key(), server: salted.server_key() }
    }

    #[test]
    fn password_salt_and_iteration_count_must_all_match() {
        let cache = KeyCache::default();
        let more = NonZeroU32::new(4097).expect("the number is not zero");
        cache.insert(&"a".into(), b"salt", DEFAULT_ITERATIONS, keys("a"));
        assert_eq!(cache.get(&"a".into(), b"salt", DEFAULT_ITERATIONS), Some(keys("a")));
        assert_eq!(cache.get(&"b".into(), b"salt", DEFAULT_ITERATIONS), None);
        assert_eq!(cache.get(&"a".into(), b"tlas", DEFAULT_ITERATIONS), None);
        assert_eq!(cache.get(&"a".into(), b"salt", more), None);
    }

    #[test]
    fn a_full_cache_removes_the_least_recently_used_entry() {
        let cache = KeyCache::new(NonZeroUsize::new(2).expect("the number is not zero"));
        let has = |password: &str| cache.get(&password.into(), b"salt", DEFAULT_ITERATIONS).is_some();
        for password in ["a", "b"] {
            cache.insert(&password.into(), b"salt", DEFAULT_ITERATIONS, keys(password));
        }
        assert!(has("a"));
        cache.insert(&"c".into(), b"salt", DEFAULT_ITERATIONS, keys("c"));
        assert_eq!((cache.len(), has("a"), has("b"), has("c")), (2, true, false, true));
        cache.insert(&"c".into(), b"salt", DEFAULT_ITERATIONS, keys("d"));
        assert_eq!(cache.len(), 2, "the new keys replace the earlier keys");
        cache.clear();
        assert!(cache.is_empty());
    }

    #[test]
    fn keys_above_the_maximum_age_are_removed() {
        let cache = KeyCache::default().max_age(Some(Duration::ZERO));
        cache.insert(&"a".into(), b"salt", DEFAULT_ITERATIONS, keys("a"));
        assert_eq!(cache.get(&"a".into(), b"salt", DEFAULT_ITERATIONS), None);
        assert!(cache.is_empty(), "the old entry is removed, not only skipped");
        for age in [None, Some(Duration::MAX)] {
            let cache = KeyCache::default().max_age(age);
            cache.insert(&"a".into(), b"salt", DEFAULT_ITERATIONS, keys("a"));
            assert_eq!(cache.get(&"a".into(), b"salt", DEFAULT_ITERATIONS), Some(keys("a")));
        }
    }

    #[test]
    fn two_caches_hash_a_password_differently() {
        let hash = || KeyCache::default().lock().hash(&"a".into());
        assert_ne!(**hash(), **hash());
    }

    #[test]
    fn debug_output_hides_the_keys() {
        let cache = KeyCache::default();
        cache.insert(&"hunter2".into(), b"salt", DEFAULT_ITERATIONS, keys("hunter2"));
        assert_eq!(format!("{cache:?}"), "KeyCache { len: 1, .. }");
    }
}
