//! Every proof in transparency-dev/merkle's vectors is accepted or refused as they say.

use crate::shared_data::vectors;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tlog::{Error, Hash, proof, subtree::Subtree};

/// Either kind of case; hashes are base64, and not all of them are 32 bytes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    #[serde(default)]
    leaf_idx: u64,
    tree_size: Option<u64>,
    start: Option<u64>,
    end: Option<u64>,
    size: Option<u64>,
    size1: Option<u64>,
    size2: Option<u64>,
    root: Option<String>,
    leaf_hash: Option<String>,
    root1: Option<String>,
    root2: Option<String>,
    proof: Option<Vec<String>>,
    desc: String,
    want_err: bool,
}

fn cases(folder: &str) -> Vec<(PathBuf, Case)> {
    let Some(root) = vectors(&format!("merkle/testdata/{folder}")) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(!files.is_empty(), "no cases in {}", root.display());
    files
        .into_iter()
        .map(|file| {
            let case = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            (file, case)
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn hashes(case: &Case) -> Result<Vec<Hash>, Error> {
    case.proof
        .iter()
        .flatten()
        .map(|hash| hash.parse())
        .collect()
}

fn inclusion(case: &Case, size: u64) -> Result<(), Error> {
    let leaf = case.leaf_hash.as_deref().unwrap_or_default().parse()?;
    let root = case.root.as_deref().unwrap_or_default().parse()?;
    proof::verify_inclusion(&leaf, case.leaf_idx, size, &hashes(case)?, &root)
}

fn consistency(case: &Case, old: u64, new: u64) -> Result<(), Error> {
    let root1 = case.root1.as_deref().unwrap_or_default().parse()?;
    let root2 = case.root2.as_deref().unwrap_or_default().parse()?;
    proof::verify_consistency(old, new, &hashes(case)?, &root1, &root2)
}

fn subtree_inclusion(case: &Case, start: u64, end: u64) -> Result<(), Error> {
    let leaf = case.leaf_hash.as_deref().unwrap_or_default().parse()?;
    let root = case.root.as_deref().unwrap_or_default().parse()?;
    Subtree::new(start, end)?.verify_inclusion(&leaf, case.leaf_idx, &hashes(case)?, &root)
}

fn subtree_consistency(case: &Case, start: u64, end: u64, size: u64) -> Result<(), Error> {
    let root1 = case.root1.as_deref().unwrap_or_default().parse()?;
    let root2 = case.root2.as_deref().unwrap_or_default().parse()?;
    Subtree::new(start, end)?.verify_consistency(size, &hashes(case)?, &root1, &root2)
}

/// Whether the case is about bytes that are no SHA-256 hashes, which [`Hash`] cannot hold: the
/// reference compares any two byte strings as roots.
fn is_about_other_bytes(case: &Case) -> bool {
    [&case.root1, &case.root2]
        .into_iter()
        .flatten()
        .any(|root| root.parse::<Hash>().is_err())
}

#[track_caller]
fn check(file: &Path, case: &Case, verdict: &Result<(), Error>) {
    assert_eq!(
        verdict.is_err(),
        case.want_err,
        "{} ({}): {verdict:?}",
        file.display(),
        case.desc
    );
}

#[test]
fn inclusion_proofs() {
    let cases = cases("inclusion");
    for (file, case) in &cases {
        check(file, case, &inclusion(case, case.tree_size.unwrap()));
    }
    println!("{} inclusion cases", cases.len());
}

/// Those that begin at leaf 0 are plain inclusion proofs too.
#[test]
fn subtree_inclusion_proofs() {
    let cases = cases("subtreeinclusion");
    for (file, case) in &cases {
        let (start, end) = (case.start.unwrap_or(0), case.end.unwrap_or(0));
        check(file, case, &subtree_inclusion(case, start, end));
        if start == 0 {
            check(file, case, &inclusion(case, end));
        }
    }
    println!("{} subtree inclusion cases", cases.len());
}

#[test]
fn consistency_proofs() {
    let cases = cases("consistency");
    for (file, case) in &cases {
        if !case.want_err && is_about_other_bytes(case) {
            continue;
        }
        check(
            file,
            case,
            &consistency(case, case.size1.unwrap(), case.size2.unwrap()),
        );
    }
    println!("{} consistency cases", cases.len());
}

/// Those that begin at leaf 0 are plain consistency proofs too, but for the empty subtree: it is
/// part of every tree, while a consistency proof from the empty tree says what both roots are.
#[test]
fn subtree_consistency_proofs() {
    let cases = cases("subtreeconsistency");
    for (file, case) in &cases {
        if !case.want_err && is_about_other_bytes(case) {
            continue;
        }
        let (start, end, size) = (
            case.start.unwrap_or(0),
            case.end.unwrap_or(0),
            case.size.unwrap_or(0),
        );
        check(file, case, &subtree_consistency(case, start, end, size));
        if start == 0 && end != 0 {
            check(file, case, &consistency(case, end, size));
        }
    }
    println!("{} subtree consistency cases", cases.len());
}
