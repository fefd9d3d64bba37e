//! The process in the record: how it starts, and how it ends with all that it left open.

use super::{End, Session, SessionError, because};
use crate::context::Context;
use crate::exchange::{Call, Clock};
use crate::mcp::record;
use crate::mcp::{Parked, Party, ended, timing};
use crate::model::moment;
use crate::owed::{self, Queued, submit};
use crate::runs::{Continuity, Ids, Request};
use crate::socket::acknowledge::send;
use crate::socket::arguments::redacted;
use crate::socket::frame::{Ended, Frame, Hello, Role as Wrapped};
use crate::socket::lines::Collector;
use crate::socket::stderr::Stderr;
use event::{Agent, Draft, Kind, Mcp, Outcome, Role, Source, State};
use evidence::Error;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::net::unix::OwnedWriteHalf;

impl Session {
    /// Records that the process is about to start; durable when this returns.
    pub(super) async fn begin(ctx: Arc<Context>, hello: &Hello) -> Result<Self, Error> {
        let source = match hello.role {
            Wrapped::Mcp => Source::McpStdio,
            Wrapped::Run => Source::RunWrapper,
        };
        let agent = Agent {
            name: hello.agent.clone(),
            client: None,
        };
        let request = Request {
            agent: &agent.name,
            ids: Ids {
                process: hello.run.as_deref().map(str::as_bytes),
                ..Ids::default()
            },
            continuity: Continuity::Process,
            tool_call: None,
            retry_of: None,
        };
        let (now_ms, entropy) = moment();
        let assignment = ctx.tracker().assign(&request, now_ms, entropy);
        let run = assignment
            .as_ref()
            .map(|assignment| assignment.run.clone())
            .unwrap_or_default();
        let mut before = Vec::new();
        for draft in assignment
            .iter()
            .flat_map(|assignment| assignment.events(&agent, source))
        {
            before.push(Queued::event(&ctx, Box::new(draft)).await);
        }

        let argv = redacted(&hello.argv, &ctx.secret_names, &ctx.recorder);
        let detail = json!({ "argv": argv, "cwd": hello.cwd, "env": hello.env });
        let detail =
            serde_json::to_vec(&detail).map_err(|error| Error::Event(error.to_string()))?;
        let mut draft = Box::new(Draft::new(Kind::ProcessStart, source));
        draft.agent = Some(agent.clone());
        draft.run = Some(run.clone());
        draft.governance.clone_from(&ctx.governance);
        let program = argv.first().map_or("", |program| record::cut(program));
        record::fact(&mut draft, "program", Value::from(program));
        record::fact(
            &mut draft,
            "arguments",
            Value::from(argv.len().saturating_sub(1)),
        );
        if hello.resumed {
            record::fact(&mut draft, "resumed", Value::from(true));
        }
        if let Some(server) = &hello.server {
            draft.mcp = Some(Mcp {
                server: server.clone(),
                ..Mcp::default()
            });
        }
        let media = Some("application/json".to_owned());
        draft
            .bodies
            .push(ctx.recorder.put(Role::Detail, media, None, &detail).await?);
        let started = Instant::now();
        let seq = submit(&ctx, &mut draft).await?.await?.seq;
        let start = Call {
            ctx: ctx.clone(),
            seq,
            request: draft,
            clock: Clock::new(started, started),
        };
        for mut queued in before {
            if let Err(error) = queued.durable().await {
                start.give_up();
                return Err(error);
            }
        }
        let server = hello.server.clone().unwrap_or_default();
        Ok(Self {
            party: Party {
                agent,
                server,
                session: None,
                version: None,
            },
            ctx,
            run,
            source,
            start,
            open: Arc::default(),
            to_server: Collector::default(),
            to_client: Collector::default(),
            stderr: Stderr::default(),
        })
    }

    /// Closes what is open: the calls, then the process.
    pub(super) async fn conclude(
        mut self,
        end: End,
        to: Option<OwnedWriteHalf>,
    ) -> Result<(), SessionError> {
        let (state, error) = match &end {
            End::Ended(_) => (State::UpstreamError, "server_exited"),
            End::Lost(_) => (State::ClientAborted, "wrapper_lost"),
            End::Stopped => (State::Interrupted, "recorder_stopped"),
        };
        let mut owed = Vec::new();
        let left = self.open().take_all();
        for opened in left {
            if let Some(Parked { call, .. }) = opened.call(&self.ctx).await {
                let end = ended(&call, because(state, error));
                owed.push(Queued::noted(&self.ctx, end).await);
            }
        }
        let mut draft = self.start.closing();
        let (stderr, gap) = std::mem::take(&mut self.stderr).finish().await;
        draft.bodies.extend(stderr);
        if let Some(gap) = gap {
            let mut gap = self.start.gap(gap);
            gap.source = self.source;
            owed.push(Queued::event(&self.ctx, gap).await);
        }
        let mut outcome = because(state, error);
        let mut timing = timing(&self.start);
        if let End::Ended(ended) = &end {
            outcome = how(ended);
            timing.total_us = Some(ended.duration_us);
            for (name, value) in [
                ("pid", ended.pid.map(Value::from)),
                ("code", ended.code.map(Value::from)),
                ("signal", ended.signal.map(Value::from)),
            ] {
                if let Some(value) = value {
                    record::fact(&mut draft, name, value);
                }
            }
        }
        draft.outcome = Some(outcome);
        draft.timing = Some(timing);
        let exit = Queued::event(&self.ctx, draft).await;
        owed.push(exit);
        owed::settle_queued(&self.ctx, owed).await?;
        match end {
            End::Ended(_) => {
                if let Some(mut to) = to {
                    // The end is recorded whether or not the wrapper hears of it.
                    send(&mut to, &Frame::Ack).await.ok();
                }
                Ok(())
            }
            End::Lost(Some(error)) => Err(error),
            End::Lost(None) | End::Stopped => Ok(()),
        }
    }
}

fn how(ended: &Ended) -> Outcome {
    let (state, error) = match (&ended.not_started, ended.code, ended.signal) {
        (Some(_), ..) => (State::UpstreamError, Some("not_started".to_owned())),
        (None, Some(0), _) => (State::Completed, None),
        (None, Some(code), _) => (State::Completed, Some(format!("exit_{code}"))),
        (None, None, Some(signal)) => (State::Completed, Some(format!("signal_{signal}"))),
        (None, None, None) => (State::Completed, Some("unknown_status".to_owned())),
    };
    Outcome {
        state,
        error,
        reason: None,
    }
}
