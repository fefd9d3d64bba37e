//! One seed from an empty disk to the end.

use super::Dice;
use super::check::{When, check, note_checkpoints};
use super::model::Model;
use super::segments::SimAllocator;
use super::source::{World, live};
use crate::ambient::simulated;
use crate::error::Error;
use crate::recorder::{Options, Recorder};
use crate::sequencer::Sequencer;
use crate::settler_thread::{SettlerThread, Turn};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use storage::{Fault, SimDisk};

/// Segments that may wait to be settled before the writer is made to wait: it would wait in real time.
const BACKLOG: u64 = 16;

/// Attempts to start a recorder before the disk is left in peace.
const TROUBLED_STARTS: u32 = 4;

/// What a seed did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) tally: Tally,
}

/// What happened, to see that a simulation simulates.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    fn count(&mut self, what: &'static str, n: u64) {
        *self.0.entry(what).or_default() += n;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, n) in &other.0 {
            self.count(what, *n);
        }
    }

    /// A kind of event that no seed brings about is one that nothing is known of.
    pub(super) fn check_that_everything_happened(&self) {
        for what in [
            "acknowledged",
            "refused",
            "interrupted",
            "ends in order",
            "kills",
            "power cuts",
            "failures",
            "failed starts",
            "checkpoints",
            "published",
            "heartbeats",
            "epochs",
            "sealed volumes",
            "torn ends",
            "allocate",
            "look",
            "open_or_create",
            "publish",
            "remove",
            "set_len",
            "sync",
            "sync_all",
            "write",
            "write_at",
        ] {
            assert!(
                self.0.get(what).is_some_and(|n| *n > 0),
                "never: {what}; {self}"
            );
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self
            .0
            .iter()
            .map(|(what, n)| format!("{n} {what}"))
            .collect();
        f.write_str(&all.join(", "))
    }
}

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
    for _ in 0..1 + player.dice.below(5) {
        player.session(true);
    }
    player.peace();
    player.session(false);
    player.finish()
}

/// Whether a task is done.
fn poll(task: &mut Task) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(task.as_mut().poll(&mut context), Poll::Ready(()))
}

