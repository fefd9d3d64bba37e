//! The table of attacks in `docs/attacks.md`, between its marks.

use crate::Failure;
use crate::attacks::Attack;
use crate::judge::{Finding, View};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- made by ./x attack: begin -->";
const END: &str = "<!-- made by ./x attack: end -->";

/// What three verifiers said of one attack.
pub(crate) struct Row<'a> {
    pub(crate) attack: &'a Attack,
    pub(crate) findings: Vec<(View, Finding)>,
}

impl Row<'_> {
    /// The view that knows least of those that noticed.
    pub(crate) fn noticed_by(&self) -> Option<View> {
        let noticed = self.findings.iter().find(|(_, finding)| !finding.passes());
        noticed.map(|(view, _)| *view)
    }

    /// What keeps the attack from being as it is claimed.
    pub(crate) fn complaint(&self) -> Option<String> {
        for (view, finding) in &self.findings {
            if *view >= self.attack.noticed_by && finding.passes() {
                return Some(format!("not noticed with {}", view.name()));
            }
            if *view < View::Outside && finding.overclaims() {
                return Some(format!(
                    "with {} it says that the outside vouches for it",
                    view.name()
                ));
            }
        }
        None
    }
}

/// The rows as they stand in the document.
pub(crate) fn rows(rows: &[Row<'_>]) -> String {
    let mut text = String::from(
        "| attack | what it takes | noticed with | verdict | first record named | what is said | who else was asked |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let noticed = row.noticed_by();
        let finding = noticed.and_then(|view| row.findings.iter().find(|(own, _)| *own == view));
        let (verdict, record, said) = finding.map_or_else(
            || ("none".to_owned(), String::new(), String::new()),
            |(_, finding)| {
                let verdict = if finding.code == 10 {
                    "INVALID"
                } else {
                    "UNVERIFIABLE"
                };
                let (seq, text) = finding.first.clone().unwrap_or_default();
                let text = if text.is_empty() {
                    finding.missing.clone().unwrap_or_default()
                } else {
                    text
                };
                let record = seq.map_or("the log".to_owned(), |seq| format!("event {seq}"));
                (format!("{verdict} ({})", finding.code), record, cell(&text))
            },
        );
        let by = match noticed {
            Some(View::Alone) => "the store alone",
            Some(View::Pinned) => "a pinned key; **the store alone cannot tell**",
            Some(View::Outside) => "anchors held elsewhere; **the store alone cannot tell**",
            None => "**nothing**",
        };
        // Writing to a String cannot fail.
        writeln!(
            text,
            "| {} | {} | {by} | {verdict} | {record} | {said} | {} |",
            row.attack.name,
            row.attack.holds,
            row.attack.fell.unwrap_or("")
        )
        .ok();
    }
    text
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
