//! What a witness remembers: its key, and of each log the newest checkpoint that it cosigned.
//!
//! `DIR/HEX(SHA-256(origin))/checkpoint` is the checkpoint with the witness's own signature; `.../epochs/N` the notes by
//! which the log's keys handed over. `DIR/keys/witness.key` (mode 0600) and `DIR/vkey` are the witness.

use super::epochs::{Added, Keys, Refused};
use crate::Error;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use storage::{DirLock, Disk, LocalDisk, LockError};
use tlog::Checkpoint;
use tlog::cosignature::{self, Cosigner};
use tlog::note::{Algorithm, Note, VerifyingKey};
use tlog::witness::{self, AddCheckpoint, Answer, Decision, Head, Refusal, Witness};
use tokio::sync::watch;

const KEY: &str = "keys/witness.key";
const VKEY: &str = "vkey";

/// How to run a witness.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it remembers.
    pub dir: PathBuf,
    /// The name of its key at its first start; a random one without.
    pub name: Option<String>,
    /// How its key cosigns, chosen at its first start: Ed25519 without. One of the two that make cosignatures.
    pub algorithm: Option<Algorithm>,
    /// The keys of the logs that it serves; each key's name is its log's origin.
    pub logs: Vec<VerifyingKey>,
}

/// A witness with its memory.
#[derive(Debug)]
pub struct Host {
    disk: Box<dyn Disk>,
    seed: [u8; 32],
    key: VerifyingKey,
    /// One request after the other: what one decided from is still so when it is stored. Lost by a request that panics.
    logs: Mutex<BTreeMap<String, Log>>,
    /// Why nothing is said any more.
    failed: watch::Sender<Option<Error>>,
    /// Held by whoever opened a directory.
    _lock: Option<DirLock>,
}

#[derive(Debug)]
struct Log {
    keys: Keys,
    head: Head,
    /// The cosigned checkpoint of `head`, durable; `None` before the first.
    checkpoint: Option<Vec<u8>>,
}

fn directory(origin: &str) -> String {
    let path = witness::checkpoint_path(origin);
    path.split('/').next().unwrap_or_default().to_owned()
}

impl Host {
    /// Takes the directory and remembers what lies there; makes a key at the first start.
    ///
    /// # Errors
    /// [`Error::Setting`] for a name that is none, a name or an algorithm that is another than before, keys that do not lead to those that were
    /// learned, and where another witness runs there; [`Error::Memory`] where what lies there is not what this witness
    /// stored; [`Error::Local`] for what the system says.
    pub fn open(options: Options) -> Result<Self, Error> {
        let io = |error: std::io::Error| Error::io(&options.dir.display().to_string(), &error);
        refuse_other_things(&options.dir)?;
        let disk = LocalDisk::create(&options.dir).map_err(io)?;
        let lock = DirLock::take(&options.dir).map_err(|error| match error {
            LockError::Held => Error::Setting(format!(
                "another witness remembers in {} and runs: stop it, or name another directory",
                options.dir.display()
            )),
            LockError::Io(error) => io(error),
        })?;
        disk.sweep().map_err(io)?;
        let wanted = Wanted {
            name: options.name.as_deref(),
            algorithm: options.algorithm,
        };
        let host = Self::on(Box::new(disk), wanted, options.logs)?;
        Ok(Self {
            _lock: Some(lock),
            ..host
        })
    }

    /// As [`Self::open`], on a disk that nobody else writes to.
    pub(super) fn on(
        disk: Box<dyn Disk>,
        wanted: Wanted<'_>,
        keys: Vec<VerifyingKey>,
    ) -> Result<Self, Error> {
        let (key, seed) = identity(disk.as_ref(), wanted)?;
        let mut logs: BTreeMap<String, Log> = BTreeMap::new();
        for log in keys {
            if let Some(known) = logs.get_mut(log.name()) {
                known.keys.pin(log);
                continue;
            }
            let (head, checkpoint) = stored_head(disk.as_ref(), log.name(), &key)?;
            let origin = log.name().to_owned();
            let keys = Keys::pinned(vec![log]);
            let log = Log {
                keys,
                head,
                checkpoint,
            };
            logs.insert(origin, log);
        }
        for (origin, log) in &mut logs {
            restore_epochs(disk.as_ref(), origin, &mut log.keys)?;
        }
        Ok(Self {
            disk,
            seed,
            key,
            logs: Mutex::new(logs),
            failed: watch::channel(None).0,
            _lock: None,
        })
    }

    /// The key that cosigns: what a policy names.
    #[must_use]
    pub const fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// What keeps it from saying anything any more, once there is something.
    pub(super) fn failure(&self) -> watch::Receiver<Option<Error>> {
        self.failed.subscribe()
    }

