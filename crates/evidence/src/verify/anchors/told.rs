//! What the log itself tells of its anchors: the facts of `anchor.*` events.

use event::Line;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tlog::Hash;
use tlog::note::Note;

use super::sha256_hex;

/// One anchor that an event tells of.
#[derive(Debug)]
pub(in crate::verify) struct Told {
    /// The event.
    pub(super) seq: u64,
    /// Events that the anchored head covers.
    pub(super) size: u64,
    /// Its root.
    pub(super) root: Hash,
    pub(super) mark: Mark,
}

#[derive(Debug)]
pub(super) enum Mark {
    Timestamp {
        authority: String,
        gen_time: Timestamp,
        /// SHA-256 of the authority's answer, hexadecimal.
        token: String,
        /// SHA-256 of the stamped checkpoint, hexadecimal.
        checkpoint: String,
    },
    Witness {
        /// The key as a verifier key, or its name.
        key: String,
        /// SHA-256 of the cosignature's line, hexadecimal: the line may be long, and lies in a file too.
        line: String,
    },
    Copy {
        place: String,
        checkpoint: String,
    },
}

#[derive(Deserialize)]
struct TimestampFacts {
    authority: String,
    size: u64,
    root: String,
    gen_time: String,
    token_sha256: String,
    checkpoint_sha256: String,
}

#[derive(Deserialize)]
struct WitnessFacts {
    witness: String,
    #[serde(default)]
    key: Option<String>,
    size: u64,
    root: String,
    #[serde(default)]
    time: Option<String>,
    signature: String,
}

#[derive(Deserialize)]
struct CopyFacts {
    place: String,
    size: u64,
    root: String,
    checkpoint_sha256: String,
}

impl Told {
    /// Whether an event tells that somebody outside knows another history of the log.
    pub(in crate::verify) fn is_of_incident(line: &Line) -> bool {
        let fact = |name| line.facts.as_ref().and_then(|facts| facts.get(name));
        line.kind == "anchor.failed"
            && line.source == "recorder"
            && fact("incident") == Some(&true.into())
    }

    /// What an event tells; `None` where it is of another kind.
    ///
    /// # Errors
    /// A sentence, where the facts are not those of its kind.
    pub(in crate::verify) fn of(line: &Line) -> Result<Option<Self>, String> {
        let (size, root, mark) = match line.kind.as_str() {
            "anchor.timestamp" => {
                let facts: TimestampFacts = facts(line)?;
                let mark = Mark::Timestamp {
                    authority: facts.authority,
                    gen_time: time(&facts.gen_time)?,
                    token: facts.token_sha256,
                    checkpoint: facts.checkpoint_sha256,
                };
                (facts.size, facts.root, mark)
            }
            "anchor.witness" => {
                let facts: WitnessFacts = facts(line)?;
                let stated = time_in(&facts.signature)?;
                let told = facts.time.as_deref().map(time).transpose()?;
                if told.map(Timestamp::as_second) != stated {
                    return Err(format!(
                        "the time of the cosignature by {} is not the one told",
                        facts.witness
                    ));
                }
                let mark = Mark::Witness {
                    key: facts.key.unwrap_or(facts.witness),
                    line: sha256_hex(facts.signature.as_bytes()),
                };
                (facts.size, facts.root, mark)
            }
            "anchor.copy" => {
                let facts: CopyFacts = facts(line)?;
                let mark = Mark::Copy {
                    place: facts.place,
                    checkpoint: facts.checkpoint_sha256,
                };
                (facts.size, facts.root, mark)
            }
            _ => return Ok(None),
        };
        let root = root
            .parse()
            .map_err(|error: tlog::Error| format!("its root: {error}"))?;
        Ok(Some(Self {
            seq: line.seq,
            size,
            root,
            mark,
        }))
    }
}

fn facts<T: DeserializeOwned>(line: &Line) -> Result<T, String> {
    let facts = line.facts.clone().unwrap_or_default();
    serde_json::from_value(serde_json::Value::Object(facts)).map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|error: jiff::Error| format!("its time: {error}"))
}

/// The seconds that a cosignature's line states; `None` for none.
fn time_in(line: &str) -> Result<Option<i64>, String> {
    let note = Note::parse(format!("-\n\n{line}\n").as_bytes())
        .map_err(|error| format!("the cosignature told: {error}"))?;
    let stated = note
        .signatures()
        .first()
        .and_then(|signature| signature.bytes().first_chunk::<8>())
        .map(|seconds| u64::from_be_bytes(*seconds))
        .ok_or("the cosignature told has no time field")?;
    let seconds = i64::try_from(stated).map_err(|_| "the cosignature's time is out of range")?;
    Ok((seconds != 0).then_some(seconds))
}
