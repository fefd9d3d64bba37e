//! The table of attacks in `docs/attacks.md`, between its marks.

use crate::Failure;
use crate::attacks::Attack;
use crate::judge::{Finding, Notice, View};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- made by ./x attack: begin -->";
const END: &str = "<!-- made by ./x attack: end -->";

/// What each verifier said of a store, the one that knows least first.
pub(crate) type Findings = Vec<(View, Finding)>;

/// What the verifiers said of one attack.
pub(crate) struct Row<'a> {
    pub(crate) attack: &'a Attack,
    pub(crate) findings: Findings,
    /// And of the store before that.
    pub(crate) untouched: Findings,
}

impl Row<'_> {
    /// The view that knows least of those that noticed.
    pub(crate) fn noticed_by(&self) -> Option<View> {
        let noticed = self.findings.iter().find(|(_, finding)| !finding.passes());
        noticed.map(|(view, _)| *view)
    }

    /// What keeps the attack from being as it is claimed.
    pub(crate) fn complaint(&self) -> Option<String> {
        let Attack {
            noticed_by, notice, ..
        } = self.attack;
        let open = matches!(notice, Notice::Left { .. } | Notice::Unchanged);
        let mut looks = self.findings.iter().zip(&self.untouched);
        looks.find_map(|((view, finding), (_, before))| {
            let with = view.name();
            if open {
                let said = notice.is_said_by(finding, before);
                if !said {
                    return Some(format!("with {with} {notice:?} is not what is said"));
                }
                return finding.overclaimed(*view);
            }
            if view < noticed_by {
                if !finding.passes() {
                    return Some(format!("noticed with {with} already"));
                }
                return finding.overclaimed(*view);
            }
            if view == noticed_by && !notice.is_said_by(finding, before) {
                return Some(format!("with {with} {notice:?} is not what is said"));
            }
            // Whoever knows more says no less.
            let weaker = finding.code != notice.code() && finding.code != 10;
            weaker.then(|| format!("with {with} the exit code is {}", finding.code))
        })
    }
}

/// The rows as they stand in the document.
pub(crate) fn rows(rows: &[Row<'_>]) -> String {
    let mut text = String::from(
        "| attack | what it takes | noticed with | verdict | refuted or left open | first record named | what is said | who else was asked |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let Attack {
            name, holds, fell, ..
        } = row.attack;
        // Writing to a String cannot fail.
        writeln!(
            text,
            "| {name} | {holds} | {} | {} |",
            row.noticed(),
            fell.unwrap_or_default()
        )
        .ok();
    }
    text
}

impl Row<'_> {
    /// The cells on what nobody notices: what every verifier says that it does not prove.
    fn not_noticed(&self) -> String {
        let said = match (self.attack.notice, self.findings.last()) {
            (Notice::Left { says, .. }, Some((_, finding))) => {
                finding.admits(says).unwrap_or_default()
            }
            (Notice::Unchanged, _) => "what is said of the untouched store: nothing rests on it",
            _ => "",
        };
        let code = self.findings.last().map_or(0, |(_, finding)| finding.code);
        format!("**nothing** | none ({code}) | | | {}", cell(said))
    }

    /// The cells on who notices, and what they say.
    fn noticed(&self) -> String {
        let mut findings = self.findings.iter();
        let Some((view, finding)) = findings.find(|(_, finding)| !finding.passes()) else {
            return self.not_noticed();
        };
        let by = match view {
            View::Alone => View::Alone.name().to_owned(),
            more => format!("{}; **the store alone cannot tell**", more.name()),
        };
        let (verdict, claim) = match self.attack.notice {
            Notice::Invalid { claim, .. } => ("INVALID", claim),
            Notice::Unverifiable { claim, .. } => ("UNVERIFIABLE", claim),
            Notice::Refused { .. } => ("UNVERIFIABLE", "all"),
            Notice::Left { .. } | Notice::Unchanged => ("none", ""),
        };
        let fault = finding.faults.first();
        let record = fault
            .and_then(|fault| fault.seq)
            .map_or("the log".to_owned(), |seq| format!("event {seq}"));
        let said = match fault {
            Some(fault) => format!("{}: {}", fault.what, fault.detail),
            None => finding
                .lacks()
                .or(finding.refusal())
                .unwrap_or_default()
                .to_owned(),
        };
        let code = finding.code;
        format!(
            "{by} | {verdict} ({code}) | {claim} | {record} | {}",
            cell(&said)
        )
    }
}

/// Text in a cell of a table: what varies from one run to the next, and what a table cannot hold, left out.
fn cell(text: &str) -> String {
    let words = text.split_whitespace().map(|word| match word {
        word if word.contains("tachograph/") => "LOG",
        word if word.len() > 40 => "…",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ").replace('|', "/")
}

/// Puts a text between the marks of a document.
pub(crate) fn put(document: &Path, text: &str) -> Result<(), Failure> {
    let old = fs_err::read_to_string(document)?;
    let (head, rest) = old
        .split_once(BEGIN)
        .ok_or("the document has no place for the table")?;
    let (_, tail) = rest
        .split_once(END)
        .ok_or("the document's table does not end")?;
    fs_err::write(document, format!("{head}{BEGIN}\n\n{text}\n{END}{tail}"))?;
    Ok(())
}
