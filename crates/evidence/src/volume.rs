//! The vault's volumes: append-only files of blocks, each a compressed group of chunks or bodies.
//! Version 1; integers little-endian.
//!
//! ```text
//! volume := "TACHOVOL" version:u32 reserved:u32 block*
//! block  := "TBLK" kind:u8 codec:u8 cipher:u8 0:u8 first:u64 last:u64 count:u32 raw_len:u32
//!           stored_len:u32 crc32c:u32 stored[stored_len]                                (40 + stored_len)
//! chunks := len:u32*count bytes            kind 1; first..=last are consecutive chunk numbers
//! bodies := (id:varint len:varint recipe_len:varint recipe)*count    kind 2; first and last bound the ids
//! ```
//! The CRC covers the header before it and the stored bytes. `cipher` is 0: blocks are not encrypted
//! yet; the field is where that will be said. A volume lies in `vault/NNNNNNNNNN.vol`.

use crate::compression::{compress_block, decompress_into};
use crate::error::Error;
use crate::recipe::{push_varint, take_varint};
use crate::record::Cursor;
use storage::{Disk, DiskFile};

const MAGIC: &[u8; 8] = b"TACHOVOL";
const BLOCK_MAGIC: &[u8; 4] = b"TBLK";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 16;
const BLOCK_HEADER_BYTES: usize = 40;
const KIND_CHUNKS: u8 = 1;
const KIND_BODIES: u8 = 2;
const CODEC_ZSTD: u8 = 1;

/// Plaintext that a block of chunks gathers before it is compressed. Large, because agents resend
/// nearly the same bytes and only what shares a block is compressed against each other.
const CHUNKS_BLOCK_BYTES: usize = 4 << 20;
const BODIES_BLOCK_BYTES: usize = 256 << 10;

/// A block larger than this is not one: a bound on what a hostile file can make a reader allocate.
const MAX_BLOCK_BYTES: u32 = 64 << 20;

/// A volume that has reached this is closed and the next begun.
const VOLUME_BYTES: u64 = 1 << 30;

pub(crate) fn volume_path(number: u64) -> String {
    format!("vault/{number:010}.vol")
}

/// What a volume begins with.
fn header() -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&0_u32.to_le_bytes());
    header
}

/// Whether a volume of which nothing is settled is as its writer leaves it before it writes the first block: a header,
/// or as much of one as reached the disk.
pub(crate) fn is_only_begun(file: &dyn DiskFile) -> std::io::Result<bool> {
    let header = header();
    let mut found = vec![0; header.len() + 1];
    let n = file.read_at(&mut found, 0)?;
    Ok(header.starts_with(found.get(..n).unwrap_or_default()))
}

/// Appends blocks to the newest volume.
#[derive(Debug)]
pub(crate) struct VolumeWriter {
    file: Box<dyn DiskFile>,
    number: u64,
    len: u64,
    chunks: Group,
    lens: Vec<u32>,
    bodies: Group,
    level: i32,
}

#[derive(Debug, Default)]
struct Group {
    raw: Vec<u8>,
    first: u64,
    last: u64,
    count: u32,
}

impl Group {
    fn note(&mut self, number: u64) {
        if self.count == 0 {
            (self.first, self.last) = (number, number);
        }
        self.first = self.first.min(number);
        self.last = self.last.max(number);
        self.count += 1;
    }
}

impl VolumeWriter {
    /// Opens volume `number` and cuts it to `len`, the length that the settled state vouches for.
    pub(crate) fn open(disk: &dyn Disk, number: u64, len: u64) -> Result<Self, Error> {
        let path = volume_path(number);
        let io = |error: std::io::Error| Error::io(&path, &error);
        let file = disk.open_or_create(&path).map_err(io)?;
        let found = file.len().map_err(io)?;
        if found < len {
            return Err(Error::damaged(
                &path,
                format!("{found} bytes where {len} were settled"),
            ));
        }
        file.set_len(len).map_err(io)?;
        let mut writer = Self {
            file,
            number,
            len,
            chunks: Group::default(),
            lens: Vec::new(),
            bodies: Group::default(),
            level: 3,
        };
        if len == 0 {
            writer.append(&header())?;
        }
        Ok(writer)
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Compression level of the blocks to come: higher when there is time.
    pub(crate) fn set_level(&mut self, level: i32) {
        self.level = level;
    }

    pub(crate) fn push_chunk(&mut self, number: u64, raw: &[u8]) -> Result<(), Error> {
        if self.chunks.count > 0 && number != self.chunks.last + 1 {
            return Err(Error::damaged(
                "the write-ahead log",
                format!("chunk {number} follows chunk {}", self.chunks.last),
            ));
        }
        self.chunks.note(number);
        self.lens.push(u32::try_from(raw.len()).unwrap_or(u32::MAX));
        self.chunks.raw.extend_from_slice(raw);
        if self.chunks.raw.len() >= CHUNKS_BLOCK_BYTES {
            self.flush_chunks()
        } else {
            Ok(())
        }
    }

    pub(crate) fn push_body(&mut self, id: u64, len: u64, recipe: &[u8]) -> Result<(), Error> {
        self.bodies.note(id);
        push_varint(&mut self.bodies.raw, id);
        push_varint(&mut self.bodies.raw, len);
        push_varint(&mut self.bodies.raw, recipe.len() as u64);
        self.bodies.raw.extend_from_slice(recipe);
        if self.bodies.raw.len() >= BODIES_BLOCK_BYTES {
            self.flush_bodies()
        } else {
            Ok(())
        }
    }

    /// Writes what is gathered. Durable only after the disk's next `sync_all`.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.flush_chunks()?;
        self.flush_bodies()
    }

