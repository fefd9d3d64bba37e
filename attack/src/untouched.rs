//! False alarms: stores that nobody touched must verify.

use crate::Failure;
use crate::stage::Stage;
use event::{Draft, Exchange, Kind, Outcome, Role, Source, State};
use evidence::{Options, Recorder, verify};
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

/// One store in so many is recorded by real processes, with everything that vouches for it.
const LIVED: u32 = 10;

/// Records and verifies that many stores: restarts, killed recorders, open calls, bodies of all sizes, key rotations, anchors.
pub(crate) async fn run(
    stage: &Stage,
    stores: u32,
    complaints: &mut Vec<String>,
) -> Result<String, Failure> {
    let mut seen = Seen::default();
    for seed in 0..stores {
        let dir = tempfile::tempdir()?;
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (u64::from(seed) << 20 | 1));
        let report = if seed % LIVED == 0 {
            lived(stage, dir.path(), &mut dice, &mut seen)?
        } else {
            for _ in 0..=dice.roll(2) {
                session(dir.path(), &mut dice).await?;
            }
            verify::run(dir.path(), &verify::Options::default(), &mut |_| ())?
        };
        seen.events += report.events;
        // Gaps are told by the record itself: a killed recorder leaves one.
        if ![0, 11].contains(&report.exit_code()) {
            seen.alarms += 1;
            complaints.push(format!(
                "untouched store {seed}: {:?} {:?}",
                report.faults, report.missing
            ));
        }
    }
    let Seen {
        alarms,
        events,
        killed,
        anchored,
        anchors,
    } = seen;
    Ok(format!(
        "{alarms} false alarms on {stores} untouched stores ({events} events); {anchored} of them with authorities, witness and \
         second place ({anchors} anchors that count), their recorders killed in mid-call {killed} times."
    ))
}

/// What the stores were like.
#[derive(Debug, Default)]
struct Seen {
    alarms: u32,
    events: u64,
    /// Recorders that ended by SIGKILL.
    killed: u32,
    anchored: u32,
    /// Anchors that the auditor's trust reaches.
    anchors: usize,
}

/// A store as an operator has it: the real recorder, rotations, anchors, ends in order and kills.
fn lived(
    stage: &Stage,
    dir: &Path,
    dice: &mut Dice,
    seen: &mut Seen,
) -> Result<verify::Report, Failure> {
    let data = dir.join("record");
    stage.begin(&data)?;
    let outside = stage.outside(dir, &data, &["witness"])?;
    // The first is anchored, and the last may be.
    for session in 0..=1 + dice.roll(2) {
        let recording = stage.start(&data, &outside.config)?;
        recording.traffic(1 + dice.roll(6))?;
        if dice.roll(3) == 0 {
            recording.rotate()?;
        }
        if session == 0 || dice.roll(2) == 0 {
            recording.anchor()?;
        }
        recording.traffic(dice.roll(4))?;
        if dice.roll(2) == 0 {
            recording.stop()?;
        } else {
            recording.kill()?;
            seen.killed += 1;
        }
    }
    let head = outside.laid_down()?;
    let options = stage.options(&outside, &[&head])?;
    let report = verify::run(&data, &options, &mut |_| ())?;
    let valid = |anchor: &&verify::Anchor| anchor.verdict == verify::Verdict::Valid;
    let anchors = report.anchors.iter().filter(valid).count();
    if anchors == 0 && report.exit_code() != 10 {
        return Err("the anchors of an untouched store count for nothing".into());
    }
    seen.anchored += 1;
    seen.anchors += anchors;
    outside.stop()?;
    Ok(report)
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
