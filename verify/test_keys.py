"""A log whose keys followed each other, one of them revoked: what heads under them are worth, alike in both verifiers."""

import time
import urllib.error
import urllib.request

import pytest

import forging
from authority import Authority
from conftest import Recorder, copy, first_verifier
from tachoverify import event
from tachoverify.report import Report
from agreement import compare

SIZE = 8


@pytest.fixture(scope="module")
def rotated(tmp_path_factory):
    """A store with three keys, of which the first is revoked, and what it takes to forge under each."""
    folder = tmp_path_factory.mktemp("rotated")
    recorder = Recorder(folder, '[upstream.raw]\nbase_url = "http://127.0.0.1:1"\napi = "raw"\n')
    keys = []
    for words in (["rotate"], ["rotate"], ["revoke", "1", "--reason", "it was lost"]):
        for number in range(5):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(recorder.agent("a", f"raw/{number}"), timeout=20)
        if words == ["rotate"]:
            keys.append(forging.own_key(recorder.data))
        recorder.run("keys", *words)
    recorder.stop()
    store = copy(recorder.data, folder / "copy")
    return store, [*keys, forging.own_key(store)]


@pytest.fixture(scope="module")
def stamped(rotated, tmp_path_factory):
    """The same with a head, behind the revocation, that an authority stamped."""
    folder = tmp_path_factory.mktemp("stamped")
    store, authority = copy(rotated[0], folder / "record"), Authority(folder)
    head = forging.publish(store, len(forging.read_events(store)))
    (head / "first.tsr").write_bytes(authority.stamp((head / "checkpoint").read_bytes()))
    return store, authority


def policy_of(store, folder, log=None) -> str:
    log = log or (store / "log/vkey").read_text().strip()
    witnesses = "".join(f"witness w{n} {forging.public_key(f'example.com/w{n}', 4, forging.private_key(n))}\n" for n in (1, 2, 3))
    (folder / "policy").write_text(f"log {log}\n{witnesses}group g 2 w1 w2 w3\nquorum g\n")
    return str(folder / "policy")


def held(store, folder, root: bytes, private, witnesses: dict[int, int]) -> str:
    """A head that the auditor holds, cosigned by witnesses at these times."""
    place = folder / "held"
    place.mkdir(parents=True, exist_ok=True)
    (place / "cosigned").write_text(forging.head(store, SIZE, root, private))
    for number, seconds in witnesses.items():
        forging.cosign(place, f"example.com/w{number}", number, seconds)
    return str(place / "cosigned")


NOW, HOUR = int(time.time()), 3600
#: The times of witnesses 1, 2, ..; the exit codes without a policy, with one, and with one and a time stamp.
FORKS = {
    "signed by the revoked key alone": ({}, 12, 12, 12),
    "cosigned by the quorum": ({1: NOW - HOUR, 3: NOW - HOUR}, 12, 10, 10),
    "cosigned by too few": ({1: NOW - HOUR, 9: NOW - HOUR}, 12, 12, 12),
    "cosigned after outsiders had seen the revocation": ({1: NOW - HOUR, 2: NOW + HOUR}, 12, 10, 12),
}


@pytest.mark.parametrize("what", FORKS)
def test_a_revocation_does_not_undo_what_witnesses_vouched_for(rotated, stamped, tmp_path, what):
    store, keys = rotated
    times, without, asked, with_time = FORKS[what]
    head = held(store, tmp_path, bytes(32), keys[0], times)
    policy = policy_of(store, tmp_path)
    assert compare(store, what, "--head", head) == without
    found = compare(store, what, "--head", head, "--policy", policy)
    assert found == asked
    marked, authority = stamped
    found = compare(marked, what, "--head", head, "--policy", policy, "--roots", str(authority.root))
    assert found == with_time
    verdicts = {claim["claim"]: claim["verdict"] for claim in first_verifier(store, "--head", head, "--policy", policy)[1]["claims"]}
    assert verdicts["content"] == ("invalid" if asked == 10 else "valid")


def test_a_head_of_this_log_counts_though_its_key_was_revoked(rotated, tmp_path):
    store, keys = rotated
    root = forging.root_of(forging.read_events(store)[:SIZE])
    assert compare(store, "of this log", "--head", held(store, tmp_path, root, keys[0], {})) in (0, 11)


def test_the_policy_may_name_any_key_that_the_log_handed_over_to(rotated, tmp_path):
    store, keys = rotated
    origin = (store / "log/vkey").read_text().partition("+")[0]
    root = forging.root_of(forging.read_events(store)[:SIZE])
    head = held(store, tmp_path, root, keys[0], {1: NOW, 2: NOW})
    fork = held(store, tmp_path / "fork", bytes(32), keys[0], {1: NOW - HOUR, 2: NOW - HOUR})
    for key in [*keys, forging.private_key(9)]:
        known = key in keys
        (tmp_path / "policy").write_text(f"log {forging.public_key(origin, 1, key)}\nquorum none\n")
        assert (compare(store, "the log's key", "--policy", str(tmp_path / "policy")) != 10) == known
        policy = policy_of(store, tmp_path, forging.public_key(origin, 1, key))
        assert compare(store, "an honest head", "--head", head, "--policy", policy) == (12 if known else 10)
        assert compare(store, "a fork", "--head", fork, "--policy", policy) == 10
    told = [event.parse(line) for line in forging.read_events(store)]
    [_, second, *_] = [one.facts["note"] for one in told if one.kind == "key.epoch"]
    ml_dsa = second.split("\n")[6].removeprefix("key ")
    assert compare(store, "the key that cosigns", "--policy", policy_of(store, tmp_path, ml_dsa)) == 12


def test_a_key_that_unread_events_may_tell_of_is_no_strangers(rotated, tmp_path):
    """All events lie in one bundle; which key is in force is not known, and nothing is said against it."""
    store = copy(rotated[0], tmp_path / "record")
    [bundle] = store.glob("log/tile/entries/**/*.zst")
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    assert compare(store, "the bundle is broken") == 10
    verdicts = {claim["claim"]: claim["verdict"] for claim in first_verifier(store)[1]["claims"]}
    assert [claim for claim, verdict in verdicts.items() if verdict == "invalid"] == ["content"], verdicts
    head = tmp_path / "head"
    root = forging.root_of(forging.read_events(rotated[0])[:SIZE])
    for key in [*rotated[1], forging.private_key(9)]:
        head.write_text(forging.head(store, SIZE, root, key))
        assert compare(store, "and a head", "--head", str(head)) == 10
    # A false signature is one whatever else there is.
    head.write_text(forging.head(store, SIZE, root, rotated[1][0]).replace("\n8\n", "\n9\n"))
    assert compare(store, "and a false head", "--head", str(head)) == 10
    assert first_verifier(store, "--head", str(head))[1]["verdict"] == "ALTERED"


def test_a_report_stays_small_whatever_is_wrong_with_a_store():
    report = Report()
    for number in range(1000):
        report.fault("content", "altered", number, "it is another")
        report.lacks("time", f"anchor {number}")
    report.fault("epoch", "epoch", None, "it is not its key's")
    found = report.as_json()
    assert [len(found["faults"]), found["fault_count"], len(found["missing"]), found["missing_count"]] == [100, 1001, 100, 1000]
    assert len(report._said["time", "unverifiable"][0]) < 10
    assert {claim["claim"]: claim["verdict"] for claim in found["claims"]}["epoch"] == "invalid"
