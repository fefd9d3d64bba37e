//! From a line to its events.

use super::Session;
use crate::mcp::record;
use crate::mcp::{Direction, Parked, cancelled, ended, id_reused, timing};
use crate::model::moment;
use crate::owed::{Queued, give_up_bodies, submit};
use crate::runs::{Continuity, Ids, Request};
use crate::socket::acknowledge::Due;
use crate::socket::lines::{self, Line, Unread};
use crate::socket::open::{Opened, Place};
use event::{BodyRef, Draft, Outcome, Role};
use evidence::Error;
use protocol::jsonrpc::{self, Id};
use protocol::mcp::{self, Shape, View};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

impl Session {
    /// Queues the events of a line.
    pub(super) async fn line(&mut self, direction: Direction, line: Line) -> Due {
        let mut due = Due::default();
        if let Err(error) = self.queue(direction, line, &mut due).await {
            due.refused = Some(error.to_string());
        }
        due
    }

    async fn queue(
        &mut self,
        direction: Direction,
        mut line: Line,
        due: &mut Due,
    ) -> Result<(), Error> {
        let received = Instant::now();
        let (text, len) = (line.text.take(), line.len);
        let payload = match lines::read(text.as_deref()) {
            Ok(payload) => payload,
            Err(unread) => {
                let mut draft = match unread {
                    Unread::Empty(why) => record::empty(self.source, &self.party, direction, why),
                    Unread::NotUnderstood(why) => {
                        self.ctx.figures.not_understood.fetch_add(1, Relaxed);
                        record::not_understood(self.source, &self.party, direction, why)
                    }
                };
                draft.bodies.push(line.finish(Role::Message).await?);
                self.event(draft, due).await;
                return Ok(());
            }
        };
        let kinds: Vec<jsonrpc::Kind<'_>> = payload
            .messages
            .iter()
            .map(|message| message.kind.clone())
            .collect();
        let body = match line.finish(lines::role(&kinds)).await {
            Ok(body) => Recorded::Body(body),
            Err(error) => Recorded::Not(error, len),
        };
        for message in &payload.messages {
            let view = mcp::view(message);
            self.message(direction, &view, (payload.batch, received), &body, due)
                .await?;
        }
        let read = payload.messages.len() as u64;
        if let Some(count) = payload.batch.filter(|count| *count > read) {
            self.ctx.figures.not_understood.fetch_add(1, Relaxed);
            let draft = record::left_out(self.source, &self.party, direction, count - read);
            self.event(draft, due).await;
        }
        Ok(())
    }

    /// Queues an event of a line.
    async fn event(&self, mut draft: Box<Draft>, due: &mut Due) {
        draft.run.get_or_insert_with(|| self.run.clone());
        due.queued.push(Queued::event(&self.ctx, draft).await);
    }

    /// Queues the events of one message.
    async fn message(
        &mut self,
        direction: Direction,
        view: &View<'_>,
        (batch, received): (Option<u64>, Instant),
        body: &Recorded,
        due: &mut Due,
    ) -> Result<(), Error> {
        let mut draft = record::message(self.source, &self.party, direction, view);
        match (direction, view.shape, &view.id) {
            (Direction::ToServer, Shape::Request, Some(id)) => {
                return self.request(view, id, (batch, received), body, due).await;
            }
            (Direction::ToClient, Shape::Response | Shape::Error, Some(id)) => {
                let waiting = self.open().take(id);
                if let Some(opened) = waiting
                    && let Some(parked) = opened.call(&self.ctx).await
                {
                    return self.answer(parked, view, body, due).await;
                }
            }
            (Direction::ToClient, Shape::Request, Some(id)) => {
                draft.bodies.push(body.reference()?);
                draft.run = Some(self.run.clone());
                let place = Place::of(submit(&self.ctx, &mut draft).await?);
                due.asked.push(place.clone());
                self.open().question(id.clone(), place);
                return Ok(());
            }
            (Direction::ToServer, Shape::Response | Shape::Error, Some(id)) => {
                let question = self.open().answered(id);
                if let Some(question) = question
                    && let Ok((appended, _)) = question.known().await
                {
                    draft.causes.push(appended.seq);
                }
            }
            (Direction::ToServer, Shape::Notification, _) => {
                if let Some(id) = &view.cancels {
                    let seq = self.end(id, cancelled(), due).await;
                    draft.causes.extend(seq);
                }
            }
            _ => {}
        }
        draft.bodies.push(body.reference()?);
        self.event(draft, due).await;
        Ok(())
    }

