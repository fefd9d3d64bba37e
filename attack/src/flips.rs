//! Every bit of evidence counts: flipped one at a time, each must be noticed.

use crate::Failure;
use crate::files;
use evidence::verify;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Mutex;

/// Complaints listed one by one; the rest is counted.
const LISTED: usize = 20;

/// How many bits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extent {
    /// Each bit of each byte.
    Every,
    /// One bit of each byte.
    All,
    /// About so many, evenly spread, every file among them.
    About(u64),
}

impl Extent {
    /// What becomes of the smallest store, of which a bit costs little.
    pub(crate) const fn of_smallest(self) -> Self {
        match self {
            Self::All | Self::Every => Self::Every,
            few @ Self::About(_) => few,
        }
    }
}

impl FromStr for Extent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            number => number
                .parse()
                .map(Self::About)
                .map_err(|_| format!("{number} is neither `all` nor a number")),
        }
    }
}

/// A bit of a file.
type Bit = (PathBuf, usize, u8);

/// Flips them one at a time, on two threads, and verifies with what `options` hold.
pub(crate) fn run(
    store: &Path,
    options: &verify::Options,
    extent: Extent,
    complaints: &mut Vec<String>,
) -> Result<String, Failure> {
    let mut bits = Vec::new();
    let files = files::evidence(store)?;
    let mut total = 0;
    for path in &files {
        total += fs_err::metadata(store.join(path))?.len() * 8;
    }
    let step = match extent {
        Extent::Every => 1,
        Extent::All => 8,
        Extent::About(wanted) => (total / wanted.max(1)).max(1),
    };
    for path in &files {
        let len = usize::try_from(fs_err::metadata(store.join(path))?.len())?;
        let mut at = 0;
        while at < len as u64 * 8 {
            bits.push((
                path.clone(),
                usize::try_from(at / 8)?,
                u8::try_from(at % 8)?,
            ));
            // Not a multiple of eight, so that every place in a byte has its turn.
            at += if step == 1 { 1 } else { step | 1 };
        }
    }
    let (left, right) = bits.split_at(bits.len() / 2);
    let silent = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let halves =
            [left, right].map(|half| scope.spawn(|| flip_all(store, options, half, &silent)));
        halves
            .into_iter()
            .try_for_each(|half| half.join().map_err(|_| "a thread panicked")?)
    })?;
    let silent = silent.into_inner().unwrap_or_default();
    let mut by_file: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for (path, _, _) in &silent {
        *by_file.entry(path.clone()).or_default() += 1;
    }
    for (path, times) in by_file.iter().take(LISTED) {
        let example = silent.iter().find(|(own, _, _)| own == path);
        let place = example.map_or(0, |(_, at, _)| *at);
        complaints.push(format!(
            "{times} flipped bits of {} are not noticed, the first at byte {place}",
            path.display()
        ));
    }
    let how = match extent {
        Extent::Every => "every bit",
        Extent::All => "one of nearly every byte",
        Extent::About(_) => "a sample",
    };
    Ok(format!(
        "{} of {} flipped bits noticed ({how} of {} files, {} bytes).",
        bits.len() - silent.len(),
        bits.len(),
        files.len(),
        total / 8
    ))
}

fn flip_all(
    store: &Path,
    options: &verify::Options,
    bits: &[Bit],
    silent: &Mutex<Vec<Bit>>,
) -> Result<(), Failure> {
    let copy = tempfile::tempdir()?;
    files::copy(store, copy.path())?;
    for (path, at, bit) in bits {
        let file = copy.path().join(path);
        let whole = fs_err::read(store.join(path))?;
        let mut changed = whole.clone();
        if let Some(byte) = changed.get_mut(*at) {
            *byte ^= 1 << bit;
        }
        fs_err::write(&file, changed)?;
        if passes(copy.path(), options) {
            silent
                .lock()
                .map_err(|_| "a thread panicked")?
                .push((path.clone(), *at, *bit));
        }
        fs_err::write(&file, whole)?;
    }
    Ok(())
}

/// Whether nothing is said against a store. A verifier that cannot begin says something.
fn passes(dir: &Path, options: &verify::Options) -> bool {
    verify::run(dir, options, &mut |_| ()).is_ok_and(|report| [0, 11].contains(&report.exit_code()))
}
