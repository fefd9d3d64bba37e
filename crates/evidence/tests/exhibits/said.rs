//! What the script says of an honest exhibit, and of what an auditor asks for.

use crate::*;
use evidence::Error;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use testkit::authority::{Authority, EC};

/// A user of no rights at all.
const NOBODY: u32 = 65534;

#[test]
fn the_script_is_short_and_shellcheck_has_nothing_to_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/exhibit/verify.sh");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() <= 60 && text.lines().all(|line| line.len() <= 210));
    match Command::new("shellcheck").arg(&path).output() {
        Ok(done) => assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stdout)
        ),
        Err(error) => eprintln!("skipped: shellcheck: {error}"),
    }
}

#[test]
fn the_script_verifies_any_event_and_says_what_it_could_not_check() {
    let anchored = Anchored::new();
    let auditor = Auditor::of(&anchored);
    let store = Store::open(anchored.path()).unwrap();
    let last = store.len() - 1;
    for seq in [0, 1, 2, 90, 91, 127, 128, 255, 256, 270, last] {
        let dir = tempfile::tempdir().unwrap();
        write(&store, seq, dir.path());
        let line = std::fs::read(dir.path().join("event.json")).unwrap();
        assert_eq!(line, store.event(seq).unwrap());
        let (code, said) = auditor.checks(dir.path());
        let stamped = seq < *anchored.sizes.last().unwrap();
        assert_eq!(code, if stamped { 0 } else { 12 }, "event {seq}: {said}");
        // The auditor's own copy says the same, whatever script came with the exhibit.
        let own = Command::new("bash")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/src/exhibit/verify.sh"
            ))
            .args(["--vkey", &auditor.vkey])
            .arg(dir.path())
            .output()
            .unwrap();
        assert_eq!(own.status.code(), Some(12));
        let said_by_own = String::from_utf8_lossy(&own.stdout).into_owned();
        assert!(
            said.starts_with(said_by_own.lines().next().unwrap()),
            "{said_by_own}"
        );
        let told: Vec<String> = said
            .lines()
            .map(|line| line.split([':', '(']).next().unwrap().to_owned())
            .collect();
        let mut expected = vec!["VALID         content", "VALID         signature"];
        if stamped {
            expected.extend([
                "VALID         witness",
                "UNVERIFIABLE  witness",
                "VALID         witnesses",
                "VALID         time",
            ]);
        } else {
            expected.extend([
                "UNVERIFIABLE  witness",
                "UNVERIFIABLE  witness",
                "UNVERIFIABLE  witnesses",
                "UNVERIFIABLE  epoch",
                "UNVERIFIABLE  time",
            ]);
        }
        assert_eq!(told, expected, "{said}");
        let accuracy = "accuracy 1 seconds, 500 millis, 100 micros";
        assert_eq!(said.contains(accuracy), stamped, "{said}");
        // The key alone may be one that another had taken over from, in the hands of a thief.
        let (code, said) = script(dir.path(), &["--vkey", &auditor.vkey]);
        assert_eq!(code, 12, "{said}");
        // Without anything from elsewhere it holds together, and says what that is worth.
        let (code, said) = script(dir.path(), &[]);
        assert_eq!(code, 12, "{said}");
        for words in [
            "compare vkey",
            "--witnesses POLICY",
            "whether the key was in force",
            "--roots FILE",
        ] {
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
fn a_head_of_a_later_epoch_is_verified_under_the_first_key() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path(), async |recorder, draft| {
        for _ in 0..3 {
            recorder.append(&draft).await.unwrap();
            recorder.rotate().await.unwrap();
        }
        recorder.append(&draft).await.unwrap();
    });
    let store = Store::open(dir.path()).unwrap();
    let vkey = store.verifier_key();
    let pinned = ["--vkey", vkey.as_str()];
    let exhibit = tempfile::tempdir().unwrap();
    write(&store, 1, exhibit.path());
    let (code, said) = script(exhibit.path(), &pinned);
    assert_eq!(code, 12, "{said}");
    assert!(said.contains("VALID         signature"), "{said}");
    let notes: Vec<_> = std::fs::read_dir(exhibit.path().join("epochs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(notes.len(), 3);
    // Any of them missing breaks the chain from the key that the auditor holds.
    for note in notes {
        let bytes = std::fs::read(&note).unwrap();
        std::fs::remove_file(&note).unwrap();
        mend(exhibit.path());
        let (code, said) = script(exhibit.path(), &pinned);
        assert_eq!(code, 10, "{said}");
        std::fs::write(&note, bytes).unwrap();
    }
    mend(exhibit.path());
    assert_eq!(script(exhibit.path(), &pinned).0, 12);
    // Whoever holds a later key of the log, or of another one, is told whether it leads to this head.
    let newest = std::fs::read_to_string(exhibit.path().join("epochs/00000004.note")).unwrap();
    let newest = newest.lines().find_map(|line| line.strip_prefix("key "));
    let stranger = tlog::note::SigningKey::from_seed("elsewhere", &[7; 32]).unwrap();
    let stranger = stranger.verifying_key().to_string();
    for (key, leads) in [(newest.unwrap(), true), (stranger.as_str(), false)] {
        let (code, said) = script(exhibit.path(), &["--vkey", key]);
        assert_eq!(code, 12, "{said}");
        assert_eq!(said.contains("VALID         signature"), leads, "{said}");
        assert_eq!(
            said.contains("none of the keys that lead"),
            !leads,
            "{said}"
        );
    }
    // The newest key over a head from before it began.
    let text = std::fs::read_to_string(dir.path().join("keys/log.key")).unwrap();
    let seed = hex::decode(text.split(' ').nth(1).unwrap()).unwrap();
    let thief = tlog::note::SigningKey::from_seed(store.origin(), &seed.try_into().unwrap());
    let root = store.root(2).unwrap();
    let old = tlog::Checkpoint::new(store.origin(), 2, root).unwrap();
    let note = old.sign(&thief.unwrap()).unwrap();
    let path = store.inclusion(1, 2).unwrap();
    let receipt = tlog::receipt::Receipt::new(1, path, note.clone()).unwrap();
    let put = |name: &str, text: String| std::fs::write(exhibit.path().join(name), text).unwrap();
    put("checkpoint", note.to_string());
    put("event.tlog-proof", receipt.to_string());
    mend(exhibit.path());
    let (code, said) = script(exhibit.path(), &pinned);
    assert_eq!(code, 10, "{said}");
    assert!(said.contains("may not sign this head"), "{said}");
}

#[test]
fn who_was_asked_for_and_does_not_vouch_leaves_it_unverifiable() {
    let anchored = Anchored::new();
    let auditor = Auditor::of(&anchored);
    let store = Store::open(anchored.path()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write(&store, 100, dir.path());
    let [one, two] = &anchored.witnesses;
    let stranger = tlog::cosignature::Cosigner::ed25519("witness.example/three", &[3; 32]).unwrap();
    let named = format!(
        "# witness none of these\nlog {}\nwitness one {} https://one.example\n\nwitness two {}\nwitness three {}\n",
        auditor.vkey,
        one.verifying_key(),
        two.verifying_key(),
        stranger.verifying_key()
    );
    let policy = auditor.dir.path().join("asked");
    for (rest, expected) in [
        ("quorum one\n", 0),
        ("group g any one three\nquorum g\n", 0),
        ("group g 1 two\tone\nquorum\tg\n", 0),
        ("group g any one\ngroup h all g three\nquorum g\n", 0),
        ("quorum none\n", 12),
        ("quorum three\n", 12),
        ("quorum two\n", 12),
        ("group g all one three\nquorum g\n", 12),
        ("group g 2 one two three\nquorum g\n", 12),
        ("group g any one\ngroup h all g three\nquorum h\n", 12),
        ("group g 0 three\nquorum g\n", 2),
        ("group g x[$(touch${IFS}ran)] three\nquorum g\n", 2),
        ("quorum four\n", 2),
        ("", 2),
    ] {
        std::fs::write(&policy, format!("{named}{rest}")).unwrap();
        let (code, said) = script(dir.path(), &["--witnesses", policy.to_str().unwrap()]);
        assert_eq!(code, expected, "{rest}: {said}");
        let met = said.contains("VALID         witnesses");
        assert_eq!(met, expected == 0, "{said}");
    }
    assert!(!dir.path().join("ran").exists());
    // The witnesses of one log vouch for many.
    let other = tlog::note::SigningKey::from_seed("example.com/other", &[9; 32]).unwrap();
    let other = named.replace(&auditor.vkey, &other.verifying_key().to_string());
    std::fs::write(&policy, format!("{other}quorum one\n")).unwrap();
    let (code, said) = script(dir.path(), &["--witnesses", policy.to_str().unwrap()]);
    assert_eq!(code, 12, "{said}");
    assert!(
        said.contains("the policy names no key of this log"),
        "{said}"
    );
}

#[test]
fn an_authority_that_the_auditor_did_not_name_speaks_neither_for_nor_against() {
    let anchored = Anchored::new();
    let store = Store::open(anchored.path()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write(&store, 100, dir.path());
    let root = |authority: &Authority, name: &str| {
        let path = dir.path().join(format!("{name}.pem"));
        std::fs::write(&path, authority.pem(ROOT).unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let other = Authority::new().unwrap();
    let (ours, theirs) = (root(&anchored.authority, "ours"), root(&other, "theirs"));
    let (code, said) = script(dir.path(), &["--roots", &theirs]);
    assert_eq!(code, 12, "{said}");
    assert!(said.contains("under none of the roots"), "{said}");
    // A second authority vouches for the same head: either is enough for who trusts it.
    let checkpoint = std::fs::read(dir.path().join("checkpoint")).unwrap();
    let stamp = anchored::stamp(&other, EC, &checkpoint);
    std::fs::write(dir.path().join("another.tsr"), stamp).unwrap();
    for roots in [&ours, &theirs] {
        let (code, said) = script(dir.path(), &["--roots", roots]);
        assert_eq!(code, 0, "{said}");
        assert!(
            said.contains("VALID         time") && said.contains("under none"),
            "{said}"
        );
    }
    // A false one is false whoever else vouches.
    let stamp = anchored::stamp(&other, EC, b"another head");
    std::fs::write(dir.path().join("another.tsr"), stamp).unwrap();
    let (code, said) = script(dir.path(), &["--roots", &ours]);
    assert_eq!(code, 10, "{said}");
}

#[test]
fn a_mistake_in_what_is_asked_is_said_and_is_no_verdict() {
    let anchored = Anchored::new();
    let auditor = Auditor::of(&anchored);
    let store = Store::open(anchored.path()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let exhibit = dir.path().join("exhibit");
    write(&store, 100, &exhibit);
    let at = |name: &str| {
        let path = auditor.dir.path().join(name);
        path.to_str().unwrap().to_owned()
    };
    std::fs::write(at("empty"), "").unwrap();
    let pipe = at("pipe");
    mknodat(CWD, &*pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (policy, roots, empty, gone) = (at("policy"), at("root.pem"), at("empty"), at("gone"));
    let place = exhibit.to_str().unwrap();
    let mut other = auditor.vkey.clone();
    other.replace_range(other.len() - 6..other.len() - 4, "xx");
    let witness = anchored.witnesses[0].verifying_key().to_string();
    let no_key = "that is not a verifier key";
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (vec!["--vkey", "garbage", place], no_key),
        (vec!["--vkey", "", place], no_key),
        (vec!["--vkey", &other, place], no_key),
        (vec!["--vkey", &witness, place], no_key),
        (vec!["--roots", &gone, place], "not a file of certificates"),
        (
            vec!["--roots", &policy, place],
            "not a file of certificates",
        ),
        (vec!["--roots", &pipe, place], "not a file of certificates"),
        (
            vec!["--witnesses", &gone, place],
            "not a file with a policy",
        ),
        (
            vec!["--witnesses", &roots, place],
            "not a file with a policy",
        ),
        (
            vec!["--witnesses", &empty, place],
            "not a file with a policy",
        ),
        (
            vec!["--witnesses", &pipe, place],
            "not a file with a policy",
        ),
        (vec!["--key", &auditor.vkey, place], "--key: no such option"),
        (vec!["--help"], "--help: no such option"),
        (vec!["--vkey"], "nothing behind it"),
        (
            vec![place, "--vkey", &auditor.vkey],
            "one directory, behind the options",
        ),
        (vec![place, place], "one directory"),
        (vec![&gone], "not a directory"),
        (vec![&policy], "not a directory"),
        (
            vec![auditor.dir.path().to_str().unwrap()],
            "there is no exhibit in",
        ),
    ];
    for (arguments, words) in cases {
        let (code, said) = script(&exhibit, &arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(said.contains("usage: verify.sh"), "{arguments:?}: {said}");
        assert!(!said.contains("VALID"), "{arguments:?}: {said}");
    }
}

#[test]
fn what_may_not_be_read_is_neither_good_nor_bad() {
    let anchored = Anchored::new();
    let dir = tempfile::tempdir().unwrap();
    write(&Store::open(anchored.path()).unwrap(), 3, dir.path());
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    mode(dir.path(), 0o755);
    for name in ["event.json", "checkpoint", "SHA256SUMS"] {
        mode(&dir.path().join(name), 0o000);
        let mut command = Command::new("bash");
        command.arg(dir.path().join("verify.sh"));
        if rustix::process::geteuid().is_root() {
            // Whom permissions do not keep out.
            command.uid(NOBODY).gid(NOBODY);
        }
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert_eq!(done.status.code(), Some(12), "{name}: {said}");
        assert_eq!(said, format!("UNVERIFIABLE  {name} may not be read\n"));
        mode(&dir.path().join(name), 0o644);
    }
}

#[test]
fn a_revoked_key_is_left_to_those_who_have_the_log() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path(), async |recorder, draft| {
        recorder.append(&draft).await.unwrap();
        recorder.publish().await.unwrap();
        recorder
            .revoke(1, Some(1), "it was shown around")
            .await
            .unwrap();
        recorder.append(&draft).await.unwrap();
    });
    let store = Store::open(dir.path()).unwrap();
    let vkey = store.verifier_key();
    // Where outsiders vouched for more than one head, one whose key counts is taken.
    let sizes = store.published_sizes().unwrap();
    let stamp = |size: &u64| dir.path().join(format!("anchors/{size:020}/acme.tsr"));
    for size in &sizes {
        std::fs::write(stamp(size), "vouched for").unwrap();
    }
    let taken = Exhibit::of(&store, 0).unwrap();
    assert!(!taken.files().iter().any(|(name, _)| name == "revoked.note"));
    for size in &sizes {
        std::fs::remove_file(stamp(size)).unwrap();
    }
    // Under the head that the revoked key signed, and under one of the key that took over.
    for (newest, revoked) in [(false, true), (true, false)] {
        let seq = if newest { store.len() - 1 } else { 0 };
        if !newest {
            let sizes = store.published_sizes().unwrap();
            for size in sizes.iter().skip(1) {
                std::fs::remove_dir_all(dir.path().join(format!("anchors/{size:020}"))).unwrap();
            }
        }
        let exhibit = tempfile::tempdir().unwrap();
        write(&store, seq, exhibit.path());
        assert_eq!(exhibit.path().join("revoked.note").exists(), revoked);
        let (code, said) = script(exhibit.path(), &["--vkey", &vkey]);
        assert_eq!(code, 12, "{said}");
        assert_eq!(
            said.contains("revoked.note revokes the key"),
            revoked,
            "{said}"
        );
    }
}

#[test]
fn a_receipt_verifies_under_the_policy_and_what_no_head_covers_has_none() {
    let anchored = Anchored::new();
    let store = Store::open(anchored.path()).unwrap();
    let policy = anchored.policy();
    for seq in [0, 100, 250] {
        let exhibit = Exhibit::of(&store, seq).unwrap();
        let text = exhibit.receipt().to_string();
        let receipt = tlog::receipt::Receipt::parse(text.as_bytes()).unwrap();
        let leaf = tlog::leaf_hash(&store.event(seq).unwrap());
        receipt.verify(&leaf, &policy, None).unwrap();
        // The closest head that outsiders vouch for, not the newest.
        let closest = anchored.sizes.iter().find(|size| **size > seq).unwrap();
        assert_eq!(exhibit.size(), *closest);
    }
    let beyond = Exhibit::of(&store, store.len()).unwrap_err();
    assert!(matches!(beyond, Error::Missing(_)), "{beyond}");
    // An event that is not the one that was signed gets no receipt.
    std::fs::remove_dir_all(anchored.path().join("anchors")).unwrap();
    std::fs::remove_file(anchored.path().join("log/checkpoint")).unwrap();
    let uncovered = Exhibit::of(&store, 5).unwrap_err();
    assert!(matches!(uncovered, Error::Missing(_)), "{uncovered}");
}

#[test]
fn without_its_tools_the_script_accuses_nobody() {
    let log = alone();
    let dir = tempfile::tempdir().unwrap();
    write(&Store::open(log.path()).unwrap(), 1, dir.path());
    let bin = dir.path().join("bin");
    for missing in ["openssl", "xxd", "cmp", "date"] {
        std::fs::create_dir(&bin).unwrap();
        for tool in ["realpath", "tr", "dirname", "openssl", "xxd", "cmp", "date"] {
            let found = Command::new("bash")
                .args(["-c", &format!("command -v {tool}")])
                .output()
                .unwrap();
            let found = String::from_utf8(found.stdout).unwrap();
            if tool != missing {
                std::os::unix::fs::symlink(found.trim_end(), bin.join(tool)).unwrap();
            }
        }
        let done = Command::new("/bin/bash")
            .arg(dir.path().join("verify.sh"))
            .env("PATH", &bin)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert_eq!(said, format!("UNVERIFIABLE  there is no {missing} here\n"));
        assert_eq!(done.status.code(), Some(12));
        std::fs::remove_dir_all(&bin).unwrap();
    }
}
