//! The vault's volumes: append-only files of blocks, each a compressed and encrypted group of chunks or bodies.
//! Version 2, and version 1, which is not encrypted; integers little-endian.
//!
//! ```text
//! volume := "TACHOVOL" version:u32 reserved:u32 block*
//! block  := "TBLK" kind:u8 codec:u8 cipher:u8 0:u8 first:u64 last:u64 count:u32 raw_len:u32
//!           stored_len:u32 crc32c:u32 stored[stored_len]                                (40 + stored_len)
//! stored := nonce[12] ciphertext tag[16]      cipher 1, version 2: AES-256-GCM of the compressed group
//! chunks := len:u32*count bytes            kind 1; first..=last are consecutive chunk numbers
//! bodies := (id:varint len:varint recipe_len:varint recipe)*count    kind 2; first and last bound the ids
//! ```
//! The CRC covers the header before it and the stored bytes: it tells damage without a key. What a ciphertext is bound to
//! is the header, the volume, the offset and the log: a block in another place does not open. In version 1 `cipher`
//! is 0. A volume lies in `vault/NNNNNNNNNN.vol`, its key in [`crate::cipher`]'s care.

use crate::cipher::Keyring;
use crate::compression::decompress_into;
use crate::error::Error;
use crate::recipe::take_varint;
use crate::record::Cursor;
use crate::stored;
use storage::DiskFile;

const MAGIC: &[u8; 8] = b"TACHOVOL";
pub(crate) const BLOCK_MAGIC: &[u8; 4] = b"TBLK";
pub(crate) const VERSION: u32 = 2;
pub(crate) const HEADER_BYTES: u64 = 16;
pub(crate) const BLOCK_HEADER_BYTES: usize = 40;
pub(crate) const KIND_CHUNKS: u8 = 1;
pub(crate) const KIND_BODIES: u8 = 2;
pub(crate) const CODEC_ZSTD: u8 = 1;
const CIPHER_NONE: u8 = 0;
pub(crate) const CIPHER_AES_256_GCM: u8 = 1;

/// A block larger than this is not one: a bound on what a hostile file can make a reader allocate.
const MAX_BLOCK_BYTES: u32 = 64 << 20;

pub(crate) fn volume_path(number: u64) -> String {
    format!("vault/{number:010}.vol")
}

/// What a volume begins with.
pub(crate) fn header(version: u32) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&version.to_le_bytes());
    header.extend_from_slice(&0_u32.to_le_bytes());
    header
}

/// Whether a volume of which nothing is settled is as its writer leaves it before it writes the first block: a header,
/// or as much of one as reached the disk.
pub(crate) fn is_only_begun(file: &dyn DiskFile) -> std::io::Result<bool> {
    let headers: Vec<Vec<u8>> = (1..=VERSION).map(header).collect();
    let mut found = vec![0; headers.iter().map(Vec::len).max().unwrap_or(0) + 1];
    let n = file.read_at(&mut found, 0)?;
    let found = found.get(..n).unwrap_or_default();
    Ok(headers.iter().any(|header| header.starts_with(found)))
}

/// What a block's ciphertext is bound to: its header up to the CRC, its place, its log.
pub(crate) fn block_aad(header: &[u8], volume: u64, offset: u64, origin: &str) -> Vec<u8> {
    let mut aad = header.to_vec();
    aad.extend_from_slice(&volume.to_le_bytes());
    aad.extend_from_slice(&offset.to_le_bytes());
    aad.extend_from_slice(origin.as_bytes());
    aad
}

/// The version that a volume's header says.
///
/// # Errors
/// [`Error::Newer`], or [`Error::Damaged`] where it is no header.
pub(crate) fn read_version(file: &dyn DiskFile, volume: u64) -> Result<u32, Error> {
    let path = volume_path(volume);
    let mut header = [0; 16];
    file.read_at(&mut header, 0)
        .map_err(|error| stored::refused(&path, &error))?;
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
    if version == 0 || cursor.u32() != Some(0) {
        return Err(Error::damaged(&path, "the volume's header is not one"));
    }
    Ok(version)
}

