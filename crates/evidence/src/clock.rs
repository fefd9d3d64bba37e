//! Time as the record states it.

use crate::ambient;
use std::io::Write as _;

/// Spells the clocks. The spelling of the current second is kept, because formatting a date costs
/// more than reading a clock.
#[derive(Debug)]
pub(crate) struct Clock {
    boot: String,
    second: u64,
    prefix: String,
    text: String,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            boot: ambient::boot_id(),
            second: u64::MAX,
            prefix: String::new(),
            text: String::new(),
        }
    }

    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// Nanoseconds since boot, and the wall clock (RFC 3339, UTC, nanoseconds).
    pub(crate) fn read(&mut self) -> (u64, &str) {
        let clocks = ambient::clocks();
        let second = clocks.wall.as_secs();
        if second != self.second {
            self.second = second;
            self.prefix = i64::try_from(second)
                .ok()
                .and_then(|second| jiff::Timestamp::from_second(second).ok())
                .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S").to_string())
                .unwrap_or_else(|| "1970-01-01T00:00:00".to_owned());
        }
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        // Writing to a Vec cannot fail.
        write!(bytes, "{}.{:09}Z", self.prefix, clocks.wall.subsec_nanos()).ok();
        self.text = String::from_utf8(bytes).unwrap_or_default();
        let boot_ns = u64::try_from(clocks.boot.as_nanos()).unwrap_or(u64::MAX);
        (boot_ns, &self.text)
    }
}
