//! What outsiders vouch for is verified under the auditor's trust, and anything wrong with it is named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod anchored;

use anchored::{Anchored, HEADS, cosignature, stamp};
use event::{Draft, Kind, Source};
use evidence::Error;
use evidence::verify::{self, Options, Report, Subject, Verdict};
use testkit::authority::{Authority, EC, Issue, MAY_ISSUE, RSA};
use timestamp::{Certificate, Response, Trust};

fn verdicts(report: &Report) -> String {
    let word = |verdict| match verdict {
        Verdict::Valid => 'v',
        Verdict::Invalid => 'i',
        Verdict::Unverifiable => '?',
    };
    report.claims.iter().map(|c| word(c.verdict)).collect()
}

/// Content, order, sequence, signature, epoch, time, witnesses, bodies; and the exit code.
fn outcome(report: &Report) -> (String, u8) {
    (verdicts(report), report.exit_code())
}

fn is(report: &Report, claims: &str, exit: u8) {
    assert_eq!(
        outcome(report),
        (claims.to_owned(), exit),
        "faults {:#?}\nmissing {:#?}",
        report.faults,
        report.missing
    );
}

#[test]
fn under_the_auditors_trust_times_and_witnesses_are_valid() {
    let store = Anchored::new();
    let report = store.verify(&store.options());
    is(&report, "vvvvvvvv", 0);
    assert_eq!(report.anchors.len(), HEADS * 4);
    let last = *store.sizes.last().unwrap();
    assert_eq!(
        (report.unanchored_tail.from, report.unanchored_tail.events),
        (last, report.events - last)
    );
    assert!(report.unanchored_tail.verified);
    let kinds: Vec<_> = report.cadence.iter().map(|c| (c.kind, c.heads)).collect();
    let expected = [(verify::Kind::Timestamp, 3), (verify::Kind::Witness, 3)];
    assert_eq!(kinds, expected);
    // Every event up to the last head has an end, every event behind the first anchor's has a beginning.
    assert_eq!(report.brackets.first().unwrap().from, 0);
    assert_eq!(report.brackets.last().unwrap().to, report.events);
    for range in &report.brackets {
        assert_eq!(range.not_after.is_some(), range.from < last, "{range:?}");
        assert_eq!(
            range.not_before.is_some(),
            range.from > store.sizes[0],
            "{range:?}"
        );
    }
}

#[test]
fn without_trust_anchors_are_unverifiable_and_say_why() {
    let store = Anchored::new();
    let report = store.verify(&Options::default());
    is(&report, "vvvvv??v", 0);
    assert!(!report.unanchored_tail.verified);
    assert!(
        report
            .anchors
            .iter()
            .all(|a| a.verdict == Verdict::Unverifiable)
    );
    let time = report.claims.iter().find(|c| c.claim == Subject::Time);
    assert!(time.unwrap().detail.contains("--roots"), "{time:?}");
}

#[test]
fn what_the_auditor_asks_for_and_nobody_vouches_for_is_not_green() {
    let store = Anchored::new();
    let other = Authority::with_root().unwrap();
    other
        .issue(&Issue {
            issuer: "stranger",
            extensions: MAY_ISSUE,
            ..Issue::authority("stranger")
        })
        .unwrap();
    // A root of the same name with another key is a stranger too.
    for root in ["stranger", "root"] {
        let pinned = Certificate::from_pem(&other.pem(root).unwrap()).unwrap();
        let options = Options {
            roots: Some(Trust::new(pinned).unwrap()),
            ..store.options()
        };
        is(&store.verify(&options), "vvvvv?vv", 12);
    }
    // A witness that never saw the log is part of the quorum.
    let log = evidence::Store::open(store.path()).unwrap().verifier_key();
    let third = tlog::cosignature::Cosigner::ed25519("witness.example/three", &[3; 32]).unwrap();
    let text = store.policy_text(&log).replace(
        "group both 2 one two",
        &format!(
            "witness three {}\ngroup both 3 one two three",
            third.verifying_key()
        ),
    );
    let options = Options {
        policy: Some(tlog::policy::Policy::parse(text.as_bytes()).unwrap()),
        ..store.options()
    };
    is(&store.verify(&options), "vvvvvv?v", 12);
}

#[test]
fn judged_as_of_a_time_nothing_from_its_future_counts() {
    let store = Anchored::new();
    let long_ago = "2020-01-01T00:00:00Z".parse().unwrap();
    let options = Options {
        at: Some(long_ago),
        ..store.options()
    };
    let report = store.verify(&options);
    is(&report, "vvvvv??v", 12);
    assert_eq!(report.unanchored_tail.events, report.events);
    let later = "2048-01-01T00:00:00Z".parse().unwrap();
    let options = Options {
        at: Some(later),
        ..store.options()
    };
    is(&store.verify(&options), "vvvvvvvv", 0);
}

