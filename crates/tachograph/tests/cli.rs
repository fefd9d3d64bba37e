//! The command line from outside: what a person and a script get, and what they never get.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[path = "../../event/tests/schema_check/mod.rs"]
mod schema_check;

mod stage;

use event::Kind;
use serde_json::Value;
use stage::{HOSTILE, Stage, tacho};

#[test]
fn wrong_usage_ends_with_2_and_says_what_to_do() {
    for args in [
        &["unheard-of"][..],
        &["events", "--since"],
        &["show", "seven"],
        &["show", "7", "--decoded"],
        &["serve", "--gateway", "nowhere"],
        &["completions", "tcsh"],
        &[],
    ] {
        let done = tacho(args);
        assert_eq!(done.code, 2, "{args:?}: {}", done.err);
        assert!(done.out.is_empty(), "{args:?}: {}", done.out);
        assert!(!done.err.is_empty(), "{args:?}");
    }
}

#[test]
fn wrong_values_are_told_before_the_store_is_looked_at() {
    for (args, message, hint) in [
        (
            &["--data", "/no/such", "events", "--since", "yesterday"][..],
            "error: `yesterday` is not a time",
            "RFC 3339",
        ),
        (
            &["--data", "/no/such", "events", "--kind", "tool.reqest"],
            "error: there is no kind of event `tool.reqest`",
            "did you mean `tool.request`",
        ),
        (
            &["--data", "/no/such", "show", "1", "--body", "answer"],
            "error: there is no body role `answer`",
            "the roles are request.head",
        ),
        (
            &[
                "--data", "/no/such", "--json", "show", "1", "--body", "request",
            ],
            "error: --json and --body do not go together",
            "leave --json out",
        ),
    ] {
        let done = tacho(args);
        assert_eq!(done.code, 2, "{args:?}: {}", done.err);
        assert!(done.err.starts_with(message), "{}", done.err);
        let (_, told) = done.err.split_once("\n\nhint: ").expect("a hint");
        assert!(told.contains(hint), "{told}");
    }
}

#[test]
fn the_help_documents_the_exit_codes_and_every_command() {
    let help = tacho(&["--help"]);
    assert_eq!(help.code, 0);
    for word in [
        "serve",
        "run",
        "mcp",
        "demo",
        "status",
        "runs",
        "events",
        "show",
        "timeline",
        "verify",
        "completions",
        "10  integrity failure",
        "12  not verifiable",
    ] {
        assert!(help.out.contains(word), "{word}");
    }
    assert!(tacho(&["--version"]).out.starts_with("tacho "));
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            tacho(&["completions", shell]).out.contains("timeline"),
            "{shell}"
        );
    }
}

#[test]
fn a_record_that_is_not_there_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    for (data, words) in [
        (nowhere.as_path(), "does not exist"),
        (dir.path(), "holds no record"),
    ] {
        let data = data.to_str().unwrap();
        for command in [
            &["runs"][..],
            &["events"],
            &["show", "1"],
            &["timeline", "last"],
            &["status"],
        ] {
            let done = tacho(&[&["--data", data], command].concat());
            assert_eq!(done.code, 1, "{command:?}: {}", done.err);
            assert!(done.out.is_empty(), "{}", done.out);
            assert!(done.err.contains(words), "{}", done.err);
            assert!(done.err.contains("\n\nhint: "), "{}", done.err);
        }
        let done = tacho(&["--data", data, "verify"]);
        assert_eq!(done.code, 12, "{}", done.err);
    }
}

#[test]
fn a_record_of_a_newer_format_is_not_guessed_at() {
    let stage = Stage::new();
    std::fs::write(stage.data.path().join("format"), "tachograph 99\n").unwrap();
    for command in [
        &["runs"][..],
        &["events"],
        &["timeline", "last"],
        &["verify"],
    ] {
        let done = stage.tacho(command);
        // To `verify`, not being able to read is a verdict.
        let code = if command == ["verify"] { 12 } else { 1 };
        assert_eq!(done.code, code, "{command:?}: {}{}", done.out, done.err);
        assert!(done.err.contains("newer"), "{}", done.err);
        assert!(
            done.err.contains("hint: use a `tacho` at least as new"),
            "{}",
            done.err
        );
    }
}

