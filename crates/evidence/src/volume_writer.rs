//! Writing volumes: chunks and bodies gathered into blocks, compressed, encrypted, appended.

use crate::cipher::{DataKey, Keyring, OVERHEAD_BYTES};
use crate::compression::compress_block;
use crate::error::Error;
use crate::recipe::push_varint;
use crate::volume::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, CIPHER_AES_256_GCM, CODEC_ZSTD, HEADER_BYTES, KIND_BODIES,
    KIND_CHUNKS, VERSION, block_aad, header, read_version, volume_path,
};
use std::sync::Arc;
use storage::{Disk, DiskFile};

/// Plaintext that a block of chunks gathers before it is compressed. Large, because agents resend
/// nearly the same bytes and only what shares a block is compressed against each other.
const CHUNKS_BLOCK_BYTES: usize = 4 << 20;
const BODIES_BLOCK_BYTES: usize = 256 << 10;

/// Appends blocks to the newest volume.
#[derive(Debug)]
pub(crate) struct VolumeWriter {
    file: Box<dyn DiskFile>,
    number: u64,
    len: u64,
    key: Arc<DataKey>,
    origin: String,
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
    /// Goes on with volume `number`, cut to `len`, the length that the settled state vouches for. `None`: it is complete as
    /// it is, because it is of an earlier version or its key was never meant for this recorder.
    pub(crate) fn resume(
        disk: &dyn Disk,
        number: u64,
        len: u64,
        keys: &Keyring,
    ) -> Result<Option<Self>, Error> {
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
        if read_version(file.as_ref(), number)? != VERSION {
            return Ok(None);
        }
        let key = keys.resume_volume(number)?;
        Ok(key.map(|key| Self::on(file, number, len, key, keys)))
    }

    /// Begins volume `number`, of which nothing is settled. Its key is durable when this returns.
    pub(crate) fn begin(disk: &dyn Disk, number: u64, keys: &Keyring) -> Result<Self, Error> {
        let key = keys.begin_volume(number)?;
        let path = volume_path(number);
        let io = |error: std::io::Error| Error::io(&path, &error);
        let file = disk.open_or_create(&path).map_err(io)?;
        // A reader may look while what never counted is cut off.
        file.write_at(&header(VERSION), 0).map_err(io)?;
        file.set_len(HEADER_BYTES).map_err(io)?;
        Ok(Self::on(file, number, HEADER_BYTES, key, keys))
    }

    fn on(
        file: Box<dyn DiskFile>,
        number: u64,
        len: u64,
        key: Arc<DataKey>,
        keys: &Keyring,
    ) -> Self {
        Self {
            file,
            number,
            len,
            key,
            origin: keys.origin().into(),
            chunks: Group::default(),
            lens: Vec::new(),
            bodies: Group::default(),
            level: 3,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) const fn len(&self) -> u64 {
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

    /// Whether something waits for [`Self::flush`].
    pub(crate) const fn has_gathered(&self) -> bool {
        self.chunks.count > 0 || self.bodies.count > 0
    }

    /// Whether it holds no block.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len <= HEADER_BYTES
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
        let compressed = compress_block(raw, self.level)
            .map_err(|error| Error::io("compressing a block", &error))?;
        let len_of = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut block = Vec::with_capacity(BLOCK_HEADER_BYTES + compressed.len() + OVERHEAD_BYTES);
        block.extend_from_slice(BLOCK_MAGIC);
        block.extend_from_slice(&[kind, CODEC_ZSTD, CIPHER_AES_256_GCM, 0]);
        block.extend_from_slice(&group.first.to_le_bytes());
        block.extend_from_slice(&group.last.to_le_bytes());
        block.extend_from_slice(&group.count.to_le_bytes());
        block.extend_from_slice(&len_of(raw.len()).to_le_bytes());
        block.extend_from_slice(&len_of(compressed.len() + OVERHEAD_BYTES).to_le_bytes());
        let aad = block_aad(&block, self.number, self.len, &self.origin);
        let stored = self.key.seal(&aad, &compressed)?;
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
