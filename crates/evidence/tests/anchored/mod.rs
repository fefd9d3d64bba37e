//! A store with every anchor: published heads, time-stamps of a real authority, cosignatures of two witnesses, and
//! the events that tell of them. What the tests of its verification begin with.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use event::{Draft, Kind, Role, Source};
use evidence::{Options, Published, Recorder, Store, verify};
use serde_json::json;
use std::path::{Path, PathBuf};
use testkit::authority::{Authority, EC, ROOT, RSA, Style};
use timestamp::{Certificate, Imprint, Nonce, Request, Response, Trust};
use tlog::cosignature::Cosigner;
use tlog::policy::Policy;

/// Heads that are anchored.
pub(crate) const HEADS: usize = 3;

/// The store, and what an auditor would bring.
pub(crate) struct Anchored {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) authority: Authority,
    pub(crate) witnesses: [Cosigner; 2],
    /// Sizes of the anchored heads.
    pub(crate) sizes: Vec<u64>,
}

fn sha256_hex(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    hex::encode(digest.as_ref())
}

fn event(kind: Kind, facts: serde_json::Value) -> Draft {
    let mut draft = Draft::new(kind, Source::Recorder);
    draft.facts = facts.as_object().cloned();
    draft
}

/// An authority's whole answer over `bytes`.
pub(crate) fn stamp(authority: &Authority, name: &str, bytes: &[u8]) -> Vec<u8> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let imprint = Imprint::sha256(digest.as_ref().try_into().unwrap());
    let request = Request::new(imprint, Nonce::new([7; 8]));
    authority
        .reply(name, Style::Plain, &request.to_der())
        .unwrap()
}

/// The line by which `witness` cosigns `head` at `time`, and the event that tells of it.
pub(crate) fn cosignature(head: &Published, witness: &Cosigner, time: i64) -> (String, Draft) {
    let stated = tlog::cosignature::Timestamp::new(time.unsigned_abs()).unwrap();
    let body: tlog::Checkpoint = head.note.text().parse().unwrap();
    let line = witness.cosign(&body, stated).unwrap().to_string();
    let facts = json!({
        "witness": witness.verifying_key().name(),
        "key": witness.verifying_key().to_string(),
        "size": head.size,
        "root": head.root.to_string(),
        "time": jiff::Timestamp::from_second(time).unwrap().to_string(),
        "signature": line,
        "attempts": 1,
        "waited_ms": 3,
    });
    (format!("{line}\n"), event(Kind::AnchorWitness, facts))
}

impl Anchored {
    /// Records some calls, publishes and anchors a head, and again.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        let witnesses = [
            Cosigner::ed25519("witness.example/one", &[1; 32]).unwrap(),
            Cosigner::ml_dsa_44("witness.example/two", &[2; 32]).unwrap(),
        ];
        let mut anchored = Self {
            dir,
            authority,
            witnesses,
            sizes: Vec::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(anchored.record());
        anchored
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    async fn record(&mut self) {
        let options = Options {
            segment_bytes: 1 << 20,
            ..Options::new(self.path())
        };
        let recorder = Recorder::open(options).unwrap();
        for round in 0..HEADS {
            for call in 0..90 {
                let mut draft = Draft::new(Kind::Environment, Source::Recorder);
                let text = format!("body {call} of round {round}");
                let body = recorder.put(Role::Message, None, None, text.as_bytes());
                draft.bodies.push(body.await.unwrap());
                recorder.append(&draft).await.unwrap();
            }
            let head = recorder.publish().await.unwrap();
            self.sizes.push(head.size);
            let name = if round % 2 == 0 { RSA } else { EC };
            for draft in self.anchor(&head, name) {
                recorder.append(&draft).await.unwrap();
            }
        }
        recorder.close().await.unwrap();
    }

    /// Writes what vouches for `head` beside it; returns the events that tell of it.
    pub(crate) fn anchor(&self, head: &Published, authority: &str) -> Vec<Draft> {
        let dir = self.head(head.size);
        let checkpoint = std::fs::read(dir.join("checkpoint")).unwrap();
        let answer = stamp(&self.authority, authority, &checkpoint);
        std::fs::write(dir.join(format!("{authority}.tsr")), &answer).unwrap();
        let token = Response::from_der(&answer).unwrap().into_token().unwrap();
        let common = |mut facts: serde_json::Value| {
            facts["size"] = head.size.into();
            facts["root"] = head.root.to_string().into();
            facts
        };
        let mut events = vec![event(
            Kind::AnchorTimestamp,
            common(json!({
                "authority": authority,
                "gen_time": token.claims().gen_time.to_string(),
                "serial": token.claims().serial.to_string(),
                "policy": token.claims().policy.to_string(),
                "token_sha256": sha256_hex(&answer),
                "checkpoint_sha256": sha256_hex(&checkpoint),
                "attempts": 1,
                "waited_ms": 20,
            })),
        )];
        let time = token.claims().gen_time.as_second();
        let mut cosigned = checkpoint.clone();
        for witness in &self.witnesses {
            let (line, told) = cosignature(head, witness, time);
            cosigned.extend_from_slice(line.as_bytes());
            events.push(told);
        }
        std::fs::write(dir.join("cosigned"), cosigned).unwrap();
        events.push(event(
            Kind::AnchorCopy,
            common(json!({
                "place": "/elsewhere",
                "checkpoint_sha256": sha256_hex(&checkpoint),
                "attempts": 1,
                "waited_ms": 0,
            })),
        ));
        events
    }

    /// Where a published head and what vouches for it lie.
    pub(crate) fn head(&self, size: u64) -> PathBuf {
        self.path().join(format!("anchors/{size:020}"))
    }

    pub(crate) fn policy(&self) -> Policy {
        let log = Store::open(self.path()).unwrap().verifier_key();
        Policy::parse(self.policy_text(&log).as_bytes()).unwrap()
    }

    pub(crate) fn policy_text(&self, log: &str) -> String {
        let [one, two] = &self.witnesses;
        format!(
            "log {log}\nwitness one {}\nwitness two {}\ngroup both 2 one two\nquorum both\n",
            one.verifying_key(),
            two.verifying_key()
        )
    }

    pub(crate) fn roots(&self) -> Trust {
        Trust::new(Certificate::from_pem(&self.authority.pem(ROOT).unwrap()).unwrap()).unwrap()
    }

    /// All that an auditor can bring but a head.
    pub(crate) fn options(&self) -> verify::Options {
        verify::Options {
            policy: Some(self.policy()),
            roots: Some(self.roots()),
            ..verify::Options::default()
        }
    }

    pub(crate) fn verify(&self, options: &verify::Options) -> verify::Report {
        verify::run(self.path(), options, &mut |_| ()).unwrap()
    }
}
