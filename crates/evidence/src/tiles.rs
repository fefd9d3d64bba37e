//! The log in its public form: C2SP tiles, entry bundles and the signed checkpoint, under `log/`.
//!
//! Entry bundles are compressed at rest (`.zst`): the bytes inside are the bundle as C2SP defines it.
//! Behind the zstd frame stands a skippable frame (RFC 8878, 3.1.2) with the CRC-32C of the bytes
//! before it: some bits of a zstd frame can change without changing what it decompresses to, and a
//! file of evidence has no bits that do not count.

use crate::compression::decompress_into;
use crate::epochs::Epochs;
use crate::error::Error;
use crate::keys::LogKey;
use crate::stored;
use storage::Disk;
use tlog::tile::{BundleId, TILE_WIDTH, TileBuilder, TileId};
use tlog::{Checkpoint, Hash, bundle, leaf_hash};

pub(crate) const CHECKPOINT: &str = "log/checkpoint";

fn io(path: &str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::io(path, &error)
}

fn log_error(error: &tlog::Error) -> Error {
    Error::damaged("log/tile", error.to_string())
}

pub(crate) fn bundle_path(id: BundleId) -> String {
    format!("log/{id}.zst")
}

/// The directory in which the partial files of a tile or bundle lie.
fn partial_dir(full: &str) -> String {
    format!("{full}.p")
}

/// Reads a file at a place that is at least `width` wide: the exact one (which is the one that was
/// synced when it was settled), else the full one, else a wider partial one; and how wide it says it is.
fn read_widest(
    disk: &dyn Disk,
    full: &str,
    suffix: &str,
    width: u16,
) -> Result<Option<(Vec<u8>, u16)>, Error> {
    let dir = partial_dir(full);
    let read = |path: String| stored::read(disk, &path);
    // The settler may replace a partial file by a wider one while we look.
    for _ in 0..WIDEST_ATTEMPTS {
        if width < TILE_WIDTH
            && let Some(bytes) = read(format!("{dir}/{width}{suffix}"))?
        {
            return Ok(Some((bytes, width)));
        }
        if let Some(bytes) = read(format!("{full}{suffix}"))? {
            return Ok(Some((bytes, TILE_WIDTH)));
        }
        let widest = stored::list(disk, &dir)?
            .iter()
            .filter_map(|name| {
                let width = name.strip_suffix(suffix)?;
                let found = width.parse::<u16>().ok()?;
                // There is one way to write a width.
                (width == found.to_string()).then_some(found)
            })
            .filter(|found| *found >= width && *found < TILE_WIDTH)
            .max();
        let Some(found) = widest else {
            return Ok(None);
        };
        if let Some(bytes) = read(format!("{dir}/{found}{suffix}"))? {
            return Ok(Some((bytes, found)));
        }
    }
    Ok(None)
}

/// How often a tile is looked for while its partial files are replaced.
const WIDEST_ATTEMPTS: u32 = 8;

/// The hashes of a tile; `None` where neither it nor a wider one exists.
pub(crate) fn read_tile(disk: &dyn Disk, id: TileId) -> Result<Option<Vec<Hash>>, Error> {
    let full = format!("log/{}", full_tile(id));
    let Some((bytes, width)) = read_widest(disk, &full, "", id.width())? else {
        return Ok(None);
    };
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || hashes.len() != usize::from(width) {
        return Err(Error::damaged(full, "its length is not that of the tile"));
    }
    Ok(Some(hashes.iter().copied().map(Hash::new).collect()))
}

