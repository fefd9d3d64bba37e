//! Any sequence of appends has the root that RFC 6962 defines.

use crate::tree_by_definition as definition;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;
use tlog::{Error, Frontier, Hash, Node, empty_root, leaf_hash};

/// The reference inputs and roots that Certificate Transparency's implementations share.
#[test]
fn certificate_transparency_constants() {
    let inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(format!("{:x}", empty_root()), empty);
    let mut tree = Frontier::new();
    assert_eq!(tree.root(), empty_root());
    for (input, root) in inputs.iter().zip(roots) {
        tree.push(leaf_hash(&hex::decode(input).unwrap()));
        assert_eq!(
            format!("{:x}", tree.root()),
            root,
            "at size {}",
            tree.size()
        );
    }
    assert_eq!(
        format!("{:x}", leaf_hash(b"L123456")),
        "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    );
}

/// Short, medium and long entries take different paths to the same hash.
#[test]
fn leaf_hash_is_prefixed_sha256_at_every_length() {
    use sha2::Digest as _;
    let entry: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for len in (0..1_100)
        .chain(4_000..4_200)
        .chain([16_384, 65_535, 70_000])
    {
        let expected: [u8; 32] = Sha256::new_with_prefix([0])
            .chain_update(&entry[..len])
            .finalize()
            .into();
        assert_eq!(
            leaf_hash(&entry[..len]),
            Hash::new(expected),
            "entry of {len} bytes"
        );
    }
}

#[test]
fn a_hash_has_one_spelling() {
    let hash = leaf_hash(b"a");
    let text = hash.to_string();
    assert_eq!(text.parse::<Hash>().unwrap(), hash);
    assert_eq!(text.len(), 44);
    let unused_bits = format!(
        "{}{}=",
        &text[..42],
        if &text[42..43] == "A" { "B" } else { "/" }
    );
    for bad in [
        "",
        &text[..43],
        &format!("{text}="),
        &format!(" {}", &text[1..]),
        &text.replace('=', "A"),
        &unused_bits,
        &"A".repeat(44),
    ] {
        assert!(bad.parse::<Hash>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_frontier_from_wrong_parts_is_refused() {
    let part = leaf_hash(b"a");
    for (size, parts) in [(0, 1), (1, 0), (1, 2), (3, 1), (4, 2), (1 << 40, 2)] {
        assert!(
            Frontier::from_parts(size, vec![part; parts]).is_err(),
            "{parts} parts for size {size}"
        );
    }
    let limit = Frontier::from_parts(u64::MAX, vec![part; 64]);
    assert!(matches!(limit, Err(Error::OverLimit { .. })));
}

proptest! {
    #[test]
    fn any_sequence_of_appends(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..200)) {
        let mut tree = Frontier::new();
        let mut reference = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut leaves = Vec::new();
        for entry in entries {
            let leaf = leaf_hash(&entry);
            tree.push(leaf);
            leaves.push(leaf);
            reference.push(entry);
        }
        prop_assert_eq!(tree.root(), definition::root(&leaves));
        let peer_root = reference.root();
        prop_assert_eq!(*tree.root().as_bytes(), <[u8; 32]>::from(*peer_root.as_bytes()));
        let resumed = Frontier::from_parts(tree.size(), tree.parts().to_vec()).unwrap();
        prop_assert_eq!(resumed, tree);
    }

    /// What an append reports is every perfect subtree, once.
    #[test]
    fn appends_report_every_perfect_subtree(size in 0_u64..300) {
        let leaves = definition::leaves(size);
        let mut tree = Frontier::new();
        let mut reported = Vec::new();
        for leaf in &leaves {
            tree.push_with(*leaf, |node| reported.push(node));
        }
        for Node { level, index, hash } in &reported {
            prop_assert_eq!(definition::node(&leaves, *level, *index), Some(*hash));
        }
        let expected: u64 = (0..64).map(|level| size >> level).sum();
        prop_assert_eq!(reported.len() as u64, expected);
        reported.sort_by_key(|node| (node.level, node.index));
        reported.dedup_by_key(|node| (node.level, node.index));
        prop_assert_eq!(reported.len() as u64, expected);
    }
}
