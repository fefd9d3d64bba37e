//! The real binary in a process of its own, as a test starts, stops and kills it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long the recorder may take to be ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `tacho serve` on free ports. Killed when dropped.
#[derive(Debug)]
pub struct Recorder {
    process: Child,
    gateway: String,
}

impl Recorder {
    /// Starts `binary` over the record in `dir/record`, with `config` (TOML). Its standard error goes
    /// to `dir/recorder.log`.
    ///
    /// # Errors
    /// When the process cannot be started, or says something else than that it is ready.
    pub async fn start(binary: &str, dir: &Path, config: &str) -> io::Result<Self> {
        let file = dir.join("tacho.toml");
        std::fs::write(&file, config)?;
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(dir.join("recorder.log"))?;
        let mut process = Command::new(binary)
            .args([
                "serve",
                "--gateway",
                "127.0.0.1:0",
                "--console",
                "127.0.0.1:0",
                "--config",
            ])
            .arg(&file)
            .arg("--data")
            .arg(dir.join("record"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no standard output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await??
            .unwrap_or_default();
        let gateway = line
            .strip_prefix("ready gateway=")
            .and_then(|rest| rest.split(' ').next());
        let gateway = gateway
            .ok_or_else(|| {
                io::Error::other(format!("the recorder in {} said {line:?}", dir.display()))
            })?
            .to_owned();
        Ok(Self { process, gateway })
    }

    /// `http://HOST:PORT` of the gateway.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Ends it in good order (SIGTERM).
    ///
    /// # Errors
    /// When it does not end in time, or not with exit code 0.
    pub async fn stop(mut self) -> io::Result<()> {
        let pid = self
            .process
            .id()
            .ok_or_else(|| io::Error::other("the recorder has ended by itself"))?;
        // The standard library can only kill.
        let sent = Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await?;
        let status = tokio::time::timeout(PATIENCE, self.process.wait()).await??;
        if sent.success() && status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "the recorder ended with {status}"
            )))
        }
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub async fn kill(mut self) -> io::Result<ExitStatus> {
        self.process.start_kill()?;
        self.process.wait().await
    }
}

/// The data that developers share, at `name` beneath its folder: `TACHO_SHARED`, or `shared` beside the
/// checkout. Where it is absent the reason is printed, and the test that needs it returns.
#[must_use]
pub fn shared(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = std::env::var_os("TACHO_SHARED")
        .map_or(beside, PathBuf::from)
        .join(name);
    if path.exists() {
        return Some(path);
    }
    print_line(&format!(
        "skipped: no shared data at {} (TACHO_SHARED)",
        path.display()
    ));
    None
}

/// Publishes a figure; `./x test` shows it.
pub fn figure(text: &str) {
    print_line(&format!("figure: {text}"));
}

fn print_line(text: &str) {
    // Where nobody listens, nobody is told.
    io::Write::write_all(&mut io::stdout(), format!("\n{text}\n").as_bytes()).ok();
}
