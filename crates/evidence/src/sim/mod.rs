//! A simulation of the recorder in which one seed decides everything.
//!
//! One thread plays all parts: the sources, the sequencer, the settler, the allocator, the clock, the disk and
//! the power. The parts are those of the product: what its threads repeat is what is called here, turn by turn,
//! in an order that the seed chooses. A [`model`] in memory holds what was acknowledged, and after every start
//! the record is held against it.
//!
//! A seed that fails prints the command that runs it alone: `./x simulate 1 SEED`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod check;
mod driver;
mod history;
mod model;
mod orders;
mod segments;
mod source;

use crate::ambient::simulated;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What decides. Clones share it.
#[derive(Debug, Clone)]
struct Dice(Rc<RefCell<u64>>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(seed)))
    }

    fn next(&self) -> u64 {
        mix(&mut self.0.borrow_mut())
    }

    /// One of `0..n`.
    fn below(&self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// Once in `n` times.
    fn once_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Plays one seed, and says on failure how to play it again.
fn play(seed: u64) -> history::History {
    simulated::begin(seed);
    let played = catch_unwind(AssertUnwindSafe(|| driver::play(seed)));
    simulated::end();
    played.unwrap_or_else(|panic| {
        eprintln!("seed {seed} failed; to run it alone: ./x simulate 1 {seed}");
        resume_unwind(panic)
    })
}

/// Plays `count` seeds from `first` on, on every processor.
fn play_all(first: u64, count: u64) -> history::Tally {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let players: Vec<_> = (0..threads)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut tally = history::Tally::default();
                for seed in (first + thread..first + count).step_by(threads as usize) {
                    tally.add(&play(seed).tally);
                }
                tally
            })
        })
        .collect();
    let mut sum = history::Tally::default();
    for player in players {
        match player.join() {
            Ok(tally) => sum.add(&tally),
            Err(panic) => resume_unwind(panic),
        }
    }
    sum
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Seeds of every test run.
const SEEDS: u64 = 400;

#[test]
fn no_seed_loses_what_was_acknowledged() {
    let tally = play_all(0, SEEDS);
    println!("figure: simulation: {SEEDS} seeds, {tally}");
    tally.check_that_everything_happened();
}

/// As many as are asked for.
#[test]
#[ignore = "run by ./x simulate"]
fn many_seeds() {
    let (first, count) = (number("SIMULATE_FROM", 0), number("SIMULATE_SEEDS", 10_000));
    let began = std::time::Instant::now();
    let tally = play_all(first, count);
    let seconds = began.elapsed().as_secs();
    println!("figure: simulation: {count} seeds from {first} in {seconds} s, {tally}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..24 {
        let (one, two) = (play(seed), play(seed));
        let differing: Vec<_> = one
            .files
            .iter()
            .filter(|(path, bytes)| two.files.get(*path) != Some(*bytes))
            .map(|(path, _)| path)
            .collect();
        assert!(differing.is_empty(), "seed {seed}: {differing:?}");
        assert_eq!(one, two, "seed {seed}");
    }
    assert_ne!(play(1).lines, play(2).lines);
}