#[test]
fn an_empty_answer_says_why() {
    let stage = Stage::new();
    for (command, words) in [
        (
            &["events", "--agent", "nobody-at-all"][..],
            "none is of agent `nobody-at-all`",
        ),
        (&["events", "--since", "-0s"], "fits"),
        (&["runs", "--limit", "0"], "--limit 0"),
    ] {
        let done = stage.tacho(command);
        assert_eq!((done.code, done.out.as_str()), (0, ""), "{}", done.err);
        assert!(done.err.contains(words), "{}", done.err);
    }
}

#[test]
fn a_name_that_no_agent_can_have_is_wrong_usage() {
    let long = "a".repeat(129);
    for name in ["", "a\nb", long.as_str()] {
        for command in [
            &["run", "--agent", name, "--", "true"][..],
            &["mcp", "--agent", name, "--server", "s", "--", "true"],
            &["mcp", "--agent", "a", "--server", name, "--", "true"],
        ] {
            let done = tacho(command);
            assert_eq!(done.code, 2, "{command:?}: {}", done.err);
            assert!(done.err.contains("1 to 128 bytes"), "{}", done.err);
        }
    }
}

#[test]
fn a_script_gets_the_failure_as_the_one_document_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for (command, code) in [
        (&["runs"][..], 1),
        (&["events"], 1),
        (&["show", "1"], 1),
        (&["timeline", "last"], 1),
        (&["status"], 1),
        (&["verify"], 12),
        (&["show", "seven"], 2),
        (&["events", "--since", "yesterday"], 2),
        (&["unheard-of\u{1b}[31m"], 2),
        (&["serve", "--config", "/no/such"], 2),
    ] {
        let plain = tacho(&[&["--data", nowhere], command].concat());
        let done = tacho(&[&["--json", "--data", nowhere], command].concat());
        assert_eq!(
            (plain.code, done.code),
            (code, code),
            "{command:?}: {}",
            done.err
        );
        assert_eq!(
            (plain.out.as_str(), &plain.err),
            ("", &done.err),
            "{command:?}"
        );
        assert!(!done.err.contains('\u{1b}'), "{}", done.err);
        let [line] = done.out.lines().collect::<Vec<_>>()[..] else {
            panic!("{command:?}: {}", done.out)
        };
        let told: Value = serde_json::from_str(line).unwrap();
        let error = told.get("error").unwrap();
        assert_eq!(error["exit_code"], code, "{told}");
        let message = error["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && !message.starts_with("error"),
            "{told}"
        );
        assert!(
            error["hint"].is_string() && error["causes"].is_array(),
            "{told}"
        );
    }
    // Standard output of these belongs to what they wrap.
    let done = tacho(&["--json", "mcp", "--unheard-of"]);
    assert_eq!((done.code, done.out.as_str()), (2, ""), "{}", done.err);
}

#[test]
fn names_that_match_nothing_get_the_nearest() {
    let stage = Stage::new();
    for (command, error, hint) in [
        (
            &["timeline", "nightly-inport"][..],
            "no run `nightly-inport`",
            "`nightly-import`",
        ),
        (
            &["events", "--run", "nightly-inport"],
            "no run `nightly-inport`",
            "`nightly-import`",
        ),
        (
            &["show", "4711"],
            "there is no event 4711",
            "numbered from 0 to ",
        ),
        (
            &["show", "0", "--body", "stderr"],
            "event 0 has no body `stderr`",
            "no body at all",
        ),
    ] {
        let done = stage.tacho(command);
        assert_eq!(done.code, 1, "{command:?}: {}", done.err);
        assert!(done.err.contains(error), "{}", done.err);
        assert!(done.err.contains(hint), "{}", done.err);
    }
}

