//! A note that parses is written back byte for byte; one that verifies was signed by a known key.

use proptest::prelude::*;
use tlog::{
    Checkpoint, Error, empty_root, leaf_hash,
    note::{
        Algorithm, KeyId, MAX_NOTE_BYTES, MAX_SIGNATURES, Note, Signature, SigningKey, VerifyingKey,
    },
};

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, &[seed; 32]).unwrap()
}

/// The names of the known keys that signed.
fn signers(note: &Note, known: &[VerifyingKey]) -> Result<Vec<String>, Error> {
    let verified = note.verify(known)?;
    let names = verified.signers.iter().map(|signer| signer.key.name());
    Ok(names.map(str::to_owned).collect())
}

fn line(key: &SigningKey, text: &str) -> String {
    key.sign(text).unwrap().to_string()
}

#[test]
fn malformed_notes_are_refused() {
    let good = line(&key("example.com/k", 1), "text\n");
    let blob = good.rsplit_once(' ').unwrap().1;
    let cases: &[(&str, String)] = &[
        ("empty", String::new()),
        ("no signature", "text\n".into()),
        ("no signature after the blank line", "text\n\n".into()),
        ("no blank line", format!("text\n{good}\n")),
        ("no text", format!("\n{good}\n")),
        ("no final line feed", format!("text\n\n{good}")),
        (
            "hyphen for em dash",
            format!("text\n\n- example.com/k {blob}\n"),
        ),
        ("no dash", format!("text\n\nexample.com/k {blob}\n")),
        (
            "two spaces",
            format!("text\n\n\u{2014} example.com/k  {blob}\n"),
        ),
        ("trailing space", format!("text\n\n{good} \n")),
        ("no name", format!("text\n\n\u{2014}  {blob}\n")),
        ("no base64", "text\n\n\u{2014} example.com/k\n".into()),
        (
            "plus in the name",
            format!("text\n\n\u{2014} example+k {blob}\n"),
        ),
        (
            "Unicode space in the name",
            format!("text\n\n\u{2014} example\u{3000}k {blob}\n"),
        ),
        (
            "padding missing",
            format!(
                "text\n\n\u{2014} example.com/k {}\n",
                blob.trim_end_matches('=')
            ),
        ),
        (
            "URL-safe base64",
            format!("text\n\n\u{2014} example.com/k {}\n", "-_".repeat(8)),
        ),
        (
            "unused bits set",
            "text\n\n\u{2014} example.com/k AAAAAAB=\n".into(),
        ),
        (
            "key id cut off",
            "text\n\n\u{2014} example.com/k AAAA\n".into(),
        ),
        (
            "nothing after the key id",
            "text\n\n\u{2014} example.com/k AAAAAA==\n".into(),
        ),
        ("carriage return", format!("text\r\n\n{good}\n")),
        ("tab", format!("te\txt\n\n{good}\n")),
        ("zero byte", format!("te\0xt\n\n{good}\n")),
        (
            "text between signatures",
            format!("text\n\n{good}\ntext\n{good}\n"),
        ),
    ];
    for (what, note) in cases {
        assert!(
            matches!(Note::parse(note.as_bytes()), Err(Error::Malformed { .. })),
            "{what}"
        );
    }
    assert!(Note::parse(format!("text\n\n{good}\n").as_bytes()).is_ok());
    let invalid = [b"te\xffxt\n\n", good.as_bytes(), b"\n"].concat();
    assert!(
        matches!(Note::parse(&invalid), Err(Error::Malformed { .. })),
        "not UTF-8"
    );
}

#[test]
fn the_last_blank_line_ends_the_text() {
    let key = key("k", 1);
    for text in [
        "\n",
        "\n\n",
        "a\n\nb\n",
        "a\n\n\n",
        "\u{2014} looks like a signature AAAAAAAA\n",
        "\u{7f}\u{85}\n",
    ] {
        let note = Note::sign(text.to_owned(), &[&key]).unwrap();
        let read = Note::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!(read.text(), text);
        assert_eq!(read, note);
        assert_eq!(
            signers(&read, &[key.verifying_key().clone()]).unwrap(),
            ["k"]
        );
    }
    for text in ["", "a", "a\n\nb", "a\r\n", "\u{1b}[2J\n"] {
        assert!(Note::sign(text.to_owned(), &[&key]).is_err(), "{text:?}");
    }
    assert!(Note::sign("a\n".to_owned(), &[]).is_err(), "without a key");
}

