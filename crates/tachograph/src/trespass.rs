//! Requests to the operator's listener from somebody who does not hold its token: each is counted into the record.
//!
//! On a loopback address every user of the machine may connect, agents too. Promises that the first attempt is recorded
//! at once and that a flood of them fills nothing: further ones are counted, one pair of events a second at most. Never
//! records a query or a header, which may hold a secret mistyped.

use event::{Draft, Exchange, Http, Kind, Outcome, Source, State};
use evidence::{Error, Recorder};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The least time between two pairs of events.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest path in an event, in characters.
const PATH_CHARS: usize = 256;

/// What was refused and is not in the record yet.
#[derive(Debug, Default)]
pub(crate) struct Trespass {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    count: u64,
    /// The newest of them.
    newest: Http,
    /// Why it was refused.
    error: &'static str,
    /// A task writes what is added.
    writer: bool,
}

impl Trespass {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a refused request and sees to it that it is recorded.
    pub(crate) fn note<B>(
        self: &Arc<Self>,
        recorder: &Recorder,
        request: &http::Request<B>,
        error: &'static str,
    ) {
        let newest = Http {
            method: Some(request.method().as_str().chars().take(32).collect()),
            path: Some(request.uri().path().chars().take(PATH_CHARS).collect()),
            version: Some(format!("{:?}", request.version())),
            ..Http::default()
        };
        let mut waiting = self.waiting();
        waiting.count += 1;
        (waiting.newest, waiting.error) = (newest, error);
        if !std::mem::replace(&mut waiting.writer, true) {
            tokio::spawn(self.clone().write(recorder.clone()));
        }
    }

    /// Writes until nothing waits. What a recorder refuses for want of room waits for the next turn.
    async fn write(self: Arc<Self>, recorder: Recorder) {
        while let Some((count, newest, error)) = self.take() {
            match record(&recorder, count, newest, error).await {
                Ok(()) => {}
                Err(Error::Full(_)) => self.waiting().count += count,
                Err(error) => {
                    tracing::debug!(%error, "refused requests could not be recorded");
                    return;
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn take(&self) -> Option<(u64, Http, &'static str)> {
        let mut waiting = self.waiting();
        waiting.writer = waiting.count > 0;
        let count = std::mem::take(&mut waiting.count);
        (count > 0).then(|| (count, waiting.newest.clone(), waiting.error))
    }
}

/// One request that stands for `count`, and its end.
async fn record(
    recorder: &Recorder,
    count: u64,
    newest: Http,
    error: &'static str,
) -> Result<(), Error> {
    let mut request = Draft::new(Kind::HttpRequest, Source::Recorder);
    request.http = Some(newest.clone());
    let facts = request.facts.get_or_insert_default();
    facts.insert("listener".to_owned(), "console".into());
    facts.insert("count".to_owned(), count.into());
    let call = recorder.append(&request).await?.seq;
    let mut end = Draft::new(Kind::HttpResponse, Source::Recorder);
    end.http = Some(newest);
    end.exchange = Some(Exchange {
        call: Some(call),
        ..Exchange::default()
    });
    end.causes = vec![call];
    end.outcome = Some(Outcome {
        state: State::Denied,
        error: Some(error.to_owned()),
        reason: None,
    });
    recorder.append(&end).await?;
    Ok(())
}
