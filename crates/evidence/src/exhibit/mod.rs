//! An exhibit: everything that proves one event to somebody who has nothing else of the log.
//!
//! The event's exact bytes, the receipt (C2SP tlog-proof) that the log holds them, the signed head that the
//! receipt is under, and what outsiders said of that head. [`SCRIPT`] checks it with tools that everybody has.

use crate::epochs::EpochNote;
use crate::error::Error;
use crate::store::Store;
use crate::{keys, published, stored};
use event::Line;
use std::path::Path;
use storage::Disk;
use tlog::note::Note;
use tlog::receipt::Receipt;
use tlog::{Checkpoint, leaf_hash};

/// Verifies an exhibit with bash, openssl, sha256sum and xxd.
pub(crate) const SCRIPT: &str = include_str!("verify.sh");

/// Heads that are looked at for one that outsiders vouch for.
const MAX_HEADS: usize = 4_096;

/// Largest file of an anchor that is taken along.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What proves one event.
#[derive(Debug, Clone)]
pub struct Exhibit {
    event: Vec<u8>,
    receipt: Receipt,
    size: u64,
    /// Further files, by their path in the exhibit.
    files: Vec<(String, Vec<u8>)>,
}

/// A head that covers the event, with what vouches for it.
#[derive(Debug, Default)]
struct Head {
    size: u64,
    checkpoint: Vec<u8>,
    cosigned: Option<Vec<u8>>,
    /// Time-stamps by file name.
    stamps: Vec<(String, Vec<u8>)>,
}

impl Exhibit {
    /// The exhibit for event `seq`: under the first head that covers it and that both a time-stamp authority and
    /// witnesses vouch for, for its time is the closest; else under one that either vouches for, else under the
    /// newest that the log published, else under its own checkpoint.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no such event, or no signed head covers it yet; [`Error::Damaged`] and
    /// [`Error::Altered`] where the log does not hold together: the receipt is checked before it is given away.
    pub fn of(store: &Store, seq: u64) -> Result<Self, Error> {
        let event = store.event(seq)?;
        let disk = store.disk();
        let epochs = store.epochs()?;
        let counts = |size| {
            let revoked = epochs.of_size(size).revoked.as_ref();
            revoked.is_none_or(|revoked| size <= revoked.size)
        };
        let head = match Head::anchored(disk, seq, counts)? {
            Some(head) => head,
            None => Head::own(disk, seq)?,
        };
        let signed = head.cosigned.as_ref().unwrap_or(&head.checkpoint);
        let note = Note::parse(signed).map_err(|error| damaged("the signed head", &error))?;
        let path = store.inclusion(seq, head.size)?;
        let receipt =
            Receipt::new(seq, path, note).map_err(|error| damaged("the receipt", &error))?;
        let body: Checkpoint = receipt
            .checkpoint()
            .text()
            .parse()
            .map_err(|error| damaged("the signed head", &error))?;
        tlog::proof::verify_inclusion(
            &leaf_hash(&event),
            seq,
            body.size(),
            receipt.path(),
            &body.root(),
        )
        .map_err(|_| {
            let head = format!("the head of {} events", body.size());
            Error::altered(format!("event {seq}"), format!("it is not under {head}"))
        })?;
        let mut files = vec![("checkpoint".to_owned(), head.checkpoint)];
        files.extend(head.cosigned.map(|bytes| ("cosigned".to_owned(), bytes)));
        files.extend(head.stamps);
        files.push((
            "vkey".to_owned(),
            format!("{}\n", store.verifier_key()).into_bytes(),
        ));
        files.extend(hand_overs(store, body.size())?);
        files.extend(revocation(store, body.size())?);
        for name in stored::list(disk, &format!("{}/roots", published::DIR))? {
            if name.ends_with(".pem") {
                let path = format!("{}/roots/{name}", published::DIR);
                files.extend(small(disk, &path)?.map(|bytes| (format!("roots/{name}"), bytes)));
            }
        }
        let witnesses = format!("{}/witnesses", published::DIR);
        files.extend(small(disk, &witnesses)?.map(|bytes| ("witnesses".to_owned(), bytes)));
        Ok(Self {
            event,
            receipt,
            size: body.size(),
            files,
        })
    }

    /// The receipt: C2SP tlog-proof.
    #[must_use]
    pub const fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Events under the head that the receipt is under.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Every file of the exhibit by its path: the event, the receipt, what vouches for it, the digests of them
    /// all, and the script that checks it.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![
            ("event.json".to_owned(), self.event.clone()),
            (
                "event.tlog-proof".to_owned(),
                self.receipt.to_string().into_bytes(),
            ),
        ];
        files.extend(self.files.iter().cloned());
        let digests: String = files
            .iter()
            .map(|(path, bytes)| format!("{}  {path}\n", hex::encode(crate::body::sha256(bytes))))
            .collect();
        files.push(("SHA256SUMS".to_owned(), digests.into_bytes()));
        files.push(("verify.sh".to_owned(), SCRIPT.into()));
        files
    }

    /// Writes the files into `dir`, which must not exist or be empty.
    ///
    /// # Errors
    /// [`Error::Io`]: something is there already, or what the system says.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let io = |error: std::io::Error| Error::io("writing the exhibit", &error);
        fs_err::create_dir_all(dir).map_err(io)?;
        if fs_err::read_dir(dir).map_err(io)?.next().is_some() {
            let detail = "the directory is not empty";
            let error = std::io::Error::new(std::io::ErrorKind::AlreadyExists, detail);
            return Err(Error::io(dir.display().to_string(), &error));
        }
        for (path, bytes) in self.files() {
            let path = dir.join(path);
            if let Some(parent) = path.parent() {
                fs_err::create_dir_all(parent).map_err(io)?;
            }
            fs_err::write(&path, bytes).map_err(io)?;
            if path.extension().is_some_and(|end| end == "sh") {
                use std::os::unix::fs::PermissionsExt as _;
                let runs = std::fs::Permissions::from_mode(0o755);
                fs_err::set_permissions(&path, runs).map_err(io)?;
            }
        }
        Ok(())
    }
}

