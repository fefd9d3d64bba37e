//! What agents make the gateway do: calls with bodies in parts, calls that stay open, bodies given up.

use super::Dice;
use super::model::{Flushed, Model};
use crate::body::BodyWriter;
use crate::command::{Appended, Pending};
use crate::error::Error;
use crate::recorder::Recorder;
use event::{BodyRef, Draft, Exchange, Kind, Outcome, Role, Run, Source, State};
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// How often a source tries an event again that was refused.
const ATTEMPTS: u64 = 3;

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) model: Rc<RefCell<Model>>,
}

/// The recorder has ended.
struct Ended;

/// Lets others go on.
pub(super) async fn pause() {
    let mut paused = false;
    poll_fn(|_| {
        if std::mem::replace(&mut paused, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// One source, until the recorder ends.
pub(super) async fn live(world: World, recorder: Recorder, name: String) {
    let source = Live {
        world,
        recorder,
        name,
    };
    while source.act().await.is_ok() {}
}

/// So many small events at once, then silence.
pub(super) async fn crowd(world: World, recorder: Recorder, events: u64) {
    let source = Live {
        world,
        recorder,
        name: "crowd".into(),
    };
    let mut waiting = Vec::new();
    for _ in 0..events {
        let Ok(submitted) = source.submit(source.draft(Kind::RunHistory), &[]).await else {
            return;
        };
        waiting.push(submitted);
    }
    for (tag, pending) in waiting {
        let answer = pending.await;
        source.world.model.borrow_mut().answered(tag, &answer);
    }
}

struct Live {
    world: World,
    recorder: Recorder,
    name: String,
}

impl Live {
    async fn act(&self) -> Result<(), Ended> {
        let dice = &self.world.dice;
        pause().await;
        match dice.below(10) {
            0..2 => self.message().await,
            2..4 => self.several().await,
            4 => self.abandon_body().await,
            _ => self.call().await,
        }
    }

    fn draft(&self, kind: Kind) -> Draft {
        let mut draft = Draft::new(kind, Source::Gateway);
        // Some sources come back in the next session as the same run, some events have no run.
        if !self.world.dice.once_in(8) {
            draft.run = Some(Run {
                id: self.name.clone(),
                ..Run::default()
            });
        }
        draft
    }

    /// Bytes that repeat in part what others sent.
    fn bytes(&self) -> Vec<u8> {
        let dice = &self.world.dice;
        let most = match dice.below(24) {
            0 => 60_000,
            1..4 => 9_000,
            4..8 => 0,
            _ => 700,
        };
        let len = dice.below(most + 1) as usize;
        let mut seed = dice.below(6);
        if dice.once_in(2) {
            seed = dice.next();
        }
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(format!("{:x} ", super::mix(&mut seed)).as_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    async fn submit(
        &self,
        mut draft: Draft,
        bodies: &[(BodyRef, Vec<u8>)],
    ) -> Result<(u64, Pending), Ended> {
        draft.bodies = bodies.iter().map(|(body, _)| body.clone()).collect();
        let tag = self.world.model.borrow_mut().tag(&mut draft);
        let pending = match self.recorder.submit(&draft).await {
            Ok(pending) => pending,
            Err(Error::Fatal(_) | Error::Closed) => return Err(Ended),
            Err(other) => panic!("{other}"),
        };
        let mut model = self.world.model.borrow_mut();
        model.submitted(tag, &draft, bodies);
        Ok((tag, pending))
    }

    /// The place of an event; `None` when it was refused.
    async fn append(
        &self,
        draft: Draft,
        bodies: &[(BodyRef, Vec<u8>)],
    ) -> Result<Option<Appended>, Ended> {
        let (tag, pending) = self.submit(draft, bodies).await?;
        let answer = pending.await;
        let goes_on = self.world.model.borrow_mut().answered(tag, &answer);
        if goes_on { Ok(answer.ok()) } else { Err(Ended) }
    }

    async fn message(&self) -> Result<(), Ended> {
        let draft = self.draft(Kind::McpMessage);
        let bodies = self.bodies(2).await?;
        self.append(draft, &bodies).await.map(drop)
    }

    /// Several events in a row, before the first is acknowledged.
    async fn several(&self) -> Result<(), Ended> {
        let mut waiting = Vec::new();
        for _ in 0..1 + self.world.dice.below(6) {
            waiting.push(self.submit(self.draft(Kind::RunHistory), &[]).await?);
            if self.world.dice.once_in(3) {
                pause().await;
            }
        }
        for (tag, pending) in waiting {
            let answer = pending.await;
            if !self.world.model.borrow_mut().answered(tag, &answer) {
                return Err(Ended);
            }
        }
        Ok(())
    }

    async fn abandon_body(&self) -> Result<(), Ended> {
        let mut body = self.recorder.body().map_err(|_| Ended)?;
        body.write(&self.bytes()).await.map_err(|_| Ended)?;
        pause().await;
        if self.world.dice.once_in(2) {
            drop(body.flush().await.map_err(|_| Ended)?);
        }
        Ok(())
    }

    async fn bodies(&self, most: u64) -> Result<Vec<(BodyRef, Vec<u8>)>, Ended> {
        let mut bodies = Vec::new();
        for _ in 0..self.world.dice.below(most + 1) {
            let mut body = self.recorder.body().map_err(|_| Ended)?;
            let mut all = Vec::new();
            for _ in 0..1 + self.world.dice.below(2) {
                let bytes = self.bytes();
                body.write(&bytes).await.map_err(|_| Ended)?;
                all.extend_from_slice(&bytes);
                if self.world.dice.once_in(4) {
                    pause().await;
                }
            }
            let body = body.finish(Role::Request, None, None).await;
            bodies.push((body.map_err(|_| Ended)?, all));
        }
        Ok(bodies)
    }

    async fn call(&self) -> Result<(), Ended> {
        let kind = match self.world.dice.below(3) {
            0 => Kind::ModelRequest,
            1 => Kind::ToolRequest,
            _ => Kind::HttpRequest,
        };
        let bodies = self.bodies(2).await?;
        let Some(request) = self.append(self.draft(kind), &bodies).await? else {
            return Ok(());
        };
        let call = request.seq;
        let response = self.response(call).await?;
        if self.world.dice.once_in(10) {
            // The upstream never answers to the end.
            return Ok(());
        }
        let mut bodies: Vec<_> = response.into_iter().collect();
        for _ in 0..ATTEMPTS {
            let mut draft = self.draft(kind.closed_by().unwrap());
            draft.exchange = Some(Exchange {
                call: Some(call),
                ..Exchange::default()
            });
            draft.outcome = Some(Outcome {
                state: State::Completed,
                error: None,
                reason: None,
            });
            if self.append(draft, &bodies).await?.is_some() {
                self.world.model.borrow_mut().flushed.remove(&call);
                return Ok(());
            }
            // Perhaps without what had no room.
            bodies.clear();
            pause().await;
        }
        Ok(())
    }

    /// The body of a response, in parts; `None` where there is none, or where it broke off.
    async fn response(&self, call: u64) -> Result<Option<(BodyRef, Vec<u8>)>, Ended> {
        let dice = &self.world.dice;
        if dice.once_in(4) {
            return Ok(None);
        }
        let mut body = self.recorder.body().map_err(|_| Ended)?;
        body.attach(call, Role::Response);
        let mut all = Vec::new();
        for _ in 0..1 + dice.below(5) {
            let bytes = self.bytes();
            all.extend_from_slice(&bytes);
            body.write(&bytes).await.map_err(|_| Ended)?;
            if dice.once_in(2) {
                self.flush(&mut body, call, &all).await?;
            } else {
                pause().await;
            }
        }
        if dice.once_in(10) {
            return Ok(None);
        }
        let reference = body.finish(Role::Response, None, None).await;
        self.world
            .model
            .borrow_mut()
            .flushed
            .entry(call)
            .or_default()
            .written
            .clone_from(&all);
        Ok(Some((reference.map_err(|_| Ended)?, all)))
    }

    async fn flush(&self, body: &mut BodyWriter, call: u64, all: &[u8]) -> Result<(), Ended> {
        let pending = body.flush().await.map_err(|_| Ended)?;
        self.flushed(call, |flushed| flushed.written = all.to_vec());
        match pending.await {
            Ok(_) => {
                self.flushed(call, |flushed| flushed.durable = all.len());
                Ok(())
            }
            Err(Error::Full(_)) => Ok(()),
            Err(Error::Fatal(_) | Error::Closed) => Err(Ended),
            Err(other) => panic!("{other}"),
        }
    }

    fn flushed(&self, call: u64, change: impl FnOnce(&mut Flushed)) {
        change(
            self.world
                .model
                .borrow_mut()
                .flushed
                .entry(call)
                .or_default(),
        );
    }
}
