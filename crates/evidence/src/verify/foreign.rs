//! Verification of a log that another tool wrote: C2SP tlog-tiles, a checkpoint, and nothing else.

use super::anchors::{Outside, seconds};
use super::brackets::end_of_second;
use super::heads::{self, Head, Held};
use super::tiles::Tree;
use super::{Error, Kind, Options, Progress, Report, Subject};
use crate::stored;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use storage::{Disk, LocalDisk};
use tlog::note::Note;
use tlog::policy::Findings;
use tlog::tile::{BundleId, TileId};
use tlog::{Checkpoint, Hash, bundle, leaf_hashes, tile};

/// The file with the newest head.
const CHECKPOINT: &str = "checkpoint";

/// Why nothing was compared with anything.
const NO_HEAD: &str = "there is no head to hold the entries against";

/// Why the head says nothing of the entries' places.
const NOT_ITS_HEAD: &str = "the head that there is does not sign these entries";

/// Re-hashes every entry of the log in `dir`, as C2SP tlog-tiles lays it out, and holds it against its
/// checkpoint, the policy and the heads of `options`.
///
/// # Errors
/// [`Error::Missing`] where there is no log, [`Error::Io`]. Everything else is in the report.
pub fn run_log(
    dir: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Error> {
    let disk = LocalDisk::at(dir);
    let bytes = match stored::read(&disk, CHECKPOINT) {
        Err(error @ (Error::Damaged { .. } | Error::Altered { .. })) => {
            return Ok(super::nothing_read(&error));
        }
        read => read?.ok_or_else(|| Error::Missing("a log (the file `checkpoint`)".into()))?,
    };
    let mut report = Report::default();
    let read = Note::parse(&bytes).and_then(|note| {
        let head: Checkpoint = note.text().parse()?;
        Ok((note, head))
    });
    match read {
        Ok((note, head)) => verify(&disk, &note, &head, options, &mut report, progress),
        Err(error) => {
            let detail = format!("{CHECKPOINT}: {error}");
            report.fault(Subject::Signature, "format", None, detail);
            for subject in Subject::ALL {
                if subject != Subject::Signature {
                    report.doubt(subject, NO_HEAD);
                }
            }
        }
    }
    report.conclude();
    super::of_the_log_meant(report)
}

fn verify(
    disk: &dyn Disk,
    note: &Note,
    head: &Checkpoint,
    options: &Options,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress),
) {
    head.origin().clone_into(&mut report.origin);
    report.said_events = head.size();
    let outside = signed(note, head, options, report);
    let heads = heads::read(&options.heads, report);
    let wanted: BTreeSet<u64> = heads.iter().map(Head::size).collect();
    let mut tree = Tree::new(head.size(), |id| read_tile(disk, id));
    let mut roots = BTreeMap::new();
    while tree.size() < head.size() {
        if let Err(error) = push_bundle(disk, head.size(), &mut tree, &wanted, &mut roots) {
            let at = Some(tree.size());
            report.fault(Subject::Content, super::word(&error), at, error.to_string());
            report.events = tree.size();
            report.is_cut = true;
            let why = report.unread().unwrap_or_default();
            report.doubt(Subject::Order, why.clone());
            report.doubt(Subject::Sequence, why);
            break;
        }
        report.events = tree.size();
        progress(Progress {
            events: tree.size(),
            of_events: head.size(),
            body_bytes: 0,
        });
    }
    if tree.size() == head.size() {
        compare(head, &tree, report);
    }
    let held = Held {
        origin: head.origin(),
        roots: &roots,
        report,
    };
    held.judge_by_policy(&heads, options);
    super::anchors::conclude(&outside, options, report);
    report.doubt(
        Subject::Epoch,
        "it is the log of another tool: its keys have no epochs here",
    );
    report.doubt(
        Subject::Bodies,
        "it is the log of another tool: what its entries refer to is not known",
    );
    report.not_proven = super::limits::not_proven(report, &outside, 0);
}

