//! What the recorder takes from the system besides the disk: the clocks and randomness.
//!
//! Nothing else in this crate asks the system for either, so that a simulation, which runs on one thread and
//! decides everything by a seed, decides these too.

use crate::error::Error;
use aws_lc_rs::rand;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// The clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// Wall clock, since 1970-01-01 UTC. May be set back.
    pub(crate) wall: Duration,
    /// Since the machine was started.
    pub(crate) boot: Duration,
}

/// Reads the clocks.
pub(crate) fn clocks() -> Clocks {
    #[cfg(test)]
    if let Some(clocks) = simulated::clocks() {
        return clocks;
    }
    let wall = clock_gettime(ClockId::Realtime);
    let boot = clock_gettime(ClockId::Boottime);
    Clocks {
        wall: Duration::try_from(wall).unwrap_or_default(),
        boot: Duration::try_from(boot).unwrap_or_default(),
    }
}

/// The clock that timeouts are measured with.
pub(crate) fn now() -> Instant {
    #[cfg(test)]
    if let Some(now) = simulated::now() {
        return now;
    }
    Instant::now()
}

/// Names this start of the machine.
pub(crate) fn boot_id() -> String {
    #[cfg(test)]
    if let Some(id) = simulated::boot_id() {
        return id;
    }
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .ok()
        .filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Fills `bytes` with what nobody can foresee.
///
/// # Errors
/// [`Error::Fatal`]: the system has no randomness to give.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    #[cfg(test)]
    if simulated::fill(bytes) {
        return Ok(());
    }
    rand::fill(bytes).map_err(|_| Error::Fatal("the system gives no randomness".into()))
}

/// The clocks and the chance of a simulation, each thread its own.
#[cfg(test)]
pub(crate) mod simulated {
    use super::Clocks;
    use std::cell::RefCell;
    use std::time::{Duration, Instant};

    #[derive(Debug)]
    struct Ambient {
        clocks: Clocks,
        boots: u64,
        began: Instant,
        passed: Duration,
        chance: u64,
    }

    thread_local! {
        static AMBIENT: RefCell<Option<Ambient>> = const { RefCell::new(None) };
    }

    /// From now on this thread sees the clocks and the chance of `seed`.
    pub(crate) fn begin(seed: u64) {
        let ambient = Ambient {
            clocks: Clocks {
                wall: Duration::from_secs(1_795_000_000),
                boot: Duration::from_secs(100),
            },
            boots: 0,
            began: Instant::now(),
            passed: Duration::ZERO,
            chance: seed ^ 0x5eed_5eed_5eed_5eed,
        };
        AMBIENT.set(Some(ambient));
    }

    /// This thread sees the system's clocks and chance again.
    pub(crate) fn end() {
        AMBIENT.set(None);
    }

    /// Lets time pass.
    pub(crate) fn pass(time: Duration) {
        change(|ambient| {
            ambient.clocks.wall += time;
            ambient.clocks.boot += time;
            ambient.passed += time;
        });
    }

    /// Somebody sets the wall clock back.
    pub(crate) fn set_back(by: Duration) {
        change(|ambient| ambient.clocks.wall -= by);
    }

    /// The machine starts anew.
    pub(crate) fn reboot() {
        change(|ambient| {
            ambient.boots += 1;
            ambient.clocks.boot = Duration::from_secs(5);
        });
    }

    fn change<T>(act: impl FnOnce(&mut Ambient) -> T) -> Option<T> {
        AMBIENT.with_borrow_mut(|ambient| ambient.as_mut().map(act))
    }

    pub(super) fn clocks() -> Option<Clocks> {
        change(|ambient| {
            // Two readings never agree to the nanosecond.
            ambient.clocks.wall += Duration::from_nanos(1);
            ambient.clocks.boot += Duration::from_nanos(1);
            ambient.clocks
        })
    }

    pub(super) fn now() -> Option<Instant> {
        change(|ambient| ambient.began + ambient.passed)
    }

    pub(super) fn boot_id() -> Option<String> {
        change(|ambient| format!("00000000-0000-4000-8000-{:012x}", ambient.boots))
    }

    pub(super) fn fill(bytes: &mut [u8]) -> bool {
        change(|ambient| {
            for piece in bytes.chunks_mut(8) {
                let word = crate::sim::mix(&mut ambient.chance).to_le_bytes();
                piece.iter_mut().zip(word).for_each(|(to, from)| *to = from);
            }
        })
        .is_some()
    }
}