/// As [`read_tile`], of a tree that `settled` leaves have outgrown: read is the file that was settled with them. One of
/// exactly the width of `id` may never have been synced.
pub(crate) fn read_settled_tile(
    disk: &dyn Disk,
    id: TileId,
    settled: u64,
) -> Result<Option<Vec<Hash>>, Error> {
    let hashes = settled.checked_shr(8 * u32::from(id.level())).unwrap_or(0);
    let before = id.index().saturating_mul(u64::from(TILE_WIDTH));
    let held = hashes.saturating_sub(before).min(u64::from(TILE_WIDTH));
    let held = u16::try_from(held).unwrap_or(TILE_WIDTH).max(id.width());
    let whole = TileId::new(id.level(), id.index(), held).map_err(|error| log_error(&error))?;
    let mut tile = read_tile(disk, whole)?;
    if let Some(tile) = &mut tile {
        tile.truncate(usize::from(id.width()));
    }
    Ok(tile)
}

fn full_tile(id: TileId) -> String {
    let path = id.to_string();
    path.split_once(".p/")
        .map_or(path.clone(), |(full, _)| full.to_owned())
}

fn full_bundle(id: BundleId) -> String {
    let path = id.to_string();
    path.split_once(".p/")
        .map_or(path.clone(), |(full, _)| full.to_owned())
}

/// Reads the entries of a bundle, at least as many as `id` is wide, into `out`; returns how many its name says
/// there are, `None` where there is no such bundle.
pub(crate) fn read_bundle(
    disk: &dyn Disk,
    id: BundleId,
    out: &mut Vec<u8>,
) -> Result<Option<u16>, Error> {
    let full = format!("log/{}", full_bundle(id));
    let Some((stored, width)) = read_widest(disk, &full, ".zst", id.width())? else {
        // A log of another tool keeps its bundles plain.
        return Ok(
            read_widest(disk, &full, "", id.width())?.map(|(plain, width)| {
                *out = plain;
                width
            }),
        );
    };
    let damaged = |detail: &str| Error::damaged(format!("{full}.zst"), detail);
    let (frame, check) = stored
        .split_last_chunk::<12>()
        .ok_or_else(|| damaged("it is cut short"))?;
    if *check != check_frame(frame) {
        return Err(damaged("its checksum is wrong"));
    }
    // What the frame says of its length is a claim; it only sizes the buffer, within the bound.
    let said = zstd::zstd_safe::get_frame_content_size(frame)
        .ok()
        .flatten();
    let len = said
        .and_then(|len| usize::try_from(len).ok())
        .unwrap_or(bundle::MAX_BUNDLE_BYTES);
    decompress_into(frame, len.min(bundle::MAX_BUNDLE_BYTES), out)
        .map(|()| Some(width))
        .map_err(|_| damaged("it does not decompress"))
}

/// The exact line of event `seq` of a log of `size` events.
pub(crate) fn read_event(disk: &dyn Disk, seq: u64, size: u64) -> Result<Vec<u8>, Error> {
    let missing = || Error::Missing(format!("event {seq}"));
    let id = BundleId::holding(seq, size).ok_or_else(missing)?;
    let mut bytes = Vec::new();
    read_bundle(disk, id, &mut bytes)?.ok_or_else(|| Error::Missing(bundle_path(id)))?;
    let at = usize::try_from(seq % u64::from(TILE_WIDTH)).unwrap_or_default();
    let entry = bundle::entries(&bytes).nth(at).ok_or_else(missing)?;
    entry
        .map(<[u8]>::to_vec)
        .map_err(|error| Error::damaged(bundle_path(id), error.to_string()))
}

/// The skippable frame that goes behind a bundle's zstd frame.
fn check_frame(frame: &[u8]) -> [u8; 12] {
    let mut out = [0; 12];
    let crc = crc32c::crc32c(frame).to_le_bytes();
    for (to, from) in out.iter_mut().zip(CHECK_HEADER.iter().chain(&crc)) {
        *to = *from;
    }
    out
}

