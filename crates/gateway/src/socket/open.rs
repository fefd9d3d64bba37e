//! What a wrapped server and its agent have asked each other and is not answered yet.
//!
//! A call is known from the moment its event is queued, so that whatever comes behind it finds it: its answer, its
//! cancellation, another request under its id. Where it stands in the record is known when the event is durable.

use crate::context::Context;
use crate::exchange::{Call, Clock};
use crate::mcp::Parked;
use crate::mcp::record::Asked;
use event::Draft;
use evidence::{Appended, Error, Pending};
use protocol::jsonrpc::Id;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// Calls of a session that may wait for their answer, and as many questions of the server.
pub(super) const MAX_OPEN: usize = 4096;

/// What is not answered yet.
#[derive(Default)]
pub(super) struct Open {
    calls: HashMap<Id, Opened>,
    /// What the server asked the agent.
    questions: HashMap<Id, Place>,
}

impl Open {
    /// Whether one more call may wait under this id.
    pub(super) fn has_room(&self, id: &Id) -> bool {
        self.calls.len() < MAX_OPEN || self.calls.contains_key(id)
    }

    /// A call is queued. The one that waited under its id has been taken before.
    pub(super) fn call(&mut self, id: Id, opened: Opened) {
        self.calls.insert(id, opened);
    }

    /// Takes the call that waits under this id.
    pub(super) fn take(&mut self, id: &Id) -> Option<Opened> {
        self.calls.remove(id)
    }

    /// Takes this very call, if it still waits.
    pub(super) fn take_back(&mut self, id: &Id, place: &Place) -> Option<Opened> {
        match self.calls.entry(id.clone()) {
            Entry::Occupied(waiting) if waiting.get().place.is(place) => Some(waiting.remove()),
            _ => None,
        }
    }

    /// Takes all calls.
    pub(super) fn take_all(&mut self) -> Vec<Opened> {
        self.calls.drain().map(|(_, opened)| opened).collect()
    }

    /// A question is queued. Beyond the bound it is forgotten: its answer then names no cause.
    pub(super) fn question(&mut self, id: Id, place: Place) {
        if self.questions.len() < MAX_OPEN {
            self.questions.insert(id, place);
        }
    }

    /// Takes the question that waits under this id.
    pub(super) fn answered(&mut self, id: &Id) -> Option<Place> {
        self.questions.remove(id)
    }
}

/// A call whose request event is queued.
pub(super) struct Opened {
    /// The event.
    pub(super) request: Box<Draft>,
    pub(super) asked: Asked,
    /// When its line was whole.
    pub(super) received: Instant,
    pub(super) place: Place,
}

impl Opened {
    /// The call, once its event is durable; `None` where it was refused, so that there is no call.
    pub(super) async fn call(self, ctx: &Arc<Context>) -> Option<Parked> {
        let (appended, at) = self.place.known().await.ok()?;
        let mut clock = Clock::new(self.received, self.received);
        (clock.durable, clock.forwarded) = (Some(at), Some(at));
        let call = Call {
            ctx: ctx.clone(),
            seq: appended.seq,
            request: self.request,
            clock,
        };
        Some(Parked {
            call,
            asked: self.asked,
        })
    }
}

/// The place of a queued event in the record, for all who wait for it.
#[derive(Clone)]
pub(super) struct Place(Arc<Mutex<Fate>>);

enum Fate {
    Open(Pending),
    Known(Result<(Appended, Instant), Error>),
}

impl Place {
    pub(super) fn of(pending: Pending) -> Self {
        Self(Arc::new(Mutex::new(Fate::Open(pending))))
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Resolves when the event is durable, to where it stands and since when this is known; or when it is refused.
    pub(super) async fn known(&self) -> Result<(Appended, Instant), Error> {
        let mut fate = self.0.lock().await;
        let known = match &mut *fate {
            Fate::Open(pending) => pending.await.map(|appended| (appended, Instant::now())),
            Fate::Known(known) => return known.clone(),
        };
        *fate = Fate::Known(known.clone());
        known
    }
}
