//! The programs that make a scene: recorder, witness, and whatever `tacho` is asked to do.

use crate::Failure;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to become ready or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under attack.
#[derive(Debug, Clone)]
pub(crate) struct Tacho(pub(crate) PathBuf);

/// What a command of `tacho` said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Tacho {
    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Said, Failure> {
        let output = Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        Ok(Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// As [`Self::run`]; anything but success is an error.
    pub(crate) fn must(&self, arguments: &[&str]) -> Result<String, Failure> {
        let said = self.run(arguments)?;
        match said.code {
            0 => Ok(said.stdout),
            code => Err(format!(
                "tacho {} ended with {code}: {}",
                arguments.join(" "),
                said.stderr
            )
            .into()),
        }
    }

    /// Starts a server and waits for its `ready` line.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Result<Server, Failure> {
        let mut child = Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        if !line.starts_with("ready ") {
            let mut why = String::new();
            if let Some(mut err) = child.stderr.take() {
                err.read_to_string(&mut why)?;
            }
            child.wait()?;
            return Err(format!("tacho {} did not start: {line}{why}", arguments.join(" ")).into());
        }
        // What it says later must not fill a pipe that nobody reads.
        if let Some(mut err) = child.stderr.take() {
            std::thread::spawn(move || std::io::copy(&mut err, &mut std::io::sink()));
        }
        Ok(Server { child, ready: line })
    }
}

/// A running server; killed when it goes out of sight.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    ready: String,
}

impl Server {
    /// What the ready line says of `name`.
    pub(crate) fn says(&self, name: &str) -> Result<String, Failure> {
        let found = self
            .ready
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found
            .map(str::to_owned)
            .ok_or_else(|| format!("the ready line has no {name}: {}", self.ready).into())
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return match status.success() {
                    true => Ok(()),
                    false => Err(format!("a server ended with {status}").into()),
                };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("a server does not stop".into())
    }

    /// Ends it as a power cut would, but for what the system still writes.
    pub(crate) fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        match self.child.wait()?.signal() {
            Some(_) => Ok(()),
            None => Err("a server ended before it was killed".into()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Posts a body to a gateway, as an agent would, and returns the whole answer.
pub(crate) fn post(gateway: &str, path: &str, body: &str) -> Result<String, Failure> {
    let address = gateway.strip_prefix("http://").unwrap_or(gateway);
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") {
        Ok(answer)
    } else {
        Err(format!(
            "the gateway answered {}",
            answer.lines().next().unwrap_or_default()
        )
        .into())
    }
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> String {
    path.display().to_string()
}
