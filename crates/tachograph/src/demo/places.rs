//! Where the demo keeps its things.

use crate::commands::Context;
use crate::failure::Failure;
use std::path::{Path, PathBuf};

/// The directories of one demo.
#[derive(Debug)]
pub(crate) struct Places {
    /// The record.
    pub(crate) record: PathBuf,
    /// A directory of the demo's own: configuration and log.
    pub(crate) own: PathBuf,
    /// Where a copy of the record is altered.
    pub(crate) altered: PathBuf,
    /// Whether the record lies elsewhere than in `own`.
    apart: bool,
}

impl Places {
    /// Makes the directories. `named` says whether that of the record was chosen by the person who asked; what is `altered`
    /// then lies beside it.
    pub(crate) fn prepare(context: &Context, named: bool, altered: bool) -> Result<Self, Failure> {
        // The random end of a ULID: short enough to be typed.
        let ulid = ulid::Ulid::new().to_string().to_lowercase();
        let name = format!("tachograph-demo-{}", ulid.get(20..).unwrap_or(&ulid));
        let own = std::env::temp_dir().join(name);
        let places = if named {
            Self {
                altered: beside(&context.data)?,
                record: context.data.clone(),
                own,
                apart: true,
            }
        } else {
            Self {
                altered: own.join("altered"),
                record: own.join("record"),
                own,
                apart: false,
            }
        };
        refuse_what_is_there(&places.record)?;
        if altered {
            refuse_what_is_there(&places.altered)?;
        }
        for directory in [&places.record, &places.own] {
            fs_err::create_dir_all(directory).map_err(|error| {
                Failure::new("cannot make the demo's directory").because(&error)
            })?;
        }
        Ok(places)
    }

    /// Leaves nothing behind but the record and what was altered. A demo that failed leaves the recorder's log, too.
    pub(crate) fn clear(&self) {
        if self.apart {
            // What cannot be removed lies in the temporary folder, where somebody clears up some day.
            fs_err::remove_dir_all(&self.own).ok();
        }
    }
}

/// `DIR-altered` for `DIR`.
fn beside(record: &Path) -> Result<PathBuf, Failure> {
    let whole = std::path::absolute(record).unwrap_or_else(|_| record.to_owned());
    let Some(name) = whole.file_name() else {
        return Err(Failure::usage(format!("{} has no name", record.display()))
            .hint("name a new directory with `--data DIR`, or none at all"));
    };
    let mut name = name.to_owned();
    name.push("-altered");
    // Of `.` the name is only in the whole path.
    let path = record.file_name().map_or(whole.as_path(), |_| record);
    Ok(path.with_file_name(name))
}

fn refuse_what_is_there(directory: &Path) -> Result<(), Failure> {
    if std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::usage(format!(
            "{} is not empty, and a demo has no business in a real record",
            directory.display()
        ))
        .hint("name an empty directory with `--data DIR`, or none at all"));
    }
    Ok(())
}
