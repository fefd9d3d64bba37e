//! The bare disk: what `fdatasync` costs here, whoever calls it.

use crate::error::Error;
use crate::quantiles::Quantiles;
use crate::upstream::sleep_until;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

const FILE_BYTES: usize = 32 << 20;
const BLOCK_BYTES: usize = 4 << 10;

/// Writes 4 KiB blocks one after the other into a file of real zeros, with an `fdatasync` behind each, for
/// `time`: without a pause, or `per_second` times a second. A disk and a processor that were idle in between
/// answer several times slower than busy ones, so what is compared must be paced alike.
pub(crate) fn fdatasync(
    dir: &Path,
    time: Duration,
    per_second: Option<u32>,
) -> Result<Quantiles, Error> {
    let what = Error::io("measuring fdatasync");
    let path = dir.join("fdatasync.tmp");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(&what)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0).map_err(&what)?;
    file.sync_all().map_err(&what)?;
    let mut quantiles = Quantiles::default();
    let mut block = [0x5a; BLOCK_BYTES];
    let pause = per_second.map(|rate| Duration::from_secs(1) / rate.max(1));
    let began = Instant::now();
    let mut due = began;
    let mut offset = 0;
    let mut count: u64 = 0;
    while began.elapsed() < time {
        if let Some(pause) = pause {
            due += pause;
            sleep_until(due);
        }
        for (byte, new) in block.iter_mut().zip(count.to_le_bytes()) {
            *byte = new;
        }
        let start = Instant::now();
        file.write_all_at(&block, offset).map_err(&what)?;
        file.sync_data().map_err(&what)?;
        quantiles.push(start.elapsed());
        offset = (offset + BLOCK_BYTES as u64) % FILE_BYTES as u64;
        count += 1;
    }
    drop(file);
    std::fs::remove_file(&path).map_err(&what)?;
    Ok(quantiles)
}
