//! The machine that is measured on, and what it was busy with besides.

use crate::error::Error;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Under which conditions the figures were taken.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    memory_mb: u64,
    kernel: String,
    file_system: String,
    /// UTC, RFC 3339.
    started: String,
    /// Load average of the last minute before and after.
    load_before: String,
    load_after: String,
    took_seconds: u64,
    command: String,
    #[serde(skip)]
    began: Instant,
}

/// `bench-data` in the target directory that this program was built into: a real disk, not `tmpfs`.
pub(crate) fn default_dir() -> Result<PathBuf, Error> {
    let exe = std::env::current_exe().map_err(Error::io("finding this program"))?;
    exe.parent()
        .and_then(Path::parent)
        .map(|target| target.join("bench-data"))
        .ok_or_else(|| Error::Wrong("this program lies in no target directory: use --dir".into()))
}

/// Looks around.
pub(crate) fn describe(dir: &Path) -> Machine {
    let cpuinfo = read("/proc/cpuinfo");
    let field = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
            .unwrap_or_default()
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal:");
    let memory_kb: u64 = memory
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default();
    Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        processor: field(&cpuinfo, "model name"),
        memory_mb: memory_kb / 1024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        file_system: file_system(dir),
        started: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        load_before: load(),
        load_after: String::new(),
        took_seconds: 0,
        command: std::env::args()
            .skip(1)
            .fold("bench".to_owned(), |all, arg| format!("{all} {arg}")),
        began: Instant::now(),
    }
}

impl Machine {
    pub(crate) fn ended(&mut self) {
        self.load_after = load();
        self.took_seconds = self.began.elapsed().as_secs();
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, `{}`, took {} s",
            self.started, self.command, self.took_seconds
        )?;
        writeln!(
            f,
            "{} cores ({}), {} MB of memory, Linux {}, {}",
            self.cores, self.processor, self.memory_mb, self.kernel, self.file_system
        )?;
        writeln!(
            f,
            "load before {}, after {}",
            self.load_before, self.load_after
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn load() -> String {
    read("/proc/loadavg")
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Type and device of the mount that holds `dir`.
fn file_system(dir: &Path) -> String {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let mounts = read("/proc/self/mounts");
    let mut best = (0, String::from("unknown file system"));
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(at), Some(kind)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if dir.starts_with(at) && at.len() >= best.0 {
            best = (at.len(), format!("{kind} on {device}"));
        }
    }
    best.1
}

/// Processor time of a process so far, user and system; zero when it is gone.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = read(&format!("/proc/{pid}/stat"));
    // The second field is the program's name, in parentheses, and may hold spaces.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(ticks * 1000 / per_second)
}

/// Processor time of this process so far.
pub(crate) fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
