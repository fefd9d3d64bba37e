//! One anchor's own life: the newest checkpoint, asked for again and again until it is had.

#[cfg(test)]
mod faults;

use crate::Error;
use crate::authority;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::copy::Place;
use crate::epochs::Chain;
use crate::facts::{self, Effort};
use crate::files::Files;
use crate::head::{Head, Offer};
use crate::settings::Authority;
use crate::standing::{Board, Label};
use crate::witness::Witness;
use event::Draft;
use evidence::Recorder;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tlog::policy::Policy;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// How long a file system may take to lay a checkpoint down before that is a failure.
const COPY_TIME: Duration = Duration::from_secs(30);

/// What a worker asks.
#[derive(Debug)]
pub(crate) enum Anchor {
    Timestamp(Authority),
    Witness(Witness),
    Copy {
        place: Place,
        /// One that did not come back yet: a file system that hangs is not asked again meanwhile.
        hanging: Option<JoinHandle<Result<(), Error>>>,
    },
}

impl Anchor {
    pub(crate) fn label(&self) -> Label {
        match self {
            Self::Timestamp(authority) => Label::authority(&authority.name),
            Self::Witness(witness) => Label::witness(witness.key()),
            Self::Copy { place, .. } => Label::copy(place.name()),
        }
    }
}

/// What all workers of a keeper share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) keys: Chain,
    pub(crate) origin: String,
    pub(crate) client: Client,
    pub(crate) files: Files,
    pub(crate) board: Board,
    pub(crate) recorder: Recorder,
    /// Somebody has said that a history was rewritten, since that was last asked.
    pub(crate) incident: AtomicBool,
    /// Where a policy asks for witnesses.
    pub(crate) policy: Option<Policy>,
}

/// Asks one anchor for the newest checkpoint that it was offered.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) anchor: Anchor,
    pub(crate) shared: Arc<Shared>,
    pub(crate) offers: watch::Receiver<Option<Offer>>,
    /// Cuts the wait before the next attempt short.
    pub(crate) hurry: Arc<Notify>,
}

/// An anchor that was had: when, and what is its own in the event.
struct Had {
    at: Timestamp,
    facts: Value,
}

/// What came of an attempt, to be recorded.
enum Outcome {
    Had(Draft),
    /// With the event, where it is the first failure in a row.
    Failed(Option<Draft>),
}

impl Worker {
    /// Works until nobody offers anything any more, or the recorder takes no event.
    pub(crate) async fn run(mut self) {
        let label = self.anchor.label();
        let mut done = 0;
        // The size that it had last: a head that is offered twice is anchored once.
        let mut has = None;
        let mut backoff = Backoff::default();
        // Of what waits: since when, and how often it was tried.
        let mut waiting: Option<(Instant, u64)> = None;
        loop {
            let offer = self.offers.borrow_and_update().clone();
            let Some(offer) = offer.filter(|offer| offer.turn > done) else {
                if self.offers.changed().await.is_err() {
                    return;
                }
                continue;
            };
            if has == Some(offer.head.size) {
                self.shared.board.has_already(&label, offer.turn);
                done = offer.turn;
                continue;
            }
            let (since, attempts) = waiting.get_or_insert((offer.since, 0));
            *attempts += 1;
            let (since, attempts) = (*since, *attempts);
            let head = offer.head.clone();
            let outcome = match self.attempt(&head, has).await {
                Ok(had) => {
                    let effort = Effort {
                        attempts,
                        waited: since.elapsed(),
                        superseded: (offer.turn - done).saturating_sub(1),
                    };
                    let board = &self.shared.board;
                    board.has(&label, (offer.turn, head.size), had.at, effort.superseded);
                    (done, has) = (offer.turn, Some(head.size));
                    (waiting, backoff) = (None, Backoff::default());
                    Outcome::Had(facts::had(label.kind, had.facts, &head, effort))
                }
                Err(error) => {
                    let first = self.shared.board.has_not(&label, offer.turn, &error);
                    if first.as_ref().is_some_and(|failing| failing.incident) {
                        self.shared.incident.store(true, Ordering::Relaxed);
                    }
                    tracing::warn!(anchor = label.kind.as_str(), name = label.name, %error, "not anchored");
                    Outcome::Failed(first.map(|failing| facts::failed(&label, &failing)))
                }
            };
            if !self.recorded(&outcome, offer.turn).await {
                return;
            }
            if waiting.is_some() {
                let wait = backoff.next(chance());
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.hurry.notified() => {}
                }
            }
        }
    }

    /// Whether the recorder goes on. An event that it does not take costs only the event: what it tells lies in
    /// `anchors/`, and the standing says that it is not told.
    async fn recorded(&self, outcome: &Outcome, turn: u64) -> bool {
        let (Outcome::Had(draft) | Outcome::Failed(Some(draft))) = outcome else {
            return true;
        };
        let Err(error) = self.shared.recorder.append(draft).await else {
            return true;
        };
        if matches!(error, evidence::Error::Closed | evidence::Error::Fatal(_)) {
            tracing::debug!(%error, "no more anchors");
            return false;
        }
        tracing::warn!(kind = %draft.kind, %error, "the event of an anchor is not recorded");
        if let Outcome::Had(_) = outcome {
            let error = Error::Local(format!("it was had, and is not recorded: {error}"));
            // Its event would go the way of this one.
            let label = self.anchor.label();
            drop(self.shared.board.has_not(&label, turn, &error));
        }
        true
    }

    async fn attempt(&mut self, head: &Arc<Head>, has: Option<u64>) -> Result<Had, Error> {
        let shared = self.shared.clone();
        match &mut self.anchor {
            Anchor::Timestamp(authority) => stamped(&shared, authority, head).await,
            Anchor::Witness(witness) => cosigned(&shared, witness, head).await,
            Anchor::Copy { place, hanging } => {
                laid_down(&shared.origin, place, hanging, (head, has)).await?;
                Ok(Had {
                    at: Timestamp::now(),
                    facts: json!({
                        "place": place.name(),
                        "checkpoint_sha256": hex::encode(head.sha256),
                    }),
                })
            }
        }
    }
}

