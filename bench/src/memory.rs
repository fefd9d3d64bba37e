//! How much memory the recorder holds under large bodies, and while its disk does not answer.

use crate::error::Error;
use crate::events::Random;
use crate::load::{self, Requests, Served, Target};
use crate::report::{Goal, Report, float, mb};
use crate::serve::Serve;
use crate::upstream::{self, Script};
use crate::{text, wire};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PART: &str = "memory";
const GOAL: Goal = Goal::AtMost(150.0);
const BODY_BYTES: usize = 100_000;
const PER_SECOND: u32 = 1000;
const CLIENTS: u32 = 128;

/// Clients before a stalled disk: each waits for an answer, so each is one call held open.
const STALLED_CLIENTS: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each load lasts
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How long the disk is stalled
    #[arg(long, default_value_t = 8)]
    stall: u64,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            seconds: 10,
            stall: 8,
        }
    }
}

pub(crate) fn run(args: &Args, dir: &Path, report: &mut Report) -> Result<(), Error> {
    let answer = wire::chat_answer(
        1,
        &serde_json::json!({"role": "assistant", "content": "ok ".repeat(200)}),
    );
    let model = upstream::start(Script::Fixed(answer.into()))?;
    let time = Duration::from_secs(args.seconds.max(1));
    loaded(
        report,
        dir,
        model,
        "context resent and growing, 100 kB",
        |target| {
            load::open(target, CLIENTS, PER_SECOND, time, |client| {
                Growing::new(target, client)
            })
        },
    )?;
    loaded(
        report,
        dir,
        model,
        "text never seen before, 100 kB",
        |target| {
            load::open(target, CLIENTS, PER_SECOND, time, |client| {
                Unique::new(target, client)
            })
        },
    )?;
    stalled(args, dir, report, model)
}

fn target(serve: &Serve) -> Target {
    Target {
        address: serve.gateway(),
        path: "/agent/bench/bench/v1/chat/completions".into(),
    }
}

fn loaded(
    report: &mut Report,
    dir: &Path,
    model: std::net::SocketAddr,
    name: &str,
    load: impl Fn(&Target) -> Result<Served, Error>,
) -> Result<(), Error> {
    let serve = Serve::start(dir, model, model)?;
    let idle = serve.memory().now;
    let mut served = load(&target(&serve))?;
    let memory = serve.memory();
    let what = |text: &str| format!("{PER_SECOND} calls/s, {name}: {text}");
    report.add(
        PART,
        what("calls answered"),
        served.per_second(),
        "/s",
        None,
    );
    if served.refused > 0 {
        report.add(PART, what("calls refused"), float(served.refused), "", None);
    }
    report.add(PART, what("answer p50"), served.times.ms(0.5), "ms", None);
    report.add(PART, what("answer p99"), served.times.ms(0.99), "ms", None);
    report.add(PART, what("resident before"), mb(idle), "MB", None);
    report.add(
        PART,
        what("resident at most"),
        mb(memory.peak),
        "MB",
        Some(GOAL),
    );
    drop(serve.stop()?);
    Ok(())
}

/// The same load on a disk whose every sync takes far longer than the load lasts.
fn stalled(
    args: &Args,
    dir: &Path,
    report: &mut Report,
    model: std::net::SocketAddr,
) -> Result<(), Error> {
    let serve = Serve::start(dir, model, model)?;
    let target = target(&serve);
    load::open(&target, 32, PER_SECOND, Duration::from_secs(1), |client| {
        Unique::new(&target, client)
    })?;
    let before = serve.memory();
    let Some(stall) = Stall::begin(serve.pid())? else {
        report.note("strace cannot attach here, so the disk could not be stalled: not measured.");
        return serve.stop().map(drop);
    };
    let time = Duration::from_secs(args.stall.max(2));
    let began = Instant::now();
    let mut during = before;
    let mut stall = Some(stall);
    let served = load::watch(
        Duration::from_millis(50),
        || {
            if began.elapsed() < time {
                during = serve.memory();
            } else {
                drop(stall.take());
            }
        },
        || {
            load::open(&target, STALLED_CLIENTS, PER_SECOND, time, |client| {
                Unique::new(&target, client)
            })
        },
    )??;
    let what = |text: &str| {
        format!(
            "disk stalled for {} s, {PER_SECOND} calls/s of 100 kB: {text}",
            args.stall
        )
    };
    report.add(PART, what("resident before"), mb(before.now), "MB", None);
    report.add(
        PART,
        what("resident at most during the stall"),
        mb(during.peak),
        "MB",
        Some(GOAL),
    );
    report.add(
        PART,
        what("resident at most, catching up included"),
        mb(serve.memory().peak),
        "MB",
        Some(GOAL),
    );
    report.add(
        PART,
        what("calls answered in the end"),
        float(served.times.len()),
        "",
        None,
    );
    report.add(PART, what("calls refused"), float(served.refused), "", None);
    serve.stop().map(drop)
}

