//! A cosignature vouches for one checkpoint at one time in one cosigner's name, and for nothing else.

use crate::actors::{ORIGIN, at, checkpoint, cosigned, leaves, log, public, witness};
use proptest::prelude::*;
use tlog::{
    Checkpoint, Error,
    cosignature::{Cosigner, Timestamp},
    leaf_hash,
    note::{Algorithm, Note, Signature, VerifyingKey},
    subtree::Subtree,
};

fn both() -> [Cosigner; 2] {
    [witness(1), witness(2)]
}

/// The signature with other bytes, in the same name.
fn altered(signature: &Signature, change: impl FnOnce(&mut Vec<u8>)) -> Signature {
    let mut bytes = signature.bytes().to_vec();
    change(&mut bytes);
    Signature::new(signature.name(), signature.id(), bytes).unwrap()
}

#[test]
fn a_cosignature_states_its_time() {
    for cosigner in both() {
        for seconds in [1, 1_679_315_147, Timestamp::MAX.seconds()] {
            let checkpoint = checkpoint(&leaves(5, None));
            let signature = cosigner.cosign(&checkpoint, at(seconds)).unwrap();
            let verdict = public(&cosigner).verify(&checkpoint.to_string(), &signature);
            assert_eq!(verdict, Ok(Some(at(seconds))));
        }
    }
    assert!(Timestamp::new(0).is_err());
    assert!(Timestamp::new(1 << 63).is_err());
    assert!(Timestamp::new(u64::MAX).is_err());
}

#[test]
fn anything_else_is_refused() {
    for cosigner in both() {
        let checkpoint = checkpoint(&leaves(5, None));
        let (key, text) = (public(&cosigner), checkpoint.to_string());
        let good = cosigner.cosign(&checkpoint, at(1_000)).unwrap();
        let cases: Vec<(&str, Signature)> = vec![
            ("another time", altered(&good, |bytes| bytes[7] ^= 1)),
            ("no time", altered(&good, |bytes| bytes[..8].fill(0))),
            (
                "a time beyond 2^63",
                altered(&good, |bytes| bytes[0] |= 0x80),
            ),
            (
                "one byte short",
                altered(&good, |bytes| bytes.truncate(bytes.len() - 1)),
            ),
            ("one byte more", altered(&good, |bytes| bytes.push(0))),
            ("a time alone", altered(&good, |bytes| bytes.truncate(8))),
            ("half a time", altered(&good, |bytes| bytes.truncate(4))),
            (
                "without its time",
                altered(&good, |bytes| drop(bytes.drain(..8))),
            ),
            ("flipped", altered(&good, |bytes| bytes[40] ^= 1)),
            ("the log's signature", log().sign(&text).unwrap()),
        ];
        for (what, signature) in cases {
            let verdict = key.verify(&text, &signature);
            assert_eq!(
                verdict,
                Err(Error::BadSignature(key.name().into())),
                "{what}"
            );
        }
        let root = leaf_hash(b"another root");
        for (what, text) in [
            (
                "another size",
                Checkpoint::new(ORIGIN, 6, checkpoint.root())
                    .unwrap()
                    .to_string(),
            ),
            (
                "another root",
                Checkpoint::new(ORIGIN, 5, root).unwrap().to_string(),
            ),
            (
                "another log",
                Checkpoint::new("example.com/other", 5, checkpoint.root())
                    .unwrap()
                    .to_string(),
            ),
            ("no checkpoint", "example.com/log\n5\n".to_owned()),
            ("no text", String::new()),
        ] {
            assert!(key.verify(&text, &good).is_err(), "{what}");
        }
    }
}

/// The same private key under another name or as another algorithm signs something else. Only
/// ML-DSA-44's message holds the name; for both the key's id does.
#[test]
fn a_signature_is_of_one_key_and_algorithm() {
    let checkpoint = checkpoint(&leaves(5, None));
    let text = checkpoint.to_string();
    let plain = log();
    let cosigner = Cosigner::ed25519(ORIGIN, &[1; 32]).unwrap();
    assert_eq!(
        plain.verifying_key().public_bytes(),
        cosigner.verifying_key().public_bytes()
    );
    assert_ne!(plain.verifying_key().id(), cosigner.verifying_key().id());
    let cosignature = cosigner.cosign(&checkpoint, at(7)).unwrap();
    assert!(plain.verifying_key().verify(&text, &cosignature).is_err());
    assert!(
        public(&cosigner)
            .verify(&text, &plain.sign(&text).unwrap())
            .is_err()
    );

    let (one, other) = (
        Cosigner::ml_dsa_44("one", &[3; 32]).unwrap(),
        Cosigner::ml_dsa_44("other", &[3; 32]).unwrap(),
    );
    let signature = one.cosign(&checkpoint, at(7)).unwrap();
    assert!(public(&one).verify(&text, &signature).is_ok());
    assert!(public(&other).verify(&text, &signature).is_err());
}

