//! CPU, memory, disk and the recorder's own figures, as one flat map of numbers with their units.

use super::proc::{self, CpuTicks};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Clock ticks a second that Linux shows to programs (`USER_HZ`), the same on every architecture
/// this is built for.
const TICKS_PER_SECOND: u64 = 100;

/// Takes samples; remembers the last one for what can only be measured between two.
#[derive(Debug)]
pub(super) struct Sampler {
    data: PathBuf,
    last: Option<CpuTicks>,
}

impl Sampler {
    /// A sampler that looks at the disk `data` lies on.
    pub(super) const fn new(data: PathBuf) -> Self {
        Self { data, last: None }
    }

    /// The state now. What cannot be read is `unknown`.
    pub(super) fn sample(&mut self, recorder: &evidence::Status) -> Map<String, Value> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let memory = read("/proc/meminfo");
        let own = read("/proc/self/status");
        let disk = rustix::fs::statvfs(&self.data).ok();
        let mut facts = Map::new();
        let mut put = |name: &str, value: Option<u64>| {
            facts.insert(name.to_owned(), value.map_or_else(unknown, Value::from));
        };
        put(
            "cpu_cores",
            std::thread::available_parallelism()
                .ok()
                .map(|n| n.get() as u64),
        );
        put(
            "process_cpu_ms",
            proc::process_ticks(&read("/proc/self/stat")).map(|t| t * 1_000 / TICKS_PER_SECOND),
        );
        put("process_resident_bytes", proc::kib_line(&own, "VmRSS"));
        put("process_peak_resident_bytes", proc::kib_line(&own, "VmHWM"));
        put(
            "process_open_files",
            std::fs::read_dir("/proc/self/fd")
                .ok()
                .map(|d| d.count() as u64),
        );
        put("memory_total_bytes", proc::kib_line(&memory, "MemTotal"));
        put(
            "memory_available_bytes",
            proc::kib_line(&memory, "MemAvailable"),
        );
        put(
            "disk_free_bytes",
            disk.as_ref()
                .and_then(|d| d.f_bavail.checked_mul(d.f_frsize)),
        );
        put(
            "disk_total_bytes",
            disk.as_ref()
                .and_then(|d| d.f_blocks.checked_mul(d.f_frsize)),
        );
        put("log_durable_events", Some(recorder.durable));
        put("log_signed_events", Some(recorder.checkpoint));
        put("log_backlog_bytes", Some(recorder.backlog_bytes));
        put("log_refused_events", Some(recorder.refused));
        facts.insert(
            "cpu_busy_percent".to_owned(),
            self.cpu_busy(&read("/proc/stat")),
        );
        facts.insert("load_1m".to_owned(), load(&read("/proc/loadavg")));
        facts
    }

    /// How busy all cores were since the last sample; `unknown` on the first.
    fn cpu_busy(&mut self, stat: &str) -> Value {
        let now = proc::cpu_ticks(stat);
        let last = std::mem::replace(&mut self.last, now);
        let (Some(now), Some(last)) = (now, last) else {
            return unknown();
        };
        let total = now.total.saturating_sub(last.total);
        let busy = now.busy.saturating_sub(last.busy);
        (busy * 100)
            .checked_div(total)
            .map_or_else(unknown, Value::from)
    }
}

fn load(loadavg: &str) -> Value {
    let load = loadavg
        .split(' ')
        .next()
        .and_then(|text| text.parse::<f64>().ok());
    load.map_or_else(unknown, Value::from)
}

fn unknown() -> Value {
    Value::from("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_this_machine_knows_the_essentials() {
        let mut sampler = Sampler::new(std::env::temp_dir());
        let facts = sampler.sample(&evidence::Status::default());
        for name in [
            "cpu_cores",
            "process_resident_bytes",
            "memory_total_bytes",
            "disk_free_bytes",
        ] {
            assert!(facts[name].is_u64(), "{name} is {}", facts[name]);
        }
        assert_eq!(facts["cpu_busy_percent"], "unknown");
    }

    #[test]
    fn a_disk_that_is_not_there_is_unknown() {
        let mut sampler = Sampler::new(PathBuf::from("/no/such/place"));
        assert_eq!(
            sampler.sample(&evidence::Status::default())["disk_free_bytes"],
            "unknown"
        );
    }
}