async fn stamped(shared: &Shared, authority: &Authority, head: &Head) -> Result<Had, Error> {
    // One that was stored when something failed after that is not asked for again.
    let stamp = match shared.files.token(head.size, &authority.name)? {
        Some(response) => authority::stored(response, authority, head)?,
        None => authority::stamp(&shared.client, authority, head).await?,
    };
    shared
        .files
        .store_token(head.size, &authority.name, &stamp.response)?;
    Ok(Had {
        at: stamp.gen_time,
        facts: stamp.facts,
    })
}

async fn cosigned(shared: &Shared, witness: &Witness, head: &Head) -> Result<Had, Error> {
    let name = witness.key().name();
    let known = shared.board.size(&Label::witness(witness.key()));
    let cosigned = witness
        .cosign(&shared.client, head, known, &shared.keys)
        .await?;
    // In the place of one that was stored when something failed after that: no event tells of it.
    let note = shared.files.store_cosignature(head, &cosigned.signature)?;
    if let Some(policy) = &shared.policy {
        let policy = policy.clone().with_log(shared.keys.signer(head)?);
        match policy.accept(&note, None) {
            Ok(_) => shared.board.has_quorum(head.size),
            Err(error) => tracing::debug!(%error, size = head.size, "no quorum yet"),
        }
    }
    let facts = json!({
        "witness": name,
        "key": witness.key().to_string(),
        "signature": cosigned.signature.to_string(),
        "time": cosigned.time.to_string(),
    });
    Ok(Had {
        at: cosigned.time,
        facts,
    })
}

async fn laid_down(
    origin: &str,
    place: &Place,
    hanging: &mut Option<JoinHandle<Result<(), Error>>>,
    (head, has): (&Arc<Head>, Option<u64>),
) -> Result<(), Error> {
    let slow = || {
        Error::Unreachable(format!(
            "{} did not take it within {} s",
            place.name(),
            COPY_TIME.as_secs()
        ))
    };
    if let Some(earlier) = hanging {
        // What became of it does not matter: the head there is looked at again.
        let back = tokio::time::timeout(COPY_TIME, earlier).await;
        drop(back.map_err(|_| slow())?);
    }
    let task = {
        let (place, head, origin) = (place.clone(), head.clone(), origin.to_owned());
        tokio::task::spawn_blocking(move || place.lay_down(&head, &origin, has))
    };
    match tokio::time::timeout(COPY_TIME, hanging.insert(task)).await {
        Ok(done) => {
            *hanging = None;
            done.map_err(|error| Error::Local(error.to_string()))?
        }
        Err(_) => Err(slow()),
    }
}

/// Any number.
fn chance() -> u64 {
    let mut random = [0; 8];
    // Without randomness everybody waits equally long, which is all that is lost.
    aws_lc_rs::rand::fill(&mut random).ok();
    u64::from_le_bytes(random)
}
