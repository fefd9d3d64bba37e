//! One seed from an empty disk to the end.

mod faults;
mod turns;

use super::Dice;
use super::check::{When, check};
use super::history::{History, Tally};
use super::model::Model;
use super::segments::SimAllocator;
use super::source::{World, crowd, live};
use crate::error::Error;
use crate::recorder::{Options, Recorder};
use crate::sequencer::Sequencer;
use crate::settler_thread::SettlerThread;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use storage::SimDisk;

/// Attempts to start a recorder before the disk is left in peace.
const TROUBLED_STARTS: u32 = 4;

/// Events of a life that begins late: with a few more the first tile is full and a second level begins.
const NEARLY_A_TILE: u64 = 243;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A recorder and everybody around it.
struct Session {
    recorder: Recorder,
    /// What the threads own, until they end.
    sequencer: Option<Sequencer>,
    settler: Option<SettlerThread>,
    tasks: Vec<Task>,
    /// Whether a fault has struck since the start.
    struck: bool,
    ending: bool,
}

struct Player {
    dice: Dice,
    disk: SimDisk,
    model: Rc<RefCell<Model>>,
    options: Options,
    armed: bool,
    room: bool,
    tally: Tally,
}

/// Plays one seed.
pub(super) fn play(seed: u64) -> History {
    let dice = Dice::new(seed);
    let options = Options {
        segment_bytes: (96 << 10) << dice.below(3),
        heartbeat: Duration::from_secs(30),
        epoch: Duration::from_secs(if dice.once_in(3) { 20 } else { 86_400 }),
        seal: dice.once_in(4).then_some(Duration::from_secs(15)),
        volume_bytes: if dice.once_in(3) { 30_000 } else { 1 << 30 },
        ..Options::new("unused")
    };
    let mut player = Player {
        dice,
        disk: SimDisk::new(),
        model: Rc::default(),
        options,
        armed: false,
        room: false,
        tally: Tally::default(),
    };
    player.model.borrow_mut().rotates = player.options.epoch < Duration::from_secs(60);
    if player.dice.once_in(10) {
        player.grow();
    }
    for _ in 0..1 + player.dice.below(5) {
        player.session(true);
    }
    player.peace();
    player.session(false);
    let model = player.model.borrow();
    History::of(&model, &player.disk, player.tally.clone())
}

/// Whether a task is done.
fn poll(task: &mut Task) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(task.as_mut().poll(&mut context), Poll::Ready(()))
}

impl Player {
    fn world(&self) -> World {
        World {
            dice: self.dice.clone(),
            model: self.model.clone(),
        }
    }

    /// Many events without trouble, so that what follows happens where tiles become full.
    fn grow(&mut self) {
        self.tally.count("lives begun late", 1);
        let mut session = self.start(false);
        let events = NEARLY_A_TILE + self.dice.below(16);
        let source = crowd(self.world(), session.recorder.clone(), events);
        session.tasks.push(Box::pin(source));
        while !session.tasks.is_empty() {
            self.task(&mut session);
            self.write(&mut session);
        }
        self.end_in_order(&mut session, false);
        self.end(session);
    }

    /// From a start to an end.
    fn session(&mut self, troubled: bool) {
        let mut session = self.start(troubled);
        let sources = 1 + self.dice.below(6);
        for source in 0..sources {
            let name = format!("run-{source}");
            let source = live(self.world(), session.recorder.clone(), name);
            session.tasks.push(Box::pin(source));
        }
        let steps = 10 + self.dice.below(1 << (4 + self.dice.below(6)));
        for _ in 0..steps {
            self.step(&mut session, troubled);
            if self.disk.is_dead() {
                break;
            }
        }
        let in_order = !troubled || self.dice.once_in(2);
        if in_order && !self.disk.is_dead() {
            self.end_in_order(&mut session, troubled);
        }
        self.end(session);
    }

    /// Starts a recorder, as often as it takes, and holds what it makes of the disk against the model.
    fn start(&mut self, troubled: bool) -> Session {
        for attempt in 0.. {
            if troubled && attempt < TROUBLED_STARTS && self.dice.once_in(4) {
                self.arm(80);
            }
            let disk = self.disk.clone();
            let bytes = self.options.segment_bytes;
            let allocator = SimAllocator::new(disk.clone(), bytes, self.dice.next());
            let started = allocator.started();
            let opened =
                Recorder::assemble(Arc::new(disk), None, &self.options, Box::new(allocator));
            started.store(true, std::sync::atomic::Ordering::Relaxed);
            let struck = self.has_struck();
            match opened {
                Ok((recorder, sequencer, settler)) if !self.disk.is_dead() => {
                    self.model.borrow_mut().begin();
                    let view = self.disk.restart(&mut |_| 1);
                    check(&mut self.model.borrow_mut(), &view, When::Started);
                    return Session {
                        recorder,
                        sequencer: Some(sequencer),
                        settler: Some(settler),
                        tasks: Vec::new(),
                        struck,
                        ending: false,
                    };
                }
                Ok(_) => {}
                Err(Error::Io { .. } | Error::Full(_) | Error::Fatal(_)) if struck || self.room => {
                }
                Err(error) => panic!("the recorder does not start: {error}"),
            }
            self.tally.count("failed starts", 1);
            self.fall();
        }
        unreachable!("a start is tried until it succeeds")
    }

    /// Asks the recorder to end, and lets everybody go on until it has.
    fn end_in_order(&mut self, session: &mut Session, troubled: bool) {
        session.ending = true;
        let ended = Rc::new(RefCell::new(None));
        let (recorder, outcome) = (session.recorder.clone(), ended.clone());
        let mut ending: Task = Box::pin(async move {
            let ended = recorder.end().await;
            *outcome.borrow_mut() = Some(ended);
        });
        while !poll(&mut ending) {
            self.step(session, troubled);
            self.write(session);
            if self.disk.is_dead() {
                return;
            }
        }
        if session.sequencer.is_some() {
            // There was no room to record the end, so it has not come.
            let outcome = ended.take().unwrap();
            assert!(matches!(outcome, Err(Error::Full(_))), "{outcome:?}");
            return;
        }
        while session.settler.is_some() {
            self.settle(session);
        }
        // Everybody hears what became of what they had submitted.
        while !session.tasks.is_empty() && !self.disk.is_dead() {
            self.task(session);
        }
        let failed = self.model.borrow().dead_line.is_some();
        let outcome = ended.take().unwrap();
        match outcome {
            Ok(()) if !failed && !self.disk.is_dead() => {
                self.tally.count("ends in order", 1);
                let view = self.disk.restart(&mut |_| 1);
                check(&mut self.model.borrow_mut(), &view, When::Ended);
            }
            Ok(()) => {}
            Err(error) => assert!(
                failed || matches!(error, Error::Full(_)),
                "the recorder does not end: {error}"
            ),
        }
    }

    /// The session is over, in order or not.
    fn end(&mut self, session: Session) {
        let Session {
            recorder,
            sequencer,
            settler,
            tasks,
            ..
        } = session;
        let unanswered = std::mem::take(&mut self.model.borrow_mut().revoking);
        self.tally.count("revocations cut short", unanswered);
        // Nobody hears anything any more, and what is dropped below cannot reach the disk that goes on.
        drop(tasks);
        self.fall();
        drop((recorder, sequencer, settler));
    }
}
