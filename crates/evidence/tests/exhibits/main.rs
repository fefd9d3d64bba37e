//! An exhibit proves its event with tools that everybody has, and any change of it is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../anchored/mod.rs"]
mod anchored;
mod parsed;
mod refused;
mod said;

use anchored::Anchored;
use evidence::{Exhibit, Store};
use std::path::Path;
use std::process::Command;
use testkit::authority::ROOT;

/// Variables of the script, as the environment of whoever runs it may happen to have them: they must not reach it.
const VARIABLES: [&str; 12] = [
    "vkey", "logs", "policy", "roots", "quorum", "head", "size", "key", "own", "met", "stamped",
    "vouched",
];

/// Runs `verify.sh` of the exhibit in `dir`; its exit code and its words.
fn script(dir: &Path, arguments: &[&str]) -> (i32, String) {
    let done = Command::new("bash")
        .arg(dir.join("verify.sh"))
        .args(arguments)
        .envs(VARIABLES.map(|name| (name, "other")))
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (done.status.code().unwrap_or(-1), said)
}

/// What an auditor has from elsewhere: the log's key, the authority's root, the witnesses' keys.
struct Auditor {
    dir: tempfile::TempDir,
    vkey: String,
}

impl Auditor {
    fn of(store: &Anchored) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vkey = Store::open(store.path()).unwrap().verifier_key();
        std::fs::write(
            dir.path().join("root.pem"),
            store.authority.pem(ROOT).unwrap(),
        )
        .unwrap();
        // The other witness signs with ML-DSA-44, which openssl 3.0 has not.
        let policy = store.policy_text(&vkey).replace("both 2", "both any");
        std::fs::write(dir.path().join("policy"), policy).unwrap();
        Self { dir, vkey }
    }

    fn checks(&self, exhibit: &Path) -> (i32, String) {
        let at = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
        let (roots, policy) = (at("root.pem"), at("policy"));
        script(
            exhibit,
            &[
                "--vkey",
                &self.vkey,
                "--roots",
                &roots,
                "--witnesses",
                &policy,
            ],
        )
    }
}

fn write(store: &Store, seq: u64, dir: &Path) {
    Exhibit::of(store, seq).unwrap().write(dir).unwrap();
}

/// Writes the digests anew, as somebody who changes an exhibit on purpose does.
fn mend(dir: &Path) {
    let done = Command::new("bash")
        .arg("-c")
        .arg("for file in $(cut -c67- SHA256SUMS); do [ ! -e $file ] || sha256sum $file; done >new && mv new SHA256SUMS")
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(done.status.success());
}

/// A record of what `what` does, with its last head published.
fn recorded(dir: &Path, what: impl AsyncFnOnce(&evidence::Recorder, event::Draft)) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let recorder = evidence::Recorder::open(evidence::Options::new(dir)).unwrap();
        let draft = event::Draft::new(event::Kind::Environment, event::Source::Recorder);
        what(&recorder, draft).await;
        recorder.publish().await.unwrap();
        recorder.close().await.unwrap();
    });
}

/// A log that nobody outside vouches for.
fn alone() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path(), async |recorder, draft| {
        recorder.append(&draft).await.unwrap();
    });
    dir
}
