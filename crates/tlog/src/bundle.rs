//! Entry bundles: C2SP tlog-tiles, "Log entries".
//!
//! A bundle is up to 256 entries, each preceded by its length as a big-endian 16-bit number.
//! Compression, if any, is a matter of whoever stores or serves the bytes.

use crate::{Error, tile::TILE_WIDTH};

/// Longest entry that a bundle can hold, in bytes.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// Longest bundle in bytes: 256 entries of the longest kind.
pub const MAX_BUNDLE_BYTES: usize = (MAX_ENTRY_BYTES + 2) * TILE_WIDTH as usize;

/// Appends one entry to the bytes of a bundle.
///
/// # Errors
/// [`Error::OverLimit`] when the entry is longer than [`MAX_ENTRY_BYTES`]; `bundle` is unchanged.
pub fn encode_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), Error> {
    let len = u16::try_from(entry.len()).map_err(|_| Error::OverLimit {
        what: "entry length in bytes",
        limit: MAX_ENTRY_BYTES as u64,
    })?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, in the order of the log.
#[must_use]
pub const fn entries(bundle: &[u8]) -> Entries<'_> {
    Entries {
        rest: bundle,
        left: TILE_WIDTH,
    }
}

/// The entries of a bundle that must hold exactly `width` of them.
///
/// # Errors
/// [`Error::Malformed`] when an entry is cut off or the number of entries differs.
pub fn decode(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, Error> {
    let entries = entries(bundle).collect::<Result<Vec<_>, _>>()?;
    if entries.len() != usize::from(width) {
        return Err(Error::malformed(
            "entry bundle",
            "number of entries is not the bundle's width",
        ));
    }
    Ok(entries)
}

/// Iterator over the entries of a bundle; ends after the first error.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    rest: &'a [u8],
    left: u16,
}

impl<'a> Entries<'a> {
    fn split(&mut self) -> Result<&'a [u8], Error> {
        let (len, rest) = self
            .rest
            .split_first_chunk::<2>()
            .ok_or(Error::malformed("entry bundle", "ends inside a length"))?;
        let (entry, rest) = rest
            .split_at_checked(usize::from(u16::from_be_bytes(*len)))
            .ok_or(Error::malformed("entry bundle", "ends inside an entry"))?;
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(Error::malformed("entry bundle", "more than 256 entries"))?;
        self.rest = rest;
        Ok(entry)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.split();
        if entry.is_err() {
            self.rest = &[];
        }
        Some(entry)
    }
}

impl std::iter::FusedIterator for Entries<'_> {}
