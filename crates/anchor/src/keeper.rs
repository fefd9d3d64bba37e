//! Keeps the log anchored: publishes checkpoints on a cadence, on demand and at the end, and offers them to the anchors.

use crate::Error;
use crate::client::Client;
use crate::copy::Place;
use crate::epochs::{self, Chain};
use crate::files::Files;
use crate::head::{Head, Offer, Turns};
use crate::settings::Settings;
use crate::standing::{Board, Kind, Standing};
use crate::witness::Witness;
use crate::worker::{Anchor, Shared, Worker};
use evidence::{Proofs, Recorder};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Demands that may wait.
const DEMANDS: usize = 16;

/// How long somebody who asked for anchors waits for them.
const DEMAND_TIME: Duration = Duration::from_secs(60);

/// How long anchors may hold up the end of the recorder.
const LAST_TIME: Duration = Duration::from_secs(5);

type Demand = oneshot::Sender<Result<Turns, Error>>;

/// Anchors one log for as long as it runs.
#[derive(Debug)]
pub struct Keeper {
    recorder: Recorder,
    settings: Settings,
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    heads: watch::Sender<Option<Offer>>,
    stamps: watch::Sender<Option<Offer>>,
    hurry: Vec<Arc<Notify>>,
    demands: mpsc::Receiver<Demand>,
    /// Size of the checkpoint that was published last, and of the one that was offered for stamping last.
    published: u64,
    stamped: u64,
    /// When that was.
    stamped_at: Option<Instant>,
    /// Somebody knows another history, and no authority was asked since.
    incident: bool,
}

/// How it stands, and how to ask for more.
#[derive(Debug, Clone)]
pub struct Handle {
    standing: watch::Receiver<Standing>,
    demand: mpsc::Sender<Demand>,
}

impl Handle {
    /// How the log stands with its anchors now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Publishes a checkpoint now and has every anchor asked for it at once; returns how each stands once each has
    /// answered or failed, or after a minute.
    ///
    /// # Errors
    /// What keeps a checkpoint from being published; [`Error::Local`] when the recorder is ending.
    pub async fn anchor_now(&self) -> Result<Standing, Error> {
        let ending = |()| Error::Local("the recorder is ending".into());
        let (answer, published) = oneshot::channel();
        self.demand.send(answer).await.map_err(|_| ending(()))?;
        let turns = published.await.map_err(|_| ending(()))??;
        let mut standing = self.standing.clone();
        // Whoever did not answer in time is told as it stands then.
        let settled = standing.wait_for(|standing| is_settled(standing, turns));
        drop(tokio::time::timeout(DEMAND_TIME, settled).await);
        Ok(self.standing())
    }
}

/// Whether every anchor was asked for the checkpoint of that turn, and has it or failed to have it.
fn is_settled(standing: &Standing, turns: Turns) -> bool {
    standing.anchors.iter().all(|anchor| match anchor.kind {
        Kind::Timestamp => anchor.turn >= turns.stamps,
        Kind::Witness | Kind::Copy => anchor.turn >= turns.heads,
    })
}

impl Keeper {
    /// Anchors `recorder`, whose record lies in `dir`.
    ///
    /// # Errors
    /// [`Error::Setting`]; [`Error::Local`] where the record's own hints cannot be written.
    pub fn new(
        recorder: Recorder,
        dir: impl Into<PathBuf>,
        settings: Settings,
    ) -> Result<(Self, Handle), Error> {
        let dir = dir.into();
        settings.judge(&dir)?;
        let files = Files::of(&dir);
        leave_hints(&files, &settings)?;
        let (heads, offers) = watch::channel(None);
        let (stamps, stamp_offers) = watch::channel(None);
        let log = epochs::first_key(&dir)?;
        let mut anchors = Vec::new();
        for authority in &settings.authorities {
            anchors.push((Anchor::Timestamp(authority.clone()), stamp_offers.clone()));
        }
        for witness in settings.witnesses() {
            let witness = Witness::new(witness, Proofs::of(&dir))?;
            anchors.push((Anchor::Witness(witness), offers.clone()));
        }
        if let Some(place) = &settings.copy {
            let place = Place::new(place, Proofs::of(&dir), log.to_string());
            let hanging = None;
            anchors.push((Anchor::Copy { place, hanging }, offers.clone()));
        }
        let policy = settings.witnesses.clone();
        let policy = policy.filter(tlog::policy::Policy::asks_for_witnesses);
        let labels = anchors.iter().map(|(anchor, _)| anchor.label());
        let board = Board::new(files.clone(), labels, policy.is_some());
        let (demand, demands) = mpsc::channel(DEMANDS);
        let handle = Handle {
            standing: board.watch(),
            demand,
        };
        let shared = Arc::new(Shared {
            keys: Chain::of(&dir),
            origin: log.name().to_owned(),
            client: Client::new()?,
            files,
            board,
            recorder: recorder.clone(),
            incident: AtomicBool::default(),
            policy,
        });
        let workers: Vec<Worker> = anchors
            .into_iter()
            .map(|(anchor, offers)| Worker {
                anchor,
                shared: shared.clone(),
                offers,
                hurry: Arc::default(),
            })
            .collect();
        let keeper = Self {
            recorder,
            settings,
            hurry: workers.iter().map(|worker| worker.hurry.clone()).collect(),
            shared,
            workers,
            heads,
            stamps,
            demands,
            published: 0,
            stamped: 0,
            stamped_at: None,
            incident: false,
        };
        Ok((keeper, handle))
    }

