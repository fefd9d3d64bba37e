//! The runs that are remembered: by what names each is known, and which of them was used last.

use std::collections::{BTreeMap, HashMap};

/// Names kept of one run: its id, its sessions, its servers.
const MAX_NAMES: usize = 64;

/// One run.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    names: Vec<String>,
    tick: u64,
    pub(super) last_ms: u64,
}

/// All of them. The one that [`Self::touch`] named longest ago is forgotten first.
#[derive(Debug, Default)]
pub(super) struct Roll {
    runs: HashMap<u64, Known>,
    order: BTreeMap<u64, u64>,
    names: HashMap<String, u64>,
    next: u64,
}

impl Roll {
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn get(&self, run: u64) -> Option<&Known> {
        self.runs.get(&run)
    }

    /// The run that answers to a name.
    pub(super) fn named(&self, name: &str) -> Option<u64> {
        self.names.get(name).copied()
    }

    /// A new run, which answers to its id.
    pub(super) fn begin(&mut self, id: String) -> u64 {
        let run = self.next;
        self.next += 1;
        let name = format!("run\n{id}");
        self.names.insert(name.clone(), run);
        self.runs.insert(
            run,
            Known {
                id,
                parent: None,
                names: vec![name],
                tick: 0,
                last_ms: 0,
            },
        );
        run
    }

    /// The run is used; `tick` is of this use alone.
    pub(super) fn touch(&mut self, run: u64, tick: u64, now_ms: u64) {
        let Some(known) = self.runs.get_mut(&run) else {
            return;
        };
        self.order.remove(&known.tick);
        known.tick = tick;
        known.last_ms = now_ms;
        self.order.insert(tick, run);
    }

    /// Makes the run answer to further names. A name moves from the run that had it.
    pub(super) fn name(&mut self, run: u64, names: Vec<String>) {
        for name in names {
            if self.names.get(&name) == Some(&run) {
                continue;
            }
            let Some(known) = self.runs.get_mut(&run) else {
                return;
            };
            if known.names.len() >= MAX_NAMES {
                // The first is the id itself.
                let oldest = known.names.remove(1);
                if self.names.get(&oldest) == Some(&run) {
                    self.names.remove(&oldest);
                }
            }
            known.names.push(name.clone());
            self.names.insert(name, run);
        }
    }

    /// Sets the parent where there is none yet. Returns whether it did.
    pub(super) fn adopt(&mut self, run: u64, parent: Option<String>) -> bool {
        match (self.runs.get_mut(&run), parent) {
            (Some(known), Some(parent)) if known.parent.is_none() && known.id != parent => {
                known.parent = Some(parent);
                true
            }
            _ => false,
        }
    }

    /// Forgets the least recently used run, but for one. `None`: there is no other.
    pub(super) fn forget_oldest(&mut self, but: u64) -> Option<u64> {
        let (tick, run) = self
            .order
            .iter()
            .map(|(tick, run)| (*tick, *run))
            .find(|(_, run)| *run != but)?;
        self.order.remove(&tick);
        if let Some(known) = self.runs.remove(&run) {
            for name in known.names {
                if self.names.get(&name) == Some(&run) {
                    self.names.remove(&name);
                }
            }
        }
        Some(run)
    }
}
