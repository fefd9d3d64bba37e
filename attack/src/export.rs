//! The attacked stores for another verifier to look at, with what the first one said.

use crate::attacks::Attack;
use crate::judge::options;
use crate::scene::Scene;
use crate::table::Findings;
use crate::{Failure, files};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A directory with a store for each attack, and `cases.json`.
pub(crate) struct Export {
    dir: PathBuf,
    cases: Vec<Value>,
}

impl Export {
    /// Begins in a directory that is not there yet.
    pub(crate) fn begin(dir: &Path) -> Result<Self, Failure> {
        fs_err::create_dir_all(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            cases: Vec::new(),
        })
    }

    /// Adds a store. What the verifiers brought is copied too.
    pub(crate) fn add(
        &mut self,
        scene: &Scene,
        attack: &Attack,
        store: &Path,
        findings: &Findings,
    ) -> Result<(), Failure> {
        let name = format!("{:03}", self.cases.len());
        files::copy(store, &self.dir.join(&name))?;
        let mut looks = Vec::new();
        for (view, finding) in findings {
            let mut words = options(scene, attack.base, *view);
            // Every second word is a file.
            for path in words.iter_mut().skip(1).step_by(2) {
                let kept = path.replace('/', "-");
                fs_err::copy(&*path, self.dir.join(&kept))?;
                *path = kept;
            }
            looks.push(json!({
                "view": view.name(), "options": words, "exit_code": finding.code, "report": finding.document,
            }));
        }
        self.cases
            .push(json!({"store": name, "attack": attack.name, "looks": looks}));
        Ok(())
    }

    /// Writes what was said.
    pub(crate) fn end(self) -> Result<(), Failure> {
        let text = serde_json::to_string(&self.cases)?;
        Ok(fs_err::write(self.dir.join("cases.json"), text)?)
    }
}
