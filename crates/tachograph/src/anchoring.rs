//! Anchors in the life of a recorder: the check before it starts, what is recorded of it, the keeper beside it, the
//! last copy after it.

use crate::config::Config;
use crate::describe::counted;
use crate::exit::Exit;
use crate::failure::{Failure, note};
use crate::record;
use crate::shell;
use anchor::{Checked, Handle, Keeper, Settings, Succession, Successor};
use evidence::Recorder;
use std::path::{Path, PathBuf};
use storage::{DirLock, LockError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What is known before the recorder starts.
#[derive(Debug)]
pub(crate) struct Anchoring {
    settings: Settings,
    data: PathBuf,
    checked: Option<Checked>,
    successor: Option<Successor>,
}

impl Anchoring {
    /// Asks those who may know the log's head whether it still is what it was, and changes nothing.
    ///
    /// # Errors
    /// Exit code 10 where one of them contradicts the log; 12 where one of them cannot be asked and must be.
    pub(crate) async fn before_start(
        data: &Path,
        config: &Config,
        successor_of: Option<&Path>,
    ) -> Result<Self, Failure> {
        let settings = Settings::from(config);
        let checked = check(data, &settings).await?;
        if let Some(checked) = &checked {
            refuse_doubt(data, checked)?;
            note_unreachable(checked, settings.require)?;
        }
        let successor = match successor_of {
            Some(old) => succeed(data, old, &settings).await?,
            None => None,
        };
        Ok(Self {
            settings,
            data: data.to_owned(),
            checked,
            successor,
        })
    }

    /// Records what was found, before anything else is recorded.
    pub(crate) async fn record(&self, recorder: &Recorder) -> Result<(), Failure> {
        let drafts = [
            self.successor.as_ref().map(Successor::draft),
            self.checked.as_ref().map(Checked::draft),
        ];
        for draft in drafts.into_iter().flatten() {
            recorder
                .append(&draft)
                .await
                .map_err(|error| record::unreadable(&self.data, &error))?;
        }
        Ok(())
    }

    /// Keeps the log anchored from now on.
    pub(crate) fn start(self, recorder: &Recorder) -> Result<Anchored, Failure> {
        let place = self.settings.copy.clone();
        let (keeper, handle) = Keeper::new(recorder.clone(), &self.data, self.settings)
            .map_err(|error| unusable(&error))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(keeper.run(async {
            // A sender that is gone means the same as one that spoke.
            drop(stopped.await);
        }));
        Ok(Anchored {
            handle,
            last: Last {
                data: self.data,
                place,
            },
            stop,
            task,
        })
    }
}

/// A log that is kept anchored.
#[derive(Debug)]
pub(crate) struct Anchored {
    /// How it stands.
    pub(crate) handle: Handle,
    last: Last,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Anchored {
    /// Has the last checkpoint anchored, as far as that is done within seconds.
    pub(crate) async fn stop(self) -> Last {
        drop(self.stop);
        if let Err(error) = self.task.await {
            note(&format!("warning: anchoring ended early: {error}"));
        }
        self.last
    }
}

/// What remains to be done once the recorder has closed.
#[derive(Debug)]
pub(crate) struct Last {
    data: PathBuf,
    place: Option<PathBuf>,
}

impl Last {
    /// Lays the checkpoint over the recorder's end down in the second place.
    pub(crate) fn lay_down(&self) {
        let Some(place) = &self.place else {
            return;
        };
        if let Err(error) = anchor::lay_down_last(&self.data, place) {
            note(&format!(
                "warning: the last checkpoint is not in the second place: {error}"
            ));
        }
    }
}

async fn check(data: &Path, settings: &Settings) -> Result<Option<Checked>, Failure> {
    anchor::check(data, settings)
        .await
        .map_err(|error| match error {
            anchor::Error::Setting(_) => unusable(&error),
            error => Failure::new(format!(
                "cannot compare the record in {} with what is known of it elsewhere",
                data.display()
            ))
            .because(&error)
            .hint(format!(
                "find out what is wrong with it: `tacho verify --data {}`",
                shell::word(data)
            )),
        })
}

fn unusable(error: &anchor::Error) -> Failure {
    Failure::usage("the configuration of the anchors cannot be used").because(error)
}

fn refuse_doubt(data: &Path, checked: &Checked) -> Result<(), Failure> {
    let doubts = checked.in_words();
    if doubts.is_empty() {
        return Ok(());
    }
    let here = data.display();
    let message = format!(
        "the record in {here} is not what is known of it elsewhere: log {} is not continued",
        checked.origin
    );
    let failure = Failure::with_exit(Exit::Altered, message);
    Err(doubts.into_iter().fold(failure, Failure::cause).hint(format!(
        "put the right copy of the record back, or leave this one as it is and begin another that commits to it: \
         `tacho serve --data NEW --successor-of {}`, with the same --config",
        shell::word(data)
    )))
}

/// Names whoever could not be asked.
fn note_unreachable(checked: &Checked, require: bool) -> Result<(), Failure> {
    let words =
        |absent: &anchor::Unreachable| format!("{} {}: {}", absent.kind, absent.name, absent.error);
    if checked.unreachable.is_empty() {
        return Ok(());
    }
    if !require {
        for absent in &checked.unreachable {
            note(&format!(
                "warning: nobody knows whether the log was rolled back since {}",
                words(absent)
            ));
        }
        return Ok(());
    }
    let message = "the log's head cannot be compared with what is known elsewhere, and `require` in [anchor] asks for it";
    let failure = Failure::with_exit(Exit::NotVerifiable, message);
    let failure = checked
        .unreachable
        .iter()
        .map(words)
        .fold(failure, Failure::cause);
    Err(failure.hint(
        "make them reachable and name them, or start once with `require = false`: what was not asked is recorded",
    ))
}

/// What the new record in `data` is to say of the one in `old`; `None` where it says so already.
async fn succeed(
    data: &Path,
    old: &Path,
    settings: &Settings,
) -> Result<Option<Successor>, Failure> {
    let unreadable = |error: &anchor::Error| {
        Failure::new(format!("cannot succeed the record in {}", old.display())).because(error)
    };
    record::open(old)?;
    if std::path::absolute(data)
        .is_ok_and(|data| std::path::absolute(old).is_ok_and(|old| data.starts_with(old)))
    {
        let (here, old) = (data.display(), old.display());
        return Err(Failure::usage(format!(
            "{here} lies in {old}, which is to be left as it is"
        ))
        .hint("name another directory with `--data`"));
    }
    // What is left must not go on. Nothing is written into it to find out.
    if old.join("lock").exists() && matches!(DirLock::take(old), Err(LockError::Held)) {
        return Err(Failure::usage(format!(
            "a recorder is running on {}, which would go on beside its successor",
            old.display()
        ))
        .hint("stop it first"));
    }
    let found = check(old, settings).await?;
    if let Some(found) = &found {
        note_unreachable(found, false)?;
    }
    let successor = Successor::of(old, found.as_ref()).map_err(|error| unreadable(&error))?;
    if !data.join("format").exists() {
        return Ok(Some(successor));
    }
    let begun = anchor::succession(data).map_err(|error| unreadable(&error))?;
    let (here, there, left) = (data.display(), old.display(), successor.left());
    let another = match begun {
        Succession::NotSaid => return Ok(Some(successor)),
        Succession::Of(said) if said == *left => return Ok(None),
        // It was used again. What was committed to is there, and to refuse would leave nobody recording.
        Succession::Of(said) if said.is_in(old).map_err(|error| unreadable(&error))? => {
            note(&format!(
                "warning: {here} succeeds log {} as it was at {}; in {there} it has {}, and {here} commits to none behind the first {}",
                said.origin,
                counted(said.size, "event"),
                counted(left.size, "event"),
                said.size
            ));
            return Ok(None);
        }
        Succession::Of(said) if said.origin == left.origin => format!(
            "{here} already succeeds this log, {}, as it was at {} with the root {}, and in {there} it has {} with the root {}",
            said.origin,
            counted(said.size, "event"),
            said.root,
            counted(left.size, "event"),
            left.root
        ),
        Succession::Of(said) => format!(
            "{here} already succeeds another log, {}, and not the one in {there}, {}",
            said.origin, left.origin
        ),
        Succession::OfNone => {
            format!("{here} holds a log that began without succeeding the one in {there}")
        }
    };
    Err(Failure::usage(another).hint(format!(
        "leave `--successor-of` out to go on with it, or begin another: `tacho serve --data NEW --successor-of {}`",
        shell::word(old)
    )))
}
