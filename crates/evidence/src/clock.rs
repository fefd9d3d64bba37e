//! Time as the record states it.

use rustix::time::{ClockId, clock_gettime};
use std::io::Write as _;

/// Reads the clocks and spells them. The spelling of the current second is kept, because formatting
/// a date costs more than reading a clock.
#[derive(Debug)]
pub(crate) struct Clock {
    boot: String,
    second: i64,
    prefix: String,
    text: String,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .ok()
            .filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'))
            .unwrap_or_else(|| "unknown".to_owned());
        Self {
            boot,
            second: i64::MIN,
            prefix: String::new(),
            text: String::new(),
        }
    }

    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// Wall clock (RFC 3339, UTC, nanoseconds) and nanoseconds since boot.
    pub(crate) fn read(&mut self) -> (u64, &str) {
        let wall = clock_gettime(ClockId::Realtime);
        let boot = clock_gettime(ClockId::Boottime);
        if wall.tv_sec != self.second {
            self.second = wall.tv_sec;
            self.prefix = jiff::Timestamp::from_second(wall.tv_sec)
                .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S").to_string())
                .unwrap_or_else(|_| "1970-01-01T00:00:00".to_owned());
        }
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        // Writing to a Vec cannot fail.
        write!(bytes, "{}.{:09}Z", self.prefix, wall.tv_nsec).ok();
        self.text = String::from_utf8(bytes).unwrap_or_default();
        let boot_ns = u64::try_from(boot.tv_sec).unwrap_or(0) * 1_000_000_000
            + u64::try_from(boot.tv_nsec).unwrap_or(0);
        (boot_ns, &self.text)
    }
}
