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
    let wall = clock_gettime(ClockId::Realtime);
    let boot = clock_gettime(ClockId::Boottime);
    Clocks {
        wall: Duration::try_from(wall).unwrap_or_default(),
        boot: Duration::try_from(boot).unwrap_or_default(),
    }
}

/// The clock that timeouts are measured with.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Names this start of the machine.
pub(crate) fn boot_id() -> String {
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
    rand::fill(bytes).map_err(|_| Error::Fatal("the system gives no randomness".into()))
}
