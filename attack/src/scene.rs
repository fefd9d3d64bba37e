//! What is attacked: a stopped store with every anchor there is, and what an auditor holds who is not the operator.

use crate::stage::{Outside, Stage};
use crate::wal::Wal;
use crate::{Failure, files};
use std::path::{Path, PathBuf};
use testkit::authority::Authority;
use tlog::cosignature::Cosigner;

/// Events that a killed recorder must have left without a signature, for all that is done to them.
const UNSIGNED: usize = 8;

/// How often a recorder is killed in the hope of that: a checkpoint may come at any moment.
const KILLS: usize = 50;

/// Which store an attack is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Base {
    /// That with every anchor.
    Victim,
    /// The same after its recorder was killed, with events that no checkpoint signs.
    Killed,
    /// The same after the key of its second epoch was revoked.
    Revoked,
    /// One whose heads an authority stamps, and which no witness that the auditor names has ever seen.
    Unwitnessed,
}

impl Base {
    pub(crate) const ALL: [Self; 4] =
        [Self::Victim, Self::Killed, Self::Revoked, Self::Unwitnessed];
}

/// The stores and what lies elsewhere.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    /// The store: three key epochs, two authorities, two witnesses, a second place.
    pub(crate) victim: PathBuf,
    /// The same store as it was in its second epoch: an older copy, or a stolen backup.
    pub(crate) earlier: PathBuf,
    /// What the operator made of the older copy, out of everybody's sight: the same keys, another history.
    pub(crate) fork: PathBuf,
    /// As `earlier` and `fork`, from within the third epoch: the newest head is of the same key.
    pub(crate) recent: PathBuf,
    pub(crate) recent_fork: PathBuf,
    /// Another history from the very beginning, under the victim's first key, of which nobody outside was told.
    pub(crate) beginning: PathBuf,
    /// The store of another recorder.
    pub(crate) stranger: PathBuf,
    killed: PathBuf,
    revoked: PathBuf,
    unwitnessed: PathBuf,
    /// What the auditor holds of the store that no witness has seen.
    unseen: Outside,
    /// Held by the auditor since the log began, beside the roots of the authorities.
    outside: Outside,
    /// Held by the auditor since the end of the second epoch.
    head: PathBuf,
    /// The newest head in the second place.
    newest: PathBuf,
    /// As `newest`, after the revocation.
    newest_of_revoked: PathBuf,
    /// An authority that nobody trusts, with the same names in its certificates.
    pub(crate) rogue: Authority,
}

impl Scene {
    /// Builds it all with real processes and a real authority.
    pub(crate) fn build(stage: Stage) -> Result<Self, Failure> {
        let dir = stage.dir.path().to_owned();
        let at = |name: &str| dir.join(name);
        let copied = |from: &Path, name: &str| files::copy(from, &at(name)).map(|()| at(name));
        let victim = at("victim");
        stage.begin(&victim)?;
        let beginning = copied(&victim, "beginning")?;
        let outside = stage.outside(&dir, &victim, &["north", "south"])?;

        // First and second epoch; then the auditor comes by, and somebody keeps a copy.
        let recording = stage.start(&victim, &outside.config)?;
        recording.traffic(6)?;
        recording.anchor()?;
        recording.rotate()?;
        recording.traffic(6)?;
        recording.anchor()?;
        let head = at("held.head");
        let (_, newest) = newest_with(&victim, "cosigned")?;
        fs_err::copy(newest.join("cosigned"), &head)?;
        recording.stop()?;
        let earlier = copied(&victim, "earlier")?;
        let fork = copied(&victim, "fork")?;

        // The third epoch, as it was seen.
        let recording = stage.start(&victim, &outside.config)?;
        recording.anchor()?;
        recording.rotate()?;
        recording.traffic(8)?;
        recording.anchor()?;
        recording.stop()?;
        let recent = copied(&victim, "recent")?;
        let recent_fork = copied(&victim, "recent-fork")?;
        let recording = stage.start(&victim, &outside.config)?;
        recording.traffic(6)?;
        recording.anchor()?;
        recording.stop()?;
        let newest = at("newest.head");
        fs_err::copy(outside.laid_down()?, &newest)?;

        let killed = killed(&stage, &victim)?;
        let revoked = copied(&victim, "revoked")?;
        let recording = stage.start(&revoked, &outside.config)?;
        recording.revoke(2, None)?;
        recording.traffic(2)?;
        recording.anchor()?;
        recording.stop()?;
        let newest_of_revoked = at("newest-of-revoked.head");
        fs_err::copy(outside.laid_down()?, &newest_of_revoked)?;

        let unwitnessed = at("unwitnessed");
        stage.begin(&unwitnessed)?;
        let theirs = at("unwitnessed-outside");
        fs_err::create_dir(&theirs)?;
        let unseen = stage.outside(&theirs, &unwitnessed, &["north", "south"])?;
        let recording = stage.start(&unwitnessed, &stage.stamped)?;
        recording.traffic(6)?;
        recording.anchor()?;
        recording.stop()?;

        // And as it was not: no witness is told of it.
        let stranger = at("stranger");
        for (other, calls) in [
            (&fork, 24),
            (&recent_fork, 24),
            (&beginning, 24),
            (&stranger, 60),
        ] {
            let recording = stage.start(other, &stage.plain)?;
            recording.traffic(calls)?;
            recording.stop()?;
        }
        Ok(Self {
            stage,
            victim,
            earlier,
            fork,
            recent,
            recent_fork,
            beginning,
            stranger,
            killed,
            revoked,
            unwitnessed,
            unseen,
            outside,
            head,
            newest,
            newest_of_revoked,
            rogue: Authority::new()?,
        })
    }

