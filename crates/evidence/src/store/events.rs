//! Events: from entry bundles where they are settled, from the write-ahead log's tail behind that.

use super::{Entry, Store};
use crate::error::Error;
use crate::tiles::read_bundle;
use tlog::tile::{BundleId, TILE_WIDTH};
use tlog::{Hash, bundle, leaf_hash, leaf_hashes};

impl Store {
    /// Events from `from` on, in order, up to [`Self::len`]; ends after the first error.
    pub fn events(&self, from: u64) -> impl Iterator<Item = Result<Entry, Error>> + '_ {
        let mut next = from;
        let mut bundle: Vec<u8> = Vec::new();
        let mut offset = 0;
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed || next >= self.len() {
                return None;
            }
            let line = if next < self.state.size {
                if offset >= bundle.len() {
                    match self.bundle_from(next) {
                        Ok((bytes, start)) => (bundle, offset) = (bytes, start),
                        Err(error) => {
                            failed = true;
                            return Some(Err(error));
                        }
                    }
                }
                let mut entries = bundle::entries(bundle.get(offset..).unwrap_or_default());
                match entries.next() {
                    Some(Ok(entry)) => {
                        offset += entry.len() + 2;
                        if (next + 1).is_multiple_of(u64::from(TILE_WIDTH)) {
                            // The next entry lies in the next bundle.
                            let line = entry.to_vec();
                            offset = usize::MAX;
                            bundle.clear();
                            next += 1;
                            return Some(Ok(Entry {
                                seq: next - 1,
                                line,
                            }));
                        }
                        Ok(entry.to_vec())
                    }
                    _ => Err(Error::damaged(
                        format!("event {next}"),
                        "its entry bundle is cut short",
                    )),
                }
            } else {
                self.tail_event(next)
            };
            failed = line.is_err();
            let seq = next;
            next += 1;
            Some(line.map(|line| Entry { seq, line }))
        })
    }

    /// Hands every event and its leaf hash to `each`, in order and without copying: for whoever reads the whole log.
    ///
    /// # Errors
    /// What keeps the next event from being read; `each` has seen all before it.
    pub(crate) fn scan(&self, each: &mut dyn FnMut(u64, &[u8], Hash)) -> Result<(), Error> {
        let mut next = 0;
        let mut bytes = Vec::new();
        while next < self.state.size {
            let (_, width) = self.read_bundle(next, &mut bytes)?;
            let mut entries = Vec::with_capacity(usize::from(width));
            let mut broken = None;
            for entry in bundle::entries(&bytes) {
                match entry {
                    Ok(entry) => entries.push(entry),
                    Err(error) => broken = Some(error),
                }
            }
            let in_bundle = u64::from(TILE_WIDTH).min(self.state.size - next);
            let end = next + in_bundle;
            for (entry, leaf) in entries.iter().zip(leaf_hashes(&entries)) {
                if next < end {
                    each(next, entry, leaf);
                    next += 1;
                }
            }
            if let Some(error) = broken {
                return Err(Error::damaged(format!("event {next}"), error.to_string()));
            }
            if next < end {
                return Err(Error::altered(
                    format!("event {next}"),
                    "its entry bundle is cut short",
                ));
            }
            let held = entries.len();
            if held != usize::from(width) {
                return Err(Error::altered(
                    format!("event {next}"),
                    format!("its entry bundle holds {held} entries where its name says {width}"),
                ));
            }
        }
        for seq in next..self.len() {
            let line = self.tail_event(seq)?;
            each(seq, &line, leaf_hash(&line));
        }
        Ok(())
    }

    /// Reads the bundle that holds event `seq`; returns which it is and how many entries its name says it has.
    fn read_bundle(&self, seq: u64, bytes: &mut Vec<u8>) -> Result<(BundleId, u16), Error> {
        let id = BundleId::holding(seq, self.state.size)
            .ok_or_else(|| Error::Missing(format!("event {seq}")))?;
        read_bundle(self.disk.as_ref(), id, bytes)?
            .map(|width| (id, width))
            .ok_or_else(|| Error::Missing(crate::tiles::bundle_path(id)))
    }

    /// The bundle that holds event `seq`, and the offset of that event in it.
    fn bundle_from(&self, seq: u64) -> Result<(Vec<u8>, usize), Error> {
        let mut bytes = Vec::new();
        let (id, _) = self.read_bundle(seq, &mut bytes)?;
        let skip = usize::try_from(seq % u64::from(TILE_WIDTH)).unwrap_or_default();
        let mut offset = 0;
        for entry in bundle::entries(&bytes).take(skip) {
            let entry = entry.map_err(|error| Error::damaged(id.to_string(), error.to_string()))?;
            offset += entry.len() + 2;
        }
        Ok((bytes, offset))
    }

    pub(super) fn tail_event(&self, seq: u64) -> Result<Vec<u8>, Error> {
        usize::try_from(seq - self.state.size)
            .ok()
            .and_then(|index| self.wal.event(index))
            .unwrap_or_else(|| Err(Error::Missing(format!("event {seq}"))))
    }

    /// The exact bytes of one event's line.
    ///
    /// # Errors
    /// [`Error::Missing`] beyond the end of the log.
    pub fn event(&self, seq: u64) -> Result<Vec<u8>, Error> {
        if seq >= self.state.size {
            return self.tail_event(seq);
        }
        let mut inner = self.lock();
        let index = seq / u64::from(TILE_WIDTH);
        if inner.bundle.as_ref().is_none_or(|(held, _)| *held != index) {
            let first = index * u64::from(TILE_WIDTH);
            inner.bundle = Some((index, self.bundle_from(first)?.0));
        }
        let skip = usize::try_from(seq % u64::from(TILE_WIDTH)).unwrap_or_default();
        let bytes = inner
            .bundle
            .as_ref()
            .map(|(_, bytes)| bytes.as_slice())
            .unwrap_or_default();
        match bundle::entries(bytes).nth(skip) {
            Some(Ok(entry)) => Ok(entry.to_vec()),
            _ => Err(Error::damaged(
                format!("event {seq}"),
                "its entry bundle is cut short",
            )),
        }
    }
}