    /// Ends the call that waits under an id, unanswered. Returns the `seq` of its request.
    async fn end(&self, id: &Id, outcome: Outcome, due: &mut Due) -> Option<u64> {
        let opened = self.open().take(id)?;
        let Parked { call, .. } = opened.call(&self.ctx).await?;
        let end = Queued::noted(&self.ctx, ended(&call, outcome)).await;
        due.queued.push(end);
        Some(call.seq)
    }

    /// Queues the terminal event of a call that is answered.
    async fn answer(
        &mut self,
        Parked { call, asked }: Parked,
        view: &View<'_>,
        body: &Recorded,
        due: &mut Due,
    ) -> Result<(), Error> {
        let mut draft = call.closing();
        let shared = &self.ctx.mcp;
        let answered = record::answer(shared, &mut self.party, &asked, call.seq, view, &mut draft);
        draft.outcome = Some(Outcome {
            state: answered.state(),
            error: answered.error(),
            reason: None,
        });
        draft.timing = Some(timing(&call));
        match body {
            Recorded::Body(body) => draft.bodies.push(body.clone()),
            Recorded::Not(_, len) => give_up_bodies(&mut draft, *len),
        }
        self.event(draft, due).await;
        // Without its bytes it does not pass.
        body.reference().map(drop)
    }

    /// Queues the request event of a call. One that waits under its id ends.
    async fn request(
        &mut self,
        view: &View<'_>,
        id: &Id,
        (batch, received): (Option<u64>, Instant),
        body: &Recorded,
        due: &mut Due,
    ) -> Result<(), Error> {
        let body = body.reference()?;
        if !self.open().has_room(id) {
            return Err(Error::Full("too many calls wait for an answer".to_owned()));
        }
        self.end(id, id_reused(), due).await;
        if view.method.as_deref() == Some("initialize") {
            self.party.agent.client.clone_from(&view.implementation);
        } else if view.protocol_version.is_some() {
            self.party.version.clone_from(&view.protocol_version);
        }
        for draft in self.linked(view) {
            self.event(Box::new(draft), due).await;
        }
        let mut draft = Box::new(Draft::new(record::request_kind(view), self.source));
        draft.agent = Some(self.party.agent.clone());
        draft.run = Some(self.run.clone());
        draft.governance.clone_from(&self.ctx.governance);
        let asked = record::request(&self.ctx.mcp, &self.party, view, &mut draft);
        if let Some(mcp) = &mut draft.mcp {
            mcp.batch = batch;
        }
        draft.causes.push(self.start.seq);
        draft.bodies.push(body);
        let place = Place::of(submit(&self.ctx, &mut draft).await?);
        due.opened.push((id.clone(), place.clone()));
        let opened = Opened {
            request: draft,
            asked,
            received,
            place,
        };
        self.open().call(id.clone(), opened);
        Ok(())
    }

    /// The model's run that asked for a tool call becomes the parent of the process's run, once it is known.
    fn linked(&mut self, view: &View<'_>) -> Vec<Draft> {
        if !view.is_tool_call() {
            return Vec::new();
        }
        let request = Request {
            agent: &self.party.agent.name,
            ids: Ids {
                process: Some(self.run.id.as_bytes()),
                ..Ids::default()
            },
            continuity: Continuity::Process,
            tool_call: Some((
                view.target.as_deref().unwrap_or_default(),
                view.arguments.unwrap_or("{}"),
            )),
            retry_of: None,
        };
        let (now_ms, entropy) = moment();
        let Some(assignment) = self.ctx.tracker().assign(&request, now_ms, entropy) else {
            return Vec::new();
        };
        let events = assignment.events(&self.party.agent, self.source);
        self.run = assignment.run;
        events
    }
}

/// The bytes of a line.
enum Recorded {
    /// Where they are.
    Body(BodyRef),
    /// Why they are not, and how many they were.
    Not(Error, u64),
}

impl Recorded {
    fn reference(&self) -> Result<BodyRef, Error> {
        match self {
            Self::Body(body) => Ok(body.clone()),
            Self::Not(error, _) => Err(error.clone()),
        }
    }
}