#[test]
fn any_damage_to_an_anchor_is_named() {
    type Harm = fn(&Anchored, u64);
    // The harm, the verdicts with the auditor's trust, the exit code with it and without.
    let cases: [(&str, Harm, &str, u8, u8); 14] = [
        (
            "the published head is longer than any",
            |s, size| {
                let path = s.head(size).join("checkpoint");
                let mut text = std::fs::read_to_string(&path).unwrap();
                text.push_str(&"x".repeat(tlog::note::MAX_NOTE_BYTES));
                std::fs::write(&path, text).unwrap();
            },
            "vvvivvvv",
            10,
            10,
        ),
        (
            "the published head is a directory",
            |s, size| {
                let path = s.head(size).join("checkpoint");
                std::fs::remove_file(&path).unwrap();
                std::fs::create_dir(&path).unwrap();
            },
            "vvvivvvv",
            10,
            10,
        ),
        (
            "a token is gone",
            |s, size| {
                std::fs::remove_file(s.head(size).join(format!("{EC}.tsr"))).unwrap();
            },
            "vvvvv?vv",
            12,
            12,
        ),
        (
            "the cosigned head is gone",
            |s, size| {
                std::fs::remove_file(s.head(size).join("cosigned")).unwrap();
            },
            "vvvvvv?v",
            12,
            12,
        ),
        (
            "the published head is gone",
            |s, size| {
                std::fs::remove_file(s.head(size).join("checkpoint")).unwrap();
            },
            "vvvvv?vv",
            12,
            12,
        ),
        (
            "everything of the head is gone",
            |s, size| {
                std::fs::remove_dir_all(s.head(size)).unwrap();
            },
            "vvvvv?vv",
            12,
            12,
        ),
        (
            "all anchors are gone",
            |s, _| {
                std::fs::remove_dir_all(s.path().join("anchors")).unwrap();
            },
            "vvvvv??v",
            12,
            12,
        ),
        (
            "a cosignature is stripped",
            |s, size| {
                let path = s.head(size).join("cosigned");
                let text = std::fs::read_to_string(&path).unwrap();
                let kept = text.trim_end().rsplit_once('\n').unwrap().0;
                std::fs::write(&path, format!("{kept}\n")).unwrap();
            },
            "vvvvvv?v",
            12,
            12,
        ),
        (
            "a cosignature is broken",
            |s, size| {
                let path = s.head(size).join("cosigned");
                let text = std::fs::read_to_string(&path).unwrap();
                let at = text.find("witness.example/one ").unwrap() + 60;
                let mut bytes = text.into_bytes();
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                std::fs::write(&path, bytes).unwrap();
            },
            "vvvvvviv",
            10,
            12,
        ),
        (
            "the head's signature is broken",
            |s, size| {
                let path = s.head(size).join("checkpoint");
                let mut bytes = std::fs::read(&path).unwrap();
                let at = bytes.iter().position(|b| *b == 0xe2).unwrap() + 60;
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                std::fs::write(&path, bytes).unwrap();
            },
            "vvvivvvv",
            10,
            10,
        ),
        (
            "a token of another head",
            |s, size| {
                let other = std::fs::read(s.head(s.sizes[0]).join(format!("{RSA}.tsr"))).unwrap();
                std::fs::write(s.head(size).join(format!("{EC}.tsr")), other).unwrap();
            },
            "vvvvvivv",
            10,
            10,
        ),
        (
            "a newer token in place of the one that was told",
            |s, size| {
                let checkpoint = std::fs::read(s.head(size).join("checkpoint")).unwrap();
                let fresh = stamp(&s.authority, EC, &checkpoint);
                std::fs::write(s.head(size).join(format!("{EC}.tsr")), fresh).unwrap();
            },
            "vvvvvivv",
            10,
            10,
        ),
        (
            "a token with injected certificates",
            |s, size| {
                let path = s.head(size).join(format!("{EC}.tsr"));
                let token = Response::from_der(&std::fs::read(&path).unwrap())
                    .unwrap()
                    .into_token()
                    .unwrap();
                let mut all = token.certificates().to_vec();
                all.extend(Certificate::from_pem(&s.authority.pem(RSA).unwrap()).unwrap());
                let injected = token.with_certificates(&all).unwrap();
                // PKIStatusInfo "granted", then the token.
                let body = [&[0x30, 3, 2, 1, 0], injected.as_der()].concat();
                let len = u16::try_from(body.len()).unwrap().to_be_bytes();
                std::fs::write(
                    &path,
                    [&[0x30, 0x82, len[0], len[1]], body.as_slice()].concat(),
                )
                .unwrap();
            },
            "vvvvvivv",
            10,
            10,
        ),
        (
            "a head that is larger than the log",
            |s, size| {
                let at = s.path().join("anchors/00000000000000009999");
                std::fs::create_dir(&at).unwrap();
                std::fs::copy(s.head(size).join("checkpoint"), at.join("checkpoint")).unwrap();
            },
            "vvivvvvv",
            10,
            10,
        ),
    ];
    for (name, harm, claims, with, without) in cases {
        let store = Anchored::new();
        harm(&store, store.sizes[1]);
        let report = store.verify(&store.options());
        assert_eq!(
            outcome(&report),
            (claims.to_owned(), with),
            "{name}: faults {:#?}, missing {:#?}",
            report.faults,
            report.missing
        );
        let report = store.verify(&Options::default());
        assert_eq!(report.exit_code(), without, "{name}: {:#?}", report.faults);
    }
}

