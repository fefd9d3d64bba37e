//! Events on their way into the record, and what the record is owed: how each call ended, and what was lost.
//!
//! The one way by which these are written: cut until they fit a line, queued in their order, and tried again for as long as
//! the disk is full, without their bodies if these found no room. Only a recorder that has failed or is closed leaves one
//! out; its next start closes what is open.

use crate::context::Context;
use crate::ending::not_recorded;
use crate::shorten;
use bytes::Bytes;
use event::{Draft, Gap, Kind, Role};
use evidence::{Appended, Error, Pending};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long to wait before trying a full disk again.
const PAUSE: Duration = Duration::from_millis(200);

/// Something to be recorded along with a call: an event, and the body it refers to.
#[derive(Debug)]
pub(crate) struct Noted {
    /// The event.
    pub(crate) draft: Box<Draft>,
    /// Role, media type and bytes of its body.
    pub(crate) body: Option<(Role, Option<String>, Bytes)>,
}

impl Noted {
    /// An event without a body.
    pub(crate) const fn event(draft: Box<Draft>) -> Self {
        Self { draft, body: None }
    }
}

/// Queues an event, shortened until it fits. The order is fixed when this returns. A refusal is this event's alone: that a
/// later one is durable says nothing about it.
///
/// # Errors
/// As [`evidence::Recorder::submit`], but never that the event is too long.
pub(crate) async fn submit(ctx: &Context, draft: &mut Draft) -> Result<Pending, Error> {
    submit_as(ctx, draft, false).await
}

/// `counted`: it was refused before, and the record counts it as that.
async fn submit_as(ctx: &Context, draft: &mut Draft, counted: bool) -> Result<Pending, Error> {
    let mut steps = shorten::STEPS.iter();
    loop {
        let submitted = if counted {
            ctx.recorder.submit_again(draft).await
        } else {
            ctx.recorder.submit(draft).await
        };
        match submitted {
            Err(Error::Event(why)) => match steps.next() {
                Some(step) => step(draft),
                None => return Err(Error::Event(why)),
            },
            other => return other,
        }
    }
}

/// Whether the recorder takes nothing any more: it has failed, or is closed.
pub(crate) const fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Fatal(_) | Error::Closed)
}

/// Gives up the bodies of an event, and `unfinished` bytes of one that has no reference yet: it says so.
pub(crate) fn give_up_bodies(draft: &mut Draft, unfinished: u64) {
    let lost = body_bytes(draft).max(unfinished);
    draft.bodies.clear();
    if !draft.kind.is_terminal() {
        return;
    }
    let is_process = draft.kind == Kind::ProcessExit;
    if !is_process {
        // What is not in the record is not handed on.
        draft.outcome = Some(not_recorded());
    }
    if lost > 0 {
        draft.gap = Some(Gap {
            of: if is_process { "stderr" } else { "response" }.to_owned(),
            cause: "not-recorded".to_owned(),
            count: lost,
            unit: "bytes".to_owned(),
            ..Gap::default()
        });
    }
}

/// Bytes of an event's bodies; of the heads only where there is nothing else.
fn body_bytes(draft: &Draft) -> u64 {
    let bytes = |heads: bool| -> u64 {
        draft
            .bodies
            .iter()
            .filter(|body| heads || !matches!(body.role, Role::ResponseHead | Role::Trailers))
            .map(|body| body.len)
            .sum()
    };
    match bytes(false) {
        0 => bytes(true),
        bytes => bytes,
    }
}

/// An event that was queued, or could not be.
#[derive(Debug)]
pub(crate) struct Queued {
    draft: Box<Draft>,
    /// The recorder has been asked to take it.
    submitted: bool,
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    Open(Pending),
    Known(Result<Appended, Error>),
}

impl Queued {
    /// Queues an event. Its order is fixed when this returns; whether it is recorded, [`Self::durable`] knows.
    pub(crate) async fn event(ctx: &Context, draft: Box<Draft>) -> Self {
        Self::queue(ctx, draft, false).await
    }

    /// Queues one that was refused once more.
    async fn again(self, ctx: &Context) -> Self {
        Self::queue(ctx, self.draft, self.submitted).await
    }

