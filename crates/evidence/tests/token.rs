//! The log's Ed25519 keys in a PKCS#11 token: made there, used there, destroyed there; and whatever is wrong with the token
//! is said in words. With SoftHSM2, each test with tokens of its own.
#![cfg(feature = "pkcs11")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod unpacked;

use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::Session;
use event::{Draft, Kind, Source};
use evidence::{Error, Options, Recorder, Store, TokenSettings, verify};
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::{Fault, SimDisk};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "9137-5520";

/// Set for the process in which a test runs, to where its tokens lie: SoftHSM reads its configuration from the environment.
const APART: &str = "TACHO_TEST_TOKENS";

/// Runs `test` in a process with a token called `log`, and again in there.
fn apart(name: &str, test: impl FnOnce(&Path)) {
    if let Some(dir) = std::env::var_os(APART) {
        return test(Path::new(&dir));
    }
    if !Path::new(MODULE).exists() {
        println!("skipped: {name}: {MODULE} is not there (softhsm2)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tokens")).unwrap();
    let tokens = dir.path().join("tokens").display().to_string();
    let text =
        format!("directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n");
    std::fs::write(dir.path().join("softhsm2.conf"), text).unwrap();
    let done = again(name, dir.path()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout);
    let complained = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{}\n{told}\n{complained}",
        done.status
    );
    assert!(told.contains("1 passed"), "{told}");
    assert!(!told.contains(PIN) && !complained.contains(PIN));
}

fn again(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([name, "--exact", "--nocapture"])
        .env("SOFTHSM2_CONF", dir.join("softhsm2.conf"))
        .env(APART, dir);
    command
}

fn make_token(label: &str) {
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            label,
            "--so-pin",
            "12345678",
            "--pin",
            PIN,
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// How the token `log` is used, which exists after this.
fn token(dir: &Path) -> TokenSettings {
    let pin_file = dir.join("pin");
    if !pin_file.exists() {
        make_token("log");
        write_pin(&pin_file, &format!("{PIN}\n"), 0o600);
    }
    TokenSettings {
        module: PathBuf::from(MODULE),
        label: "log".into(),
        pin_file,
    }
}

fn write_pin(path: &Path, pin: &str, mode: u32) {
    std::fs::write(path, pin).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Looks into the token of the recorder in this process.
fn session() -> Session {
    let module = Pkcs11::new(MODULE).unwrap();
    let slots = module.get_slots_with_token().unwrap();
    let slot = slots
        .into_iter()
        .find(|slot| module.get_token_info(*slot).unwrap().label() == "log");
    module.open_rw_session(slot.unwrap()).unwrap()
}

/// Labels of the objects in the token that a logged-in process sees, private halves first.
fn labels(session: &Session) -> Vec<String> {
    let mut labels = Vec::new();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        for object in session.find_objects(&[Attribute::Class(class)]).unwrap() {
            let found = session
                .get_attributes(object, &[AttributeType::Label])
                .unwrap();
            let [Attribute::Label(label)] = &found[..] else {
                panic!("{found:?}");
            };
            labels.push(String::from_utf8(label.clone()).unwrap());
        }
    }
    labels
}

fn pair(origin: &str, epoch: u64) -> Vec<String> {
    vec![format!("{origin} epoch {epoch}"); 2]
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn options(dir: &Path, token: Option<&TokenSettings>) -> Options {
    Options {
        segment_bytes: 1 << 18,
        token: token.cloned(),
        ..Options::new(dir)
    }
}

fn some_event() -> Draft {
    Draft::new(Kind::Environment, Source::Recorder)
}

fn verdict(store: &Path) -> (i32, Vec<String>) {
    let report = verify::run(store, &verify::Options::default(), &mut |_| ()).unwrap();
    let faults = report.faults.iter().map(|fault| format!("{fault:?}"));
    (i32::from(report.exit_code()), faults.collect())
}

/// Waits for what another thread brings about.
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !reached() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_log_is_signed_by_a_token_from_its_first_key_on() {
    apart("a_log_is_signed_by_a_token_from_its_first_key_on", |dir| {
        let (store, token) = (dir.join("store"), token(dir));
        let open = || Recorder::open(options(&store, Some(&token))).unwrap();
        run(async {
            let recorder = open();
            let origin = Store::open(&store).unwrap().origin().to_owned();
            let session = session();
            assert_eq!(labels(&session), pair(&origin, 1));
            recorder.append(&some_event()).await.unwrap();
            assert_eq!(recorder.rotate().await.unwrap().epoch, 2);
            assert_eq!(labels(&session), pair(&origin, 2));
            recorder.append(&some_event()).await.unwrap();
            // The key in force is replaced first.
            recorder.revoke(2, None, "shown around").await.unwrap();
            assert_eq!(labels(&session), pair(&origin, 3));
            recorder.append(&some_event()).await.unwrap();
            let published = recorder.publish().await.unwrap();
            let epochs = Store::open(&store).unwrap().epochs().unwrap();
            let opened = epochs.open(published.note.to_string().as_bytes()).unwrap();
            assert_eq!((opened.epoch, opened.cosigned), (3, true));
            recorder.close().await.unwrap();
        });
        assert_eq!(verdict(&store), (0, vec![]));
        run(async {
            let recorder = open();
            assert_eq!(recorder.status().epoch, 3);
            recorder.append(&some_event()).await.unwrap();
            recorder.close().await.unwrap();
        });
        assert_eq!(verdict(&store), (0, vec![]));
    });
}

#[test]
fn a_key_does_not_leave_its_token() {
    apart("a_key_does_not_leave_its_token", |dir| {
        let (store, token) = (dir.join("store"), token(dir));
        let recorder = Recorder::open(options(&store, Some(&token))).unwrap();
        let session = session();
        let private = session
            .find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])
            .unwrap();
        let asked = [
            AttributeType::Sensitive,
            AttributeType::AlwaysSensitive,
            AttributeType::Extractable,
            AttributeType::NeverExtractable,
            AttributeType::Local,
        ];
        let expected = [
            Attribute::Sensitive(true),
            Attribute::AlwaysSensitive(true),
            Attribute::Extractable(false),
            Attribute::NeverExtractable(true),
            Attribute::Local(true),
        ];
        assert_eq!(
            session.get_attributes(private[0], &asked).unwrap(),
            expected
        );
        let value = session.get_attributes(private[0], &[AttributeType::Value]);
        assert!(value.is_err() || value.unwrap().is_empty());
        let file = std::fs::read_to_string(store.join("keys/log.key")).unwrap();
        assert!(file.starts_with("v3 token tachograph/"));
        // The module is not to be in use when the process ends.
        run(recorder.close()).unwrap();
    });
}

