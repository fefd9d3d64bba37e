//! Is the log still what it was? Asked before a recorder goes on with it.
//!
//! A log can be rewritten, cut or rolled back to an earlier copy while no recorder runs, keys and all. What others
//! know of its head (a [`Mark`]) shows it: the log must have at least that many events, and the same root over them.

use crate::client::Client;
use crate::copy;
use crate::error::Error;
use crate::facts::{self, shortened};
use crate::known::Known;
use crate::settings::{Settings, submission_prefix};
use crate::standing::{Anchored, Kind, Label};
use event::Draft;
use evidence::Store;
use serde::Serialize;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tlog::note::{MAX_NOTE_BYTES, Note};
use tlog::{Checkpoint, Hash, witness};

/// How long the second place may take to be read.
const PLACE_TIME: Duration = Duration::from_secs(10);

/// What somebody knows of the log's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// `copy`, `witness`, or `published`: the newest checkpoint in the record's own `anchors/`.
    pub kind: String,
    /// Who.
    pub name: String,
    /// Events that the mark is over.
    pub size: u64,
    /// The root over them, base64.
    pub root: String,
    /// What that says of the log.
    pub verdict: Verdict,
}

/// What a mark says of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The log is that one, or continues it.
    Holds,
    /// The log has fewer events: its end was lost, or it was put back to an earlier copy.
    Shorter,
    /// The log has other events there: one of the two was rewritten.
    Differs,
    /// No key that the log knows of signed the mark: it was altered, or the log was put back to before that key.
    NotSigned,
}

impl Verdict {
    /// In words, of `ours` events.
    fn words(self, mark: &Mark, ours: u64) -> String {
        let (who, size) = (mark.who(), mark.size);
        match self {
            Self::Holds => format!("{who} knows {size} events, which this log continues"),
            Self::Shorter => format!(
                "{who} knows this log with {size} events, and it has {ours}: its end was lost, or it is an earlier copy"
            ),
            Self::Differs => format!(
                "{who} knows another history of the first {size} events (this log has {ours}): one of the two was rewritten"
            ),
            Self::NotSigned => format!(
                "what {who} has, over {size} events (this log has {ours}), is signed by no key that this log knows: it was \
                 altered, or this log is a copy from before its key was renewed"
            ),
        }
    }
}

impl Mark {
    fn who(&self) -> String {
        match self.kind.as_str() {
            "copy" => format!("the second place {}", self.name),
            "witness" => format!("witness {}", self.name),
            _ => format!("the record's own {}", self.name),
        }
    }
}

/// Somebody who could not be asked, or who knew the log and says that he does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    /// `copy` or `witness`.
    pub kind: String,
    /// Who.
    pub name: String,
    /// Why.
    pub error: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The log's name.
    pub origin: String,
    /// Events that the log has.
    pub size: u64,
    /// The marks, those that hold and those that do not.
    pub marks: Vec<Mark>,
    /// Whoever could not be asked.
    pub unreachable: Vec<Unreachable>,
}

impl Checked {
    /// The marks that contradict the log; where there is one, it must not be gone on with.
    pub fn doubts(&self) -> impl Iterator<Item = &Mark> {
        self.marks
            .iter()
            .filter(|mark| mark.verdict != Verdict::Holds)
    }

    /// What the marks that contradict the log say, a sentence each.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        self.doubts()
            .map(|mark| mark.verdict.words(mark, self.size))
            .collect()
    }

    /// The event that says so.
    #[must_use]
    pub fn draft(&self) -> Draft {
        facts::draft(
            event::Kind::AnchorChecked,
            json!({ "marks": self.marks, "unreachable": self.unreachable }),
        )
    }
}

/// Compares the record in `dir` with what is known of it in the second place, by witnesses, and by itself. `None` where
/// no record has begun, or nobody ever knew of it. Writes nothing.
///
/// # Errors
/// [`Error::Setting`]; [`Error::Local`] where the record cannot be read.
pub async fn check(dir: &Path, settings: &Settings) -> Result<Option<Checked>, Error> {
    settings.judge(dir)?;
    // Without these a first start was cut short; whether that can be, the recorder judges.
    if !dir.join("format").exists() || !dir.join("log/vkey").exists() {
        return Ok(None);
    }
    if !settings.anchors_anything() && !dir.join("anchors").exists() {
        return Ok(None);
    }
    let store = Store::open(dir)?;
    let epochs = store.epochs()?;
    let by_the_log = |note: &Note| epochs.open(note.to_string().as_bytes()).is_ok();
    let mut found = Checked {
        origin: store.origin().to_owned(),
        size: store.len(),
        marks: Vec::new(),
        unreachable: Vec::new(),
    };
    found.own(&store, &by_the_log)?;
    let known = Known::by_record(&store, dir);
    match known.watchers() {
        Ok(watchers) => found.unnamed(&watchers, settings),
        Err(error) => found.not_asked("record", "what it last knew of its anchors", &error),
    }
    if let Some(place) = &settings.copy {
        let name = place.display().to_string();
        let answer = in_time(place, &found.origin).await;
        let kind = Kind::Copy.as_str();
        match answer {
            Ok(None) => {
                let knew = known.to_place(&Label::copy(name.clone()));
                found.forgotten(kind, &name, knew);
            }
            Ok(Some(note)) => found.compare(&store, kind, &name, &note, &by_the_log)?,
            Err(error) => found.not_asked(kind, &name, &error),
        }
    }
    if settings.witnesses().next().is_some() {
        let client = Client::new()?;
        for witness in settings.witnesses() {
            let name = witness.key.name();
            let kind = Kind::Witness.as_str();
            match ask(&client, witness, &found.origin).await {
                Ok(None) => found.forgotten(kind, name, known.to_witness(&witness.key)),
                // The witness's own signature is what counts: it does not depend on what this log knows.
                Ok(Some(note)) => {
                    let by_it =
                        |note: &Note| note.verify(std::slice::from_ref(&witness.key)).is_ok();
                    found.compare(&store, kind, name, &note, &by_it)?;
                }
                Err(error) => found.not_asked(kind, name, &error),
            }
        }
    }
    Ok(Some(found))
}

