//! How the log stands with its anchors: for the operator, and for whoever waits.

use crate::error::Error;
use crate::files::Files;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tlog::note::VerifyingKey;
use tokio::sync::watch;

/// Version of the form in which this is kept.
const VERSION: u32 = 1;

/// What kind of anchor it is. The spelling is that of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A time-stamp authority.
    Timestamp,
    /// A witness.
    Witness,
    /// The second place.
    Copy,
}

impl Kind {
    /// The word in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Witness => "witness",
            Self::Copy => "copy",
        }
    }
}

/// What tells an anchor from every other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) kind: Kind,
    /// As in events: the authority's, the name of the witness's key, the directory.
    pub(crate) name: String,
    /// Id of a witness's key: two keys may bear one name.
    pub(crate) key_id: Option<String>,
}

impl Label {
    pub(crate) fn authority(name: impl Into<String>) -> Self {
        Self::of(Kind::Timestamp, name.into(), None)
    }

    pub(crate) fn witness(key: &VerifyingKey) -> Self {
        let id = key.id().to_string();
        Self::of(Kind::Witness, key.name().to_owned(), Some(id))
    }

    pub(crate) fn copy(place: impl Into<String>) -> Self {
        Self::of(Kind::Copy, place.into(), None)
    }

    const fn of(kind: Kind, name: String, key_id: Option<String>) -> Self {
        Self { kind, name, key_id }
    }

    fn is_of(&self, anchor: &Anchored) -> bool {
        (self.kind, &self.name, &self.key_id) == (anchor.kind, &anchor.name, &anchor.key_id)
    }

    /// As [`Self::is_of`], also where its key was not told apart from others of its name then.
    pub(crate) fn may_be(&self, anchor: &Anchored) -> bool {
        let same_key = anchor.key_id.is_none() || self.key_id == anchor.key_id;
        (self.kind, &self.name) == (anchor.kind, &anchor.name) && same_key
    }
}

/// Everything that is known about the anchors of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    version: u32,
    /// Size of the newest published checkpoint; 0 before the first.
    pub published: u64,
    /// Why no checkpoint could be published of late.
    pub unpublished: Option<Failing>,
    /// Each anchor that is configured.
    pub anchors: Vec<Anchored>,
    /// The witnesses' quorum, where a policy asks for one.
    pub quorum: Option<Quorum>,
}

/// One anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchored {
    /// Its kind.
    pub kind: Kind,
    /// Authority, key name of the witness, or directory.
    pub name: String,
    /// Id of the witness's key; `None` for other kinds, and in what was kept before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Size of the newest checkpoint it has; `None` before the first.
    pub size: Option<u64>,
    /// When that was, RFC 3339.
    pub at: Option<String>,
    /// Turn of the newest checkpoint that it was asked for, in this session.
    #[serde(skip)]
    pub(crate) turn: u64,
    /// Why it has not the newest.
    pub failing: Option<Failing>,
    /// Checkpoints it never had, because a newer one came while they waited.
    pub superseded: u64,
}

/// Why and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// RFC 3339.
    pub since: String,
    /// In words.
    pub error: String,
    /// Attempts since then.
    pub attempts: u64,
    /// Whether it says that a history was rewritten.
    pub incident: bool,
}

/// What the witnesses amount to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Size of the newest checkpoint with a quorum; 0 before the first.
    pub size: u64,
}

impl Anchored {
    pub(crate) fn label(&self) -> Label {
        Label {
            kind: self.kind,
            name: self.name.clone(),
            key_id: self.key_id.clone(),
        }
    }
}

impl Standing {
    /// What was last known of the record in `dir`; `None` where it never was anchored.
    ///
    /// # Errors
    /// [`Error::Local`] where it was written down and cannot be read.
    pub fn last_known(dir: &Path) -> Result<Option<Self>, Error> {
        Files::of(dir).standing()
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.version == VERSION
    }

    /// Whether something outside is to be told of the log's head.
    #[must_use]
    pub fn is_anchored(&self) -> bool {
        !self.anchors.is_empty()
    }

    /// The anchor of `kind` that reaches farthest.
    #[must_use]
    pub fn newest(&self, kind: Kind) -> Option<&Anchored> {
        let of_kind = self.anchors.iter().filter(|anchor| anchor.kind == kind);
        of_kind.max_by_key(|anchor| anchor.size)
    }

    /// Events that nothing outside knows of, of `durable` ones, by what the recorder was last told.
    #[must_use]
    pub fn unanchored(&self, durable: u64) -> u64 {
        let newest = self.anchors.iter().filter_map(|anchor| anchor.size).max();
        durable.saturating_sub(newest.unwrap_or(0))
    }

    /// What is known after the recorder has ended and its last checkpoint was laid down.
    pub(crate) fn with_last_copy(mut self, place: &Label, size: u64) -> Self {
        if let Some(anchor) = self.anchor(place) {
            anchor.size = Some(size);
            anchor.at = Some(Timestamp::now().to_string());
            anchor.failing = None;
        }
        self
    }

    /// Size of the newest checkpoint that this anchor has, where it has one.
    pub(crate) fn size_of(&self, label: &Label) -> Option<u64> {
        let mut anchors = self.anchors.iter();
        let anchor = anchors.find(|anchor| label.is_of(anchor))?;
        anchor.size.filter(|size| *size > 0)
    }