#[test]
fn a_log_moves_from_a_file_into_a_token_and_not_back() {
    apart("a_log_moves_from_a_file_into_a_token_and_not_back", |dir| {
        let (store, token) = (dir.join("store"), token(dir));
        run(async {
            let recorder = Recorder::open(options(&store, None)).unwrap();
            recorder.append(&some_event()).await.unwrap();
            recorder.close().await.unwrap();
            let recorder = Recorder::open(options(&store, Some(&token))).unwrap();
            until("the key moves", || recorder.status().epoch == 2);
            let origin = Store::open(&store).unwrap().origin().to_owned();
            assert_eq!(labels(&session()), pair(&origin, 2));
            recorder.append(&some_event()).await.unwrap();
            recorder.close().await.unwrap();
        });
        assert_eq!(verdict(&store), (0, vec![]));
        let error = Recorder::open(options(&store, None))
            .unwrap_err()
            .to_string();
        assert!(error.contains("name it in [signer]"), "{error}");
    });
}

/// What is refused leaves the store as it was, and the right token goes on with it.
#[test]
fn what_keeps_a_token_from_signing_is_said() {
    apart("what_keeps_a_token_from_signing_is_said", |dir| {
        let (store, token) = (dir.join("store"), token(dir));
        make_token("another");
        let closed =
            |options| run(async { Recorder::open(options).unwrap().close().await.unwrap() });
        closed(options(&store, Some(&token)));
        let held = std::fs::read(store.join("log/checkpoint")).unwrap();
        let pin = |name: &str, text: &str, mode| {
            let path = dir.join(name);
            write_pin(&path, text, mode);
            TokenSettings {
                pin_file: path,
                ..token.clone()
            }
        };
        let called = |label: &str| TokenSettings {
            label: label.into(),
            ..token.clone()
        };
        let module = |path: &str| TokenSettings {
            module: path.into(),
            ..token.clone()
        };
        for (settings, expected) in [
            (
                module("/nonexistent/module.so"),
                "module /nonexistent/module.so: ",
            ),
            (module("/proc/self/exe"), "module /proc/self/exe: "),
            (
                called("lag"),
                "the module sees no token of that name: connect it, or correct `token` (",
            ),
            (called("another"), "it holds no private key `tachograph/"),
            (pin("none", "", 0o600), "is not one line of up to 256 bytes"),
            (
                pin("long", &"x".repeat(257), 0o600),
                "is not one line of up to 256 bytes",
            ),
            (pin("shown", PIN, 0o640), "mode 0600"),
            (
                pin("wrong", "0000-0000\n", 0o600),
                "It was tried once and is not tried again",
            ),
            (
                TokenSettings {
                    pin_file: dir.join("gone"),
                    ..token.clone()
                },
                "its PIN file: ",
            ),
        ] {
            let error = Recorder::open(options(&store, Some(&settings))).unwrap_err();
            assert!(matches!(error, Error::Signer(_)), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains(PIN) && !text.contains("0000-0000"), "{text}");
            println!("{text}");
        }
        // A new log in a token whose PIN is wrong leaves nothing that stands in the way later.
        let (new, wrong) = (dir.join("new"), pin("wrong", "0000", 0o600));
        Recorder::open(options(&new, Some(&wrong))).unwrap_err();
        closed(options(&new, Some(&token)));
        assert_eq!(std::fs::read(store.join("log/checkpoint")).unwrap(), held);
        closed(options(&store, Some(&token)));
        assert_eq!(verdict(&store), (0, vec![]));
        // A file that names another log's key.
        std::fs::copy(new.join("keys/log.key"), store.join("keys/log.key")).unwrap();
        let error = Recorder::open(options(&store, Some(&token))).unwrap_err();
        assert!(
            matches!(&error, Error::Damaged { what, .. } if what == "keys/log.key"),
            "{error}"
        );
    });
}

