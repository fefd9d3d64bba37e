//! How the calls end that an exchange answers, or leaves without an answer.

use super::{LISTEN, Purpose, Watch, ended, timing};
use crate::exchange::Call;
use crate::mcp::record::{self, Asked};
use crate::mcp::sessions::Parked;
use crate::owed::Noted;
use crate::relay::Verdict;
use bytes::Bytes;
use event::{Draft, Outcome, Role, State};
use protocol::jsonrpc;
use protocol::mcp::{self, View};

impl Watch {
    /// The terminal event of a call that was answered here, but not by this exchange's own answer.
    pub(super) fn closed(&mut self, waiting: &Parked, view: &View<'_>, raw: &str) -> Noted {
        let Parked { call, asked } = waiting;
        let mut draft = call.closing();
        let shared = &self.ctx.mcp;
        let answered = record::answer(shared, &mut self.party, asked, call.seq, view, &mut draft);
        self.agreed(asked);
        // The exchange that brought it.
        draft
            .causes
            .extend(self.seq.get().filter(|seq| **seq != call.seq));
        draft.outcome = Some(Outcome {
            state: answered.state(),
            error: answered.error(),
            reason: None,
        });
        draft.timing = Some(timing(call));
        let body = Bytes::copy_from_slice(raw.as_bytes());
        Noted {
            draft,
            body: Some((Role::Response, Some("application/json".to_owned()), body)),
        }
    }

    /// Fills the answer into the exchange's own terminal event.
    pub(super) fn own_answer(&mut self, call: &Call, draft: &mut Draft) -> Verdict {
        let Some((_, asked)) = self.own.clone() else {
            return Verdict::default();
        };
        if let (Some(mcp), Some(session)) = (&mut draft.mcp, &self.party.session) {
            mcp.session = Some(record::cut(session).to_owned());
        }
        let Some(raw) = self.reading.answer.take() else {
            // A server may close a subscription without a word; the call is over then, not broken.
            let is_over = asked.method == LISTEN && self.reading.is_stream();
            if is_over {
                record::fact(draft, "stream", "ended without a result".into());
            }
            return Verdict {
                cut_short: !is_over,
                ..Verdict::default()
            };
        };
        let Ok(payload) = jsonrpc::read(&raw) else {
            return Verdict::default();
        };
        let Some(message) = payload.messages.first() else {
            return Verdict::default();
        };
        let view = mcp::view(message);
        let shared = &self.ctx.mcp;
        let answered = record::answer(shared, &mut self.party, &asked, call.seq, &view, draft);
        self.agreed(&asked);
        Verdict {
            error: answered.error(),
            ..Verdict::default()
        }
    }

    /// Remembers the revision that `initialize` agreed on.
    fn agreed(&self, asked: &Asked) {
        if let (true, Some(key), Some(version)) =
            (asked.method == "initialize", &self.key, &self.party.version)
        {
            self.ctx.mcp.sessions().agreed(key, version.clone());
        }
    }

    /// Closes what can no longer be answered.
    pub(super) fn close_rest(&mut self, whole: bool, cancelled: &[u64], out: &mut Vec<Noted>) {
        // Given back behind the calls.
        let _room = std::mem::take(&mut self.room);
        let mut left: Vec<Parked> = self.batch.drain().map(|(_, parked)| parked).collect();
        if let Some(key) = &self.key {
            let mut sessions = self.ctx.mcp.sessions();
            if !whole || self.reading.status >= 400 {
                left.extend(
                    self.elsewhere
                        .iter()
                        .filter_map(|(id, seq)| sessions.unpark(key, id, *seq)),
                );
            }
            let ended = self.purpose == Purpose::End && whole && self.reading.status < 300;
            if self.reading.is_session || ended {
                left.extend(sessions.ended(key));
            }
        }
        let error = match self.reading.status {
            0 => "not_answered".to_owned(),
            status if status >= 400 => format!("http_{status}"),
            _ => "no_answer".to_owned(),
        };
        let state = if self.reading.status >= 400 || self.reading.status == 0 {
            State::UpstreamError
        } else {
            State::StreamError
        };
        out.extend(left.iter().map(|Parked { call, .. }| {
            let outcome = Outcome {
                state,
                error: Some(error.clone()),
                reason: None,
            };
            let is_cancelled = cancelled.contains(&call.seq) && self.reading.is_success();
            ended(
                call,
                if is_cancelled {
                    crate::mcp::cancelled()
                } else {
                    outcome
                },
            )
        }));
    }
}