#[test]
fn sixteen_post_quantum_signatures_fit_and_the_cap_holds() {
    let large =
        |n: u8| Signature::new(&format!("witness{n}"), KeyId::new([n; 4]), vec![n; 5_000]).unwrap();
    let mut note = Note::sign("text\n".to_owned(), &[&key("k", 1)]).unwrap();
    for n in 1..MAX_SIGNATURES as u8 {
        note = note.with_signature(large(n)).unwrap();
    }
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(read.signatures().len(), MAX_SIGNATURES);
    assert!(read.verify(&[key("k", 1).verifying_key().clone()]).is_ok());
    let one_more = format!("{note}{}\n", large(200));
    assert!(matches!(
        Note::parse(one_more.as_bytes()),
        Err(Error::OverLimit { .. })
    ));
    assert!(matches!(
        note.with_signature(large(200)),
        Err(Error::OverLimit { .. })
    ));
    let too_long = vec![b'a'; MAX_NOTE_BYTES + 1];
    assert!(matches!(
        Note::parse(&too_long),
        Err(Error::OverLimit { .. })
    ));
    let text = format!("{}\n", "a".repeat(MAX_NOTE_BYTES));
    assert!(matches!(
        Note::sign(text, &[&key("k", 1)]),
        Err(Error::OverLimit { .. })
    ));
}

#[test]
fn unknown_keys_are_ignored_and_a_known_key_that_fails_rejects() {
    let (alice, bob, eve) = (key("alice", 1), key("bob", 2), key("eve", 3));
    let (a, b) = (alice.verifying_key().clone(), bob.verifying_key().clone());
    let note = Note::sign("text\n".to_owned(), &[&alice, &eve]).unwrap();
    assert_eq!(signers(&note, &[a.clone(), b.clone()]).unwrap(), ["alice"]);
    let unknown = note.verify(std::slice::from_ref(&a)).unwrap().unknown;
    assert_eq!(unknown, [&note.signatures()[1]], "Eve is reported");
    assert_eq!(note.verify(std::slice::from_ref(&b)), Err(Error::Unsigned));
    assert_eq!(note.verify(&[]), Err(Error::Unsigned));

    // Same name with another key, or same id with another name, is an unknown key.
    let namesake = key("alice", 9).verifying_key().clone();
    assert_eq!(note.verify(&[namesake]), Err(Error::Unsigned));

    // Bob's name and id over bytes that Bob never signed: the note falls, though Alice signed it.
    let forged = Signature::new("bob", b.id(), vec![7; 64]).unwrap();
    let forged = note.with_signature(forged).unwrap();
    assert_eq!(
        forged.verify(&[a.clone(), b.clone()]),
        Err(Error::BadSignature("bob".to_owned()))
    );
    assert_eq!(
        signers(&forged, std::slice::from_ref(&a)).unwrap(),
        ["alice"]
    );

    // The same signature twice is one signer; a signature of the wrong length is no signature.
    let twice = Note::sign("text\n".to_owned(), &[&alice, &alice]).unwrap();
    assert_eq!(
        signers(&twice, std::slice::from_ref(&a)).unwrap(),
        ["alice"]
    );
    let short = Signature::new(
        "alice",
        a.id(),
        alice.sign("text\n").unwrap().bytes()[..63].to_vec(),
    )
    .unwrap();
    let short = Note::sign("text\n".to_owned(), &[&eve])
        .unwrap()
        .with_signature(short)
        .unwrap();
    assert_eq!(
        short.verify(&[a]),
        Err(Error::BadSignature("alice".to_owned()))
    );
}

#[test]
fn an_altered_note_is_refused() {
    let key = key("example.com/k", 1);
    let known = [key.verifying_key().clone()];
    let signed = Note::sign("text\n\nmore text\n".to_owned(), &[&key])
        .unwrap()
        .to_string();
    for at in 0..signed.len() {
        for bit in 0..8 {
            let mut altered = signed.clone().into_bytes();
            altered[at] ^= 1 << bit;
            let verdict = Note::parse(&altered).and_then(|note| signers(&note, &known));
            assert!(verdict.is_err(), "bit {bit} of byte {at} altered");
        }
        assert!(
            Note::parse(&signed.as_bytes()[..at]).is_err(),
            "cut off at {at}"
        );
    }
}