impl Player {
    /// From a start to an end.
    fn session(&mut self, troubled: bool) {
        let mut session = self.start(troubled);
        let sources = 1 + self.dice.below(6);
        for source in 0..sources {
            let world = World {
                dice: self.dice.clone(),
                model: self.model.clone(),
            };
            let name = format!("run-{source}");
            session
                .tasks
                .push(Box::pin(live(world, session.recorder.clone(), name)));
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

    /// Nothing disturbs any more.
    fn peace(&mut self) {
        self.disk.disarm();
        self.disk.set_room(None);
        (self.armed, self.room) = (false, false);
    }

    fn arm(&mut self, within: u64) {
        let dice = &self.dice;
        let operation = match dice.below(14) {
            0 => "write",
            1 => "publish",
            2 => "allocate",
            3 => "open_or_create",
            4 => "remove",
            5 => "write_at",
            6 => "set_len",
            7 => "sync",
            8 => "sync_all",
            9 => "look",
            _ => "any",
        };
        let fault = match dice.below(6) {
            0 => Fault::NotPersisted,
            1 => Fault::Persisted,
            2 => Fault::NotDurable,
            3 => Fault::Torn(dice.below(5_000) as usize),
            _ => Fault::Dies,
        };
        let kind = if dice.once_in(3) {
            ErrorKind::StorageFull
        } else {
            ErrorKind::Other
        };
        let after = match operation {
            "any" | "look" => dice.below(within),
            "set_len" | "open_or_create" => dice.below(2),
            _ => dice.below(1 + within / 8),
        };
        self.disk.arm(after, operation, kind, fault);
        self.armed = true;
    }

    /// Whether the armed fault has struck since this was asked.
    fn has_struck(&mut self) -> bool {
        let struck = self.armed && !self.disk.is_armed();
        if struck {
            self.armed = false;
            self.tally.count(self.disk.struck().unwrap(), 1);
        }
        struck
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

    /// The process is gone, or the machine.
    fn fall(&mut self) {
        let dice = self.dice.clone();
        let choose = &mut |n| dice.below(n);
        if self.dice.once_in(2) {
            self.tally.count("power cuts", 1);
            self.disk = self.disk.lose_power(choose);
            simulated::reboot();
        } else {
            self.tally.count("kills", 1);
            self.disk = self.disk.restart(choose);
        }
        (self.armed, self.room) = (false, false);
        simulated::pass(Duration::from_millis(self.dice.below(10_000)));
    }

    fn step(&mut self, session: &mut Session, troubled: bool) {
        match self.dice.below(100) {
            0..52 => self.task(session),
            52..74 => self.write(session),
            74..84 => self.settle(session),
            84..92 => self.pass_time(),
            92..94 => {
                let recorder = session.recorder.clone();
                let model = self.model.clone();
                session.tasks.push(Box::pin(publish(recorder, model)));
            }
            94 => {
                let recorder = session.recorder.clone();
                self.model.borrow_mut().rotates = true;
                session.tasks.push(Box::pin(async move {
                    drop(recorder.rotate().await);
                }));
            }
            95 if troubled && !self.armed => self.arm(120),
            96..98 if troubled => {
                self.room = !self.room;
                let room = self.dice.below(300_000);
                self.disk.set_room(self.room.then_some(room));
            }
            _ => {}
        }
    }

    fn pass_time(&self) {
        let millis = match self.dice.below(8) {
            0 => 31_000,
            1..4 => 1_000,
            _ => 10,
        };
        simulated::pass(Duration::from_millis(self.dice.below(millis)));
        if self.dice.once_in(40) {
            simulated::set_back(Duration::from_secs(self.dice.below(5_000)));
        }
    }

    fn task(&self, session: &mut Session) {
        let at = self.dice.below(session.tasks.len() as u64) as usize;
        if let Some(task) = session.tasks.get_mut(at)
            && poll(task)
        {
            drop(session.tasks.swap_remove(at));
        }
    }

    /// A turn of the writer, if it has something to do.
    fn write(&mut self, session: &mut Session) {
        let most = BACKLOG * self.options.segment_bytes;
        if session.recorder.status().backlog_bytes >= most {
            self.settle(session);
        }
        // One that has ended keeps nobody waiting.
        let behind = session.recorder.status().backlog_bytes >= most && session.settler.is_some();
        if let Some(sequencer) = session
            .sequencer
            .as_mut()
            .filter(|it| it.is_due() && !behind)
        {
            if !sequencer.turn(true) {
                session.sequencer = None;
            }
            self.look(session);
        }
    }

    /// A turn of the settler.
    fn settle(&mut self, session: &mut Session) {
        if let Some(settler) = &mut session.settler {
            if settler.turn(Duration::ZERO) == Turn::Ended {
                session.settler = None;
            }
            self.look(session);
            note_checkpoints(&mut self.model.borrow_mut(), &self.disk);
        }
    }

    /// What has become of the recorder.
    fn look(&mut self, session: &mut Session) {
        let struck = self.has_struck();
        session.struck |= struck;
        let mut failure = std::pin::pin!(session.recorder.failed());
        let mut context = Context::from_waker(Waker::noop());
        let failed = failure.as_mut().poll(&mut context);
        if let Poll::Ready(error) = &failed {
            // A recorder that ends cannot wait for room.
            assert!(
                session.struck || (self.room && session.ending),
                "the recorder fails without a cause: {error}"
            );
            let model = &mut *self.model.borrow_mut();
            if model.dead_line.is_none() {
                model.dead_line = Some(session.recorder.status().durable);
                self.tally.count("failures", 1);
            }
        }
        let sync = struck && self.disk.struck() == Some("sync") && !self.disk.is_dead();
        assert!(
            !sync || failed.is_ready(),
            "a failed sync has not ended the recorder"
        );
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
        // Nobody hears anything any more, and what is dropped below cannot reach the disk that goes on.
        drop(tasks);
        self.fall();
        drop((recorder, sequencer, settler));
    }

    /// The last look.
    fn finish(mut self) -> History {
        let model = self.model.borrow();
        let kinds = |kind: &str| {
            let name = format!("\"kind\":\"{kind}\"");
            let lines = model.lines.iter();
            lines
                .filter(|line| memchr::memmem::find(line, name.as_bytes()).is_some())
                .count() as u64
        };
        let refused = model.refused_tags().len() as u64;
        let told = |what: &str| {
            let lines = model.lines.iter();
            lines
                .filter(|line| memchr::memmem::find(line, what.as_bytes()).is_some())
                .count() as u64
        };
        let counts = [
            ("acknowledged", model.acknowledged()),
            ("refused", refused),
            ("interrupted", told("\"state\":\"interrupted\"")),
            ("heartbeats", kinds("heartbeat")),
            ("torn ends", told("discarded_bytes")),
            ("epochs", kinds("key.epoch")),
            ("sealed volumes", kinds("vault.sealed")),
            ("checkpoints", model.checkpoints.len() as u64),
            ("published", model.published.len() as u64),
            ("events", model.lines.len() as u64),
        ];
        for (what, n) in counts {
            self.tally.count(what, n);
        }
        let mut files = self.disk.files();
        for (path, bytes) in &mut files {
            if path.starts_with(crate::published::DIR) {
                // ML-DSA-44 signatures are hedged: their bytes are nobody's choice.
                let text = String::from_utf8(std::mem::take(bytes)).unwrap();
                let kept = text.lines().filter(|line| line.len() < 1_000);
                *bytes = kept.collect::<Vec<_>>().join("\n").into_bytes();
            }
        }
        History {
            lines: model.lines.clone(),
            files,
            tally: self.tally.clone(),
        }
    }
}

/// Publishes a checkpoint, which must cover what was durable when it was asked for.
async fn publish(recorder: Recorder, model: Rc<RefCell<Model>>) {
    let durable = recorder.status().durable;
    if let Ok(published) = recorder.publish().await {
        assert!(published.size >= durable, "{} of {durable}", published.size);
        let known = model
            .borrow_mut()
            .checkpoints
            .insert(published.size, published.root.to_string());
        assert!(known.is_none_or(|root| root == published.root.to_string()));
    }
}
