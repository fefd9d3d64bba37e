"""What outsiders vouch for, held against the store: the same verdicts from both verifiers, and the right ones."""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

import forging
import tacho_verify
from authority import Authority
from conftest import TACHO, copy
from tachoverify import policy, timestamp
from tachoverify.brackets import Outside, brackets, parse_time
from tachoverify.faults import Malformed
from tachoverify.note import Key, Signer
from tachoverify.verify import verify
from agreement import compare

SIZE = 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def anchored(demo, authority, tmp_path_factory):
    """The demo's store with a head that is time-stamped and cosigned by two witnesses, and the events that tell so."""
    folder = tmp_path_factory.mktemp("anchored")
    store = copy(demo, folder / "record")
    head = forging.publish(store, SIZE)
    checkpoint = (head / "checkpoint").read_bytes()
    answer = authority.stamp(checkpoint)
    (head / "first.tsr").write_bytes(answer)
    now = int(time.time())
    lines = [forging.cosign(head, f"example.com/w{number}", number, now) for number in (1, 2)]
    about = {"size": SIZE, "root": base64.b64encode(forging.root_of(forging.read_events(store)[:SIZE])).decode()}
    stamped = timestamp.parse_response(answer).claims.gen_time.isoformat().replace("+00:00", "Z")
    digest = hashlib.sha256(checkpoint).hexdigest()
    forging.tell(
        store,
        ("anchor.timestamp", about | {"authority": "first", "gen_time": stamped, "serial": "01", "policy": "1.2.3.4.1",
                                      "token_sha256": hashlib.sha256(answer).hexdigest(), "checkpoint_sha256": digest,
                                      "attempts": 1, "waited_ms": 0}),
        *(("anchor.witness", about | {"witness": f"example.com/w{number}", "signature": line, "attempts": 1, "waited_ms": 0,
                                      "key": str(forging.public_key(f"example.com/w{number}", 4, forging.private_key(number))),
                                      "time": parse_time_of(now)})
          for number, line in zip((1, 2), lines)),
        ("anchor.copy", about | {"place": "second", "checkpoint_sha256": digest, "attempts": 1, "waited_ms": 0}),
    )
    forging.publish(store, 20)
    log = (store / "log/vkey").read_text().strip()
    keys = [forging.public_key(f"example.com/w{number}", 4, forging.private_key(number)) for number in (1, 2, 3)]
    witnesses = "".join(f"witness w{number} {key}\n" for number, key in enumerate(keys, 1))
    other = forging.public_key(log.partition("+")[0], 1, forging.private_key(9))
    for name, text in {
        "two": f"log {log}\n{witnesses}group g 2 w1 w2 w3\nquorum g\n",
        "all": f"log {log}\n{witnesses}group g all w1 w2 w3\nquorum g\n",
        "none": f"log {log}\nquorum none\n",
        "otherlog": f"log {forging.public_key('example.com/other', 1, forging.private_key(8))}\n{witnesses}quorum w1\n",
        "otherkey": f"log {other}\n{witnesses}quorum w1\n",
    }.items():
        (folder / name).write_text(text)
    (folder / "held").write_text((head / "checkpoint").read_text())
    (folder / "beyond").write_text(forging.head(store, 1000, bytes(32)))
    (folder / "fork").write_text(forging.head(store, SIZE, bytes(32)))
    (folder / "stranger").write_text(forging.head(store, SIZE, bytes(32), forging.private_key(9)))
    (folder / "nonsense").write_text("nonsense\n")
    origin = log.partition("+")[0]
    (folder / "otherhead").write_text((head / "checkpoint").read_text().replace(origin, "example.com/other"))
    return folder