/// Whether the log signed the head, and who else; what that says of its time.
fn signed(note: &Note, head: &Checkpoint, options: &Options, report: &mut Report) -> Vec<Outside> {
    let what = format!("a policy that names the key of the log {}", head.origin());
    let Some(policy) = &options.policy else {
        report.lacks(Subject::Signature, what);
        return Vec::new();
    };
    match policy.weigh(note, options.at.and_then(seconds)) {
        Ok(findings) => {
            if let Some(signer) = findings.log.first() {
                report.verifier_key = signer.key.to_string();
            }
            report.rests(Subject::Signature, "under the key that the policy names");
            cosigned(&findings, policy.asks_for_witnesses())
        }
        Err(tlog::Error::UnknownLog(_)) => {
            report.lacks(Subject::Signature, what);
            Vec::new()
        }
        Err(error) => {
            let detail = format!("{CHECKPOINT}: {error}");
            report.fault(Subject::Signature, "signature", None, detail);
            Vec::new()
        }
    }
}

fn cosigned(findings: &Findings<'_>, asked: bool) -> Vec<Outside> {
    let times = findings.cosigned.iter().filter_map(|(_, time)| {
        let seconds = i64::try_from(time.as_ref()?.seconds()).ok()?;
        Timestamp::from_second(seconds).ok()
    });
    let names = findings.cosigned.iter().map(|(w, _)| w.key.name());
    let Some(latest) = times.max() else {
        return Vec::new();
    };
    vec![Outside {
        kind: Kind::Witness,
        name: names.collect::<Vec<_>>().join(", "),
        size: findings.checkpoint.size(),
        latest: end_of_second(latest),
        told: Vec::new(),
        verified: !asked || findings.meets_quorum(),
    }]
}

/// Adds the next bundle's entries to the tree.
fn push_bundle(
    disk: &dyn Disk,
    size: u64,
    tree: &mut Tree<'_>,
    wanted: &BTreeSet<u64>,
    roots: &mut BTreeMap<u64, Hash>,
) -> Result<(), Error> {
    let missing = || Error::Missing(format!("entry {}", tree.size()));
    let id = BundleId::holding(tree.size(), size).ok_or_else(missing)?;
    let bytes = read(disk, &id.path())?.ok_or_else(|| Error::Missing(id.path()))?;
    let entries: Vec<&[u8]> = bundle::entries(&bytes)
        .take(usize::from(id.width()))
        .collect::<Result<_, _>>()
        .map_err(|error| Error::damaged(id.path(), error.to_string()))?;
    for leaf in leaf_hashes(&entries) {
        tree.push(leaf);
        if wanted.contains(&tree.size()) {
            roots.insert(tree.size(), tree.root());
        }
    }
    if entries.len() < usize::from(id.width()) {
        return Err(Error::damaged(id.path(), "it holds too few entries"));
    }
    Ok(())
}

fn compare(head: &Checkpoint, tree: &Tree<'_>, report: &mut Report) {
    let size = head.size();
    if tree.root() != head.root() {
        let seq = tree.first_difference();
        let detail = match seq {
            Some(seq) => format!("entry {seq} is not the one that was signed"),
            None => format!("the {size} entries are not those that the checkpoint signs"),
        };
        report.fault(Subject::Content, "altered", seq, detail);
        for subject in [Subject::Order, Subject::Sequence] {
            report.doubt(subject, NOT_ITS_HEAD);
        }
        return;
    }
    report.signed_events = size;
    report.root = Some(head.root().to_string());
    let detail = format!("{size} entries are those that the checkpoint signs");
    report.rests(Subject::Content, detail);
    report.rests(Subject::Order, "the tree holds each entry at its place");
    report.rests(Subject::Sequence, format!("all {size} entries are there"));
    for (id, seq) in tree.bad() {
        let detail = format!("{id} does not hold the hashes of its entries");
        report.fault(Subject::Content, "tile", *seq, detail);
    }
}

fn read_tile(disk: &dyn Disk, id: TileId) -> Option<Vec<Hash>> {
    // A partial tile may be gone once the full one is there.
    let bytes = read(disk, &id.path()).ok()??;
    let full = || tile::decode(id.full()?, &bytes).ok();
    tile::decode(id, &bytes).ok().or_else(full)
}

/// The file at `path`, or the full one in place of a partial one that is gone.
fn read(disk: &dyn Disk, path: &str) -> Result<Option<Vec<u8>>, Error> {
    let one = |path: &str| stored::read(disk, path);
    match (one(path)?, path.split_once(".p/")) {
        (None, Some((full, _))) => one(full),
        (found, _) => Ok(found),
    }
}
