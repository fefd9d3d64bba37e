//! A receipt proves one entry at one place in a log that the policy knows, and nothing else.

use crate::{
    actors::{ORIGIN, at, checkpoint, cosigned, leaves, log, public, witness},
    tree_by_definition as definition,
};
use proptest::prelude::*;
use tlog::{
    Error, Hash, leaf_hash,
    note::{Note, SigningKey},
    policy::Policy,
    proof,
    receipt::{MAX_EXTRA_BYTES, MAX_RECEIPT_BYTES, Receipt},
};

fn policy() -> Policy {
    let text = format!(
        "log {}\nwitness a {}\nwitness b {}\ngroup both all a b\nquorum both\n",
        log().verifying_key(),
        public(&witness(1)),
        public(&witness(2)),
    );
    Policy::parse(text.as_bytes()).unwrap()
}

fn path(index: u64, size: u64) -> Vec<Hash> {
    let leaves = leaves(size, None);
    proof::inclusion(index, size, |level, index| {
        definition::node(&leaves, level, index)
    })
    .unwrap()
}

fn receipt(index: u64, size: u64) -> Receipt {
    let note = cosigned(size, &[&witness(1), &witness(2)], 1_000);
    Receipt::new(index, path(index, size), note).unwrap()
}

#[test]
fn every_entry_of_small_trees() {
    let policy = policy();
    for size in 1..=9_u64 {
        let tree = leaves(size, None);
        for index in 0..size {
            let text = receipt(index, size).to_string();
            let receipt = Receipt::parse(text.as_bytes()).unwrap();
            assert_eq!(receipt.to_string(), text);
            for (other, leaf) in tree.iter().enumerate() {
                let verdict = receipt.verify(leaf, &policy, Some(at(1_000)));
                assert_eq!(
                    verdict.is_ok(),
                    other as u64 == index,
                    "leaf {other} at {index}"
                );
            }
        }
    }
}

#[test]
fn what_fails_is_named() {
    let (leaf, policy) = (leaves(7, None)[3], policy());
    let good = receipt(3, 7);
    let findings = good.verify(&leaf, &policy, None).unwrap();
    assert_eq!(
        (findings.checkpoint.size(), findings.cosigned.len()),
        (7, 2)
    );

    let with = |note: Note| Receipt::new(3, path(3, 7), note).unwrap();
    let verdict = |receipt: Receipt| receipt.verify(&leaf, &policy, None).unwrap_err();
    assert!(matches!(
        verdict(with(cosigned(7, &[&witness(1)], 7))),
        Error::NoQuorum { .. }
    ));
    assert_eq!(
        verdict(with(cosigned(8, &[&witness(1), &witness(2)], 7))),
        Error::ProofMismatch("inclusion")
    );
    let foreign = SigningKey::from_seed(ORIGIN, &[9; 32]).unwrap();
    let foreign = checkpoint(&leaves(7, None)).sign(&foreign).unwrap();
    assert_eq!(verdict(with(foreign)), Error::Unsigned);
    let beyond = Receipt::new(7, path(3, 7), good.checkpoint().clone()).unwrap();
    assert!(matches!(verdict(beyond), Error::OutOfRange { .. }));
    let early = good.verify(&leaf, &policy, Some(at(999)));
    assert!(matches!(early, Err(Error::NoQuorum { cosigned: 0, .. })));

    // Without a quorum the caller may still ask whether the log included the entry.
    let unwitnessed = with(cosigned(7, &[], 7));
    let findings = policy.weigh(unwitnessed.checkpoint(), None).unwrap();
    assert!(!findings.meets_quorum());
    assert_eq!(unwitnessed.verify_inclusion(&leaf, &findings), Ok(()));
    assert!(
        unwitnessed
            .verify_inclusion(&leaf_hash(b"x"), &findings)
            .is_err()
    );
}