    fn anchor(&mut self, label: &Label) -> Option<&mut Anchored> {
        self.anchors.iter_mut().find(|anchor| label.is_of(anchor))
    }

    /// What was last known of an anchor, also where its key was not told apart from others of its name then.
    fn known(&self, label: &Label) -> Option<&Anchored> {
        let find = |label: &Label| self.anchors.iter().find(|anchor| label.is_of(anchor));
        find(label).or_else(|| {
            let key_id = None;
            find(&Label {
                key_id,
                ..label.clone()
            })
        })
    }
}

/// Where everybody writes how it stands, and everybody reads it.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    standing: watch::Sender<Standing>,
    files: Files,
    /// What is kept is what was known last.
    turn: Arc<Mutex<()>>,
}

impl Board {
    /// The anchors that are configured, with what was last known of them: also what said that a history was rewritten,
    /// which a start does not settle.
    pub(crate) fn new(files: Files, labels: impl IntoIterator<Item = Label>, quorum: bool) -> Self {
        let last = files.standing().unwrap_or_else(|error| {
            tracing::warn!(%error, "every anchor is asked again; that one knew another history is not known any more");
            None
        });
        let last = last.unwrap_or_default();
        let anchors: Vec<Anchored> = labels
            .into_iter()
            .map(|label| {
                let known = last.known(&label).cloned();
                Anchored {
                    kind: label.kind,
                    name: label.name,
                    key_id: label.key_id,
                    size: known.as_ref().and_then(|known| known.size),
                    at: known.as_ref().and_then(|known| known.at.clone()),
                    turn: 0,
                    failing: known.as_ref().and_then(|known| incident(&known.failing)),
                    superseded: known.map_or(0, |known| known.superseded),
                }
            })
            .collect();
        let is_left = |known: &Anchored| !anchors.iter().any(|anchor| anchor.label().may_be(known));
        let any_left = last.anchors.iter().any(is_left);
        let (standing, _) = watch::channel(Standing {
            version: VERSION,
            published: last.published,
            unpublished: incident(&last.unpublished),
            anchors,
            quorum: quorum.then(|| last.quorum.unwrap_or_default()),
        });
        let board = Self {
            standing,
            files,
            turn: Arc::default(),
        };
        if any_left {
            // The start that leaves them out has said so.
            board.change(|_| {});
        }
        board
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// The size that this anchor is known to have.
    pub(crate) fn size(&self, label: &Label) -> Option<u64> {
        self.standing.borrow().size_of(label)
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.standing.send_modify(change);
        let now = self.standing.borrow().clone();
        if let Err(error) = self.files.keep_standing(&now) {
            tracing::warn!(%error, "what is known of the anchors was not kept");
        }
    }

    pub(crate) fn published(&self, size: u64) {
        self.change(|standing| {
            standing.published = size;
            standing.unpublished = None;
        });
    }

    pub(crate) fn not_published(&self, error: &Error) {
        self.change(|standing| {
            standing
                .unpublished
                .get_or_insert_with(|| Failing::begins(error))
                .again(error);
        });
    }

    pub(crate) fn has(
        &self,
        label: &Label,
        (turn, size): (u64, u64),
        at: Timestamp,
        superseded: u64,
    ) {
        self.change(|standing| {
            if let Some(anchor) = standing.anchor(label) {
                anchor.size = Some(size);
                anchor.at = Some(at.to_string());
                anchor.turn = turn;
                anchor.failing = None;
                anchor.superseded += superseded;
            }
        });
    }

    /// It was asked for a checkpoint that it has already.
    pub(crate) fn has_already(&self, label: &Label, turn: u64) {
        self.change(|standing| {
            if let Some(anchor) = standing.anchor(label) {
                anchor.turn = turn;
            }
        });
    }

    /// Returns whether this is the first failure in a row, or the first that says that a history was rewritten.
    pub(crate) fn has_not(&self, label: &Label, turn: u64, error: &Error) -> Option<Failing> {
        let mut told = None;
        self.change(|standing| {
            let Some(anchor) = standing.anchor(label) else {
                return;
            };
            anchor.turn = turn;
            let before = anchor.failing.as_ref().map(|failing| failing.incident);
            let failing = anchor.failing.get_or_insert_with(|| Failing::begins(error));
            failing.again(error);
            if before.is_none() || (before == Some(false) && failing.incident) {
                told = Some(failing.clone());
            }
        });
        told
    }

    pub(crate) fn has_quorum(&self, size: u64) {
        self.change(|standing| {
            if let Some(quorum) = &mut standing.quorum {
                quorum.size = quorum.size.max(size);
            }
        });
    }
}

/// What is not forgotten until it is settled.
fn incident(failing: &Option<Failing>) -> Option<Failing> {
    failing.clone().filter(|failing| failing.incident)
}

impl Failing {
    fn begins(error: &Error) -> Self {
        Self {
            since: Timestamp::now().to_string(),
            error: error.to_string(),
            attempts: 0,
            incident: error.is_incident(),
        }
    }

    /// What said that a history was rewritten is not covered up by a later connection that breaks.
    fn again(&mut self, error: &Error) {
        self.attempts += 1;
        if error.is_incident() || !self.incident {
            self.error = error.to_string();
            self.incident = error.is_incident();
        }
    }
}
