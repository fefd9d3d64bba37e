//! From whatever the last end left to a log that can go on.
//!
//! Settles the rest of the write-ahead log with the same code as the running recorder, refuses to
//! continue a log whose acknowledged part was changed, and closes what was open.

use crate::cipher::{Keyring, RECIPIENT_FACT, Recipient};
use crate::command::{BodyStep, ChunkRef, NewChunk};
use crate::epochs::{self, EpochNote, Epochs};
use crate::error::Error;
use crate::keys::{LogKey, LogKeys};
use crate::record::{CODEC_RAW, ENCRYPTED, KEYS, Record, follows};
use crate::recorder::Options;
use crate::salt::Commitment;
use crate::salts::Salts;
use crate::segments::{self, segment_path};
use crate::sequencer::Sequencer;
use crate::settle::Settler;
use crate::state::{OpenBody, Phase, State, Then, Torn};
use crate::store::Store;
use crate::tiles::{CHECKPOINT, TileWriter, open_checkpoint, read_checkpoint, read_settled_tile};
use event::{BodyRef, Draft, Exchange, Gap, Kind, Line, Outcome, Source};
use std::sync::Arc;
use storage::{Disk, End, Frame, Frames, SEGMENT_HEADER_BYTES, check_segment};
use tlog::leaf_hash;
use tlog::tile::TileBuilder;
use tlog::tree::TileTree;

/// What recovery found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) settler: Settler,
    /// With the key in force.
    pub(crate) keys: LogKeys,
    pub(crate) next_segment: u64,
    pub(crate) next_batch: u32,
    /// Whether the last recorder ended without closing.
    unclean: bool,
    /// Bytes at the end that never were acknowledged.
    torn: Option<Torn>,
}

/// Settles what the write-ahead log still holds. Nothing on disk is changed before all of it has been read and
/// found to be the log that was signed.
pub(crate) fn settle_rest(
    disk: Arc<dyn Disk>,
    mut keys: LogKeys,
    keyring: &Arc<Keyring>,
) -> Result<Found, Error> {
    let state = State::load(disk.as_ref())?;
    let numbers = numbers(disk.as_ref(), &state)?;
    let epochs = chain_of_keys(disk.as_ref(), &state, &numbers)?;
    let cut_short = keys.in_force(&epochs)?;
    check_against_checkpoint(disk.as_ref(), &epochs, keys.key(), &state, &numbers)?;
    crate::inventory::check(disk.as_ref(), &state, keyring)?;
    crate::layout::upgrade(disk.as_ref())?;
    let mut settler = Settler::load(disk.clone(), keyring.clone())?;
    let walked = walk(disk.as_ref(), &numbers, &mut |frame, piece| {
        settler.apply(frame, piece)
    })?;
    let state = settler.state();
    let unclean = walked.begun || (state.phase != Phase::Ended && settler.size() > 0);
    let torn = walked.torn.or_else(|| state.torn.clone());
    let next_segment = numbers.last().map_or(state.segment, |last| last + 1);
    settler.settle(next_segment, Then::Recovers(torn.clone()))?;
    keys.settle(cut_short, epochs.in_force().number)?;
    let next_batch = walked.newest.map_or(0, |(batch, _)| batch.wrapping_add(1));
    Ok(Found {
        settler,
        keys,
        next_segment,
        next_batch,
        unclean,
        torn,
    })
}

/// The segments that are not settled. Each is the successor of the one before it: the writer leaves no number out.
fn numbers(disk: &dyn Disk, state: &State) -> Result<Vec<u64>, Error> {
    let first = state.segment;
    let numbers: Vec<u64> = segments::list(disk)?
        .into_iter()
        .filter(|number| *number >= first)
        .collect();
    for (&number, expected) in numbers.iter().zip(first..) {
        if number != expected {
            return Err(Error::Missing(segment_path(expected)));
        }
    }
    if state.phase == Phase::Running && numbers.is_empty() {
        return Err(Error::Missing(segment_path(first)));
    }
    Ok(numbers)
}

