//! What verifiers say of a store, each knowing more than the one before.

use crate::Failure;
use crate::process::arg;
use crate::scene::{Base, Scene};
use serde::Deserialize;
use std::cmp::Ordering;
use std::fmt;
use std::path::Path;

/// Who looks, and what they hold that did not come with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum View {
    /// Nothing: somebody who was handed a directory.
    Alone,
    /// The log's first key.
    Pinned,
    /// Key, and the authorities' roots.
    Rooted,
    /// Key, roots, witnesses with their quorum, a head from an earlier day and the newest of the second place.
    Outside,
}

impl View {
    pub(crate) const ALL: [Self; 4] = [Self::Alone, Self::Pinned, Self::Rooted, Self::Outside];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alone => "the store alone",
            Self::Pinned => "a pinned key",
            Self::Rooted => "the authorities' roots",
            Self::Outside => "anchors held elsewhere",
        }
    }

    /// Claims that nobody who knows no more than this can call valid.
    const fn beyond(self) -> &'static [&'static str] {
        match self {
            Self::Alone | Self::Pinned => &["time", "witnesses"],
            Self::Rooted => &["witnesses"],
            Self::Outside => &[],
        }
    }
}

/// What the verifier that an attack must not get past has to say. Something else, and another rule than the one meant
/// has noticed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Notice {
    /// Exit code 10. The first fault refutes `claim`, in this `word`, and its sentence holds `says`.
    Invalid {
        claim: &'static str,
        word: &'static str,
        says: &'static str,
    },
    /// Exit code 12, and no fault. `claim` is unverifiable, and what is missing first holds `says`.
    Unverifiable {
        claim: &'static str,
        says: &'static str,
    },
    /// Exit code 12: verification cannot begin, for a reason that holds `says`.
    Refused { says: &'static str },
    /// Nobody can tell, and every verifier has to say so: a sentence of what is not proven holds `says`, and the events that no
    /// checkpoint signs are as many as the untouched store's, fewer or more. Exit code 0 or 11.
    Left {
        says: &'static str,
        unsigned: Ordering,
    },
    /// Nothing that any verifier says rests on it: they say of the attacked store what they say of the untouched one.
    Unchanged,
}

impl Notice {
    pub(crate) const fn code(self) -> i32 {
        match self {
            Self::Invalid { .. } => 10,
            Self::Unverifiable { .. } | Self::Refused { .. } => 12,
            Self::Left { .. } | Self::Unchanged => 0,
        }
    }

    /// Whether this is what was said, where `before` was said of the untouched store.
    pub(crate) fn is_said_by(self, finding: &Finding, before: &Finding) -> bool {
        let right = match self {
            Self::Invalid { claim, word, says } => finding.faults.first().is_some_and(|fault| {
                fault.claim == claim && fault.what == word && fault.detail.contains(says)
            }),
            Self::Unverifiable { claim, says } => {
                finding.faults.is_empty()
                    && finding.doubts(claim)
                    && finding.lacks().is_some_and(|what| what.contains(says))
            }
            Self::Refused { says } => finding.refusal().is_some_and(|why| why.contains(says)),
            Self::Left { says, unsigned } => {
                return finding.passes()
                    && finding.admits(says).is_some()
                    && finding.unsigned_tail.cmp(&before.unsigned_tail) == unsigned;
            }
            Self::Unchanged => {
                return finding.code == before.code && finding.document == before.document;
            }
        };
        right && finding.code == self.code()
    }
}

/// What one verifier said: the document of `tacho verify --json`.
#[derive(Clone, Deserialize)]
pub(crate) struct Finding {
    /// Exit code.
    #[serde(skip)]
    pub(crate) code: i32,
    /// What is wrong, first in the log first.
    #[serde(default)]
    pub(crate) faults: Vec<Fault>,
    #[serde(default)]
    claims: Vec<Claim>,
    #[serde(default)]
    missing: Vec<String>,
    #[serde(default)]
    not_proven: Vec<String>,
    #[serde(default)]
    unsigned_tail: u64,
    #[serde(default)]
    error: Option<Refusal>,
    /// All of it.
    #[serde(skip)]
    pub(crate) document: serde_json::Value,
}

