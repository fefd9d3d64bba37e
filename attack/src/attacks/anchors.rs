//! On what vouches for the log from outside.

use super::Attack;
use super::storage::sized;
use crate::Failure;
use crate::judge::View;
use crate::scene::{Scene, newest_anchor};
use aws_lc_rs::digest::{SHA256, digest};
use std::path::{Path, PathBuf};
use testkit::authority::{EC, INTERMEDIATE, ROOT, RSA, Style};

pub(crate) fn attacks() -> Vec<Attack> {
    let attack = |name, noticed_by, make| Attack {
        name,
        holds: "the disk",
        fell: None,
        noticed_by,
        make,
    };
    vec![
        attack("remove every anchor's file", View::Alone, |_, dir| {
            fs_err::remove_dir_all(dir.join("anchors"))?;
            Ok(())
        }),
        attack("remove one time stamp", View::Alone, |_, dir| {
            fs_err::remove_file(stamp(dir, "rsa")?)?;
            Ok(())
        }),
        attack(
            "swap the time stamps of two heads",
            View::Alone,
            |_, dir| {
                let all = stamps(dir, "rsa")?;
                let (Some(first), Some(last)) = (all.first(), all.last()) else {
                    return Err("one time stamp only".into());
                };
                let (a, b) = (fs_err::read(first)?, fs_err::read(last)?);
                fs_err::write(first, b)?;
                fs_err::write(last, a)?;
                Ok(())
            },
        ),
        attack(
            "strip the witnesses' cosignatures",
            View::Outside,
            |_, dir| {
                for path in sized(dir)? {
                    if path.join("cosigned").exists() {
                        fs_err::copy(path.join("checkpoint"), path.join("cosigned"))?;
                    }
                }
                Ok(())
            },
        ),
        attack(
            "downgrade: strip the post-quantum signature",
            View::Alone,
            |_, dir| {
                let newest = newest_anchor(dir)?.ok_or("no anchor")?;
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
            fell: Some("wakeprint: a rewritten log under a fresh time stamp is \"valid\""),
            ..attack(
                "replace a time stamp by a fresh one of another authority",
                View::Alone,
                |scene, dir| forged(scene, dir, EC, Style::Plain),
            )
        },
        Attack {
            holds: "the disk and an authority that nobody trusts",
            fell: Some("rfc3161-client before 1.0.6, timestamp-authority (GHSA-xm5m-wgh2-rrg3)"),
            ..attack(
                "replace a time stamp by one with the trusted certificates injected",
                View::Alone,
                |scene, dir| {
                    // The rogue's certificates have the trusted names already; now the trusted ones lie beside them.
                    let bag = scene.rogue.dir().join(format!("{INTERMEDIATE}.pem"));
                    let own = scene.rogue.pem(INTERMEDIATE)?;
                    let trusted: Result<String, _> = [RSA, INTERMEDIATE, ROOT]
                        .iter()
                        .map(|name| scene.authority.pem(name))
                        .collect();
                    fs_err::write(&bag, format!("{}{own}", trusted?))?;
                    let forged = forged(scene, dir, RSA, Style::Plain);
                    fs_err::write(&bag, own)?;
                    forged
                },
            )
        },
        Attack {
            holds: "the disk and an authority that nobody trusts",
            fell: Some("wakeprint"),
            ..attack(
                "a false time stamp, and the event that tells of it altered to fit",
                View::Alone,
                |scene, dir| {
                    let path = stamp(dir, "rsa")?;
                    let before = hex::encode(digest(&SHA256, &fs_err::read(&path)?));
                    forged(scene, dir, EC, Style::Plain)?;
                    let after = hex::encode(digest(&SHA256, &fs_err::read(&path)?));
                    let mut log = crate::forge::Log::read(dir)?;
                    let seq = (0..log.len())
                        .find(|seq| log.says(*seq, &before))
                        .ok_or("no event tells of the token")?;
                    log.edit(seq, &before, &after)?;
                    log.write(dir)
                },
            )
        },
    ]
}

/// The newest time stamp of an authority.
fn stamp(dir: &Path, name: &str) -> Result<PathBuf, Failure> {
    stamps(dir, name)?
        .pop()
        .ok_or_else(|| "no time stamp".into())
}

fn stamps(dir: &Path, name: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found: Vec<PathBuf> = sized(dir)?
        .iter()
        .map(|path| path.join(format!("{name}.tsr")))
        .collect();
    found.retain(|path| path.exists());
    Ok(found)
}

/// Lets the rogue authority stamp the head that the newest time stamp is of.
fn forged(scene: &Scene, dir: &Path, signer: &str, style: Style) -> Result<(), Failure> {
    let path = stamp(dir, "rsa")?;
    let checkpoint = path.with_file_name("checkpoint");
    let query = scene.dir.path().join("forged.tsq");
    let (data, out) = (
        crate::process::arg(&checkpoint),
        crate::process::arg(&query),
    );
    scene.rogue.openssl(&[
        "ts", "-query", "-data", &data, "-sha256", "-cert", "-out", &out,
    ])?;
    let reply = scene.rogue.reply(signer, style, &fs_err::read(&query)?)?;
    fs_err::write(path, reply)?;
    Ok(())
}
