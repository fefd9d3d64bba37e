//! On cosignatures: of a head that no witness has seen, the quorum of which an operator makes up.

use super::{Attack, Make};
use crate::Failure;
use crate::forge::{Log, Thief, now};
use crate::judge::{Notice, View};
use crate::scene::{Base, newest_with};
use serde_json::json;
use std::path::Path;
use tlog::Checkpoint;
use tlog::cosignature::Cosigner;
use tlog::note::{Note, Signature};

/// Whom the auditor's policy names; it asks for both.
const WITNESSES: [&str; 2] = ["north", "south"];

const OPERATOR: &str = "all keys of the operator";
const ACCOMPLICE: &str = "all keys of the operator, and one witness of two";

/// Too few of those who must have cosigned did.
const NO_QUORUM: Notice = Notice::Unverifiable {
    claim: "witnesses",
    says: "a head cosigned by the quorum",
};

pub(crate) fn attacks() -> Vec<Attack> {
    let attack = |name, holds, notice, make: Make| Attack {
        name,
        holds,
        fell: None,
        base: Base::Unwitnessed,
        noticed_by: View::Outside,
        notice,
        make,
    };
    vec![
        attack(
            "cosign with namesakes of the witnesses",
            OPERATOR,
            NO_QUORUM,
            |_, dir| {
                let namesakes = WITNESSES.map(|name| Cosigner::ed25519(name, &[23; 32]));
                cosign(dir, |head| {
                    let lines = namesakes.into_iter().zip([2, 1]);
                    lines
                        .map(|(by, ago)| Ok(by?.cosign(head, now(ago)?)?))
                        .collect()
                })
            },
        ),
        attack(
            "cosign with namesakes of the witnesses, who bear their keys' ids",
            OPERATOR,
            Notice::Invalid {
                claim: "witnesses",
                word: "signature",
                says: "/cosigned: ",
            },
            |scene, dir| {
                cosign(dir, |head| {
                    let line = |name| {
                        let own = Cosigner::ed25519(name, &[23; 32])?.cosign(head, now(1)?)?;
                        let id = scene.accomplice(name, name)?.verifying_key().id();
                        Ok(Signature::new(name, id, own.bytes().to_vec())?)
                    };
                    WITNESSES.into_iter().map(line).collect()
                })
            },
        ),
        attack(
            "cosign twice as one witness",
            ACCOMPLICE,
            NO_QUORUM,
            |scene, dir| {
                let north = scene.accomplice("north", "north")?;
                cosign(dir, |head| {
                    let times = [2, 1].into_iter();
                    times
                        .map(|ago| Ok(north.cosign(head, now(ago)?)?))
                        .collect()
                })
            },
        ),
        attack(
            "cosign as one witness, under the name of the other as well",
            ACCOMPLICE,
            NO_QUORUM,
            |scene, dir| {
                cosign(dir, |head| {
                    let line = |name| {
                        let by = scene.accomplice("north", name)?;
                        Ok(by.cosign(head, now(1)?)?)
                    };
                    WITNESSES.into_iter().map(line).collect()
                })
            },
        ),
    ]
}

/// Adds lines to the newest head that an authority stamped, and events that tell of them as if witnesses had sent them.
fn cosign(
    dir: &Path,
    lines: impl FnOnce(&Checkpoint) -> Result<Vec<Signature>, Failure>,
) -> Result<(), Failure> {
    let (size, own) = newest_with(dir, "rsa.tsr")?;
    let mut text = fs_err::read_to_string(own.join("checkpoint"))?;
    let head: Checkpoint = Note::parse(text.as_bytes())?.text().parse()?;
    let mut log = Log::read(dir)?;
    for line in lines(&head)? {
        let seconds = line.bytes().first_chunk().copied().map(i64::from_be_bytes);
        let time = jiff::Timestamp::from_second(seconds.ok_or("no time")?)?;
        log.tell(
            "anchor.witness",
            &json!({
                "witness": line.name(), "size": size, "root": head.root().to_string(), "time": time.to_string(),
                "signature": line.to_string(), "attempts": 1, "waited_ms": 0,
            }),
        )?;
        text += &format!("{line}\n");
    }
    fs_err::write(own.join("cosigned"), text)?;
    log.write_signed(dir, &Thief::of(dir)?.key)
}
