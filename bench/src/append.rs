//! Durable appends: how many a second, and how long each waits for its acknowledgement.

use crate::error::Error;
use crate::events::{self, Random};
use crate::quantiles::{Quantiles, median};
use crate::report::{Goal, Report, float, mb};
use crate::{anchored, disk, machine};
use evidence::{Options, Recorder};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::Interval;

const PART: &str = "append";
const LINE_BYTES: usize = 1024;
const ANCHORED: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each repetition appends
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Repetitions of each level; the medians are shown
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Appends in flight at a time
    #[arg(long, value_delimiter = ',', default_value = "1,256,1024")]
    in_flight: Vec<usize>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            seconds: 2,
            repetitions: 3,
            in_flight: vec![1, 256, 1024],
        }
    }
}

/// One repetition.
#[derive(Debug)]
struct Run {
    per_second: f64,
    acks: Quantiles,
    /// Processor time of the whole process for one append, in microseconds.
    cpu_us: f64,
    /// Write-ahead log not yet settled when the appending ended, in MB.
    backlog_mb: f64,
    /// From the last append to everything settled and signed.
    close_seconds: f64,
    /// Events a second over appending and closing together: what it can keep up for ever.
    sustained: f64,
}

pub(crate) fn run(args: &Args, dir: &Path, report: &mut Report) -> Result<(), Error> {
    let time = Duration::from_secs(args.seconds.max(1));
    let mut bare = disk::fdatasync(dir, Duration::from_secs(1), None)?;
    report.add(
        PART,
        "bare 4 KiB write + fdatasync, p50",
        bare.ms(0.5),
        "ms",
        None,
    );
    report.add(
        PART,
        "bare 4 KiB write + fdatasync, p99",
        bare.ms(0.99),
        "ms",
        None,
    );
    for &in_flight in &args.in_flight {
        let mut runs = Vec::new();
        for _ in 0..args.repetitions.max(1) {
            runs.push(once(dir, in_flight, time)?);
        }
        add(report, in_flight, &mut runs);
    }
    // Long enough for a few checkpoints to be anchored.
    anchored::run(dir, time.max(ANCHORED), args.repetitions, report)
}

fn add(report: &mut Report, in_flight: usize, runs: &mut [Run]) {
    // The goals are set for the widest level alone.
    let widest = in_flight == 1024;
    let goal = |goal| widest.then_some(goal);
    let mut figure = |what: &str, value: f64, unit, goal| {
        report.add(
            PART,
            format!("{in_flight} in flight: {what}"),
            value,
            unit,
            goal,
        );
    };
    figure(
        "durable 1 KiB appends a second",
        median(runs.iter().map(|run| run.per_second)),
        "/s",
        goal(Goal::AtLeast(80_000.0)),
    );
    figure(
        "acknowledgement p50",
        median(runs.iter_mut().map(|run| run.acks.ms(0.5))),
        "ms",
        None,
    );
    figure(
        "acknowledgement p99",
        median(runs.iter_mut().map(|run| run.acks.ms(0.99))),
        "ms",
        goal(Goal::AtMost(50.0)),
    );
    figure(
        "acknowledgement max",
        median(runs.iter_mut().map(|run| run.acks.ms(1.0))),
        "ms",
        None,
    );
    figure(
        "processor time an append",
        median(runs.iter().map(|run| run.cpu_us)),
        "µs",
        None,
    );
    figure(
        "log left to settle at the end",
        median(runs.iter().map(|run| run.backlog_mb)),
        "MB",
        None,
    );
    figure(
        "time to settle and sign the rest",
        median(runs.iter().map(|run| run.close_seconds)),
        "s",
        None,
    );
    figure(
        "events a second, settling included",
        median(runs.iter().map(|run| run.sustained)),
        "/s",
        None,
    );
}

fn once(dir: &Path, in_flight: usize, time: Duration) -> Result<Run, Error> {
    let store = tempfile::tempdir_in(dir).map_err(Error::io("making a store's directory"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting the runtime"))?;
    runtime.block_on(async {
        let recorder = Recorder::open(Options::new(store.path()))?;
        let cpu = machine::own_cpu_time();
        let began = Instant::now();
        let end = began + time;
        let tasks: Vec<_> = (0..in_flight)
            .map(|index| tokio::spawn(source(recorder.clone(), index, end, None)))
            .collect();
        let mut acks = Quantiles::default();
        for task in tasks {
            let times = task
                .await
                .map_err(|error| Error::Wrong(error.to_string()))?;
            acks.merge(&times?);
        }
        let took = began.elapsed();
        let backlog = recorder.status().backlog_bytes;
        let closing = Instant::now();
        recorder.close().await?;
        let close = closing.elapsed();
        let cpu = machine::own_cpu_time().saturating_sub(cpu);
        let count = float(acks.len());
        Ok(Run {
            per_second: count / took.as_secs_f64(),
            acks,
            cpu_us: cpu.as_secs_f64() * 1e6 / count,
            backlog_mb: mb(backlog),
            close_seconds: close.as_secs_f64(),
            sustained: count / (took + close).as_secs_f64(),
        })
    })
}

/// One agent's calls, one after the other: each append waits for the one before to be durable and, at a pace, until it is
/// due.
pub(crate) async fn source(
    recorder: Recorder,
    index: usize,
    end: Instant,
    mut pace: Option<Interval>,
) -> Result<Quantiles, Error> {
    let mut random = Random::new(index as u64 + 1);
    let run = random.hex(26);
    let request = events::request(&mut random, &run, LINE_BYTES);
    let mut response = events::response(&mut random, &run, LINE_BYTES);
    let mut times = Quantiles::default();
    while Instant::now() < end {
        due(pace.as_mut()).await;
        let start = Instant::now();
        let call = recorder.append(&request).await?.seq;
        times.push(start.elapsed());
        events::answer(&mut response, call);
        due(pace.as_mut()).await;
        let start = Instant::now();
        recorder.append(&response).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

async fn due(pace: Option<&mut Interval>) {
    if let Some(pace) = pace {
        pace.tick().await;
    }
}
