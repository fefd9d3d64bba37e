//! With write access to the disk and no key.

use super::keys::falsify;
use super::{Attack, Make};
use crate::Failure;
use crate::files;
use crate::forge::{self, Log};
use crate::judge::{Notice, View};
use crate::scene::{Base, newest_with, sized};
use std::path::Path;

const HOLDS: &str = "the disk";

/// Events of another log that are spliced in: enough for some calls, too few for faults of their bodies to be all that is
/// listed.
const SPLICED: usize = 20;

/// The events are not those of a head that lies in the store.
const PUBLISHED: Notice = Notice::Invalid {
    claim: "content",
    word: "altered",
    says: "that was published",
};

/// The log is shorter than its checkpoint says.
const SHORTER_THAN_SIGNED: Notice = Notice::Invalid {
    claim: "sequence",
    word: "removed",
    says: "the checkpoint signs",
};

/// The log is shorter than the newest head that the auditor holds.
const SHORTER_THAN_HELD: Notice = Notice::Invalid {
    claim: "sequence",
    word: "removed",
    says: "you hold a head of",
};

/// No signature that counts.
const fn signature(says: &'static str) -> Notice {
    Notice::Invalid {
        claim: "signature",
        word: "signature",
        says,
    }
}

/// Attacks that the store by itself shows.
fn attack(name: &'static str, fell: Option<&'static str>, notice: Notice, make: Make) -> Attack {
    Attack {
        name,
        holds: HOLDS,
        fell,
        base: Base::Victim,
        noticed_by: View::Alone,
        notice,
        make,
    }
}

pub(crate) fn attacks() -> Vec<Attack> {
    let mut all = on_events();
    all.extend(on_ends());
    all.extend(on_signatures());
    all.extend(on_bodies());
    all.extend(on_wholes());
    all
}