#[test]
fn the_log_must_extend_the_head_that_the_auditor_holds() {
    let store = Anchored::new();
    let head = |size: u64, file: &str| std::fs::read(store.head(size).join(file)).unwrap();
    let with = |head: Vec<u8>| {
        store.verify(&Options {
            heads: vec![head],
            ..Options::default()
        })
    };
    for file in ["checkpoint", "cosigned"] {
        is(&with(head(store.sizes[0], file)), "vvvvv?vv", 0);
    }
    let note = tlog::note::Note::parse(&head(store.sizes[1], "checkpoint")).unwrap();
    let path = evidence::Proofs::of(store.path())
        .inclusion(3, store.sizes[1])
        .unwrap();
    let receipt = tlog::receipt::Receipt::new(3, path, note).unwrap();
    is(&with(receipt.to_string().into_bytes()), "vvvvv?vv", 0);
    is(&with(b"no head at all".to_vec()), "vvvvv??v", 12);
    // Heads of other histories: of another log, of another key under the same name, and of this log's own key.
    let origin = evidence::Store::open(store.path())
        .unwrap()
        .origin()
        .to_owned();
    let other = |origin: &str, seed: [u8; 32]| {
        let key = tlog::note::SigningKey::from_seed(origin, &seed).unwrap();
        let head = tlog::Checkpoint::new(origin, 7, tlog::Hash::new([3; 32])).unwrap();
        head.sign(&key).unwrap().to_string().into_bytes()
    };
    let of_another_log = other("example.org/other", [4; 32]);
    let asked = verify::run(
        store.path(),
        &Options {
            heads: vec![of_another_log.clone()],
            ..Options::default()
        },
        &mut |_| (),
    );
    let both = |error: &Error| matches!(error, Error::OtherLog { theirs, ours } if theirs == "example.org/other" && *ours == origin);
    assert!(asked.as_ref().is_err_and(both), "{asked:?}");
    // A mistake in what is asked hides nothing.
    let two = store.verify(&Options {
        heads: vec![of_another_log, other(&origin, [4; 32])],
        ..Options::default()
    });
    is(&two, "vvviv??v", 10);
    is(&with(other(&origin, [4; 32])), "vvviv??v", 10);
    let line = std::fs::read_to_string(store.path().join("keys/log.key")).unwrap();
    let seed = hex::decode(line.split(' ').nth(1).unwrap()).unwrap();
    is(
        &with(other(&origin, seed.try_into().unwrap())),
        "ivvvv??v",
        10,
    );
}

#[test]
fn only_the_lines_of_those_who_count_and_their_own_times_say_what_came_after() {
    use tlog::cosignature::Cosigner;

    let store = Anchored::new();
    let [one, two] = &store.witnesses;
    let stranger = Cosigner::ed25519("witness.example/one", &[9; 32]).unwrap();
    let early = jiff::Timestamp::now().as_second() + 10_000;
    let late = early + 3_600;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // The stranger's line is told first; then old and new lines of the witnesses, an hour apart.
    let told = [(&stranger, late), (one, early), (two, late), (one, late)];
    let (first, size) = runtime.block_on(async {
        let recorder = evidence::Recorder::open(evidence::Options::new(store.path())).unwrap();
        let head = recorder.publish().await.unwrap();
        let dir = store.head(head.size);
        let mut cosigned = std::fs::read_to_string(dir.join("checkpoint")).unwrap();
        let mut first = None;
        for (by, time) in told {
            let (line, told) = cosignature(&head, by, time);
            cosigned.push_str(&line);
            first = first.or(Some(recorder.append(&told).await.unwrap()));
        }
        std::fs::write(dir.join("cosigned"), cosigned).unwrap();
        let last = Draft::new(Kind::Environment, Source::Recorder);
        recorder.append(&last).await.unwrap();
        recorder.close().await.unwrap();
        (first.unwrap().seq, head.size)
    });
    let log = evidence::Store::open(store.path()).unwrap().verifier_key();
    // Where a time of theirs is known, behind each of the events that tell of them; and the exit code.
    let not_before = |policy: Option<&str>| -> (Vec<Option<i64>>, u8) {
        let options = Options {
            policy: policy.map(|group| {
                let text = store.policy_text(&log).replace("both 2", group);
                tlog::policy::Policy::parse(text.as_bytes()).unwrap()
            }),
            ..Options::default()
        };
        let report = store.verify(&options);
        let of = |seq: u64| {
            let range = report
                .brackets
                .iter()
                .find(|r| r.from <= seq && seq < r.to)
                .unwrap();
            let bound = range.not_before.as_ref().unwrap();
            let time = bound.time.parse::<jiff::Timestamp>().unwrap().as_second();
            Some(time).filter(|time| *time >= early)
        };
        let times = (1..=told.len() as u64).map(|at| of(first + at)).collect();
        (times, report.exit_code())
    };
    let (early, late) = (Some(early), Some(late));
    let (both, any) = (Some("both 2"), Some("both any"));
    assert_eq!(not_before(both), (vec![None, None, early, late], 0));
    assert_eq!(not_before(any), (vec![None, early, late, late], 0));
    assert_eq!(not_before(None), (vec![late, late, late, late], 0));
    // A line that is not there to be verified has told nothing.
    let path = store.head(size).join("cosigned");
    let text = std::fs::read_to_string(&path).unwrap();
    let kept = text.trim_end().rsplit_once('\n').unwrap().0;
    std::fs::write(&path, format!("{kept}\n")).unwrap();
    assert_eq!(not_before(both), (vec![None, None, early, early], 12));
}

