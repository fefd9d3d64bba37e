//! Writing a log anew, as somebody could who knows the formats as well as their author: hash tiles, entry bundles, checksums,
//! position and (with a key) the checkpoint all fit each other afterwards.

use crate::Failure;
use crate::files;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tlog::cosignature::{Cosigner, Timestamp};
use tlog::note::SigningKey;
use tlog::tile::{BundleId, TILE_WIDTH, TileBuilder, TileId};
use tlog::{Checkpoint, bundle, leaf_hash};

/// Magic number and length of the skippable frame behind a bundle's zstd frame.
const CHECK_HEADER: [u8; 8] = [0x5c, 0x2a, 0x4d, 0x18, 4, 0, 0, 0];

/// The event lines of a store, to be changed and written back.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) lines: Vec<Vec<u8>>,
}

impl Log {
    /// Reads the events of a stopped store.
    pub(crate) fn read(dir: &Path) -> Result<Self, Failure> {
        let store = evidence::Store::open(dir)?;
        let lines = store
            .events(0)
            .map(|entry| entry.map(|entry| entry.line))
            .collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }

    pub(crate) fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    /// The first event of a kind, at or after a place.
    pub(crate) fn find(&self, kind: &str, from: u64) -> Result<u64, Failure> {
        self.saying(&format!(r#""kind":"{kind}""#), from)
    }

    /// The last event of a kind.
    pub(crate) fn last(&self, kind: &str) -> Result<u64, Failure> {
        let mut last = self.find(kind, 0)?;
        while let Ok(next) = self.find(kind, last + 1) {
            last = next;
        }
        Ok(last)
    }

    /// The first event at or after a place whose line holds a text.
    pub(crate) fn saying(&self, text: &str, from: u64) -> Result<u64, Failure> {
        let says = |line: &Vec<u8>| {
            line.windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        (0..)
            .zip(&self.lines)
            .find(|(seq, line)| *seq >= from && says(line))
            .map(|(seq, _)| seq)
            .ok_or_else(|| format!("no event from {from} on says {text}").into())
    }

    pub(crate) fn line(&self, seq: u64) -> Result<&Vec<u8>, Failure> {
        self.lines
            .get(usize::try_from(seq)?)
            .ok_or_else(|| format!("there is no event {seq}").into())
    }

    fn line_mut(&mut self, seq: u64) -> Result<&mut Vec<u8>, Failure> {
        self.lines
            .get_mut(usize::try_from(seq)?)
            .ok_or_else(|| format!("there is no event {seq}").into())
    }

    /// Makes an event say something else of the same length.
    pub(crate) fn edit(&mut self, seq: u64, before: &str, after: &str) -> Result<(), Failure> {
        let line = self.line_mut(seq)?;
        match files::replace(line, before.as_bytes(), after.as_bytes()) {
            0 => Err(format!("event {seq} does not say {before}").into()),
            _ => Ok(()),
        }
    }

    /// Makes an event say something else in a field.
    pub(crate) fn reword(&mut self, seq: u64, name: &str, text: &str) -> Result<(), Failure> {
        let line = String::from_utf8_lossy(self.line(seq)?).into_owned();
        let field = format!(r#""{name}":""#);
        let (head, rest) = line.split_once(&field).ok_or("it has no such field")?;
        let (_, tail) = rest.split_once('"').ok_or("its field does not end")?;
        *self.line_mut(seq)? = format!(r#"{head}{field}{text}"{tail}"#).into_bytes();
        Ok(())
    }

    /// Gives every event the number of its place, every stream its counter without holes, and every end of a call the number
    /// of its beginning: what an owner of the recorder would not forget.
    pub(crate) fn renumber(&mut self) {
        let mut moved: BTreeMap<u64, u64> = BTreeMap::new();
        let mut streams: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for (seq, line) in (0_u64..).zip(&mut self.lines) {
            let text = String::from_utf8_lossy(line).into_owned();
            if let Some(old) = number(&text, "seq") {
                moved.insert(old, seq);
            }
            let mut text = put(&text, "seq", seq);
            if let Some(stream) = number(&text, "stream") {
                let (first, n) = streams.entry(stream).or_insert((seq, 0));
                text = put(&put(&text, "stream", *first), "n", *n);
                *n += 1;
            }
            if let Some(call) = number(&text, "call").and_then(|call| moved.get(&call)) {
                text = put(&text, "call", *call);
            }
            *line = text.into_bytes();
        }
    }

    /// Gives every event the number of its place, and leaves the streams as they are.
    pub(crate) fn renumber_places(&mut self) {
        for (seq, line) in (0_u64..).zip(&mut self.lines) {
            *line = put(&String::from_utf8_lossy(line), "seq", seq).into_bytes();
        }
    }

    /// The head over the first `size` events.
    pub(crate) fn head(&self, size: u64, origin: &str) -> Result<Checkpoint, Failure> {
        let mut tree = TileBuilder::new();
        for line in self.lines.iter().take(usize::try_from(size)?) {
            tree.push(leaf_hash(line), |_, _| ());
        }
        Ok(Checkpoint::new(origin, size, tree.root())?)
    }

    /// Adds an event that the recorder tells of itself.
    pub(crate) fn tell(&mut self, kind: &str, facts: &Value) -> Result<(), Failure> {
        let last = self.lines.last().ok_or("an empty log")?;
        let line = following(last, self.len(), &telling(kind, facts))?;
        self.lines.push(line);
        Ok(())
    }

    /// Writes everything that is made of the events: tiles, bundles, the position. The checkpoint stays what it is.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Failure> {
        let tiles = dir.join("log/tile");
        if tiles.exists() {
            fs_err::remove_dir_all(&tiles)?;
        }
        let put = |path: &str, bytes: &[u8]| -> std::io::Result<()> {
            let path = dir.join("log").join(path);
            if let Some(parent) = path.parent() {
                fs_err::create_dir_all(parent)?;
            }
            fs_err::write(path, bytes)
        };
        let mut tree = TileBuilder::new();
        let mut failed = None;
        let mut keep = |id: TileId, hashes: &[tlog::Hash]| {
            if let Err(error) = put(&id.to_string(), &tlog::tile::encode(hashes)) {
                failed.get_or_insert(error);
            }
        };
        for line in &self.lines {
            tree.push(leaf_hash(line), &mut keep);
        }
        for (id, hashes) in tree.partials() {
            keep(id, hashes);
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        for (index, lines) in self.lines.chunks(usize::from(TILE_WIDTH)).enumerate() {
            let mut plain = Vec::new();
            for line in lines {
                bundle::encode_entry(&mut plain, line)?;
            }
            let id = BundleId::new(index as u64, u16::try_from(lines.len())?)?;
            put(&format!("{id}.zst"), &packed(&plain)?)?;
        }
        self.mend_state(dir)
    }

    /// As [`Self::write`], and signs the result.
    pub(crate) fn write_signed(&self, dir: &Path, key: &SigningKey) -> Result<(), Failure> {
        self.write(dir)?;
        let origin = key.verifying_key().name();
        let note = self.head(self.len(), origin)?.sign(key)?;
        fs_err::write(dir.join("log/checkpoint"), note.to_string())?;
        Ok(())
    }

    /// The position agrees with the log, its checksum with the position.
    fn mend_state(&self, dir: &Path) -> Result<(), Failure> {
        edit_state(dir, |state| {
            state.insert("size".into(), self.len().into());
            state.insert("open_calls".into(), Value::Object(serde_json::Map::new()));
        })
    }
}

/// An event's line behind `last`, which is the last of its stream: `rest` is what stands behind the number in the stream.
pub(crate) fn following(last: &[u8], seq: u64, rest: &str) -> Result<Vec<u8>, Failure> {
    let last = String::from_utf8_lossy(last);
    let (place, _) = last.split_once(r#","kind":"#).ok_or("no event's line")?;
    // The last field: behind it stands a comma while it is looked for.
    let n = number(&last, "n").ok_or("no number")?;
    let place = put(&put(&format!("{place},"), "seq", seq), "n", n + 1);
    Ok(format!("{place}{rest}").into_bytes())
}

/// What stands in an event of the recorder's own behind its number in the stream.
pub(crate) fn telling(kind: &str, facts: &Value) -> String {
    format!(r#""kind":"{kind}","source":"recorder","basis":"observed","facts":{facts}}}"#)
}

/// The first number of a name in an event's line.
fn number(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(&format!(r#""{name}":"#))?;
    let end = rest.find(|at: char| !at.is_ascii_digit())?;
    rest.get(..end)?.parse().ok()
}

/// A line with another first number of a name.
fn put(text: &str, name: &str, value: u64) -> String {
    let field = format!(r#""{name}":"#);
    match (text.split_once(&field), number(text, name)) {
        (Some((head, rest)), Some(_)) => {
            let rest = rest.trim_start_matches(|at: char| at.is_ascii_digit());
            format!("{head}{field}{value}{rest}")
        }
        _ => text.to_owned(),
    }
}

/// Changes the position, and writes the checksum that fits it.
pub(crate) fn edit_state(
    dir: &Path,
    change: impl FnOnce(&mut serde_json::Map<String, Value>),
) -> Result<(), Failure> {
    let path = dir.join("state");
    let text = fs_err::read_to_string(&path)?;
    let mut state: Value = serde_json::from_str(text.lines().next().unwrap_or_default())?;
    change(state.as_object_mut().ok_or("the state is no object")?);
    let line = state.to_string();
    let sum = hex::encode(digest(&SHA256, line.as_bytes()));
    fs_err::write(path, format!("{line}\nsha256:{sum}\n"))?;
    Ok(())
}

/// A bundle as it lies on disk: compressed, with its checksum behind it.
pub(crate) fn packed(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stored = zstd::bulk::compress(plain, 1)?;
    let sum = crc32c::crc32c(&stored).to_le_bytes();
    stored.extend_from_slice(&CHECK_HEADER);
    stored.extend_from_slice(&sum);
    Ok(stored)
}

/// Whoever took the private key of an epoch out of a store.
pub(crate) struct Thief {
    /// Signs checkpoints.
    pub(crate) key: SigningKey,
    /// Signs the published ones as well.
    cosigner: Cosigner,
}

impl Thief {
    /// Who copied the store at `dir`.
    pub(crate) fn of(dir: &Path) -> Result<Self, Failure> {
        let text = fs_err::read_to_string(dir.join("keys/log.key"))?;
        let seed = text
            .split_whitespace()
            .nth(1)
            .and_then(|seed| <[u8; 32]>::try_from(hex::decode(seed).ok()?).ok())
            .ok_or("keys/log.key is not a key file")?;
        let mut derived = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
            .extract(&seed)
            .expand(&[b"tachograph ml-dsa-44 v1"], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut derived))
            .map_err(|_| "no key can be derived")?;
        let origin = origin(dir)?;
        Ok(Self {
            key: SigningKey::from_seed(&origin, &seed)?,
            cosigner: Cosigner::ml_dsa_44(&origin, &derived)?,
        })
    }

    /// Publishes the head of all events, as the recorder does; where it lies.
    pub(crate) fn publish(&self, dir: &Path, log: &Log) -> Result<PathBuf, Failure> {
        let head = log.head(log.len(), self.key.verifying_key().name())?;
        let note = head
            .sign(&self.key)?
            .with_signature(self.cosigner.cosign(&head, now(0)?)?)?;
        let own = dir.join(format!("anchors/{:020}", log.len()));
        fs_err::create_dir_all(&own)?;
        fs_err::write(own.join("checkpoint"), note.to_string())?;
        Ok(own)
    }
}

/// The time of a cosignature that is made now, and `earlier` seconds before.
pub(crate) fn now(earlier: u64) -> Result<Timestamp, Failure> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Timestamp::new(now.as_secs() - earlier)?)
}

/// The log's name.
pub(crate) fn origin(dir: &Path) -> Result<String, Failure> {
    let vkey = fs_err::read_to_string(dir.join("log/vkey"))?;
    let name = vkey.split('+').next().unwrap_or_default();
    Ok(name.to_owned())
}
