//! The attacks, by what the attacker holds.

pub(crate) mod anchors;
pub(crate) mod keys;
pub(crate) mod revocations;
pub(crate) mod stamps;
pub(crate) mod storage;
pub(crate) mod tail;
pub(crate) mod witnesses;

use crate::Failure;
use crate::judge::{Notice, View};
use crate::scene::{Base, Scene};
use std::path::Path;

/// Changes a store. It is a copy of the attack's base, and the attacker may use whatever else of the scene it says it holds.
pub(crate) type Make = fn(&Scene, &Path) -> Result<(), Failure>;

/// Something done to a store.
pub(crate) struct Attack {
    /// What is done, in a few words.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) holds: &'static str,
    /// The recorder in the field that does not notice it, where one was measured.
    pub(crate) fell: Option<&'static str>,
    /// What is attacked.
    pub(crate) base: Base,
    /// Who knows the least of those who must notice. Whoever knows less cannot, and must not say that the outside
    /// vouches for the store.
    pub(crate) noticed_by: View,
    /// What that one must say.
    pub(crate) notice: Notice,
    /// Does it.
    pub(crate) make: Make,
}

/// All of them, in the order of the table.
pub(crate) fn all() -> Vec<Attack> {
    let mut all = storage::attacks();
    all.extend(keys::attacks());
    all.extend(revocations::attacks());
    all.extend(anchors::attacks());
    all.extend(witnesses::attacks());
    all.extend(stamps::attacks());
    all.extend(tail::attacks());
    all
}
