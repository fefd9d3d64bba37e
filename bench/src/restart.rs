//! How long a recorder takes to record again after `kill -9`, and how long a proof takes, on a log of some size.

use crate::error::Error;
use crate::events::{self, Random};
use crate::quantiles::{Quantiles, median};
use crate::report::{Goal, Report};
use crate::serve::binary;
use evidence::{Options, Proofs, Recorder};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PART: &str = "restart";

/// Bytes of an event's line: about what a call without bodies leaves.
const LINE_BYTES: usize = 640;

/// Appends in flight while the log is filled.
const SOURCES: u64 = 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Events in the log
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Starts after a kill; the medians are shown
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Proofs made and timed
    #[arg(long, default_value_t = 2000)]
    proofs: u64,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            events: 10_000_000,
            repetitions: 3,
            proofs: 2000,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct FillArgs {
    /// The store to fill
    store: PathBuf,
    /// Events after which `full` is said; appending goes on until killed
    events: u64,
}

pub(crate) fn run(args: &Args, dir: &Path, report: &mut Report) -> Result<(), Error> {
    let store = tempfile::tempdir_in(dir).map_err(Error::io("making a store's directory"))?;
    fill_and_kill(store.path(), args.events)?;
    let mut starts = Vec::new();
    for _ in 0..args.repetitions.max(1) {
        starts.push(start_and_kill(store.path())?.as_secs_f64());
    }
    let millions = args.events / 1_000_000;
    let goal = (args.events >= 10_000_000).then_some(Goal::AtMost(5.0));
    report.add(
        PART,
        format!("`tacho serve` ready after kill -9 on {millions} million events"),
        median(starts),
        "s",
        goal,
    );
    let mut proofs = prove(store.path(), args.proofs)?;
    for (name, at, goal) in [("p50", 0.5, Some(Goal::AtMost(1.0))), ("p99", 0.99, None)] {
        report.add(
            PART,
            format!("inclusion proof of any of {millions} million events from the tiles, {name}"),
            proofs.ms(at),
            "ms",
            goal,
        );
    }
    Ok(())
}

/// Appends for ever; says `full` once there are enough events. Somebody kills it.
pub(crate) fn fill(args: &FillArgs) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting the runtime"))?;
    runtime.block_on(async {
        let recorder = Recorder::open(Options::new(&args.store))?;
        for index in 0..SOURCES {
            tokio::spawn(source(recorder.clone(), index));
        }
        while recorder.status().checkpoint < args.events {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut out = std::io::stdout();
        writeln!(out, "full").map_err(Error::io("saying that it is full"))?;
        out.flush().map_err(Error::io("saying that it is full"))?;
        Err(Error::Evidence(recorder.failed().await))
    })
}

async fn source(recorder: Recorder, index: u64) -> Result<(), Error> {
    let mut random = Random::new(index + 1);
    let run = random.hex(26);
    let request = events::request(&mut random, &run, LINE_BYTES);
    let mut response = events::response(&mut random, &run, LINE_BYTES);
    loop {
        let call = recorder.append(&request).await?.seq;
        events::answer(&mut response, call);
        recorder.append(&response).await?;
    }
}

fn fill_and_kill(store: &Path, events: u64) -> Result<(), Error> {
    let exe = std::env::current_exe().map_err(Error::io("finding this program"))?;
    let child = Command::new(exe)
        .arg("fill")
        .arg(store)
        .arg(events.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Error::io("starting what fills the store"))?;
    killed_at(child, "full").map(drop)
}

/// The time from the start of the process to its `ready` line.
fn start_and_kill(store: &Path) -> Result<Duration, Error> {
    let began = Instant::now();
    let child = Command::new(binary()?)
        .args([
            "serve",
            "--gateway",
            "127.0.0.1:0",
            "--console",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(store)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::io("starting tacho serve"))?;
    Ok(killed_at(child, "ready")?.duration_since(began))
}

/// Waits until a process says a word, and kills it.
fn killed_at(mut child: Child, word: &str) -> Result<Instant, Error> {
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(Error::io("reading what a process says"))?;
    }
    let said = Instant::now();
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        kill_process(pid, Signal::KILL)
            .map_err(|error| Error::io("killing a process")(error.into()))?;
    }
    child.wait().map_err(Error::io("waiting for a process"))?;
    match line.starts_with(word) {
        true => Ok(said),
        false => Err(Error::Wrong(format!(
            "a process said {line:?} where it should say {word}"
        ))),
    }
}

/// Proofs of events all over the log, each read from the tiles anew.
fn prove(store: &Path, count: u64) -> Result<Quantiles, Error> {
    let size = evidence::Store::open(store)?.settled();
    let proofs = Proofs::of(store);
    let mut random = Random::new(7);
    let mut times = Quantiles::default();
    for _ in 0..count.max(1) {
        let seq = random.next() % size.max(1);
        let began = Instant::now();
        let path = proofs.inclusion(seq, size)?;
        times.push(began.elapsed());
        if path.is_empty() {
            return Err(Error::Wrong(format!("the proof of event {seq} is empty")));
        }
    }
    Ok(times)
}
