//! What other recorders' verifications let pass, each as an attack on a store of ours with every anchor.
//!
//! The auditor has what an auditor has: the log's key and the witnesses' from elsewhere (a policy), the authorities'
//! roots, and in some cases a head that was handed over before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod anchored;

use anchored::{Anchored, stamp};
use event::{Draft, Kind, Source};
use evidence::verify::{self, Options, Report, Subject, Verdict};
use evidence::{Recorder, Store};
use std::path::Path;
use testkit::authority::RSA;
use tlog::Checkpoint;
use tlog::note::SigningKey;

fn refused(report: &Report, subject: Subject, verdict: Verdict) {
    assert_eq!(
        report.verdict(subject),
        Some(verdict),
        "faults {:#?}\nmissing {:#?}",
        report.faults,
        report.missing
    );
    let exit = if verdict == Verdict::Invalid { 10 } else { 12 };
    assert_eq!(report.exit_code(), exit);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The log's own signing key, as somebody who stole it has it.
fn stolen(dir: &Path) -> SigningKey {
    let origin = Store::open(dir).unwrap().origin().to_owned();
    let line = std::fs::read_to_string(dir.join("keys/log.key")).unwrap();
    let seed = hex::decode(line.split(' ').nth(1).unwrap()).unwrap();
    SigningKey::from_seed(&origin, &seed.try_into().unwrap()).unwrap()
}

fn record(dir: &Path, events: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let recorder = Recorder::open(evidence::Options::new(dir)).unwrap();
        for _ in 0..events {
            let draft = Draft::new(Kind::Environment, Source::Recorder);
            recorder.append(&draft).await.unwrap();
        }
        recorder.close().await.unwrap();
    });
}

/// A signature set to nothing counted as verified.
#[test]
fn a_null_signature_is_no_signature() {
    let store = Anchored::new();
    let path = store.path().join("log/checkpoint");
    let text = std::fs::read_to_string(&path).unwrap();
    let (body, line) = text.split_once("\n\n").unwrap();
    let name = line.split(' ').nth(1).unwrap();
    for signature in [
        String::new(),
        format!("\u{2014} {name} \n"),
        format!("\u{2014} {name} {}\n", "AAAA".repeat(23)),
        "\u{2014} somebody AAAAAAAA\n".to_owned(),
    ] {
        std::fs::write(&path, format!("{body}\n\n{signature}")).unwrap();
        let report = store.verify(&store.options());
        refused(&report, Subject::Signature, Verdict::Invalid);
    }
    std::fs::remove_file(&path).unwrap();
    let report = store.verify(&store.options());
    refused(&report, Subject::Signature, Verdict::Unverifiable);
}

/// A number that said "pruned below here" hid every change below it.
#[test]
fn nothing_in_the_directory_lets_the_verifier_skip_events() {
    let store = Anchored::new();
    let bundle = store.path().join("log/tile/entries/000.zst");
    let bytes = std::fs::read(&bundle).unwrap();
    std::fs::remove_file(&bundle).unwrap();
    for claim in ["pruned", "log/pruned", "log/minimum-index", "log/first"] {
        std::fs::write(store.path().join(claim), "256\n").unwrap();
    }
    let report = store.verify(&store.options());
    refused(&report, Subject::Content, Verdict::Invalid);
    assert_eq!(report.faults[0].what, "removed");
    std::fs::write(&bundle, bytes).unwrap();
    assert_eq!(store.verify(&store.options()).exit_code(), 0);
}

