//! The record as the reading commands open it: a live or a stopped store, with what can be wrong
//! about it said in words.

use crate::exit::Exit;
use crate::failure::{Failure, note};
use crate::shell;
use event::{Line, LineError};
use evidence::{Entry, Error, Store, VaultKey};
use std::io::ErrorKind;
use std::path::Path;

/// The word that stands for the newest run.
const LAST: &str = "last";

/// What stands before an id that is meant letter by letter: agents name runs, and one may be named `last`.
const EXACT: &str = "id:";

/// Shortest beginning of a run's id that stands for the whole.
const MIN_PREFIX: usize = 4;

/// How much worse than a perfect match a suggestion may be (Jaro-Winkler, 1 is perfect).
const SIMILAR: f64 = 0.8;

/// How many events are named whose bodies are gone.
const AFFECTED: usize = 10;

/// How many suggestions a hint holds.
const SUGGESTIONS: usize = 3;

/// Opens the record in `data` for reading.
pub(crate) fn open(data: &Path) -> Result<Store, Failure> {
    open_with(data, None)
}

/// As [`open`], for one who brings an investigator's key to the bodies.
pub(crate) fn open_with(data: &Path, key: Option<VaultKey>) -> Result<Store, Failure> {
    let here = data.display();
    match std::fs::metadata(data.join("format")) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let what = if data.is_dir() {
                "holds no record"
            } else {
                "does not exist"
            };
            return Err(Failure::new(format!("{here} {what}")).hint(format!(
                "name the directory with `--data DIR`, or begin a record with `tacho serve --data {}`",
                shell::word(data)
            )));
        }
        Err(error) => {
            return Err(Failure::new(format!("cannot read {here}")).because(&error).hint(
                "read the record as the user that runs the recorder, or as one who may read its files",
            ));
        }
    }
    let store = Store::open_what_is_left(data, key).map_err(|error| unreadable(data, &error))?;
    let missing = store.missing_volumes();
    let missing = (!missing.is_empty()).then(|| format!("{} is missing", missing.join(", ")));
    let broken = store.broken_volumes();
    for lost in missing
        .into_iter()
        .chain(broken.iter().map(Error::to_string))
    {
        note(&format!(
            "warning: {lost}; what lay there of bodies is lost to readers; the events can be read, and `tacho verify` judges them",
        ));
    }
    Ok(store)
}

/// What a person is told about a body of event `seq` that cannot be read.
pub(crate) fn body_unreadable(data: &Path, store: &Store, seq: u64, error: &Error) -> Failure {
    let missing = store.missing_volumes();
    let (Error::Missing(_), false) = (error, missing.is_empty()) else {
        return unreadable(data, error);
    };
    Failure::new(format!("a body of event {seq} cannot be read"))
        .because(error)
        .cause(affected(data, store))
        .hint(put_back(&missing))
}

/// What to do about missing volumes.
pub(crate) fn put_back(missing: &[String]) -> String {
    format!(
        "put {} back from a copy of the record: `tacho verify` says whether it is the right one",
        missing.join(" and ")
    )
}

/// Which events' bodies are gone with the volumes that are missing.
pub(crate) fn affected(data: &Path, store: &Store) -> String {
    let gone = |event: &Event| {
        let mut bodies = event.line.bodies.iter();
        bodies.any(|body| matches!(store.holds(body), Ok(false)))
    };
    // An event that cannot be read is told where it is asked for.
    let events = store.events(0).filter_map(|entry| parse(data, entry).ok());
    let (mut count, mut first) = (0, Vec::new());
    for event in events.filter(gone) {
        count += 1;
        if first.len() < AFFECTED {
            first.push(format!("#{}", event.line.seq));
        }
    }
    let more = if count > AFFECTED as u64 { ", ..." } else { "" };
    format!(
        "bodies of {} are gone with it: {}{more}",
        crate::describe::counted(count, "event"),
        first.join(", ")
    )
}

/// What a person is told about a store that cannot be read or written.
pub(crate) fn unreadable(data: &Path, error: &Error) -> Failure {
    let here = data.display();
    let failure = Failure::new(format!("cannot use the record in {here}")).because(error);
    match error {
        Error::InUse { .. } => failure.hint(format!(
            "a recorder already writes there; see `tacho status --data {}`, or name another directory with `--data`",
            shell::word(data)
        )),
        Error::Newer { .. } => failure.hint("use a `tacho` at least as new as the one that wrote the record"),
        Error::Damaged { .. } | Error::Altered { .. } => {
            failure.hint(format!(
                "find out how much is damaged: `tacho verify --data {}`",
                shell::word(data)
            ))
        }
        Error::NotARecord { .. } => failure.hint(
            "name a new or an empty directory with `--data DIR`; nothing was written into this one",
        ),
        Error::Full(_) => failure.hint("make room on the disk; nothing that was recorded is lost"),
        Error::Missing(_) => failure.hint("restore the missing file from a copy of the record"),
        Error::Io { kind: ErrorKind::PermissionDenied, .. } => failure.hint(
            "run this as the user who records there, or name a directory of your own with `--data DIR`",
        ),
        Error::Io { kind: ErrorKind::ReadOnlyFilesystem, .. } => failure.hint(
            "it is mounted to be read only: mount it to be written, or name another directory with `--data DIR`",
        ),
        _ => match how_to_open(error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        },
    }
}

