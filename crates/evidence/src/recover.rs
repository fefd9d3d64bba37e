//! From whatever the last end left to a log that can go on.
//!
//! Settles the rest of the write-ahead log with the same code as the running recorder, refuses to
//! continue a log whose acknowledged part was changed, and closes what was open.

use crate::command::{ChunkRef, NewChunk};
use crate::error::Error;
use crate::keys::Secrets;
use crate::record::CODEC_RAW;
use crate::recorder::Options;
use crate::salt::Commitment;
use crate::salts::Salts;
use crate::segments::{self, segment_path};
use crate::sequencer::Sequencer;
use crate::settle::Settler;
use crate::state::OpenBody;
use crate::store::Store;
use crate::tiles::{read_checkpoint, read_tile};
use event::{BodyRef, Draft, Exchange, Gap, Kind, Line, Outcome, Source, State};
use std::sync::Arc;
use storage::{Disk, End, Frames, SEGMENT_HEADER_BYTES, check_segment};
use tlog::tree::TileTree;

/// What recovery found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) settler: Settler,
    pub(crate) next_segment: u64,
    pub(crate) next_batch: u32,
    /// Whether the last recorder ended without closing.
    unclean: bool,
    /// Bytes at the end that never were acknowledged, and their SHA-256.
    torn: Option<(usize, String)>,
}

/// Settles what the write-ahead log still holds.
pub(crate) fn settle_rest(disk: Arc<dyn Disk>, secrets: &Secrets) -> Result<Found, Error> {
    let mut settler = Settler::load(disk.clone())?;
    let settled = (settler.state().segment, settler.state().offset);
    let numbers: Vec<u64> = segments::list(disk.as_ref())?
        .into_iter()
        .filter(|number| *number >= settled.0)
        .collect();
    let mut found_torn = None;
    let mut newest = None;
    let mut unclean = false;
    let mut begun_last = true;
    for (at, &number) in numbers.iter().enumerate() {
        let path = segment_path(number);
        let bytes = disk.read(&path).map_err(|error| Error::io(&path, &error))?;
        let begun =
            check_segment(number, &bytes).map_err(|detail| Error::damaged(&path, detail))?;
        if !begun {
            begun_last = false;
            continue;
        }
        if !begun_last {
            return Err(Error::damaged(
                &path,
                "it was begun although the segment before it was not",
            ));
        }
        unclean = true;
        let from = if number == settled.0 { settled.1 } else { 0 };
        let base = usize::try_from(from).unwrap_or(0).max(SEGMENT_HEADER_BYTES);
        let piece = bytes.get(base..).unwrap_or_default();
        let mut frames = Frames::new(number, piece, base, newest);
        for frame in frames.by_ref() {
            settler.apply(&frame, piece)?;
        }
        let later_begun = begun_after(disk.as_ref(), numbers.get(at + 1..).unwrap_or_default())?;
        match frames.end() {
            End::Clean => {}
            End::Torn { bytes: torn } if !later_begun => {
                let end = frames.offset() + torn;
                let rest = bytes.get(frames.offset()..end).unwrap_or_default();
                found_torn = Some((torn, hex::encode(crate::body::sha256(rest))));
            }
            End::Torn { .. } | End::Damaged { .. } => {
                return Err(Error::damaged(
                    &path,
                    format!(
                        "broken at offset {}, behind event {}, although later records were acknowledged",
                        frames.offset(),
                        settler.size()
                    ),
                ));
            }
        }
        newest = frames.newest();
    }
    let next_segment = numbers
        .last()
        .map_or(settled.0, |last| last + 1)
        .max(settled.0);
    settler.settle(next_segment, 0)?;
    check_against_checkpoint(disk.as_ref(), secrets, settler.size())?;
    let next_batch = newest.map_or(0, |(batch, _)| batch.wrapping_add(1));
    Ok(Found {
        settler,
        next_segment,
        next_batch,
        unclean,
        torn: found_torn,
    })
}