/// Appends entries to the log's public form.
#[derive(Debug)]
pub(crate) struct TileWriter {
    builder: TileBuilder,
    /// Entries of the bundle that is not full yet.
    bundle: Vec<u8>,
    /// Partial files that are there, of the tree as it was shown last. None of them is ever written again: of one width
    /// there is one content, and what the settled state relies on has been synced, which a file renamed over it has not.
    partial: Vec<String>,
    /// Partial files that the settled state relies on; they stay until the next one is published.
    settled: Vec<String>,
    /// Compression level of the bundles to come.
    level: i32,
}

/// Magic number and length of the skippable frame behind a bundle.
const CHECK_HEADER: [u8; 8] = [0x5c, 0x2a, 0x4d, 0x18, 4, 0, 0, 0];

/// Compression of bundles until told otherwise. What does not repeat in an event line is hexadecimal,
/// in which the levels from 3 to 9 find only matches too short to be worth it: they are slower and
/// no smaller.
pub(crate) const LEVEL: i32 = 1;

impl TileWriter {
    /// Goes on with the first `size` entries that lie on disk.
    pub(crate) fn resume(disk: &dyn Disk, size: u64) -> Result<Self, Error> {
        let mut failure = None;
        let builder = TileBuilder::resume(size, |id| {
            read_tile(disk, id)
                .map_err(|error| failure = Some(error))
                .ok()
                .flatten()
        });
        let builder = match (builder, failure) {
            (_, Some(error)) => return Err(error),
            (Err(error), None) => return Err(log_error(&error)),
            (Ok(builder), None) => builder,
        };
        let width = u16::try_from(size % u64::from(TILE_WIDTH)).unwrap_or_default();
        let mut entries = Vec::new();
        if width > 0 {
            let id =
                BundleId::new(size / u64::from(TILE_WIDTH), width).map_err(|e| log_error(&e))?;
            let mut bytes = Vec::new();
            if read_bundle(disk, id, &mut bytes)?.is_none() {
                return Err(Error::Missing(bundle_path(id)));
            }
            for entry in bundle::entries(&bytes).take(usize::from(width)) {
                let entry = entry.map_err(|error| log_error(&error))?;
                bundle::encode_entry(&mut entries, entry).map_err(|error| log_error(&error))?;
            }
        }
        let mut writer = Self {
            builder,
            bundle: entries,
            partial: Vec::new(),
            settled: Vec::new(),
            level: LEVEL,
        };
        // What was read may have been wider.
        for path in writer.partial_paths() {
            if stored::open(disk, &path)?.is_some() {
                writer.partial.push(path);
            }
        }
        writer.settled.clone_from(&writer.partial);
        Ok(writer)
    }