/// Recording goes on; what was recorded meanwhile is signed when the token is back.
#[test]
fn a_token_that_is_away_leaves_the_tail_unsigned_until_it_is_back() {
    apart(
        "a_token_that_is_away_leaves_the_tail_unsigned_until_it_is_back",
        |dir| {
            let (store, token) = (dir.join("store"), token(dir));
            run(async {
                let recorder = Recorder::open(Options {
                    checkpoint: Duration::from_millis(5),
                    ..options(&store, Some(&token))
                })
                .unwrap();
                recorder.append(&some_event()).await.unwrap();
                let signed = recorder.publish().await.unwrap().size;
                let (there, away) = (dir.join("tokens"), dir.join("away"));
                std::fs::rename(&there, &away).unwrap();
                std::fs::create_dir(&there).unwrap();
                let last = recorder.append(&some_event()).await.unwrap().seq;
                for refused in [
                    recorder.publish().await.map(drop),
                    recorder.rotate().await.map(drop),
                    recorder.revoke(1, None, "why not").await.map(drop),
                ] {
                    let error = refused.unwrap_err();
                    assert!(matches!(error, Error::Signer(_)), "{error:?}");
                }
                recorder.append(&some_event()).await.unwrap();
                let status = recorder.status();
                assert!(
                    status.checkpoint <= last && status.checkpoint >= signed,
                    "{status:?}"
                );
                std::fs::remove_dir_all(&there).unwrap();
                std::fs::rename(&away, &there).unwrap();
                until("the tail is signed", || recorder.status().checkpoint > last);
                recorder.rotate().await.unwrap();
                recorder.close().await.unwrap();
            });
            assert_eq!(verdict(&store), (0, vec![]));
        },
    );
}

/// The storage operation of a rotation that fails, how, and what becomes of those that were not synced.
const FAULT: &str = "TACHO_TEST_FAULT";

/// Rotates on a disk that fails as [`FAULT`] says, and leaves what a power cut would in `store`.
fn fail_in_a_rotation(store: &Path, token: &TokenSettings, fault: &str) {
    let told: Vec<usize> = fault.split(' ').map(|n| n.parse().unwrap()).collect();
    let kind = [ErrorKind::Other, ErrorKind::StorageFull][told[0]];
    let fault = [Fault::NotPersisted, Fault::Persisted][told[1]];
    let disk = SimDisk::new();
    let options = options("sim".as_ref(), Some(token));
    let recorder = Recorder::open_on(Arc::new(disk.clone()), None, &options).unwrap();
    run(async {
        recorder.append(&some_event()).await.unwrap();
        disk.arm(told[2] as u64, "any", kind, fault);
        // It may fail or not: what counts is what the next start makes of it.
        recorder.rotate().await.ok();
    });
    let untouched = disk.is_armed();
    let reached = disk.power_cut(|_, durable, volatile| match told[2] % 2 {
        0 => durable.to_vec(),
        _ => volatile.to_vec(),
    });
    unpacked::store(&reached, store);
    println!("\ncut {untouched}");
    loop {
        std::thread::park();
    }
}

