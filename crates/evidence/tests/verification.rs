//! Every byte of evidence counts: what is changed in a closed store is found and named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use event::{Draft, Exchange, Kind, Outcome, Role, Source, State};
use evidence::{Options, Recorder, Store, verify};
use std::path::{Path, PathBuf};

const CALLS: u64 = 400;

/// Records what `fill` gives to a recorder of this segment size, and closes it.
fn recording<T>(dir: &Path, segment_bytes: u64, fill: impl AsyncFnOnce(&Recorder) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = Options {
            segment_bytes,
            ..Options::new(dir)
        };
        let recorder = Recorder::open(options).unwrap();
        let filled = fill(&recorder).await;
        recorder.close().await.unwrap();
        filled
    })
}

fn record(dir: &Path) {
    recording(dir, 1 << 20, async |recorder| {
        for index in 0..CALLS {
            let mut draft = Draft::new(Kind::ToolRequest, Source::Gateway);
            let bytes = format!("argument {index} ").repeat(1 + index as usize % 40);
            let body = recorder.put(Role::Request, None, None, bytes.as_bytes());
            draft.bodies.push(body.await.unwrap());
            let call = recorder.append(&draft).await.unwrap().seq;
            let mut draft = Draft::new(Kind::ToolResponse, Source::Gateway);
            draft.exchange = Some(Exchange {
                call: Some(call),
                ..Exchange::default()
            });
            draft.outcome = Some(Outcome {
                state: State::Completed,
                error: None,
                reason: None,
            });
            recorder.append(&draft).await.unwrap();
        }
    });
}

fn files(dir: &Path, below: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files(dir, &path, out);
        } else {
            out.push(path);
        }
    }
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    files(dir, Path::new(""), &mut out);
    out.sort();
    out
}

/// 0 when verification finds nothing wrong; otherwise its exit code, or 1 when it cannot begin.
fn verdict(dir: &Path) -> u8 {
    verify::run(dir, &verify::Options::default(), &mut |_| ())
        .map_or(1, |report| report.exit_code())
}

#[test]
fn any_flipped_bit_of_evidence_is_found() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    assert_eq!(verdict(dir.path()), 0);
    let mut tried = 0;
    for path in all_files(dir.path()) {
        // The private keys and the lock are not evidence; verification never opens them.
        if path.starts_with("keys") || path == Path::new("lock") {
            continue;
        }
        let full = dir.path().join(&path);
        let bytes = std::fs::read(&full).unwrap();
        // Small files and headers byte by byte, the rest sampled.
        let step = (bytes.len() / 40).max(1);
        let every = if bytes.len() <= 512 { 512 } else { 80 };
        let sampled = (0..bytes.len()).filter(|at| *at < every || at.is_multiple_of(step));
        for at in sampled {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(&full, &changed).unwrap();
            assert_ne!(
                verdict(dir.path()),
                0,
                "bit flipped at {at} of {}",
                path.display()
            );
            tried += 1;
        }
        std::fs::write(&full, &bytes).unwrap();
    }
    assert!(tried > 200, "{tried}");
    assert_eq!(verdict(dir.path()), 0);
}

/// Sends a growing context whole, `CONTEXTS` times, and returns what was sent.
fn record_contexts(dir: &Path) -> Vec<String> {
    recording(dir, 256 << 10, async |recorder| {
        let mut sent: Vec<String> = Vec::new();
        for turn in 0..CONTEXTS {
            let mut context = sent.last().cloned().unwrap_or_default();
            for word in 0..15_000 {
                context.push_str(&format!(
                    "{:x} ",
                    (turn << 16 | word).wrapping_mul(0x9e37_79b9)
                ));
            }
            let mut draft = Draft::new(Kind::Clock, Source::Recorder);
            let body = recorder.put(Role::Request, None, None, context.as_bytes());
            draft.bodies.push(body.await.unwrap());
            recorder.append(&draft).await.unwrap();
            sent.push(context);
        }
        sent
    })
}

const CONTEXTS: usize = 8;

