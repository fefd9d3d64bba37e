//! The spelling that the text formats share: decimal numbers, one hash a line, a head of lines
//! before a note.

use crate::{Error, Hash, note::Note};

/// A decimal number of 64 bits in its only spelling.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

/// The lines before the first blank line, without their line feeds, and the note after it.
pub(crate) fn split_note<'a>(
    what: &'static str,
    bytes: &'a [u8],
) -> Result<(impl Iterator<Item = &'a str>, Note), Error> {
    let blank = bytes
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .ok_or(Error::malformed(
            what,
            "no blank line before the checkpoint",
        ))?;
    let (head, note) = bytes.split_at(blank);
    let head =
        std::str::from_utf8(head).map_err(|_| Error::malformed(what, "its head is not UTF-8"))?;
    let note = Note::parse(note.get(2..).unwrap_or_default())?;
    Ok((head.split('\n'), note))
}

/// The hashes of a proof, a line each, at most `limit` of them.
pub(crate) fn hashes<'a>(
    lines: impl Iterator<Item = &'a str>,
    limit: usize,
) -> Result<Vec<Hash>, Error> {
    let mut path = Vec::new();
    for line in lines {
        path.push(line.parse()?);
        check_path(&path, limit)?;
    }
    Ok(path)
}

/// Refuses a proof of more than `limit` hashes.
pub(crate) fn check_path(path: &[Hash], limit: usize) -> Result<(), Error> {
    if path.len() <= limit {
        return Ok(());
    }
    Err(Error::OverLimit {
        what: "number of hashes in a proof",
        limit: limit as u64,
    })
}
