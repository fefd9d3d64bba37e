//! Anchors from outside: what an operator sees when the log's head is known elsewhere, and when it is not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacho"));
    command.arg("--data").arg(data).args(args);
    command.env_remove("TACHO_LOG").env_remove("TACHO_DATA");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(data: &Path, args: &[&str]) -> (i32, String, String) {
    let output = command(data, args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

/// A server that says `ready`; killed when it is dropped.
struct Server {
    child: Child,
    /// Held open: a server that cannot write is another story.
    _out: BufReader<ChildStdout>,
    ready: String,
}

impl Server {
    fn start(data: &Path, args: &[&str]) -> Self {
        let mut child = command(data, args).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        out.read_line(&mut ready).unwrap();
        if !ready.starts_with("ready ") {
            let mut error = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut error)
                .unwrap();
            panic!("{ready}{error}");
        }
        let _out = out;
        Self { child, _out, ready }
    }

    fn recorder(data: &Path, config: &Path) -> Self {
        let config = config.to_str().unwrap();
        let mut args = SERVE.to_vec();
        args.extend(["--config", config]);
        Self::start(data, &args)
    }

    fn witness(data: &Path, listen: &str, log: &str) -> Self {
        let args = [
            "witness",
            "serve",
            "--listen",
            listen,
            "--log",
            log,
            "--name",
            "example.com/w",
        ];
        Self::start(data, &args)
    }

    fn said(&self, name: &str) -> &str {
        let mut words = self.ready.trim_end().split(' ');
        words
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .unwrap()
    }

    /// Tells it to end and waits for that.
    fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const SERVE: [&str; 5] = [
    "serve",
    "--gateway",
    "127.0.0.1:0",
    "--console",
    "127.0.0.1:0",
];

fn config(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("tacho.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn vkey(data: &Path) -> String {
    let line = std::fs::read_to_string(data.join("log/vkey")).unwrap();
    line.trim_end().to_owned()
}

fn copy_all(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(to)
            .status()
            .unwrap()
            .success()
    );
}

/// Asks until `holds`.
fn status_until(data: &Path, holds: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let (_, out, err) = run(data, &["status", "--json"]);
        let status: Value = serde_json::from_str(&out).unwrap_or_default();
        if holds(&status) {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "{out}{err}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn events(data: &Path, kind: &str) -> Vec<Value> {
    let (code, out, err) = run(data, &["events", "--json"]);
    assert_eq!(code, 0, "{err}");
    out.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["kind"] == kind)
        .collect()
}

#[test]
fn an_earlier_copy_is_refused_and_a_successor_commits_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, earlier, new) = (
        dir.path().join("a"),
        dir.path().join("earlier"),
        dir.path().join("b"),
    );
    std::fs::create_dir(dir.path().join("place")).unwrap();
    let config = config(dir.path(), "[copy]\ndirectory = \"place\"\n");
    Server::recorder(&data, &config).end();
    copy_all(&data, &earlier);
    // The place knows even the last event of the one that ended.
    let size = events(&data, "recorder.stop")[0]["seq"].as_u64().unwrap() + 1;
    let (_, status, _) = run(&data, &["status", "--json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["unanchored_events"], 0, "{status}");
    let serving = Server::recorder(&data, &config);
    let checked = &events(&data, "anchor.checked")[0]["facts"]["marks"];
    let copy = checked
        .as_array()
        .unwrap()
        .iter()
        .find(|mark| mark["kind"] == "copy")
        .unwrap();
    assert_eq!(
        (&copy["size"], &copy["verdict"]),
        (&size.into(), &"holds".into())
    );
    serving.end();

    let before = Command::new("ls")
        .arg("-lR")
        .arg(&earlier)
        .output()
        .unwrap();
    let mut args = SERVE.to_vec();
    args.extend(["--config", config.to_str().unwrap()]);
    let (code, out, err) = run(&earlier, &args);
    assert_eq!((code, out.as_str()), (10, ""), "{err}");
    assert!(
        err.contains("earlier copy") && err.contains("--successor-of"),
        "{err}"
    );
    assert_eq!(
        Command::new("ls")
            .arg("-lR")
            .arg(&earlier)
            .output()
            .unwrap(),
        before,
        "nothing is touched"
    );

    args.extend(["--successor-of", earlier.to_str().unwrap()]);
    Server::start(&new, &args).end();
    let said = events(&new, "log.successor");
    let facts = &said[0]["facts"];
    assert_eq!(facts["origin"], vkey(&earlier).split('+').next().unwrap());
    assert_eq!(facts["mark"]["verdict"], "shorter");
    assert_eq!(facts["root"].as_str().unwrap().len(), 44);
    // With the option left in place, it is said once.
    Server::start(&new, &args).end();
    assert_eq!(events(&new, "log.successor").len(), 1);
    // A record that began as something else is not made a successor.
    let (code, _, err) = run(&data, &args);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("began without succeeding"), "{err}");
    // Nor is one that succeeds another log.
    let other = dir.path().join("other");
    Server::start(&other, &SERVE).end();
    let (named, asked) = (vkey(&earlier), vkey(&other));
    let origin = |vkey: &str| vkey.split('+').next().unwrap().to_owned();
    args.truncate(SERVE.len());
    args.extend(["--successor-of", other.to_str().unwrap()]);
    let (code, out, err) = run(&new, &args);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    for words in [
        "already succeeds another log",
        &origin(&named),
        &origin(&asked),
        "leave `--successor-of` out",
    ] {
        assert!(err.contains(words), "{words}: {err}");
    }
    assert_eq!(events(&new, "log.successor").len(), 1);
    // Nor one that succeeds this log with another history, be it as long.
    let fork = dir.path().join("fork");
    copy_all(&other, &fork);
    let third = dir.path().join("third");
    args.truncate(SERVE.len());
    args.extend(["--successor-of", fork.to_str().unwrap()]);
    Server::start(&fork, &SERVE).end();
    Server::start(&third, &args).end();
    args.truncate(SERVE.len());
    args.extend(["--successor-of", other.to_str().unwrap()]);
    let (code, out, err) = run(&third, &args);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("as it was at"), "{err}");
    Server::start(&other, &SERVE).end();
    let (code, out, err) = run(&third, &args);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("with the root"), "{err}");
    // What was left and used again keeps nobody from recording.
    args.truncate(SERVE.len());
    args.extend(["--successor-of", fork.to_str().unwrap()]);
    Server::start(&fork, &SERVE).end();
    Server::start(&third, &args).end();
    assert_eq!(events(&third, "log.successor").len(), 1);
    args.truncate(SERVE.len());
    args.extend(["--successor-of", other.to_str().unwrap()]);
    args.truncate(SERVE.len());
    args.extend(["--successor-of", other.to_str().unwrap()]);
    // What is left must be left: nobody records there, and it is no place for another.
    let within = other.join("within");
    let (code, _, err) = run(&within, &args);
    assert!(code == 2 && err.contains("lies in"), "{code}: {err}");
    let running = Server::start(&other, &SERVE);
    let (code, _, err) = run(&dir.path().join("newest"), &args);
    assert!(
        code == 2 && err.contains("a recorder is running on"),
        "{code}: {err}"
    );
    running.end();
}

