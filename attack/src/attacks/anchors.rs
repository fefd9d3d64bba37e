//! On the files in which the outside vouches for the log, without a key.

use super::{Attack, Make};
use crate::Failure;
use crate::judge::{Notice, View};
use crate::scene::{Base, newest_with, sized};
use crate::token;
use std::path::{Path, PathBuf};
use testkit::authority::EC;

/// An event commits to the token, and this is another.
const ANOTHER_TOKEN: Notice = Notice::Invalid {
    claim: "time",
    word: "altered",
    says: "it is not the one that event",
};

pub(crate) fn attacks() -> Vec<Attack> {
    let attack = |name, notice, make: Make| Attack {
        name,
        holds: "the disk",
        fell: None,
        base: Base::Victim,
        noticed_by: View::Alone,
        notice,
        make,
    };
    vec![
        attack(
            "remove every anchor's file",
            Notice::Unverifiable {
                claim: "time",
                says: "/checkpoint, which event",
            },
            |_, dir| Ok(fs_err::remove_dir_all(dir.join("anchors"))?),
        ),
        attack(
            "remove one time stamp",
            Notice::Unverifiable {
                claim: "time",
                says: "/rsa.tsr, which event",
            },
            |_, dir| Ok(fs_err::remove_file(newest_stamp(dir)?)?),
        ),
        attack(
            "swap the time stamps of two heads",
            ANOTHER_TOKEN,
            |_, dir| {
                let mut all = sized(dir)?.into_iter().map(|(_, own)| own.join("rsa.tsr"));
                let first = all.find(|path| path.exists()).ok_or("no time stamp")?;
                let last = newest_stamp(dir)?;
                let (a, b) = (fs_err::read(&first)?, fs_err::read(&last)?);
                if a == b {
                    return Err("one time stamp only".into());
                }
                fs_err::write(first, b)?;
                fs_err::write(last, a)?;
                Ok(())
            },
        ),
        attack(
            "strip the witnesses' cosignatures",
            Notice::Unverifiable {
                claim: "witnesses",
                says: "the cosignature by",
            },
            |_, dir| {
                for (_, own) in sized(dir)? {
                    if own.join("cosigned").exists() {
                        fs_err::copy(own.join("checkpoint"), own.join("cosigned"))?;
                    }
                }
                Ok(())
            },
        ),
        attack(
            "downgrade: strip the post-quantum signature",
            Notice::Invalid {
                claim: "signature",
                word: "signature",
                says: "the signature of the log's ML-DSA-44 key is missing",
            },
            |_, dir| {
                let (_, newest) = newest_with(dir, "cosigned")?;
                let path = newest.join("checkpoint");
                let text = fs_err::read_to_string(&path)?;
                let (body, lines) = text.split_once("\n\n").ok_or("no note")?;
                let short: Vec<&str> = lines.lines().filter(|line| line.len() < 400).collect();
                fs_err::write(path, format!("{body}\n\n{}\n", short.join("\n")))?;
                Ok(())
            },
        ),
        Attack {
            holds: "the disk and an authority that nobody trusts",
            ..attack(
                "replace a time stamp by a fresh one of another authority",
                ANOTHER_TOKEN,
                |scene, dir| {
                    let path = newest_stamp(dir)?;
                    let head = path.with_file_name("checkpoint");
                    let token = token::fresh(&scene.rogue, EC, &fs_err::read(head)?)?;
                    Ok(fs_err::write(path, token)?)
                },
            )
        },
    ]
}

fn newest_stamp(dir: &Path) -> Result<PathBuf, Failure> {
    Ok(newest_with(dir, "rsa.tsr")?.1.join("rsa.tsr"))
}