/// What the write-ahead log was found to be.
#[derive(Debug, Default)]
struct Walked {
    begun: bool,
    newest: Option<(u32, bool)>,
    torn: Option<Torn>,
}

type Each<'a> = dyn FnMut(&Frame, &[u8]) -> Result<(), Error> + 'a;

/// Hands every frame of the segments to `each`, in order, with the bytes that its payload lies in.
fn walk(disk: &dyn Disk, numbers: &[u64], each: &mut Each<'_>) -> Result<Walked, Error> {
    let mut walked = Walked::default();
    let mut ended = false;
    for (at, &number) in numbers.iter().enumerate() {
        let path = segment_path(number);
        let bytes = disk.read(&path).map_err(|error| Error::io(&path, &error))?;
        if !check_segment(number, &bytes).map_err(|detail| Error::damaged(&path, detail))? {
            ended = true;
            continue;
        }
        if ended {
            return Err(Error::damaged(
                &path,
                "it was begun although the segment before it was not",
            ));
        }
        walked.begun = true;
        let piece = bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
        let mut frames = Frames::new(number, piece, SEGMENT_HEADER_BYTES, walked.newest);
        for frame in frames.by_ref() {
            if !follows(walked.newest, &frame) {
                return Err(Error::damaged(
                    &path,
                    format!(
                        "batch {} is there, but acknowledged batches before it are not",
                        frame.batch
                    ),
                ));
            }
            walked.newest = Some((frame.batch, frame.last));
            each(&frame, piece)?;
        }
        let later = begun_after(disk, numbers.get(at + 1..).unwrap_or_default())?;
        match frames.end() {
            End::Clean if !later || walked.newest.is_none_or(|(_, last)| last) => {}
            End::Torn { bytes: torn } if !later => {
                let end = frames.offset() + torn;
                let rest = bytes.get(frames.offset()..end).unwrap_or_default();
                walked.torn = Some(Torn {
                    bytes: torn as u64,
                    sha256: hex::encode(crate::body::sha256(rest)),
                });
            }
            End::Clean | End::Torn { .. } | End::Damaged { .. } => {
                return Err(Error::damaged(
                    &path,
                    format!(
                        "broken at offset {} although later records were acknowledged",
                        frames.offset(),
                    ),
                ));
            }
        }
    }
    Ok(walked)
}