impl Checked {
    /// The newest of the checkpoints that the record itself has published.
    fn own(&mut self, store: &Store, signed: &dyn Fn(&Note) -> bool) -> Result<(), Error> {
        for size in store.published_sizes()?.into_iter().rev() {
            // Without one, its directory was made and the checkpoint not yet; or somebody took it away.
            if let Some(note) = store.published(size)? {
                let name = format!("anchors/{size:020}/checkpoint");
                return self.compare(store, "published", &name, &note, signed);
            }
        }
        Ok(())
    }

    /// Somebody says that he knows nothing of the log. That is an answer only from one who never did: a place that is not
    /// mounted is an empty directory, and who was put back to an earlier state has forgotten as well.
    fn forgotten(&mut self, kind: &str, name: &str, knew: Result<Option<u64>, Error>) {
        let nothing = "it says that it knows nothing of this log";
        let error = match knew {
            Ok(None) => return,
            Ok(Some(size)) => format!(
                "{nothing}, and it knew its first {size} events: it has forgotten them, is not mounted, or another \
                 answers in its place"
            ),
            Err(error) => format!("{nothing}, and whether that is so cannot be told: {error}"),
        };
        self.not_asked(kind, name, &Error::Unreachable(error));
    }

    /// Whoever knew the log and is not named any more: another configuration is how an older copy would be brought in.
    fn unnamed(&mut self, watchers: &[Anchored], settings: &Settings) {
        let place = settings
            .copy
            .as_deref()
            .map(|place| Label::copy(place.display().to_string()));
        let witnesses = settings
            .witnesses()
            .map(|witness| Label::witness(&witness.key));
        let named: Vec<Label> = witnesses.chain(place).collect();
        for watcher in watchers {
            if named.iter().any(|label| label.may_be(watcher)) {
                continue;
            }
            let why = "it knows this log, and the configuration does not name it";
            let why = Error::Unreachable(why.to_owned());
            self.not_asked(watcher.kind.as_str(), &watcher.name, &why);
        }
    }

    fn not_asked(&mut self, kind: &str, name: &str, error: &Error) {
        self.unreachable.push(Unreachable {
            kind: kind.to_owned(),
            name: name.to_owned(),
            error: shortened(&error.to_string()),
        });
    }

    fn compare(
        &mut self,
        store: &Store,
        kind: &str,
        name: &str,
        note: &Note,
        signed: &dyn Fn(&Note) -> bool,
    ) -> Result<(), Error> {
        let head = match note.text().parse::<Checkpoint>() {
            Ok(head) if head.origin() == self.origin => head,
            Ok(head) => {
                let error = format!("it is a checkpoint of {}", head.origin());
                self.not_asked(kind, name, &Error::Lies(error));
                return Ok(());
            }
            Err(error) => {
                self.not_asked(kind, name, &Error::Lies(error.to_string()));
                return Ok(());
            }
        };
        let verdict = match (signed(note), self.size < head.size()) {
            (false, _) => Verdict::NotSigned,
            (true, true) => Verdict::Shorter,
            (true, false) => same(store, head.size(), head.root())?,
        };
        self.marks.push(Mark {
            kind: kind.to_owned(),
            name: name.to_owned(),
            size: head.size(),
            root: head.root().to_string(),
            verdict,
        });
        Ok(())
    }
}

fn same(store: &Store, size: u64, root: Hash) -> Result<Verdict, Error> {
    Ok(if store.root(size)? == root {
        Verdict::Holds
    } else {
        Verdict::Differs
    })
}

pub(crate) async fn in_time(place: &Path, origin: &str) -> Result<Option<Note>, Error> {
    let (dir, origin) = (place.to_owned(), origin.to_owned());
    let read = tokio::task::spawn_blocking(move || copy::read_note(&dir, &origin));
    match tokio::time::timeout(PLACE_TIME, read).await {
        Ok(Ok(note)) => note,
        Ok(Err(error)) => Err(Error::Local(error.to_string())),
        Err(_) => Err(Error::Unreachable(format!(
            "it did not answer within {} s",
            PLACE_TIME.as_secs()
        ))),
    }
}

/// The newest checkpoint that a witness cosigned for the log; `None` where it says that it knows none.
async fn ask(
    client: &Client,
    witness: &tlog::policy::Witness,
    origin: &str,
) -> Result<Option<Note>, Error> {
    let url = format!(
        "{}/{}",
        submission_prefix(witness)?,
        witness::checkpoint_path(origin)
    );
    let answer = client.get(&url, MAX_NOTE_BYTES).await?;
    match answer.status {
        200 => {
            let note = Note::parse(&answer.body).map_err(|error| Error::Lies(error.to_string()))?;
            // Who answers in the witness's place says nothing about the log.
            note.verify(std::slice::from_ref(&witness.key))
                .map_err(|error| Error::Lies(error.to_string()))?;
            Ok(Some(note))
        }
        404 => Ok(None),
        other => Err(Error::Refused(format!("it answered HTTP {other}"))),
    }
}
