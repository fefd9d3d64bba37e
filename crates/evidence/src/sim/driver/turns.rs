//! One step at a time: who goes on next, and what must hold after it.

use super::super::check::{check_live, note_checkpoints};
use super::super::orders;
use super::{Player, Session, poll};
use crate::ambient::simulated;
use crate::settler_thread::Turn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Segments that may wait to be settled before the writer is made to wait: it would wait in real time.
const BACKLOG: u64 = 16;

impl Player {
    pub(super) fn step(&mut self, session: &mut Session, troubled: bool) {
        match self.dice.below(100) {
            0..52 => self.task(session),
            52..74 => self.write(session),
            74..84 => self.settle(session),
            84..92 => self.pass_time(),
            92..94 => {
                let order = orders::publish(self.world(), session.recorder.clone());
                session.tasks.push(Box::pin(order));
            }
            94 => {
                let order = orders::rotate(self.world(), session.recorder.clone());
                session.tasks.push(Box::pin(order));
            }
            98 => {
                let order = orders::revoke(self.world(), session.recorder.clone());
                session.tasks.push(Box::pin(order));
                if troubled && !self.armed && self.dice.once_in(2) {
                    self.arm(16);
                }
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
            0 => 40_000,
            1..4 => 1_000,
            _ => 10,
        };
        simulated::pass(Duration::from_millis(self.dice.below(millis)));
        if self.dice.once_in(40) {
            simulated::set_back(Duration::from_secs(self.dice.below(5_000)));
        }
    }

    pub(super) fn task(&self, session: &mut Session) {
        let at = self.dice.below(session.tasks.len() as u64) as usize;
        if let Some(task) = session.tasks.get_mut(at)
            && poll(task)
        {
            drop(session.tasks.swap_remove(at));
        }
    }

    /// A turn of the writer, if it has something to do.
    pub(super) fn write(&mut self, session: &mut Session) {
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
    pub(super) fn settle(&mut self, session: &mut Session) {
        if let Some(settler) = &mut session.settler {
            if settler.turn(Duration::ZERO) == Turn::Ended {
                session.settler = None;
            }
            self.look(session);
            let model = &mut *self.model.borrow_mut();
            note_checkpoints(model, &self.disk);
            if model.revoked_just_now() && !self.disk.is_dead() {
                check_live(&self.disk.restart(&mut |_| 1));
            }
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
}