#[test]
fn a_context_sent_again_is_checked_across_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let sent = record_contexts(dir.path());
    let report = verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap();
    assert_eq!((report.exit_code(), report.bodies), (0, CONTEXTS as u64));
    let volume = dir.path().join("vault/0000000001.vol");
    let bytes = std::fs::read(&volume).unwrap();
    let blocks = bytes.windows(4).filter(|four| four == b"TBLK").count();
    assert!(blocks > 3, "{blocks}");
    let store = Store::open(dir.path()).unwrap();
    let bodies = store.events(0).flat_map(|entry| {
        let line = event::Line::parse(&entry.unwrap().line).unwrap();
        line.bodies
    });
    for (body, sent) in bodies.zip(&sent) {
        assert_eq!(store.body(&body).unwrap(), sent.as_bytes());
    }
    for at in (0..bytes.len()).step_by(bytes.len() / 50) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        std::fs::write(&volume, &changed).unwrap();
        assert_ne!(verdict(dir.path()), 0, "bit flipped at {at}");
    }
}

#[test]
fn anything_added_to_a_file_of_evidence_is_found() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    for path in all_files(dir.path()) {
        if path.starts_with("keys") || path == Path::new("lock") {
            continue;
        }
        let full = dir.path().join(&path);
        let bytes = std::fs::read(&full).unwrap();
        let block = |from: usize| bytes.get(from..).unwrap_or_default().to_vec();
        for added in [
            vec![b'\n'],
            vec![0; 32],
            vec![0xff; 64],
            block(0),
            block(16),
        ] {
            if added.is_empty() {
                continue;
            }
            std::fs::write(&full, [bytes.as_slice(), &added].concat()).unwrap();
            assert_ne!(
                verdict(dir.path()),
                0,
                "{} bytes added to {}",
                added.len(),
                path.display()
            );
        }
        std::fs::write(&full, &bytes).unwrap();
    }
    assert_eq!(verdict(dir.path()), 0);
}

#[test]
fn any_missing_file_of_evidence_is_found() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    for path in all_files(dir.path()) {
        if path.starts_with("keys") || path == Path::new("lock") {
            continue;
        }
        let full = dir.path().join(&path);
        let bytes = std::fs::read(&full).unwrap();
        std::fs::remove_file(&full).unwrap();
        assert_ne!(verdict(dir.path()), 0, "{} removed", path.display());
        std::fs::write(&full, &bytes).unwrap();
    }
}

/// Replaces one entry bundle by an edited one, uncompressed, as the log of another tool would be.
fn edit_bundle(dir: &Path, name: &str, edit: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let path = dir.join("log/tile/entries").join(name);
    let compressed = path.with_extension("zst");
    let bytes = zstd::decode_all(std::fs::read(&compressed).unwrap().as_slice()).unwrap();
    let mut entries: Vec<Vec<u8>> = tlog::bundle::entries(&bytes)
        .map(|entry| entry.unwrap().to_vec())
        .collect();
    edit(&mut entries);
    let mut out = Vec::new();
    for entry in entries {
        tlog::bundle::encode_entry(&mut out, &entry).unwrap();
    }
    std::fs::remove_file(compressed).unwrap();
    std::fs::write(&path, out).unwrap();
}

#[test]
fn the_first_bad_record_is_named() {
    type Edit = fn(&mut Vec<Vec<u8>>);
    let cases: [(&str, &str, Edit, u64); 5] = [
        (
            "edited",
            "altered",
            |entries| {
                let text = String::from_utf8(entries[17].clone()).unwrap();
                entries[17] = text.replace("tool.re", "tool.Re").into_bytes();
            },
            256 + 17,
        ),
        ("swapped", "order", |entries| entries.swap(40, 41), 256 + 40),
        (
            "removed",
            "order",
            |entries| drop(entries.remove(9)),
            256 + 9,
        ),
        (
            "inserted",
            "order",
            |entries| entries.insert(200, entries[3].clone()),
            256 + 200,
        ),
        (
            "added",
            "corrupt",
            |entries| entries.push(entries[255].clone()),
            512,
        ),
    ];
    for (name, what, edit, seq) in cases {
        let dir = tempfile::tempdir().unwrap();
        record(dir.path());
        edit_bundle(dir.path(), "001", edit);
        let report = verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap();
        assert_eq!(report.exit_code(), 10, "{name}");
        let first = &report.faults[0];
        assert_eq!(
            (first.seq, first.what.as_str()),
            (Some(seq), what),
            "{name}: {:?}",
            report.faults
        );
    }
}