#[test]
fn events_in_json_are_the_exact_lines_and_fit_the_schema() {
    let stage = Stage::new();
    let done = stage.tacho(&["events", "--json"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let store = evidence::Store::open(stage.data.path()).unwrap();
    let leaves: Vec<Vec<u8>> = store.events(0).map(|entry| entry.unwrap().line).collect();
    let lines: Vec<&[u8]> = done
        .raw_out
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .collect();
    assert_eq!(lines, leaves);

    let schema = include_str!("../../../docs/schema/event.v1.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut kinds = Vec::new();
    for line in lines {
        let value: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(
            schema_check::faults(&schema, &value),
            Vec::<String>::new(),
            "{value}"
        );
        kinds.push(value["kind"].as_str().unwrap().to_owned());
    }
    for kind in Kind::ALL
        .iter()
        .filter(|kind| **kind != Kind::RecorderRecovered)
        .filter(|kind| {
            // Those tell of what outsiders and full volumes do.
            let outside = ["anchor.", "vault.", "log."];
            !outside.iter().any(|part| kind.as_str().starts_with(part))
        })
    {
        assert!(kinds.contains(&kind.to_string()), "{kind} was not produced");
    }
}

#[test]
fn events_are_filtered() {
    let stage = Stage::new();
    let count = |args: &[&str]| {
        let done = stage.tacho(&[&["events", "--json"], args].concat());
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
        done.out.lines().count()
    };
    let all = count(&[]);
    assert_eq!(count(&["--kind", "tool.request"]), 2);
    assert_eq!(count(&["--kind", "tool."]), 4);
    assert_eq!(count(&["--kind", "tool.request", "--kind", "gap"]), 3);
    assert_eq!(count(&["--limit", "3"]), 3);
    assert_eq!(count(&["--limit", "0"]), 0);
    assert_eq!(count(&["--since", "-1h"]), all);
    assert_eq!(count(&["--since", "2199-01-01T00:00:00Z"]), 0);
    assert!(count(&["--run", "nightly-import"]) < all);
    assert_eq!(
        count(&["--run", "nightly-import"]),
        count(&["--run", "night"])
    );
    assert_eq!(count(&["--agent", "nobody"]), 0);
    let newest = stage.tacho(&["events", "--json", "--limit", "1"]).out;
    assert!(newest.contains("recorder.stop"), "{newest}");
}

#[test]
fn a_body_comes_back_byte_for_byte_and_decoded_when_asked() {
    let stage = Stage::new();
    let seq = stage.hostile_call.to_string();
    let done = stage.tacho(&["show", &seq, "--body", "request"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.raw_out, stage.hostile_request);
    let answer = (stage.hostile_call + 1).to_string();
    let stored = stage.tacho(&["show", &answer, "--body", "response"]);
    assert_eq!(stored.raw_out, stage.hostile_response_gzip);
    let decoded = stage.tacho(&["show", &answer, "--body", "response", "--decoded"]);
    assert_eq!(decoded.raw_out, stage.hostile_response);
    let line = stage.tacho(&["show", &seq, "--json"]);
    let store = evidence::Store::open(stage.data.path()).unwrap();
    assert_eq!(
        line.raw_out.strip_suffix(b"\n").unwrap(),
        store.event(stage.hostile_call).unwrap()
    );
}

#[test]
fn no_control_character_of_the_record_reaches_the_output() {
    let stage = Stage::new();
    let mut commands: Vec<Vec<String>> = [
        &["runs"][..],
        &["events"],
        &["timeline", "last"],
        &["timeline", "nightly-import"],
        &["verify"],
    ]
    .iter()
    .map(|command| command.iter().map(|&arg| arg.to_owned()).collect())
    .collect();
    for seq in 0..stage.events {
        commands.push(vec!["show".to_owned(), seq.to_string()]);
    }
    for (command, hostile) in [("timeline", &HOSTILE[0]), ("events", &HOSTILE[1])] {
        let flag = if command == "events" {
            vec!["--run"]
        } else {
            vec![]
        };
        let words = [vec![command], flag, vec![*hostile]].concat();
        commands.push(words.iter().map(|&word| word.to_owned()).collect());
    }
    for command in commands {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        for color in ["never", "always"] {
            let done = stage.tacho(&[&["--color", color], &command[..]].concat());
            let out = without_colour(&done.out);
            for text in [&out, &done.err] {
                let bad = text.chars().find(|c| {
                    (c.is_control() && *c != '\n')
                        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
                });
                assert_eq!(bad, None, "{command:?}: {text}");
            }
        }
    }
}

#[test]
fn at_a_terminal_bodies_and_event_lines_are_escaped_unless_raw_is_asked_for() {
    let stage = Stage::new();
    let answer = (stage.hostile_call + 1).to_string();
    let call = stage.hostile_call.to_string();
    let decoded = ["show", &answer, "--body", "response", "--decoded"];
    for args in [
        &decoded[..],
        &["show", &answer, "--body", "response"],
        &["show", &call, "--json"],
        &["events", "--json"],
    ] {
        let shown = stage.at_terminal(args);
        // A terminal turns each line feed into carriage return and line feed by itself.
        let shown = shown.replace("\r\n", "\n");
        let bad = shown
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{args:?}: {shown}");
        assert!(!shown.is_empty(), "{args:?}");
    }
    let raw = stage.at_terminal(&[&decoded[..], &["--raw"]].concat());
    assert!(raw.contains('\u{202e}'), "{raw:?}");
}

/// The text without the colours that the command line itself writes.
fn without_colour(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        out.push_str(before);
        let (codes, after) = after.split_once('m').expect("a colour ends");
        assert!(
            codes.bytes().all(|b| b.is_ascii_digit() || b == b';'),
            "not a colour: {codes:?}"
        );
        rest = after;
    }
    out + rest
}

#[test]
fn every_answer_in_json_is_json_without_treacherous_characters() {
    let stage = Stage::new();
    for command in [
        &["runs"][..],
        &["timeline", "last"],
        &["timeline", "nightly-import"],
        &["verify"],
    ] {
        let done = stage.tacho(&[&["--json"], command].concat());
        assert_eq!(
            done.out.lines().count(),
            1,
            "{command:?}: {}{}",
            done.out,
            done.err
        );
        let value: Value = serde_json::from_str(&done.out).unwrap();
        assert!(value.is_object());
        let bad = done
            .out
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{command:?}");
    }
}

#[test]
fn a_timeline_tells_the_run() {
    let stage = Stage::new();
    let told = stage.tacho(&["timeline", "nightly-import"]);
    assert_eq!(told.code, 0, "{}", told.err);
    for expected in [
        "run nightly-import",
        "agent    importer",
        "MODEL CALL claude-sonnet-4-5",
        "user     Please look at ticket 4711",
        "says     I will look at it.",
        r#"calls    read_ticket {"id":4711}"#,
        "TOOL CALL tickets/read_ticket",
        r#"with     {"id":4711}"#,
        "gives    Subject: refund",
        "!! INTERRUPTED the recorder died while this call was open",
        "!! GAP 1,024 bytes of response: truncated",
        "!! NOT WHOLE",
        "1 recorded gap in this run",
    ] {
        assert!(
            told.out.contains(expected),
            "{expected} is not in:\n{}",
            told.out
        );
    }
    let json = stage.tacho(&["--json", "timeline", "night"]);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["run"], "nightly-import");
    assert_eq!(value["whole"], false);
    assert_eq!(value["steps"][0]["step"], "model");
    assert_eq!(value["steps"][0]["called"][0]["name"], "read_ticket");
}

#[test]
fn lines_are_not_wider_than_the_terminal() {
    let stage = Stage::new();
    for columns in [40, 72] {
        let told = stage.tacho_with(
            &["timeline", "nightly-import"],
            &[("COLUMNS", columns.to_string())],
        );
        for line in told.out.lines().filter(|line| !line.contains('#')) {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
    }
}

#[test]
fn verification_says_what_it_found() {
    let stage = Stage::new();
    let done = stage.tacho(&["verify"]);
    assert_eq!(done.code, 11, "{}{}", done.out, done.err);
    assert!(
        done.out
            .starts_with("verified in itself, with recorded gaps; nobody outside vouches for it\n"),
        "{}",
        done.out
    );
    assert!(done.out.contains("this does not prove:"), "{}", done.out);
    let quiet = stage.tacho(&["verify", "--quiet"]);
    assert_eq!(
        (quiet.code, quiet.out.as_str(), quiet.err.as_str()),
        (11, "", "")
    );
    let json: Value = serde_json::from_str(&stage.tacho(&["verify", "--json"]).out).unwrap();
    assert_eq!(json["exit_code"], 11);
    assert_eq!(json["events"], stage.events);
}

#[test]
fn damaged_and_altered_evidence_is_named_and_ends_with_10() {
    let stage = Stage::new();
    stage.flip_a_byte_of_a_volume();
    let done = stage.tacho(&["verify"]);
    assert_eq!(done.code, 10, "{}{}", done.out, done.err);
    assert!(done.out.starts_with("DAMAGED: "), "{}", done.out);
    assert!(done.out.contains("first bad record: "), "{}", done.out);
    std::fs::remove_file(stage.data.path().join("format")).unwrap();
    std::fs::create_dir(stage.data.path().join("format")).unwrap();
    let done = stage.tacho(&["verify"]);
    assert_eq!(done.code, 10, "{}{}", done.out, done.err);
    assert!(done.out.starts_with("ALTERED\n"), "{}", done.out);
    assert!(
        done.out
            .contains("format is altered: it is not a regular file"),
        "{}",
        done.out
    );
}

#[test]
fn who_asks_about_another_log_than_the_one_named_is_told_so() {
    let stage = Stage::new();
    let data = stage.data.path();
    let aside = tempfile::tempdir().unwrap();
    let head = aside.path().join("head");
    let own = std::fs::read_to_string(data.join("log/checkpoint")).unwrap();
    let origin = own.lines().next().unwrap();
    std::fs::write(&head, own.replace(origin, "example.com/another")).unwrap();
    let head = head.to_str().unwrap();
    let done = stage.tacho(&["verify", "--head", head]);
    assert_eq!((done.code, done.out.as_str()), (12, ""), "{}", done.err);
    for words in [
        origin,
        "the log example.com/another",
        "in this one's place",
        "--policy FILE",
    ] {
        assert!(done.err.contains(words), "{words}: {}", done.err);
    }
    // Where this one is the forgery, a head of it is what the forger would have him take.
    assert!(!done.err.contains("a head of this one"), "{}", done.err);
    // What speaks against the log is no less than it was.
    stage.flip_a_byte_of_a_volume();
    let done = stage.tacho(&["verify", "--head", head]);
    assert_eq!(done.code, 10, "{}{}", done.out, done.err);
    // Nor is a record the log of another tool.
    for log in [data.to_path_buf(), data.join("log")] {
        let done = stage.tacho(&["verify", "--log", log.to_str().unwrap()]);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{}", done.err);
        assert!(done.err.contains("is a record of tacho"), "{}", done.err);
        assert!(done.err.contains("tacho verify --data"), "{}", done.err);
    }
}

#[test]
fn who_stops_reading_gets_no_error() {
    use std::io::Read as _;
    let stage = Stage::new();
    let mut child = stage
        .command(&["events", "--follow"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    drop(child.stdout.take());
    // A reader that follows notices at its next write, which a stopped store never gives.
    child.kill().unwrap();
    child.wait().unwrap();

    let mut child = stage
        .command(&["show", &stage.long_body.to_string(), "--body", "request"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
}
