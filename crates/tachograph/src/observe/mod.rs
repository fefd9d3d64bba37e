//! What the recorder notices about the machine it runs on, as events: its load, its clock.
//!
//! Reads `/proc`, `/sys` and `/run`. What cannot be known is recorded as `unknown`, never guessed.

mod clock;
mod environment;
mod proc;

use event::{Draft, Kind, Source};
use evidence::Recorder;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;

/// Figures of the gateway that belong into an `environment` event.
pub(crate) type Figures = Box<dyn Fn() -> Map<String, Value> + Send>;

/// The gateway's figures as facts: counters since the start, latencies since the last sample.
pub(crate) fn traffic(sample: &gateway::Sample) -> Map<String, Value> {
    let mut facts = Map::new();
    for (name, value) in [
        ("connections", sample.connections),
        ("calls_open", sample.open_calls),
        ("calls", sample.calls),
        ("request_bytes", sample.request_bytes),
        ("response_bytes", sample.response_bytes),
        ("calls_unrecorded", sample.unrecorded),
        ("bodies_not_understood", sample.not_understood),
    ] {
        facts.insert(name.to_owned(), value.into());
    }
    let upstreams: Map<String, Value> = sample
        .upstreams
        .iter()
        .filter(|(_, latency)| latency.count > 0 || latency.failures > 0)
        .map(|(name, latency)| {
            let mean_us = latency.sum_us.checked_div(latency.count);
            let latency = serde_json::json!({
                "answers": latency.count,
                "failures": latency.failures,
                "mean_us": mean_us,
                "max_us": latency.max_us,
            });
            (name.clone(), latency)
        })
        .collect();
    facts.insert("upstreams".to_owned(), upstreams.into());
    facts
}

/// Records the clock and the environment now and at every interval, until the recorder closes.
/// A full disk only costs the samples.
pub(crate) async fn observe(
    recorder: Recorder,
    data: PathBuf,
    interval: Duration,
    figures: Figures,
) {
    let mut environment = environment::Sampler::new(data);
    let mut clock = clock::Sampler::default();
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut facts = environment.sample(&recorder.status());
        facts.append(&mut figures());
        for (kind, facts) in [(Kind::Clock, clock.sample()), (Kind::Environment, facts)] {
            let mut draft = Draft::new(kind, Source::Recorder);
            draft.facts = Some(facts);
            match recorder.append(&draft).await {
                Ok(_) | Err(evidence::Error::Full(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, "no more samples");
                    return;
                }
            }
        }
    }
}
