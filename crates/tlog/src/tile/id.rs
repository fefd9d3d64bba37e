//! Which tile or bundle, and the path it is served and stored at.

use super::{MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH, width_at};
use crate::{Error, line::decimal};
use std::{fmt, ops::Range, str::FromStr};

const WHAT: &str = "tile path";

/// One hash tile: level, index within the level, width.
///
/// `Display` and `FromStr` are the path `tile/<L>/<N>[.p/<W>]`. Only tiles that a tree of 64-bit
/// size can have exist as values; higher levels that the specification's grammar allows are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    level: u8,
    index: u64,
    width: u16,
}

impl TileId {
    /// The tile at `level` (0 holds leaf hashes) and `index`, `width` hashes wide (1 to 256).
    ///
    /// # Errors
    /// [`Error::Malformed`] when no tree of 64-bit size has this tile.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, Error> {
        if width == 0 || width > TILE_WIDTH {
            return Err(Error::malformed(WHAT, "width is not 1 to 256"));
        }
        if level > MAX_TILE_LEVEL {
            return Err(Error::malformed(
                WHAT,
                "level beyond any tree of 64-bit size",
            ));
        }
        let hashes_below = u64::MAX >> (u32::from(level) * u32::from(TILE_HEIGHT));
        if width_at(index, hashes_below) < width {
            return Err(Error::malformed(
                WHAT,
                "index beyond any tree of 64-bit size",
            ));
        }
        Ok(Self {
            level,
            index,
            width,
        })
    }

    /// The tile that holds hash number `hash_index` of tile level `level` in a tree of `size`
    /// leaves, as wide as that tree makes it. `None` when the tree has no such hash.
    #[must_use]
    pub fn holding(level: u8, hash_index: u64, size: u64) -> Option<Self> {
        let shift = u32::from(level).checked_mul(u32::from(TILE_HEIGHT))?;
        let count = size.checked_shr(shift)?;
        if hash_index >= count {
            return None;
        }
        let index = hash_index / u64::from(TILE_WIDTH);
        Self::new(level, index, width_at(index, count)).ok()
    }

    /// Tile level: 0 holds leaf hashes, each level above spans 8 levels of the tree.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Index within the level.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// Number of hashes, 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether the tile is narrower than 256 hashes.
    #[must_use]
    pub const fn is_partial(self) -> bool {
        self.width < TILE_WIDTH
    }

    /// The full tile at the same place: what replaces a partial tile once the log has grown.
    /// `None` where the 64-bit size ends before the tile is full.
    #[must_use]
    pub fn full(self) -> Option<Self> {
        Self::new(self.level, self.index, TILE_WIDTH).ok()
    }

    /// The path `tile/<L>/<N>[.p/<W>]`.
    #[must_use]
    pub fn path(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_index(f, self.index, self.width)
    }
}

impl FromStr for TileId {
    type Err = Error;

    /// Reads exactly the path that `Display` writes.
    fn from_str(path: &str) -> Result<Self, Error> {
        let (level, rest) = path
            .strip_prefix("tile/")
            .and_then(|rest| rest.split_once('/'))
            .ok_or(Error::malformed(WHAT, "does not begin with tile/<level>/"))?;
        let level = decimal(level)
            .and_then(|level| u8::try_from(level).ok())
            .filter(|level| *level <= 63)
            .ok_or(Error::malformed(WHAT, "level is not 0 to 63"))?;
        let (index, width) = parse_index(rest)?;
        Self::new(level, index, width)
    }
}

/// One bundle of log entries: index and number of entries.
///
/// `Display` and `FromStr` are the path `tile/entries/<N>[.p/<W>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BundleId {
    index: u64,
    width: u16,
}

impl BundleId {
    /// The bundle at `index`, with `width` entries (1 to 256).
    ///
    /// # Errors
    /// [`Error::Malformed`] when no tree of 64-bit size has this bundle.
    pub fn new(index: u64, width: u16) -> Result<Self, Error> {
        TileId::new(0, index, width).map(|_| Self { index, width })
    }

    /// The bundle that holds entry number `entry` in a log of `size` entries, as wide as that log
    /// makes it. `None` when the log has no such entry.
    #[must_use]
    pub fn holding(entry: u64, size: u64) -> Option<Self> {
        let TileId { index, width, .. } = TileId::holding(0, entry, size)?;
        Some(Self { index, width })
    }

    /// Index of the bundle: it begins with entry `index * 256`.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// Number of entries, 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether the bundle has fewer than 256 entries.
    #[must_use]
    pub const fn is_partial(self) -> bool {
        self.width < TILE_WIDTH
    }

    /// The entries it holds, by their index in the log.
    #[must_use]
    pub fn entries(self) -> Range<u64> {
        let first = self.index * u64::from(TILE_WIDTH);
        first..first.saturating_add(u64::from(self.width))
    }

    /// The level 0 hash tile that holds the hashes of the same entries.
    #[must_use]
    pub const fn tile(self) -> TileId {
        TileId {
            level: 0,
            index: self.index,
            width: self.width,
        }
    }

    /// The path `tile/entries/<N>[.p/<W>]`.
    #[must_use]
    pub fn path(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_index(f, self.index, self.width)
    }
}

impl FromStr for BundleId {
    type Err = Error;

    /// Reads exactly the path that `Display` writes.
    fn from_str(path: &str) -> Result<Self, Error> {
        let rest = path
            .strip_prefix("tile/entries/")
            .ok_or(Error::malformed(WHAT, "does not begin with tile/entries/"))?;
        let (index, width) = parse_index(rest)?;
        Self::new(index, width)
    }
}

/// Writes `<N>[.p/<W>]`: groups of three digits, all but the last marked with `x`.
fn write_index(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let mut divisor = 1;
    while index / divisor >= 1000 {
        divisor *= 1000;
    }
    while divisor > 1 {
        write!(f, "x{:03}/", index / divisor % 1000)?;
        divisor /= 1000;
    }
    write!(f, "{:03}", index % 1000)?;
    if width < TILE_WIDTH {
        write!(f, ".p/{width}")?;
    }
    Ok(())
}

/// Reads `<N>[.p/<W>]`; a missing suffix is a full tile.
fn parse_index(text: &str) -> Result<(u64, u16), Error> {
    let (number, width) = match text.split_once(".p/") {
        None => (text, TILE_WIDTH),
        Some((number, width)) => {
            let width = decimal(width)
                .and_then(|width| u16::try_from(width).ok())
                .filter(|width| (1..TILE_WIDTH).contains(width))
                .ok_or(Error::malformed(WHAT, "partial width is not 1 to 255"))?;
            (number, width)
        }
    };
    let mut index: u64 = 0;
    let mut groups = number.split('/').peekable();
    let mut first = true;
    while let Some(group) = groups.next() {
        let last = groups.peek().is_none();
        let digits = if last {
            Some(group)
        } else {
            group.strip_prefix('x')
        };
        let value = digits.and_then(three_digits).ok_or(Error::malformed(
            WHAT,
            "index is not groups of three digits",
        ))?;
        if first && !last && value == 0 {
            return Err(Error::malformed(WHAT, "index has a leading zero group"));
        }
        first = false;
        index = index
            .checked_mul(1000)
            .and_then(|index| index.checked_add(value))
            .ok_or(Error::malformed(WHAT, "index beyond 64 bits"))?;
    }
    Ok((index, width))
}

fn three_digits(group: &str) -> Option<u64> {
    (group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit()))
        .then(|| group.parse().ok())
        .flatten()
}
