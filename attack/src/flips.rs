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

    /// From one bit to the next, of so many.
    fn step(self, total: u64) -> u64 {
        match self {
            Self::Every => 1,
            Self::All => 8,
            Self::About(wanted) => (total / wanted.max(1)).max(1),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Every => "every bit",
            Self::All => "one of nearly every byte",
            Self::About(_) => "a sample",
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

/// Bits by what was said once they were flipped.
#[derive(Debug, Default)]
struct Tally {
    /// Exit code 10.
    invalid: u64,
    /// Exit code 12, or no beginning at all.
    unverifiable: u64,
    /// All was well, or nobody knows: which bit, and what was said.
    wrong: Vec<(Bit, String)>,
}

/// Flips them one at a time, on two threads, and verifies with what `options` hold.
pub(crate) fn run(
    store: &Path,
    options: &verify::Options,
    extent: Extent,
    complaints: &mut Vec<String>,
) -> Result<String, Failure> {
    let files = files::evidence(store)?;
    let mut total = 0;
    for path in &files {
        total += fs_err::metadata(store.join(path))?.len();
    }
    let bits = bits(store, &files, extent.step(total * 8))?;
    let (left, right) = bits.split_at(bits.len() / 2);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        let halves =
            [left, right].map(|half| scope.spawn(|| flip_all(store, options, half, &tally)));
        halves
            .into_iter()
            .try_for_each(|half| half.join().map_err(|_| "a thread panicked")?)
    })?;
    let tally = tally.into_inner().map_err(|_| "a thread panicked")?;
    let mut by_file: BTreeMap<&Path, Vec<&(Bit, String)>> = BTreeMap::new();
    for wrong in &tally.wrong {
        by_file.entry(&wrong.0.0).or_default().push(wrong);
    }
    for (path, wrong) in by_file.iter().take(LISTED) {
        if let Some(((_, at, bit), said)) = wrong.first() {
            complaints.push(format!(
                "{} flipped bits of {} are not noticed, the first at byte {at}, bit {bit}: {said}",
                wrong.len(),
                path.display()
            ));
        }
    }
    Ok(format!(
        "{} of {} flipped bits noticed, {} as INVALID, {} as UNVERIFIABLE ({} of {} files, {total} bytes).",
        tally.invalid + tally.unverifiable,
        bits.len(),
        tally.invalid,
        tally.unverifiable,
        extent.name(),
        files.len(),
    ))
}

fn bits(store: &Path, files: &[PathBuf], step: u64) -> Result<Vec<Bit>, Failure> {
    let mut bits = Vec::new();
    for path in files {
        let len = fs_err::metadata(store.join(path))?.len();
        let mut at = 0;
        while at < len * 8 {
            let (byte, bit) = (usize::try_from(at / 8)?, u8::try_from(at % 8)?);
            bits.push((path.clone(), byte, bit));
            // Not a multiple of eight, so that every place in a byte has its turn.
            at += if step == 1 { 1 } else { step | 1 };
        }
    }
    Ok(bits)
}

fn flip_all(
    store: &Path,
    options: &verify::Options,
    bits: &[Bit],
    tally: &Mutex<Tally>,
) -> Result<(), Failure> {
    let copy = tempfile::tempdir()?;
    files::copy(store, copy.path())?;
    untouched(copy.path(), options)?;
    for (path, at, bit) in bits {
        let file = copy.path().join(path);
        let whole = fs_err::read(store.join(path))?;
        let mut changed = whole.clone();
        *changed.get_mut(*at).ok_or("a file became shorter")? ^= 1 << bit;
        fs_err::write(&file, changed)?;
        let said = said(copy.path(), options);
        fs_err::write(&file, whole)?;
        let mut tally = tally.lock().map_err(|_| "a thread panicked")?;
        match said {
            Ok(10) => tally.invalid += 1,
            Ok(12) => tally.unverifiable += 1,
            Ok(code) => {
                let said = format!("verification ends with {code}");
                tally.wrong.push(((path.clone(), *at, *bit), said));
            }
            Err(error) => {
                let said = error.to_string();
                tally.wrong.push(((path.clone(), *at, *bit), said));
            }
        }
    }
    // What was said was said of the flipped bits, and of nothing that was left behind.
    untouched(copy.path(), options)
}

/// Nothing may be said against what nobody touched: all that follows would be noticed for another reason.
fn untouched(copy: &Path, options: &verify::Options) -> Result<(), Failure> {
    match said(copy, options)? {
        0 | 11 => Ok(()),
        code => Err(format!("the store whose bits are flipped ends with {code} as it is").into()),
    }
}

/// The exit code that verification comes to. An error of the system is no verdict.
fn said(dir: &Path, options: &verify::Options) -> Result<u8, evidence::Error> {
    match verify::run(dir, options, &mut |_| ()) {
        Ok(report) => Ok(report.exit_code()),
        Err(evidence::Error::Damaged { .. } | evidence::Error::Altered { .. }) => Ok(10),
        Err(evidence::Error::Missing(_) | evidence::Error::Newer { .. }) => Ok(12),
        Err(error) => Err(error),
    }
}
