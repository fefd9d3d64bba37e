//! Retries: which calls are further attempts of one call.
//!
//! An SDK says so (a retry counter, an idempotency key that comes again), or the same body goes to the same place
//! again soon after it failed. Bounded: the oldest calls are forgotten first.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// Calls that are remembered; one with an idempotency key counts twice.
const CALLS: usize = 8192;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// From 1.
    pub(crate) number: u32,
    /// `seq` of the first attempt's request event; `None` on the first.
    pub(crate) retry_of: Option<u64>,
    /// The run of the attempt before it.
    pub(crate) run: Option<String>,
    id: u64,
    before: Option<u64>,
    keys: Keys,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a whole, good answer.
    Answered,
    /// Without one.
    Failed,
    /// It was not recorded and not forwarded.
    NotOpened,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Keys {
    body: u64,
    idempotency: Option<u64>,
}

impl Keys {
    fn each(self) -> impl Iterator<Item = u64> {
        std::iter::once(self.body).chain(self.idempotency)
    }
}

/// What is known of an attempt's fate, by how likely the next equal call repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Repeated,
    Answered,
    Open,
    Failed,
}

#[derive(Debug)]
struct Known {
    id: u64,
    first: u64,
    attempts: u32,
    run: Option<String>,
    fate: Fate,
    at: Instant,
}

/// The memory of attempts. Equal calls that run beside each other are kept apart.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    known: HashMap<u64, Vec<Known>>,
    order: VecDeque<(u64, u64)>,
    next: u64,
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
    /// Which attempt a call is. The one it repeats is not repeated again.
    pub(crate) fn look_up(&mut self, call: AttemptKeys, now: Instant) -> Attempt {
        let (keys, said) = (call.keys, call.retries > 0);
        let id = self.next;
        self.next += 1;
        let before = keys
            .idempotency
            .and_then(|key| self.likeliest(key, now))
            .or_else(|| {
                self.likeliest(keys.body, now)
                    .filter(|known| said || known.fate == Fate::Failed)
            });
        let mut attempt = Attempt {
            // An SDK's counter is believed even where the first attempt was not seen.
            number: call.retries.saturating_add(1),
            retry_of: None,
            run: None,
            id,
            before: None,
            keys,
        };
        if let Some(known) = before {
            attempt.number = known.attempts.saturating_add(1);
            attempt.retry_of = Some(known.first);
            attempt.run.clone_from(&known.run);
            attempt.before = Some(known.id);
        }
        if let Some(before) = attempt.before {
            self.set(&attempt, before, Fate::Repeated, now);
        }
        attempt
    }

    /// Of several, those that failed come first, and the oldest of them.
    fn likeliest(&self, key: u64, now: Instant) -> Option<&Known> {
        self.known
            .get(&key)?
            .iter()
            .filter(|known| now.duration_since(known.at) < WINDOW && known.fate != Fate::Repeated)
            .rev()
            .max_by_key(|known| known.fate)
    }

    /// The attempt's request event has its place in the log, and in `run`.
    pub(crate) fn opened(
        &mut self,
        attempt: &Attempt,
        seq: u64,
        run: Option<String>,
        now: Instant,
    ) {
        for key in attempt.keys.each() {
            let calls = self.known.entry(key).or_default();
            calls.retain(|known| Some(known.id) != attempt.before);
            calls.push(Known {
                id: attempt.id,
                first: attempt.retry_of.unwrap_or(seq),
                attempts: attempt.number,
                run: run.clone(),
                fate: Fate::Open,
                at: now,
            });
            self.order.push_back((key, attempt.id));
        }
        while self.order.len() > CALLS {
            let Some((key, id)) = self.order.pop_front() else {
                return;
            };
            self.forget(key, |known| known.id == id);
        }
    }

    /// The attempt ended.
    pub(crate) fn ended(&mut self, attempt: &Attempt, end: End, now: Instant) {
        match (end, attempt.before) {
            (End::Failed, _) => self.set(attempt, attempt.id, Fate::Failed, now),
            (End::Answered, _) => {
                // One answered call stands for all that said the same: only a client that says it retries can mean them.
                for key in attempt.keys.each() {
                    self.forget(key, |known| known.fate == Fate::Answered);
                }
                self.set(attempt, attempt.id, Fate::Answered, now);
            }
            (End::NotOpened, Some(before)) => self.set(attempt, before, Fate::Failed, now),
            (End::NotOpened, None) => {}
        }
    }

    fn set(&mut self, attempt: &Attempt, id: u64, fate: Fate, now: Instant) {
        for key in attempt.keys.each() {
            let known = self.known.get_mut(&key).into_iter().flatten();
            for known in known.filter(|known| known.id == id) {
                known.fate = fate;
                known.at = now;
            }
        }
    }

    fn forget(&mut self, key: u64, gone: impl Fn(&Known) -> bool) {
        let Some(calls) = self.known.get_mut(&key) else {
            return;
        };
        calls.retain(|known| !gone(known));
        if calls.is_empty() {
            self.known.remove(&key);
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
            self.1
                .opened(&attempt, seq, Some(format!("run of {seq}")), self.2);
            let got = (attempt.number, attempt.retry_of);
            (attempt, got)
        }

        fn end(&mut self, attempt: &Attempt, end: End) {
            self.1.ended(attempt, end, self.2);
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
        let (second, got) = memory.next(9, &call(None, 0, b"x"));
        assert_eq!(got, (1, None), "in flight beside it");
        memory.end(&second, End::Answered);
        assert_eq!(memory.next(10, &call(None, 0, b"x")).1, (1, None));
        memory.end(&first, End::Failed);
        let (again, got) = memory.next(12, &call(None, 0, b"x"));
        // Not of 9 or 10, which did not fail, however much newer they are.
        assert_eq!(got, (2, Some(5)));
        assert_eq!(again.run.as_deref(), Some("run of 5"));
        assert_eq!(memory.next(13, &call(None, 0, b"x")).1, (1, None));
        assert_eq!(memory.next(14, &call(None, 0, b"y")).1, (1, None));
    }

    #[test]
    fn each_of_several_failed_calls_is_repeated_once() {
        let mut memory = memory();
        let calls: Vec<Attempt> = (0..3)
            .map(|seq| memory.next(seq, &call(None, 0, b"x")).0)
            .collect();
        for call in &calls {
            memory.end(call, End::Failed);
        }
        let keys = Attempt::keys(&memory.0, &call(None, 0, b"x"));
        let again: Vec<Attempt> = (0..4).map(|_| memory.1.look_up(keys, memory.2)).collect();
        let of: Vec<_> = again.iter().map(|attempt| attempt.retry_of).collect();
        assert_eq!(of, [Some(0), Some(1), Some(2), None]);
        // A repetition that could not be recorded leaves its call to the next.
        memory.end(&again[1], End::NotOpened);
        assert_eq!(memory.1.look_up(keys, memory.2).retry_of, Some(1));
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
        memory.end(&first, End::Failed);
        memory.2 += WINDOW;
        assert_eq!(memory.next(6, &call(None, 0, b"x")).1, (1, None));
        for seq in 0..20_000u64 {
            memory.next(seq, &call(None, 0, &(seq % 9000).to_le_bytes()));
        }
        assert!(memory.1.known.len() <= CALLS && memory.1.order.len() <= CALLS);
        let held: usize = memory.1.known.values().map(Vec::len).sum();
        assert!(held <= CALLS);
    }
}