#[test]
fn malformed_receipts_are_refused() {
    let note = cosigned(7, &[], 7).to_string();
    let hash = leaf_hash(b"a").to_string();
    let header = "c2sp.org/tlog-proof@v1";
    let accepted = [
        format!("{header}\nindex 0\n\n{note}"),
        format!("{header}\nindex 18446744073709551615\n{hash}\n\n{note}"),
        format!("{header}\nextra YQ==\nindex 3\n{hash}\n{hash}\n\n{note}"),
        format!("{header}\nextra \nindex 3\n\n{note}"),
    ];
    for text in accepted {
        assert_eq!(Receipt::parse(text.as_bytes()).unwrap().to_string(), text);
    }
    let refused = [
        String::new(),
        format!("{header}\n"),
        format!("{header}\n\n{note}"),
        note.clone(),
        format!("c2sp.org/tlog-proof@v2\nindex 3\n\n{note}"),
        format!(" {header}\nindex 3\n\n{note}"),
        format!("{header}\r\nindex 3\r\n\r\n{note}"),
        format!("\n{header}\nindex 3\n\n{note}"),
        format!("{header}\nindex 03\n\n{note}"),
        format!("{header}\nindex -3\n\n{note}"),
        format!("{header}\nindex +3\n\n{note}"),
        format!("{header}\nindex  3\n\n{note}"),
        format!("{header}\nindex 3 \n\n{note}"),
        format!("{header}\nindex\n\n{note}"),
        format!("{header}\nindex 18446744073709551616\n\n{note}"),
        format!("{header}\nIndex 3\n\n{note}"),
        format!("{header}\nindex 3\nextra YQ==\n\n{note}"),
        format!("{header}\nextra YQ==\nextra YQ==\nindex 3\n\n{note}"),
        format!("{header}\nextra YQ\nindex 3\n\n{note}"),
        format!("{header}\nextra YR==\nindex 3\n\n{note}"),
        format!("{header}\nextra\nindex 3\n\n{note}"),
        format!("{header}\nextra YQ==\n\n{note}"),
        format!("{header}\nindex 3\n{}\n\n{note}", &hash[..43]),
        format!("{header}\nindex 3\n{hash} \n\n{note}"),
        format!("{header}\nindex 3\n{note}"),
        format!("{header}\nindex 3\n\n\n{note}"),
        format!("{header}\nindex 3\n\n"),
        format!("{header}\nindex 3\n\nexample.com/log\n"),
        format!("{header}\nindex 3\n\n{note}\n"),
        format!(
            "{header}\nindex 3\n{}\n{note}",
            format!("{hash}\n").repeat(65)
        ),
    ];
    for text in refused {
        assert!(Receipt::parse(text.as_bytes()).is_err(), "{text:?}");
    }
    // 64 hashes are as many as any tree has levels.
    let deep = format!(
        "{header}\nindex 3\n{}\n{note}",
        format!("{hash}\n").repeat(64)
    );
    assert_eq!(Receipt::parse(deep.as_bytes()).unwrap().path().len(), 64);
    assert!(Receipt::new(3, vec![leaf_hash(b"a"); 65], cosigned(7, &[], 7)).is_err());
}

#[test]
fn bounds() {
    let most = receipt(3, 7).with_extra(vec![7; MAX_EXTRA_BYTES]).unwrap();
    let read = Receipt::parse(most.to_string().as_bytes()).unwrap();
    assert_eq!(read.extra().unwrap().len(), MAX_EXTRA_BYTES);
    let more = receipt(3, 7).with_extra(vec![7; MAX_EXTRA_BYTES + 1]);
    assert!(matches!(more, Err(Error::OverLimit { .. })));
    let long = vec![b'a'; MAX_RECEIPT_BYTES + 1];
    assert!(matches!(
        Receipt::parse(&long),
        Err(Error::OverLimit { .. })
    ));
}

/// The extra data is nobody's word: changing it changes no verdict.
#[test]
fn extra_data_is_not_authenticated() {
    let leaf = leaves(7, None)[3];
    for extra in [&b""[..], b"a", b"another"] {
        let receipt = receipt(3, 7).with_extra(extra.to_vec()).unwrap();
        assert_eq!(receipt.extra(), Some(extra));
        assert!(receipt.verify(&leaf, &policy(), None).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut altered = receipt(3, 7).to_string().into_bytes();
        let at = at.index(altered.len());
        altered[at] ^= 1_u8 << bit;
        let verdict = Receipt::parse(&altered).and_then(|receipt| {
            receipt.verify(&leaves(7, None)[3], &policy(), None).map(|_| ())
        });
        prop_assert!(verdict.is_err(), "bit {} of byte {}", bit, at);
    }

    #[test]
    fn a_written_receipt_reads_back(index in any::<u64>(), path in prop::collection::vec(any::<[u8; 32]>(), 0..=64), extra in prop::option::of(prop::collection::vec(any::<u8>(), 0..80))) {
        let path = path.into_iter().map(Hash::new).collect();
        let mut receipt = Receipt::new(index, path, cosigned(7, &[&witness(1)], 7)).unwrap();
        if let Some(extra) = extra {
            receipt = receipt.with_extra(extra).unwrap();
        }
        prop_assert_eq!(Receipt::parse(receipt.to_string().as_bytes()).unwrap(), receipt);
    }
}