/// The end was cut off and the head in the same directory mended, here even with the log's own key.
#[test]
fn a_mended_head_does_not_hide_a_cut_tail() {
    let store = Anchored::new();
    let size = store.sizes[1];
    let root = evidence::Proofs::of(store.path()).root(size).unwrap();
    let key = stolen(store.path());
    let head = Checkpoint::new(key.verifying_key().name(), size, root).unwrap();
    std::fs::write(
        store.path().join("log/checkpoint"),
        head.sign(&key).unwrap().to_string(),
    )
    .unwrap();
    // As it is, the events behind the head lie there unsigned; a cut store says the same of what is gone.
    let report = store.verify(&store.options());
    assert_eq!(report.exit_code(), 0, "{:?}", report.faults);
    assert_eq!(report.unsigned_tail, report.events - size);
    let fresh = tempfile::tempdir().unwrap();
    record(fresh.path(), 20);
    let last = *store.sizes.last().unwrap();
    copy(
        &store.head(last),
        &fresh.path().join(format!("anchors/{last:020}")),
    );
    let report = verify::run(fresh.path(), &Options::default(), &mut |_| ()).unwrap();
    refused(&report, Subject::Sequence, Verdict::Invalid);
}

/// Records behind the last seal passed as if they were sealed.
#[test]
fn an_unsealed_tail_is_stated_and_never_counted_as_covered() {
    let store = Anchored::new();
    let report = store.verify(&store.options());
    let last = *store.sizes.last().unwrap();
    assert_eq!(report.unanchored_tail.from, last);
    assert_eq!(report.unanchored_tail.events, report.events - last);
    assert!(report.unanchored_tail.events > 0);
    let range = report.brackets.last().unwrap();
    assert_eq!((range.to, &range.not_after), (report.events, &None));
    let said = report
        .not_proven
        .iter()
        .any(|sentence| sentence.contains(&format!("event {last} on")));
    assert!(said, "{:?}", report.not_proven);
}

/// The whole log written anew, and a fresh, genuine time-stamp put on it: "signature valid".
#[test]
fn a_log_rewritten_under_a_fresh_time_stamp_is_another_log() {
    let store = Anchored::new();
    let held = std::fs::read(store.head(store.sizes[0]).join("checkpoint")).unwrap();
    let forged = tempfile::tempdir().unwrap();
    record(forged.path(), 300);
    // The forger has the old name, a new key, and a real authority that stamps whatever it is sent.
    let origin = Store::open(store.path()).unwrap().origin().to_owned();
    let key = SigningKey::from_seed(&origin, &[9; 32]).unwrap();
    let size = 300;
    let root = evidence::Proofs::of(forged.path()).root(size).unwrap();
    let head = Checkpoint::new(&origin, size, root)
        .unwrap()
        .sign(&key)
        .unwrap()
        .to_string();
    let at = forged.path().join(format!("anchors/{size:020}"));
    std::fs::create_dir_all(&at).unwrap();
    std::fs::write(at.join("checkpoint"), &head).unwrap();
    std::fs::write(
        at.join("tsa-rsa.tsr"),
        stamp(&store.authority, RSA, head.as_bytes()),
    )
    .unwrap();
    std::fs::write(
        forged.path().join("log/vkey"),
        format!("{}\n", key.verifying_key()),
    )
    .unwrap();
    std::fs::write(forged.path().join("log/checkpoint"), &head).unwrap();
    let check = |options: &Options| verify::run(forged.path(), options, &mut |_| ()).unwrap();
    // Beside itself it holds together: only what the auditor brings can tell.
    refused(
        &check(&store.options()),
        Subject::Signature,
        Verdict::Invalid,
    );
    let with_head = Options {
        roots: Some(store.roots()),
        heads: vec![held.clone()],
        ..Options::default()
    };
    refused(&check(&with_head), Subject::Signature, Verdict::Invalid);
    // With the stolen key under the true name: the signature is good, and the history is another.
    let key = stolen(store.path());
    let head = Checkpoint::new(&origin, size, root)
        .unwrap()
        .sign(&key)
        .unwrap()
        .to_string();
    std::fs::write(at.join("checkpoint"), &head).unwrap();
    std::fs::write(
        at.join("tsa-rsa.tsr"),
        stamp(&store.authority, RSA, head.as_bytes()),
    )
    .unwrap();
    std::fs::write(
        forged.path().join("log/vkey"),
        format!("{}\n", key.verifying_key()),
    )
    .unwrap();
    std::fs::write(forged.path().join("log/checkpoint"), &head).unwrap();
    refused(
        &check(&store.options()),
        Subject::Witnesses,
        Verdict::Unverifiable,
    );
    refused(&check(&with_head), Subject::Content, Verdict::Invalid);
}

