//! False alarms: stores that nobody touched must verify.

use crate::Failure;
use event::{Draft, Exchange, Kind, Outcome, Role, Source, State};
use evidence::{Options, Recorder, verify};
use std::fmt::Write as _;
use std::path::Path;

/// Small numbers from a seed: the same stores every time.
struct Dice(u64);

impl Dice {
    /// Below `bound`. xorshift64 (Marsaglia 2003).
    fn roll(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

/// Records and verifies that many stores: restarts, killed recorders, open calls, bodies of all sizes, key rotations.
pub(crate) async fn run(stores: u32, complaints: &mut Vec<String>) -> Result<String, Failure> {
    let mut alarms = 0;
    let mut events = 0;
    for seed in 0..stores {
        let dir = tempfile::tempdir()?;
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (u64::from(seed) << 20 | 1));
        for _ in 0..=dice.roll(2) {
            session(dir.path(), &mut dice).await?;
        }
        let report = verify::run(dir.path(), &verify::Options::default(), &mut |_| ())?;
        events += report.events;
        // Gaps are told by the record itself: a killed recorder leaves one.
        if ![0, 11].contains(&report.exit_code()) {
            alarms += 1;
            complaints.push(format!(
                "untouched store {seed}: {:?} {:?}",
                report.faults, report.missing
            ));
        }
    }
    let mut text = String::new();
    write!(
        text,
        "{alarms} false alarms on {stores} untouched stores ({events} events)."
    )?;
    Ok(text)
}

async fn session(dir: &Path, dice: &mut Dice) -> Result<(), Failure> {
    let options = Options {
        segment_bytes: 256 << 10,
        ..Options::new(dir)
    };
    let recorder = Recorder::open(options)?;
    for call in 0..dice.roll(24) {
        let mut draft = Draft::new(Kind::ToolRequest, Source::Gateway);
        let body = format!("argument {call} ").repeat(1 + usize::try_from(dice.roll(600))?);
        draft.bodies.push(
            recorder
                .put(Role::Request, None, None, body.as_bytes())
                .await?,
        );
        let opened = recorder.append(&draft).await?.seq;
        if dice.roll(8) == 0 {
            continue;
        }
        let mut draft = Draft::new(Kind::ToolResponse, Source::Gateway);
        draft.exchange = Some(Exchange {
            call: Some(opened),
            ..Exchange::default()
        });
        draft.outcome = Some(Outcome {
            state: State::Completed,
            error: None,
            reason: None,
        });
        recorder.append(&draft).await?;
    }
    if dice.roll(4) == 0 {
        recorder.rotate().await?;
    }
    recorder.close().await?;
    Ok(())
}

/// A store that is small enough to flip each of its bits: two calls with bodies, two epochs, a published head.
pub(crate) async fn smallest(dir: &Path) -> Result<(), Failure> {
    let recorder = Recorder::open(Options::new(dir))?;
    for call in 0..2 {
        let mut draft = Draft::new(Kind::ToolRequest, Source::Gateway);
        let body = format!("argument {call} ").repeat(20);
        draft.bodies.push(
            recorder
                .put(Role::Request, None, None, body.as_bytes())
                .await?,
        );
        let opened = recorder.append(&draft).await?.seq;
        let mut draft = Draft::new(Kind::ToolResponse, Source::Gateway);
        draft.exchange = Some(Exchange {
            call: Some(opened),
            ..Exchange::default()
        });
        draft.outcome = Some(Outcome {
            state: State::Completed,
            error: None,
            reason: None,
        });
        recorder.append(&draft).await?;
    }
    recorder.publish().await?;
    recorder.rotate().await?;
    recorder.close().await?;
    Ok(())
}