#[test]
fn extension_lines_are_covered_by_ed25519_only() {
    let bare = checkpoint(&leaves(5, None));
    let extended = bare.clone().with_extension("extension").unwrap();
    for (cosigner, covers) in both().iter().zip([true, false]) {
        assert_eq!(
            cosigner.verifying_key().algorithm().covers_extensions(),
            covers
        );
        let signature = cosigner.cosign(&bare, at(7)).unwrap();
        let verdict = public(cosigner).verify(&extended.to_string(), &signature);
        assert_eq!(verdict.is_err(), covers);
    }
    // A log whose only key is post-quantum cannot put anything into its extension lines.
    let log = Cosigner::ml_dsa_44(ORIGIN, &[3; 32]).unwrap();
    let open = |checkpoint: &Checkpoint| {
        let signature = log.cosign(checkpoint, at(7)).unwrap();
        let note = format!("{checkpoint}\n{signature}\n");
        Checkpoint::open(note.as_bytes(), ORIGIN, &[public(&log)]).map(|(read, _)| read)
    };
    assert_eq!(open(&bare), Ok(bare.clone()));
    assert!(matches!(open(&extended), Err(Error::Malformed { .. })));
}

#[test]
fn an_origin_must_fit_into_the_message() {
    let root = leaf_hash(b"a");
    for (len, fits) in [(1, true), (255, true), (256, false)] {
        let checkpoint = Checkpoint::new(&"o".repeat(len), 7, root).unwrap();
        assert!(witness(1).cosign(&checkpoint, at(7)).is_ok());
        assert_eq!(
            witness(2).cosign(&checkpoint, at(7)).is_ok(),
            fits,
            "{len} bytes"
        );
        // What cannot have been signed does not verify.
        let raw = [5; 2_420];
        let forged = public(&witness(2)).cosignature(Some(at(7)), &raw).unwrap();
        assert!(
            public(&witness(2))
                .verify(&checkpoint.to_string(), &forged)
                .is_err()
        );
    }
}

#[test]
fn a_subtree_is_signed_without_a_time() {
    let cosigner = witness(2);
    let key = public(&cosigner);
    let root = leaf_hash(b"subtree");
    for (start, end) in [(0, 8), (8, 13), (4, 4), (0, u64::MAX)] {
        let subtree = Subtree::new(start, end).unwrap();
        let good = cosigner.cosign_subtree(ORIGIN, subtree, &root).unwrap();
        assert_eq!(key.verify_subtree(ORIGIN, subtree, &root, &good), Ok(None));
        let timed = altered(&good, |bytes| bytes[7] = 1);
        assert!(key.verify_subtree(ORIGIN, subtree, &root, &timed).is_err());
        assert!(
            key.verify_subtree("example.com/other", subtree, &root, &good)
                .is_err()
        );
        assert!(
            key.verify_subtree(ORIGIN, subtree, &leaf_hash(b"x"), &good)
                .is_err()
        );
        assert!(
            key.verify_subtree(ORIGIN, Subtree::new(0, 9).unwrap(), &root, &good)
                .is_err()
        );
    }
    // A checkpoint is the subtree from leaf 0, and may state a time.
    let checkpoint = checkpoint(&leaves(5, None));
    let whole = Subtree::new(0, 5).unwrap();
    let timed = cosigner.cosign(&checkpoint, at(7)).unwrap();
    assert_eq!(
        key.verify_subtree(ORIGIN, whole, &checkpoint.root(), &timed),
        Ok(Some(at(7)))
    );
    let untimed = cosigner
        .cosign_subtree(ORIGIN, whole, &checkpoint.root())
        .unwrap();
    assert_eq!(key.verify(&checkpoint.to_string(), &untimed), Ok(None));
    // Ed25519 signs no subtree.
    assert!(
        witness(1)
            .cosign_subtree(ORIGIN, whole, &checkpoint.root())
            .is_err()
    );
    let verdict = public(&witness(1)).verify_subtree(ORIGIN, whole, &checkpoint.root(), &timed);
    assert!(verdict.is_err());
}