#[test]
fn outsiders_who_contradict_each_other_leave_open_when_it_was() {
    let store = Anchored::new();
    let ahead = jiff::Timestamp::now().as_second() + 10_000;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let recorder = evidence::Recorder::open(evidence::Options::new(store.path())).unwrap();
        let head = recorder.publish().await.unwrap();
        let dir = store.head(head.size);
        let mut cosigned = std::fs::read_to_string(dir.join("checkpoint")).unwrap();
        for witness in &store.witnesses {
            let (line, told) = cosignature(&head, witness, ahead);
            cosigned.push_str(&line);
            recorder.append(&told).await.unwrap();
        }
        std::fs::write(dir.join("cosigned"), cosigned).unwrap();
        let last = Draft::new(Kind::Environment, Source::Recorder);
        recorder.append(&last).await.unwrap();
        // What the witnesses saw hours from now, an authority stamps now.
        let head = recorder.publish().await.unwrap();
        for told in store.anchor(&head, RSA) {
            recorder.append(&told).await.unwrap();
        }
        recorder.close().await.unwrap();
    });
    let open = |report: &Report| report.verdict(Subject::Time) == Some(Verdict::Unverifiable);
    let asked = store.verify(&store.options());
    assert!(open(&asked), "{:?}", asked.claims);
    assert_eq!(asked.exit_code(), 12, "{:?}", asked.faults);
    assert_eq!(asked.missing, ["a time that the outsiders agree on"]);
    let not_asked = store.verify(&Options {
        roots: None,
        ..store.options()
    });
    assert!(open(&not_asked), "{:?}", not_asked.claims);
    assert_eq!(not_asked.exit_code(), 0, "{:?}", not_asked.missing);
}

#[test]
fn an_authority_is_no_path() {
    let store = Anchored::new();
    let size = store.sizes[0];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let of = evidence::Store::open(store.path()).unwrap();
    let told = (0..of.len()).find_map(|seq| {
        let line = event::Line::parse(&of.event(seq).unwrap()).unwrap();
        line.facts.filter(|_| line.kind == "anchor.timestamp")
    });
    let told = told.unwrap();
    assert_eq!(told["size"], size);
    drop(of);
    for (name, code) in [
        (RSA.to_owned(), 0),
        (format!("../{size:020}/{RSA}"), 10),
        (format!("./{RSA}"), 10),
        (format!("\0{RSA}"), 10),
        (String::new(), 10),
        ("x".repeat(300), 10),
        ("nobody".into(), 12),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut draft = Draft::new(Kind::AnchorTimestamp, Source::Recorder);
        let mut facts = told.clone();
        facts["authority"] = name.clone().into();
        draft.facts = Some(facts);
        let done = std::process::Command::new("cp")
            .args(["-r", store.path().to_str().unwrap()])
            .arg(dir.path().join("store"))
            .status();
        assert!(done.unwrap().success());
        runtime.block_on(async {
            let options = evidence::Options::new(dir.path().join("store"));
            let recorder = evidence::Recorder::open(options).unwrap();
            recorder.append(&draft).await.unwrap();
            recorder.close().await.unwrap();
        });
        let report =
            evidence::verify::run(&dir.path().join("store"), &store.options(), &mut |_| ());
        let report = report.unwrap();
        assert_eq!(report.exit_code(), code, "{name}: {:#?}", report.faults);
    }
}
