//! What the gateway adds to a call, beside the same call made directly.

use crate::error::Error;
use crate::events::Random;
use crate::load::{self, Requests, Served, Target};
use crate::quantiles::{Quantiles, median};
use crate::report::{Goal, Report};
use crate::serve::Serve;
use crate::upstream::{self, Cadence, Script};
use crate::{disk, machine, stream, text, wire};
use std::path::Path;
use std::time::{Duration, Instant};

const PART: &str = "gateway";
const REQUEST_BYTES: usize = 2000;
const CLIENTS: u32 = 16;

/// How long the bare disk is measured before each repetition.
const BARE_TIME: Duration = Duration::from_millis(1500);

/// The path that a client uses without and with the gateway.
const DIRECT_PATH: &str = "/v1/chat/completions";
const THROUGH_PATH: &str = "/agent/bench/bench/v1/chat/completions";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each repetition of each load lasts
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Repetitions, direct and through by turns; the medians are shown
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            seconds: 3,
            repetitions: 3,
        }
    }
}

/// A value measured directly and through the gateway, and the disk's `fdatasync` of the same moment.
#[derive(Debug, Clone, Copy)]
struct Pair {
    direct: f64,
    through: f64,
    fdatasync: f64,
}

impl Pair {
    const fn added(self) -> f64 {
        self.through - self.direct
    }
}

pub(crate) fn run(args: &Args, dir: &Path, report: &mut Report) -> Result<(), Error> {
    let model = upstream::start(Script::Fixed(small_answer().into()))?;
    let serve = Serve::start(dir, model, model)?;
    let direct = target(model, DIRECT_PATH);
    let through = target(serve.gateway(), THROUGH_PATH);
    let time = Duration::from_secs(args.seconds.max(1));
    for target in [&direct, &through] {
        load::closed(target, CLIENTS, Duration::from_millis(500), |client| {
            Small::new(target, client)
        })?
        .all_well()?;
    }
    for per_second in [100, 1000] {
        rate(args, dir, report, (&direct, &through), per_second, time)?;
    }
    throughput(args, report, (&direct, &through), time, serve.pid())?;
    drop(serve.stop()?);
    tokens(args, dir, report, time)
}

fn target(address: std::net::SocketAddr, path: &str) -> Target {
    Target {
        address,
        path: path.into(),
    }
}

/// Latency at a fixed rate.
fn rate(
    args: &Args,
    dir: &Path,
    report: &mut Report,
    (direct, through): (&Target, &Target),
    per_second: u32,
    time: Duration,
) -> Result<(), Error> {
    let one = |target: &Target| -> Result<Served, Error> {
        load::open(target, 32, per_second, time, |client| {
            Small::new(target, client)
        })?
        .all_well()
    };
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..args.repetitions.max(1) {
        let mut bare = disk::fdatasync(dir, BARE_TIME, Some(per_second))?;
        let mut direct = one(direct)?.times;
        let mut through = one(through)?.times;
        for (q, pairs) in [(0.5, &mut p50), (0.99, &mut p99)] {
            pairs.push(Pair {
                direct: direct.ms(q),
                through: through.ms(q),
                fdatasync: bare.ms(q),
            });
        }
    }
    for (name, pairs, goal) in [("p50", &p50, 0.3), ("p99", &p99, 2.0)] {
        latency(
            report,
            &format!("{per_second} calls/s: {name}"),
            pairs,
            goal,
        );
    }
    Ok(())
}

/// Reports direct, through, added, and what of it is beyond one `fdatasync` at the same quantile.
fn latency(report: &mut Report, what: &str, pairs: &[Pair], goal: f64) {
    let of = |value: fn(&Pair) -> f64| median(pairs.iter().map(value));
    report.add(
        PART,
        format!("{what}, direct"),
        of(|pair| pair.direct),
        "ms",
        None,
    );
    report.add(
        PART,
        format!("{what}, through"),
        of(|pair| pair.through),
        "ms",
        None,
    );
    report.add(
        PART,
        format!("{what}, added"),
        of(|pair| pair.added()),
        "ms",
        None,
    );
    // The least of all repetitions: a disk that others kept busy must not make the gateway look fast.
    let bare = pairs
        .iter()
        .map(|pair| pair.fdatasync)
        .fold(f64::INFINITY, f64::min);
    report.add(
        PART,
        format!("{what}, bare fdatasync at this pace"),
        bare,
        "ms",
        None,
    );
    report.add(
        PART,
        format!("{what}, added beyond one fdatasync"),
        of(|pair| pair.added()) - bare,
        "ms",
        Some(Goal::AtMost(goal)),
    );
}

