//! Retries: which calls are further attempts of one call.
//!
//! An SDK says so (a retry counter, an idempotency key that comes again), or the same body goes to the same place
//! again soon after it failed. Bounded: the oldest calls are forgotten first.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// Keys that are remembered; a call has up to two.
const KEYS: usize = 8192;

/// How long after an attempt the next one still belongs to it.
const WINDOW: Duration = Duration::from_mins(10);

/// What identifies a call among attempts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fingerprint<'a> {
    /// Who asks.
    pub(crate) agent: &'a str,
    /// Whom.
    pub(crate) upstream: &'a str,
    /// Method and address.
    pub(crate) method: &'a str,
    /// Path and query as forwarded.
    pub(crate) path: &'a str,
    /// The idempotency key on the wire.
    pub(crate) idempotency_key: Option<&'a str>,
    /// How many times before the SDK says it has tried.
    pub(crate) retries: u32,
    /// The body on the wire.
    pub(crate) body: &'a [u8],
}

/// One attempt: its number, and the first attempt's request event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// From 1.
    pub(crate) number: u32,
    /// `seq` of the first attempt's request event; `None` on the first.
    pub(crate) retry_of: Option<u64>,
    keys: Keys,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Keys {
    body: u64,
    idempotency: Option<u64>,
}

#[derive(Debug)]
struct Known {
    first: u64,
    attempts: u32,
    failed: bool,
    at: Instant,
}

/// The memory of attempts.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    known: HashMap<u64, Known>,
    order: VecDeque<u64>,
}

impl Attempt {
    /// Reads what kind of attempt this is. Hashes the body: call it without holding the memory.
    pub(crate) fn keys(hasher: &RandomState, call: &Fingerprint<'_>) -> AttemptKeys {
        let place = (call.agent, call.upstream);
        AttemptKeys {
            keys: Keys {
                body: hasher.hash_one((place, call.method, call.path, call.body)),
                idempotency: call
                    .idempotency_key
                    .map(|key| hasher.hash_one((place, "idempotency", key))),
            },
            retries: call.retries,
        }
    }
}

/// The keys of a call, ready to be looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptKeys {
    keys: Keys,
    retries: u32,
}

impl Attempts {
    /// Which attempt a call is.
    pub(crate) fn look_up(&self, call: AttemptKeys, now: Instant) -> Attempt {
        let recent = |key: u64| {
            self.known
                .get(&key)
                .filter(|known| now.duration_since(known.at) < WINDOW)
        };
        let same_key = call.keys.idempotency.and_then(recent);
        let same_body = recent(call.keys.body).filter(|known| known.failed || call.retries > 0);
        match same_key.or(same_body) {
            Some(known) => Attempt {
                number: known.attempts.saturating_add(1),
                retry_of: Some(known.first),
                keys: call.keys,
            },
            // An SDK's counter is believed even where the first attempt was not seen.
            None => Attempt {
                number: call.retries.saturating_add(1),
                retry_of: None,
                keys: call.keys,
            },
        }
    }

    /// The attempt's request event has its place in the log.
    pub(crate) fn opened(&mut self, attempt: &Attempt, seq: u64, now: Instant) {
        let first = attempt.retry_of.unwrap_or(seq);
        for key in std::iter::once(attempt.keys.body).chain(attempt.keys.idempotency) {
            let known = Known {
                first,
                attempts: attempt.number,
                failed: false,
                at: now,
            };
            if self.known.insert(key, known).is_none() {
                self.order.push_back(key);
            }
        }
        while self.known.len() > KEYS {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.known.remove(&oldest);
        }
    }

    /// The attempt ended without a whole, good answer.
    pub(crate) fn failed(&mut self, attempt: &Attempt, now: Instant) {
        for key in std::iter::once(attempt.keys.body).chain(attempt.keys.idempotency) {
            if let Some(known) = self.known.get_mut(&key) {
                known.failed = true;
                known.at = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(key: Option<&'a str>, retries: u32, body: &'a [u8]) -> Fingerprint<'a> {
        Fingerprint {
            agent: "a",
            upstream: "u",
            method: "POST",
            path: "/v1/messages",
            idempotency_key: key,
            retries,
            body,
        }
    }

    struct Memory(RandomState, Attempts, Instant);

    impl Memory {
        fn next(&mut self, seq: u64, call: &Fingerprint<'_>) -> (Attempt, (u32, Option<u64>)) {
            let attempt = self.1.look_up(Attempt::keys(&self.0, call), self.2);
            self.1.opened(&attempt, seq, self.2);
            (attempt, (attempt.number, attempt.retry_of))
        }
    }

    fn memory() -> Memory {
        Memory(RandomState::new(), Attempts::default(), Instant::now())
    }

    #[test]
    fn the_same_body_again_is_a_new_call_unless_it_failed() {
        let mut memory = memory();
        let (first, got) = memory.next(5, &call(None, 0, b"x"));
        assert_eq!(got, (1, None));
        assert_eq!(memory.next(9, &call(None, 0, b"x")).1, (1, None));
        memory.1.failed(&first, memory.2);
        assert_eq!(memory.next(12, &call(None, 0, b"x")).1, (2, Some(9)));
        assert_eq!(memory.next(13, &call(None, 0, b"y")).1, (1, None));
    }

    #[test]
    fn an_idempotency_key_that_comes_again_is_a_retry() {
        let mut memory = memory();
        memory.next(5, &call(Some("k"), 0, b"x"));
        assert_eq!(memory.next(9, &call(Some("k"), 1, b"x2")).1, (2, Some(5)));
        assert_eq!(memory.next(11, &call(Some("k"), 2, b"x3")).1, (3, Some(5)));
        assert_eq!(memory.next(14, &call(Some("other"), 0, b"z")).1, (1, None));
    }

    #[test]
    fn the_sdks_counter_is_believed() {
        let mut memory = memory();
        assert_eq!(memory.next(5, &call(None, 2, b"x")).1, (3, None));
        assert_eq!(memory.next(7, &call(None, 3, b"x")).1, (4, Some(5)));
    }

    #[test]
    fn old_attempts_are_forgotten() {
        let mut memory = memory();
        let (first, _) = memory.next(5, &call(None, 0, b"x"));
        memory.1.failed(&first, memory.2);
        memory.2 += WINDOW;
        assert_eq!(memory.next(6, &call(None, 0, b"x")).1, (1, None));
        for seq in 0..20_000u64 {
            memory.next(seq, &call(None, 0, &seq.to_le_bytes()));
        }
        assert!(memory.1.known.len() <= KEYS && memory.1.order.len() <= KEYS);
    }
}
