//! Durable bytes: files with explicit durability, atomic publication, CRC-framed segments, a directory lock.
//!
//! Owns *how* bytes become durable. Never knows what they mean. Nothing here is trusted by a reader:
//! a storage that lies can make evidence unavailable, never wrong unnoticed.
//!
//! Two [`Disk`]s exist: [`LocalDisk`] on a directory, and [`SimDisk`] in memory, which forgets what
//! was not synced and fails on demand (before or after taking effect), for deterministic tests.

mod disk;
mod frame;
mod local;
mod lock;
mod regular;
mod sim;

pub use disk::{Disk, DiskFile, MAX_READ_BYTES};
pub use frame::{
    End, FRAME_HEADER_BYTES, Frame, FrameKind, Frames, MAX_FRAME_BYTES, MAX_SEGMENT_BYTES,
    SEGMENT_HEADER_BYTES, begin_segment, check_segment, push_frame,
};
pub use local::LocalDisk;
pub use lock::{DirLock, LockError};
pub use regular::{open_regular, read_regular};
pub use sim::{Choose, Fault, SimDisk};
