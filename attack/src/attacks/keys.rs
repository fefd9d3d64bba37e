//! With a key of the log, stolen or one's own.

use super::Attack;
use crate::Failure;
use crate::files;
use crate::forge::{Log, Thief, origin};
use crate::judge::{Notice, View};
use crate::scene::{Base, Scene, sized};
use std::path::Path;
use tlog::note::SigningKey;

const CURRENT: &str = "the disk and the key of the current epoch";
const NEW: &str = "the disk, and a new key of one's own";
const ALL: &str = "all keys of the operator";

/// A key signed what is not its epoch's, or did not take over from the one before.
const fn epoch(says: &'static str) -> Notice {
    Notice::Invalid {
        claim: "epoch",
        word: "epoch",
        says,
    }
}

/// The events are not those of a head that the auditor holds.
pub(crate) const ANOTHER_HISTORY: Notice = Notice::Invalid {
    claim: "content",
    word: "altered",
    says: "of the head that you hold: it is another history",
};

pub(crate) fn attacks() -> Vec<Attack> {
    let mut all = stolen();
    all.extend(own());
    all
}

fn stolen() -> Vec<Attack> {
    let attack = |name, fell, noticed_by, notice, make| Attack {
        name,
        holds: CURRENT,
        fell,
        base: Base::Victim,
        noticed_by,
        notice,
        make,
    };
    vec![
        attack(
            "rewrite an event of an earlier epoch, sign with the stolen key, remove the anchors",
            Some("every peer with a key: one key for ever"),
            View::Alone,
            epoch("are not those that the key of epoch 2 took over"),
            |_, dir| {
                let mut log = Log::read(dir)?;
                falsify(dir, &mut log, 0)?;
                log.write_signed(dir, &Thief::of(dir)?.key)
            },
        ),
        attack(
            "rewrite an event of the current epoch, sign with the stolen key, remove the anchors",
            Some("every peer measured"),
            View::Outside,
            ANOTHER_HISTORY,
            |_, dir| {
                let mut log = Log::read(dir)?;
                let epoch = log.last("key.epoch")?;
                falsify(dir, &mut log, epoch)?;
                log.write_signed(dir, &Thief::of(dir)?.key)
            },
        ),
        attack(
            "cut the tail within the epoch, sign with the stolen key, remove the anchors",
            Some("every peer measured"),
            View::Outside,
            Notice::Invalid {
                claim: "sequence",
                word: "removed",
                says: "its end was cut off",
            },
            |_, dir| {
                let mut log = Log::read(dir)?;
                let epoch = log.last("key.epoch")?;
                log.lines.truncate(usize::try_from(epoch)? + 2);
                forget_anchors(dir, &mut log, epoch)?;
                log.write_signed(dir, &Thief::of(dir)?.key)
            },
        ),
        attack(
            "take an event out of the current epoch, leave the numbers, sign with the stolen key, remove the anchors",
            None,
            View::Alone,
            Notice::Invalid {
                claim: "order",
                word: "order",
                says: "of the log",
            },
            |_, dir| {
                let mut log = Log::read(dir)?;
                let seq = log.last("model.response")?;
                forget_anchors(dir, &mut log, seq)?;
                log.lines.remove(usize::try_from(seq)?);
                log.write_signed(dir, &Thief::of(dir)?.key)
            },
        ),
        attack(
            "take an event out of the current epoch, mend the numbers but its stream's, sign with the stolen key, remove the anchors",
            None,
            View::Alone,
            Notice::Invalid {
                claim: "sequence",
                word: "order",
                says: "does not follow",
            },
            |_, dir| {
                let mut log = Log::read(dir)?;
                let seq = log.last("model.request")?;
                forget_anchors(dir, &mut log, seq)?;
                log.lines.remove(usize::try_from(seq)?);
                log.renumber_places();
                log.write_signed(dir, &Thief::of(dir)?.key)
            },
        ),
        Attack {
            holds: "the disk and the key of an earlier epoch (an old backup)",
            ..attack(
                "sign with an old epoch's key over newer events, remove the anchors",
                Some("journald sealing, CVE-2023-31439"),
                View::Alone,
                epoch("the key of epoch 2 signed"),
                |scene, dir| {
                    let mut log = Log::read(dir)?;
                    let epoch = log.last("key.epoch")?;
                    falsify(dir, &mut log, epoch)?;
                    log.write_signed(dir, &Thief::of(&scene.earlier)?.key)
                },
            )
        },
        attack(
            "put an old head, signed with the newest key, over the whole log",
            Some("journald sealing, CVE-2023-31439"),
            View::Alone,
            epoch("the key of epoch 3, which began at"),
            |_, dir| {
                let log = Log::read(dir)?;
                let size = log.last("key.epoch")? - 2;
                let key = Thief::of(dir)?.key;
                let note = log.head(size, key.verifying_key().name())?.sign(&key)?;
                fs_err::write(dir.join("log/checkpoint"), note.to_string())?;
                Ok(())
            },
        ),
        attack(
            "go back to the first epoch, sign with the newest key, remove the anchors",
            Some("journald sealing, CVE-2023-31439"),
            View::Alone,
            Notice::Invalid {
                claim: "signature",
                word: "signature",
                says: "log/checkpoint: no key of this log signed",
            },
            |_, dir| {
                let mut log = Log::read(dir)?;
                let epoch = log.find("key.epoch", 4)?;
                log.lines.truncate(usize::try_from(epoch)? - 2);
                forget_anchors(dir, &mut log, 0)?;
                log.write_signed(dir, &Thief::of(dir)?.key)
            },
        ),
    ]
}

