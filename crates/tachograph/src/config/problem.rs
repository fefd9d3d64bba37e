//! What is wrong with a configuration file, where, and what to write instead.

use crate::failure::Failure;
use std::fmt;
use std::path::Path;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Line in the file, from 1.
    pub(crate) line: usize,
    /// What is wrong there.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// All mistakes of one file, in the order of its lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    /// Mistakes found in `file`.
    pub(crate) fn new(file: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.line);
        Self {
            file: file.to_owned(),
            list,
        }
    }

    /// The file cannot be read at all.
    pub(crate) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        let what = if error.kind() == std::io::ErrorKind::InvalidData {
            "is not UTF-8 text".to_owned()
        } else {
            // fs-err names the file already.
            error.to_string()
        };
        let hint = Some("name a readable TOML file with `--config FILE`".to_owned());
        Self {
            file: file.display().to_string(),
            list: vec![Problem {
                line: 0,
                what,
                hint,
            }],
        }
    }

    fn at(&self, problem: &Problem) -> String {
        match problem.line {
            0 => format!("{}: {}", self.file, problem.what),
            line => format!("{}:{line}: {}", self.file, problem.what),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            writeln!(f, "{}", self.at(problem))?;
            if let Some(hint) = &problem.hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let mut list = problems.list.iter();
        let Some(first) = list.next() else {
            return Self::usage(format!("{} cannot be used", problems.file));
        };
        let mut failure = Self::usage(problems.at(first));
        for problem in list {
            failure = failure.cause(format!("also {}", problems.at(problem)));
            if let Some(hint) = &problem.hint {
                failure = failure.cause(format!("     ({hint})"));
            }
        }
        match &first.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