    async fn queue(ctx: &Context, mut draft: Box<Draft>, counted: bool) -> Self {
        let fate = match submit_as(ctx, &mut draft, counted).await {
            Ok(pending) => Fate::Open(pending),
            Err(error) => Fate::Known(Err(error)),
        };
        Self {
            draft,
            submitted: true,
            fate,
        }
    }

    /// Queues an event behind its body.
    pub(crate) async fn noted(ctx: &Context, noted: Noted) -> Self {
        let Noted { mut draft, body } = noted;
        let Some((role, media, bytes)) = body else {
            return Self::event(ctx, draft).await;
        };
        match ctx.recorder.put(role, media, None, &bytes).await {
            Ok(body) => {
                draft.bodies.push(body);
                Self::event(ctx, draft).await
            }
            Err(error) => {
                give_up_bodies(&mut draft, bytes.len() as u64);
                Self::refused(draft, error)
            }
        }
    }

    /// An event that could not be queued as it is.
    pub(crate) const fn refused(draft: Box<Draft>, error: Error) -> Self {
        Self {
            draft,
            submitted: false,
            fate: Fate::Known(Err(error)),
        }
    }

    /// Whether the record must not do without it.
    pub(crate) fn is_owed(&self) -> bool {
        self.draft.kind.is_terminal() || self.is_gap()
    }

    /// Whether it says that something is missing.
    pub(crate) fn is_gap(&self) -> bool {
        self.draft.kind == Kind::Gap
    }

    /// Resolves when it is durable as it was queued, or is not going to be. May be asked again, and given up.
    pub(crate) async fn durable(&mut self) -> Result<Appended, Error> {
        let known = match &mut self.fate {
            Fate::Open(pending) => pending.await,
            Fate::Known(known) => return known.clone(),
        };
        self.fate = Fate::Known(known.clone());
        known
    }

    /// As [`settle_queued`], for this one.
    pub(crate) async fn settled(self, ctx: &Context) -> Result<(), Error> {
        settle_queued(ctx, [self]).await
    }
}

/// Queues everything, in order, and resolves when what is owed of it is durable.
pub(crate) async fn settle(ctx: &Context, noted: impl IntoIterator<Item = Noted>) {
    let mut queued = Vec::new();
    for noted in noted {
        queued.push(Queued::noted(ctx, noted).await);
    }
    // A failure is counted and logged where it happens; recovery closes the calls then.
    settle_queued(ctx, queued).await.ok();
}

/// Resolves when these are durable. What is owed is tried again until it is, without its bodies where these were refused.
///
/// # Errors
/// The recorder has failed or is closed, or an event was refused that is not owed. Counted and logged here.
pub(crate) async fn settle_queued(
    ctx: &Context,
    queued: impl IntoIterator<Item = Queued>,
) -> Result<(), Error> {
    // A call that waits is as large as the largest future in it, a thousand times over.
    Box::pin(settle_all(ctx, queued.into_iter().collect())).await
}

async fn settle_all(ctx: &Context, mut queued: Vec<Queued>) -> Result<(), Error> {
    let mut settled = Ok(());
    loop {
        let (mut again, mut is_full) = (VecDeque::new(), false);
        for mut queued in queued {
            let Err(error) = queued.durable().await else {
                continue;
            };
            if is_gone(&error) || !queued.is_owed() {
                ctx.figures.unrecorded.fetch_add(1, Relaxed);
                let draft = &queued.draft;
                let call = draft.exchange.as_ref().and_then(|exchange| exchange.call);
                tracing::error!(kind = %draft.kind, call, %error, "an event could not be recorded");
                settled = Err(error);
                continue;
            }
            is_full |= queued.draft.bodies.is_empty();
            if !queued.draft.bodies.is_empty() {
                give_up_bodies(&mut queued.draft, 0);
            }
            again.push_back(queued);
        }
        queued = Vec::with_capacity(again.len());
        if is_full && let Some(first) = again.pop_front() {
            queued.push(wait_for_room(ctx, first).await);
        }
        for refused in again {
            queued.push(refused.again(ctx).await);
        }
        if queued.is_empty() {
            return settled;
        }
    }
}

/// Tries one event again and again, on behalf of all that wait.
async fn wait_for_room(ctx: &Context, mut queued: Queued) -> Queued {
    loop {
        tokio::time::sleep(PAUSE).await;
        queued = queued.again(ctx).await;
        match queued.durable().await {
            Err(error) if !is_gone(&error) => {}
            _ => return queued,
        }
    }
}
