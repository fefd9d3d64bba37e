//! What the specifications print, and what other implementations wrote, is read as they mean it.

use std::path::PathBuf;
use tlog::{
    Checkpoint,
    note::{Algorithm, Note, VerifyingKey},
    witness::{AddCheckpoint, Answer},
};

fn golden(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn signed_note() {
    let first = golden("c2sp/signed-note_first.txt");
    let note = Note::parse(first.as_bytes()).unwrap();
    assert!(note.text().ends_with("\n\ned \u{e8} subito sera.\n"));
    assert_eq!(note.to_string(), first);

    let vkey = golden("c2sp/signed-note_example.vkey");
    let key: VerifyingKey = vkey.trim_end().parse().unwrap();
    assert_eq!(
        (key.algorithm(), key.to_string().as_str()),
        (Algorithm::Ed25519, vkey.trim_end())
    );
    let example = golden("c2sp/signed-note_example.txt");
    let note = Note::parse(example.as_bytes()).unwrap();
    assert_eq!(note.to_string(), example);
    assert!(note.verify(std::slice::from_ref(&key)).is_ok());
    assert_eq!(note.text(), "This is an example message.\n");
}

#[test]
fn tlog_checkpoint_and_cosignature() {
    for name in ["tlog-checkpoint", "tlog-cosignature"] {
        let example = golden(&format!("c2sp/{name}.txt"));
        let note = Note::parse(example.as_bytes()).unwrap();
        assert_eq!(note.to_string(), example);
        let checkpoint: Checkpoint = note.text().parse().unwrap();
        assert_eq!(
            (checkpoint.origin(), checkpoint.size()),
            ("example.com/behind-the-sofa", 20_852_163)
        );
    }
    // The message that the specification spells out for this checkpoint, at the time that its
    // cosignature states.
    let note = Note::parse(golden("c2sp/tlog-cosignature.txt").as_bytes()).unwrap();
    let checkpoint: Checkpoint = note.text().parse().unwrap();
    let time = note.signatures()[1].bytes()[..8].try_into().unwrap();
    let time = tlog::cosignature::Timestamp::new(u64::from_be_bytes(time)).unwrap();
    let key = VerifyingKey::new(
        "witness.example.com/w1",
        Algorithm::Ed25519Cosignature,
        &[7; 32],
    )
    .unwrap();
    let message = key.cosigned_message(&checkpoint, time).unwrap();
    assert_eq!(
        String::from_utf8(message).unwrap(),
        golden("c2sp/tlog-cosignature_message.txt")
    );
}

#[test]
fn tlog_witness() {
    let example = golden("c2sp/tlog-witness_request.txt");
    let request = AddCheckpoint::parse(example.as_bytes()).unwrap();
    assert_eq!((request.old_size(), request.path().len()), (20_852_014, 4));
    assert_eq!(request.origin(), "example.com/behind-the-sofa");
    assert_eq!(request.to_string(), example);

    let example = golden("c2sp/tlog-witness_answer.txt");
    let answer = Answer::parse(200, None, example.as_bytes()).unwrap();
    assert_eq!(answer.body(), example);
    let Answer::Cosigned(signatures) = answer else {
        panic!("refused")
    };
    let names: Vec<&str> = signatures
        .iter()
        .map(|signature| signature.name())
        .collect();
    assert_eq!(
        names,
        [
            "witness.example/w1",
            "witness.example/w1",
            "witness.example/w2"
        ]
    );
}

/// Sunlight's witness and mirror: Ed25519 cosignatures that another implementation made.
#[test]
fn sunlight() {
    for (name, vkey) in [
        (
            "witness",
            "witness.example.org+b8a2cf20+BFLN3yikSfFkVAJtrnh/CiY3Zozkoy7clp+P7XB28qUN",
        ),
        (
            "mirror",
            "mirror.example.org+3fb148ef+BAAjjch9GyYz0sJsJx7ALhbdAtz2ov0unbzSl1vMp94O",
        ),
        (
            "witness2",
            "witness2.example.org+2e55b896+BIZ7fpceQWd60IfqQeS9IAnmNOCZjMDne8lZuguz/bi9",
        ),
    ] {
        let key: VerifyingKey = vkey.parse().unwrap();
        assert_eq!(key.algorithm(), Algorithm::Ed25519Cosignature);
        let signed = golden(&format!("sunlight/{name}.txt"));
        let note = Note::parse(signed.as_bytes()).unwrap();
        let known = [key];
        let verified = note.verify(&known).unwrap();
        let time = verified.signers[0].time.unwrap();
        assert_eq!(
            (verified.signers.len(), time.seconds()),
            (1, 1_767_139_200),
            "{name}"
        );
        let altered = signed.replacen("\n300\n", "\n301\n", 1);
        let note = Note::parse(altered.as_bytes()).unwrap();
        assert!(note.verify(&known).is_err(), "{name} with another size");
    }
}