/// Every `fsync` and `fdatasync` of a process waits, as long as this lives.
struct Stall {
    strace: Child,
}

impl Stall {
    /// `None` where tracing is not possible.
    fn begin(pid: u32) -> Result<Option<Self>, Error> {
        let spawned = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=fsync,fdatasync",
                "-e",
            ])
            .args(["inject=fsync,fdatasync:delay_enter=600000000", "-p"])
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut strace) = spawned else {
            return Ok(None);
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if traced(pid) {
                return Ok(Some(Self { strace }));
            }
            if strace
                .try_wait()
                .map_err(Error::io("waiting for strace"))?
                .is_some()
            {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(Self { strace });
        Ok(None)
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        let pid = i32::try_from(self.strace.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // A tracer that is asked to end lets go of what it traces. If it has ended, nothing is to do.
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        self.strace.wait().ok();
    }
}

/// Whether every thread of a process has a tracer.
fn traced(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.flatten().all(|thread| {
        std::fs::read_to_string(thread.path().join("status"))
            .is_ok_and(|status| !status.contains("TracerPid:\t0\n"))
    })
}

/// A conversation that grows from 50 kB to 150 kB, by 2 kB a call, and begins anew.
struct Growing {
    path: String,
    random: Random,
    messages: String,
    request: Vec<u8>,
}

impl Growing {
    fn new(target: &Target, client: u32) -> Self {
        let mut random = Random::new(u64::from(client) + 1);
        // Each client starts elsewhere in its conversation, so that all together send 100 kB a call.
        let start =
            BODY_BYTES / 2 + usize::try_from(random.next()).unwrap_or_default() % BODY_BYTES;
        let mut growing = Self {
            path: target.path.clone(),
            random,
            messages: String::new(),
            request: Vec::new(),
        };
        growing.begin(start);
        growing
    }

    fn begin(&mut self, bytes: usize) {
        let system = text::words(&mut self.random, 3000);
        self.messages = format!(r#"{{"role":"system","content":"{system}"}}"#);
        while self.messages.len() < bytes {
            self.turn();
        }
    }

    fn turn(&mut self) {
        for (role, bytes) in [("assistant", 600), ("user", 1300)] {
            let content = text::words(&mut self.random, bytes);
            self.messages
                .push_str(&format!(r#",{{"role":"{role}","content":"{content}"}}"#));
        }
    }
}

impl Requests for Growing {
    fn next(&mut self) -> &[u8] {
        if self.messages.len() > BODY_BYTES * 3 / 2 {
            self.begin(BODY_BYTES / 2);
        }
        self.turn();
        let body = format!(r#"{{"model":"gpt-x","messages":[{}]}}"#, self.messages);
        self.request = wire::request_head(&self.path, "application/json", body.len(), "");
        self.request.extend_from_slice(body.as_bytes());
        &self.request
    }
}

/// One message of 100 kB in which nothing was ever sent before.
struct Unique {
    random: Random,
    request: Vec<u8>,
    text_at: usize,
}

impl Unique {
    fn new(target: &Target, client: u32) -> Self {
        let mut random = Random::new(u64::from(client) + 1);
        let opening = r#"{"model":"gpt-x","messages":[{"role":"user","content":""#;
        let text = text::words(&mut random, BODY_BYTES);
        let body = format!(r#"{opening}{text}"}}]}}"#);
        let mut request = wire::request_head(&target.path, "application/json", body.len(), "");
        let text_at = request.len() + opening.len();
        request.extend_from_slice(body.as_bytes());
        Self {
            random,
            request,
            text_at,
        }
    }
}

impl Requests for Unique {
    fn next(&mut self) -> &[u8] {
        let text = self
            .request
            .get_mut(self.text_at..self.text_at + BODY_BYTES);
        text::vary(text.unwrap_or_default(), &mut self.random);
        &self.request
    }
}