    /// The partial files of the tree as it stands.
    fn partial_paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self
            .builder
            .partials()
            .map(|(id, _)| format!("log/{id}"))
            .collect();
        paths.extend(self.partial_bundle().map(bundle_path));
        paths
    }

    /// The bundle that is not full, where there is one.
    fn partial_bundle(&self) -> Option<BundleId> {
        let width = u16::try_from(self.size() % u64::from(TILE_WIDTH)).ok()?;
        BundleId::new(self.size() / u64::from(TILE_WIDTH), width).ok()
    }

    /// Compression level of the bundles to come: higher when there is time.
    pub(crate) fn set_level(&mut self, level: i32) {
        self.level = level;
    }

    pub(crate) fn size(&self) -> u64 {
        self.builder.size()
    }

    pub(crate) fn push(&mut self, disk: &dyn Disk, line: &[u8]) -> Result<(), Error> {
        bundle::encode_entry(&mut self.bundle, line).map_err(|error| log_error(&error))?;
        let mut failure = None;
        self.builder.push(leaf_hash(line), |id, hashes| {
            let path = format!("log/{id}");
            if let Err(error) = disk.write(&path, &tlog::tile::encode(hashes)) {
                failure.get_or_insert(io(&path)(error));
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if self.size().is_multiple_of(u64::from(TILE_WIDTH)) {
            let index = self.size() / u64::from(TILE_WIDTH) - 1;
            let id = BundleId::new(index, TILE_WIDTH).map_err(|error| log_error(&error))?;
            self.write_bundle(disk, id)?;
            self.bundle.clear();
        }
        Ok(())
    }

    fn write_bundle(&self, disk: &dyn Disk, id: BundleId) -> Result<(), Error> {
        let path = bundle_path(id);
        let mut stored = zstd::bulk::compress(&self.bundle, self.level).map_err(io(&path))?;
        stored.extend_from_slice(&check_frame(&stored));
        disk.write(&path, &stored).map_err(io(&path))
    }

    /// Writes the partial tiles and bundle of the tree as it stands, so that all of it can be read.
    pub(crate) fn show(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        let paths = self.partial_paths();
        if paths == self.partial {
            return Ok(());
        }
        for (id, hashes) in self.builder.partials() {
            let path = format!("log/{id}");
            if !self.partial.contains(&path) {
                disk.write(&path, &tlog::tile::encode(hashes))
                    .map_err(io(&path))?;
            }
        }
        if let Some(id) = self.partial_bundle()
            && !self.partial.contains(&bundle_path(id))
        {
            self.write_bundle(disk, id)?;
        }
        let old = std::mem::replace(&mut self.partial, paths);
        for path in old
            .iter()
            .filter(|path| !self.settled.contains(path) && !self.partial.contains(path))
        {
            disk.remove(path).map_err(io(path))?;
        }
        Ok(())
    }

    /// Called once the state that relies on the files of [`Self::show`] is durable: what earlier
    /// states relied on goes, and whatever an earlier session left beside it.
    pub(crate) fn settled(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        let old = std::mem::replace(&mut self.settled, self.partial.clone());
        for path in &old {
            let Some((dir, _)) = path.rsplit_once('/') else {
                continue;
            };
            let below = format!("{dir}/");
            if !self.partial.iter().any(|kept| kept.starts_with(&below)) {
                disk.remove(dir).map_err(io(dir))?;
                continue;
            }
            for name in disk.list(dir).map_err(io(dir))? {
                let path = format!("{below}{name}");
                if !self.partial.contains(&path) {
                    disk.remove(&path).map_err(io(&path))?;
                }
            }
        }
        Ok(())
    }

    /// Root of the tree as it stands.
    pub(crate) fn root(&self) -> Hash {
        self.builder.root()
    }

    /// The tree as it stands, in a form that can be read.
    pub(crate) fn checkpoint(
        &mut self,
        disk: &dyn Disk,
        origin: &str,
    ) -> Result<Checkpoint, Error> {
        self.show(disk)?;
        Checkpoint::new(origin, self.size(), self.builder.root()).map_err(|error| log_error(&error))
    }

    /// Signs the tree as it stands and publishes the checkpoint.
    pub(crate) fn sign(&mut self, disk: &dyn Disk, key: &LogKey) -> Result<(), Error> {
        let note = key.sign(&self.checkpoint(disk, key.origin())?)?;
        disk.publish(CHECKPOINT, note.to_string().as_bytes())
            .map_err(io(CHECKPOINT))
    }
}

/// The bytes of the checkpoint on disk, unverified; `None` where none was ever signed.
pub(crate) fn read_checkpoint(disk: &dyn Disk) -> Result<Option<Vec<u8>>, Error> {
    stored::read(disk, CHECKPOINT)
}

/// Believes a checkpoint only when the key of its epoch signed it and still counts.
pub(crate) fn open_checkpoint(bytes: &[u8], epochs: &Epochs) -> Result<Checkpoint, Error> {
    let signed = epochs
        .open(bytes)
        .map_err(|refusal| Error::damaged(CHECKPOINT, refusal.detail))?;
    match signed.revoked {
        None => Ok(signed.checkpoint),
        Some(revoked) => Err(Error::damaged(
            CHECKPOINT,
            format!("its key was revoked from size {} on", revoked.size),
        )),
    }
}