/// As `rotation.rs` does with keys in files: every storage operation of a rotation fails once, having taken effect or not,
/// then the power goes. The token keeps what it has done by then.
#[test]
fn a_rotation_that_is_cut_short_anywhere_leaves_one_key_in_the_token() {
    const NAME: &str = "a_rotation_that_is_cut_short_anywhere_leaves_one_key_in_the_token";
    apart(NAME, |dir| {
        let token = token(dir);
        if let Ok(fault) = std::env::var(FAULT) {
            return fail_in_a_rotation(&dir.join("store"), &token, &fault);
        }
        let (mut struck, mut undone) = (0, 0);
        for (kind, fault) in [(0, 0), (0, 1)] {
            for after in 0.. {
                let mut victim = again(NAME, dir)
                    .env(FAULT, format!("{kind} {fault} {after}"))
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut told = BufReader::new(victim.stdout.take().unwrap()).lines();
                let cut = told.find(|line| line.as_ref().unwrap().starts_with("cut "));
                victim.kill().unwrap();
                victim.wait().unwrap();
                let store = dir.join("store");
                if cut.unwrap().unwrap() == "cut true" {
                    std::fs::remove_dir_all(store).unwrap();
                    break;
                }
                struck += 1;
                undone += u64::from(check_after(&store, &token) == 1);
                std::fs::remove_dir_all(store).unwrap();
            }
        }
        assert!(
            struck >= 12 && undone > 0 && undone < struck,
            "{struck} {undone}"
        );
    });
}

/// The store goes on with the key that its log names, which is the only one of this log in the token. Returns its epoch.
fn check_after(store: &Path, token: &TokenSettings) -> u64 {
    let epoch = run(async {
        let recorder = Recorder::open(options(store, Some(token))).unwrap();
        let (origin, epoch) = (Store::open(store).unwrap(), recorder.status().epoch);
        let origin = origin.origin();
        assert!(!store.join("keys/log.next.key").exists());
        let mut held = labels(&session());
        held.retain(|label| label.starts_with(origin));
        assert_eq!(held, pair(origin, epoch));
        recorder.append(&some_event()).await.unwrap();
        recorder.rotate().await.unwrap();
        recorder.close().await.unwrap();
        epoch
    });
    // The unclean end is a gap of its own.
    assert_eq!(verdict(store), (11, vec![]));
    epoch
}

/// Half a pair is left where the end came between the two halves.
#[test]
fn what_a_rotation_left_in_the_token_is_destroyed_at_the_next_start() {
    apart(
        "what_a_rotation_left_in_the_token_is_destroyed_at_the_next_start",
        |dir| {
            let (store, token) = (dir.join("store"), token(dir));
            run(async {
                let open = || Recorder::open(options(&store, Some(&token))).unwrap();
                let recorder = open();
                recorder.rotate().await.unwrap();
                let session = session();
                recorder.close().await.unwrap();
                let origin = Store::open(&store).unwrap().origin().to_owned();
                for left in [1, 3] {
                    // Where the next key lies is durable before anything is made or destroyed in the token.
                    std::fs::copy(store.join("keys/log.key"), store.join("keys/log.next.key"))
                        .unwrap();
                    let label = format!("{origin} epoch {left}").into_bytes();
                    let public = session
                        .find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY)])
                        .unwrap();
                    session
                        .copy_object(
                            public[0],
                            &[Attribute::Label(label.clone()), Attribute::Id(label)],
                        )
                        .unwrap();
                    assert_eq!(labels(&session).len(), 3);
                    open().close().await.unwrap();
                    assert_eq!(labels(&session), pair(&origin, 2));
                }
            });
            assert_eq!(verdict(&store), (0, vec![]));
        },
    );
}

/// A recorder that changes its keys without end, killed in the midst of it, goes on and leaves one key in the token.
#[test]
fn a_recorder_that_is_killed_while_it_changes_keys_goes_on() {
    const VICTIM: &str = "TACHO_TEST_VICTIM";
    const NAME: &str = "a_recorder_that_is_killed_while_it_changes_keys_goes_on";
    apart(NAME, |dir| {
        let (store, token) = (dir.join("store"), token(dir));
        let open = || Recorder::open(options(&store, Some(&token))).unwrap();
        if std::env::var_os(VICTIM).is_some() {
            run(async {
                let recorder = open();
                loop {
                    recorder.append(&some_event()).await.unwrap();
                    println!("\nepoch {}", recorder.rotate().await.unwrap().epoch);
                }
            });
        }
        for spun in 0..12 {
            let mut victim = again(NAME, dir)
                .env(VICTIM, "1")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let told = BufReader::new(victim.stdout.take().unwrap()).lines();
            let mut rotations = told.filter(|line| line.as_ref().unwrap().starts_with("epoch "));
            rotations.nth(1).unwrap().unwrap();
            // Another moment of the next rotation every time.
            let deadline = Instant::now() + Duration::from_micros(400) * spun;
            while Instant::now() < deadline {
                std::hint::spin_loop();
            }
            victim.kill().unwrap();
            victim.wait().unwrap();
        }
        run(async {
            let recorder = open();
            let origin = Store::open(&store).unwrap().origin().to_owned();
            let epoch = recorder.status().epoch;
            assert!(epoch > 24, "{epoch}");
            assert_eq!(labels(&session()), pair(&origin, epoch));
            recorder.close().await.unwrap();
        });
        let (code, faults) = verdict(&store);
        assert_eq!((code, faults), (11, vec![]));
    });
}
