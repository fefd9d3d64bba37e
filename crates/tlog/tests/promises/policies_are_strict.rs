//! A policy that is read means one thing; one that is not says which line to correct.

use crate::actors::{ORIGIN, at, cosigned, log, public, witness};
use proptest::prelude::*;
use std::fmt::Write as _;
use tlog::{
    Checkpoint, Error,
    cosignature::Cosigner,
    note::{Algorithm, Note, SigningKey, VerifyingKey},
    policy::{MAX_DEFINITIONS, MAX_POLICY_BYTES, Policy},
};

fn vkey(n: u8) -> String {
    public(&witness(n)).to_string()
}

/// The log and witnesses 1 to 6, as every policy here knows them, before `rest`.
fn policy_text(rest: &str) -> String {
    let mut text = format!("log {}\n", log().verifying_key());
    for n in 1..=6 {
        writeln!(text, "witness w{n} {}", vkey(n)).unwrap();
    }
    text + rest
}

#[track_caller]
fn policy(rest: &str) -> Policy {
    Policy::parse(policy_text(rest).as_bytes()).unwrap()
}

/// Whether the checkpoint that these witnesses cosigned is accepted.
fn accepts(policy: &Policy, witnesses: &[u8]) -> bool {
    let witnesses: Vec<Cosigner> = witnesses.iter().map(|n| witness(*n)).collect();
    let note = cosigned(5, &witnesses.iter().collect::<Vec<_>>(), 1_000);
    match policy.accept(&note, None) {
        Ok(findings) => findings.cosigned.len() == witnesses.len() && findings.meets_quorum(),
        Err(Error::NoQuorum { cosigned, .. }) if cosigned == witnesses.len() => false,
        Err(error) => panic!("{error}"),
    }
}

/// The example of the specification, its keys filled in.
#[test]
fn the_specifications_example() {
    let policy = policy(
        "group X-witnesses 2 w1 w2 w3\n\ngroup Y-witnesses any w4 w5 w6\n\n\
         group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n",
    );
    for (witnesses, expected) in [
        (&[][..], false),
        (&[1, 2], false),
        (&[1, 4], false),
        (&[4, 5, 6], false),
        (&[1, 2, 3], false),
        (&[1, 2, 4], true),
        (&[2, 3, 6], true),
        (&[1, 3, 5, 6], true),
        (&[1, 2, 3, 4, 5, 6], true),
    ] {
        assert_eq!(accepts(&policy, witnesses), expected, "{witnesses:?}");
    }
}

#[test]
fn quorums() {
    for (rest, witnesses, expected) in [
        ("quorum none\n", &[][..], true),
        ("quorum none\n", &[1], true),
        ("quorum w1\n", &[1], true),
        ("quorum w1\n", &[2, 3], false),
        ("group g all w1\nquorum g\n", &[1], true),
        ("group g 1 w1 w2\nquorum g\n", &[2], true),
        ("group g 2 w1 w2\nquorum g\n", &[2], false),
        ("group all all w1 w2\nquorum all\n", &[1, 2], true),
        (
            "group any any w1\ngroup 2 2 any w2 w3\nquorum 2\n",
            &[1, 3],
            true,
        ),
        ("quorum w1\ngroup unused all w2 w3\n", &[1], true),
        ("  \t quorum \t w1\t \n\n \t\n # quorum w2\n#\n", &[1], true),
    ] {
        assert_eq!(
            accepts(&policy(rest), witnesses),
            expected,
            "{rest:?} with {witnesses:?}"
        );
    }
}

#[test]
fn urls_and_names_are_opaque() {
    let text = [
        format!("log {} https://log.example/\u{e9}\n", log().verifying_key()).as_bytes(),
        format!("witness K {} #no-comment\n", vkey(1)).as_bytes(),
        format!("witness \u{212a} {}\n", vkey(2)).as_bytes(),
        b"witness \xff\xfe ",
        vkey(3).as_bytes(),
        b"\n# \xe9\nquorum ",
        b"\xff\xfe\n",
    ]
    .concat();
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(
        policy.logs()[0].url.as_deref(),
        Some("https://log.example/\u{e9}".as_bytes())
    );
    let witnesses: Vec<_> = policy.witnesses().collect();
    assert_eq!(witnesses[0].url.as_deref(), Some(&b"#no-comment"[..]));
    assert_eq!(
        witnesses[1].name,
        "\u{212a}".as_bytes(),
        "a Kelvin sign is no K"
    );
    assert_eq!(
        (&witnesses[2].name[..], &witnesses[2].url),
        (&b"\xff\xfe"[..], &None)
    );
    assert!(accepts(&policy, &[3]) && !accepts(&policy, &[1, 2]));
}