    /// Whether the volume is full and the next should be begun (after [`Self::flush`]).
    pub(crate) fn is_full(&self) -> bool {
        self.len >= VOLUME_BYTES
    }

    fn flush_chunks(&mut self) -> Result<(), Error> {
        let group = std::mem::take(&mut self.chunks);
        if group.count == 0 {
            return Ok(());
        }
        let lens = std::mem::take(&mut self.lens);
        let mut raw = Vec::with_capacity(lens.len() * 4 + group.raw.len());
        for len in lens {
            raw.extend_from_slice(&len.to_le_bytes());
        }
        raw.extend_from_slice(&group.raw);
        self.write_block(KIND_CHUNKS, &group, &raw)
    }

    fn flush_bodies(&mut self) -> Result<(), Error> {
        let group = std::mem::take(&mut self.bodies);
        if group.count == 0 {
            return Ok(());
        }
        self.write_block(KIND_BODIES, &group, &group.raw)
    }

    fn write_block(&mut self, kind: u8, group: &Group, raw: &[u8]) -> Result<(), Error> {
        let stored = compress_block(raw, self.level)
            .map_err(|error| Error::io("compressing a block", &error))?;
        let len_of = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut block = Vec::with_capacity(BLOCK_HEADER_BYTES + stored.len());
        block.extend_from_slice(BLOCK_MAGIC);
        block.extend_from_slice(&[kind, CODEC_ZSTD, 0, 0]);
        block.extend_from_slice(&group.first.to_le_bytes());
        block.extend_from_slice(&group.last.to_le_bytes());
        block.extend_from_slice(&group.count.to_le_bytes());
        block.extend_from_slice(&len_of(raw.len()).to_le_bytes());
        block.extend_from_slice(&len_of(stored.len()).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&block), &stored);
        block.extend_from_slice(&crc.to_le_bytes());
        block.extend_from_slice(&stored);
        self.append(&block)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_at(bytes, self.len)
            .map_err(|error| Error::io(volume_path(self.number), &error))?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// Where a block lies and what it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockAt {
    pub(crate) volume: u64,
    pub(crate) offset: u64,
    pub(crate) chunks: bool,
    pub(crate) first: u64,
    pub(crate) last: u64,
    count: u32,
    raw_len: u32,
    stored_len: u32,
}

/// A chunk block in plaintext.
#[derive(Debug)]
pub(crate) struct ChunkBlock {
    first: u64,
    ends: Vec<u32>,
    raw: Vec<u8>,
}

impl ChunkBlock {
    /// How many of the chunks from `first` up to `end` the block holds, at least one, and their bytes.
    pub(crate) fn run(&self, first: u64, end: u64) -> Option<(u64, &[u8])> {
        let from = usize::try_from(first.checked_sub(self.first)?).ok()?;
        let wanted = usize::try_from(end.checked_sub(first)?).ok()?;
        let held = wanted.min(self.ends.len().checked_sub(from)?);
        let stop = *self.ends.get(from..from + held)?.last()? as usize;
        let start = match from.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        let bytes = self.raw.get(self.ends.len() * 4..)?.get(start..stop)?;
        Some((held as u64, bytes))
    }

    pub(crate) fn raw_len(&self) -> usize {
        self.raw.len()
    }
}

/// A body as the vault knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BodyRecord {
    pub(crate) id: u64,
    pub(crate) len: u64,
    pub(crate) recipe: Vec<u8>,
}

/// Reads the headers of a volume's blocks, from `from` (0 for the first) up to `len`.
pub(crate) fn scan(
    file: &dyn DiskFile,
    volume: u64,
    from: u64,
    len: u64,
) -> Result<Vec<BlockAt>, Error> {
    let path = volume_path(volume);
    let io = |error: std::io::Error| Error::io(&path, &error);
    let mut blocks = Vec::new();
    let mut offset = from;
    if offset == 0 {
        let mut header = [0; 16];
        file.read_at(&mut header, 0).map_err(io)?;
        let mut cursor = Cursor(&header);
        if cursor.take(8) != Some(MAGIC.as_slice()) {
            return Err(Error::damaged(&path, "the volume's header is not one"));
        }
        let version = cursor.u32().unwrap_or(0);
        if version > VERSION {
            return Err(Error::Newer {
                what: path,
                found: version.to_string(),
                supported: VERSION,
            });
        }
        if version != VERSION || cursor.u32() != Some(0) {
            return Err(Error::damaged(&path, "the volume's header is not one"));
        }
        offset = HEADER_BYTES;
    }
    while offset < len {
        let mut header = [0; BLOCK_HEADER_BYTES];
        file.read_at(&mut header, offset).map_err(io)?;
        let block = parse_header(volume, offset, &header)
            .filter(|block| offset + BLOCK_HEADER_BYTES as u64 + u64::from(block.stored_len) <= len)
            .ok_or_else(|| Error::damaged(&path, format!("no block at offset {offset}")))?;
        offset += BLOCK_HEADER_BYTES as u64 + u64::from(block.stored_len);
        blocks.push(block);
    }
    Ok(blocks)
}