    /// The turn of one request.
    ///
    /// # Errors
    /// [`Error::Local`] once a write has failed: the disk may hold what nobody was told, and nobody may be told what
    /// the disk may lose.
    fn logs(&self) -> Result<MutexGuard<'_, BTreeMap<String, Log>>, Error> {
        let logs = self.logs.lock();
        let failed = self.failed.borrow().clone();
        match (failed, logs) {
            (Some(error), _) => Err(error),
            (None, Ok(logs)) => Ok(logs),
            (None, Err(_)) => {
                Err(self.fails(Error::Local("a request was cut off half way".into())))
            }
        }
    }

    fn fails(&self, error: Error) -> Error {
        self.failed.send_replace(Some(error.clone()));
        error
    }

    /// Stores durably; what it stores counts when this returns `Ok`. After an error nobody knows what lies there.
    fn store(&self, path: &str, text: &str) -> Result<(), Error> {
        self.disk
            .publish(path, text.as_bytes())
            .map_err(|error| self.fails(Error::io(path, &error)))
    }

    /// Answers `add-checkpoint`. What it agrees to is durable when this returns. Blocks.
    ///
    /// # Errors
    /// The witness's own trouble: nothing was cosigned, or nobody may be told of it.
    pub(super) fn add_checkpoint(&self, body: &[u8]) -> Result<Answer, Error> {
        let Ok(request) = AddCheckpoint::parse(body) else {
            return Ok(Answer::Refused(Refusal::BadRequest));
        };
        let mut logs = self.logs()?;
        let Some(log) = logs.get_mut(request.origin()) else {
            return Ok(Answer::Refused(Refusal::UnknownLog));
        };
        // An impossible tree is for the witness to refuse; its size only chooses keys.
        let size = request.note().text().lines().nth(1);
        let size = size.and_then(|size| size.parse().ok()).unwrap_or(0);
        let keys = BTreeMap::from([(request.origin().to_owned(), log.keys.of_size(size))]);
        let failed = |error: tlog::Error| Error::Local(error.to_string());
        let witness =
            Witness::new(vec![cosigner_of(&self.key, &self.seed)?], keys).map_err(failed)?;
        match witness
            .decide(&request, &log.head, now()?)
            .map_err(failed)?
        {
            Decision::Refuse(refusal) => Ok(Answer::Refused(refusal)),
            Decision::Cosign(cosigned) => {
                let path = format!("{}/checkpoint", directory(request.origin()));
                let text = cosigned.checkpoint.to_string();
                self.store(&path, &text)?;
                log.head = cosigned.head;
                log.checkpoint = Some(text.into_bytes());
                Ok(cosigned.answer())
            }
        }
    }

    /// Answers `add-key-epoch`: an HTTP status. Blocks.
    ///
    /// # Errors
    /// The witness's own trouble.
    pub(super) fn add_key_epoch(&self, body: &[u8]) -> Result<u16, Error> {
        let Ok(note) = Note::parse(body) else {
            return Ok(400);
        };
        let Some(origin) = Keys::origin(&note) else {
            return Ok(400);
        };
        let mut logs = self.logs()?;
        let Some(log) = logs.get_mut(&origin) else {
            return Ok(404);
        };
        let mut keys = log.keys.clone();
        Ok(match keys.add(&note) {
            Ok(Added::Known | Added::First) => 200,
            Ok(Added::New) => {
                let number = keys.notes().count();
                let path = format!("{}/epochs/{number:08}", directory(&origin));
                self.store(&path, &note.to_string())?;
                log.keys = keys;
                200
            }
            Err(Refused::Malformed) => 400,
            Err(Refused::NotSigned) => 403,
            Err(Refused::Conflict) => 409,
        })
    }

    /// The newest checkpoint that was cosigned for the log whose path that is; `None` for any other. It waits for one
    /// that is being stored.
    ///
    /// # Errors
    /// The witness's own trouble.
    pub(super) fn checkpoint(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let logs = self.logs()?;
        let log = logs
            .iter()
            .find(|(origin, _)| witness::checkpoint_path(origin) == path);
        Ok(log.and_then(|(_, log)| log.checkpoint.clone()))
    }
}

/// What the operator asks of the witness's key: chosen at the first start, the same ever after.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) algorithm: Option<Algorithm>,
}

fn cosigner(name: &str, algorithm: Algorithm, seed: &[u8; 32]) -> Result<Cosigner, Error> {
    let cosigner = match algorithm {
        Algorithm::Ed25519Cosignature => Cosigner::ed25519(name, seed),
        Algorithm::MlDsa44Cosignature => Cosigner::ml_dsa_44(name, seed),
        Algorithm::Ed25519 => {
            let why = "a key of a log makes no cosignatures";
            return Err(Error::Setting(format!("the name `{name}`: {why}")));
        }
    };
    cosigner.map_err(|error| Error::Setting(format!("the name `{name}`: {error}")))
}

/// The private half of `key`, as `seed` makes it.
fn cosigner_of(key: &VerifyingKey, seed: &[u8; 32]) -> Result<Cosigner, Error> {
    cosigner(key.name(), key.algorithm(), seed)
}

fn now() -> Result<cosignature::Timestamp, Error> {
    let seconds = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    cosignature::Timestamp::new(seconds)
        .map_err(|_| Error::Local("this machine's clock stands before 1970".into()))
}

fn read(disk: &dyn Disk, path: &str) -> Result<Option<String>, Error> {
    match disk.read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Error::Memory(format!("{path} is not text"))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, &error)),
    }
}

