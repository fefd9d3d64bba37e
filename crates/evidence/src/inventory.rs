//! What a recorder looks at before it goes on with a store: that every file of evidence is there, as long as it
//! must be, and begins as it must. What the files hold is for `verify` to judge, which reads all of it.

use crate::cipher::Keyring;
use crate::error::Error;
use crate::salt::BODIES_PER_SEED;
use crate::salts::read_seed;
use crate::state::State;
use crate::stored;
use crate::tiles::bundle_path;
use crate::volume::{scan, volume_path};
use storage::Disk;
use tlog::tile::{BundleId, TILE_WIDTH, TileId, bundles_between, tiles_of};

/// Bytes of a tile that is full.
const TILE_BYTES: u64 = TILE_WIDTH as u64 * 32;

/// Checks the settled part of the store.
///
/// # Errors
/// [`Error::Missing`] or [`Error::Damaged`], naming the file.
pub(crate) fn check(disk: &dyn Disk, state: &State, keys: &Keyring) -> Result<(), Error> {
    // Partial tiles and bundles are read when the tree is resumed.
    for id in tiles_of(state.size).filter(is_full) {
        let path = format!("log/{id}");
        if len(disk, &path)? != TILE_BYTES {
            return Err(Error::damaged(
                path,
                "its length is not that of a full tile",
            ));
        }
    }
    for id in bundles_between(0, state.size).filter(is_whole) {
        let path = bundle_path(id);
        if len(disk, &path)? == 0 {
            return Err(Error::damaged(path, "it is empty"));
        }
    }
    if !state.next_body.is_multiple_of(BODIES_PER_SEED) {
        match read_seed(disk, state.next_body, keys) {
            // Of a write-only recorder.
            Err(Error::Locked { .. }) => {}
            seed => drop(seed?),
        }
    }
    for number in 1..=state.volume {
        let newest = number == state.volume;
        if newest && state.volume_len == 0 {
            break;
        }
        let path = volume_path(number);
        let found = len(disk, &path)?;
        let settled = if newest { state.volume_len } else { found };
        if found < settled {
            return Err(Error::damaged(
                path,
                format!("it has {found} bytes where {settled} were settled"),
            ));
        }
        let file = disk.open(&path).map_err(|error| Error::io(&path, &error))?;
        scan(file.as_ref(), number, 0, settled)?;
    }
    Ok(())
}

const fn is_full(id: &TileId) -> bool {
    id.width() == TILE_WIDTH
}

const fn is_whole(id: &BundleId) -> bool {
    id.width() == TILE_WIDTH
}

fn len(disk: &dyn Disk, path: &str) -> Result<u64, Error> {
    let file = stored::open(disk, path)?.ok_or_else(|| Error::Missing(path.into()))?;
    file.len().map_err(|error| stored::refused(path, &error))
}
