//! The handle that sources hold, and the life of a recorder.

mod options;
mod threads;

pub use options::Options;
pub(crate) use threads::Threads;

use crate::body::BodyWriter;
use crate::cipher::{Keyring, WalSession, WalSessions};
use crate::command::{Appended, Command, EventCommand, Pending, Queued};
use crate::dedup::Dedup;
use crate::error::Error;
use crate::keys::{self, DigestKey};
use crate::orders::{Answer, Order, Orders, Revocation, Revoked, Rotated};
use crate::progress::Progress;
use crate::published::Published;
use crate::queue::Queue;
use crate::reach::{Reach, Weight};
use crate::record::{CLOSES, KEYS, OPENS};
use crate::recover;
use crate::salt::SALT_BYTES;
use crate::salts::Salts;
use crate::segments::{Allocate, Allocator};
use crate::sequencer::Sequencer;
use crate::settler_thread::SettlerThread;
use crate::wal_writer::WalWriter;
use event::{BodyRef, Draft, Kind, Role};
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use storage::{DirLock, Disk, LocalDisk, LockError};
use tokio::sync::{Semaphore, oneshot};

/// Bytes that may wait for the writer, in units of [`ROOM_UNIT`].
const QUEUE_BYTES: usize = 24 << 20;
const ROOM_UNIT: usize = 1 << 10;

/// Figures of a running recorder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Durable events.
    pub durable: u64,
    /// Size of the newest signed checkpoint.
    pub checkpoint: u64,
    /// Number of the epoch whose key signs.
    pub epoch: u64,
    /// Bytes of write-ahead log not yet settled into tiles and volumes.
    pub backlog_bytes: u64,
    /// Events refused for want of room since the last that was accepted.
    pub refused: u64,
    /// How far the durable events go, by what they are worth outside.
    pub reach: Reach,
}

#[derive(Debug)]
pub(crate) struct Shared {
    queue: Arc<Queue>,
    room: Arc<Semaphore>,
    dedup: Arc<Dedup>,
    progress: Arc<Progress>,
    orders: Orders,
    digests: DigestKey,
    salts: Arc<Salts>,
    sessions: WalSessions,
    segment_bytes: u64,
    // Waited for when the last handle goes.
    threads: Mutex<Threads>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The handle to a running recorder. Clones share it.
#[derive(Debug, Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

impl Recorder {
    /// Takes the directory, recovers what an unclean end left, records `recorder.start`, and goes on.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Newer`], [`Error::NotARecord`], [`Error::Damaged`] (the recorder does not continue a log
    /// whose acknowledged part has been changed), [`Error::Signer`] (the token with its key cannot be used), or what the
    /// system says.
    pub fn open(options: Options) -> Result<Self, Error> {
        let disk = LocalDisk::create(&options.dir)
            .map_err(|error| Error::io(format!("creating {}", options.dir.display()), &error))?;
        if crate::layout::is_new(&disk)? {
            // A directory that was made beforehand becomes ours. That of a record is as its operator set it since.
            match disk.make_private() {
                // It belongs to another user, who decides.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
                done => done.map_err(|error| {
                    Error::io(
                        format!("closing {} to others", options.dir.display()),
                        &error,
                    )
                })?,
            }
        }
        let lock = DirLock::take(&options.dir).map_err(|error| match error {
            LockError::Held => Error::InUse {
                path: options.dir.clone(),
            },
            LockError::Io(error) => Error::io(format!("locking {}", options.dir.display()), &error),
        })?;
        disk.sweep()
            .map_err(|error| Error::io("removing temporary files", &error))?;
        Self::open_on(Arc::new(disk), Some(lock), &options)
    }

    /// As [`Self::open`], on any disk; the caller makes sure that it is the only one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        lock: Option<DirLock>,
        options: &Options,
    ) -> Result<Self, Error> {
        let allocator = Allocator::start(disk.clone(), options.segment_len())?;
        let (recorder, mut sequencer, mut settler) =
            Self::assemble(disk, lock, options, Box::new(allocator))?;
        recorder.start("settler", move || settler.run())?;
        recorder.start("sequencer", move || sequencer.run())?;
        Ok(recorder)
    }

