//! With a key of the log, stolen or one's own.

use super::Attack;
use crate::Failure;
use crate::files;
use crate::forge::{Log, origin, stolen_key};
use crate::judge::View;
use crate::scene::Scene;
use std::path::Path;
use tlog::note::SigningKey;

const CURRENT: &str = "the disk and the key of the current epoch";
const NEW: &str = "the disk, and a new key of one's own";

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack {
            name: "rewrite an event of an earlier epoch, sign with the stolen key",
            holds: CURRENT,
            fell: Some("every peer with a key: one key for ever"),
            noticed_by: View::Alone,
            make: |_, dir| {
                let key = stolen_key(dir)?;
                let mut log = Log::read(dir)?;
                let seq = log.find("model.response", 0).ok_or("no call")?;
                log.edit(seq, r#""name":"support""#, r#""name":"suqport""#)?;
                log.write_signed(dir, &key)
            },
        },
        Attack {
            name: "rewrite an event of the current epoch, sign with the stolen key, remove the anchors",
            holds: CURRENT,
            fell: Some("every peer measured"),
            noticed_by: View::Outside,
            make: |_, dir| {
                let key = stolen_key(dir)?;
                let mut log = Log::read(dir)?;
                let epoch = last(&log, "key.epoch").ok_or("no epoch")?;
                let seq = log
                    .find("model.response", epoch)
                    .ok_or("no call in this epoch")?;
                log.edit(seq, r#""name":"support""#, r#""name":"suqport""#)?;
                without_anchors_after(dir, &mut log, seq)?;
                log.write_signed(dir, &key)
            },
        },
        Attack {
            name: "cut the tail within the epoch, sign with the stolen key, remove the anchors",
            holds: CURRENT,
            fell: Some("every peer measured"),
            noticed_by: View::Outside,
            make: |_, dir| {
                let key = stolen_key(dir)?;
                let mut log = Log::read(dir)?;
                let epoch = last(&log, "key.epoch").ok_or("no epoch")?;
                log.lines.truncate(usize::try_from(epoch)? + 2);
                without_anchors_after(dir, &mut log, epoch)?;
                log.write_signed(dir, &key)
            },
        },
        Attack {
            name: "sign with an old epoch's key over newer events",
            holds: "the disk and the key of an earlier epoch (an old backup)",
            fell: Some("journald sealing, CVE-2023-31439"),
            noticed_by: View::Alone,
            make: |scene, dir| {
                // The key of the second epoch, from the older copy.
                let key = stolen_key(&scene.earlier)?;
                let mut log = Log::read(dir)?;
                let epoch = last(&log, "key.epoch").ok_or("no epoch")?;
                let seq = log
                    .find("model.response", epoch)
                    .ok_or("no call in this epoch")?;
                log.edit(seq, r#""name":"support""#, r#""name":"suqport""#)?;
                log.write_signed(dir, &key)
            },
        },
        Attack {
            name: "sign an old state with the newest key",
            holds: CURRENT,
            fell: Some("journald sealing, CVE-2023-31439"),
            noticed_by: View::Alone,
            make: |_, dir| {
                let key = stolen_key(dir)?;
                let mut log = Log::read(dir)?;
                let epoch = log.find("key.epoch", 4).ok_or("no rotation")?;
                log.lines.truncate(usize::try_from(epoch)? - 2);
                without_anchors_after(dir, &mut log, 0)?;
                log.write_signed(dir, &key)
            },
        },
        Attack {
            name: "write the whole log anew under new keys, with the same software",
            holds: NEW,
            fell: Some("every peer without a pinned key"),
            noticed_by: View::Pinned,
            make: |scene, dir| {
                fs_err::remove_dir_all(dir)?;
                files::copy(&scene.stranger, dir)?;
                Ok(())
            },
        },
        Attack {
            name: "sign the log as it is with a new key",
            holds: NEW,
            fell: Some("swarrm, aileron, obsigno without a pinned key"),
            noticed_by: View::Alone,
            make: |_, dir| {
                let key = SigningKey::from_seed(&origin(dir)?, &[7; 32])?;
                let mut log = Log::read(dir)?;
                let seq = log.find("model.response", 0).ok_or("no call")?;
                log.edit(seq, r#""name":"support""#, r#""name":"suqport""#)?;
                fs_err::write(dir.join("log/vkey"), format!("{}\n", key.verifying_key()))?;
                log.write_signed(dir, &key)
            },
        },
        Attack {
            name: "show one verifier another history (a fork)",
            holds: "all keys of the operator",
            fell: Some("every peer measured"),
            noticed_by: View::Outside,
            make: |scene: &Scene, dir| {
                fs_err::remove_dir_all(dir)?;
                files::copy(&scene.fork, dir)?;
                Ok(())
            },
        },
    ]
}

fn last(log: &Log, kind: &str) -> Option<u64> {
    let wanted = format!(r#""kind":"{kind}""#);
    (0..log.len()).rev().find(|seq| log.says(*seq, &wanted))
}

/// Removes the anchors of heads beyond `size`, and the events that tell of any after it; what is left is numbered anew.
fn without_anchors_after(dir: &Path, log: &mut Log, size: u64) -> Result<(), Failure> {
    for path in super::storage::sized(dir)? {
        let of: u64 = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or("no name")?
            .parse()?;
        if of > size {
            fs_err::remove_dir_all(path)?;
        }
    }
    let mut seq = 0;
    log.lines.retain(|line| {
        seq += 1;
        seq <= size || !String::from_utf8_lossy(line).contains(r#""kind":"anchor."#)
    });
    log.renumber();
    Ok(())
}
