//! Sixteen leaves hashed at once, one in each lane of the processor's widest registers.
//!
//! Leaves do not depend on each other. A single stream of SHA-256, with the instructions that processors have for it,
//! waits for itself most of the time; sixteen beside each other take half as long a leaf. Needs AVX-512; without it
//! there is nothing here, and leaves are hashed one after the other. SHA-256 is that of FIPS 180-4, section 6.2; nothing
//! secret is hashed by it here.

use crate::hash::{HASH_BYTES, Hash, LEAF_PREFIX, leaf_hash};
use core::arch::x86_64::__m512i;
use pulp::x86::V4;
use pulp::{NullaryFnOnce, Simd, cast};

const LANES: usize = 16;
const BLOCK: usize = 64;

/// Fewer leaves than this are faster one after the other.
const WORTHWHILE: usize = 6;

/// Section 5.3.3.
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Section 4.2.2, in the order of the rounds.
#[rustfmt::skip]
const CONSTANTS: [[u32; 16]; 4] = [
    [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    ],
    [
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    ],
    [
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    ],
    [
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ],
];

type Block = [u8; BLOCK];

/// The leaf hashes of `entries`, in their order; `None` where the processor cannot do it.
pub(crate) fn leaf_hashes(entries: &[&[u8]]) -> Option<Vec<Hash>> {
    let simd = V4::try_new()?;
    // A group takes as long as its longest.
    let mut by_length: Vec<(usize, &[u8])> = entries.iter().copied().enumerate().collect();
    by_length.sort_unstable_by_key(|(_, entry)| entry.len());
    let mut hashes = vec![Hash::new([0; HASH_BYTES]); entries.len()];
    for group in by_length.chunks(LANES) {
        if group.len() < WORTHWHILE {
            for (place, entry) in group {
                put(&mut hashes, *place, leaf_hash(entry));
            }
            continue;
        }
        let mut messages: [&[u8]; LANES] = [&[]; LANES];
        for (message, (_, entry)) in messages.iter_mut().zip(group) {
            *message = entry;
        }
        let digests = simd.vectorize(Group { simd, messages });
        for ((place, _), digest) in group.iter().zip(digests) {
            put(&mut hashes, *place, Hash::new(digest));
        }
    }
    Some(hashes)
}

fn put(hashes: &mut [Hash], place: usize, hash: Hash) {
    if let Some(slot) = hashes.get_mut(place) {
        *slot = hash;
    }
}

/// One entry in each lane.
struct Group<'a> {
    simd: V4,
    messages: [&'a [u8]; LANES],
}

impl NullaryFnOnce for Group<'_> {
    type Output = [[u8; HASH_BYTES]; LANES];

    #[inline(always)]
    fn call(self) -> Self::Output {
        let Self { simd, messages } = self;
        let mut digests = [[0; HASH_BYTES]; LANES];
        let mut state = INITIAL.map(|word| splat(simd, word));
        let mut blocks = [[0; BLOCK]; LANES];
        let counts = messages.map(|entry| block_count(entry.len()));
        for at in 0..counts.into_iter().max().unwrap_or_default() {
            for ((block, entry), &count) in blocks.iter_mut().zip(messages).zip(&counts) {
                // What a lane hashes behind its message's end is looked at by nobody.
                if at < count {
                    fill(block, entry, at, count);
                }
            }
            compress(simd, &mut state, &blocks);
            if counts.contains(&(at + 1)) {
                let words: [[u32; LANES]; 8] = state.map(cast);
                for (lane, digest) in digests.iter_mut().enumerate() {
                    if counts.get(lane) == Some(&(at + 1)) {
                        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(&words) {
                            *bytes = word.get(lane).copied().unwrap_or_default().to_be_bytes();
                        }
                    }
                }
            }
        }
        digests
    }
}

/// Blocks of `0x00 || entry`, padded: section 5.1.1.
const fn block_count(entry: usize) -> usize {
    (1 + entry + 1 + 8).div_ceil(BLOCK)
}

