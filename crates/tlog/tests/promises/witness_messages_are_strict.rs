//! What a witness and a log say to each other has one spelling, and an answer is believed only from
//! a known witness.

use crate::actors::{ORIGIN, at, checkpoint, leaves, log, public, witness};
use proptest::prelude::*;
use tlog::{
    Error, Hash, leaf_hash,
    note::{KeyId, MAX_SIGNATURES, Signature},
    subtree::Subtree,
    witness::{
        AddCheckpoint, Answer, MAX_CONSISTENCY_PATH, MAX_REQUEST_BYTES, Refusal, accept,
        checkpoint_path,
    },
};

#[test]
fn statuses_and_bodies() {
    let size = Answer::Refused(Refusal::Conflict { size: 20_852_014 });
    assert_eq!(
        (size.status(), size.content_type(), size.body().as_str()),
        (409, "text/x.tlog.size", "20852014\n")
    );
    let statuses = [
        (Refusal::BadRequest, 400),
        (Refusal::NotSigned, 403),
        (Refusal::UnknownLog, 404),
        (Refusal::Inconsistent, 422),
    ];
    for (refusal, status) in statuses {
        assert_eq!(refusal.status(), status);
        assert!(Answer::Refused(refusal).body().ends_with('\n'));
    }
    for (content_type, body, size) in [
        (Some("text/x.tlog.size"), "7\n", Some(7)),
        (Some("Text/X.Tlog.Size; charset=utf-8"), "0\n", Some(0)),
        (
            Some("text/x.tlog.size"),
            "18446744073709551615\n",
            Some(u64::MAX),
        ),
        (None, "7\n", None),
        (Some("text/plain"), "7\n", None),
        (Some("text/x.tlog.size"), "7", None),
        (Some("text/x.tlog.size"), "07\n", None),
        (Some("text/x.tlog.size"), "-1\n", None),
        (Some("text/x.tlog.size"), "7\n8\n", None),
        (Some("text/x.tlog.size"), "", None),
        (Some("text/x.tlog.size"), "18446744073709551616\n", None),
    ] {
        let read = Answer::parse(409, content_type, body.as_bytes());
        let expected = size.map(|size| Answer::Refused(Refusal::Conflict { size }));
        assert_eq!(read.ok(), expected, "{content_type:?} {body:?}");
    }
    for status in [0, 100, 201, 301, 401, 429, 500, 503, 999] {
        assert_eq!(
            Answer::parse(status, None, b""),
            Err(Error::UnexpectedStatus(status))
        );
    }
    let line = format!(
        "{}\n",
        Signature::new("w", KeyId::new([1; 4]), vec![1]).unwrap()
    );
    for body in [
        "",
        "\n",
        "hello\n",
        line.trim_end(),
        &format!("{line}\n"),
        &format!("\n{line}"),
    ] {
        assert!(
            Answer::parse(200, None, body.as_bytes()).is_err(),
            "{body:?}"
        );
    }
    assert!(Answer::parse(200, None, line.repeat(MAX_SIGNATURES).as_bytes()).is_ok());
    assert!(Answer::parse(200, None, line.repeat(MAX_SIGNATURES + 1).as_bytes()).is_err());
}

