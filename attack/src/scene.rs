//! What is attacked: a stopped store with every anchor there is, and what an auditor holds who is not the operator.

use crate::stage::{Outside, Stage};
use crate::{Failure, files};
use std::path::{Path, PathBuf};
use testkit::authority::Authority;

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
    /// Held by the auditor since the log began, beside the roots of the authorities.
    pub(crate) outside: Outside,
    /// Held by the auditor since the end of the second epoch.
    pub(crate) head: PathBuf,
    /// The newest head in the second place.
    pub(crate) newest: PathBuf,
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
            outside,
            head,
            newest,
            rogue: Authority::new()?,
        })
    }

    /// What the auditor holds, for a verification within this process.
    pub(crate) fn options(&self) -> Result<evidence::verify::Options, Failure> {
        self.stage
            .options(&self.outside, &[&self.head, &self.newest])
    }
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