#[test]
fn a_changed_body_names_its_event() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    // Another seed gives other salts: no body matches its commitment any more.
    std::fs::write(dir.path().join("vault/salts/00000000.seed"), [1; 32]).unwrap();
    let report = verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap();
    assert_eq!(report.exit_code(), 10);
    assert_eq!(
        (report.faults[0].what.as_str(), report.faults[0].seq),
        ("altered", Some(2))
    );
    assert_eq!(report.fault_count, CALLS);
}

#[test]
fn a_copied_store_verifies_elsewhere_and_states_what_is_not_proven() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let copy = tempfile::tempdir().unwrap();
    for path in all_files(dir.path()) {
        if path.starts_with("keys") {
            continue;
        }
        let to = copy.path().join(&path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(dir.path().join(&path), to).unwrap();
    }
    let report = verify::run(copy.path(), &verify::Options::default(), &mut |_| ()).unwrap();
    assert_eq!(report.exit_code(), 0);
    assert!(report.not_proven.len() >= 4);
}

/// The verdict on each claim, as one word each.
fn claims(report: &verify::Report) -> Vec<(verify::Subject, verify::Verdict)> {
    report.claims.iter().map(|c| (c.claim, c.verdict)).collect()
}

#[test]
fn every_claim_has_a_verdict_and_none_is_valid_unasked() {
    use verify::{Subject, Verdict};
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let report = verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap();
    let expected = Subject::ALL.map(|subject| {
        let verdict = match subject {
            Subject::Time | Subject::Witnesses => Verdict::Unverifiable,
            _ => Verdict::Valid,
        };
        (subject, verdict)
    });
    assert_eq!(claims(&report), expected);
}

#[test]
fn the_policys_key_decides_and_not_the_one_beside_the_log() {
    use verify::{Subject, Verdict};
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let own = Store::open(dir.path()).unwrap().key().clone();
    let other = |name: &str| {
        let key = tlog::note::SigningKey::from_seed(name, &[7; 32]).unwrap();
        key.verifying_key().clone()
    };
    for (key, verdict, exit) in [
        (own.clone(), Verdict::Valid, 0),
        (other(own.name()), Verdict::Invalid, 10),
        (other("example.org/another"), Verdict::Unverifiable, 12),
    ] {
        let options = verify::Options {
            policy: Some(tlog::policy::Policy::of_log(key)),
            ..verify::Options::default()
        };
        let report = verify::run(dir.path(), &options, &mut |_| ()).unwrap();
        assert_eq!(
            (report.verdict(Subject::Signature), report.exit_code()),
            (Some(verdict), exit)
        );
    }
}

#[test]
fn the_policy_may_name_any_key_that_the_log_handed_over_to() {
    use verify::{Subject, Verdict};
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    recording(dir.path(), 1 << 20, async |recorder| {
        for _ in 0..2 {
            recorder.rotate().await.unwrap();
        }
    });
    let epochs = Store::open(dir.path()).unwrap().epochs().unwrap();
    let (valid, missing) = ((Verdict::Valid, 0), (Verdict::Unverifiable, 12));
    for epoch in epochs.iter() {
        let cosigns = epoch.ml_dsa_44.clone().unwrap();
        for (key, expected) in [(epoch.ed25519.clone(), valid), (cosigns, missing)] {
            let options = verify::Options {
                policy: Some(tlog::policy::Policy::of_log(key.clone())),
                ..verify::Options::default()
            };
            let report = verify::run(dir.path(), &options, &mut |_| ()).unwrap();
            let signature = report.verdict(Subject::Signature).unwrap();
            assert_eq!(
                (signature, report.exit_code()),
                expected,
                "{key}: {:?}",
                report.faults
            );
        }
    }
}
