//! A path or a bundle that parses is the only spelling of what it says.

use proptest::prelude::*;
use tlog::{
    Error,
    bundle::{self, MAX_ENTRY_BYTES},
    tile::{self, BundleId, MAX_TILE_LEVEL, TileId},
};

#[test]
fn malformed_paths_are_refused() {
    for path in [
        "tile/0/000",
        "tile/0/x001/x234/067",
        "tile/0/x001/x234/067.p/1",
        "tile/7/000.p/255",
        "tile/entries/x001/000",
        "tile/entries/000.p/255",
    ] {
        let tile = path.parse::<TileId>().map(TileId::path);
        let bundle = path.parse::<BundleId>().map(BundleId::path);
        assert_eq!(tile.or(bundle).as_deref(), Ok(path));
    }
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile//000",
        "tile/0//000",
        "tile/00/000",
        "tile/+1/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/63/000",
        "tile/8/000",
        "tile/a/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000",
        "tile/0/x000/001",
        "tile/0/x001/x234",
        "tile/0/001/002",
        "tile/0/x01/002",
        "tile/0/x0001/002",
        "tile/0/+01",
        "tile/0/ 01",
        "tile/0/\u{661}\u{661}\u{661}",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.P/1",
        "tile/0/x001.p/1/002",
        "tile/0/../000",
        "tile/7/000",
        "tile/7/001.p/1",
        "tile/entries/0",
        "tile/entries/",
        "tile/entries",
        "tile/data/000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x072/x057/x594/x037/x927/935",
        "tile/0/000\n",
        "tile/0/000\0",
    ] {
        assert!(path.parse::<TileId>().is_err(), "{path:?}");
        assert!(path.parse::<BundleId>().is_err(), "{path:?}");
    }
}

#[test]
fn a_tile_has_exactly_its_length() {
    let id = TileId::new(0, 0, 2).unwrap();
    for (len, good) in [
        (0, false),
        (32, false),
        (63, false),
        (64, true),
        (65, false),
        (96, false),
        (8_192, false),
    ] {
        assert_eq!(tile::decode(id, &vec![0; len]).is_ok(), good, "{len} bytes");
    }
    for width in [0, 257, u16::MAX] {
        assert!(TileId::new(0, 0, width).is_err(), "width {width}");
        assert!(BundleId::new(0, width).is_err(), "width {width}");
    }
    for count in [0, 3, 255, 257, 512] {
        assert_eq!(
            tile::perfect_root(&vec![tlog::empty_root(); count]),
            None,
            "{count} hashes"
        );
    }
}

#[test]
fn malformed_bundles_are_refused() {
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("half a length", vec![0], 1),
        ("length without entry", vec![0, 1], 1),
        ("entry cut off", vec![0, 3, 1, 2], 1),
        ("one entry too few", vec![0, 0], 2),
        ("one entry too many", vec![0, 0, 0, 0], 1),
        ("257 entries", vec![0; 514], 257),
        ("no entry", vec![], 1),
    ];
    for (what, bytes, width) in cases {
        assert!(
            matches!(bundle::decode(bytes, *width), Err(Error::Malformed { .. })),
            "{what}"
        );
    }
    let mut broken = bundle::entries(&[0, 1, 7, 0, 9]);
    assert_eq!(broken.next(), Some(Ok(&[7][..])));
    assert!(matches!(broken.next(), Some(Err(_))));
    assert_eq!(broken.next(), None, "nothing after an error");

    let mut bytes = b"before".to_vec();
    let refused = bundle::encode_entry(&mut bytes, &vec![0; MAX_ENTRY_BYTES + 1]);
    assert!(matches!(refused, Err(Error::OverLimit { .. })));
    assert_eq!(bytes, b"before");
    bundle::encode_entry(&mut Vec::new(), &vec![0; MAX_ENTRY_BYTES]).unwrap();
}

proptest! {
    #[test]
    fn a_written_path_reads_back(level in 0..=MAX_TILE_LEVEL, index in any::<u64>(), shift in 0_u32..64, width in 1_u16..=256) {
        let index = index >> shift;
        if let Ok(id) = TileId::new(level, index, width) {
            prop_assert_eq!(id.path().parse::<TileId>().unwrap(), id);
            prop_assert!(id.path().parse::<BundleId>().is_err());
        }
        if let Ok(id) = BundleId::new(index, width) {
            prop_assert_eq!(id.path().parse::<BundleId>().unwrap(), id);
            prop_assert!(id.path().parse::<TileId>().is_err());
        }
    }

    #[test]
    fn a_written_bundle_reads_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..=256)) {
        let mut bytes = Vec::new();
        for entry in &entries {
            bundle::encode_entry(&mut bytes, entry).unwrap();
        }
        prop_assert_eq!(bundle::decode(&bytes, entries.len() as u16).unwrap(), entries);
    }
}