/// What to do about a body that is encrypted to an investigator.
pub(crate) fn how_to_open(error: &Error) -> Option<String> {
    match error {
        Error::Locked {
            recipient: Some(id),
            ..
        } => Some(format!(
            "the bodies are encrypted to {id}: name the investigator's private key with --vault-key FILE"
        )),
        _ => None,
    }
}

/// One event with the exact bytes it was parsed from.
#[derive(Debug)]
pub(crate) struct Event {
    /// The leaf.
    pub(crate) entry: Entry,
    /// What it says.
    pub(crate) line: Line,
}

/// Parses an entry of the log.
pub(crate) fn parse(data: &Path, entry: Result<Entry, Error>) -> Result<Event, Failure> {
    let entry = entry.map_err(|error| unreadable(data, &error))?;
    match Line::parse(&entry.line) {
        Ok(line) => Ok(Event { entry, line }),
        Err(error) => {
            let failure =
                Failure::new(format!("event {} cannot be read", entry.seq)).because(&error);
            Err(match error {
                LineError::Newer(_) => {
                    failure.hint("use a `tacho` at least as new as the one that wrote the record")
                }
                _ => failure.hint(format!(
                    "find out whether it was altered: `tacho verify --data {}`",
                    shell::word(data)
                )),
            })
        }
    }
}

/// The run that `text` means: its id, a beginning of it that fits only one, `last`, or `id:` and exactly its id.
/// `runs` are the known ids in the order in which they began.
pub(crate) fn resolve_run(text: &str, runs: &[&str]) -> Result<String, Failure> {
    if text == LAST {
        return match runs.last() {
            Some(run) => Ok((*run).to_owned()),
            None => Err(Failure::new("there is no run in the record yet")
                .hint("point an agent at the gateway; `tacho status` names its address")),
        };
    }
    // Ids that differ in case are different runs: the one that was written is meant first.
    let exact = runs.iter().find(|run| **run == text);
    let after = text.strip_prefix(EXACT);
    let exact = exact.or_else(|| runs.iter().find(|run| Some(**run) == after));
    let alike = || runs.iter().find(|run| run.eq_ignore_ascii_case(text));
    if let Some(run) = exact.or_else(alike) {
        return Ok((*run).to_owned());
    }
    let fits: Vec<&str> = runs
        .iter()
        .copied()
        .filter(|run| text.len() >= MIN_PREFIX && begins_with(run, text))
        .collect();
    match fits.as_slice() {
        [run] => Ok((*run).to_owned()),
        [] => Err(
            Failure::with_exit(Exit::Failed, format!("no run `{text}` in the record"))
                .hint(nearest(text, runs, "list them with `tacho runs`")),
        ),
        several => Err(Failure::usage(format!(
            "`{text}` is the beginning of {} runs' ids",
            several.len()
        ))
        .hint(format!("write more of it: {}", listed(several)))),
    }
}

fn begins_with(run: &str, beginning: &str) -> bool {
    run.get(..beginning.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}

/// The names most like `wrong`, or else what to do instead.
pub(crate) fn nearest(wrong: &str, names: &[&str], otherwise: &str) -> String {
    let mut scored: Vec<(f64, &str)> = names
        .iter()
        .map(|name| {
            (
                strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase()),
                *name,
            )
        })
        .filter(|(score, _)| *score > SIMILAR)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.dedup();
    let near: Vec<&str> = scored.into_iter().map(|(_, name)| name).collect();
    if near.is_empty() {
        return otherwise.to_owned();
    }
    format!("did you mean {}?", listed(&near))
}

fn listed(names: &[&str]) -> String {
    let mut list: Vec<String> = names
        .iter()
        .take(SUGGESTIONS)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > SUGGESTIONS {
        list.push("...".to_owned());
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: [&str; 3] = ["01JD3X7K2M9QW", "01JD3X7KZZZZZ", "nightly-import"];

    #[test]
    fn who_may_not_write_there_is_told_what_to_do() {
        for (kind, words) in [
            (ErrorKind::PermissionDenied, "the user who records there"),
            (ErrorKind::ReadOnlyFilesystem, "mount it to be written"),
        ] {
            let error = Error::Io {
                what: "locking /mnt/x".to_owned(),
                detail: kind.to_string(),
                kind,
            };
            let told = format!("{:?}", unreadable(Path::new("/mnt/x"), &error));
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_run_is_named_by_its_id_or_a_beginning_or_last() {
        for (text, expected) in [
            ("01JD3X7K2M9QW", Some(RUNS[0])),
            ("01jd3x7k2", Some(RUNS[0])),
            ("night", Some(RUNS[2])),
            ("last", Some(RUNS[2])),
            ("01JD3X7K", None),
            ("01", None),
            ("unheard-of", None),
        ] {
            assert_eq!(resolve_run(text, &RUNS).ok().as_deref(), expected, "{text}");
        }
        assert!(resolve_run("last", &[]).is_err());
        let odd = ["last", "LAST", "id:x", "x", "newest"];
        for (text, expected) in [
            ("last", "newest"),
            ("id:last", "last"),
            ("id:LAST", "LAST"),
            ("id:x", "id:x"),
            ("id:id:x", "id:x"),
            ("x", "x"),
        ] {
            assert_eq!(
                resolve_run(text, &odd).ok().as_deref(),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn hints_name_what_is_near() {
        assert_eq!(
            nearest("nightly-inport", &RUNS, "list them with `tacho runs`"),
            "did you mean `nightly-import`?"
        );
        assert_eq!(nearest("xyz", &RUNS, "list them"), "list them");
    }
}