#[test]
fn malformed_requests_are_refused() {
    let note = checkpoint(&leaves(9, None))
        .sign(&log())
        .unwrap()
        .to_string();
    let hash = leaf_hash(b"a").to_string();
    let accepted = [
        format!("old 0\n\n{note}"),
        format!("old 18446744073709551615\n{hash}\n\n{note}"),
        format!(
            "old 5\n{}\n{note}",
            format!("{hash}\n").repeat(MAX_CONSISTENCY_PATH)
        ),
        format!("old 0\n\n{}", note.replacen('9', "0", 1)),
    ];
    for body in accepted {
        assert_eq!(
            AddCheckpoint::parse(body.as_bytes()).unwrap().to_string(),
            body
        );
    }
    let refused = [
        String::new(),
        note.clone(),
        format!("\n{note}"),
        format!("\n\n{note}"),
        format!("old\n\n{note}"),
        format!("old \n\n{note}"),
        format!("old 05\n\n{note}"),
        format!("old -5\n\n{note}"),
        format!("old  5\n\n{note}"),
        format!("old 5 \n\n{note}"),
        format!("OLD 5\n\n{note}"),
        format!("5\n\n{note}"),
        format!("old 18446744073709551616\n\n{note}"),
        format!("old 5\r\n\r\n{note}"),
        format!("old 5\n{note}"),
        format!("old 5\n{hash}\n{note}"),
        format!("old 5\n{}\n\n{note}", &hash[..40]),
        format!("old 5\n{hash}=\n\n{note}"),
        format!("old 5\n {hash}\n\n{note}"),
        format!("old 5\n\n{hash}\n\n{note}"),
        format!("old 5\n\n{note}\n"),
        format!("old 5\n\n{}", note.trim_end()),
        format!("old 5\n\n{}", note.replacen('9', "09", 1)),
        format!("old 5\n\n{}", note.replacen("\n9\n", "\n", 1)),
        format!(
            "old 5\n{}\n{note}",
            format!("{hash}\n").repeat(MAX_CONSISTENCY_PATH + 1)
        ),
    ];
    for body in refused {
        assert!(AddCheckpoint::parse(body.as_bytes()).is_err(), "{body:?}");
    }
    let long = vec![b'a'; MAX_REQUEST_BYTES + 1];
    assert!(matches!(
        AddCheckpoint::parse(&long),
        Err(Error::OverLimit { .. })
    ));
}

/// A log keeps of an answer what its witness's known keys signed over its own checkpoint.
#[test]
fn an_answer_is_believed_only_from_a_known_witness() {
    let own = checkpoint(&leaves(5, None));
    let note = own.sign(&log()).unwrap();
    let keys = [public(&witness(1)), public(&witness(2))];
    let good = witness(1).cosign(&own, at(7)).unwrap();
    let stranger = witness(3).cosign(&own, at(7)).unwrap();
    let (kept, signers) = accept(note.clone(), &[stranger.clone(), good.clone()], &keys).unwrap();
    assert_eq!(kept.signatures()[1], good);
    assert_eq!((signers.len(), signers[0].key), (1, &keys[0]));

    assert_eq!(
        accept(note.clone(), &[stranger], &keys),
        Err(Error::Unsigned)
    );
    assert_eq!(accept(note.clone(), &[], &keys), Err(Error::Unsigned));
    let other = witness(1)
        .cosign(&checkpoint(&leaves(6, None)), at(7))
        .unwrap();
    assert!(matches!(
        accept(note.clone(), &[other], &keys),
        Err(Error::BadSignature(_))
    ));
    let whole = Subtree::new(0, 5).unwrap();
    let untimed = witness(2)
        .cosign_subtree(ORIGIN, whole, &own.root())
        .unwrap();
    assert!(matches!(
        accept(note.clone(), &[untimed], &keys),
        Err(Error::BadSignature(_))
    ));
    // The log's own signature is none of the witness's.
    let echoed = note.signatures().to_vec();
    assert_eq!(accept(note, &echoed, &keys), Err(Error::Unsigned));
}

#[test]
fn where_a_checkpoint_is_served() {
    // The origin of Sunlight's test witness and the folder that it uses.
    assert_eq!(
        checkpoint_path("rome2026h1.example.org"),
        "000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706/checkpoint"
    );
}

proptest! {
    #[test]
    fn a_written_request_reads_back(old in any::<u64>(), path in prop::collection::vec(any::<[u8; 32]>(), 0..=MAX_CONSISTENCY_PATH), size in 0_u64..30) {
        let path = path.into_iter().map(Hash::new).collect();
        let note = checkpoint(&leaves(size, None)).sign(&log()).unwrap();
        let request = AddCheckpoint::new(old, path, note).unwrap();
        prop_assert_eq!(AddCheckpoint::parse(request.to_string().as_bytes()).unwrap(), request);
    }
}
