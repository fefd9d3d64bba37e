//! One file of a simulated disk: what a reader sees, what is on the medium, and what is on its way there.

/// Pieces of a write that reach the medium or not, each by itself.
const SECTOR_BYTES: usize = 512;

/// Decides: given `n`, one of `0..n`.
pub type Choose<'a> = &'a mut dyn FnMut(u64) -> u64;

#[derive(Debug, Clone)]
pub(super) enum Change {
    /// The name stands for other bytes: a file made, or renamed over another.
    Replaced(Vec<u8>),
    /// As [`Self::Replaced`], but the bytes are on the medium: only the name is on its way.
    Renamed(Vec<u8>),
    Written {
        bytes: Vec<u8>,
        offset: usize,
    },
    Cut(usize),
    Removed,
}

#[derive(Debug, Clone)]
struct Pending {
    change: Change,
    /// A `sync` has failed since: no later one makes its bytes durable. Names are another matter: a file system
    /// that loses those does not go on.
    lost: bool,
}

impl Pending {
    /// What a later `sync` makes of it.
    fn kept(&self) -> Option<Change> {
        match &self.change {
            Change::Written { .. } if self.lost => None,
            Change::Replaced(_) if self.lost => Some(Change::Replaced(Vec::new())),
            change => Some(change.clone()),
        }
    }
}

/// A file, or the memory of one that was removed and may come back.
#[derive(Debug, Default, Clone)]
pub(super) struct Content {
    /// What a reader of the running system sees; `None`: no such file.
    volatile: Option<Vec<u8>>,
    /// What surely survives a power cut; `None`: the name does not.
    durable: Option<Vec<u8>>,
    /// What has happened since, in order.
    pending: Vec<Pending>,
}

fn apply(found: &mut Option<Vec<u8>>, change: &Change) {
    match (change, found) {
        (Change::Replaced(bytes) | Change::Renamed(bytes), found) => *found = Some(bytes.clone()),
        (Change::Removed, found) => *found = None,
        // What the name stood for is gone, and the change with it.
        (Change::Written { .. } | Change::Cut(_), None) => {}
        (Change::Written { bytes, offset }, Some(found)) => write(found, bytes, *offset),
        (Change::Cut(len), Some(found)) => found.resize(*len, 0),
    }
}

fn write(file: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    if let Some(slot) = file.get_mut(offset..end) {
        slot.copy_from_slice(bytes);
    }
}

impl Content {
    /// A file that is on the medium.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self {
            volatile: Some(bytes.clone()),
            durable: Some(bytes),
            pending: Vec::new(),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.volatile.is_none() && self.durable.is_none() && self.pending.is_empty()
    }

    pub(super) fn seen(&self) -> Option<&Vec<u8>> {
        self.volatile.as_ref()
    }

    /// The bytes that survive a power cut and those that a reader sees, of a file of which both exist.
    pub(super) fn both(&self) -> Option<(&[u8], &[u8])> {
        Some((self.durable.as_deref()?, self.volatile.as_deref()?))
    }

    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.volatile, &change);
        self.pending.push(Pending {
            change,
            lost: false,
        });
    }

    /// `fdatasync`: the bytes, not the name.
    pub(super) fn sync(&mut self) {
        if self.durable.is_some() {
            self.sync_name();
        }
    }

    /// Makes bytes and name durable, but what an earlier failure lost.
    pub(super) fn sync_name(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            if let Some(change) = pending.kept() {
                apply(&mut self.durable, &change);
            }
        }
    }

    /// A `sync` has failed: what was on its way counts as written in the system's memory, and nowhere else.
    pub(super) fn lose(&mut self) {
        for pending in &mut self.pending {
            pending.lost = true;
        }
    }

    /// What the next process finds: what a failed `sync` lost may have been dropped from memory.
    pub(super) fn restarted(&self, choose: Choose<'_>) -> Self {
        let mut next = self.clone();
        if next.pending.iter().any(|pending| pending.lost) && choose(2) == 0 {
            next.volatile.clone_from(&next.durable);
            for change in next.pending.iter().filter_map(Pending::kept) {
                apply(&mut next.volatile, &change);
            }
        }
        next
    }

    /// What is found after a power cut: each change by itself has reached the medium, in part, or not.
    pub(super) fn after_power_loss(&self, choose: Choose<'_>) -> Option<Vec<u8>> {
        let mut found = self.durable.clone();
        for pending in &self.pending {
            survive(&mut found, &pending.change, choose);
        }
        found
    }
}

fn survive(found: &mut Option<Vec<u8>>, change: &Change, choose: Choose<'_>) {
    match (change, choose(4)) {
        (_, 0) => {}
        (Change::Replaced(bytes), 1) => {
            let torn = choose(bytes.len() as u64 + 1);
            let torn = usize::try_from(torn).unwrap_or(usize::MAX);
            *found = Some(bytes.get(..torn).unwrap_or(bytes).to_vec());
        }
        (Change::Written { bytes, offset }, 1) => {
            let torn = usize::try_from(choose(bytes.len() as u64 + 1)).unwrap_or(usize::MAX);
            if let Some(file) = found {
                write(file, bytes.get(..torn).unwrap_or(bytes), *offset);
            }
        }
        (Change::Written { bytes, offset }, 2) => {
            for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if let Some(file) = found
                    && choose(2) == 0
                {
                    write(file, sector, offset + index * SECTOR_BYTES);
                }
            }
        }
        (change, _) => apply(found, change),
    }
}
