//! Load on one address: as fast as the answers come, or at a fixed rate whatever they do.

use crate::error::Error;
use crate::quantiles::Quantiles;
use crate::report::float;
use crate::upstream::sleep_until;
use crate::wire::Connection;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Scope, ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

/// Clients do little; many of them must not take much.
const STACK_BYTES: usize = 256 << 10;

/// Where requests go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
}

/// Whole requests, head and body, one after the other.
pub(crate) trait Requests: Send {
    /// The bytes of the next request.
    fn next(&mut self) -> &[u8];
}

/// What a load saw.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// From a request to the end of its answer, of those that were answered with 200.
    pub(crate) times: Quantiles,
    /// Answered with another status.
    pub(crate) refused: u64,
    /// How long it went on, up to the last answer.
    pub(crate) took: Duration,
}

impl Served {
    /// Answered calls a second.
    pub(crate) fn per_second(&self) -> f64 {
        float(self.times.len()) / self.took.as_secs_f64().max(1e-9)
    }

    /// That all were answered with 200, which a latency is worth nothing without.
    pub(crate) fn all_well(self) -> Result<Self, Error> {
        if self.refused > 0 || self.times.len() == 0 {
            return Err(Error::Wrong(format!(
                "{} calls were answered with 200, {} were not",
                self.times.len(),
                self.refused
            )));
        }
        Ok(self)
    }
}

/// `clients` call as fast as they are answered.
pub(crate) fn closed<R: Requests>(
    target: &Target,
    clients: u32,
    time: Duration,
    make: impl Fn(u32) -> R,
) -> Result<Served, Error> {
    let began = Instant::now();
    let end = began + time;
    spread(target, clients, make, |mut caller| {
        while Instant::now() < end {
            let start = Instant::now();
            caller.call(start)?;
        }
        Ok(caller)
    })
    .map(|served| Served {
        took: began.elapsed(),
        ..served
    })
}

/// Calls at a fixed rate. A call that begins late because its client still waited for an answer is
/// counted from when it was due, so that a stall shows in every call that it would have hit.
pub(crate) fn open<R: Requests>(
    target: &Target,
    clients: u32,
    per_second: u32,
    time: Duration,
    make: impl Fn(u32) -> R,
) -> Result<Served, Error> {
    let began = Instant::now();
    let end = began + time;
    let every = Duration::from_secs(1) / per_second;
    spread(target, clients, make, |mut caller| {
        let mut due = began + every * caller.index;
        while due < end {
            let late = Instant::now() > due;
            sleep_until(due);
            caller.call(if late { due } else { Instant::now() })?;
            due += every * clients;
        }
        Ok(caller)
    })
    .map(|served| Served {
        took: began.elapsed(),
        ..served
    })
}

/// One client and its connection.
#[derive(Debug)]
struct Caller<R> {
    index: u32,
    connection: Connection,
    requests: R,
    served: Served,
}

impl<R: Requests> Caller<R> {
    fn call(&mut self, since: Instant) -> Result<(), Error> {
        self.connection.send(self.requests.next())?;
        if self.connection.answer()? == 200 {
            self.served.times.push(since.elapsed());
        } else {
            self.served.refused += 1;
        }
        Ok(())
    }
}

/// Runs `work` in a thread a client and adds up what they saw.
fn spread<R: Requests>(
    target: &Target,
    clients: u32,
    make: impl Fn(u32) -> R,
    work: impl Fn(Caller<R>) -> Result<Caller<R>, Error> + Sync,
) -> Result<Served, Error> {
    scope(|scope| {
        let mut threads = Vec::new();
        for index in 0..clients {
            let caller = Caller {
                index,
                connection: Connection::open(target.address)?,
                requests: make(index),
                served: Served::default(),
            };
            let work = &work;
            threads.push(spawn(scope, move || work(caller))?);
        }
        let mut served = Served::default();
        for thread in threads {
            let caller = join(thread)??;
            served.times.merge(&caller.served.times);
            served.refused += caller.served.refused;
        }
        Ok(served)
    })
}

/// A thread with a small stack.
pub(crate) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Error> {
    Builder::new()
        .stack_size(STACK_BYTES)
        .spawn_scoped(scope, work)
        .map_err(Error::io("starting a client"))
}

/// A thread's result.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, T>) -> Result<T, Error> {
    thread
        .join()
        .map_err(|_| Error::Wrong("a client ended in a panic".into()))
}

/// Looks at something again and again while `work` runs.
pub(crate) fn watch<T>(
    every: Duration,
    mut look: impl FnMut() + Send,
    work: impl FnOnce() -> T,
) -> Result<T, Error> {
    let done = AtomicBool::new(false);
    scope(|scope| {
        let watcher = spawn(scope, || {
            while !done.load(Ordering::Relaxed) {
                look();
                std::thread::sleep(every);
            }
        })?;
        let result = work();
        done.store(true, Ordering::Relaxed);
        join(watcher)?;
        Ok(result)
    })
}
