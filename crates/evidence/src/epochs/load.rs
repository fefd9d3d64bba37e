//! The chain of keys of a store, from the positions that its state keeps: without reading all of the log.

use super::Epochs;
use crate::error::Error;
use crate::state::State;
use crate::tiles::read_event;
use storage::Disk;

/// The chain as far as it is settled. `state` only says where to look; what is found there has to hold by itself.
pub(crate) fn settled(disk: &dyn Disk, state: &State) -> Result<Epochs, Error> {
    let pinned = crate::keys::read_vkey(disk)?;
    let mut epochs = Epochs::pinned(pinned);
    for &seq in &state.keys {
        let line = read_event(disk, seq, state.size)?;
        take(&mut epochs, seq, &line)?;
    }
    Ok(epochs)
}

/// Takes an event that the log holds into its chain.
pub(crate) fn take(epochs: &mut Epochs, seq: u64, line: &[u8]) -> Result<(), Error> {
    epochs
        .take(seq, line)
        .map_err(|refusal| Error::damaged("the chain of the log's keys", refusal.detail))
}