/// What a complaint has to show of it.
impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finding")
            .field("code", &self.code)
            .field("faults", &self.faults)
            .field("claims", &self.claims)
            .field("missing", &self.missing)
            .field("not_proven", &self.not_proven)
            .field("unsigned_tail", &self.unsigned_tail)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Fault {
    pub(crate) claim: String,
    pub(crate) what: String,
    pub(crate) seq: Option<u64>,
    pub(crate) detail: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Claim {
    claim: String,
    verdict: String,
}

/// Why verification did not begin.
#[derive(Debug, Clone, Deserialize)]
struct Refusal {
    causes: Vec<String>,
}

impl Finding {
    /// Whether the verifier said that all is well.
    pub(crate) const fn passes(&self) -> bool {
        matches!(self.code, 0 | 11)
    }

    /// What is missing first.
    pub(crate) fn lacks(&self) -> Option<&str> {
        self.missing.first().map(String::as_str)
    }

    /// The sentence on what it does not prove that holds a text.
    pub(crate) fn admits(&self, says: &str) -> Option<&str> {
        let mut all = self.not_proven.iter().map(String::as_str);
        all.find(|sentence| sentence.contains(says))
    }

    /// What kept verification from beginning.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.error.as_ref()?.causes.first().map(String::as_str)
    }

    /// Whether it left a claim open.
    fn doubts(&self, claim: &str) -> bool {
        let mut all = self.claims.iter();
        all.any(|own| own.claim == claim && own.verdict == "unverifiable")
    }

    /// The complaint that it calls a claim valid which nobody can know who holds what `view` holds.
    pub(crate) fn overclaimed(&self, view: View) -> Option<String> {
        let mut beyond = view.beyond().iter();
        let claim = beyond.find(|claim| self.passes() && !self.doubts(claim))?;
        let with = view.name();
        Some(format!("with {with} the claim {claim} is called valid"))
    }
}

/// What a verifier says to either command line besides the store.
pub(crate) fn options(scene: &Scene, base: Base, view: View) -> Vec<String> {
    let (outside, heads) = scene.held(base);
    let word = |name: &str, path: &Path| [name.to_owned(), arg(path)];
    let roots = word("--roots", &scene.stage.roots);
    let key_only = word("--policy", &outside.key_only);
    match view {
        View::Alone => Vec::new(),
        View::Pinned => key_only.into(),
        View::Rooted => [key_only, roots].concat(),
        View::Outside => {
            let mut all = [word("--policy", &outside.policy), roots].concat();
            all.extend(heads.into_iter().flat_map(|head| word("--head", head)));
            all
        }
    }
}

/// Lets a verifier look at a store that was made of `base`.
pub(crate) fn look(
    scene: &Scene,
    base: Base,
    view: View,
    store: &Path,
) -> Result<Finding, Failure> {
    let (store, options) = (arg(store), options(scene, base, view));
    let mut arguments = vec!["verify", "--json", "--data", &store];
    arguments.extend(options.iter().map(String::as_str));
    let said = scene.stage.tacho.run(&arguments)?;
    let unexpected = |why: &dyn std::fmt::Display| -> Failure {
        let (code, out, err) = (said.code, &said.stdout, &said.stderr);
        format!("verify ended with {code} ({why}): {out}{err}").into()
    };
    if ![0, 10, 11, 12].contains(&said.code) {
        return Err(unexpected(&"no verdict"));
    }
    let report: Finding = serde_json::from_str(&said.stdout).map_err(|error| unexpected(&error))?;
    Ok(Finding {
        code: said.code,
        document: serde_json::from_str(&said.stdout)?,
        ..report
    })
}
