//! The record held against the model.

use super::model::{Fate, Model, TAG};
use crate::store::Store;
use crate::tiles::CHECKPOINT;
use crate::{published, verify};
use event::{Kind, Line};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use storage::SimDisk;
use tlog::leaf_hash;
use tlog::tile::TileBuilder;

/// When a record is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// A recorder has started and done nothing else.
    Started,
    /// It has ended in order.
    Ended,
}

/// Notes the checkpoints that can be seen now: what is signed stays signed.
pub(super) fn note_checkpoints(model: &mut Model, disk: &SimDisk) {
    for note in disk.durable(CHECKPOINT).values() {
        note_checkpoint(model, note);
    }
    for (path, bytes) in disk.durable(published::DIR) {
        match model.published.get(&path) {
            Some(known) => assert_eq!(*known, bytes, "{path} has changed"),
            None => {
                note_checkpoint(model, &bytes);
                model.published.insert(path, bytes);
            }
        }
    }
}

fn note_checkpoint(model: &mut Model, note: &[u8]) {
    let text = std::str::from_utf8(note).unwrap();
    let mut lines = text.lines().skip(1);
    let size = lines.next().unwrap().parse().unwrap();
    let root = lines.next().unwrap().to_owned();
    let known = model
        .checkpoints
        .entry(size)
        .or_insert_with(|| root.clone());
    assert_eq!(*known, root, "two checkpoints of size {size}");
}

/// Holds the record against everything that the model knows.
pub(super) fn check(model: &mut Model, disk: &SimDisk, when: When) {
    note_checkpoints(model, disk);
    for path in model.published.keys() {
        assert!(!disk.durable(path).is_empty(), "{path} is gone");
    }
    let store = Store::open_on(Arc::new(disk.clone())).unwrap();
    let lines: Vec<Vec<u8>> = store.events(0).map(|entry| entry.unwrap().line).collect();
    check_prefix(model, &lines);
    check_roots(model, &store, &lines);
    check_keys(model, &store);
    let parsed: Vec<Line> = lines
        .iter()
        .map(|line| Line::parse(line).unwrap())
        .collect();
    check_events(model, &lines, &parsed);
    check_streams(&parsed);
    check_calls(model, &store, &parsed, when);
    check_bodies(model, &store);
    if when == When::Ended {
        check_refusals(model, &parsed);
        assert!(store.has_ended(), "the end is not known");
        assert_eq!(disk.durable("wal/").len(), 0, "segments are left");
    }
    check_live(disk);
    model.lines = lines;
}

/// Whoever verifies the record now, while it is written or later, finds nothing wrong with it.
pub(super) fn check_live(disk: &SimDisk) {
    let disk = Arc::new(disk.clone());
    let report = verify::run_on(disk, &verify::Options::default(), &mut |_| ()).unwrap();
    assert!(
        matches!(report.exit_code(), 0 | 11) && report.odd_ends.is_empty(),
        "verification: {report:#?}"
    );
}

/// What was in the log at the last look is in it now, at the same places.
fn check_prefix(model: &Model, lines: &[Vec<u8>]) {
    assert!(
        lines.len() >= model.lines.len(),
        "of {} events {} are left",
        model.lines.len(),
        lines.len()
    );
    for (seq, (before, now)) in model.lines.iter().zip(lines).enumerate() {
        assert_eq!(before, now, "event {seq} has changed");
    }
}

/// Every checkpoint that was ever signed is of a prefix of the log.
fn check_roots(model: &Model, store: &Store, lines: &[Vec<u8>]) {
    let newest = store.checkpoint().unwrap().expect("a checkpoint");
    let signed = model.checkpoints.keys().next_back().copied();
    // A published head may be newer, never the other way round.
    assert!(
        signed.is_none_or(|size| size <= lines.len() as u64),
        "{signed:?} events are signed, {} are there",
        lines.len()
    );
    let mut tree = TileBuilder::new();
    let mut roots = model.checkpoints.clone();
    roots.insert(newest.size(), newest.root().to_string());
    for line in std::iter::once(None).chain(lines.iter().map(Some)) {
        if let Some(line) = line {
            tree.push(leaf_hash(line), |_, _| ());
        }
        if let Some(root) = roots.remove(&tree.size()) {
            assert_eq!(tree.root().to_string(), root, "size {}", tree.size());
        }
    }
    assert!(roots.is_empty(), "{roots:?}");
}

/// The log's keys are those that whoever changed them was told of.
fn check_keys(model: &Model, store: &Store) {
    let epochs = store.epochs().unwrap();
    for rotated in &model.rotated {
        let epoch = epochs.get(rotated.epoch);
        let found = epoch.map(|epoch| (epoch.start, epoch.event));
        assert_eq!(
            found,
            Some((rotated.size, Some(rotated.seq))),
            "{rotated:?}"
        );
    }
    for revoked in &model.revoked {
        let epoch = epochs.get(revoked.epoch);
        let size = epoch.and_then(|epoch| Some(epoch.revoked.as_ref()?.size));
        assert!(size.is_some_and(|size| size <= revoked.size), "{revoked:?}");
    }
}