def parse_time_of(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


ROOTS, TWO = ["--roots", "ca.pem"], ["--policy", "two"]
LONG_AGO, SOON = ["--at", "2020-01-01T00:00:00Z"], ["--at", "2100-01-01T00:00:00Z"]
#: Options, exit code, and the claims that are of interest.
ASKED = [
    ([], 0, {"time": "unverifiable", "witnesses": "unverifiable", "signature": "valid"}),
    (ROOTS, 0, {"time": "valid", "witnesses": "unverifiable"}),
    (TWO, 0, {"time": "valid", "witnesses": "valid"}),
    (ROOTS + TWO, 0, {"time": "valid", "witnesses": "valid"}),
    (ROOTS + TWO + SOON, 0, {"time": "valid", "witnesses": "valid"}),
    (ROOTS + TWO + LONG_AGO, 12, {"time": "unverifiable", "witnesses": "unverifiable"}),
    (["--policy", "all"], 12, {"witnesses": "unverifiable"}),
    (["--policy", "none"], 0, {"witnesses": "unverifiable"}),
    (["--policy", "otherlog"], 12, {"signature": "unverifiable"}),
    (["--policy", "otherkey"], 10, {"signature": "invalid"}),
    (["--roots", "stranger.pem"], 12, {"time": "unverifiable"}),
    # A root of the same name with another key is another root.
    (["--roots", "namesake.pem"], 12, {"time": "unverifiable"}),
    (["--head", "held"], 0, {"witnesses": "valid"}),
    (["--head", "held", "--head", "beyond"], 10, {"sequence": "invalid"}),
    (["--head", "fork"], 10, {"content": "invalid"}),
    (["--head", "stranger"], 10, {"signature": "invalid"}),
    (["--head", "nonsense"], 12, {"witnesses": "unverifiable"}),
    # A mistake of whoever asks, and no verdict, unless anything speaks against the log or for another.
    (["--head", "otherhead"], 12, {}),
    (["--head", "held", "--head", "otherhead"] + TWO, 12, {}),
    (["--head", "otherhead", "--policy", "otherlog"], 12, {"signature": "unverifiable"}),
    (["--head", "otherhead", "--head", "fork"], 10, {"content": "invalid"}),
    (["--head", "otherhead", "--policy", "otherkey"], 10, {"signature": "invalid", "witnesses": "unverifiable"}),
]


def options(anchored, authority, words: list[str], other) -> list[str]:
    places = {"ca.pem": authority and authority.root} | other
    return [word if word.startswith("--") or "T00" in word else str(places.get(word, anchored / word)) for word in words]


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    namesake = Authority(tmp_path_factory.mktemp("namesake"))
    stranger = Authority(tmp_path_factory.mktemp("stranger"), name="Stranger")
    return {"namesake.pem": namesake.root, "stranger.pem": stranger.root}


@pytest.fixture(scope="module")
def first_takes_options():
    return "--policy" in subprocess.run([TACHO, "verify", "--help"], capture_output=True, text=True, timeout=60).stdout


def judge(store, words) -> dict:
    return verify(store, tacho_verify.read([str(store), *words])[1]).as_json()


def both(store, what, words, first_takes_options) -> dict:
    if first_takes_options or not words:
        compare(store, what, *words)
    return judge(store, words)


@pytest.mark.parametrize("words, exit_code, claims", ASKED, ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_what_the_auditor_asks(anchored, authority, other, first_takes_options, words, exit_code, claims):
    report = both(anchored / "record", "anchored", options(anchored, authority, words, other), first_takes_options)
    found = {claim["claim"]: claim["verdict"] for claim in report["claims"]}
    assert (report["exit_code"], {name: found[name] for name in claims}) == (exit_code, claims), (report["faults"], report["missing"])


def test_only_what_holds_whole_is_called_verified(anchored, authority, other, tmp_path, first_takes_options):
    store = copy(anchored / "record", tmp_path / "record")
    for keys, verdict in ((True, "verified"), (False, "verified in part; what is UNVERIFIABLE could not be told")):
        if not keys:
            shutil.rmtree(store / "keys")
        report = both(store, f"keys: {keys}", options(anchored, authority, ROOTS + TWO, other), first_takes_options)
        assert (report["exit_code"], report["verdict"]) == (0, verdict)


def swap(path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def flip(path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


HEAD = f"anchors/{SIZE:020}"
DONE = {
    "a head is removed": lambda store: (store / HEAD / "checkpoint").unlink(),
    "a head is another": lambda store: (store / HEAD / "checkpoint").write_text(forging.head(store, SIZE, bytes(32))),
    "a head is of another size": lambda store: (store / HEAD / "checkpoint").write_bytes((store / f"anchors/{20:020}/checkpoint").read_bytes()),
    "a head is by another key": lambda store: (store / HEAD / "checkpoint").write_text(
        forging.head(store, SIZE, forging.root_of(forging.read_events(store)[:SIZE]), forging.private_key(9))),
    "a head is beyond the log": lambda store: (store / HEAD).rename(store / f"anchors/{1000:020}"),
    "a token is removed": lambda store: (store / HEAD / "first.tsr").unlink(),
    "a token is broken": lambda store: flip(store / HEAD / "first.tsr", -1),
    "a token is cut short": lambda store: (store / HEAD / "first.tsr").write_bytes((store / HEAD / "first.tsr").read_bytes()[:-7]),
    "a token is for another head": lambda store: (store / f"anchors/{20:020}/first.tsr").write_bytes((store / HEAD / "first.tsr").read_bytes()),
    "cosignatures are removed": lambda store: (store / HEAD / "cosigned").unlink(),
    "a cosignature is removed": lambda store: (store / HEAD / "cosigned").write_text(
        "\n".join((store / HEAD / "cosigned").read_text().split("\n")[:-2]) + "\n"),
    "a cosignature is another's": lambda store: swap(store / HEAD / "cosigned", b"example.com/w1", b"example.com/w9"),
    "a cosignature is false": lambda store: (store / HEAD / "cosigned").write_text(
        _false((store / HEAD / "cosigned").read_text())),
    "a head is longer than any": lambda store: lengthen(store / HEAD / "checkpoint", 512 << 10),
    "a head is a directory": lambda store: instead(store / HEAD / "checkpoint", os.mkdir),
    "a head is a pipe": lambda store: instead(store / HEAD / "checkpoint", os.mkfifo),
    "a head is a link to a device": lambda store: instead(store / HEAD / "checkpoint", lambda path: os.symlink("/dev/zero", path)),
    "a head's directory is a file": lambda store: instead(store / HEAD, pathlib.Path.touch),
    "a head beyond every number": lambda store: shutil.copytree(store / HEAD, store / f"anchors/{10**20 - 1}"),
    "a token is longer than any": lambda store: lengthen(store / HEAD / "first.tsr", 132 << 10),
    "a token is a pipe": lambda store: instead(store / HEAD / "first.tsr", os.mkfifo),
    "cosignatures are a directory": lambda store: instead(store / HEAD / "cosigned", os.mkdir),
    "cosignatures are longer than any": lambda store: lengthen(store / HEAD / "cosigned", 512 << 10),
    "an authority is a path": lambda store: tell_again(store, "anchor.timestamp", authority=f"../{SIZE:020}/first"),
    "an authority ends a string": lambda store: tell_again(store, "anchor.timestamp", authority="first\0"),
    "an authority is half a character": lambda store: tell_again(store, "anchor.timestamp", authority="first\ud800"),
    "an authority is nothing": lambda store: tell_again(store, "anchor.timestamp", authority=""),
    "an authority is too long for a file": lambda store: tell_again(store, "anchor.timestamp", authority="x" * 300),
    "a cosignature is half a character": lambda store: tell_again(store, "anchor.witness", signature="\ud800"),
    "a witness is half a character": lambda store: tell_again(store, "anchor.witness", witness="\udfff"),
    "a place is half a character": lambda store: tell_again(store, "anchor.copy", place="\ud800"),
    "all anchors are removed": lambda store: shutil.rmtree(store / "anchors"),
    "the log is rewritten under its own key": lambda store: forging.rewrite(
        store, forging.CHANGES["an event is edited"](forging.read_events(store), 5), True, True),
    "the tail is cut off under its own key": lambda store: forging.rewrite(store, forging.read_events(store)[:15], True, True),
}


def lengthen(path: pathlib.Path, by: int) -> None:
    path.write_bytes(path.read_bytes() + b"x" * by)


def instead(path: pathlib.Path, make) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    make(path)


def tell_again(store: pathlib.Path, kind: str, **changes) -> None:
    """An event that tells of an anchor as the first of its kind does, but for some facts."""
    events = (json.loads(line) for line in forging.read_events(store))
    forging.tell(store, (kind, next(event["facts"] for event in events if event["kind"] == kind) | changes))


def _false(note: str) -> str:
    """The last cosignature with another signature of the same key's name."""
    head, line = note.rstrip("\n").rsplit("\n", 1)
    dash, name, blob = line.split(" ")
    raw = bytearray(base64.b64decode(blob))
    raw[-1] ^= 1
    return f"{head}\n{dash} {name} {base64.b64encode(raw).decode()}\n"


@pytest.mark.parametrize("words", [[], ROOTS + TWO], ids=["nothing brought", "roots and policy"])
@pytest.mark.parametrize("what", DONE)
def test_anchors_under_attack(anchored, authority, other, tmp_path, first_takes_options, what, words):
    store = copy(anchored / "record", tmp_path / "record")
    DONE[what](store)
    report = both(store, what, options(anchored, authority, words, other), first_takes_options)
    # A cosignature in the name of a key that nobody named says nothing.
    silent = what == "a cosignature is false" and not words or what == "a head beyond every number"
    assert report["exit_code"] in (10, 12) or silent, (what, report["claims"])


def test_a_log_that_tells_of_another_history_is_not_called_verified(anchored, authority, other, tmp_path, first_takes_options):
    """Which of the two was rewritten it cannot say."""
    store = copy(anchored / "record", tmp_path / "record")
    failed = {"anchor": "witness", "name": "example.com/w1", "error": "it knows another history", "since": "2026-01-01T00:00:00Z"}
    forging.tell(store, ("anchor.failed", failed))
    words = options(anchored, authority, ROOTS + TWO, other)
    assert both(store, "a failure", words, first_takes_options)["incidents"] == []
    forging.tell(store, ("anchor.failed", failed | {"incident": True}))
    report = both(store, "an incident", words, first_takes_options)
    assert (len(report["incidents"]), report["exit_code"]) == (1, 11)
    assert report["verdict"] == "verified, but somebody outside knew another history of this log"


def test_a_publication_that_broke_off_is_no_head_that_is_missing(anchored, authority, other, tmp_path, first_takes_options):
    store = copy(anchored / "record", tmp_path / "record")
    for size in (SIZE + 1, 1000):
        (store / f"anchors/{size:020}").mkdir()
    report = both(store, "a publication broke off", options(anchored, authority, ROOTS + TWO, other), first_takes_options)
    assert report["exit_code"] == 0, (report["faults"], report["missing"])


def test_a_name_in_a_store_begins_no_line_of_a_report(anchored, tmp_path):
    store = copy(anchored / "record", tmp_path / "record")
    for name in ("a", "b"):
        (store / HEAD / f"{name}\nverified\n\x1b[2J.tsr").write_bytes(b"no token")
    command = [TACHO, "verify", "--data", str(store)]
    first = subprocess.run(command, capture_output=True, text=True, timeout=60)
    second = subprocess.run([sys.executable, tacho_verify.__file__, str(store)], capture_output=True, text=True, timeout=60)
    for done in (first, second):
        assert done.returncode == 10, done.stderr
        assert "verified" not in done.stdout.splitlines() and "\x1b" not in done.stdout, done.stdout


def test_what_came_after_a_cosignature(anchored, tmp_path, first_takes_options):
    """Only the lines of those who count say so, by their own times, and once there are enough of them."""
    store = copy(anchored / "record", tmp_path / "record")
    size, early = len(forging.read_events(store)), int(time.time()) + 10_000
    late, head = early + 3_600, forging.publish(store, size)
    root = base64.b64encode(forging.root_of(forging.read_events(store)[:size])).decode()
    told = []
    # The stranger's line is told first; then old and new lines of the witnesses, an hour apart.
    for name, number, seconds in (("w1", 9, late), ("w1", 1, early), ("w2", 2, late), ("w1", 1, late)):
        line, key = forging.cosign(head, f"example.com/{name}", number, seconds), forging.private_key(number)
        key = str(forging.public_key(f"example.com/{name}", 4, key))
        told.append(("anchor.witness", {"witness": f"example.com/{name}", "signature": line, "key": key, "size": size, "root": root,
                                        "time": parse_time_of(seconds), "attempts": 1, "waited_ms": 0}))
    forging.tell(store, *told, ("gap", {}))
    (anchored / "any").write_text((anchored / "two").read_text().replace("group g 2", "group g any"))

    def not_before(words, exit_code):
        report = both(store, "cosignatures an hour apart", options(anchored, None, words, {}), first_takes_options)
        assert report["exit_code"] == exit_code, (report["faults"], report["missing"])
        found = {seq: one["not_before"] for one in report["brackets"] for seq in range(one["from"], one["to"])}
        times = {parse_time_of(early): "early", parse_time_of(late): "late"}
        return [times.get(found[size + at + 1]) for at in range(len(told))]

    assert not_before(TWO, 11) == [None, None, "early", "late"]
    assert not_before(["--policy", "any"], 11) == [None, "early", "late", "late"]
    assert not_before([], 11) == ["late"] * 4
    # A line that is not there to be verified has told nothing.
    note = (head / "cosigned").read_text().rstrip("\n").rpartition("\n")[0] + "\n"
    (head / "cosigned").write_text(note)
    assert not_before(TWO, 12) == [None, None, "early", "early"]


def test_brackets_are_those_of_a_search_of_all_anchors():
    times = [parse_time(f"2026-01-01T00:{minute:02}:00Z") for minute in range(60)]
    anchors = [Outside("timestamp", "a", size, times[at + 1], [(told, times[at])], at % 3 == 0)
               for at, (size, told) in enumerate([(10, 12), (20, 21), (5, 30), (25, 40), (50, 7), (33, 34), (12, 60)])]
    for some in (anchors, anchors[1:3], anchors[:1], []):
        counted = [one for one in some if one.verified] or some
        ranges = brackets(some, 55)
        assert [ranges[0]["from"], ranges[-1]["to"]] == [0, 55]
        for one in ranges:
            for event in range(one["from"], one["to"]):
                before = max((a.told[0][1] for a in counted if a.told[0][0] < event), default=None)
                after = min((a.latest for a in counted if a.size > event), default=None)
                assert [one["not_before"] and parse_time(one["not_before"]), one["not_after"] and parse_time(one["not_after"])] == [before, after]


# --- policies


def vkey(number: int, kind: int = 4) -> Key:
    return forging.public_key(f"example.com/{number}", kind, forging.private_key(number))


GOOD = f"# comment\nlog {vkey(1, 1)} https://log\n\nwitness a {vkey(2)}\nwitness b {vkey(3)} url\ngroup g any a b\nquorum g\n"
BAD = ["", "quorum none", "quorum a\n", GOOD + "quorum g\n", GOOD.replace("group g any", "group g 3"), GOOD.replace("group g any", "group g 0"),
       GOOD.replace("any a b", "any a c"), GOOD.replace("any a b", "any a a"), GOOD.replace("group g", "group a"),
       GOOD.replace("group g", "group none"), GOOD.replace(str(vkey(3)), str(vkey(2))), GOOD.replace("log ", "lag "),
       GOOD.replace(str(vkey(2)), str(vkey(2, 1))), GOOD.replace("witness a", "witness a\0"), GOOD.replace(" any ", " 01 ")]


@pytest.mark.parametrize("text", BAD)
def test_policies_are_strict(text):
    with pytest.raises(Malformed):
        policy.Policy.parse(text.encode())


@pytest.mark.parametrize("threshold, cosigned, met", [("any", [], False), ("any", [3], True), ("all", [2], False), ("all", [2, 3], True),
                                                      ("2", [2, 3], True), ("1", [4], False)])
def test_quorums(threshold, cosigned, met):
    parsed = policy.Policy.parse(GOOD.replace("any", threshold).encode())
    signers = [Signer(vkey(number), 5) for number in cosigned]
    assert parsed.meets_quorum(set(parsed.in_time(signers, None))) == met
    assert not parsed.meets_quorum(set(parsed.in_time(signers, 4)))
