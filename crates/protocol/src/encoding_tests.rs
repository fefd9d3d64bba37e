use super::*;
use flate2::Compression;
use proptest::prelude::*;
use std::io::Write as _;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn br(plain: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
    encoder.write_all(plain).unwrap();
    encoder.into_inner()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(plain, 3).unwrap()
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ALL: &[(&str, Encode)] = &[
    ("gzip", gzip),
    ("x-gzip", gzip),
    ("deflate", zlib),
    ("Deflate", raw_deflate),
    ("br", br),
    ("zstd", zstd),
    ("identity", |plain| plain.to_vec()),
    ("gzip, br", |plain| br(&gzip(plain))),
    ("zstd,gzip", |plain| gzip(&zstd(plain))),
];

fn in_pieces(
    encoding: &str,
    bytes: &[u8],
    sizes: &[usize],
    limit: u64,
) -> (Vec<u8>, Option<Problem>) {
    let mut decoder = Decoder::new(Some(encoding), limit);
    let mut out = Vec::new();
    let mut rest = bytes;
    let mut sizes = sizes.iter().copied().cycle();
    while !rest.is_empty() {
        let (piece, behind) =
            rest.split_at(sizes.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        decoder.feed(piece, &mut |piece| {
            assert!(piece.len() <= PIECE);
            out.extend_from_slice(piece);
        });
        rest = behind;
    }
    decoder.finish();
    (out, decoder.problem().cloned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_encoding_comes_back_however_it_is_cut(
        words in prop::collection::vec("[a-e]{1,9}|\\PC{1,4}", 0..4000),
        sizes in prop::collection::vec(1..5000usize, 1..8),
        which in 0..ALL.len(),
    ) {
        let plain = words.concat().into_bytes();
        let (name, encode) = ALL[which];
        let (out, problem) = in_pieces(name, &encode(&plain), &sizes, 1 << 30);
        prop_assert_eq!(problem, None);
        prop_assert_eq!(out, plain);
    }

    #[test]
    fn garbage_is_a_problem_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        sizes in prop::collection::vec(1..300usize, 1..4),
        which in 0..ALL.len(),
    ) {
        in_pieces(ALL[which].0, &bytes, &sizes, 1 << 20);
    }
}

#[test]
fn a_body_that_ends_early_says_so_and_keeps_what_came() {
    let plain = b"the quick brown fox ".repeat(10_000);
    for (name, encode) in ALL.iter().filter(|(name, _)| !name.contains("identity")) {
        let encoded = encode(&plain);
        let cut = &encoded[..encoded.len() - 1];
        let (out, problem) = decode(Some(name), cut, 1 << 30);
        assert!(
            matches!(problem, Some(Problem::Truncated(_) | Problem::Corrupt(_))),
            "{name}: {problem:?}"
        );
        assert!(plain.starts_with(&out), "{name}");
    }
}

#[test]
fn a_bomb_is_stopped_at_the_bound() {
    let plain = vec![0; 64 << 20];
    for (name, encode) in ALL.iter().filter(|(name, _)| !name.contains("identity")) {
        let encoded = encode(&plain);
        let (out, problem) = decode(Some(name), &encoded, 1 << 20);
        assert_eq!(problem, Some(Problem::TooLarge(1 << 20)), "{name}");
        assert_eq!(out.len(), 1 << 20, "{name}");
    }
}

#[test]
fn several_members_and_frames_are_one_body() {
    let twice = [gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(decode(Some("gzip"), &twice, 100).0, &b"one two"[..]);
    let twice = [zstd(b"one "), zstd(b"two")].concat();
    assert_eq!(decode(Some("zstd"), &twice, 100).0, &b"one two"[..]);
}

#[test]
fn headers_that_cannot_be_followed_are_named() {
    let table = [
        (
            Some("compress"),
            "content encoding \"compress\" is not known",
        ),
        (
            Some("gzip,gzip,gzip,gzip,gzip"),
            "more than 4 content encodings on one body",
        ),
        (Some("gzip"), "the body is not valid gzip"),
    ];
    for (header, want) in table {
        let (_, problem) = decode(header, b"{\"plain\":1}", 100);
        assert_eq!(problem.map(|p| p.to_string()).as_deref(), Some(want));
    }
    assert_eq!(decode(None, b"x", 100), (Cow::Borrowed(&b"x"[..]), None));
    for (name, _) in ALL {
        assert_eq!(
            decode(Some(name), b"", 100).1,
            None,
            "an empty body is whole: {name}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_pause_loses_nothing_and_bounds_what_comes_at_once(
        words in prop::collection::vec("[a-e]{1,9}", 0..4000),
        times in 1..40usize,
        sizes in prop::collection::vec(1..5000usize, 1..8),
        which in 0..ALL.len(),
    ) {
        let plain = words.concat().repeat(times).into_bytes();
        let (encoding, encode) = ALL[which];
        let mut decoder = Decoder::new(Some(encoding), u64::MAX);
        let (mut out, bytes) = (Vec::new(), encode(&plain));
        let (mut rest, mut sizes) = (bytes.as_slice(), sizes.iter().cycle());
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            let mut flow = decoder.feed_some(chunk, &mut |piece| {
                out.extend_from_slice(piece);
                ControlFlow::Break(())
            });
            while flow.is_break() {
                let before = out.len();
                flow = decoder.resume(&mut |piece| {
                    out.extend_from_slice(piece);
                    ControlFlow::Break(())
                });
                prop_assert!(out.len() - before <= 4 * PIECE);
            }
            rest = behind;
        }
        decoder.finish();
        prop_assert_eq!(decoder.problem(), None);
        prop_assert!(out == plain);
    }
}