impl Head {
    /// The published head that proves most of event `seq`; `None` where none covers it. `counts` tells of a size whether the
    /// key that signed its head was not revoked for it.
    fn anchored(
        disk: &dyn Disk,
        seq: u64,
        counts: impl Fn(u64) -> bool,
    ) -> Result<Option<Self>, Error> {
        let mut best: Option<(u8, u64)> = None;
        let sizes = published::sizes(disk)?;
        let covering = sizes.into_iter().filter(|size| *size > seq);
        for size in covering.take(MAX_HEADS) {
            let names = stored::list(disk, &published::dir(size))?;
            let stamped = names.iter().any(|name| name.ends_with(".tsr"));
            let cosigned = names.iter().any(|name| name == "cosigned");
            if !names.iter().any(|name| name == "checkpoint") {
                continue;
            }
            let vouched = u8::from(stamped) * 2 + u8::from(cosigned);
            // What outsiders say of a head by a revoked key only the whole log can judge.
            let worth = vouched + u8::from(vouched > 0 && counts(size)) * 4;
            // The first that is stamped is the closest in time; of others the newest says most.
            if best.is_none_or(|(held, _)| worth > held || (worth == held && !stamped)) {
                best = Some((worth, size));
            }
            if worth == 7 {
                break;
            }
        }
        best.map_or(Ok(None), |(_, size)| Self::published(disk, size))
    }

    fn published(disk: &dyn Disk, size: u64) -> Result<Option<Self>, Error> {
        let dir = published::dir(size);
        let Some(checkpoint) = small(disk, &format!("{dir}/checkpoint"))? else {
            return Ok(None);
        };
        let mut head = Self {
            size,
            checkpoint,
            cosigned: small(disk, &format!("{dir}/cosigned"))?,
            stamps: Vec::new(),
        };
        for name in stored::list(disk, &dir)? {
            if name.ends_with(".tsr")
                && let Some(bytes) = small(disk, &format!("{dir}/{name}"))?
            {
                head.stamps.push((name, bytes));
            }
        }
        Ok(Some(head))
    }

    /// The log's own checkpoint, which nobody else has seen.
    fn own(disk: &dyn Disk, seq: u64) -> Result<Self, Error> {
        let path = crate::tiles::CHECKPOINT;
        let none = || Error::Missing(format!("a signed head that covers event {seq}"));
        let bytes = small(disk, path)?.ok_or_else(none)?;
        let vkey = keys::read_vkey(disk)?;
        let note = Note::parse(&bytes).map_err(|error| damaged(path, &error))?;
        let body: Checkpoint = note.text().parse().map_err(|error| damaged(path, &error))?;
        if body.origin() != vkey.name() {
            return Err(Error::altered(path, "it is of another log"));
        }
        if body.size() <= seq {
            return Err(none());
        }
        Ok(Self {
            size: body.size(),
            checkpoint: bytes,
            ..Self::default()
        })
    }
}

/// The notes by which the log's first key handed over, one after the other, to the one that signed a head of `size` events.
fn hand_overs(store: &Store, size: u64) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut files = Vec::new();
    for text in store.hand_overs()? {
        let note = Note::parse(text.as_bytes()).map_err(|error| damaged("a hand-over", &error))?;
        let said: EpochNote = note
            .text()
            .parse()
            .map_err(|error| damaged("a hand-over", &error))?;
        if said.epoch > 1 && said.size < size {
            files.push((format!("epochs/{:08}.note", said.epoch), text.into_bytes()));
        }
    }
    Ok(files)
}

/// What the log says of the key that signed a head of `size` events, where it says that it does not count for it. Who judges an
/// exhibit cannot tell whether outsiders' word is from before that: it is there to send them to the log.
fn revocation(store: &Store, size: u64) -> Result<Option<(String, Vec<u8>)>, Error> {
    let epochs = store.epochs()?;
    let revoked = epochs.of_size(size).revoked.as_ref();
    let Some(revoked) = revoked.filter(|revoked| size > revoked.size) else {
        return Ok(None);
    };
    let line = store.event(revoked.event)?;
    let what = || format!("event {}", revoked.event);
    let line = Line::parse(&line).map_err(|error| Error::damaged(what(), error.to_string()))?;
    let facts = line.facts.as_ref();
    let note = facts.and_then(|facts| facts.get("note")?.as_str());
    Ok(note.map(|note| ("revoked.note".to_owned(), note.as_bytes().to_vec())))
}

/// A file that is small if it is what it should be; `None` where there is none.
fn small(disk: &dyn Disk, path: &str) -> Result<Option<Vec<u8>>, Error> {
    stored::read_up_to(disk, path, MAX_FILE_BYTES)
}

fn damaged(what: &str, error: &tlog::Error) -> Error {
    Error::damaged(what, error.to_string())
}