/// Where a block lies and what it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockAt {
    pub(crate) volume: u64,
    pub(crate) offset: u64,
    pub(crate) chunks: bool,
    encrypted: bool,
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
    let mut blocks = Vec::new();
    let cipher = match read_version(file, volume)? {
        1 => CIPHER_NONE,
        _ => CIPHER_AES_256_GCM,
    };
    let mut offset = from.max(HEADER_BYTES);
    while offset < len {
        let mut header = [0; BLOCK_HEADER_BYTES];
        file.read_at(&mut header, offset)
            .map_err(|error| stored::refused(&path, &error))?;
        let block = parse_header(volume, offset, cipher, &header)
            .filter(|block| offset + BLOCK_HEADER_BYTES as u64 + u64::from(block.stored_len) <= len)
            .ok_or_else(|| Error::damaged(&path, format!("no block at offset {offset}")))?;
        offset += BLOCK_HEADER_BYTES as u64 + u64::from(block.stored_len);
        blocks.push(block);
    }
    Ok(blocks)
}

/// `None`: it is no header, or not of a block that a volume of this `cipher` has.
fn parse_header(volume: u64, offset: u64, cipher: u8, header: &[u8]) -> Option<BlockAt> {
    let mut cursor = Cursor(header);
    if cursor.take(4)? != BLOCK_MAGIC {
        return None;
    }
    let [kind, CODEC_ZSTD, found, 0] = *cursor.take(4)? else {
        return None;
    };
    let block = BlockAt {
        volume,
        offset,
        chunks: kind == KIND_CHUNKS,
        encrypted: cipher == CIPHER_AES_256_GCM,
        first: cursor.u64()?,
        last: cursor.u64()?,
        count: cursor.u32()?,
        raw_len: cursor.u32()?,
        stored_len: cursor.u32()?,
    };
    let kind_known = kind == KIND_CHUNKS || kind == KIND_BODIES;
    let bounded = block.raw_len <= MAX_BLOCK_BYTES && block.stored_len <= MAX_BLOCK_BYTES;
    (kind_known && found == cipher && bounded && block.first <= block.last).then_some(block)
}

/// The plaintext of a block.
///
/// # Errors
/// [`Error::Locked`] only when nothing is wrong that can be seen without the key.
fn read_block(file: &dyn DiskFile, block: &BlockAt, keys: &Keyring) -> Result<Vec<u8>, Error> {
    let path = volume_path(block.volume);
    let damaged =
        |detail: &str| Error::damaged(format!("{path} at offset {}", block.offset), detail);
    let mut bytes = vec![0; BLOCK_HEADER_BYTES + block.stored_len as usize];
    let n = file
        .read_at(&mut bytes, block.offset)
        .map_err(|error| stored::refused(&path, &error))?;
    if n != bytes.len() {
        return Err(damaged("the block is cut short"));
    }
    let (header, stored) = bytes.split_at_mut(BLOCK_HEADER_BYTES);
    let (covered, crc) = header.split_at(BLOCK_HEADER_BYTES - 4);
    let crc = crc.try_into().map(u32::from_le_bytes).unwrap_or_default();
    if crc32c::crc32c_append(crc32c::crc32c(covered), stored) != crc {
        return Err(damaged("the block's checksum is wrong"));
    }
    let compressed = if block.encrypted {
        let aad = block_aad(covered, block.volume, block.offset, keys.origin());
        keys.volume(block.volume)?
            .open(&aad, stored)
            .ok_or_else(|| {
                Error::altered(
                    format!("{path} at offset {}", block.offset),
                    "the block is whole and does not open with its volume's key: it is another, or belongs elsewhere",
                )
            })?
    } else {
        stored
    };
    let mut raw = Vec::new();
    decompress_into(compressed, block.raw_len as usize, &mut raw)
        .map_err(|_| damaged("the block does not decompress"))?;
    if raw.len() != block.raw_len as usize {
        return Err(damaged("the block has another length than it says"));
    }
    Ok(raw)
}

pub(crate) fn read_chunks(
    file: &dyn DiskFile,
    block: &BlockAt,
    keys: &Keyring,
) -> Result<ChunkBlock, Error> {
    let raw = read_block(file, block, keys)?;
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
pub(crate) fn read_bodies(
    file: &dyn DiskFile,
    block: &BlockAt,
    keys: &Keyring,
) -> Result<Vec<BodyRecord>, Error> {
    let raw = read_block(file, block, keys)?;
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
