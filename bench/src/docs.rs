//! The table in `docs/benchmarks.md`: what stands between its two marks is what was measured last.

use crate::error::Error;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->";

/// Replaces what stands between the marks of `file`.
pub(crate) fn update(file: &Path, table: &str) -> Result<(), Error> {
    let text = fs::read_to_string(file).map_err(Error::io("reading the document"))?;
    let updated = between(&text, table)
        .ok_or_else(|| Error::Wrong(format!("{} lacks the marks {BEGIN}{END}", file.display())))?;
    fs::write(file, updated).map_err(Error::io("writing the document"))
}

fn between(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = format!("head\n{BEGIN}old\n{END}\ntail\n");
        let once = between(&text, "new").unwrap();
        assert_eq!(once, format!("head\n{BEGIN}\nnew\n\n{END}\ntail\n"));
        assert_eq!(between(&once, "new").as_deref(), Some(once.as_str()));
        assert_eq!(between("no marks", "new"), None);
    }
}