fn own() -> Vec<Attack> {
    vec![
        Attack {
            name: "write the whole log anew under new keys, with the same software",
            holds: NEW,
            fell: Some("every peer without a pinned key"),
            base: Base::Victim,
            noticed_by: View::Pinned,
            notice: Notice::Unverifiable {
                claim: "signature",
                says: "a key of the log",
            },
            make: |scene, dir| files::put_in_place(&scene.stranger, dir),
        },
        Attack {
            name: "rewrite an event, sign the log with a new key in the place of the old",
            holds: NEW,
            fell: Some("swarrm, aileron, obsigno without a pinned key"),
            base: Base::Victim,
            noticed_by: View::Alone,
            notice: epoch("the hand-over: no signature by a known key"),
            make: |_, dir| {
                let key = SigningKey::from_seed(&origin(dir)?, &[7; 32])?;
                let mut log = Log::read(dir)?;
                falsify(dir, &mut log, 0)?;
                fs_err::write(dir.join("log/vkey"), format!("{}\n", key.verifying_key()))?;
                log.write_signed(dir, &key)
            },
        },
        Attack {
            name: "show one verifier another history, from before a rotation on (a fork)",
            holds: ALL,
            fell: Some("every peer measured"),
            base: Base::Victim,
            noticed_by: View::Outside,
            notice: Notice::Invalid {
                claim: "signature",
                word: "signature",
                says: "that you hold is not signed by this log's key",
            },
            make: |scene, dir| files::put_in_place(&scene.fork, dir),
        },
        Attack {
            name: "show one verifier another history, within an epoch (a fork)",
            holds: ALL,
            fell: Some("every peer measured"),
            base: Base::Victim,
            noticed_by: View::Outside,
            notice: ANOTHER_HISTORY,
            make: |scene: &Scene, dir| {
                files::put_in_place(&scene.recent_fork, dir)?;
                // A shorter one would be noticed by its length.
                match Log::read(dir)?.len() > Log::read(&scene.victim)?.len() {
                    true => Ok(()),
                    false => Err("the fork is not the longer history".into()),
                }
            },
        },
    ]
}

/// Changes what the first call at or behind a place says, and takes away what outsiders have of the log from there on.
pub(crate) fn falsify(dir: &Path, log: &mut Log, from: u64) -> Result<(), Failure> {
    let seq = log.find("model.response", from)?;
    log.edit(seq, r#""name":"support""#, r#""name":"suqport""#)?;
    forget_anchors(dir, log, seq)
}

/// Removes the heads that cover the event `changed`, with their anchors, and lets the events after it that tell of any
/// tell of something else: as many as before, so that nothing is noticed by a length.
pub(crate) fn forget_anchors(dir: &Path, log: &mut Log, changed: u64) -> Result<(), Failure> {
    for (size, path) in sized(dir)? {
        if size > changed {
            fs_err::remove_dir_all(path)?;
        }
    }
    let innocent = log.line(log.find("environment", 0)?)?.clone();
    for line in log.lines.iter_mut().skip(usize::try_from(changed)? + 1) {
        if String::from_utf8_lossy(line).contains(r#""kind":"anchor."#) {
            line.clone_from(&innocent);
        }
    }
    log.renumber();
    Ok(())
}
