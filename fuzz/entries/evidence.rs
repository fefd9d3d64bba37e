//! What must hold for any bytes found in a store or in a file of keys. Each function is the body of a fuzz target and of a
//! regular test over the committed corpus.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each target calls one entry; a broken promise must stop it"
)]

use evidence::epochs::{EpochNote, RevocationNote};
use evidence::verify::{self, Report};
use evidence::{Recipient, VaultKey};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use storage::{Disk as _, SimDisk};
use tlog::note::Note;

/// What reads as a note about the log's keys is written again as it was.
pub fn key_note(data: &[u8]) {
    let Ok(note) = Note::parse(data) else {
        return;
    };
    if let Ok(epoch) = note.text().parse::<EpochNote>() {
        assert_eq!(epoch.to_string(), note.text());
        // It has a signer only if the bytes say so.
        EpochNote::open(&note, &epoch.ed25519).ok();
    }
    if let Ok(revocation) = note.text().parse::<RevocationNote>() {
        assert_eq!(revocation.to_string(), note.text());
    }
}

/// A file of an investigator's keys is one or an error that does not hold what it says.
pub fn vault_key(data: &[u8]) {
    if let Ok(recipient) = Recipient::parse("the file", data) {
        assert_eq!(
            recipient.to_string().as_bytes(),
            data.strip_suffix(b"\n").unwrap_or(data)
        );
    }
    if let Err(error) = VaultKey::parse("the file", data) {
        let told = error.to_string();
        let secret = |part: &&[u8]| part.iter().all(u8::is_ascii_hexdigit);
        for part in data.windows(32).filter(secret) {
            assert!(!told.contains(std::str::from_utf8(part).unwrap()));
        }
    }
}

/// A store of the newest format as a kill left it, with something in every directory, and one that was closed, of which
/// every event is signed; each with what verification says of it untouched.
static GOLDEN: LazyLock<[(Files, Report); 2]> = LazyLock::new(|| {
    ["unclean.v2", "store.v2"].map(|name| {
        let files = golden(name);
        let report = verified(&files).expect("a golden store");
        (files, report)
    })
});

type Files = BTreeMap<String, Vec<u8>>;

fn golden(name: &str) -> Files {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest
        .ancestors()
        .map(|above| above.join("crates/evidence/tests/golden").join(name))
        .find(|dir| dir.is_dir());
    let root = root.expect("the golden stores of this checkout");
    let mut files = Files::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                files.insert(name.to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// `None`: a directory that is no store, or is of a newer format, is refused before anything is judged.
fn verified(files: &Files) -> Option<Report> {
    let disk = SimDisk::new();
    for (path, bytes) in files {
        disk.write(path, bytes).unwrap();
    }
    verify::run_on(Arc::new(disk), &verify::Options::default(), &mut |_| ()).ok()
}

/// Which store and file; what becomes of it; the bytes of that. Verification ends, and what it calls good is what was signed.
pub fn store(data: &[u8]) {
    let [which, what, rest @ ..] = data else {
        return;
    };
    let [unclean, closed] = &*GOLDEN;
    let (files, untouched) = if which & 0x80 == 0 { unclean } else { closed };
    let mut files = files.clone();
    let nth = usize::from(*which) % files.len();
    let Some(file) = files.values_mut().nth(nth) else {
        return;
    };
    match (what % 3, rest) {
        (0, rest) => *file = rest.to_vec(),
        (1, [low, high, patch @ ..]) => {
            let at = usize::from(u16::from_le_bytes([*low, *high])) % (file.len() + 1);
            let end = (at + patch.len()).min(file.len());
            file.splice(at..end, patch.iter().copied());
        }
        (_, [low, high, ..]) => file.truncate(usize::from(u16::from_le_bytes([*low, *high]))),
        _ => return,
    }
    let good = |report: &Report| report.exit_code() == 0;
    if let Some(report) = verified(&files).filter(good) {
        assert_eq!(report.root, untouched.root);
        assert!(
            report.signed_events == untouched.signed_events
                && report.events >= report.signed_events
        );
    }
}