fn tag_of(line: &Line) -> Option<u64> {
    line.facts.as_ref()?.get(TAG)?.as_u64()
}

/// What was acknowledged stands where it was said to; what was refused stands nowhere; all else stands at most
/// once, and as it was submitted.
fn check_events(model: &Model, lines: &[Vec<u8>], parsed: &[Line]) {
    let mut last = None;
    for (bytes, line) in lines.iter().zip(parsed) {
        let Some(tag) = tag_of(line) else {
            continue;
        };
        assert!(last < Some(tag), "event {tag} stands behind {last:?}");
        last = Some(tag);
        let event = &model.events[&tag];
        assert!(bytes.ends_with(&event.sealed), "event {tag} has changed");
        match event.fate {
            Fate::Refused => panic!("event {tag} was refused and stands at {}", line.seq),
            Fate::Acknowledged(at) => {
                assert_eq!((at.seq, at.stream, at.n), (line.seq, line.stream, line.n));
            }
            Fate::Open => {}
        }
    }
    for (tag, event) in &model.events {
        if let Fate::Acknowledged(at) = event.fate {
            let line = parsed.get(at.seq as usize);
            assert_eq!(
                line.and_then(tag_of),
                Some(*tag),
                "event {tag} was acknowledged as {}",
                at.seq
            );
        }
    }
}

fn check_streams(parsed: &[Line]) {
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    for line in parsed {
        let expected = next.entry(line.stream).or_default();
        assert_eq!(line.n, *expected, "stream {} has a hole", line.stream);
        assert!(line.n > 0 || line.stream == line.seq);
        *expected += 1;
    }
}

/// Every call ends once; those of earlier recorders have ended.
fn check_calls(model: &Model, store: &Store, parsed: &[Line], when: When) {
    let start = parsed
        .iter()
        .rposition(|line| line.kind == "recorder.start");
    let mut open = BTreeSet::new();
    for (seq, line) in parsed.iter().enumerate() {
        if Some(seq) == start {
            // What follows closes all of these before anything else begins.
            let still: BTreeSet<u64> = parsed[seq..]
                .iter()
                .filter_map(|line| line.exchange.as_ref()?.call)
                .collect();
            let left: Vec<_> = open.difference(&still).collect();
            assert!(left.is_empty(), "calls {left:?} are forgotten");
        }
        let kind: Kind = line.kind.parse().unwrap();
        if kind.closed_by().is_some() {
            open.insert(line.seq);
        }
        if kind.is_terminal() {
            let call = line.exchange.as_ref().unwrap().call.unwrap();
            assert!(open.remove(&call), "call {call} ends twice, at {seq}");
            check_interrupted(model, store, call, line);
        }
    }
    if when == When::Started {
        assert!(open.is_empty(), "calls {open:?} are open after a start");
    }
}

/// A call that recovery has closed carries all of its body that was acknowledged, and nothing that was not written.
fn check_interrupted(model: &Model, store: &Store, call: u64, line: &Line) {
    let interrupted = line
        .outcome
        .as_ref()
        .is_some_and(|outcome| outcome.state == event::State::Interrupted);
    let Some(flushed) = model.flushed.get(&call).filter(|_| interrupted) else {
        return;
    };
    let bytes = match line.bodies.as_slice() {
        [] => Vec::new(),
        [body] => store.body(body).unwrap(),
        more => panic!("call {call} has {} bodies", more.len()),
    };
    assert!(
        bytes.len() >= flushed.durable,
        "of call {call} {} bytes were durable, {} are there",
        flushed.durable,
        bytes.len()
    );
    assert!(
        flushed.written.starts_with(&bytes),
        "call {call} has a body that nobody wrote"
    );
}

fn check_bodies(model: &Model, store: &Store) {
    for (tag, event) in &model.events {
        if !matches!(event.fate, Fate::Acknowledged(_)) {
            continue;
        }
        for (body, bytes) in &event.bodies {
            match store.body(body) {
                Ok(found) => assert!(found == *bytes, "a body of event {tag} has changed"),
                Err(error) => panic!("event {tag}: {error}"),
            }
        }
    }
}

/// The record of a recorder that ended in order tells of every event that it refused.
fn check_refusals(model: &Model, parsed: &[Line]) {
    let start = parsed
        .iter()
        .rposition(|line| line.kind == "recorder.start");
    let told: u64 = parsed[start.unwrap()..]
        .iter()
        .filter_map(|line| line.gap.as_ref())
        .filter(|gap| gap.cause == "disk-full")
        .map(|gap| gap.count)
        .sum();
    // A key's epoch that found no room was refused too, and no source knows of it.
    assert!(
        told == model.refused || (model.rotates && told > model.refused),
        "{} events were refused, {told} are told of",
        model.refused
    );
}
