//! The few files of `/proc` that a sample is made of, parsed.

/// CPU time of the whole machine in clock ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuTicks {
    /// Spent on anything but idling.
    pub(super) busy: u64,
    /// All of it.
    pub(super) total: u64,
}

/// The first line of `/proc/stat`: user nice system idle iowait irq softirq steal.
pub(super) fn cpu_ticks(stat: &str) -> Option<CpuTicks> {
    let numbers = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = numbers
        .split_whitespace()
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let idle = ticks.get(3)?.checked_add(*ticks.get(4)?)?;
    let total = ticks
        .iter()
        .try_fold(0_u64, |sum, ticks| sum.checked_add(*ticks))?;
    Some(CpuTicks {
        busy: total.checked_sub(idle)?,
        total,
    })
}

/// User and system time of one process in clock ticks, from `/proc/PID/stat`. The name of the
/// process stands in parentheses and may hold anything, so the fields count from the last one.
pub(super) fn process_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// One line `Name:   1234 kB` of `/proc/meminfo` or `/proc/PID/status`, in bytes.
pub(super) fn kib_line(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim()
        .strip_suffix(" kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_as_the_kernel_writes_them() {
        let stat = "cpu  100 5 50 800 45 0 10 0 0 0\ncpu0 1 2 3 4\n";
        assert_eq!(
            cpu_ticks(stat),
            Some(CpuTicks {
                busy: 165,
                total: 1010
            })
        );
        let own = "42 (a) b (c) S 1 42 42 0 -1 4194304 10 0 0 0 700 300 0 0 20 0 8 0 1 2 3\n";
        assert_eq!(process_ticks(own), Some(1000));
        let memory = "MemTotal:        8000 kB\nMemAvailable:    4000 kB\n";
        assert_eq!(kib_line(memory, "MemAvailable"), Some(4000 * 1024));
        assert_eq!(kib_line(memory, "Mem"), None);
    }

    #[test]
    fn nonsense_is_not_known() {
        for text in [
            "",
            "cpu",
            "cpu  x",
            "cpu  1 2",
            "cpu  18446744073709551615 1 1 1 1 1 1 1",
        ] {
            assert_eq!(cpu_ticks(text), None, "{text}");
        }
        assert_eq!(process_ticks("1 (x) S"), None);
        assert_eq!(kib_line("VmRSS: many kB", "VmRSS"), None);
    }
}
