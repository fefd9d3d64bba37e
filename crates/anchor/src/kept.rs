//! What vouches for the log's head, as it lies there now.
//!
//! A [`Standing`] is what a recorder wrote down last; since then files may have gone, and whoever writes there can write
//! anything. Here every anchor is read back and verified: the files of `anchors/` under the record's own hints of whom its
//! operator trusts, the head in the second place under the log's keys. That tells the operator what there is. It tells an
//! auditor nothing, who brings along whom he trusts.

use crate::authority;
use crate::check::in_time;
use crate::epochs::first_key;
use crate::error::Error;
use crate::files::Files;
use crate::head::sha256;
use crate::settings::Trusted;
use crate::standing::{Anchored, Kind, Label, Standing};
use evidence::Store;
use evidence::epochs::Epochs;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use storage::{Disk as _, LocalDisk};
use tlog::Checkpoint;
use tlog::note::{Note, VerifyingKey};

/// Newest published checkpoints that are looked at for each anchor, besides the one that it had last.
const HEADS: usize = 64;

/// Longest hint that is read, in bytes.
const MAX_HINT_BYTES: usize = 1 << 20;

/// Authorities and witnesses that are looked for where only hints name them.
const MAX_HINTED: usize = 64;

/// One anchor, read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its kind.
    pub kind: Kind,
    /// Authority, key name of the witness, or directory.
    pub name: String,
    /// Id of the witness's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Events under the newest checkpoint that it vouches for; `None` where nothing that holds was found.
    pub size: Option<u64>,
    /// When it did, RFC 3339; of a second place, when the recorder last laid one down there, where that is known.
    pub at: Option<String>,
    /// What is wrong with something newer, or why there is nothing.
    pub trouble: Option<String>,
}

/// Reads back what vouches for the record in `dir`: each anchor of `standing`, or, without one, whoever the record's hints
/// name. Writes nothing; verifies what lies there and asks nobody.
///
/// # Errors
/// [`Error::Local`] where the record cannot be read.
pub async fn kept(dir: &Path, standing: Option<&Standing>) -> Result<Vec<Kept>, Error> {
    let known = standing.map(|standing| standing.anchors.as_slice());
    // Before the record: a head that is laid down meanwhile is of events that can be read then.
    let origin = first_key(dir)?.name().to_owned();
    let places = known.unwrap_or_default().iter();
    let mut heads = Vec::new();
    for place in places.filter(|anchor| anchor.kind == Kind::Copy) {
        heads.push((place, in_time(Path::new(&place.name), &origin).await));
    }
    let store = Store::open(dir)?;
    let reader = Reader {
        epochs: store.epochs()?,
        sizes: store.published_sizes()?,
        files: Files::of(dir),
        disk: LocalDisk::at(dir),
        store,
    };
    let mut kept: Vec<Kept> = match known {
        Some(anchors) => anchors
            .iter()
            .filter(|anchor| anchor.kind != Kind::Copy)
            .map(|anchor| reader.newest(&anchor.label(), anchor.size))
            .collect(),
        None => reader
            .hinted()
            .iter()
            .map(|label| reader.newest(label, None))
            .collect(),
    };
    let placed = |(place, head)| reader.placed(place, head);
    kept.extend(heads.into_iter().map(placed));
    Ok(kept)
}

/// What was found of one head.
struct Found {
    size: u64,
    at: Option<String>,
}

struct Reader {
    store: Store,
    epochs: Epochs,
    /// Of published heads, ascending.
    sizes: Vec<u64>,
    files: Files,
    disk: LocalDisk,
}

impl Reader {
    /// Whoever the hints name.
    fn hinted(&self) -> Vec<Label> {
        let names = self.disk.list("anchors/roots").unwrap_or_default();
        let authorities = names
            .iter()
            .filter_map(|name| name.strip_suffix(".pem"))
            .map(Label::authority);
        let witnesses = self.witnesses();
        let witnesses = witnesses.iter().map(Label::witness);
        authorities.chain(witnesses).take(MAX_HINTED).collect()
    }

