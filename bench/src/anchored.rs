//! Appends at a rate that the goal names, with a witness and a second place: how long until a signed checkpoint covers
//! what is durable.

use crate::append::source;
use crate::error::Error;
use crate::quantiles::{Quantiles, median};
use crate::report::{Goal, Report, float};
use crate::serve::binary;
use anchor::{Keeper, Settings};
use evidence::{Options, Recorder};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::time::{Interval, MissedTickBehavior};

const PART: &str = "append";
const IN_FLIGHT: u32 = 1024;
/// Asked for; the goal is a little less.
const PER_SECOND: u32 = 52_000;
/// Ten times as often as a recorder anchors by itself, so that it happens while it is measured.
const PUBLISH: Duration = Duration::from_secs(1);

struct Run {
    per_second: f64,
    acks: Quantiles,
    uncovered: Quantiles,
    witnessed: f64,
}

pub(crate) fn run(
    dir: &Path,
    time: Duration,
    repetitions: usize,
    report: &mut Report,
) -> Result<(), Error> {
    let mut runs = Vec::new();
    for _ in 0..repetitions.max(1) {
        runs.push(once(dir, time)?);
    }
    let mut figure = |what: &str, value, unit, goal| {
        report.add(
            PART,
            format!("anchored, {IN_FLIGHT} in flight: {what}"),
            value,
            unit,
            goal,
        );
    };
    let per_second = median(runs.iter().map(|run| run.per_second));
    figure(
        "durable 1 KiB appends a second",
        per_second,
        "/s",
        Some(Goal::AtLeast(50_000.0)),
    );
    let p99 = median(runs.iter_mut().map(|run| run.acks.ms(0.99)));
    figure("acknowledgement p99", p99, "ms", None);
    let p50 = median(runs.iter_mut().map(|run| run.uncovered.ms(0.5)));
    figure("until a signed checkpoint covers it, p50", p50, "ms", None);
    let most = median(runs.iter_mut().map(|run| run.uncovered.ms(1.0)));
    figure(
        "until a signed checkpoint covers it, max",
        most,
        "ms",
        Some(Goal::AtMost(1000.0)),
    );
    let witnessed = median(runs.iter().map(|run| run.witnessed));
    figure(
        "events that the witness vouched for, of all",
        witnessed,
        "",
        None,
    );
    Ok(())
}

fn once(dir: &Path, time: Duration) -> Result<Run, Error> {
    let homes = tempfile::tempdir_in(dir).map_err(Error::io("making a store's directory"))?;
    let (store, place) = (homes.path().join("record"), homes.path().join("place"));
    std::fs::create_dir(&place).map_err(Error::io("making the second place"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting the runtime"))?;
    runtime.block_on(async {
        let recorder = Recorder::open(Options::new(&store))?;
        let vkey =
            std::fs::read_to_string(store.join("log/vkey")).map_err(Error::io("the log's key"))?;
        let witness = Witness::start(&homes.path().join("witness"), vkey.trim())?;
        let policy = tlog::policy::Policy::parse(witness.policy.as_bytes());
        let settings = Settings {
            publish: PUBLISH,
            copy: Some(place),
            witnesses: Some(policy.map_err(|error| Error::Wrong(error.to_string()))?),
            ..Settings::default()
        };
        let (keeper, handle) = Keeper::new(recorder.clone(), &store, settings)
            .map_err(|error| Error::Wrong(error.to_string()))?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let keeping = tokio::spawn(keeper.run(async { drop(stopped.await) }));
        let began = Instant::now();
        let end = began + time;
        let watching = tokio::spawn(watch(recorder.clone(), end));
        let sources: Vec<_> = (0..IN_FLIGHT)
            .map(|index| {
                let pace = Some(pace(index));
                tokio::spawn(source(recorder.clone(), index as usize, end, pace))
            })
            .collect();
        let mut acks = Quantiles::default();
        for source in sources {
            let times = source
                .await
                .map_err(|error| Error::Wrong(error.to_string()))?;
            acks.merge(&times?);
        }
        let took = began.elapsed();
        let uncovered = watching
            .await
            .map_err(|error| Error::Wrong(error.to_string()))?;
        let standing = handle.standing();
        let witnessed = standing
            .newest(anchor::Kind::Witness)
            .and_then(|anchor| anchor.size);
        drop(stop);
        keeping
            .await
            .map_err(|error| Error::Wrong(error.to_string()))?;
        recorder.close().await?;
        Ok(Run {
            per_second: float(acks.len()) / took.as_secs_f64(),
            witnessed: float(witnessed.unwrap_or_default()) / float(acks.len()),
            acks,
            uncovered,
        })
    })
}

/// The share of the rate that one of the sources has; they begin one after the other.
fn pace(index: u32) -> Interval {
    let share = Duration::from_secs(1) * IN_FLIGHT / PER_SECOND;
    let first = Instant::now() + share * index / IN_FLIGHT;
    let mut pace = tokio::time::interval_at(first.into(), share);
    // A rate that is not kept up is caught up with.
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace
}

/// How long what is durable waits for the checkpoint that covers it.
async fn watch(recorder: Recorder, end: Instant) -> Quantiles {
    let mut waiting = VecDeque::new();
    let mut times = Quantiles::default();
    while Instant::now() < end || !waiting.is_empty() {
        let (now, status) = (Instant::now(), recorder.status());
        if now < end {
            waiting.push_back((now, status.durable));
        }
        while let Some(&(since, durable)) = waiting.front()
            && status.checkpoint >= durable
        {
            waiting.pop_front();
            times.push(now.duration_since(since));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times
}

/// `tacho witness serve`, the release binary, as a process of its own.
struct Witness {
    child: Child,
    policy: String,
}

impl Witness {
    fn start(data: &Path, log: &str) -> Result<Self, Error> {
        let what = Error::io("starting tacho witness serve");
        let mut child = Command::new(binary()?)
            .args([
                "witness",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log",
                log,
                "--data",
            ])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(&what)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(&what)?;
        }
        let word = |name: &str| {
            line.split_whitespace()
                .find_map(|word| word.strip_prefix(name))
        };
        let (Some(address), Some(key)) = (word("witness="), word("key=")) else {
            return Err(Error::Wrong(format!(
                "tacho witness serve says {line:?} instead of being ready"
            )));
        };
        let policy = format!("log {log}\nwitness w1 {key} {address}\nquorum w1\n");
        Ok(Self { child, policy })
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // One that has ended by itself is no longer there to be told.
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        self.child.wait().ok();
    }
}