fn on_events() -> Vec<Attack> {
    vec![
        attack("edit the content of an event", None, PUBLISHED, |_, dir| {
            rewritten(dir, |log| {
                let seq = log.find("model.response", 0)?;
                log.edit(seq, r#""name":"support""#, r#""name":"suqport""#)
            })
        }),
        attack(
            "edit the content of an event, remove the published heads and what tells of them",
            None,
            Notice::Invalid {
                claim: "content",
                word: "altered",
                says: "that the checkpoint signs",
            },
            |_, dir| {
                rewritten(dir, |log| {
                    let seq = log.last("model.response")?;
                    falsify(dir, log, seq)
                })
            },
        ),
        attack(
            "edit the time of an event",
            Some("bijotel, handcuff: time columns outside the hash"),
            PUBLISHED,
            |_, dir| {
                rewritten(dir, |log| {
                    let seq = log.find("model.request", 0)?;
                    log.edit(seq, r#""time":"20"#, r#""time":"19"#)
                })
            },
        ),
        attack(
            "edit the kind of an event",
            Some("handcuff"),
            PUBLISHED,
            |_, dir| {
                rewritten(dir, |log| {
                    let seq = log.find("model.request", 0)?;
                    log.edit(seq, "model.request", "model.reqvest")
                })
            },
        ),
        attack(
            "delete an event in the middle",
            None,
            PUBLISHED,
            |_, dir| {
                rewritten(dir, |log| {
                    let at = usize::try_from(middle(log)?)?;
                    log.lines.remove(at);
                    log.renumber();
                    Ok(())
                })
            },
        ),
        attack("duplicate an event", None, PUBLISHED, |_, dir| {
            rewritten(dir, |log| {
                let at = middle(log)?;
                let line = log.line(at)?.clone();
                log.lines.insert(usize::try_from(at)?, line);
                log.renumber();
                Ok(())
            })
        }),
        attack("insert a forged event", None, PUBLISHED, |_, dir| {
            rewritten(dir, |log| {
                let seq = log.find("model.response", 0)?;
                let line = log.line(seq)?.clone();
                log.lines.insert(usize::try_from(seq)? + 1, line);
                log.renumber();
                log.edit(seq + 1, "completed", "complefed")
            })
        }),
        attack("swap two events", None, PUBLISHED, |_, dir| {
            rewritten(dir, |log| {
                let at = usize::try_from(middle(log)?)?;
                log.lines.swap(at, at + 1);
                log.renumber();
                Ok(())
            })
        }),
        attack(
            "splice in the end of another log",
            None,
            PUBLISHED,
            |scene, dir| {
                let other = Log::read(&scene.stranger)?.lines;
                rewritten(dir, |log| {
                    // As many as are taken out, so that the length gives nothing away.
                    let keep = log.lines.len().saturating_sub(SPLICED);
                    log.lines.truncate(keep);
                    let end = other.len().checked_sub(SPLICED);
                    let end = end.and_then(|from| other.get(from..));
                    log.lines
                        .extend_from_slice(end.ok_or("the other log is too short")?);
                    log.renumber();
                    Ok(())
                })
            },
        ),
    ]
}

fn on_ends() -> Vec<Attack> {
    vec![
        attack(
            "cut the last tenth, position mended",
            Some("noirebox, halo-record, bijotel, wakeprint, attestroot"),
            SHORTER_THAN_SIGNED,
            |_, dir| rewritten(dir, cut_last_tenth),
        ),
        attack(
            "tear the last line",
            Some("peers that skip what does not parse"),
            Notice::Invalid {
                claim: "content",
                word: "format",
                says: "not an event line",
            },
            |_, dir| {
                rewritten(dir, |log| {
                    let last = log.lines.last_mut().ok_or("no event")?;
                    last.truncate(last.len() / 2);
                    Ok(())
                })
            },
        ),
        attack(
            "claim that the beginning was purged",
            Some("preloop: a false `pruned_below_seq`"),
            Notice::Invalid {
                claim: "content",
                word: "removed",
                says: "is missing",
            },
            |_, dir| {
                let entries = dir.join("log/tile/entries");
                let all = files::list(&entries)?;
                let first = all.first().ok_or("no bundle")?;
                fs_err::remove_file(entries.join(first))?;
                forge::edit_state(dir, |state| {
                    state.insert("pruned_below".into(), 256.into());
                })
            },
        ),
        attack(
            "edit the position file",
            None,
            SHORTER_THAN_SIGNED,
            |_, dir| {
                let size = Log::read(dir)?.len();
                forge::edit_state(dir, |state| {
                    state.insert("size".into(), (size - 3).into());
                })
            },
        ),
    ]
}

fn on_signatures() -> Vec<Attack> {
    vec![
        attack(
            "mend the head: root and size of the checkpoint rewritten, heads beyond it removed",
            Some("vaara: head in the same file"),
            signature("log/checkpoint: signature"),
            |_, dir| {
                let mut log = Log::read(dir)?;
                cut_last_tenth(&mut log)?;
                log.write(dir)?;
                let size = log.len();
                for (_, path) in sized(dir)?.into_iter().filter(|(of, _)| *of > size) {
                    fs_err::remove_dir_all(path)?;
                }
                let path = dir.join("log/checkpoint");
                let text = fs_err::read_to_string(&path)?;
                let (_, signatures) = text.split_once("\n\n").ok_or("no note")?;
                let head = log.head(size, &forge::origin(dir)?)?;
                fs_err::write(path, format!("{head}\n{signatures}"))?;
                Ok(())
            },
        ),
        attack(
            "strip the checkpoint's signature",
            Some("preloop: signature set to NULL counts as verified"),
            signature("does not end in a signature line"),
            |_, dir| {
                let path = dir.join("log/checkpoint");
                let text = fs_err::read_to_string(&path)?;
                let (body, _) = text.split_once("\n\n").ok_or("no note")?;
                fs_err::write(path, format!("{body}\n\n"))?;
                Ok(())
            },
        ),
        attack(
            "remove the checkpoint",
            Some("preloop, aileron: no head, nothing to check"),
            Notice::Unverifiable {
                claim: "signature",
                says: "a signed checkpoint",
            },
            |_, dir| Ok(fs_err::remove_file(dir.join("log/checkpoint"))?),
        ),
        attack(
            "remove the verifier key",
            Some("noirebox: makes a new key"),
            Notice::Refused { says: "log/vkey" },
            |_, dir| Ok(fs_err::remove_file(dir.join("log/vkey"))?),
        ),
        attack(
            "replay an old checkpoint over the whole log",
            None,
            signature("an earlier checkpoint was put in its place"),
            |_, dir| {
                let all = sized(dir)?;
                let (_, first) = all.first().ok_or("no anchor")?;
                fs_err::copy(first.join("checkpoint"), dir.join("log/checkpoint"))?;
                Ok(())
            },
        ),
    ]
}

fn on_bodies() -> Vec<Attack> {
    const VOLUME: &str = "vault/0000000001.vol";
    vec![
        attack(
            "swap two blocks of bodies",
            Some("attestroot: payload edited before the seal"),
            Notice::Invalid {
                claim: "bodies",
                word: "altered",
                says: "does not open with its volume's key",
            },
            |_, dir| swap_blocks(&dir.join(VOLUME)),
        ),
        attack(
            "put in another recorder's bodies, position mended",
            None,
            Notice::Invalid {
                claim: "bodies",
                word: "altered",
                says: "does not open with its volume's key",
            },
            |scene, dir| {
                let len = fs_err::copy(scene.stranger.join(VOLUME), dir.join(VOLUME))?;
                forge::edit_state(dir, |state| {
                    state.insert("volume_len".into(), len.into());
                })
            },
        ),
        attack(
            "remove the bodies",
            None,
            Notice::Unverifiable {
                claim: "bodies",
                says: VOLUME,
            },
            |_, dir| Ok(fs_err::remove_file(dir.join(VOLUME))?),
        ),
        attack(
            "downgrade: let the directory say that it is of the format before",
            None,
            Notice::Unchanged,
            |_, dir| Ok(fs_err::write(dir.join("format"), "tachograph 1\n")?),
        ),
    ]
}

fn on_wholes() -> Vec<Attack> {
    let outside = |name, notice, make| Attack {
        noticed_by: View::Outside,
        ..attack(name, Some("every peer measured"), notice, make)
    };
    vec![
        outside(
            "roll the whole directory back to a copy from before a rotation",
            signature("that you hold is not signed by this log's key"),
            |scene, dir| files::put_in_place(&scene.earlier, dir),
        ),
        outside(
            "roll the whole directory back to a copy from the same epoch",
            SHORTER_THAN_HELD,
            |scene, dir| files::put_in_place(&scene.recent, dir),
        ),
        outside(
            "cut back to an anchored head, anchors after it removed",
            SHORTER_THAN_HELD,
            |_, dir| {
                let (newest, _) = newest_with(dir, "cosigned")?;
                let (before, after): (Vec<_>, Vec<_>) = sized(dir)?
                    .into_iter()
                    .partition(|(size, _)| *size < newest);
                let (size, target) = before.last().ok_or("only one anchor")?;
                for (_, path) in after {
                    fs_err::remove_dir_all(path)?;
                }
                let mut log = Log::read(dir)?;
                log.lines.truncate(usize::try_from(*size)?);
                log.write(dir)?;
                fs_err::copy(target.join("checkpoint"), dir.join("log/checkpoint"))?;
                Ok(())
            },
        ),
    ]
}

/// An event in the midst of the second epoch: of a later head of the same epoch the change shows.
fn middle(log: &Log) -> Result<u64, Failure> {
    log.find("model.response", log.find("key.epoch", 4)?)
}

fn cut_last_tenth(log: &mut Log) -> Result<(), Failure> {
    let keep = usize::try_from(log.len() * 9 / 10)?;
    log.lines.truncate(keep);
    Ok(())
}

/// Changes the events and writes everything that is made of them, but for the signature.
fn rewritten(
    dir: &Path,
    change: impl FnOnce(&mut Log) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut log = Log::read(dir)?;
    change(&mut log)?;
    log.write(dir)
}

/// Exchanges the first two blocks of the same kind, headers, checksums and all.
fn swap_blocks(volume: &Path) -> Result<(), Failure> {
    const HEADER: usize = 40;
    let bytes = fs_err::read(volume)?;
    let mut blocks = Vec::new();
    let mut at = 16;
    while let Some(header) = bytes.get(at..at + HEADER) {
        let field = |from: usize| {
            header
                .get(from..from + 4)?
                .try_into()
                .ok()
                .map(u32::from_le_bytes)
        };
        let end = at + HEADER + field(32).ok_or("no length")? as usize;
        blocks.push((header.get(4).copied(), at..end));
        at = end;
    }
    let first = blocks.first().cloned().ok_or("no block")?;
    let second = blocks
        .iter()
        .skip(1)
        .find(|(kind, _)| *kind == first.0)
        .cloned()
        .ok_or("one block of its kind only")?;
    let piece = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
    let changed = [
        piece(0..first.1.start),
        piece(second.1.clone()),
        piece(first.1.end..second.1.start),
        piece(first.1),
        piece(second.1.end..bytes.len()),
    ]
    .concat();
    fs_err::write(volume, changed)?;
    Ok(())
}