/// The witness's key and its seed. A key that is gone is not replaced: whoever trusts the old one would be told nothing.
fn identity(disk: &dyn Disk, wanted: Wanted<'_>) -> Result<(VerifyingKey, [u8; 32]), Error> {
    let vkey = read(disk, VKEY)?;
    let stored = read(disk, KEY)?;
    let seed = match (&stored, &vkey) {
        (Some(text), _) => text
            .strip_prefix("v1 ")
            .and_then(|text| hex::decode(text.trim_end()).ok()?.try_into().ok())
            .ok_or_else(|| Error::Memory(format!("{KEY} is not a whole key file")))?,
        (None, Some(_)) => {
            return Err(Error::Memory(format!("{KEY} is missing")));
        }
        (None, None) => {
            let mut seed = [0; 32];
            aws_lc_rs::rand::fill(&mut seed)
                .map_err(|_| Error::Local("the system gives no randomness".into()))?;
            let line = format!("v1 {}\n", hex::encode(seed));
            disk.publish(KEY, line.as_bytes())
                .map_err(|error| Error::io(KEY, &error))?;
            seed
        }
    };
    let Some(vkey) = vkey else {
        let name = wanted.name.map_or_else(
            || format!("tachograph-witness/{}", ulid::Ulid::new()),
            str::to_owned,
        );
        let algorithm = wanted.algorithm.unwrap_or(Algorithm::Ed25519Cosignature);
        let key = cosigner(&name, algorithm, &seed)?.verifying_key().clone();
        disk.publish(VKEY, format!("{key}\n").as_bytes())
            .map_err(|error| Error::io(VKEY, &error))?;
        return Ok((key, seed));
    };
    let key: VerifyingKey = vkey
        .trim_end()
        .parse()
        .map_err(|error| Error::Memory(format!("{VKEY}: {error}")))?;
    if wanted.name.is_some_and(|wanted| wanted != key.name()) {
        return Err(Error::Setting(format!(
            "this witness is {} since its first start; leave `--name` out or make another one elsewhere",
            key.name()
        )));
    }
    if wanted
        .algorithm
        .is_some_and(|wanted| wanted != key.algorithm())
    {
        return Err(Error::Setting(
            "this witness cosigns by another algorithm since its first start; leave `--algorithm` out or make another one \
             elsewhere"
                .into(),
        ));
    }
    let made =
        cosigner_of(&key, &seed).map_err(|error| Error::Memory(format!("{VKEY}: {error}")))?;
    if made.verifying_key() != &key {
        return Err(Error::Memory(format!(
            "{KEY} is not the key that {VKEY} names"
        )));
    }
    Ok((key, seed))
}

/// A directory that holds anything else than a witness's memory, or one that was only begun, is left alone.
fn refuse_other_things(dir: &std::path::Path) -> Result<(), Error> {
    let io = |error: std::io::Error| Error::io(&dir.display().to_string(), &error);
    let names = match std::fs::read_dir(dir) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(io)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    if names.iter().any(|name| name == VKEY) {
        return Ok(());
    }
    let begun = ["lock", "keys", "recorder.tmp"];
    match names
        .iter()
        .find(|name| !begun.iter().any(|own| *name == own))
    {
        Some(other) => Err(Error::Setting(format!(
            "{} holds {} and no memory of a witness: name a directory of its own",
            dir.display(),
            other.display()
        ))),
        None => Ok(()),
    }
}

/// The head that was stored, which must be ours: a witness that forgot would cosign a fork. It is stored again before it
/// counts: the witness before this one may have ended because it did not become durable.
fn stored_head(
    disk: &dyn Disk,
    origin: &str,
    key: &VerifyingKey,
) -> Result<(Head, Option<Vec<u8>>), Error> {
    let path = format!("{}/checkpoint", directory(origin));
    let Some(text) = read(disk, &path)? else {
        return Ok((Head::empty(), None));
    };
    let damaged = |error: tlog::Error| Error::Memory(format!("{path}: {error}"));
    let note = Note::parse(text.as_bytes()).map_err(damaged)?;
    note.verify(std::slice::from_ref(key)).map_err(damaged)?;
    let head: Checkpoint = note.text().parse().map_err(damaged)?;
    if head.origin() != origin {
        return Err(Error::Memory(format!("{path} is of {}", head.origin())));
    }
    disk.publish(&path, text.as_bytes())
        .map_err(|error| Error::io(&path, &error))?;
    Ok((Head::from(&head), Some(text.into_bytes())))
}

fn restore_epochs(disk: &dyn Disk, origin: &str, keys: &mut Keys) -> Result<(), Error> {
    let dir = format!("{}/epochs", directory(origin));
    for name in disk.list(&dir).map_err(|error| Error::io(&dir, &error))? {
        let path = format!("{dir}/{name}");
        let text = read(disk, &path)?.unwrap_or_default();
        let note = Note::parse(text.as_bytes())
            .map_err(|error| Error::Memory(format!("{path}: {error}")))?;
        keys.restore(&note)?;
    }
    Ok(())
}