    fn witnesses(&self) -> Vec<VerifyingKey> {
        let text = self.hint("witnesses").unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn hint(&self, name: &str) -> Option<String> {
        let path = format!("anchors/{name}");
        let bytes = self.files.read(&path, MAX_HINT_BYTES).ok()??;
        String::from_utf8(bytes).ok()
    }

    /// The newest head that an authority or a witness vouches for. `last` is the size that it is said to have.
    fn newest(&self, who: &Label, last: Option<u64>) -> Kept {
        let newest = self.sizes.iter().rev().take(HEADS).copied();
        let sizes: BTreeSet<u64> = newest.chain(last).collect();
        let mut trouble = None;
        let voucher = match self.voucher(who) {
            Ok(voucher) => voucher,
            Err(why) => return kept_by(who, None, Some(why)),
        };
        for size in sizes.into_iter().rev() {
            match self.vouched(who, &voucher, size) {
                Ok(Some(at)) => {
                    let at = Some(at.to_string());
                    return kept_by(who, Some(Found { size, at }), trouble);
                }
                Ok(None) => {}
                Err(error) => {
                    trouble.get_or_insert_with(|| error.to_string());
                }
            }
        }
        let none = || "nothing of it lies in anchors/".to_owned();
        let trouble = trouble.unwrap_or_else(none);
        kept_by(who, None, Some(trouble))
    }

    fn voucher(&self, who: &Label) -> Result<Voucher, String> {
        if who.kind == Kind::Timestamp {
            let path = format!("roots/{}.pem", who.name);
            let pem = self.hint(&path);
            let pem = pem.ok_or_else(|| format!("anchors/{path} is missing or no text"))?;
            let trusted = Trusted::roots(&pem).map_err(|error| error.to_string())?;
            return Ok(Voucher::Authority(trusted));
        }
        let witnesses = self.witnesses().into_iter();
        let mut named = witnesses.filter(|key| {
            let id = key.id().to_string();
            key.name() == who.name && who.key_id.as_ref().is_none_or(|wanted| *wanted == id)
        });
        let key = named.next();
        let key = key.ok_or_else(|| "anchors/witnesses does not name its key".to_owned())?;
        Ok(Voucher::Witness(key))
    }

    /// When it vouched for the head of `size` events; `None` where nothing of it lies there.
    fn vouched(
        &self,
        who: &Label,
        voucher: &Voucher,
        size: u64,
    ) -> Result<Option<Timestamp>, Error> {
        let held = match voucher {
            Voucher::Authority(_) => self.files.token(size, &who.name)?,
            Voucher::Witness(_) => self.files.cosigned_text(size)?,
        };
        let (Some(held), Some(head)) = (held, self.store.published(size)?) else {
            return Ok(None);
        };
        let lies = |what: &str| Error::Lies(format!("anchors/{size:020}: {what}"));
        let bytes = head.to_string().into_bytes();
        let is_ours = || match self.is_ours(&head)? {
            found if found == size => Ok(()),
            found => Err(lies(&format!("its head is one of {found} events"))),
        };
        match voucher {
            Voucher::Authority(trusted) => {
                is_ours()?;
                authority::vouches(&held, sha256(&bytes), &trusted.trust()).map(Some)
            }
            Voucher::Witness(key) => {
                let note = Note::parse(&held).map_err(|error| lies(&error.to_string()))?;
                let others = note.signatures();
                let others = others
                    .iter()
                    .filter(|line| line.name() == key.name() && line.id() == key.id());
                if others.count() == 0 {
                    return Ok(None);
                }
                if !held.starts_with(&bytes) {
                    return Err(lies("what was cosigned is not what was published"));
                }
                is_ours()?;
                let keys = std::slice::from_ref(key);
                let verified = note
                    .verify(keys)
                    .map_err(|error| lies(&error.to_string()))?;
                let time = verified.signers.iter().filter_map(|line| line.time).max();
                let time = time
                    .and_then(|time| Timestamp::from_second(time.seconds().try_into().ok()?).ok());
                time.map(Some)
                    .ok_or_else(|| lies("it was cosigned at no time that there is"))
            }
        }
    }

    /// Whether the log signed the head and still is what it says; returns its size.
    fn is_ours(&self, head: &Note) -> Result<u64, Error> {
        let text = head.to_string();
        let signed = self.epochs.open(text.as_bytes());
        let signed = signed.map_err(|refusal| Error::Lies(refusal.to_string()))?;
        let head: Checkpoint = signed.checkpoint;
        let (size, ours) = (head.size(), self.store.len());
        if size > ours {
            return Err(Error::Doubt(format!(
                "it knows this log with {size} events, and it has {ours}: the log lost its end"
            )));
        }
        if self.store.root(size)? != head.root() {
            return Err(Error::Doubt(format!(
                "it knows another history of the first {size} events: one of the two was rewritten"
            )));
        }
        Ok(size)
    }

    /// What the second place holds.
    fn placed(&self, place: &Anchored, head: Result<Option<Note>, Error>) -> Kept {
        let size = match head {
            Ok(Some(head)) => self.is_ours(&head),
            Ok(None) => Err(Error::Unreachable(
                "it holds no head of this log: it is not mounted, or was emptied".into(),
            )),
            Err(error) => Err(error),
        };
        let label = place.label();
        match size {
            Ok(size) => {
                let at = place.at.clone().filter(|_| place.size == Some(size));
                kept_by(&label, Some(Found { size, at }), None)
            }
            Err(error) => kept_by(&label, None, Some(error.to_string())),
        }
    }
}

/// How an anchor of `anchors/` is verified.
enum Voucher {
    Authority(Trusted),
    Witness(VerifyingKey),
}

fn kept_by(who: &Label, found: Option<Found>, trouble: Option<String>) -> Kept {
    Kept {
        kind: who.kind,
        name: who.name.clone(),
        key_id: who.key_id.clone(),
        size: found.as_ref().map(|found| found.size),
        at: found.and_then(|found| found.at),
        trouble,
    }
}