    /// A recorder that has recovered and recorded its start, and what its threads will run.
    pub(crate) fn assemble(
        disk: Arc<dyn Disk>,
        lock: Option<DirLock>,
        options: &Options,
        allocator: Box<dyn Allocate>,
    ) -> Result<(Self, Sequencer, SettlerThread), Error> {
        let format = crate::layout::check_or_create(disk.as_ref())?;
        let (digests, log_keys, begun) = keys::load_or_create(&disk, options.token.as_ref())?;
        let keys = Arc::new(Keyring::of_recorder(
            disk.clone(),
            log_keys.key().origin(),
            options.recipient.clone(),
            begun && format >= crate::layout::STORE_FORMAT,
        )?);
        let sessions = keys.wal_sessions()?;
        let mut found = recover::settle_rest(disk.clone(), log_keys, &keys)?;
        let next_body = found.settler.next_body();
        let salts = Arc::new(Salts::open(disk.clone(), keys, next_body)?);
        let queue = Arc::new(Queue::default());
        let dedup = Arc::new(Dedup::default());
        let progress = Arc::new(Progress::new());
        let wal = WalWriter::new(
            allocator,
            options.segment_len(),
            (found.next_segment, found.next_batch),
            progress.clone(),
        )?;
        let position = (found.settler.size(), found.settler.next_chunk());
        let mut sequencer = Sequencer::new(
            queue.clone(),
            wal,
            position,
            dedup.clone(),
            progress.clone(),
        );
        recover::record_start(&mut sequencer, &found, &salts, disk, options)?;
        found.settler.begin()?;

        let (orders, waiting) = Orders::new(progress.clone());
        let settling = SettlerThread::new(
            found.settler,
            found.keys,
            progress.clone(),
            queue.clone(),
            waiting,
            salts.clone(),
            options,
        );
        let recorder = Self {
            shared: Arc::new(Shared {
                queue,
                room: Arc::new(Semaphore::new(QUEUE_BYTES / ROOM_UNIT)),
                dedup,
                progress,
                orders,
                digests,
                salts,
                sessions,
                segment_bytes: options.segment_len(),
                threads: Mutex::new(Threads::under(lock)),
            }),
        };
        Ok((recorder, sequencer, settling))
    }

    pub(crate) fn start(
        &self,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        self.threads().start(name, run)
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        let threads = self.shared.threads.lock();
        threads.unwrap_or_else(PoisonError::into_inner)
    }

    /// One body, to be written in pieces.
    ///
    /// # Errors
    /// [`Error::Full`]: no room for a new seed of salts. [`Error::Fatal`]: whether a new seed is durable is not known; the
    /// process must stop.
    pub fn body(&self) -> Result<BodyWriter, Error> {
        BodyWriter::new(self.clone())
    }

    /// A whole body at once.
    ///
    /// # Errors
    /// As [`BodyWriter::write`] and [`BodyWriter::finish`].
    pub async fn put(
        &self,
        role: Role,
        media: Option<String>,
        encoding: Option<String>,
        bytes: &[u8],
    ) -> Result<BodyRef, Error> {
        let mut body = self.body()?;
        body.write(bytes).await?;
        body.finish(role, media, encoding).await
    }

    /// Queues an event, waiting for room, and resolves when it is durable.
    ///
    /// # Errors
    /// [`Error::Full`]: nothing was recorded, nothing may be forwarded. [`Error::Fatal`]: the process
    /// must stop. [`Error::Event`]: the event is too long.
    pub async fn append(&self, draft: &Draft) -> Result<Appended, Error> {
        self.submit(draft).await?.await
    }

