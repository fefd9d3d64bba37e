//! The program's own log, on standard error. Quiet unless something is wrong; `TACHO_LOG` says more
//! (`TACHO_LOG=debug`, `TACHO_LOG=gateway=trace`).

use crate::escape;
use std::io::{self, Write};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts the log. Only the first call counts.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("TACHO_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    // A second start, in a test, finds the first log running.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Escaped)
        .log_internal_errors(false)
        .try_init()
        .ok();
}

/// Standard error behind the gate: a log line may quote what came from the wire.
struct Escaped;

impl<'a> MakeWriter<'a> for Escaped {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

/// Never fails: standard error may lie on the disk that is full, or its reader may have gone, and a recorder must not end
/// over a line that nobody can read. What has to be known stands in the record as well.
impl Write for Escaped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(escape::bytes(bytes).as_bytes()).ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush().ok();
        Ok(())
    }
}