    /// Works until `stop` resolves; then has the last checkpoint anchored, as far as that is done within seconds.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let mut workers = JoinSet::new();
        for worker in std::mem::take(&mut self.workers) {
            workers.spawn(worker.run());
        }
        let every = |interval: Duration| {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut publish = every(self.settings.publish);
        let mut stamp = every(self.settings.timestamp);
        let anchors = self.settings.anchors_anything();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                // The first of each tick comes at once: what a crash left is anchored before it is built upon.
                _ = stamp.tick(), if anchors => self.stamp().await,
                _ = publish.tick(), if anchors => self.publish().await,
                Some(demand) = self.demands.recv() => {
                    let published = self.offer(true).await;
                    self.hurry();
                    // Who no longer waits does not need to know.
                    drop(demand.send(published));
                }
                () = &mut stop => break,
            }
        }
        self.last().await;
        workers.shutdown().await;
    }

    /// The short cadence: what has happened, and what cannot wait for the long one.
    async fn publish(&mut self) {
        let reach = self.recorder.status().reach;
        self.incident |= self.shared.incident.swap(false, Ordering::Relaxed);
        let pressing = self.incident || reach.pressing > self.stamped;
        let lately = self
            .stamped_at
            .is_some_and(|then| then.elapsed() < self.settings.pressing);
        if pressing && !lately && !self.settings.authorities.is_empty() {
            self.told(true).await;
        } else if reach.eventful > self.published && self.settings.has_watchers() {
            self.told(false).await;
        }
    }

    /// The long cadence: also that time has passed.
    async fn stamp(&mut self) {
        if self.recorder.status().reach.beyond_anchors > self.stamped {
            self.told(true).await;
        }
    }

    async fn told(&mut self, stamp: bool) {
        if let Err(error) = self.offer(stamp).await {
            tracing::warn!(%error, "no checkpoint was published");
        }
    }

    /// Publishes a checkpoint over everything and offers it; with `stamp` to authorities as well.
    async fn offer(&mut self, stamp: bool) -> Result<Turns, Error> {
        let published = match self.recorder.publish().await {
            Ok(published) => published,
            Err(error) => {
                let error = match error {
                    evidence::Error::Damaged { .. } => Error::Doubt(error.to_string()),
                    error => error.into(),
                };
                self.shared.board.not_published(&error);
                return Err(error);
            }
        };
        let head = Arc::new(Head::from(published));
        let size = head.size;
        self.published = size;
        self.shared.board.published(size);
        let heads = put(&self.heads, &head);
        let mut stamps = 0;
        if stamp {
            (self.stamped, self.stamped_at) = (size, Some(Instant::now()));
            self.incident = false;
            stamps = put(&self.stamps, &head);
        }
        Ok(Turns { heads, stamps })
    }

    /// Has those who wait before they ask again ask now.
    fn hurry(&self) {
        self.hurry.iter().for_each(|hurry| hurry.notify_one());
    }

    /// The end: one more, for everybody, within a bound. Our own events count this time: nothing follows.
    async fn last(&mut self) {
        let durable = self.recorder.status().durable;
        let stamped = self.settings.authorities.is_empty() || self.stamped == durable;
        if self.hurry.is_empty() || (self.published == durable && stamped) {
            return;
        }
        let Ok(turns) = self.offer(true).await else {
            return;
        };
        self.hurry();
        let mut standing = self.shared.board.watch();
        let settled = standing.wait_for(|standing| is_settled(standing, turns));
        if tokio::time::timeout(LAST_TIME, settled).await.is_err() {
            tracing::warn!("the recorder ends before every anchor has its last checkpoint");
        }
    }
}

/// Offers `head` in place of what waits; returns its turn.
fn put(to: &watch::Sender<Option<Offer>>, head: &Arc<Head>) -> u64 {
    let turn = to.borrow().as_ref().map_or(0, |offer| offer.turn) + 1;
    to.send_modify(|offer| {
        *offer = Some(Offer {
            turn,
            head: head.clone(),
            since: Instant::now(),
        });
    });
    turn
}

/// Whom the operator chose, for whoever comes later. Nobody is believed for standing there.
fn leave_hints(files: &Files, settings: &Settings) -> Result<(), Error> {
    for authority in &settings.authorities {
        let path = format!("roots/{}.pem", authority.name);
        files.hint(&path, authority.trusted.pem())?;
    }
    let witnesses: String = settings
        .witnesses()
        .map(|witness| format!("{}\n", witness.key))
        .collect();
    if !witnesses.is_empty() {
        files.hint("witnesses", &witnesses)?;
    }
    Ok(())
}
