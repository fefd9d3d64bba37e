//! Which chunks, in order, make up a body: runs of consecutive chunk numbers, as varints.
//!
//! ```text
//! recipe := runs:varint (zigzag(first - end of previous run):varint length:varint)*
//! ```
//! A body that repeats an earlier one is a few runs, however long it is.

/// Encodes chunk numbers in order.
pub(crate) fn encode(chunks: &[u64]) -> Vec<u8> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &chunk in chunks {
        match runs.last_mut() {
            Some((first, len)) if first.wrapping_add(*len) == chunk => *len += 1,
            _ => runs.push((chunk, 1)),
        }
    }
    let mut out = Vec::with_capacity(2 + runs.len() * 3);
    push_varint(&mut out, runs.len() as u64);
    let mut end = 0_u64;
    for (first, len) in runs {
        let delta = first.wrapping_sub(end).cast_signed();
        push_varint(&mut out, ((delta << 1) ^ (delta >> 63)).cast_unsigned());
        push_varint(&mut out, len);
        end = first.wrapping_add(len);
    }
    out
}

/// Decodes into runs `(first, length)`. `None` when the bytes are not a recipe, or name more than
/// `max_chunks` chunks.
pub(crate) fn decode(bytes: &[u8], max_chunks: u64) -> Option<Vec<(u64, u64)>> {
    let mut rest = bytes;
    let count = take_varint(&mut rest)?;
    let mut runs = Vec::with_capacity(usize::try_from(count.min(bytes.len() as u64)).ok()?);
    let (mut end, mut total) = (0_u64, 0_u64);
    for _ in 0..count {
        let zigzag = take_varint(&mut rest)?;
        let delta = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        let first = end.wrapping_add(delta.cast_unsigned());
        let len = take_varint(&mut rest)?;
        total = total.checked_add(len)?;
        if len == 0 || total > max_chunks {
            return None;
        }
        end = first.checked_add(len)?;
        runs.push((first, len));
    }
    rest.is_empty().then_some(runs)
}

pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_recipe_reads_back_as_written(chunks in prop::collection::vec(0_u64..1 << 40, 0..200)) {
            let runs = decode(&encode(&chunks), chunks.len() as u64).unwrap();
            let back: Vec<u64> = runs.into_iter().flat_map(|(first, len)| first..first + len).collect();
            prop_assert_eq!(back, chunks);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes, 1000);
        }
    }

    #[test]
    fn a_resent_context_is_one_run() {
        let chunks: Vec<u64> = (1000..2000).collect();
        assert_eq!(encode(&chunks).len(), 5);
    }
}
