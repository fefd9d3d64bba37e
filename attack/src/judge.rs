//! What verifiers say of a store, each knowing more than the one before.

use crate::Failure;
use crate::process::arg;
use crate::scene::Scene;
use serde_json::Value;
use std::path::Path;

/// Who looks, and what they hold that did not come with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum View {
    /// Nothing: somebody who was handed a directory.
    Alone,
    /// The log's first key.
    Pinned,
    /// Key, witnesses with their quorum, the authorities' roots, a head from an earlier day and the newest of the second place.
    Outside,
}

impl View {
    pub(crate) const ALL: [Self; 3] = [Self::Alone, Self::Pinned, Self::Outside];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alone => "the store alone",
            Self::Pinned => "a pinned key",
            Self::Outside => "anchors",
        }
    }
}

/// What one verifier said.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// Exit code of `tacho verify`.
    pub(crate) code: i32,
    /// What is wrong, and of which event, as the verifier names it first.
    pub(crate) first: Option<(Option<u64>, String)>,
    /// Claims that are not `valid`: name and verdict.
    pub(crate) doubts: Vec<(String, String)>,
    /// What it could not find.
    pub(crate) missing: Option<String>,
}

impl Finding {
    /// Whether the verifier said that all is well.
    pub(crate) const fn passes(&self) -> bool {
        matches!(self.code, 0 | 11)
    }

    /// Whether it says outright that a claim about the outside holds, which nobody can know without an outside.
    pub(crate) fn overclaims(&self) -> bool {
        self.passes()
            && !["witnesses", "time"]
                .iter()
                .all(|claim| self.doubts.iter().any(|(name, _)| name == claim))
    }
}

/// Lets a verifier look at a store.
pub(crate) fn look(scene: &Scene, view: View, store: &Path) -> Result<Finding, Failure> {
    let (policy, roots, head) = (arg(&scene.policy), arg(&scene.roots), arg(&scene.head));
    let (key_only, newest, store) = (arg(&scene.key_only), arg(&scene.newest), arg(store));
    let mut arguments = vec!["verify", "--json", "--data", &store];
    match view {
        View::Alone => {}
        View::Pinned => arguments.extend(["--policy", &key_only]),
        View::Outside => {
            arguments.extend(["--policy", &policy, "--roots", &roots]);
            arguments.extend(["--head", &head, "--head", &newest]);
        }
    }
    let said = scene.tacho.run(&arguments)?;
    let report: Value = match serde_json::from_str(&said.stdout) {
        Ok(report) => report,
        // It could not begin: the error says why, as JSON on the other side.
        Err(_) => serde_json::from_str(&said.stderr).unwrap_or_default(),
    };
    if ![0, 10, 11, 12].contains(&said.code) {
        return Err(format!(
            "verify ended with {}: {}{}",
            said.code, said.stdout, said.stderr
        )
        .into());
    }
    let fault = report.pointer("/faults/0");
    let first = fault.map(|fault| {
        let text = |name: &str| fault.get(name).and_then(Value::as_str).unwrap_or_default();
        let seq = fault.get("seq").and_then(Value::as_u64);
        (seq, format!("{}: {}", text("what"), text("detail")))
    });
    let stopped = || {
        let error = report.get("error")?;
        let cause = report.get("cause").or_else(|| report.pointer("/causes/0"));
        Some((None, cause.unwrap_or(error).as_str()?.to_owned()))
    };
    let claims = report.get("claims").and_then(Value::as_array);
    let doubts = claims.into_iter().flatten().filter_map(|claim| {
        let text = |name: &str| claim.get(name).and_then(Value::as_str).map(str::to_owned);
        Some((
            text("claim")?,
            text("verdict").filter(|verdict| verdict != "valid")?,
        ))
    });
    Ok(Finding {
        code: said.code,
        first: first.or_else(stopped),
        doubts: doubts.collect(),
        missing: report
            .pointer("/missing/0")
            .and_then(Value::as_str)
            .map(str::to_owned),
    })
}