    /// Queues an event, waiting for room; its order is fixed when this returns. The [`Pending`]
    /// resolves when it is durable.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn submit(&self, draft: &Draft) -> Result<Pending, Error> {
        self.submit_as(draft, false).await
    }

    /// As [`Self::submit`], for an event that was refused with [`Error::Full`] before: refused again, it is not
    /// counted again.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn submit_again(&self, draft: &Draft) -> Result<Pending, Error> {
        self.submit_as(draft, true).await
    }

    async fn submit_as(&self, draft: &Draft, counted: bool) -> Result<Pending, Error> {
        if is_about_keys(draft.kind) {
            return Err(Error::Event(
                "only the recorder itself tells of its keys".into(),
            ));
        }
        let (ack, pending) = oneshot::channel();
        let (mut command, bytes) = event_command(draft, ack)?;
        command.counted = counted;
        self.queue(Command::Event(command), bytes).await?;
        Ok(Pending(pending))
    }

    pub(crate) async fn queue(&self, command: Command, bytes: usize) -> Result<(), Error> {
        let units = (bytes / ROOM_UNIT + 1).min(QUEUE_BYTES / ROOM_UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = self.shared.room.clone().acquire_many_owned(units).await;
        let room = Some(room.map_err(|_| Error::Closed)?);
        self.shared
            .queue
            .push(Queued { command, room }, bytes)
            .map_err(|_| self.why_closed())
    }

    /// Tells the writer to forget an unfinished body. Without room in the queue it is told nothing: what it
    /// keeps is bounded.
    pub(crate) fn abandon(&self, id: u64) {
        self.shared.queue.push_spare(Command::Abandon { id });
    }

    fn why_closed(&self) -> Error {
        self.shared
            .progress
            .failure()
            .borrow()
            .clone()
            .unwrap_or(Error::Closed)
    }

    pub(crate) fn dedup(&self) -> &Dedup {
        &self.shared.dedup
    }

    pub(crate) fn new_body(&self) -> Result<(u64, [u8; SALT_BYTES]), Error> {
        self.shared.salts.next().inspect_err(|error| {
            if matches!(error, Error::Fatal(_)) {
                self.shared.progress.failed(error.clone());
                // The writer ends with what is queued.
                self.shared.queue.close();
            }
        })
    }

    pub(crate) fn wal_session(&self) -> Result<Arc<WalSession>, Error> {
        self.shared.sessions.current()
    }

    /// A keyed digest of a secret, so that equal secrets are visibly equal and nothing more is said.
    #[must_use]
    pub fn digest_secret(&self, secret: &[u8]) -> String {
        self.shared.digests.digest(secret)
    }

    /// Publishes a checkpoint over at least everything that was durable when this was called: signed with the
    /// Ed25519 and the ML-DSA-44 key of the epoch, durable in `anchors/SIZE20/checkpoint`.
    ///
    /// Appending does not wait for it. Asked for twice at one size, it is the same.
    ///
    /// # Errors
    /// [`Error::Closed`] or why the recorder has failed; [`Error::Io`] where the disk is full: nothing was published,
    /// try again later; [`Error::Signer`] where the token does not sign: likewise; [`Error::Damaged`] where another
    /// checkpoint of this size has been published.
    pub async fn publish(&self) -> Result<Published, Error> {
        self.order(Order::Publish).await
    }

    /// Gives the log its next key: the one in force signs the log as it stands, both sign the hand-over, and when this
    /// returns the private key that ends is in no file of the store and not in this process any more. What the medium and
    /// the system keep of files that were removed and of memory that was given back is not in the recorder's hands.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`] where there is no room, [`Error::Signer`] where the token does not answer: the key in
    /// force stays. [`Error::Closed`], or why the recorder has failed: the next start finishes what was begun.
    pub async fn rotate(&self) -> Result<Rotated, Error> {
        self.order(Order::Rotate).await
    }

    /// Says, signed by the key in force, that signatures of epoch `epoch` count only for checkpoints of up to `size`
    /// events, or for such as something outside vouched for before. Without a size none of them counts. The key in force
    /// is replaced first.
    ///
    /// # Errors
    /// [`Error::Event`]: there is no such epoch, the size is not one that its key may sign, or the reason is not a line
    /// of 1 to [`crate::epochs::MAX_REASON_BYTES`] bytes; else as [`Self::rotate`].
    pub async fn revoke(
        &self,
        epoch: u64,
        size: Option<u64>,
        reason: &str,
    ) -> Result<Revoked, Error> {
        if !crate::epochs::is_reason(reason) {
            let limit = crate::epochs::MAX_REASON_BYTES;
            return Err(Error::Event(format!(
                "a reason is one line of 1 to {limit} bytes"
            )));
        }
        let reason = reason.to_owned();
        let what = Revocation {
            epoch,
            size,
            reason,
        };
        self.order(|answer| Order::Revoke(what, answer)).await
    }

    async fn order<T>(&self, order: impl FnOnce(Answer<T>) -> Order) -> Result<T, Error> {
        let answer = self.shared.orders.give(order).await;
        answer.map_err(|error| match error {
            Error::Closed => self.why_closed(),
            error => error,
        })
    }

    /// Resolves when the recorder has failed: the process must stop, recovery decides at the next start.
    pub async fn failed(&self) -> Error {
        let mut failure = self.shared.progress.failure();
        loop {
            if let Some(error) = failure.borrow_and_update().clone() {
                return error;
            }
            if failure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Figures.
    #[must_use]
    pub fn status(&self) -> Status {
        let (durable, settled, checkpoint, epoch, refused) = self.shared.progress.figures();
        let segments = durable.segment.saturating_sub(settled.segment);
        let backlog =
            (segments * self.shared.segment_bytes + durable.offset).saturating_sub(settled.offset);
        Status {
            durable: durable.events,
            checkpoint,
            epoch,
            backlog_bytes: backlog,
            refused,
            reach: self.shared.progress.reach(),
        }
    }

    /// Records `recorder.stop`, signs a last checkpoint over it and settles everything. Sources that
    /// append afterwards get [`Error::Closed`].
    ///
    /// # Errors
    /// The recorder failed before or while closing.
    pub async fn close(self) -> Result<(), Error> {
        let ended = self.end().await;
        let threads = std::mem::take(&mut *self.threads());
        let in_order = ended.is_ok();
        let joined = tokio::task::spawn_blocking(move || {
            // Of one that failed the disk may have stalled: it is waited for so long and no longer.
            !in_order || threads.join()
        })
        .await;
        ended?;
        if !matches!(joined, Ok(true)) {
            return Err(Error::Fatal(
                "a thread of the recorder ended in a panic".into(),
            ));
        }
        let failure = self.shared.progress.failure().borrow().clone();
        failure.map_or(Ok(()), Err)
    }

    /// Records the end. When this returns, the writer has ended and the settler is about to.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        // What was refused is told before the end.
        self.queue(Command::Refusals, 0).await?;
        self.append(&Draft::new(
            event::Kind::RecorderStop,
            event::Source::Recorder,
        ))
        .await?;
        let (ack, done) = oneshot::channel();
        self.queue(Command::Close { ack }, 0).await?;
        done.await.map_err(|_| self.why_closed())
    }
}

/// An event as the sequencer takes it, and the bytes it occupies in the queue.
pub(crate) fn event_command(
    draft: &Draft,
    ack: crate::command::Ack,
) -> Result<(EventCommand, usize), Error> {
    let sealed = draft.seal()?;
    let call = draft.exchange.as_ref().and_then(|exchange| exchange.call);
    let (flags, call) = match call {
        Some(call) if draft.kind.is_terminal() => (CLOSES, call),
        _ if draft.kind.closed_by().is_some() => (OPENS, 0),
        _ if is_about_keys(draft.kind) => (KEYS, 0),
        _ => (0, 0),
    };
    let bytes = sealed.len() + 128;
    let command = EventCommand {
        run: draft.run.as_ref().map(|run| run.id.as_str().into()),
        flags,
        call,
        sealed,
        bodies: draft.bodies.iter().map(|body| body.id).collect(),
        weight: Weight::of(draft),
        counted: false,
        ack,
    };
    Ok((command, bytes))
}

const fn is_about_keys(kind: Kind) -> bool {
    matches!(kind, Kind::KeyEpoch | Kind::KeyRevoked)
}

#[cfg(test)]
mod tests;