#[test]
fn the_line_at_fault_is_named() {
    let log_line = format!("log {}\n", log().verifying_key());
    let w = |n: u8| format!("witness w{n} {}\n", vkey(n));
    // The same key under another name, and as another algorithm.
    let seed = [0x41; 32];
    let renamed = Cosigner::ed25519("renamed", &seed).unwrap();
    let as_log = SigningKey::from_seed("w1", &seed).unwrap();
    let as_cosigner = VerifyingKey::new(
        ORIGIN,
        Algorithm::Ed25519Cosignature,
        log().verifying_key().public_bytes(),
    )
    .unwrap();
    let cases: Vec<(String, usize, &str)> = vec![
        (String::new(), 1, "without a quorum"),
        ("\n\n".into(), 3, "without a quorum"),
        (w(1), 2, "without a quorum"),
        ("quorum none".into(), 1, "line feed"),
        ("quorum none\n# no end".into(), 2, "line feed"),
        ("quorum none\r\n".into(), 1, "control character"),
        ("# \u{7f}\nquorum none\n".into(), 1, "control character"),
        ("quorum none\0\n".into(), 1, "control character"),
        ("\n\nQUORUM none\n".into(), 3, "QUORUM is not log"),
        ("\u{1b}[2Jlog\n".into(), 1, "control character"),
        ("quorum\n".into(), 1, "`quorum NAME`"),
        ("quorum none none\n".into(), 1, "`quorum NAME`"),
        ("quorum none\nquorum none\n".into(), 2, "second quorum"),
        (
            "quorum w1\n".into(),
            1,
            "w1 is not a witness or group of an earlier line",
        ),
        (format!("quorum w1\n{}", w(1)), 1, "w1 is not"),
        ("log\n".into(), 1, "`log VKEY [URL]`"),
        (
            format!("{} url more\n", log_line.trim_end()),
            1,
            "`log VKEY [URL]`",
        ),
        ("log example.com/log\n".into(), 1, "not name+id+base64"),
        (
            "log sigstore.example+12345678+AgEB\n".into(),
            1,
            "signature type 0x02 is not known",
        ),
        (format!("{log_line}{log_line}"), 2, "earlier log's"),
        (format!("{log_line}log {as_cosigner}\n"), 2, "earlier log's"),
        ("witness w1\n".into(), 1, "`witness NAME VKEY [URL]`"),
        (
            format!("{} url more\n", w(1).trim_end()),
            1,
            "`witness NAME VKEY [URL]`",
        ),
        (
            format!("witness w1 {}\n", log().verifying_key()),
            1,
            "0x04 or 0x06, not 0x01",
        ),
        (format!("{}{}", w(1), w(1)), 2, "is that of w1"),
        (
            format!("{}witness w2 {}\n", w(1), renamed.verifying_key()),
            2,
            "is that of w1",
        ),
        (
            format!("{}witness w2 {}\n", w(1), as_log.verifying_key()),
            2,
            "not 0x01",
        ),
        (
            format!("{}witness w1 {}\n", w(1), vkey(2)),
            2,
            "w1 is defined already",
        ),
        (
            format!("witness none {}\n", vkey(1)),
            1,
            "none means no witness",
        ),
        (
            format!("{}group none any w1\n", w(1)),
            2,
            "none means no witness",
        ),
        (
            format!("{}group w1 any w1\n", w(1)),
            2,
            "w1 is defined already",
        ),
        ("group g\n".into(), 1, "`group NAME"),
        ("group g any\n".into(), 1, "1 of 0 members"),
        ("group g all\n".into(), 1, "0 of 0 members"),
        (format!("{}group g 0 w1\n", w(1)), 2, "0 of 1 members"),
        (format!("{}group g 2 w1\n", w(1)), 2, "2 of 1 members"),
        (
            format!("{}group g -1 w1\n", w(1)),
            2,
            "-1 is not all, any or a number",
        ),
        (format!("{}group g 01 w1\n", w(1)), 2, "01 is not all"),
        (
            format!("{}group g 18446744073709551616 w1\n", w(1)),
            2,
            "is not all",
        ),
        (format!("{}group g some w1\n", w(1)), 2, "some is not all"),
        (
            format!("{}group g all w1 w1\n", w(1)),
            2,
            "w1 is a member already",
        ),
        (
            format!("{}group g all w1\ngroup h all w1\n", w(1)),
            3,
            "w1 is a member already",
        ),
        (
            format!("{}group g all w1 none\n", w(1)),
            2,
            "none is not a witness",
        ),
        (format!("{}group g all g\n", w(1)), 2, "g is not a witness"),
        (
            format!("{}group g all h\ngroup h all w1\n", w(1)),
            2,
            "h is not a witness",
        ),
    ];
    for (text, line, why) in cases {
        match Policy::parse(text.as_bytes()) {
            Err(Error::Policy {
                line: found,
                why: reason,
            }) => {
                assert!(
                    found == line && reason.contains(why),
                    "{text:?}: line {found}, {reason}"
                );
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }
    // An error quotes no more than a screen holds, and nothing that a terminal would obey.
    let long = format!("{}\u{9b}31m\n", "x".repeat(10_000));
    let error = Policy::parse(long.as_bytes()).unwrap_err().to_string();
    assert!(error.len() < 200, "{} bytes", error.len());
    let error = Policy::parse("a\u{9b}31m\n".as_bytes())
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\u{9b}'), "{error:?}");
}

#[test]
fn bounds() {
    let many = |count: usize| {
        let mut text = String::new();
        for n in 0..count {
            let key = Cosigner::ed25519("w", &[n as u8; 32]).unwrap();
            writeln!(text, "witness w{n} {}", key.verifying_key()).unwrap();
        }
        text + "quorum none\n"
    };
    assert!(Policy::parse(many(MAX_DEFINITIONS).as_bytes()).is_ok());
    let error = Policy::parse(many(MAX_DEFINITIONS + 1).as_bytes()).unwrap_err();
    assert!(
        error.to_string().contains("more than 64 witnesses"),
        "{error}"
    );

    // Groups within groups, as deep as there may be groups.
    let nested = |depth: usize| {
        let mut rest = "group g0 all w1\n".to_owned();
        for n in 1..depth {
            writeln!(rest, "group g{n} all g{}", n - 1).unwrap();
        }
        policy_text(&format!("{rest}quorum g{}\n", depth - 1))
    };
    let deep = Policy::parse(nested(MAX_DEFINITIONS).as_bytes()).unwrap();
    assert!(accepts(&deep, &[1]) && !accepts(&deep, &[2]));
    assert!(Policy::parse(nested(MAX_DEFINITIONS + 1).as_bytes()).is_err());

    let long = format!("#{}\nquorum none\n", "x".repeat(MAX_POLICY_BYTES));
    assert!(matches!(
        Policy::parse(long.as_bytes()),
        Err(Error::OverLimit { .. })
    ));
}

#[test]
fn a_checkpoint_must_be_of_a_log_of_the_policy() {
    let policy = policy("quorum none\n");
    let note = cosigned(5, &[], 7);
    assert_eq!(
        policy.accept(&note, None).unwrap().checkpoint.origin(),
        ORIGIN
    );
    let sign = |origin: &str, key: &SigningKey| {
        let checkpoint = Checkpoint::new(origin, 5, tlog::leaf_hash(b"a")).unwrap();
        (checkpoint.sign(key).unwrap(), checkpoint)
    };
    // Signed by the known key, but of another origin; signed by another key of that name.
    let (elsewhere, _) = sign("example.com/other", &log());
    assert_eq!(
        policy.accept(&elsewhere, None),
        Err(Error::UnknownLog("example.com/other".into()))
    );
    let (forged, checkpoint) = sign(ORIGIN, &SigningKey::from_seed(ORIGIN, &[9; 32]).unwrap());
    assert_eq!(policy.accept(&forged, None), Err(Error::Unsigned));
    // A witness's word does not stand in for the log's.
    let witnessed = forged
        .with_signature(witness(1).cosign(&checkpoint, at(7)).unwrap())
        .unwrap();
    assert_eq!(policy.accept(&witnessed, None), Err(Error::Unsigned));
    // A witness whose signature does not fit fells the note, whoever else signed.
    let wrong = witness(1).cosign(&checkpoint, at(7)).unwrap();
    let wrong = cosigned(5, &[&witness(2)], 7)
        .with_signature(wrong)
        .unwrap();
    assert!(matches!(
        policy.accept(&wrong, None),
        Err(Error::BadSignature(_))
    ));
    // Unknown signatures are reported.
    let stranger = cosigned(5, &[&witness(9)], 7);
    let findings = policy.accept(&stranger, None).unwrap();
    assert_eq!((findings.unknown.len(), findings.cosigned.len()), (1, 0));
    let text = Note::sign("hello\n".into(), &[&log()]).unwrap();
    assert!(matches!(
        policy.accept(&text, None),
        Err(Error::Malformed { .. })
    ));
}

#[test]
fn a_log_may_be_known_from_elsewhere() {
    let text = policy_text("quorum w1\n");
    let without = text.split_once('\n').unwrap().1;
    let policy = Policy::parse(without.as_bytes()).unwrap();
    let note = cosigned(5, &[&witness(1)], 7);
    assert!(matches!(
        policy.accept(&note, None),
        Err(Error::UnknownLog(_))
    ));
    let key = log().verifying_key().clone();
    let policy = policy.with_log(key.clone()).with_log(key.clone());
    assert_eq!(
        (policy.logs().len(), policy.asks_for_witnesses()),
        (1, true)
    );
    assert!(policy.accept(&note, None).is_ok());
    assert!(
        Policy::of_log(key)
            .accept(&cosigned(5, &[], 7), None)
            .is_ok()
    );
}

#[test]
fn a_time_that_has_not_come_does_not_count() {
    let policy = policy("group g all w1 w2\nquorum g\n");
    let checkpoint = crate::actors::checkpoint(&crate::actors::leaves(5, None));
    let note = cosigned(5, &[&witness(1)], 1_000)
        .with_signature(witness(2).cosign(&checkpoint, at(3_000)).unwrap())
        .unwrap();
    assert!(policy.accept(&note, None).is_ok());
    assert!(policy.accept(&note, Some(at(3_000))).is_ok());
    let early = policy.weigh(&note, Some(at(2_999))).unwrap();
    assert!(!early.meets_quorum());
    assert_eq!((early.cosigned.len(), early.ahead.len()), (1, 1));
    assert_eq!(early.ahead[0].name, b"w2");
    let refused = policy.accept(&note, Some(at(2_999))).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "quorum g is not met, cosigned by 1 of 6 witnesses"
    );
    // A second, earlier cosignature of the same witness counts, with its own time.
    let note = note
        .with_signature(witness(2).cosign(&checkpoint, at(2_000)).unwrap())
        .unwrap();
    let findings = policy.accept(&note, Some(at(2_999))).unwrap();
    let times: Vec<_> = findings
        .cosigned
        .iter()
        .map(|(_, time)| time.unwrap().seconds())
        .collect();
    assert_eq!((times, findings.ahead.len()), (vec![1_000, 2_000], 0));
    let findings = policy.accept(&note, None).unwrap();
    assert_eq!(findings.cosigned[1].1, Some(at(3_000)));
}

/// Groups as they are drawn, and whether they hold, by the definition in the specification.
#[derive(Debug, Clone)]
enum Tree {
    Witness(u8),
    Group(usize, Vec<Tree>),
}

impl Tree {
    fn holds(&self, cosigned: &[u8]) -> bool {
        match self {
            Self::Witness(n) => cosigned.contains(n),
            Self::Group(k, members) => members.iter().filter(|m| m.holds(cosigned)).count() >= *k,
        }
    }

    /// Writes the groups below, and returns the name of this.
    fn write(&self, text: &mut String, groups: &mut usize) -> String {
        let Self::Group(k, members) = self else {
            let Self::Witness(n) = self else {
                unreachable!()
            };
            return format!("w{n}");
        };
        let names: Vec<String> = members
            .iter()
            .map(|member| member.write(text, groups))
            .collect();
        *groups += 1;
        writeln!(text, "group g{groups} {k} {}", names.join(" ")).unwrap();
        format!("g{groups}")
    }
}

/// A tree over witnesses 1 to 6, each once: `cuts` says where each level splits.
fn tree(witnesses: &[u8], cuts: &[u8], thresholds: &[u8]) -> Tree {
    let (Some(cut), true) = (cuts.first(), witnesses.len() > 1) else {
        let members: Vec<Tree> = witnesses.iter().map(|n| Tree::Witness(*n)).collect();
        let k = 1 + usize::from(thresholds[0]) % members.len();
        return if members.len() == 1 {
            members[0].clone()
        } else {
            Tree::Group(k, members)
        };
    };
    let at = 1 + usize::from(*cut) % (witnesses.len() - 1);
    let (left, right) = witnesses.split_at(at);
    let members = vec![
        tree(left, &cuts[1..], &thresholds[1..]),
        tree(right, &cuts[1..], &thresholds[1..]),
    ];
    Tree::Group(1 + usize::from(thresholds[0]) % 2, members)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn nested_groups_mean_what_they_say(
        cuts in prop::collection::vec(any::<u8>(), 0..4), thresholds in prop::collection::vec(any::<u8>(), 5),
        cosigned in prop::sample::subsequence(vec![1_u8, 2, 3, 4, 5, 6], 0..=6),
    ) {
        let tree = tree(&[1, 2, 3, 4, 5, 6], &cuts, &thresholds);
        let mut text = String::new();
        let top = tree.write(&mut text, &mut 0);
        let policy = policy(&format!("{text}quorum {top}\n"));
        prop_assert_eq!(accepts(&policy, &cosigned), tree.holds(&cosigned), "{} with {:?}", text, cosigned);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "((log|witness|group|quorum|#|all|any|none|[0-9]|[a-c]|\\PC{0,4})[ \t\n]{1,2}){0,20}") {
        if let Err(error) = Policy::parse(text.as_bytes()) {
            prop_assert!(matches!(error, Error::Policy { .. }), "{error}");
        }
    }
}