#[test]
fn status_claims_what_it_has_read_back_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("a"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    let text = "[copy]\ndirectory = \"place\"\n[timestamp.acme]\nurl = \"http://127.0.0.1:9/tsa\"\nroots = \"root.pem\"\n";
    let openssl = testkit::authority::Authority::new().unwrap();
    let root = openssl.pem(testkit::authority::ROOT).unwrap();
    std::fs::write(dir.path().join("root.pem"), root).unwrap();
    let config = config(dir.path(), text);
    let serving = Server::recorder(&data, &config);
    // The place has it and the authority is not there: both are said at once.
    let status = status_until(&data, |status| status["kept"][1]["size"].is_u64());
    assert_eq!(status["kept"][1]["kind"], "copy", "{status}");
    serving.end();
    let (_, out, _) = run(&data, &["status"]);
    let name = place.display();
    let all = format!("all events are known outside, to copy {name}; FAILING: timestamp acme");
    assert!(out.contains(&all), "{out}");
    let (_, out, _) = run(&data, &["status", "--json"]);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["unanchored_events"], 0, "{status}");

    // The hint says the same as before, and the place is gone.
    let aside = dir.path().join("aside");
    std::fs::rename(&place, &aside).unwrap();
    let (_, out, _) = run(&data, &["status"]);
    assert!(!out.contains("all events are known"), "{out}");
    for words in [
        "nothing that is kept vouches",
        "NOT THERE it had ",
        "does not exist",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let (_, out, _) = run(&data, &["status", "--json"]);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["unanchored_events"], status["events"], "{status}");
    std::fs::rename(&aside, &place).unwrap();

    // A hint that does not parse is not the same as none.
    std::fs::write(data.join("anchors/standing.json"), "{").unwrap();
    let (_, out, _) = run(&data, &["status"]);
    for words in [
        "anchors/standing.json does not parse",
        "start the recorder",
        "tacho events --kind anchor.",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(!out.contains("NOTHING OUTSIDE"), "{out}");
    let (_, out, _) = run(&data, &["status", "--json"]);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert!(
        status["anchors_error"]
            .as_str()
            .unwrap()
            .contains("does not parse"),
        "{status}"
    );
    Server::recorder(&data, &config).end();
    let (_, out, _) = run(&data, &["status"]);
    assert!(
        out.contains("all events are known outside, to copy"),
        "{out}"
    );

    // The events say who, how far and when; what verification lacks is a list, not clauses.
    let (_, out, _) = run(&data, &["events", "--kind", "anchor."]);
    for line in out.lines() {
        let summary = line.rsplit("  ").next().unwrap().trim();
        assert!(
            summary.contains(" events")
                || summary.contains("acme")
                || summary.contains("nobody knows"),
            "{line}"
        );
    }
    for head in std::fs::read_dir(data.join("anchors")).unwrap() {
        let checkpoint = head.unwrap().path().join("checkpoint");
        if checkpoint.exists() {
            std::fs::remove_file(checkpoint).unwrap();
        }
    }
    let (code, out, _) = run(&data, &["verify"]);
    assert_eq!(code, 12, "{out}");
    let missing = out.split("\nmissing:\n").nth(1).unwrap();
    let missing = missing.split("\n\n").next().unwrap();
    assert!(missing.contains("which event"), "{out}");
    assert!(missing.lines().all(|line| !line.ends_with(',')), "{out}");
}

