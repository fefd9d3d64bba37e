//! With write access to the disk and no key.

use super::Attack;
use crate::Failure;
use crate::files;
use crate::forge::{self, Log};
use crate::judge::View;
use crate::scene::newest_anchor;
use std::path::{Path, PathBuf};

const HOLDS: &str = "the disk";

pub(crate) fn attacks() -> Vec<Attack> {
    let attack = |name, fell, make| Attack {
        name,
        holds: HOLDS,
        fell,
        noticed_by: View::Alone,
        make,
    };
    vec![
        attack("edit the content of an event", None, |_, dir| {
            rewritten(dir, |log| {
                let seq = log.find("model.response", 0).ok_or("no call")?;
                log.edit(seq, r#""name":"support""#, r#""name":"suqport""#)
            })
        }),
        attack(
            "edit the time of an event",
            Some("bijotel, handcuff: time columns outside the hash"),
            |_, dir| {
                rewritten(dir, |log| {
                    let seq = log.find("model.request", 0).ok_or("no call")?;
                    log.edit(seq, r#""time":"20"#, r#""time":"19"#)
                })
            },
        ),
        attack("edit the kind of an event", Some("handcuff"), |_, dir| {
            rewritten(dir, |log| {
                let seq = log.find("model.request", 0).ok_or("no call")?;
                log.edit(seq, "model.request", "model.reqvest")
            })
        }),
        attack("delete an event in the middle", None, |_, dir| {
            rewritten(dir, |log| {
                let at = usize::try_from(log.len() / 2)?;
                log.lines.remove(at);
                log.renumber();
                Ok(())
            })
        }),
        attack("duplicate an event", None, |_, dir| {
            rewritten(dir, |log| {
                let at = usize::try_from(log.len() / 2)?;
                let line = log.lines.get(at).cloned().ok_or("no event")?;
                log.lines.insert(at, line);
                log.renumber();
                Ok(())
            })
        }),
        attack("insert a forged event", None, |_, dir| {
            rewritten(dir, |log| {
                let seq = log.find("model.response", 0).ok_or("no call")?;
                let line = log.line(seq).cloned().ok_or("no event")?;
                log.lines.insert(usize::try_from(seq)? + 1, line);
                log.renumber();
                log.edit(seq + 1, "completed", "complefed")
            })
        }),
        attack("swap two events", None, |_, dir| {
            rewritten(dir, |log| {
                let at = usize::try_from(log.len() / 2)?;
                log.lines.swap(at, at + 1);
                log.renumber();
                Ok(())
            })
        }),
        attack("splice in the end of another log", None, |scene, dir| {
            let other = Log::read(&scene.stranger)?;
            rewritten(dir, |log| {
                let keep = usize::try_from(log.len() / 2)?;
                log.lines.truncate(keep);
                log.lines.extend(other.lines.into_iter().skip(keep));
                log.renumber();
                Ok(())
            })
        }),
        attack(
            "cut the last tenth, position mended",
            Some("noirebox, halo-record, bijotel, wakeprint, attestroot"),
            |_, dir| {
                rewritten(dir, |log| {
                    let keep = usize::try_from(log.len() * 9 / 10)?;
                    log.lines.truncate(keep);
                    Ok(())
                })
            },
        ),
        attack(
            "tear the last line",
            Some("peers that skip what does not parse"),
            |_, dir| {
                rewritten(dir, |log| {
                    let last = log.lines.last_mut().ok_or("no event")?;
                    last.truncate(last.len() / 2);
                    Ok(())
                })
            },
        ),
        attack(
            "mend the head: root and size of the checkpoint rewritten",
            Some("vaara: head in the same file"),
            |_, dir| {
                let mut log = Log::read(dir)?;
                let keep = usize::try_from(log.len() * 9 / 10)?;
                log.lines.truncate(keep);
                log.write(dir)?;
                let path = dir.join("log/checkpoint");
                let text = fs_err::read_to_string(&path)?;
                let signatures = text.split_once("\n\n").map_or("", |(_, lines)| lines);
                let root = log.tree(log.len()).root();
                let origin = forge::origin(dir)?;
                fs_err::write(
                    path,
                    format!("{origin}\n{}\n{root}\n\n{signatures}", log.len()),
                )?;
                Ok(())
            },
        ),
        attack(
            "strip the checkpoint's signature",
            Some("preloop: signature set to NULL counts as verified"),
            |_, dir| {
                let path = dir.join("log/checkpoint");
                let text = fs_err::read_to_string(&path)?;
                let body = text.split_once("\n\n").map_or("", |(body, _)| body);
                fs_err::write(path, format!("{body}\n\n"))?;
                Ok(())
            },
        ),
        attack(
            "remove the checkpoint",
            Some("preloop, aileron: no head, nothing to check"),
            |_, dir| {
                fs_err::remove_file(dir.join("log/checkpoint"))?;
                Ok(())
            },
        ),
        attack(
            "remove the verifier key",
            Some("noirebox: makes a new key"),
            |_, dir| {
                fs_err::remove_file(dir.join("log/vkey"))?;
                Ok(())
            },
        ),
        attack(
            "replay an old checkpoint over the whole log",
            None,
            |_, dir| {
                let first = oldest_anchor(dir)?;
                fs_err::copy(first.join("checkpoint"), dir.join("log/checkpoint"))?;
                Ok(())
            },
        ),
        attack(
            "claim that the beginning was purged",
            Some("preloop: a false `pruned_below_seq`"),
            |_, dir| {
                let entries = dir.join("log/tile/entries");
                let first = files::list(&entries)?
                    .into_iter()
                    .next()
                    .ok_or("no bundle")?;
                fs_err::remove_file(entries.join(first))?;
                edit_state(dir, |state| {
                    state.insert("pruned_below".into(), 256.into());
                })
            },
        ),
        attack("edit the position file", None, |_, dir| {
            edit_state(dir, |state| {
                let size = state
                    .get("size")
                    .and_then(serde_json::Value::as_u64)
                    .unwrap_or(0);
                state.insert("size".into(), (size - 3).into());
            })
        }),
        attack(
            "swap two blocks of bodies",
            Some("attestroot: payload edited before the seal"),
            |_, dir| swap_blocks(&dir.join("vault/0000000001.vol")),
        ),
        attack("put in another recorder's bodies", None, |scene, dir| {
            fs_err::copy(
                scene.stranger.join("vault/0000000001.vol"),
                dir.join("vault/0000000001.vol"),
            )?;
            Ok(())
        }),
        attack("remove the bodies", None, |_, dir| {
            fs_err::remove_file(dir.join("vault/0000000001.vol"))?;
            Ok(())
        }),
        Attack {
            noticed_by: View::Outside,
            ..attack(
                "roll the whole directory back to an older copy",
                Some("every peer measured"),
                |scene, dir| {
                    fs_err::remove_dir_all(dir)?;
                    files::copy(&scene.earlier, dir)?;
                    Ok(())
                },
            )
        },
        Attack {
            noticed_by: View::Outside,
            ..attack(
                "cut back to an anchored head, anchors after it removed",
                Some("every peer measured"),
                |_, dir| {
                    let newest = newest_anchor(dir)?.ok_or("no anchor")?;
                    let mut anchors: Vec<PathBuf> = sized(dir)?;
                    anchors.retain(|path| path < &newest);
                    let target = anchors.pop().ok_or("only one anchor")?;
                    let size: usize = target
                        .file_name()
                        .and_then(|name| name.to_str())
                        .ok_or("no name")?
                        .parse()?;
                    for path in sized(dir)?.into_iter().filter(|path| *path > target) {
                        fs_err::remove_dir_all(path)?;
                    }
                    let mut log = Log::read(dir)?;
                    log.lines.truncate(size);
                    log.write(dir)?;
                    fs_err::copy(target.join("checkpoint"), dir.join("log/checkpoint"))?;
                    Ok(())
                },
            )
        },
    ]
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

fn edit_state(
    dir: &Path,
    change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>),
) -> Result<(), Failure> {
    let path = dir.join("state");
    let text = fs_err::read_to_string(&path)?;
    let mut state: serde_json::Value =
        serde_json::from_str(text.lines().next().unwrap_or_default())?;
    change(state.as_object_mut().ok_or("the state is no object")?);
    forge::write_state(&path, &state)
}

/// The directories of anchored heads, oldest first.
pub(crate) fn sized(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(dir.join("anchors"))? {
        let path = entry?.path();
        if path.join("checkpoint").exists() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn oldest_anchor(dir: &Path) -> Result<PathBuf, Failure> {
    let all = sized(dir)?;
    all.into_iter().next().ok_or_else(|| "no anchor".into())
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