/// A key that was gone was made anew in silence.
#[test]
fn a_missing_key_is_not_replaced_and_verification_needs_no_private_one() {
    let store = Anchored::new();
    std::fs::remove_dir_all(store.path().join("keys")).unwrap();
    assert_eq!(store.verify(&store.options()).exit_code(), 0);
    assert!(!store.path().join("keys").exists());
    let vkey = store.path().join("log/vkey");
    let other =
        SigningKey::from_seed(Store::open(store.path()).unwrap().origin(), &[5; 32]).unwrap();
    let options = store.options();
    std::fs::write(&vkey, format!("{}\n", other.verifying_key())).unwrap();
    refused(
        &store.verify(&options),
        Subject::Signature,
        Verdict::Invalid,
    );
    std::fs::remove_file(&vkey).unwrap();
    let error = verify::run(store.path(), &options, &mut |_| ()).unwrap_err();
    assert!(matches!(error, evidence::Error::Missing(_)), "{error}");
    assert!(!vkey.exists());
}

/// A last record torn in half made the log unverifiable for good, or was glued to the next.
#[test]
fn a_torn_last_record_is_stated_and_does_not_condemn_the_log() {
    let store = Anchored::new();
    let dir = tempfile::tempdir().unwrap();
    copy(store.path(), dir.path());
    let options = store.options();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let recorder = Recorder::open(evidence::Options {
            checkpoint: std::time::Duration::from_secs(3600),
            ..evidence::Options::new(dir.path())
        })
        .unwrap();
        for _ in 0..5 {
            let draft = Draft::new(Kind::Environment, Source::Recorder);
            recorder.append(&draft).await.unwrap();
        }
        std::mem::forget(recorder);
    });
    let wal = std::fs::read_dir(dir.path().join("wal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max()
        .unwrap();
    let mut bytes = std::fs::read(&wal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 200..=end].fill(0);
    let copied = tempfile::tempdir().unwrap();
    copy(dir.path(), copied.path());
    std::fs::write(
        copied.path().join("wal").join(wal.file_name().unwrap()),
        bytes,
    )
    .unwrap();
    let report = verify::run(copied.path(), &options, &mut |_| ()).unwrap();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert!(
        report
            .not_proven
            .iter()
            .any(|sentence| sentence.contains("write-ahead log")),
        "{:?}",
        report.not_proven
    );
}

/// The last tenth was cut off, and verification passed; or the whole directory was an older copy.
#[test]
fn an_older_copy_passes_only_without_a_newer_head() {
    let store = Anchored::new();
    let older = tempfile::tempdir().unwrap();
    copy(store.path(), older.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let newer = runtime.block_on(async {
        let recorder = Recorder::open(evidence::Options::new(store.path())).unwrap();
        let draft = Draft::new(Kind::Environment, Source::Recorder);
        recorder.append(&draft).await.unwrap();
        let head = recorder.publish().await.unwrap();
        recorder.close().await.unwrap();
        head.note.to_string().into_bytes()
    });
    let mut options = store.options();
    let check = |options: &Options| verify::run(older.path(), options, &mut |_| ()).unwrap();
    // Nothing in an older copy tells that there is a newer one, and the verification says so.
    let report = check(&options);
    assert_eq!(report.exit_code(), 0, "{:?}", report.faults);
    assert!(
        report
            .not_proven
            .iter()
            .any(|sentence| sentence.contains("only log"))
    );
    options.heads = vec![newer];
    let report = check(&options);
    refused(&report, Subject::Sequence, Verdict::Invalid);
    assert_eq!(report.faults[0].what, "removed");
    assert_eq!(store.verify(&options).exit_code(), 0);
}