fn parse_header(volume: u64, offset: u64, header: &[u8]) -> Option<BlockAt> {
    let mut cursor = Cursor(header);
    if cursor.take(4)? != BLOCK_MAGIC {
        return None;
    }
    let [kind, CODEC_ZSTD, 0, 0] = *cursor.take(4)? else {
        return None;
    };
    let block = BlockAt {
        volume,
        offset,
        chunks: kind == KIND_CHUNKS,
        first: cursor.u64()?,
        last: cursor.u64()?,
        count: cursor.u32()?,
        raw_len: cursor.u32()?,
        stored_len: cursor.u32()?,
    };
    let kind_known = kind == KIND_CHUNKS || kind == KIND_BODIES;
    let bounded = block.raw_len <= MAX_BLOCK_BYTES && block.stored_len <= MAX_BLOCK_BYTES;
    (kind_known && bounded && block.first <= block.last).then_some(block)
}

fn read_block(file: &dyn DiskFile, block: &BlockAt) -> Result<Vec<u8>, Error> {
    let path = volume_path(block.volume);
    let damaged =
        |detail: &str| Error::damaged(format!("{path} at offset {}", block.offset), detail);
    let mut bytes = vec![0; BLOCK_HEADER_BYTES + block.stored_len as usize];
    let n = file
        .read_at(&mut bytes, block.offset)
        .map_err(|error| Error::io(&path, &error))?;
    if n != bytes.len() {
        return Err(damaged("the block is cut short"));
    }
    let (header, stored) = bytes.split_at(BLOCK_HEADER_BYTES);
    let (covered, crc) = header.split_at(BLOCK_HEADER_BYTES - 4);
    let crc = crc.try_into().map(u32::from_le_bytes).unwrap_or_default();
    if crc32c::crc32c_append(crc32c::crc32c(covered), stored) != crc {
        return Err(damaged("the block's checksum is wrong"));
    }
    let mut raw = Vec::new();
    decompress_into(stored, block.raw_len as usize, &mut raw)
        .map_err(|_| damaged("the block does not decompress"))?;
    if raw.len() != block.raw_len as usize {
        return Err(damaged("the block has another length than it says"));
    }
    Ok(raw)
}

pub(crate) fn read_chunks(file: &dyn DiskFile, block: &BlockAt) -> Result<ChunkBlock, Error> {
    let raw = read_block(file, block)?;
    let damaged = || {
        Error::damaged(
            volume_path(block.volume),
            "a block's chunk lengths are wrong",
        )
    };
    let count = block.count as usize;
    let table = raw.get(..count * 4).ok_or_else(damaged)?;
    let mut ends = Vec::with_capacity(count);
    let mut end = 0_u32;
    for len in table.chunks_exact(4) {
        let len = len.try_into().map(u32::from_le_bytes).unwrap_or_default();
        end = end.checked_add(len).ok_or_else(damaged)?;
        ends.push(end);
    }
    let consecutive = block.last - block.first + 1 == u64::from(block.count);
    if !consecutive || end as usize + count * 4 != raw.len() {
        return Err(damaged());
    }
    Ok(ChunkBlock {
        first: block.first,
        ends,
        raw,
    })
}

/// The bodies of a block, by id.
pub(crate) fn read_bodies(file: &dyn DiskFile, block: &BlockAt) -> Result<Vec<BodyRecord>, Error> {
    let raw = read_block(file, block)?;
    let mut rest = raw.as_slice();
    let mut bodies = Vec::new();
    while !rest.is_empty() {
        let record = (|| {
            let id = take_varint(&mut rest)?;
            let len = take_varint(&mut rest)?;
            let recipe_len = usize::try_from(take_varint(&mut rest)?).ok()?;
            let (recipe, after) = rest.split_at_checked(recipe_len)?;
            rest = after;
            Some(BodyRecord {
                id,
                len,
                recipe: recipe.to_vec(),
            })
        })();
        match record {
            Some(record) => bodies.push(record),
            None => {
                return Err(Error::damaged(
                    volume_path(block.volume),
                    "a block's bodies are malformed",
                ));
            }
        }
    }
    // They lie as they ended.
    bodies.sort_unstable_by_key(|body| body.id);
    Ok(bodies)
}