    /// The store that an attack is on, as nobody has touched it.
    pub(crate) fn base(&self, base: Base) -> &Path {
        match base {
            Base::Victim => &self.victim,
            Base::Killed => &self.killed,
            Base::Revoked => &self.revoked,
            Base::Unwitnessed => &self.unwitnessed,
        }
    }

    /// What the auditor of a store holds of it: the files of trust, and heads.
    pub(crate) fn held(&self, base: Base) -> (&Outside, Vec<&Path>) {
        let (head, newest) = (self.head.as_path(), self.newest.as_path());
        match base {
            Base::Victim | Base::Killed => (&self.outside, vec![head, newest]),
            Base::Revoked => (&self.outside, vec![head, newest, &self.newest_of_revoked]),
            Base::Unwitnessed => (&self.unseen, vec![]),
        }
    }

    /// The key of a witness that works hand in hand with the operator of the store that no witness has seen, under any name.
    pub(crate) fn accomplice(&self, witness: &str, name: &str) -> Result<Cosigner, Failure> {
        let path = format!("unwitnessed-outside/{witness}/keys/witness.key");
        let text = fs_err::read_to_string(self.stage.dir.path().join(path))?;
        let seed = text
            .strip_prefix("v1 ")
            .and_then(|seed| <[u8; 32]>::try_from(hex::decode(seed.trim_end()).ok()?).ok());
        Ok(Cosigner::ed25519(name, &seed.ok_or("no witness's key")?)?)
    }

    /// What the auditor holds, for a verification within this process.
    pub(crate) fn options(&self) -> Result<evidence::verify::Options, Failure> {
        self.stage
            .options(&self.outside, &[&self.head, &self.newest])
    }
}

/// A copy of `store` whose recorder went on and was killed, with events that no checkpoint signs.
fn killed(stage: &Stage, store: &Path) -> Result<PathBuf, Failure> {
    let killed = stage.dir.path().join("killed");
    for _ in 0..KILLS {
        files::copy(store, &killed)?;
        let recording = stage.start(&killed, &stage.plain)?;
        recording.traffic(UNSIGNED as u64)?;
        recording.kill()?;
        let wal = Wal::read(&killed)?;
        if wal.unsigned().len() >= UNSIGNED {
            // With its checksums as they were, and without the megabytes that were made ready.
            wal.write()?;
            return Ok(killed);
        }
        fs_err::remove_dir_all(&killed)?;
    }
    Err("a checkpoint covers whatever a killed recorder leaves".into())
}

/// The anchored heads of a store, oldest first: events that they cover, and where they lie.
pub(crate) fn sized(store: &Path) -> Result<Vec<(u64, PathBuf)>, Failure> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(store.join("anchors"))? {
        let entry = entry?;
        if entry.path().join("checkpoint").exists() {
            let name = entry.file_name();
            found.push((name.to_string_lossy().parse()?, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The newest of the anchored heads that have a file of that name.
pub(crate) fn newest_with(store: &Path, name: &str) -> Result<(u64, PathBuf), Failure> {
    let mut all = sized(store)?.into_iter().rev();
    all.find(|(_, dir)| dir.join(name).exists())
        .ok_or_else(|| format!("no head has {name}").into())
}