#[test]
fn a_vkey_has_one_spelling() {
    let ed25519 = key("example.com/k", 1);
    let public = ed25519.verifying_key().public_bytes();
    let cosigner =
        VerifyingKey::new("example.com/k", Algorithm::Ed25519Cosignature, public).unwrap();
    let ml_dsa =
        VerifyingKey::new("example.com/k", Algorithm::MlDsa44Cosignature, &[7; 1_312]).unwrap();
    let ids: Vec<KeyId> = [ed25519.verifying_key(), &cosigner, &ml_dsa]
        .map(VerifyingKey::id)
        .into();
    assert!(
        ids[0] != ids[1] && ids[1] != ids[2],
        "the id tells algorithms apart"
    );
    for key in [ed25519.verifying_key(), &cosigner, &ml_dsa] {
        one_spelling(&key.to_string());
    }
}

fn one_spelling(text: &str) {
    assert_eq!(text.parse::<VerifyingKey>().unwrap().to_string(), text);
    let (name, rest) = text.split_once('+').unwrap();
    let (id, public) = rest.split_once('+').unwrap();
    let other_id = if id == "00000000" {
        "00000001"
    } else {
        "00000000"
    };
    let cases = [
        String::new(),
        name.to_owned(),
        format!("{name}+{id}"),
        format!("{name}+{other_id}+{public}"),
        format!("{name}+{}+{public}", id.to_uppercase()),
        format!("{name}+0{id}+{public}"),
        format!("+{id}+{public}"),
        format!("{name}+{id}+"),
        format!("a b+{id}+{public}"),
        format!("{name}+{id}+{}", &public[..public.len() - 4]),
        format!("{name}+{id}+{public}\n"),
        format!("{name}+{id}+{public}AAAA"),
        format!("PRIVATE+KEY+{text}"),
    ];
    for case in cases.iter().filter(|case| **case != text) {
        assert!(case.parse::<VerifyingKey>().is_err(), "{case:?}");
    }
}

#[test]
fn a_key_of_another_type_is_told_from_a_broken_one() {
    // The types that C2SP assigns and this crate does not read, and the one without a number.
    for (signature_type, encoded) in [
        (0x02, "AgEB"),
        (0x03, "AwEB"),
        (0x05, "BQEB"),
        (0xff, "/wEB"),
    ] {
        assert_eq!(
            format!("example.com/k+12345678+{encoded}").parse::<VerifyingKey>(),
            Err(Error::UnknownAlgorithm(signature_type))
        );
    }
    for (algorithm, len) in [
        (Algorithm::Ed25519, 31),
        (Algorithm::Ed25519Cosignature, 33),
        (Algorithm::MlDsa44Cosignature, 32),
        (Algorithm::MlDsa44Cosignature, 1_313),
    ] {
        assert!(
            VerifyingKey::new("k", algorithm, &vec![7; len]).is_err(),
            "{algorithm:?} of {len}"
        );
    }
    let long = "n".repeat(256);
    assert!(VerifyingKey::new(&long, Algorithm::Ed25519Cosignature, &[7; 32]).is_ok());
    assert!(VerifyingKey::new(&long, Algorithm::MlDsa44Cosignature, &[7; 1_312]).is_err());
    assert!(VerifyingKey::new(&long[1..], Algorithm::MlDsa44Cosignature, &[7; 1_312]).is_ok());
}

