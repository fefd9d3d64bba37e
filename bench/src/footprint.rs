//! Bytes on disk for agents that send their whole context again at every call.

use crate::error::Error;
use crate::replay::{self, Call};
use crate::report::{Goal, Report, float, mb};
use crate::{agentdyn, conversation};
use evidence::Store;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const PART: &str = "disk";
const TURNS: usize = 100;

/// Bytes of a store's files, by what they hold.
#[derive(Debug, Default, Clone, Copy)]
struct Parts {
    volumes: u64,
    entries: u64,
    tiles: u64,
    rest: u64,
    /// Blocks that the file system gave to all of them.
    allocated: u64,
}

impl Parts {
    const fn total(self) -> u64 {
        self.volumes + self.entries + self.tiles + self.rest
    }
}

pub(crate) fn run(dir: &Path, report: &mut Report) -> Result<(), Error> {
    match agentdyn::archive() {
        Some(archive) => runs(&archive, dir, report)?,
        None => report.note("The AgentDyn runs are not at hand (TACHO_SHARED): not measured."),
    }
    turns(dir, report)
}

fn runs(archive: &Path, dir: &Path, report: &mut Report) -> Result<(), Error> {
    let runs = agentdyn::load(archive, dir)?;
    let conversations: Vec<(&str, &[Call])> = runs
        .runs
        .iter()
        .map(|run| (run.agent.as_str(), run.calls.as_slice()))
        .collect();
    let calls = || runs.runs.iter().flat_map(|run| &run.calls);
    let sent: u64 = calls().map(Call::body_bytes).sum();
    let unique: usize = runs.unique.iter().map(String::len).sum();
    let together = compress(runs.unique.join("\n").as_bytes())?;
    let mut each = 0;
    for message in &runs.unique {
        each += compress(message.as_bytes())?;
    }
    let (store, _kept) = replay::play(dir, &conversations)?;
    let parts = weigh(&store)?;
    let what = |text: &str| format!("AgentDyn, {} runs: {text}", runs.runs.len());
    report.add(
        PART,
        what(&format!(
            "bytes of bodies sent in {} calls",
            calls().count()
        )),
        mb(sent),
        "MB",
        None,
    );
    report.add(
        PART,
        what(&format!("{} unique messages", runs.unique.len())),
        mb(unique as u64),
        "MB",
        None,
    );
    report.add(
        PART,
        what("unique messages, zstd -3, one stream"),
        mb(together),
        "MB",
        None,
    );
    report.add(
        PART,
        what("unique messages, zstd -3, each by itself"),
        mb(each),
        "MB",
        None,
    );
    report.add(
        PART,
        what("events in the log"),
        float(Store::open(&store)?.len()),
        "",
        None,
    );
    breakdown(report, &what, parts);
    let ratio = |part: u64, of: u64| mb(part) / mb(of).max(1e-9);
    report.add(
        PART,
        what("on disk / zstd -3 of the unique messages"),
        ratio(parts.total(), together),
        "x",
        Some(Goal::AtMost(1.25)),
    );
    report.add(
        PART,
        what("bodies on disk / zstd -3 of the unique messages"),
        ratio(parts.volumes, together),
        "x",
        None,
    );
    report.add(
        PART,
        what("on disk / zstd -3 of each unique message"),
        ratio(parts.total(), each),
        "x",
        None,
    );
    report.add(
        PART,
        what("on disk / bytes sent"),
        ratio(parts.total(), sent),
        "x",
        None,
    );
    Ok(())
}

fn turns(dir: &Path, report: &mut Report) -> Result<(), Error> {
    let conversation = conversation::new(TURNS);
    let sent: u64 = conversation.calls.iter().map(Call::body_bytes).sum();
    let (store, _kept) = replay::play(dir, &[("bench", conversation.calls.as_slice())])?;
    let parts = weigh(&store)?;
    let what = |text: &str| format!("{TURNS} turns resent whole: {text}");
    report.add(PART, what("bytes of bodies sent"), mb(sent), "MB", None);
    report.add(
        PART,
        what("unique bytes"),
        mb(conversation.unique_bytes),
        "MB",
        None,
    );
    breakdown(report, &what, parts);
    let ratio = mb(parts.total()) / mb(conversation.unique_bytes).max(1e-9);
    report.add(
        PART,
        what("on disk / unique"),
        ratio,
        "x",
        Some(Goal::AtMost(0.5)),
    );
    Ok(())
}

fn breakdown(report: &mut Report, what: &dyn Fn(&str) -> String, parts: Parts) {
    for (name, bytes) in [
        ("on disk, bodies (vault volumes)", parts.volumes),
        ("on disk, events (entry bundles)", parts.entries),
        ("on disk, tree (hash tiles)", parts.tiles),
        ("on disk, the rest", parts.rest),
        ("on disk, all", parts.total()),
        ("on disk, all, in allocated blocks", parts.allocated),
    ] {
        report.add(PART, what(name), mb(bytes), "MB", None);
    }
}

fn weigh(store: &Path) -> Result<Parts, Error> {
    let mut parts = Parts::default();
    walk(store, store, &mut parts)?;
    Ok(parts)
}

fn walk(root: &Path, dir: &Path, parts: &mut Parts) -> Result<(), Error> {
    let what = Error::io("measuring a store");
    for entry in std::fs::read_dir(dir).map_err(&what)? {
        let path = entry.map_err(&what)?.path();
        let meta = path.symlink_metadata().map_err(&what)?;
        if meta.is_dir() {
            walk(root, &path, parts)?;
            continue;
        }
        let within = path.strip_prefix(root).unwrap_or(&path);
        let bytes = if within.starts_with("log/tile/entries") {
            &mut parts.entries
        } else if within.starts_with("log/tile") {
            &mut parts.tiles
        } else if within
            .extension()
            .is_some_and(|extension| extension == "vol")
        {
            &mut parts.volumes
        } else {
            &mut parts.rest
        };
        *bytes += meta.len();
        parts.allocated += meta.blocks() * 512;
    }
    Ok(())
}

fn compress(bytes: &[u8]) -> Result<u64, Error> {
    let compressed = zstd::bulk::compress(bytes, 3).map_err(Error::io("compressing"))?;
    Ok(compressed.len() as u64)
}