/// Calls a second, as fast as they are answered.
fn throughput(
    args: &Args,
    report: &mut Report,
    (direct, through): (&Target, &Target),
    time: Duration,
    pid: u32,
) -> Result<(), Error> {
    let one = |target: &Target| -> Result<Served, Error> {
        load::closed(target, CLIENTS, time, |client| Small::new(target, client))?.all_well()
    };
    let (mut straight, mut passed) = (Vec::new(), Vec::new());
    let mut cpu_us = Vec::new();
    for _ in 0..args.repetitions.max(1) {
        straight.push(one(direct)?);
        let cpu = machine::cpu_time(pid);
        let served = one(through)?;
        let cpu = machine::cpu_time(pid).saturating_sub(cpu);
        cpu_us.push(cpu.as_secs_f64() * 1e6 / (served.per_second() * served.took.as_secs_f64()));
        passed.push(served);
    }
    let rate = |runs: &[Served]| median(runs.iter().map(Served::per_second));
    report.add(
        PART,
        format!("{CLIENTS} clients, direct"),
        rate(&straight),
        "calls/s",
        None,
    );
    report.add(
        PART,
        format!("{CLIENTS} clients, through"),
        rate(&passed),
        "calls/s",
        Some(Goal::AtLeast(5000.0)),
    );
    for (name, q) in [("p50", 0.5), ("p99", 0.99)] {
        let value = median(passed.iter_mut().map(|served| served.times.ms(q)));
        report.add(
            PART,
            format!("{CLIENTS} clients, through: {name}"),
            value,
            "ms",
            None,
        );
    }
    report.add(
        PART,
        format!("{CLIENTS} clients, through: the recorder's processor time a call"),
        median(cpu_us),
        "µs",
        None,
    );
    Ok(())
}

/// Streams: the first token, and every token's way.
fn tokens(args: &Args, dir: &Path, report: &mut Report, time: Duration) -> Result<(), Error> {
    let cadence = Cadence {
        epoch: Instant::now(),
        first: Duration::from_millis(2),
        every: Duration::from_millis(5),
        tokens: 20,
    };
    let model = upstream::start(Script::Stream(cadence))?;
    let serve = Serve::start(dir, model, model)?;
    let direct = target(model, DIRECT_PATH);
    let through = target(serve.gateway(), THROUGH_PATH);
    stream::measure(&through, cadence, Duration::from_millis(300))?;
    let mut first: [Vec<Pair>; 2] = Default::default();
    let mut delay: [Vec<Pair>; 2] = Default::default();
    let mut whole: [Vec<Pair>; 2] = Default::default();
    for _ in 0..args.repetitions.max(1) {
        let mut bare = disk::fdatasync(dir, BARE_TIME, Some(100))?;
        let mut straight = stream::measure(&direct, cadence, time)?;
        let mut passed = stream::measure(&through, cadence, time)?;
        for (index, q) in [0.5, 0.99].into_iter().enumerate() {
            let mut pair =
                |into: &mut [Vec<Pair>; 2], direct: &mut Quantiles, through: &mut Quantiles| {
                    if let Some(pairs) = into.get_mut(index) {
                        pairs.push(Pair {
                            direct: direct.ms(q),
                            through: through.ms(q),
                            fdatasync: bare.ms(q),
                        });
                    }
                };
            pair(&mut first, &mut straight.first, &mut passed.first);
            pair(&mut delay, &mut straight.delay, &mut passed.delay);
            pair(&mut whole, &mut straight.whole, &mut passed.whole);
        }
    }
    let [p50, p99] = &first;
    latency(report, "stream: time to first token, p50", p50, 0.3);
    let added = |pairs: &[Pair]| median(pairs.iter().map(|pair| pair.added()));
    report.add(
        PART,
        "stream: time to first token, p99, added",
        added(p99),
        "ms",
        None,
    );
    let [p50, p99] = &delay;
    report.add(
        PART,
        "stream: delay of each chunk, p50, added",
        added(p50),
        "ms",
        None,
    );
    report.add(
        PART,
        "stream: delay of each chunk, p99, added",
        added(p99),
        "ms",
        None,
    );
    let [p50, p99] = &whole;
    report.add(
        PART,
        "stream: time to the end, p50, added",
        added(p50),
        "ms",
        None,
    );
    report.add(
        PART,
        "stream: time to the end, p99, added",
        added(p99),
        "ms",
        None,
    );
    drop(serve.stop()?);
    Ok(())
}

/// Small calls, no two alike: a system prompt that stays and a question that does not.
struct Small {
    request: Vec<u8>,
    question_at: usize,
    random: Random,
}

const QUESTION_BYTES: usize = 1000;

impl Small {
    fn new(target: &Target, client: u32) -> Self {
        let mut random = Random::new(u64::from(client) + 1);
        let system = text::words(&mut Random::new(7), REQUEST_BYTES - QUESTION_BYTES - 110);
        let opening = format!(
            r#"{{"model":"gpt-x","messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":""#
        );
        let question = text::words(&mut random, QUESTION_BYTES);
        let body = format!(r#"{opening}{question}"}}],"temperature":0}}"#);
        let mut request = wire::request_head(&target.path, "application/json", body.len(), "");
        let question_at = request.len() + opening.len();
        request.extend_from_slice(body.as_bytes());
        Self {
            request,
            question_at,
            random,
        }
    }
}

impl Requests for Small {
    fn next(&mut self) -> &[u8] {
        let question = self
            .request
            .get_mut(self.question_at..self.question_at + QUESTION_BYTES)
            .unwrap_or_default();
        text::vary(question, &mut self.random);
        &self.request
    }
}

/// About 0.8 KB.
fn small_answer() -> Vec<u8> {
    let content = "ok ".repeat(200);
    wire::chat_answer(
        1,
        &serde_json::json!({"role": "assistant", "content": content}),
    )
}
