//! Whether the clock that stamps the events is being kept right, and whether it was set.
//!
//! The kernel's own answer (`adjtimex`) needs a system call that no safe interface here offers,
//! so this reads what the daemons leave behind and says where it looked. What it can prove by
//! itself is a step: the wall clock and the boot clock drift apart only when someone sets one.

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde_json::{Map, Value};
use std::path::Path;

/// systemd-timesyncd creates this file when it has synchronised, and touches it each time.
const TIMESYNCD_MARK: &str = "/run/systemd/timesync/synchronized";

/// Daemons that keep a clock, by the name the kernel knows them under (cut to 15 bytes).
const DAEMONS: [&str; 6] = [
    "chronyd",
    "ntpd",
    "ntpsec",
    "ptp4l",
    "phc2sys",
    "systemd-timesyn",
];

/// A difference between the clocks' paces below this is slewing, not a step.
const STEP_NS: i128 = 50_000_000;

/// Takes samples; remembers the distance between the clocks.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    offset_ns: Option<i128>,
}

impl Sampler {
    /// The state of the clock now.
    pub(super) fn sample(&mut self) -> Map<String, Value> {
        let mut facts = synchronisation(Path::new(TIMESYNCD_MARK), &daemons(Path::new("/proc")));
        facts.insert("clocksource".to_owned(), clocksource());
        let offset =
            nanos(clock_gettime(ClockId::Realtime)) - nanos(clock_gettime(ClockId::Boottime));
        facts.insert("stepped_ms".to_owned(), self.stepped(offset).into());
        facts
    }

    /// Milliseconds the wall clock was set by since the last sample; 0 where it was only slewed.
    fn stepped(&mut self, offset_ns: i128) -> i64 {
        let last = self.offset_ns.replace(offset_ns).unwrap_or(offset_ns);
        let moved = offset_ns - last;
        if moved.abs() < STEP_NS {
            return 0;
        }
        i64::try_from(moved / 1_000_000).unwrap_or(i64::MAX)
    }
}

/// What the daemons left behind. `synchronized` is true only where a daemon said so.
fn synchronisation(mark: &Path, daemons: &[String]) -> Map<String, Value> {
    let mut facts = Map::new();
    let synchronized_at = std::fs::metadata(mark)
        .and_then(|meta| meta.modified())
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok());
    let timesyncd = daemons.iter().any(|name| name == "systemd-timesyn");
    let (synchronized, how) = match synchronized_at {
        Some(_) if timesyncd => (Value::from(true), "systemd-timesyncd's mark"),
        _ if daemons.is_empty() => (
            Value::from("unknown"),
            "no time daemon is visible; the host may keep the clock",
        ),
        _ => (
            Value::from("unknown"),
            "a time daemon runs; its state was not asked",
        ),
    };
    facts.insert("synchronized".to_owned(), synchronized);
    facts.insert("known_by".to_owned(), how.into());
    if let Some(time) = synchronized_at {
        facts.insert("synchronized_at".to_owned(), time.to_string().into());
    }
    facts.insert("daemons".to_owned(), daemons.to_vec().into());
    facts
}

/// Time daemons among the processes that can be seen.
fn daemons(proc: &Path) -> Vec<String> {
    let Ok(processes) = std::fs::read_dir(proc) else {
        return Vec::new();
    };
    let mut found: Vec<String> = processes
        .filter_map(Result::ok)
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| DAEMONS.contains(&name.as_str()))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn clocksource() -> Value {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    std::fs::read_to_string(path).map_or_else(
        |_| Value::from("unknown"),
        |text| Value::from(text.trim_end()),
    )
}

fn nanos(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_and_a_slew_is_not() {
        let mut sampler = Sampler::default();
        assert_eq!(sampler.stepped(5_000_000_000), 0);
        assert_eq!(sampler.stepped(5_001_000_000), 0);
        assert_eq!(sampler.stepped(65_001_000_000), 60_000);
        assert_eq!(sampler.stepped(5_001_000_000), -60_000);
    }

    #[test]
    fn what_no_daemon_said_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("synchronized");
        let none = synchronisation(&mark, &[]);
        assert_eq!(none["synchronized"], "unknown");
        let chrony = synchronisation(&mark, &["chronyd".to_owned()]);
        assert_eq!(chrony["synchronized"], "unknown");
        std::fs::write(&mark, "").unwrap();
        let stale = synchronisation(&mark, &[]);
        assert_eq!(stale["synchronized"], "unknown");
        let sure = synchronisation(&mark, &["systemd-timesyn".to_owned()]);
        assert_eq!(sure["synchronized"], true);
        assert!(sure["synchronized_at"].is_string());
    }

    #[test]
    fn daemons_are_found_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, name) in [
            ("1", "init"),
            ("7", "chronyd"),
            ("8", "chronyd"),
            ("self", "ntpd"),
        ] {
            std::fs::create_dir(dir.path().join(pid)).unwrap();
            std::fs::write(dir.path().join(pid).join("comm"), format!("{name}\n")).unwrap();
        }
        assert_eq!(daemons(dir.path()), ["chronyd"]);
    }
}
