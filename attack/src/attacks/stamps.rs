//! On time stamps, with a key of the log: the events that tell of them are made to fit, so that only the stamp itself
//! can give it away.

use super::keys::{ANOTHER_HISTORY, falsify, forget_anchors};
use super::{Attack, Make};
use crate::forge::{Log, Thief};
use crate::judge::{Notice, View};
use crate::scene::{Base, Scene, newest_with, sized};
use crate::{Failure, files, token};
use aws_lc_rs::digest::{SHA256, digest};
use std::path::Path;
use testkit::authority::{Authority, EC, INTERMEDIATE, Issue, MAY_ISSUE, ROOT, RSA};

/// An authority's certificates that nobody has heard of.
const ELSEWHERE: &str = "elsewhere";
const ELSEWHERE_TSA: &str = "elsewhere-tsa";

/// The stamp itself is false.
const fn false_stamp(says: &'static str) -> Notice {
    Notice::Invalid {
        claim: "time",
        word: "altered",
        says,
    }
}

/// The stamp holds in itself, and under none of the roots given, whatever its authority is called.
const UNDER_NO_ROOT: Notice = Notice::Unverifiable {
    claim: "time",
    says: "a time-stamp that verifies under the roots given",
};

pub(crate) fn attacks() -> Vec<Attack> {
    let rogue = |name, fell, notice, make: Make| Attack {
        name,
        holds: "all keys of the operator, and an authority that nobody trusts",
        fell,
        base: Base::Victim,
        noticed_by: View::Rooted,
        notice,
        make,
    };
    let stolen = |name, notice, make: Make| Attack {
        name,
        holds: "the disk and the key of the current epoch",
        fell: None,
        base: Base::Victim,
        noticed_by: View::Alone,
        notice,
        make,
    };
    vec![
        rogue(
            "another history from the beginning, stamped by an authority that nobody knows",
            Some("wakeprint: a rewritten log under a fresh time stamp is \"valid\""),
            UNDER_NO_ROOT,
            |scene, dir| {
                scene.rogue.issue(&Issue {
                    issuer: ELSEWHERE,
                    extensions: MAY_ISSUE,
                    ..Issue::authority(ELSEWHERE)
                })?;
                scene.rogue.issue(&Issue {
                    issuer: ELSEWHERE,
                    ..Issue::authority(ELSEWHERE_TSA)
                })?;
                from_the_beginning(scene, dir, ELSEWHERE_TSA)
            },
        ),
        rogue(
            "another history from the beginning, stamped by an authority with the trusted one's names",
            None,
            UNDER_NO_ROOT,
            |scene, dir| from_the_beginning(scene, dir, EC),
        ),
        rogue(
            "another history from the beginning, stamped with the trusted certificates injected",
            Some("rfc3161-client before 1.0.6, timestamp-authority (GHSA-xm5m-wgh2-rrg3)"),
            UNDER_NO_ROOT,
            |scene, dir| {
                // The rogue's certificates have the trusted names already; now the trusted ones lie beside them.
                let bag = scene.rogue.dir().join(format!("{INTERMEDIATE}.pem"));
                let own = scene.rogue.pem(INTERMEDIATE)?;
                let trusted: Result<String, _> = [RSA, INTERMEDIATE, ROOT]
                    .iter()
                    .map(|name| scene.stage.authority.pem(name))
                    .collect();
                fs_err::write(&bag, format!("{}{own}", trusted?))?;
                let done = from_the_beginning(scene, dir, RSA);
                fs_err::write(&bag, own)?;
                done
            },
        ),
        Attack {
            fell: Some("wakeprint"),
            base: Base::Victim,
            noticed_by: View::Outside,
            ..stolen(
                "rewrite an event of the current epoch, have the new head stamped by the trusted authority",
                ANOTHER_HISTORY,
                |scene, dir| {
                    let mut log = Log::read(dir)?;
                    let epoch = log.last("key.epoch")?;
                    falsify(dir, &mut log, epoch)?;
                    stamped(dir, &log, &scene.stage.authority, RSA)
                },
            )
        },
        stolen(
            "a true time stamp a year back, the event that tells of it, digest and signature made to fit",
            false_stamp("does not verify"),
            |scene, dir| {
                let (_, own) = newest_with(dir, "rsa.tsr")?;
                let before = fs_err::read(own.join("rsa.tsr"))?;
                let after = token::backdated(&before, &scene.rogue.pkcs8(RSA)?)?;
                exchange(dir, &own, &before, &after)
            },
        ),
        stolen(
            "an earlier head's time stamp on a later one, the event that tells of it made to fit",
            false_stamp("time-stamp is for other data"),
            |_, dir| {
                let (_, own) = newest_with(dir, "rsa.tsr")?;
                let mut all = sized(dir)?.into_iter().map(|(_, own)| own.join("rsa.tsr"));
                let first = all.find(|path| path.exists()).ok_or("no time stamp")?;
                let before = fs_err::read(own.join("rsa.tsr"))?;
                let after = fs_err::read(first)?;
                if before == after {
                    return Err("one time stamp only".into());
                }
                exchange(dir, &own, &before, &after)
            },
        ),
    ]
}

/// The operator's other history, with the rogue's stamp on its head.
fn from_the_beginning(scene: &Scene, dir: &Path, signer: &str) -> Result<(), Failure> {
    files::put_in_place(&scene.beginning, dir)?;
    stamped(dir, &Log::read(dir)?, &scene.rogue, signer)
}

/// Signs the log, publishes its head and has it stamped.
fn stamped(dir: &Path, log: &Log, authority: &Authority, signer: &str) -> Result<(), Failure> {
    let thief = Thief::of(dir)?;
    log.write_signed(dir, &thief.key)?;
    let own = thief.publish(dir, log)?;
    let token = token::fresh(authority, signer, &fs_err::read(own.join("checkpoint"))?)?;
    fs_err::write(own.join("fresh.tsr"), token)?;
    Ok(())
}

/// Puts a time stamp in the place of another, and lets the event tell of the new one.
fn exchange(dir: &Path, head: &Path, before: &[u8], after: &[u8]) -> Result<(), Failure> {
    let sha256 = |bytes| hex::encode(digest(&SHA256, bytes));
    let time = timestamp::Response::from_der(after)?.into_token()?;
    let mut log = Log::read(dir)?;
    let seq = log.saying(&sha256(before), 0)?;
    log.reword(seq, "token_sha256", &sha256(after))?;
    log.reword(seq, "gen_time", &time.claims().gen_time.to_string())?;
    forget_anchors(dir, &mut log, seq)?;
    log.write_signed(dir, &Thief::of(dir)?.key)?;
    fs_err::write(head.join("rsa.tsr"), after)?;
    Ok(())
}
