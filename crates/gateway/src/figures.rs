//! Live figures of the data plane, for environment events and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters that the data plane keeps while it runs. Reading them never disturbs a call.
#[derive(Debug, Default)]
pub struct Figures {
    pub(crate) connections: AtomicU64,
    pub(crate) open_calls: AtomicU64,
    pub(crate) calls: AtomicU64,
    pub(crate) request_bytes: AtomicU64,
    pub(crate) response_bytes: AtomicU64,
    pub(crate) unrecorded: AtomicU64,
    pub(crate) not_understood: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) upstreams: BTreeMap<String, Latency>,
}

/// Time from a forwarded request to the upstream's response head.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    count: AtomicU64,
    sum_us: AtomicU64,
    max_us: AtomicU64,
    failures: AtomicU64,
}

/// The figures at one moment. Counters count from the start of the process; latencies from the sample before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Connections of agents open now.
    pub connections: u64,
    /// Calls open now.
    pub open_calls: u64,
    /// Calls since the start.
    pub calls: u64,
    /// Request body bytes received since the start.
    pub request_bytes: u64,
    /// Response body bytes received from upstreams since the start.
    pub response_bytes: u64,
    /// Terminal events that could not be recorded; the next start closes those calls as `interrupted`.
    pub unrecorded: u64,
    /// Bodies that a reader could not understand, or not in full.
    pub not_understood: u64,
    /// Connections that were closed because what came is not HTTP.
    pub malformed: u64,
    /// By upstream, since the sample before.
    pub upstreams: BTreeMap<String, UpstreamSample>,
}

/// One upstream's latency since the sample before: from the forwarded request to the response head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamSample {
    /// Answers.
    pub count: u64,
    /// Sum over the answers, microseconds.
    pub sum_us: u64,
    /// The slowest, microseconds.
    pub max_us: u64,
    /// Calls that got no response head.
    pub failures: u64,
}

impl Figures {
    pub(crate) fn new<'a>(upstreams: impl Iterator<Item = &'a str>) -> Self {
        Self {
            upstreams: upstreams
                .map(|name| (name.to_owned(), Latency::default()))
                .collect(),
            ..Self::default()
        }
    }

    /// Reads the figures and starts the next interval of the latencies.
    pub fn sample(&self) -> Sample {
        Sample {
            connections: self.connections.load(Relaxed),
            open_calls: self.open_calls.load(Relaxed),
            calls: self.calls.load(Relaxed),
            request_bytes: self.request_bytes.load(Relaxed),
            response_bytes: self.response_bytes.load(Relaxed),
            unrecorded: self.unrecorded.load(Relaxed),
            not_understood: self.not_understood.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            upstreams: self
                .upstreams
                .iter()
                .map(|(name, latency)| (name.clone(), latency.take()))
                .collect(),
        }
    }

    pub(crate) fn answered(&self, upstream: &str, us: u64) {
        let Some(latency) = self.upstreams.get(upstream) else {
            return;
        };
        latency.count.fetch_add(1, Relaxed);
        latency.sum_us.fetch_add(us, Relaxed);
        latency.max_us.fetch_max(us, Relaxed);
    }

    pub(crate) fn unanswered(&self, upstream: &str) {
        if let Some(latency) = self.upstreams.get(upstream) {
            latency.failures.fetch_add(1, Relaxed);
        }
    }
}

impl Latency {
    fn take(&self) -> UpstreamSample {
        UpstreamSample {
            count: self.count.swap(0, Relaxed),
            sum_us: self.sum_us.swap(0, Relaxed),
            max_us: self.max_us.swap(0, Relaxed),
            failures: self.failures.swap(0, Relaxed),
        }
    }
}

/// Adds one for as long as it lives.
pub(crate) struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    pub(crate) fn up(of: &'a AtomicU64) -> Self {
        of.fetch_add(1, Relaxed);
        Self(of)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