#[test]
fn a_witness_remembers_in_a_directory_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a");
    Server::start(&data, &SERVE).end();
    let other = dir.path().join("thesis");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.txt"), "mine").unwrap();
    let log = vkey(&data);
    let serve = ["witness", "serve", "--listen", "127.0.0.1:0", "--log", &log];
    let (code, out, err) = run(&other, &serve);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(
        err.contains("thesis.txt") && err.contains("a directory of its own"),
        "{err}"
    );
    assert_eq!(
        std::fs::read_dir(&other).unwrap().count(),
        1,
        "nothing was begun"
    );
}

#[test]
fn a_witness_may_sign_with_ml_dsa_44() {
    let dir = tempfile::tempdir().unwrap();
    let (data, memory) = (dir.path().join("a"), dir.path().join("w"));
    Server::start(&data, &SERVE).end();
    let log = vkey(&data);
    let serve = ["witness", "serve", "--listen", "127.0.0.1:0", "--log", &log];
    let args = [
        &serve[..],
        &["--name", "example.com/w", "--algorithm", "ml-dsa-44"],
    ]
    .concat();
    let witness = Server::start(&memory, &args);
    let (key, url) = (
        witness.said("key").to_owned(),
        witness.said("witness").to_owned(),
    );
    let policy = dir.path().join("policy");
    std::fs::write(&policy, format!("witness w {key} {url}\nquorum w\n")).unwrap();
    let config = config(dir.path(), "[witness]\npolicy = \"policy\"\n");
    let serving = Server::recorder(&data, &config);
    let (code, out, err) = run(&data, &["anchor"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("known outside, to witness example.com/w\n"),
        "{out}"
    );
    serving.end();
    witness.end();
    std::fs::write(&policy, format!("log {log}\nwitness w {key}\nquorum w\n")).unwrap();
    let (code, out, err) = run(&data, &["verify", "--policy", policy.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    // Its key stays what it is.
    let (code, _, err) = run(&memory, &[&serve[..], &["--algorithm", "ed25519"]].concat());
    assert!(
        code == 2 && err.contains("leave `--algorithm` out"),
        "{code}: {err}"
    );
}

/// Another configuration, or none, is how an older copy would be brought in: whoever knew the log is named by the first start
/// that does not name him.
#[test]
fn whoever_knew_the_log_and_is_not_configured_any_more_was_not_asked() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a");
    for place in ["place", "other"] {
        std::fs::create_dir(dir.path().join(place)).unwrap();
    }
    let copy = |place| format!("[copy]\ndirectory = \"{place}\"\n");
    let required = |text: &str| format!("{text}[anchor]\nrequire = true\n");
    let of = |text: &str| config(dir.path(), text);
    let not_asked = || {
        let checked = events(&data, "anchor.checked");
        checked.last().unwrap()["facts"]["unreachable"].clone()
    };
    Server::recorder(&data, &of(&copy("place"))).end();
    for text in [String::new(), copy("other")] {
        let serve = [
            "serve",
            "--gateway",
            "127.0.0.1:0",
            "--console",
            "127.0.0.1:0",
        ];
        let strict = of(&required(&text));
        let (code, _, err) = run(
            &data,
            &[&serve[..], &["--config", strict.to_str().unwrap()]].concat(),
        );
        assert_eq!(code, 12, "{text}: {err}");
        assert!(err.contains("the configuration does not name it"), "{err}");
        Server::recorder(&data, &of(&text)).end();
        let absent = &not_asked()[0];
        assert_eq!(absent["kind"], "copy", "{absent}");
        let place = dir.path().join("place");
        assert_eq!(absent["name"], place.to_str().unwrap(), "{absent}");
        // It is in the log, and not said again.
        Server::recorder(&data, &of(&required(&text))).end();
        assert_eq!(not_asked().as_array().map(Vec::len), Some(0));
        Server::recorder(&data, &of(&copy("place"))).end();
    }
    std::fs::write(data.join("anchors/standing.json"), "XX").unwrap();
    Server::recorder(&data, &of("")).end();
    assert_eq!(not_asked()[0]["kind"], "record");
}

#[test]
fn whoever_cannot_be_asked_is_named_and_required_only_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a");
    let text = "[copy]\ndirectory = \"gone\"\n[anchor]\npublish = \"1s\"\n";
    let optional = config(dir.path(), text);
    Server::recorder(&data, &optional).end();
    let serving = Server::recorder(&data, &optional);
    let unreachable = &events(&data, "anchor.checked")[0]["facts"]["unreachable"][0];
    assert_eq!(unreachable["kind"], "copy");
    let status = status_until(&data, |status| {
        status["recorder"]["anchors"]["anchors"][0]["failing"].is_object()
    });
    let failing = &status["recorder"]["anchors"]["anchors"][0]["failing"];
    assert!(
        failing["error"]
            .as_str()
            .unwrap()
            .contains("does not exist"),
        "{status}"
    );
    let (_, text_status, _) = run(&data, &["status"]);
    assert!(text_status.contains("FAILING   copy"), "{text_status}");
    serving.end();

    let required = config(dir.path(), &format!("{text}require = true\n"));
    let mut args = SERVE.to_vec();
    args.extend(["--config", required.to_str().unwrap()]);
    let (code, _, err) = run(&data, &args);
    assert_eq!(code, 12, "{err}");
    assert!(
        err.contains("does not exist") && err.contains("require = false"),
        "{err}"
    );
}

#[test]
fn an_operator_has_the_head_anchored_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a");
    let place = dir.path().join("place");
    std::fs::create_dir(&place).unwrap();
    let config = config(dir.path(), "[copy]\ndirectory = \"place\"\n");
    let (code, _, err) = run(&data, &["anchor"]);
    assert!(code == 1 && err.contains("tacho serve"), "{err}");
    let serving = Server::recorder(&data, &config);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(data.join("control.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, out, err) = run(&data, &["anchor", "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    let standing: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(standing["anchors"][0]["size"], standing["published"]);
    // The place is taken away, once nothing of the start is on its way there any more.
    serving.end();
    let serving = Server::recorder(&data, &config);
    let (code, out, err) = run(&data, &["anchor"]);
    assert_eq!(code, 0, "{out}{err}");
    std::fs::remove_dir_all(&place).unwrap();
    let (code, out, err) = run(&data, &["anchor"]);
    assert!(code == 1 && out.contains("FAILING   copy"), "{out}{err}");
    serving.end();
    assert!(!data.join("control.sock").exists());
}

#[test]
fn status_says_loudly_that_nobody_outside_knows_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a");
    let serving = Server::start(&data, &SERVE);
    let (code, out, _) = run(&data, &["status"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("NOTHING OUTSIDE THIS MACHINE KNOWS") && out.contains("[copy]"),
        "{out}"
    );
    serving.end();
    let (_, out, _) = run(&data, &["status"]);
    assert!(out.contains("NOTHING OUTSIDE THIS MACHINE KNOWS"), "{out}");
}

/// The witness stores, is killed, and nobody hears its answer; the log is none the worse for it.
#[test]
fn a_witness_that_dies_between_storing_and_answering_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (data, memory) = (dir.path().join("a"), dir.path().join("w"));
    Server::start(&data, &SERVE).end();
    let witness = Server::witness(&memory, "127.0.0.1:0", &vkey(&data));
    let (url, key) = (
        witness.said("witness").to_owned(),
        witness.said("key").to_owned(),
    );
    let address = url.strip_prefix("http://").unwrap().to_owned();

    // The log's own words for the witness, sent by somebody who never reads the answer.
    let checkpoint = std::fs::read_to_string(data.join("log/checkpoint")).unwrap();
    let body = format!("old 0\n\n{checkpoint}");
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let origin = vkey(&data).split('+').next().unwrap().to_owned();
    let stored = memory.join(tlog::witness::checkpoint_path(&origin));
    let begun = Instant::now();
    while !stored.exists() {
        assert!(begun.elapsed() < PATIENCE, "the witness stores nothing");
        std::hint::spin_loop();
    }
    witness.kill();
    drop(stream);

    let witness = Server::witness(&memory, &address, &vkey(&data));
    assert_eq!(witness.said("key"), key);
    std::fs::write(
        dir.path().join("policy"),
        format!("witness w {key} {url}\nquorum w\n"),
    )
    .unwrap();
    let config = config(
        dir.path(),
        "[witness]\npolicy = \"policy\"\n[anchor]\nrequire = true\n",
    );
    let serving = Server::recorder(&data, &config);
    let marks = &events(&data, "anchor.checked")[0]["facts"]["marks"];
    assert_eq!(
        (&marks[0]["kind"], &marks[0]["verdict"]),
        (&"witness".into(), &"holds".into())
    );
    status_until(&data, |status| {
        status["recorder"]["anchors"]["quorum"]["size"].as_u64() > Some(0)
    });
    assert!(events(&data, "anchor.failed").is_empty());
    serving.end();
    witness.end();

    // The witness is gone: it is named, and recording goes on where it is not required.
    let (code, _, err) = run(&data, &{
        let mut args = SERVE.to_vec();
        args.extend(["--config", config.to_str().unwrap()]);
        args
    });
    assert!(code == 12 && err.contains("example.com/w"), "{code}: {err}");
}

#[test]
fn a_witness_that_cannot_store_says_so_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (data, memory) = (dir.path().join("a"), dir.path().join("w"));
    Server::start(&data, &SERVE).end();
    let mut witness = Server::witness(&memory, "127.0.0.1:0", &vkey(&data));
    let address = witness.said("witness").strip_prefix("http://").unwrap();
    // Where it would remember this log lies something else.
    let origin = vkey(&data).split('+').next().unwrap().to_owned();
    let path = tlog::witness::checkpoint_path(&origin);
    std::fs::write(memory.join(path.split('/').next().unwrap()), "").unwrap();
    let checkpoint = std::fs::read_to_string(data.join("log/checkpoint")).unwrap();
    let body = format!("old 0\n\n{checkpoint}");
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert_eq!(witness.child.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    let mut stderr = witness.child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert!(
        said.contains("cannot store") && said.contains("hint: see to the disk"),
        "{said}"
    );
}

#[test]
fn a_witness_speaks_json_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (data, memory) = (dir.path().join("a"), dir.path().join("w"));
    Server::start(&data, &SERVE).end();
    let log = vkey(&data);
    let serve = ["witness", "serve", "--listen", "127.0.0.1:0", "--log", &log];
    let mut json = command(&memory, &["--json"]).args(serve).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(json.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let address = ready["ready"]["witness"].as_str().unwrap();
    assert!(address.starts_with("http://127.0.0.1:"), "{line}");
    let key = std::fs::read_to_string(memory.join("vkey")).unwrap();
    assert_eq!(ready["ready"]["key"], key.trim_end());
    // While it runs nobody else remembers there.
    let (code, _, err) = run(&memory, &serve);
    assert!(code == 2 && err.contains("stop it"), "{code}: {err}");
    json.kill().unwrap();
    json.wait().unwrap();
    std::fs::remove_file(memory.join("keys/witness.key")).unwrap();
    let (code, _, err) = run(&memory, &serve);
    assert!(
        code == 1 && err.contains("is missing") && err.contains("hint: put back"),
        "{code}: {err}"
    );
}

#[test]
fn a_secret_in_a_witness_address_is_refused_and_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a");
    let cosigner = tlog::cosignature::Cosigner::ed25519("example.com/w", &[1; 32]).unwrap();
    let key = cosigner.verifying_key();
    for address in [
        "https://operator:hunter2@witness.example/",
        "https://witness.example/?key=hunter2",
    ] {
        let policy = format!("witness w {key} {address}\nquorum w\n");
        std::fs::write(dir.path().join("policy"), policy).unwrap();
        let config = config(dir.path(), "[witness]\npolicy = \"policy\"\n");
        let mut args = SERVE.to_vec();
        args.extend(["--config", config.to_str().unwrap()]);
        let (code, out, err) = run(&data, &args);
        assert_eq!(code, 2, "{out}{err}");
        assert!(
            !err.contains("hunter2") && err.contains("example.com/w"),
            "{err}"
        );
        assert!(!data.exists(), "nothing was begun");
    }
}

#[test]
fn a_place_that_is_not_mounted_is_not_taken_for_one_that_knows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("a"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    let text = "[copy]\ndirectory = \"place\"\n";
    let optional = config(dir.path(), text);
    Server::recorder(&data, &optional).end();
    std::fs::remove_dir_all(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    let required = config(dir.path(), &format!("{text}[anchor]\nrequire = true\n"));
    let mut args = SERVE.to_vec();
    args.extend(["--config", required.to_str().unwrap()]);
    let (code, _, err) = run(&data, &args);
    assert!(
        code == 12 && err.contains("is not mounted"),
        "{code}: {err}"
    );
    let optional = config(dir.path(), text);
    Server::recorder(&data, &optional).end();
    let checked = events(&data, "anchor.checked");
    let unreachable = &checked.last().unwrap()["facts"]["unreachable"][0];
    assert_eq!(unreachable["kind"], "copy", "{checked:?}");
}

#[test]
fn a_witness_does_not_remember_within_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a");
    Server::start(&data, &SERVE).end();
    let (code, _, err) = run(
        &data,
        &[
            "witness",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log",
            &vkey(&data),
        ],
    );
    assert!(code == 2 && err.contains("holds a record"), "{err}");
}
