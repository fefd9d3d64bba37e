//! What the script reads means to it what it means to everybody else.

use crate::*;
use tlog::cosignature::Cosigner;
use tlog::note::SigningKey;
use tlog::policy::Policy;

#[test]
fn a_file_of_two_keys_is_no_key() {
    let log = alone();
    let store = Store::open(log.path()).unwrap();
    let real = store.verifier_key();
    let forger = SigningKey::from_seed(store.origin(), &[9; 32]).unwrap();
    let forgers = forger.verifying_key().to_string();
    for (vkey, verdict) in [
        (format!("{forgers} {real}\n"), "INVALID       vkey"),
        (format!("{forgers}\n{real}\n"), "INVALID       vkey"),
        (format!("{forgers}*{real}\n"), "INVALID       vkey"),
        (format!("{forgers}\t{real}"), "INVALID       vkey"),
        (format!("{forgers}\n"), "UNVERIFIABLE  signature: --vkey"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(&store, 1, dir.path());
        let head = std::fs::read_to_string(dir.path().join("checkpoint")).unwrap();
        let text = head.split_inclusive('\n').take(3).collect::<String>();
        let forged = format!("{text}\n{}\n", forger.sign(&text).unwrap());
        for name in ["checkpoint", "event.tlog-proof"] {
            let path = dir.path().join(name);
            let old = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, old.replace(&head, &forged)).unwrap();
        }
        std::fs::write(dir.path().join("vkey"), &vkey).unwrap();
        mend(dir.path());
        let (code, said) = script(dir.path(), &["--vkey", &real]);
        assert!(code == 10 || code == 12, "{vkey}: {said}");
        assert!(said.contains(verdict), "{vkey}: {said}");
        assert!(!said.contains("VALID         signature"), "{vkey}: {said}");
    }
}

/// One DER value (X.690, section 8.1): its tag, its content.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], content].concat()
}

#[test]
fn what_an_answer_says_beside_its_token_is_no_time() {
    let anchored = Anchored::new();
    let auditor = Auditor::of(&anchored);
    let store = Store::open(anchored.path()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write(&store, 100, dir.path());
    let (honest, expected) = auditor.checks(dir.path());
    assert_eq!(honest, 0, "{expected}");
    let path = dir.path().join("tsa-ec.tsr");
    let answer = std::fs::read(&path).unwrap();
    // TimeStampResp (RFC 3161, section 2.4.2): of its status nobody signs a word.
    let status = answer.iter().position(|byte| *byte == 0x02).unwrap() - 2;
    let token = &answer[status + 2 + usize::from(answer[status + 1])..];
    let words = b"ok\nTime stamp: Jan  1 00:00:00 2020 GMT (\nAccuracy: 0x09 seconds, ";
    let free = der(0x30, &der(0x0c, words));
    let status = der(0x30, &[&[2, 1, 0], &free[..]].concat());
    let forged = der(0x30, &[&status, token].concat());
    std::fs::write(&path, forged).unwrap();
    mend(dir.path());
    assert_eq!(auditor.checks(dir.path()), (0, expected));
}

#[test]
fn a_policy_is_one_to_the_script_where_it_is_one_to_the_verifier() {
    let log = alone();
    let store = Store::open(log.path()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write(&store, 1, dir.path());
    let real = store.verifier_key();
    let key = |seed| {
        let cosigner = Cosigner::ed25519(&format!("w{seed}.example"), &[seed; 32]).unwrap();
        cosigner.verifying_key().to_string()
    };
    let (a, b) = (key(1), key(2));
    let two = format!("log {real}\nwitness a {a}\nwitness b {b}\n");
    let file = dir.path().join("policy");
    for (text, good) in [
        (format!("{two}quorum none\n"), true),
        (format!("{two}quorum a\n"), true),
        (format!("{two}group g any a b\nquorum g\n"), true),
        (format!("{two}group g all a b\nquorum a\n"), true),
        (format!("{two}group g 1 a\ngroup h 2 g b\nquorum h\n"), true),
        (format!("# who\n\n\t{two}  quorum\tnone\n"), true),
        (
            format!("log {real}\nwitness * {a}\nwitness ] {b}\ngroup $x all * ]\nquorum $x\n"),
            true,
        ),
        (two.clone(), false),
        (format!("{two}quorum none\nquorum a\n"), false),
        (format!("{two}quorum a b\n"), false),
        (format!("{two}quorum c\n"), false),
        (format!("{two}quorum\n"), false),
        (format!("{two}group g 3 a b\nquorum g\n"), false),
        (format!("{two}group g 0 a b\nquorum g\n"), false),
        (format!("{two}group g 2 a a\nquorum g\n"), false),
        (format!("{two}group g any\nquorum g\n"), false),
        (format!("{two}group\nquorum none\n"), false),
        (
            format!("{two}group g any a\ngroup h any a\nquorum g\n"),
            false,
        ),
        (format!("{two}group a any b\nquorum a\n"), false),
        (format!("{two}group none any b\nquorum none\n"), false),
        (format!("{two}group g all event.jso?\nquorum none\n"), false),
        (format!("witness\n{two}quorum a\n"), false),
        (format!("{two}witness a {}\nquorum a\n", key(3)), false),
        // One witness under two names would be two of a quorum.
        (format!("{two}witness c {a}\nquorum a\n"), false),
        (
            format!("{two}witness none {}\nquorum none\n", key(3)),
            false,
        ),
        // A log does not witness itself.
        (format!("{two}witness l {real}\nquorum l\n"), false),
        (format!("{two}witness c {}x\nquorum a\n", key(3)), false),
        (format!("log {real}{real}\nquorum none\n"), false),
        (format!("{two}quorum none\r\n"), false),
        (format!("{two}ask a\nquorum a\n"), false),
    ] {
        assert_eq!(Policy::parse(text.as_bytes()).is_ok(), good, "{text}");
        std::fs::write(&file, &text).unwrap();
        let (code, said) = script(dir.path(), &["--witnesses", file.to_str().unwrap()]);
        assert_eq!(code, if good { 12 } else { 2 }, "{text}: {said}");
    }
    // Without its last line feed the last line counts all the same.
    std::fs::write(&file, format!("{two}quorum a")).unwrap();
    let (code, said) = script(dir.path(), &["--witnesses", file.to_str().unwrap()]);
    assert_eq!(code, 12, "{said}");
    assert!(said.contains("not the quorum"), "{said}");
}