fn begun_after(disk: &dyn Disk, numbers: &[u64]) -> Result<bool, Error> {
    for &number in numbers {
        let path = segment_path(number);
        let bytes = disk.read(&path).map_err(|error| Error::io(&path, &error))?;
        if check_segment(number, &bytes).map_err(|detail| Error::damaged(&path, detail))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The log must extend what it last signed; otherwise events that were acknowledged are gone.
fn check_against_checkpoint(disk: &dyn Disk, secrets: &Secrets, size: u64) -> Result<(), Error> {
    let key = secrets.log_key();
    let Some(checkpoint) = read_checkpoint(disk, key.verifying_key())? else {
        return Ok(());
    };
    if checkpoint.size() > size {
        return Err(Error::damaged(
            "the log",
            format!(
                "it has {size} events, but its own checkpoint signs {}",
                checkpoint.size()
            ),
        ));
    }
    let root = TileTree::new(checkpoint.size(), |id| read_tile(disk, id).ok().flatten()).root();
    match root {
        Ok(root) if root == checkpoint.root() => Ok(()),
        Ok(_) => Err(Error::damaged(
            "the log",
            format!(
                "its first {} events are not those that its checkpoint signs",
                checkpoint.size()
            ),
        )),
        Err(error) => Err(Error::damaged("log/tile", error.to_string())),
    }
}

/// Records the start, what was found, and the end of every call that was open.
pub(crate) fn record_start(
    sequencer: &mut Sequencer,
    found: &Found,
    salts: &Salts,
    disk: Arc<dyn Disk>,
    options: &Options,
) -> Result<(), Error> {
    let first = found.settler.size() == 0;
    let mut start = Draft::new(Kind::RecorderStart, Source::Recorder);
    let mut facts = options.facts.clone();
    facts.insert("store_format".into(), crate::layout::STORE_FORMAT.into());
    facts.insert("first_start".into(), first.into());
    start.facts = Some(facts);
    start.governance = (!options.governance.is_empty()).then(|| options.governance.clone());
    sequencer.record(&start)?;
    if !found.unclean {
        return Ok(());
    }
    let store = Store::open_on(disk)?;
    let state = found.settler.state();
    sequencer.record(&recovered(found, state.open_calls.len()))?;
    if let Some(gap) = unrecorded(&store, found.settler.size()) {
        sequencer.record(&gap)?;
    }
    for (&call, line) in &state.open_calls {
        let mut draft = interrupted(call, line)?;
        for (&id, body) in state
            .open_bodies
            .iter()
            .filter(|(_, body)| body.call == call)
        {
            draft
                .bodies
                .push(end_body(sequencer, &store, salts, id, body)?);
        }
        sequencer.record(&draft)?;
    }
    Ok(())
}

fn recovered(found: &Found, open_calls: usize) -> Draft {
    let mut draft = Draft::new(Kind::RecorderRecovered, Source::Recorder);
    let mut facts = serde_json::Map::new();
    facts.insert("events_before".into(), found.settler.size().into());
    facts.insert("open_calls".into(), open_calls.into());
    if let Some((bytes, digest)) = &found.torn {
        facts.insert("discarded_bytes".into(), (*bytes).into());
        facts.insert("discarded_sha256".into(), digest.clone().into());
    }
    draft.facts = Some(facts);
    draft
}

/// What passed between the last event and this start was not recorded.
fn unrecorded(store: &Store, size: u64) -> Option<Draft> {
    let last = Line::parse(&store.event(size.checked_sub(1)?).ok()?).ok()?;
    let since: jiff::Timestamp = last.time.parse().ok()?;
    let mut clock = crate::clock::Clock::new();
    let now: jiff::Timestamp = clock.read().1.parse().ok()?;
    let mut draft = Draft::new(Kind::Gap, Source::Recorder);
    draft.gap = Some(Gap {
        of: "recorder".into(),
        cause: "unclean-stop".into(),
        count: u64::try_from(now.as_second() - since.as_second()).unwrap_or(0),
        unit: "seconds".into(),
        from: Some(last.seq),
        to: Some(last.seq + 1),
    });
    Some(draft)
}

fn interrupted(call: u64, line: &str) -> Result<Draft, Error> {
    let request = Line::parse(line.as_bytes())
        .map_err(|error| Error::damaged(format!("event {call}"), error.to_string()))?;
    let kind = request.kind.parse::<Kind>().ok().and_then(Kind::closed_by);
    let kind = kind.ok_or_else(|| Error::damaged(format!("event {call}"), "it opens no call"))?;
    let source = request.source.parse().unwrap_or(Source::Recorder);
    let mut draft = Draft::new(kind, source);
    draft.agent = request.agent;
    draft.run = request.run;
    draft.http = request.http;
    draft.mcp = request.mcp;
    draft.gen_ai = request.gen_ai;
    draft.tool = request.tool;
    let exchange = request.exchange.unwrap_or_default();
    draft.exchange = Some(Exchange {
        call: Some(call),
        ..exchange
    });
    draft.causes = vec![call];
    draft.outcome = Some(Outcome {
        state: State::Interrupted,
        error: None,
        reason: Some("the recorder ended while the call was open".into()),
    });
    Ok(draft)
}

/// Ends a body of which a part was durable, and refers to it.
fn end_body(
    sequencer: &mut Sequencer,
    store: &Store,
    salts: &Salts,
    id: u64,
    body: &OpenBody,
) -> Result<BodyRef, Error> {
    let mut bytes = store.read_chunks(&body.chunks)?;
    let ended = body.tail.is_empty() && store.has_body(id)?;
    if !ended {
        bytes.extend_from_slice(&body.tail);
        let mut refs: Vec<ChunkRef> = body.chunks.iter().copied().map(ChunkRef::Known).collect();
        let mut chunks = Vec::new();
        if !body.tail.is_empty() {
            chunks.push(NewChunk {
                hash: crate::body::sha256(&body.tail),
                raw_len: u32::try_from(body.tail.len()).unwrap_or(u32::MAX),
                codec: CODEC_RAW,
                bytes: body.tail.clone(),
            });
            refs.push(ChunkRef::Sent(0));
        }
        sequencer.end_body(id, chunks, bytes.len() as u64, refs)?;
    }
    let mut commitment = Commitment::new(&salts.salt(id)?);
    commitment.update(&bytes);
    Ok(BodyRef {
        role: body.role.parse().unwrap_or(event::Role::Response),
        id,
        len: bytes.len() as u64,
        commitment: commitment.finish(),
        media: None,
        encoding: None,
        truncated: 0,
    })
}