#[test]
fn a_signer_elsewhere_writes_the_same_cosignature() {
    use aws_lc_rs::signature::Ed25519KeyPair;
    let cosigner = witness(1);
    let checkpoint = checkpoint(&leaves(5, None));
    let message = public(&cosigner)
        .cosigned_message(&checkpoint, at(7))
        .unwrap();
    let elsewhere = Ed25519KeyPair::from_seed_unchecked(&[0x41; 32])
        .unwrap()
        .sign(&message);
    let signature = public(&cosigner)
        .cosignature(Some(at(7)), elsewhere.as_ref())
        .unwrap();
    assert_eq!(signature, cosigner.cosign(&checkpoint, at(7)).unwrap());

    assert!(public(&cosigner).cosignature(None, &[5; 63]).is_err());
    assert!(log().verifying_key().cosignature(None, &[5; 64]).is_err());
    assert!(
        log()
            .verifying_key()
            .cosigned_message(&checkpoint, at(7))
            .is_err()
    );
    assert!(
        !format!("{cosigner:?}").contains("41414141"),
        "Debug shows the seed"
    );
}

/// A note with signatures of every kind: each known one verifies, the others are reported.
#[test]
fn one_note_bears_every_kind() {
    let [one, two] = both();
    let unknown = Signature::new(
        "sigstore.example",
        tlog::note::KeyId::new([2; 4]),
        vec![9; 71],
    )
    .unwrap();
    let note = cosigned(5, &[&one, &two], 1_000)
        .with_signature(unknown.clone())
        .unwrap();
    let note = Note::parse(note.to_string().as_bytes()).unwrap();
    let known = [log().verifying_key().clone(), public(&one), public(&two)];
    let verified = note.verify(&known).unwrap();
    let times: Vec<_> = verified.signers.iter().map(|signer| signer.time).collect();
    assert_eq!(times, [None, Some(at(1_000)), Some(at(1_000))]);
    assert_eq!(verified.unknown, [&unknown]);

    // The same cosigner at two times is reported at both, a copy of a signature once.
    let later = one
        .cosign(&checkpoint(&leaves(5, None)), at(2_000))
        .unwrap();
    let note = note
        .with_signature(later.clone())
        .unwrap()
        .with_signature(later)
        .unwrap();
    let verified = note.verify(&known[1..2]).unwrap();
    let times: Vec<_> = verified.signers.iter().map(|signer| signer.time).collect();
    assert_eq!(times, [Some(at(1_000)), Some(at(2_000))]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_flipped_bit_of_a_cosigned_checkpoint_is_refused(at in any::<prop::sample::Index>(), bit in 0..8, n in 1_u8..3) {
        let witness = witness(n);
        let key: VerifyingKey = public(&witness);
        let checkpoint = checkpoint(&leaves(5, None));
        let signed = format!("{checkpoint}\n{}\n", witness.cosign(&checkpoint, crate::actors::at(7)).unwrap());
        let mut altered = signed.into_bytes();
        let at = at.index(altered.len());
        altered[at] ^= 1_u8 << bit;
        let verdict = Note::parse(&altered).and_then(|note| note.verify(&[key]).map(|_| ()));
        prop_assert!(verdict.is_err(), "bit {} of byte {}", bit, at);
    }

    /// Nobody's made-up bytes are a signature, of any algorithm.
    #[test]
    fn noise_is_no_cosignature(raw in prop::collection::vec(any::<u8>(), 2_420), time in 1_u64..1 << 63) {
        for n in 1..3 {
            let key = public(&witness(n));
            let raw = &raw[..key.algorithm().raw_signature_bytes()];
            let forged = key.cosignature(Some(at(time)), raw).unwrap();
            prop_assert!(key.verify(&checkpoint(&leaves(5, None)).to_string(), &forged).is_err());
            prop_assert!(key.algorithm() != Algorithm::Ed25519);
        }
    }
}
