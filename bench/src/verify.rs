//! Verification of a stopped store: events and bodies re-hashed a second, on one core.

use crate::error::Error;
use crate::events::{self, Random};
use crate::quantiles::median;
use crate::report::{Goal, Report, float};
use crate::{machine, text};
use event::Role;
use evidence::{Options, Recorder, verify};
use std::path::Path;
use std::time::Duration;

const PART: &str = "verify";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Events of 1 KiB without bodies
    #[arg(long, default_value_t = 400_000)]
    events: u64,
    /// Megabytes of bodies of 100 kB each, of text that never repeats
    #[arg(long, default_value_t = 300)]
    megabytes: u64,
    /// Verifications of each store; the medians are shown
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            events: 400_000,
            megabytes: 300,
            repetitions: 3,
        }
    }
}

/// Sources that fill the store beside each other.
const SOURCES: u64 = 512;
const BODY_BYTES: usize = 100_000;

pub(crate) fn run(args: &Args, dir: &Path, report: &mut Report) -> Result<(), Error> {
    let pairs = args.events / 2 / SOURCES;
    let store = fill(dir, move |recorder, source| lines(recorder, source, pairs))?;
    let events = measure(args, store.path(), |found| found.events)?;
    report.add(
        PART,
        "1 KiB events re-hashed a second and core",
        events.per_core,
        "/s",
        Some(Goal::AtLeast(800_000.0)),
    );
    report.add(
        PART,
        "1 KiB events re-hashed a second, elapsed",
        events.elapsed,
        "/s",
        None,
    );
    drop(store);

    let bodies = args.megabytes * 1_000_000 / BODY_BYTES as u64 / 16;
    let store = fill(dir, move |recorder, source| {
        unique(recorder, source, bodies)
    })?;
    report_bodies(args, &store, "unique bodies", Some(0.8), report)?;
    drop(store);
    let store = fill(dir, move |recorder, source| {
        varied(recorder, source, bodies)
    })?;
    report_bodies(args, &store, "bodies changed everywhere", None, report)?;
    drop(store);
    let store = fill(dir, move |recorder, source| {
        resent(recorder, source, bodies)
    })?;
    report_bodies(args, &store, "resent context", Some(0.8), report)
}

fn report_bodies(
    args: &Args,
    store: &tempfile::TempDir,
    what: &str,
    goal: Option<f64>,
    report: &mut Report,
) -> Result<(), Error> {
    let bytes = measure(args, store.path(), |found| found.body_bytes)?;
    report.add(
        PART,
        format!("{what} re-hashed a second and core"),
        bytes.per_core / 1e9,
        "GB/s",
        goal.map(Goal::AtLeast),
    );
    report.add(
        PART,
        format!("{what} re-hashed a second, elapsed"),
        bytes.elapsed / 1e9,
        "GB/s",
        None,
    );
    Ok(())
}

/// Work a second.
#[derive(Debug)]
struct Rate {
    /// Of processor time.
    per_core: f64,
    /// Of elapsed time.
    elapsed: f64,
}

fn measure(
    args: &Args,
    store: &Path,
    work: impl Fn(&verify::Report) -> u64,
) -> Result<Rate, Error> {
    let (mut per_core, mut elapsed) = (Vec::new(), Vec::new());
    for _ in 0..args.repetitions.max(1) {
        let (cpu, began) = (machine::own_cpu_time(), std::time::Instant::now());
        let found = verify::run(store, &verify::Options::default(), &mut |_| ())?;
        let (cpu, took) = (machine::own_cpu_time() - cpu, began.elapsed());
        if found.exit_code() != 0 {
            return Err(Error::Wrong(format!(
                "the store does not verify: {:?}",
                found.faults
            )));
        }
        let rate = |time: Duration| float(work(&found)) / time.as_secs_f64().max(1e-9);
        per_core.push(rate(cpu));
        elapsed.push(rate(took));
    }
    Ok(Rate {
        per_core: median(per_core),
        elapsed: median(elapsed),
    })
}

/// A closed store that the given sources have filled beside each other.
fn fill<F>(dir: &Path, source: impl Fn(Recorder, u64) -> F) -> Result<tempfile::TempDir, Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let store = tempfile::tempdir_in(dir).map_err(Error::io("making a store's directory"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting the runtime"))?;
    runtime.block_on(async {
        let recorder = Recorder::open(Options::new(store.path()))?;
        let tasks: Vec<_> = (0..SOURCES)
            .map(|index| tokio::spawn(source(recorder.clone(), index)))
            .collect();
        for task in tasks {
            task.await
                .map_err(|error| Error::Wrong(error.to_string()))??;
        }
        recorder.close().await?;
        Ok(store)
    })
}

/// Calls without bodies.
async fn lines(recorder: Recorder, source: u64, calls: u64) -> Result<(), Error> {
    let mut random = Random::new(source + 1);
    let run = random.hex(26);
    for _ in 0..calls {
        let request = events::request(&mut random, &run, 1024);
        let call = recorder.append(&request).await?.seq;
        let mut response = events::response(&mut random, &run, 1024);
        events::answer(&mut response, call);
        recorder.append(&response).await?;
    }
    Ok(())
}

/// Sources that send bodies; more of them would only hold more memory.
const BODY_SOURCES: u64 = 16;

/// Calls with a large body each, of text in which nothing but words repeats.
async fn unique(recorder: Recorder, source: u64, calls: u64) -> Result<(), Error> {
    if source >= BODY_SOURCES {
        return Ok(());
    }
    let mut random = Random::new(source + 1);
    let run = random.hex(26);
    for _ in 0..calls {
        let body = text::words(&mut random, BODY_BYTES);
        call(&recorder, &mut random, &run, body.as_bytes()).await?;
    }
    Ok(())
}

/// Calls with a large body each, the one before with a change in every piece.
async fn varied(recorder: Recorder, source: u64, calls: u64) -> Result<(), Error> {
    if source >= BODY_SOURCES {
        return Ok(());
    }
    let mut random = Random::new(source + 1);
    let run = random.hex(26);
    let mut body = text::words(&mut random, BODY_BYTES).into_bytes();
    for _ in 0..calls {
        text::vary(&mut body, &mut random);
        call(&recorder, &mut random, &run, &body).await?;
    }
    Ok(())
}

/// Calls that send all that was sent before and something new, from 50 kB to 150 kB.
async fn resent(recorder: Recorder, source: u64, calls: u64) -> Result<(), Error> {
    if source >= BODY_SOURCES {
        return Ok(());
    }
    let mut random = Random::new(source + 1);
    let run = random.hex(26);
    let mut body = String::new();
    for _ in 0..calls {
        if body.len() > BODY_BYTES * 3 / 2 {
            body.clear();
        }
        let new = if body.is_empty() {
            BODY_BYTES / 2
        } else {
            2000
        };
        body.push_str(&text::words(&mut random, new));
        call(&recorder, &mut random, &run, body.as_bytes()).await?;
    }
    Ok(())
}

async fn call(
    recorder: &Recorder,
    random: &mut Random,
    run: &str,
    body: &[u8],
) -> Result<(), Error> {
    let mut request = events::request(random, run, 0);
    let media = Some("application/json".to_owned());
    request
        .bodies
        .push(recorder.put(Role::Request, media, None, body).await?);
    let call = recorder.append(&request).await?.seq;
    let mut response = events::response(random, run, 0);
    events::answer(&mut response, call);
    recorder.append(&response).await?;
    Ok(())
}
