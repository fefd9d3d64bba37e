//! What came on a connection and never became a request: it is told in the record, at most once a second.
//!
//! Promises that a flood of garbage cannot fill the log: the first is recorded at once, what follows within a second is
//! counted into one event. Nothing of what came is recorded, only what the HTTP library found wrong with it.

use crate::context::Context;
use event::{Draft, Gap, Kind, Source};
use evidence::Error;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The least time between two events.
const INTERVAL: Duration = Duration::from_secs(1);

/// Findings and peers that one event names; the count covers the others.
const NAMED: usize = 8;

/// Longest finding in an event, in bytes.
const FINDING_BYTES: usize = 96;

/// What is not in the record yet.
#[derive(Debug, Default)]
pub(crate) struct Malformed {
    waiting: Mutex<Waiting>,
    /// Held while an event is written, so that the last one is waited for.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    count: u64,
    findings: BTreeMap<String, u64>,
    peers: BTreeSet<IpAddr>,
    /// Somebody writes what is added.
    writer: bool,
}

impl Waiting {
    fn add(&mut self, count: u64, finding: &str, peer: IpAddr) {
        let finding = crate::redact::cut(finding, FINDING_BYTES);
        self.count += count;
        if self.findings.len() < NAMED || self.findings.contains_key(finding) {
            *self.findings.entry(finding.to_owned()).or_default() += count;
        }
        if self.peers.len() < NAMED {
            self.peers.insert(peer);
        }
    }

    fn event(&self) -> Draft {
        let mut draft = Draft::new(Kind::Gap, Source::Gateway);
        draft.gap = Some(Gap {
            of: "request".to_owned(),
            cause: "malformed-http".to_owned(),
            count: self.count,
            unit: "elements".to_owned(),
            ..Gap::default()
        });
        let peers: Vec<String> = self.peers.iter().map(IpAddr::to_string).collect();
        let facts = draft.facts.get_or_insert_default();
        facts.insert("peers".to_owned(), Value::from(peers));
        let findings = self.findings.iter();
        let findings = findings.map(|(finding, count)| (finding.clone(), Value::from(*count)));
        facts.insert("findings".to_owned(), findings.collect());
        draft
    }
}

impl Malformed {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits. With nothing there, whoever writes is done.
    fn take(&self) -> Option<Waiting> {
        let mut waiting = self.waiting();
        if waiting.count == 0 {
            waiting.writer = false;
            return None;
        }
        let writer = waiting.writer;
        let taken = std::mem::take(&mut *waiting);
        waiting.writer = writer;
        Some(taken)
    }

    /// Puts back what found no room.
    fn put_back(&self, taken: Waiting) {
        let mut waiting = self.waiting();
        waiting.count += taken.count;
        for (finding, count) in taken.findings {
            *waiting.findings.entry(finding).or_default() += count;
        }
        waiting.peers.extend(taken.peers);
    }
}

/// A connection brought what is no request. `finding` are the HTTP library's own words.
pub(crate) fn note(ctx: &Arc<Context>, peer: IpAddr, finding: &str) {
    ctx.figures.malformed.fetch_add(1, Relaxed);
    let mut waiting = ctx.malformed.waiting();
    waiting.add(1, finding, peer);
    if std::mem::replace(&mut waiting.writer, true) {
        return;
    }
    drop(waiting);
    let ctx = ctx.clone();
    tokio::spawn(async move {
        while write(&ctx).await {
            tokio::time::sleep(INTERVAL).await;
        }
    });
}

/// Writes what waits, at the end.
pub(crate) async fn finish(ctx: &Context) {
    write(ctx).await;
}

/// Returns whether there was anything to write.
async fn write(ctx: &Context) -> bool {
    let _turn = ctx.malformed.turn.lock().await;
    let Some(taken) = ctx.malformed.take() else {
        return false;
    };
    match ctx.recorder.append(&taken.event()).await {
        Ok(_) => {}
        Err(Error::Full(_)) => ctx.malformed.put_back(taken),
        Err(error) => tracing::warn!(%error, "malformed requests could not be recorded"),
    }
    true
}

/// What the HTTP library found wrong with what came; `None` where the connection merely ended. `asked`: a request was
/// understood on this connection before.
pub(crate) fn finding(
    error: &(dyn std::error::Error + Send + Sync + 'static),
    asked: bool,
) -> Option<String> {
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_parse() {
        return Some(error.to_string());
    }
    if error.is_incomplete_message() && !asked {
        return Some("the connection ended within a request's head".to_owned());
    }
    let http2 = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    let reason = http2.reason().filter(|_| http2.is_library())?;
    Some(format!("HTTP/2: {}", reason.description()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_names_few_and_counts_all() {
        let mut waiting = Waiting::default();
        for n in 0..1000u32 {
            let peer = IpAddr::from(n.to_be_bytes());
            waiting.add(1, &format!("{n} {}", "x".repeat(1000)), peer);
        }
        let draft = waiting.event();
        assert_eq!(draft.gap.as_ref().unwrap().count, 1000);
        let facts = draft.facts.as_ref().unwrap();
        assert_eq!(facts["peers"].as_array().unwrap().len(), NAMED);
        assert_eq!(facts["findings"].as_object().unwrap().len(), NAMED);
        assert!(draft.seal().unwrap().len() < 2048);
    }
}
