//! What a forger did to an exhibit.

use crate::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

#[test]
fn a_change_of_any_file_is_refused() {
    let anchored = Anchored::new();
    let auditor = Auditor::of(&anchored);
    std::fs::create_dir_all(anchored.path().join("anchors/roots")).unwrap();
    let pem = anchored.authority.pem(ROOT).unwrap();
    std::fs::write(anchored.path().join("anchors/roots/tsa.pem"), pem).unwrap();
    let store = Store::open(anchored.path()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let exhibit = Exhibit::of(&store, 100).unwrap();
    exhibit.write(dir.path()).unwrap();
    assert_eq!(auditor.checks(dir.path()).0, 0);
    let mut tried = 0;
    for (name, bytes) in exhibit.files() {
        if name == "verify.sh" {
            continue;
        }
        let path = dir.path().join(&name);
        let places = [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 2];
        for at in places {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(&path, changed).unwrap();
            let (code, said) = auditor.checks(dir.path());
            assert_eq!(code, 10, "{name} at {at}: {said}");
            tried += 1;
        }
        std::fs::remove_file(&path).unwrap();
        let (code, said) = auditor.checks(dir.path());
        assert_eq!(code, 10, "{name} removed: {said}");
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(tried >= 28, "{tried}");
    assert_eq!(auditor.checks(dir.path()).0, 0);
}

#[test]
fn nothing_that_stands_in_an_exhibit_is_run_or_reaches_a_terminal() {
    let anchored = Anchored::new();
    let store = Store::open(anchored.path()).unwrap();
    let ran = tempfile::tempdir().unwrap();
    // Whoever wrote the log signs what they like: here, the size at which a key took over.
    let forged = |dir: &Path, size: &str, from: &str, to: &str| {
        let key = |seed| tlog::note::SigningKey::from_seed(store.origin(), &[seed; 32]).unwrap();
        let (old, new) = (key(1), key(2));
        let name = store.origin();
        let text = format!(
            "tachograph/key-epoch/v1\n{name}\nepoch 2\nsize {size}\nkey {}\n",
            new.verifying_key()
        );
        let text = text.replacen(from, to, 1);
        let mut note = format!("{text}\n");
        for by in [&old, &new] {
            note.push_str(&format!("{}\n", by.sign(&text).unwrap()));
        }
        std::fs::create_dir_all(dir.join("epochs")).unwrap();
        std::fs::write(dir.join("epochs/00000002.note"), note).unwrap();
        std::fs::write(dir.join("vkey"), format!("{}\n", old.verifying_key())).unwrap();
    };
    let command = format!("touch${{IFS}}{}/ran", ran.path().display());
    for size in [
        format!("size[$({command})0]"),
        format!("a[$({command})]"),
        format!("0 + size[$({command})0]"),
        format!("$({command})"),
        String::new(),
        "08".into(),
        "-1".into(),
        "18446744073709551617".into(),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(&store, 100, dir.path());
        forged(dir.path(), &size, "", "");
        mend(dir.path());
        let (code, said) = script(dir.path(), &[]);
        assert_eq!(code, 10, "{size}: {said}");
        assert!(said.contains("may not sign this head"), "{size}: {said}");
        assert!(!ran.path().join("ran").exists(), "{size}: {said}");
    }
    // A note of another kind by the same keys, or about another log, hands over nothing.
    for (from, to) in [
        ("key-epoch/v1", "key-epoch/v2"),
        ("/v1\n", "/v1\nx"),
        ("/v1\n", "/v1\n\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(&store, 100, dir.path());
        forged(dir.path(), "7", from, to);
        mend(dir.path());
        let (code, said) = script(dir.path(), &[]);
        assert_eq!(code, 10, "{said}");
        assert!(said.contains("hands over no key of this log"), "{said}");
    }
    // Nor does the name of a file, or a line of the receipt.
    let dir = tempfile::tempdir().unwrap();
    write(&store, 100, dir.path());
    let auditor = Auditor::of(&anchored);
    std::fs::write(dir.path().join("\u{1b}[2Ja.tsr"), b"no token").unwrap();
    let (code, said) = auditor.checks(dir.path());
    assert_eq!(code, 10, "{said}");
    assert!(
        !said.contains('\u{1b}') && said.contains("[2Ja.tsr"),
        "{said}"
    );
    let dir = tempfile::tempdir().unwrap();
    write(&store, 100, dir.path());
    let path = dir.path().join("event.tlog-proof");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("index 100", "index \u{1b}[2J[$(touch ran)]"),
    )
    .unwrap();
    mend(dir.path());
    let (code, said) = auditor.checks(dir.path());
    assert_eq!(code, 10, "{said}");
    assert!(!said.contains('\u{1b}') && said.contains("[2J"), "{said}");
    assert!(!dir.path().join("ran").exists());
}

#[test]
fn what_is_no_file_or_was_changed_is_named_and_waited_for_by_nobody() {
    let anchored = Anchored::new();
    let auditor = Auditor::of(&anchored);
    let store = Store::open(anchored.path()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let exhibit = Exhibit::of(&store, 100).unwrap();
    exhibit.write(dir.path()).unwrap();
    for (name, bytes) in exhibit.files() {
        let path = dir.path().join(&name);
        if name != "verify.sh" && name != "SHA256SUMS" {
            std::fs::write(&path, [&bytes[..], b"\n"].concat()).unwrap();
            let (code, said) = auditor.checks(dir.path());
            let words = format!("INVALID       {name} is not as it was written\n");
            assert_eq!((code, said), (10, words), "{name}");
        }
        if name != "verify.sh" {
            for mended in [false, true] {
                let kinds: [(&str, &dyn Fn()); 4] = [
                    ("pipe", &|| {
                        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
                    }),
                    ("device", &|| {
                        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
                    }),
                    ("loop", &|| {
                        std::os::unix::fs::symlink(&path, &path).unwrap()
                    }),
                    ("endless", &|| {
                        std::fs::File::create(&path)
                            .unwrap()
                            .set_len(1 << 40)
                            .unwrap();
                    }),
                ];
                for (kind, make) in kinds {
                    std::fs::remove_file(&path).unwrap();
                    make();
                    let sums = dir.path().join("SHA256SUMS");
                    let whole =
                        (mended && sums != path).then(|| std::fs::read_to_string(&sums).unwrap());
                    if let Some(whole) = &whole {
                        let kept = whole
                            .lines()
                            .filter(|line| !line.ends_with(&format!("  {name}")));
                        let kept: String = kept.map(|line| format!("{line}\n")).collect();
                        std::fs::write(&sums, kept).unwrap();
                    }
                    let (code, said) = auditor.checks(dir.path());
                    std::fs::remove_file(&path).unwrap();
                    std::fs::write(&path, &bytes).unwrap();
                    if let Some(whole) = whole {
                        std::fs::write(&sums, whole).unwrap();
                    }
                    // A hint that nobody looks at is no part of it once the digests leave it out.
                    let is_hint = name == "witnesses" || name.starts_with("roots");
                    let expected = if is_hint && mended { 0 } else { 10 };
                    assert_eq!(code, expected, "{kind} as {name}, {mended}: {said}");
                    let named = said.contains(&format!("{name} is missing, or is no file"));
                    assert!(named || expected == 0, "{kind} as {name}, {mended}: {said}");
                }
            }
        }
    }
    // Nor is anything read that the digests name elsewhere.
    let sums = dir.path().join("SHA256SUMS");
    for name in ["/dev/zero", "../event.json", ""] {
        std::fs::write(&sums, format!("{}  {name}\n", "0".repeat(64))).unwrap();
        let (code, said) = auditor.checks(dir.path());
        assert_eq!(code, 10, "{name}: {said}");
    }
}

#[test]
fn a_forger_who_mends_the_digests_is_refused_all_the_same() {
    let anchored = Anchored::new();
    let auditor = Auditor::of(&anchored);
    let store = Store::open(anchored.path()).unwrap();
    let replace = |path: &Path, from: &str, to: &str| {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    let size = Exhibit::of(&store, 100).unwrap().size();
    type Forge<'a> = Box<dyn Fn(&Path) + 'a>;
    let other = tempfile::tempdir().unwrap();
    write(&store, 3, other.path());
    let taken = |name: &'static str| -> Forge<'_> {
        let from = other.path().join(name);
        Box::new(move |dir| assert!(std::fs::copy(&from, dir.join(name)).unwrap() > 0))
    };
    let cases: Vec<(&str, Forge<'_>)> = vec![
        ("another event", taken("event.json")),
        ("another receipt", taken("event.tlog-proof")),
        (
            "the event edited",
            Box::new(|dir| replace(&dir.join("event.json"), "environment", "enviroNment")),
        ),
        (
            "another place",
            Box::new(|dir| replace(&dir.join("event.tlog-proof"), "index 100\n", "index 101\n")),
        ),
        (
            "a shorter path",
            Box::new(|dir| {
                let path = dir.join("event.tlog-proof");
                let text = std::fs::read_to_string(&path).unwrap();
                let kept: Vec<&str> = text
                    .lines()
                    .enumerate()
                    .filter(|(at, _)| *at != 4)
                    .map(|l| l.1)
                    .collect();
                std::fs::write(&path, format!("{}\n", kept.join("\n"))).unwrap();
            }),
        ),
        (
            "another size in every file",
            Box::new(|dir| {
                for name in ["checkpoint", "cosigned", "event.tlog-proof"] {
                    let (said, other) = (format!("\n{size}\n"), format!("\n{}\n", size + 1));
                    replace(&dir.join(name), &said, &other);
                }
            }),
        ),
        (
            "a time-stamp of another head",
            Box::new(|dir| {
                let stamp = anchored.head(anchored.sizes[0]).join("tsa-rsa.tsr");
                std::fs::copy(stamp, dir.join("tsa-ec.tsr")).unwrap();
            }),
        ),
        (
            "a cosignature under a later time",
            Box::new(|dir| {
                let text = std::fs::read_to_string(dir.join("cosigned")).unwrap();
                let line = text
                    .lines()
                    .find(|line| line.contains("witness.example/one"))
                    .unwrap();
                // The time's last bytes are the 15th and 16th of the base64.
                let blob = line.rsplit(' ').next().unwrap();
                let mut forged = blob.as_bytes().to_vec();
                forged[13] = if forged[13] == b'A' { b'B' } else { b'A' };
                let forged = String::from_utf8(forged).unwrap();
                for name in ["cosigned", "event.tlog-proof"] {
                    replace(&dir.join(name), blob, &forged);
                }
            }),
        ),
    ];
    for (name, forge) in cases {
        let dir = tempfile::tempdir().unwrap();
        write(&store, 100, dir.path());
        forge(dir.path());
        mend(dir.path());
        let (code, said) = auditor.checks(dir.path());
        assert_eq!(code, 10, "{name}: {said}");
        assert!(said.contains("INVALID"), "{name}: {said}");
    }
    // Without the time-stamp there is nothing false, and nothing that vouches for the time that was asked for.
    let dir = tempfile::tempdir().unwrap();
    write(&store, 100, dir.path());
    std::fs::remove_file(dir.path().join("tsa-ec.tsr")).unwrap();
    let sums = std::fs::read_to_string(dir.path().join("SHA256SUMS")).unwrap();
    let kept: Vec<&str> = sums.lines().filter(|line| !line.contains("tsr")).collect();
    std::fs::write(
        dir.path().join("SHA256SUMS"),
        format!("{}\n", kept.join("\n")),
    )
    .unwrap();
    assert_eq!(auditor.checks(dir.path()).0, 12);
}
