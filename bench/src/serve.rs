//! The product itself: `tacho serve`, the release binary, as a process of its own.

use crate::error::Error;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to stop: open calls end, everything is settled and signed.
const STOP_PATIENCE: Duration = Duration::from_secs(90);

/// A running recorder with its store in a directory of its own, which goes with it.
#[derive(Debug)]
pub(crate) struct Serve {
    child: Child,
    gateway: SocketAddr,
    home: tempfile::TempDir,
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// The most that was ever resident.
    pub(crate) peak: u64,
    /// Resident now.
    pub(crate) now: u64,
}

/// The recorder's binary, beside this one.
pub(crate) fn binary() -> Result<PathBuf, Error> {
    let exe = std::env::current_exe().map_err(Error::io("finding this program"))?;
    let tacho = exe.with_file_name("tacho");
    if tacho.exists() {
        Ok(tacho)
    } else {
        Err(Error::Wrong(format!(
            "{} is missing: build it with `cargo build --release -p tachograph`",
            tacho.display()
        )))
    }
}

impl Serve {
    /// Starts a recorder in front of one model upstream, `bench`, and one MCP server, `tools`.
    pub(crate) fn start(dir: &Path, model: SocketAddr, tools: SocketAddr) -> Result<Self, Error> {
        let what = Error::io("starting tacho serve");
        let home = tempfile::tempdir_in(dir).map_err(&what)?;
        let config = home.path().join("tacho.toml");
        let text = format!(
            "[upstream.bench]\nbase_url = \"http://{model}/v1\"\napi = \"openai\"\n\n[mcp.tools]\nurl = \"http://{tools}/mcp\"\n"
        );
        fs::write(&config, text).map_err(&what)?;
        let log = fs::File::create(home.path().join("log")).map_err(&what)?;
        let mut child = Command::new(binary()?)
            .args([
                "serve",
                "--gateway",
                "127.0.0.1:0",
                "--console",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(home.path().join("data"))
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(&what)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(&what)?;
        }
        let gateway = line
            .split(' ')
            .find_map(|word| word.trim().strip_prefix("gateway=http://")?.parse().ok());
        let Some(gateway) = gateway else {
            let said = fs::read_to_string(home.path().join("log")).unwrap_or_default();
            // It may have ended already.
            child.kill().ok();
            child.wait().ok();
            return Err(Error::Wrong(format!(
                "tacho serve did not start: {line}{said}"
            )));
        };
        Ok(Self {
            child,
            gateway,
            home,
        })
    }

    pub(crate) const fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn memory(&self) -> Memory {
        memory(self.pid())
    }

    /// SIGTERM; waits until everything is settled and signed. Returns the store's directory, which
    /// lasts as long as the second value.
    pub(crate) fn stop(mut self) -> Result<(PathBuf, Stopped), Error> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM)
                .map_err(|error| Error::io("stopping tacho serve")(error.into()))?;
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        let status = loop {
            match self
                .child
                .try_wait()
                .map_err(Error::io("waiting for tacho serve"))?
            {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    return Err(Error::Wrong("tacho serve does not stop".into()));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        if !status.success() {
            let said = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
            return Err(Error::Wrong(format!(
                "tacho serve ended with {status}: {said}"
            )));
        }
        Ok((self.home.path().join("data"), Stopped { _serve: self }))
    }
}

/// Keeps a stopped recorder's store.
#[derive(Debug)]
pub(crate) struct Stopped {
    _serve: Serve,
}

impl Drop for Serve {
    fn drop(&mut self) {
        // Only a measurement that failed leaves it running.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn memory(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| -> u64 {
        let kb = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_ascii_whitespace().next())
            .and_then(|kb| kb.parse::<u64>().ok());
        kb.unwrap_or_default() * 1024
    };
    Memory {
        peak: field("VmHWM:"),
        now: field("VmRSS:"),
    }
}
