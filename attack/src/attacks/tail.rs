//! On what a killed recorder left behind its newest checkpoint: durable, and signed by nobody.
//!
//! Nobody can tell what somebody did there who knows the format. So every verifier has to say how much it is, and where
//! it may have been longer.

use super::{Attack, Make};
use crate::Failure;
use crate::files;
use crate::forge::{Thief, following, telling};
use crate::judge::{Notice, View};
use crate::scene::Base;
use crate::wal::Wal;
use serde_json::json;
use std::cmp::Ordering;
use std::path::Path;
use tlog::note::Note;

/// The unsigned tail is told, with its length, which is that of the untouched store's or not.
const fn unsigned(unsigned: Ordering) -> Notice {
    Notice::Left {
        says: "no checkpoint signs them yet",
        unsigned,
    }
}

pub(crate) fn attacks() -> Vec<Attack> {
    let attack = |name, notice, make: Make| Attack {
        name,
        holds: "the disk",
        fell: None,
        base: Base::Killed,
        noticed_by: View::Alone,
        notice,
        make,
    };
    vec![
        attack(
            "killed recorder: alter an event that no checkpoint signs, with its checksum",
            unsigned(Ordering::Equal),
            |_, dir| {
                rewritten(dir, |wal| {
                    let at = *wal.unsigned().last().ok_or("nothing is unsigned")?;
                    let record = wal.records.get_mut(at).ok_or("no such record")?;
                    let times =
                        files::replace(&mut record.payload, br#""time":"20"#, br#""time":"19"#);
                    if times == 1 {
                        Ok(())
                    } else {
                        Err("no time".into())
                    }
                })
            },
        ),
        attack(
            "killed recorder: alter an event that no checkpoint signs, before others",
            Notice::Invalid {
                claim: "content",
                word: "corrupt",
                says: "broken at offset",
            },
            |_, dir| {
                let wal = Wal::read(dir)?;
                wal.scratch(first_unsigned(&wal)?)
            },
        ),
        attack(
            "killed recorder: alter the last that was written",
            Notice::Left {
                says: "no whole record: a write in progress, or one that was cut off",
                // It ends a batch, and is no event.
                unsigned: Ordering::Equal,
            },
            |_, dir| {
                let wal = Wal::read(dir)?;
                wal.scratch(wal.records.len() - 1)
            },
        ),
        attack(
            "killed recorder: cut the last events that no checkpoint signs",
            unsigned(Ordering::Less),
            |_, dir| {
                rewritten(dir, |wal| {
                    let unsigned = wal.unsigned();
                    let middle = unsigned.get(unsigned.len() / 2);
                    wal.records.truncate(*middle.ok_or("nothing is unsigned")?);
                    wal.close();
                    Ok(())
                })
            },
        ),
        attack(
            "killed recorder: cut all that no checkpoint signs",
            Notice::Left {
                says: "That this is all of it: the recorder has not ended in order",
                unsigned: Ordering::Less,
            },
            |_, dir| {
                rewritten(dir, |wal| {
                    wal.records.truncate(first_unsigned(wal)?);
                    wal.close();
                    Ok(())
                })
            },
        ),
        attack(
            "killed recorder: remove the write-ahead log",
            Notice::Refused { says: ".wal" },
            |_, dir| Ok(fs_err::remove_dir_all(dir.join("wal"))?),
        ),
        attack(
            "killed recorder: forge events behind the newest checkpoint",
            unsigned(Ordering::Greater),
            |_, dir| rewritten(dir, forge),
        ),
        attack(
            "killed recorder: forge events behind the newest checkpoint, and let the recorder start again, which signs them",
            Notice::Left {
                says: "That this is the only log",
                unsigned: Ordering::Less,
            },
            |scene, dir| {
                rewritten(dir, forge)?;
                scene.stage.start(dir, &scene.stage.plain)?.stop()
            },
        ),
        Attack {
            holds: "the disk and the key of an earlier epoch (an old backup)",
            ..attack(
                "killed recorder: forge a revocation behind the newest checkpoint, signed by an earlier key",
                Notice::Invalid {
                    claim: "epoch",
                    word: "epoch",
                    says: "the revocation",
                },
                |scene, dir| {
                    let thief = Thief::of(&scene.earlier)?;
                    rewritten(dir, |wal| {
                        let origin = thief.key.verifying_key().name();
                        let text = format!(
                            "tachograph/key-revoked/v1\n{origin}\nepoch 1\nsize 3\nreason it was lost\n"
                        );
                        let note = Note::sign(text, &[&thief.key])?.to_string();
                        let facts =
                            json!({"epoch": 1, "size": 3, "reason": "it was lost", "note": note});
                        let line = following(
                            wal.last_line()?,
                            wal.next_seq(),
                            &telling("key.revoked", &facts),
                        )?;
                        wal.push(&line, true);
                        Ok(())
                    })
                },
            )
        },
    ]
}

/// A call that was never made: what an agent asked for before, once more.
fn forge(wal: &mut Wal) -> Result<(), Failure> {
    let asked = wal.last_saying(r#""kind":"model.request""#)?;
    let asked = String::from_utf8_lossy(asked).into_owned();
    let (_, rest) = asked.split_once(r#""kind":"#).ok_or("no event's line")?;
    let line = following(
        wal.last_line()?,
        wal.next_seq(),
        &format!(r#""kind":{rest}"#),
    )?;
    wal.push(&line, false);
    Ok(())
}

fn first_unsigned(wal: &Wal) -> Result<usize, Failure> {
    let first = wal.unsigned().first().copied();
    first.ok_or_else(|| "nothing is unsigned".into())
}

fn rewritten(
    dir: &Path,
    change: impl FnOnce(&mut Wal) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut wal = Wal::read(dir)?;
    change(&mut wal)?;
    wal.write()
}