#[test]
fn a_key_comes_from_a_seed_or_from_pkcs8() {
    // PKCS#8 version 1 around RFC 8032's first test seed, as `openssl genpkey` lays it out.
    let seed =
        hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    let der = [
        &hex::decode("302e020100300506032b657004220420").unwrap()[..],
        &seed,
    ]
    .concat();
    let from_seed = SigningKey::from_seed("k", &seed.try_into().unwrap()).unwrap();
    let from_pkcs8 = SigningKey::from_pkcs8("k", &der).unwrap();
    assert_eq!(
        hex::encode(from_seed.verifying_key().public_bytes()),
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
    assert_eq!(from_pkcs8.verifying_key(), from_seed.verifying_key());
    assert!(matches!(
        SigningKey::from_pkcs8("k", &der[1..]),
        Err(Error::Key(_))
    ));
    assert!(matches!(
        SigningKey::from_seed("a b", &[0; 32]),
        Err(Error::Malformed { .. })
    ));
    assert!(
        !format!("{from_seed:?}").contains("9d61b19d"),
        "Debug shows the seed"
    );
}

#[test]
fn malformed_checkpoints_are_refused() {
    let root = leaf_hash(b"a");
    for text in [
        format!("log\n7\n{root}\n"),
        format!("log with spaces\n18446744073709551615\n{root}\n"),
        format!("log\n0\n{}\n", empty_root()),
        format!("log\n7\n{root}\nextension\nanother one\n"),
    ] {
        assert_eq!(text.parse::<Checkpoint>().unwrap().to_string(), text);
    }
    for text in [
        String::new(),
        "\n".to_owned(),
        "log\n7\n".to_owned(),
        format!("log\n7\n{root}"),
        format!("\n7\n{root}\n"),
        format!("log\n07\n{root}\n"),
        format!("log\n+7\n{root}\n"),
        format!("log\n-7\n{root}\n"),
        format!("log\n 7\n{root}\n"),
        format!("log\n7 \n{root}\n"),
        format!("log\n\n{root}\n"),
        format!("log\n0x7\n{root}\n"),
        format!("log\n\u{667}\n{root}\n"),
        format!("log\n18446744073709551616\n{root}\n"),
        format!("log\n00\n{}\n", empty_root()),
        format!("log\n0\n{root}\n"),
        format!("log\n7\n{}\n", &root.to_string()[..43]),
        format!("log\n7\n{root}\n\n"),
        format!("log\n7\n{root}\n\nextension\n"),
        format!("log\n7\n{root}\next\tension\n"),
        format!("log\r\n7\r\n{root}\r\n"),
    ] {
        assert!(text.parse::<Checkpoint>().is_err(), "{text:?}");
    }
}

#[test]
fn a_checkpoint_is_believed_only_from_its_log() {
    let (log, other) = (key("example.com/log", 1), key("example.com/log", 2));
    let known = [log.verifying_key().clone()];
    let checkpoint = Checkpoint::new("example.com/log", 7, leaf_hash(b"a")).unwrap();
    let signed = checkpoint.sign(&log).unwrap().to_string();
    let (read, note) = Checkpoint::open(signed.as_bytes(), "example.com/log", &known).unwrap();
    assert_eq!((read, note.signatures().len()), (checkpoint.clone(), 1));
    let elsewhere = Checkpoint::open(signed.as_bytes(), "example.com/other", &known);
    assert!(matches!(elsewhere, Err(Error::WrongOrigin { .. })));
    let forged = checkpoint.sign(&other).unwrap().to_string();
    assert_eq!(
        Checkpoint::open(forged.as_bytes(), "example.com/log", &known),
        Err(Error::Unsigned)
    );
    let not_a_checkpoint = Note::sign("hello\n".to_owned(), &[&log])
        .unwrap()
        .to_string();
    assert!(matches!(
        Checkpoint::open(not_a_checkpoint.as_bytes(), "example.com/log", &known),
        Err(Error::Malformed { .. })
    ));
}

fn lines() -> impl Strategy<Value = String> {
    prop::collection::vec("[^\\x00-\\x1f]{0,12}", 1..6).prop_map(|lines| lines.join("\n") + "\n")
}

fn names() -> impl Strategy<Value = String> {
    "[^\\x00-\\x1f+\\s]{1,12}"
}

proptest! {
    #[test]
    fn a_written_note_reads_back(text in lines(), names in prop::collection::vec(names(), 1..5), extra in prop::collection::vec(any::<u8>(), 1..80)) {
        let keys: Vec<SigningKey> = (0..).zip(&names).map(|(seed, name)| key(name, seed)).collect();
        let note = Note::sign(text, &keys.iter().collect::<Vec<_>>()).unwrap();
        let note = note.with_signature(Signature::new(&names[0], KeyId::new([1, 2, 3, 4]), extra).unwrap()).unwrap();
        let bytes = note.to_string();
        let read = Note::parse(bytes.as_bytes()).unwrap();
        prop_assert_eq!(&read, &note);
        let known: Vec<VerifyingKey> = keys.iter().map(|key| key.verifying_key().clone()).collect();
        prop_assert!(read.verify(&known).is_ok());
    }

    #[test]
    fn a_written_checkpoint_reads_back(origin in "[^\\x00-\\x1f]{1,20}", size in 1..=u64::MAX, root in any::<[u8; 32]>(), extensions in prop::collection::vec("[^\\x00-\\x1f]{1,9}", 0..4)) {
        let bare = Checkpoint::new(&origin, size, root.into()).unwrap();
        let checkpoint = extensions.iter().try_fold(bare, |checkpoint, line| checkpoint.with_extension(line)).unwrap();
        prop_assert_eq!(checkpoint.to_string().parse::<Checkpoint>().unwrap(), checkpoint);
    }
}