/// Block `at` of the `count` blocks of `0x00 || entry`.
#[inline(always)]
fn fill(block: &mut Block, entry: &[u8], at: usize, count: usize) {
    let begin = at * BLOCK;
    if begin > 0
        && let Some(whole) = entry.get(begin - 1..begin - 1 + BLOCK)
    {
        block.copy_from_slice(whole);
        return;
    }
    *block = [LEAF_PREFIX; BLOCK];
    let prefix = usize::from(begin == 0);
    if let Some(text) = entry.get(begin + prefix - 1..)
        && let Some(room) = block.get_mut(prefix..)
    {
        let len = text.len().min(room.len());
        for (to, from) in room.iter_mut().zip(text) {
            *to = *from;
        }
        if let Some(end) = room.get_mut(len) {
            *end = 0x80;
        }
    }
    if at + 1 == count
        && let Some(bits) = block.last_chunk_mut()
    {
        *bits = ((1 + entry.len() as u64) * 8).to_be_bytes();
    }
}

#[inline(always)]
fn splat(simd: V4, word: u32) -> __m512i {
    cast(simd.splat_u32s(word))
}

#[inline(always)]
fn add(simd: V4, a: __m512i, b: __m512i) -> __m512i {
    simd.avx512f._mm512_add_epi32(a, b)
}

/// A function of three bits, by its table of eight.
#[inline(always)]
fn bits<const TABLE: i32>(simd: V4, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    simd.avx512f._mm512_ternarylogic_epi32::<TABLE>(a, b, c)
}

const PARITY: i32 = 0x96;
const CHOOSE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;

/// Σ of section 4.1.2: three rotations.
#[inline(always)]
fn rotations<const A: i32, const B: i32, const C: i32>(simd: V4, x: __m512i) -> __m512i {
    let f = simd.avx512f;
    let (a, b, c) = (
        f._mm512_ror_epi32::<A>(x),
        f._mm512_ror_epi32::<B>(x),
        f._mm512_ror_epi32::<C>(x),
    );
    bits::<PARITY>(simd, a, b, c)
}

/// σ of section 4.1.2: two rotations and a shift.
#[inline(always)]
fn mixed<const A: i32, const B: i32, const C: u32>(simd: V4, x: __m512i) -> __m512i {
    let f = simd.avx512f;
    let (a, b, c) = (
        f._mm512_ror_epi32::<A>(x),
        f._mm512_ror_epi32::<B>(x),
        f._mm512_srli_epi32::<C>(x),
    );
    bits::<PARITY>(simd, a, b, c)
}

/// Section 6.2.2, in every lane.
#[inline(always)]
fn compress(simd: V4, state: &mut [__m512i; 8], blocks: &[Block; LANES]) {
    let mut w = words(simd, blocks);
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    // Written out, so that every word stays in a register.
    macro_rules! round {
        ($k:ident $i:literal: $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
            let input = add(simd, add(simd, $h, splat(simd, $k[$i])), w[$i]);
            let t1 = add(simd, input, bits::<CHOOSE>(simd, $e, $f, $g));
            let t1 = add(simd, t1, rotations::<6, 11, 25>(simd, $e));
            let t2 = bits::<MAJORITY>(simd, $a, $b, $c);
            let t2 = add(simd, t2, rotations::<2, 13, 22>(simd, $a));
            $d = add(simd, $d, t1);
            $h = add(simd, t1, t2);
        };
    }
    macro_rules! schedule {
        ($($i:literal)*) => {$(
            let old = add(simd, w[$i], mixed::<7, 18, 3>(simd, w[($i + 1) % 16]));
            let new = add(simd, w[($i + 9) % 16], mixed::<17, 19, 10>(simd, w[($i + 14) % 16]));
            w[$i] = add(simd, old, new);
        )*};
    }
    for (nth, k) in CONSTANTS.iter().enumerate() {
        if nth > 0 {
            schedule!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        }
        round!(k 0: a b c d e f g h);
        round!(k 1: h a b c d e f g);
        round!(k 2: g h a b c d e f);
        round!(k 3: f g h a b c d e);
        round!(k 4: e f g h a b c d);
        round!(k 5: d e f g h a b c);
        round!(k 6: c d e f g h a b);
        round!(k 7: b c d e f g h a);
        round!(k 8: a b c d e f g h);
        round!(k 9: h a b c d e f g);
        round!(k 10: g h a b c d e f);
        round!(k 11: f g h a b c d e);
        round!(k 12: e f g h a b c d);
        round!(k 13: d e f g h a b c);
        round!(k 14: c d e f g h a b);
        round!(k 15: b c d e f g h a);
    }
    for (old, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *old = add(simd, *old, new);
    }
}