fn begun_after(disk: &dyn Disk, numbers: &[u64]) -> Result<bool, Error> {
    for &number in numbers {
        let path = segment_path(number);
        let file = disk.open(&path).map_err(|error| Error::io(&path, &error))?;
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let n = file
            .read_at(&mut header, 0)
            .map_err(|error| Error::io(&path, &error))?;
        let header = header.get(..n).unwrap_or_default();
        if check_segment(number, header).map_err(|detail| Error::damaged(&path, detail))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The log's keys, through the tail that is not settled yet.
fn chain_of_keys(disk: &dyn Disk, state: &State, numbers: &[u64]) -> Result<Epochs, Error> {
    let mut epochs = epochs::settled(disk, state)?;
    let mut seq = state.size;
    walk(disk, numbers, &mut |frame, piece| {
        let payload = piece.get(frame.payload.clone()).unwrap_or_default();
        if let Some(Record::Event { flags, line, .. }) = Record::parse(frame.kind, payload) {
            if flags & KEYS != 0 {
                epochs::take(&mut epochs, seq, line)?;
            }
            seq += 1;
        }
        Ok(())
    })?;
    Ok(epochs)
}

/// The log must extend what it last signed; otherwise events that were acknowledged are gone or changed.
fn check_against_checkpoint(
    disk: &dyn Disk,
    epochs: &Epochs,
    key: &LogKey,
    state: &State,
    numbers: &[u64],
) -> Result<(), Error> {
    let settled = state.size;
    let checkpoint = match read_checkpoint(disk)? {
        Some(bytes) => open_checkpoint(&bytes, epochs)?,
        // A store has a checkpoint from its first start on: of the empty tree.
        None if numbers.is_empty() && *state == State::default() => {
            return TileWriter::resume(disk, 0)?.sign(disk, key);
        }
        None => return Err(Error::Missing(CHECKPOINT.into())),
    };
    let mut failure = None;
    let mut tile = |id| {
        read_settled_tile(disk, id, settled)
            .map_err(|error| failure = Some(error))
            .ok()
            .flatten()
    };
    let size = checkpoint.size();
    let signed = if size <= settled {
        Some(TileTree::new(size, &mut tile).root())
    } else {
        None
    };
    // The keys say of themselves where the newest of them began.
    let begun = Some(epochs.in_force()).filter(|epoch| epoch.start <= settled);
    let begun = begun.map(|epoch| (epoch, TileTree::new(epoch.start, &mut tile).root()));
    let tree = TileBuilder::resume(settled, &mut tile);
    if let Some(error) = failure {
        return Err(error);
    }
    let log = |error: tlog::Error| Error::damaged("log/tile", error.to_string());
    let mut tree = tree.map_err(log)?;
    // All of the tail is walked, whatever is signed: damage is to be found before anything is changed.
    walk(disk, numbers, &mut |frame, piece| {
        let payload = piece.get(frame.payload.clone()).unwrap_or_default();
        if tree.size() < size
            && let Some(Record::Event { line, .. }) = Record::parse(frame.kind, payload)
        {
            tree.push(leaf_hash(line), |_, _| ());
        }
        Ok(())
    })?;
    let (reached, root) = match signed {
        Some(root) => (size, root.map_err(log)?),
        None => (tree.size(), tree.root()),
    };
    if reached < size {
        return Err(Error::damaged(
            "the log",
            format!("it has {reached} events, but its own checkpoint signs {size}"),
        ));
    }
    let begins_elsewhere = match begun {
        Some((epoch, root)) => epoch.root != root.map_err(log)?,
        None => epochs.in_force().start == size && epochs.in_force().root != root,
    };
    if begins_elsewhere {
        let number = epochs.in_force().number;
        return Err(Error::damaged(
            "the log",
            format!("it is not the one whose key of epoch {number} took over"),
        ));
    }
    if root != checkpoint.root() {
        return Err(Error::damaged(
            "the log",
            format!("its first {size} events are not those that its checkpoint signs"),
        ));
    }
    Ok(())
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
    let recipient = options.recipient.as_ref().map(Recipient::id);
    facts.insert(RECIPIENT_FACT.into(), recipient.into());
    start.facts = Some(facts);
    start.governance = (!options.governance.is_empty()).then(|| options.governance.clone());
    sequencer.record(&start)?;
    if found.settler.epochs().in_force().event.is_none() {
        sequencer.record(&first_epoch(found.keys.key())?)?;
    }
    let state = found.settler.state();
    if !found.unclean && state.open_calls.is_empty() {
        return Ok(());
    }
    let store = Store::open_own(disk, found.settler.keys())?;
    if found.unclean {
        sequencer.record(&recovered(found, state.open_calls.len()))?;
        if let Some(gap) = unrecorded(&store, found.settler.size())? {
            sequencer.record(&gap)?;
        }
    }
    // A recorder that ended in order may have left calls open too: those that did not end within its patience.
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

/// The log's own account of its first key.
fn first_epoch(key: &LogKey) -> Result<Draft, Error> {
    let said = EpochNote {
        origin: key.origin().to_owned(),
        epoch: 1,
        size: 0,
        root: tlog::empty_root(),
        ed25519: key.verifying_key().clone(),
        ml_dsa_44: key.cosigner_key().clone(),
    };
    let note = said.sign(key.signer(), None)?;
    let mut draft = Draft::new(Kind::KeyEpoch, Source::Recorder);
    draft.facts = Some(said.facts(&note));
    Ok(draft)
}

fn recovered(found: &Found, open_calls: usize) -> Draft {
    let mut draft = Draft::new(Kind::RecorderRecovered, Source::Recorder);
    let mut facts = serde_json::Map::new();
    facts.insert("events_before".into(), found.settler.size().into());
    facts.insert("open_calls".into(), open_calls.into());
    if let Some(torn) = &found.torn {
        facts.insert("discarded_bytes".into(), torn.bytes.into());
        facts.insert("discarded_sha256".into(), torn.sha256.clone().into());
    }
    draft.facts = Some(facts);
    draft
}

/// What passed between the last event and this start was not recorded.
fn unrecorded(store: &Store, size: u64) -> Result<Option<Draft>, Error> {
    let Some(last) = size.checked_sub(1) else {
        return Ok(None);
    };
    let damaged = |detail: String| Error::damaged(format!("event {last}"), detail);
    let instant = |text: &str| {
        text.parse::<jiff::Timestamp>()
            .map_err(|error| damaged(error.to_string()))
    };
    let last = Line::parse(&store.event(last)?).map_err(|error| damaged(error.to_string()))?;
    let since = instant(&last.time)?;
    let now = instant(crate::clock::Clock::new().read().1)?;
    let mut draft = Draft::new(Kind::Gap, Source::Recorder);
    draft.gap = Some(Gap {
        of: "recorder".into(),
        cause: "unclean-stop".into(),
        count: u64::try_from(now.as_second() - since.as_second()).unwrap_or(0),
        unit: "seconds".into(),
        from: Some(last.seq),
        to: Some(last.seq + 1),
    });
    Ok(Some(draft))
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
        state: event::State::Interrupted,
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
    let (len, commitment, tail) = match &body.claim {
        Some(claim) => {
            let tail = store.keys().open_tail(id, body.tail.clone())?;
            (claim.len, claim.commitment, tail)
        }
        None => unclaimed(store, salts, id, body)?,
    };
    let ended =
        body.ended || (body.claim.is_none() && body.tail.is_empty() && store.has_body(id)?);
    if !ended {
        let covered = body
            .claim
            .map_or(body.chunks.len(), |claim| claim.chunks as usize);
        let chunks = body.chunks.get(..covered).ok_or_else(|| {
            Error::damaged(
                "the write-ahead log",
                format!("chunks of unfinished body {id} are missing"),
            )
        })?;
        let mut refs: Vec<ChunkRef> = chunks.iter().copied().map(ChunkRef::Known).collect();
        let mut new = Vec::new();
        if !tail.is_empty() {
            new.push(last_chunk(store.keys(), tail)?);
            refs.push(ChunkRef::Sent(0));
        }
        let end = BodyStep::End {
            len,
            commitment,
            refs,
        };
        sequencer.end_body(id, new, end)?;
    }
    Ok(BodyRef {
        role: body.role.parse().unwrap_or(event::Role::Response),
        id,
        len,
        commitment: hex::encode(commitment),
        media: None,
        encoding: None,
        truncated: 0,
    })
}

fn last_chunk(keys: &Keyring, tail: Vec<u8>) -> Result<NewChunk, Error> {
    let (raw_len, codec) = (
        u32::try_from(tail.len()).unwrap_or(u32::MAX),
        CODEC_RAW | ENCRYPTED,
    );
    Ok(NewChunk {
        hash: crate::body::sha256(&tail),
        raw_len,
        codec,
        bytes: keys
            .wal_sessions()?
            .current()?
            .seal_chunk(raw_len, codec, &tail)?,
    })
}

/// What a body is that a recorder of version 1 left: it said nothing of it, so all of it is read.
fn unclaimed(
    store: &Store,
    salts: &Salts,
    id: u64,
    body: &OpenBody,
) -> Result<(u64, [u8; 32], Vec<u8>), Error> {
    let mut commitment = Commitment::new(&salts.salt(id)?);
    let bytes = store.read_chunks(&body.chunks)?;
    commitment.update(&bytes);
    commitment.update(&body.tail);
    let len = (bytes.len() + body.tail.len()) as u64;
    Ok((len, commitment.so_far(), body.tail.clone()))
}
