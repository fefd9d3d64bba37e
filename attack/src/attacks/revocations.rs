//! On what the log says of keys that count no longer: taken out, and made up.

use super::keys::{ANOTHER_HISTORY, falsify, forget_anchors};
use super::{Attack, Make};
use crate::Failure;
use crate::files;
use crate::forge::{Log, Thief};
use crate::judge::{Notice, View};
use crate::process::arg;
use crate::scene::{Base, Scene};
use std::path::Path;

pub(crate) fn attacks() -> Vec<Attack> {
    let attack = |name, noticed_by, notice, make: Make| Attack {
        name,
        holds: "the disk and the key of the current epoch",
        fell: None,
        base: Base::Revoked,
        noticed_by,
        notice,
        make,
    };
    vec![
        Attack {
            holds: "the disk",
            ..attack(
                "take the event of a revocation out",
                View::Alone,
                Notice::Invalid {
                    claim: "content",
                    word: "altered",
                    says: "that was published",
                },
                |_, dir| {
                    let mut log = Log::read(dir)?;
                    let at = usize::try_from(log.last("key.revoked")?)?;
                    log.lines.remove(at);
                    log.renumber();
                    log.write(dir)
                },
            )
        },
        attack(
            "take the event of a revocation out, sign with the stolen key, remove the anchors",
            View::Outside,
            ANOTHER_HISTORY,
            |_, dir| {
                let mut log = Log::read(dir)?;
                let at = log.last("key.revoked")?;
                let innocent = log.line(log.find("environment", 0)?)?.clone();
                let line = log.lines.get_mut(usize::try_from(at)?);
                *line.ok_or("no such event")? = innocent;
                forget_anchors(dir, &mut log, at)?;
                log.write_signed(dir, &Thief::of(dir)?.key)
            },
        ),
        Attack {
            base: Base::Victim,
            ..attack(
                "rewrite an event of the current epoch, and revoke the key of the head that the auditor holds",
                View::Outside,
                Notice::Unverifiable {
                    claim: "witnesses",
                    says: "its key was revoked for it",
                },
                |scene, dir| rewrite_and_revoke(scene, dir, 3),
            )
        },
        Attack {
            base: Base::Victim,
            holds: "the disk and the key of an earlier epoch (an old backup)",
            ..attack(
                "rewrite an event of an old copy, and revoke the key of the head that the auditor holds and witnesses cosigned",
                View::Outside,
                ANOTHER_HISTORY,
                |scene, dir| {
                    files::put_in_place(&scene.earlier, dir)?;
                    rewrite_and_revoke(scene, dir, 2)
                },
            )
        },
    ]
}

/// Rewrites an event under the key in force, that of `epoch`, and has the recorder itself revoke that key from there on.
fn rewrite_and_revoke(scene: &Scene, dir: &Path, epoch: u64) -> Result<(), Failure> {
    let mut log = Log::read(dir)?;
    let began = log.last("key.epoch")?;
    let changed = log.find("model.response", began)?;
    falsify(dir, &mut log, began)?;
    log.write_signed(dir, &Thief::of(dir)?.key)?;
    let recording = scene.stage.start(dir, &scene.stage.plain)?;
    recording.revoke(epoch, Some(changed))?;
    recording.stop()?;
    let from = format!("no hand-over behind {}", arg(dir));
    let log = Log::read(dir)?;
    log.find("key.revoked", changed)
        .map(drop)
        .map_err(|_| from.into())
}