/// Word `i` of every block in register `i`.
#[inline(always)]
fn words(simd: V4, blocks: &[Block; LANES]) -> [__m512i; 16] {
    let [a, b, c, d] = four(simd, blocks);
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a, b);
    let ([c0, c1, c2, c3], [d0, d1, d2, d3]) = (c, d);
    let [w0, w4, w8, w12] = across(simd, a0, b0, c0, d0);
    let [w1, w5, w9, w13] = across(simd, a1, b1, c1, d1);
    let [w2, w6, w10, w14] = across(simd, a2, b2, c2, d2);
    let [w3, w7, w11, w15] = across(simd, a3, b3, c3, d3);
    [
        w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15,
    ]
}

/// The blocks by fours: in quarter `q` of register `j` stands word `4q + j` of the four.
#[inline(always)]
fn four(simd: V4, blocks: &[Block; LANES]) -> [[__m512i; 4]; 4] {
    let f = simd.avx512f;
    let big_endian: __m512i = cast([0x0c0d_0e0f_0809_0a0b_0405_0607_0001_0203_u128; 4]);
    let mut out = [[splat(simd, 0); 4]; 4];
    for (out, blocks) in out.iter_mut().zip(blocks.as_chunks().0) {
        let [a, b, c, d] = blocks.map(|block: Block| {
            let swap = simd.avx512bw;
            swap._mm512_shuffle_epi8(cast(block), big_endian)
        });
        let (ab_low, ab_high) = (f._mm512_unpacklo_epi32(a, b), f._mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (f._mm512_unpacklo_epi32(c, d), f._mm512_unpackhi_epi32(c, d));
        *out = [
            f._mm512_unpacklo_epi64(ab_low, cd_low),
            f._mm512_unpackhi_epi64(ab_low, cd_low),
            f._mm512_unpacklo_epi64(ab_high, cd_high),
            f._mm512_unpackhi_epi64(ab_high, cd_high),
        ];
    }
    out
}

/// Register `q` of the result holds quarter `q` of each of the four.
#[inline(always)]
fn across(simd: V4, a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> [__m512i; 4] {
    const EVEN: i32 = 0x88;
    const ODD: i32 = 0xdd;
    let f = simd.avx512f;
    let (ab_even, ab_odd) = (
        f._mm512_shuffle_i32x4::<EVEN>(a, b),
        f._mm512_shuffle_i32x4::<ODD>(a, b),
    );
    let (cd_even, cd_odd) = (
        f._mm512_shuffle_i32x4::<EVEN>(c, d),
        f._mm512_shuffle_i32x4::<ODD>(c, d),
    );
    [
        f._mm512_shuffle_i32x4::<EVEN>(ab_even, cd_even),
        f._mm512_shuffle_i32x4::<EVEN>(ab_odd, cd_odd),
        f._mm512_shuffle_i32x4::<ODD>(ab_even, cd_even),
        f._mm512_shuffle_i32x4::<ODD>(ab_odd, cd_odd),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the cryptographic module says.
    fn expected(entries: &[&[u8]]) -> Vec<Hash> {
        entries.iter().map(|entry| leaf_hash(entry)).collect()
    }

    fn check(entries: &[&[u8]]) {
        match leaf_hashes(entries) {
            Some(hashes) => assert_eq!(hashes, expected(entries)),
            None => println!("skipped: leaves side by side: this processor has no AVX-512"),
        }
    }

    #[test]
    fn every_length_of_three_blocks_and_a_mixture_of_them() {
        let text: Vec<u8> = (0..=255).collect();
        let of = |len: usize| text.get(..len).unwrap();
        for len in 0..200 {
            check(&[of(len); LANES]);
        }
        let mixed: Vec<&[u8]> = (0..256).map(of).collect();
        check(&mixed);
        let reversed: Vec<&[u8]> = (0..256).rev().map(of).collect();
        check(&reversed);
        check(&[]);
    }

    proptest! {
        #[test]
        fn as_one_after_the_other(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 0..70)) {
            let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            check(&entries);
        }
    }
}
