"""The two verifiers agree: the exit code, the first bad record and the verdict on every claim, whatever was done to a store.

`TACHO_MUTATIONS` says how many blind changes a store gets (default 60); `all` flips every bit of every file.
"""

import contextlib
import errno
import hashlib
import os
import pathlib
import shutil
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

import forging
import tacho_verify
from conftest import TACHO, Recorder, copy, first_verifier
from tachoverify.directory import Directory
from tachoverify.event import Body
from tachoverify.faults import Fault
from tachoverify.report import Report
from tachoverify.vault import runs
from tachoverify.verify import Options, Verification, verify

ASKED = os.environ.get("TACHO_MUTATIONS", "60")
STORES = ["demo", "stopped", "killed"]
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "crates/evidence/tests/golden"


@pytest.fixture(scope="module", params=STORES)
def original(request):
    name = request.param
    return request.getfixturevalue("demo") if name == "demo" else request.getfixturevalue("traffic")[name]


@pytest.fixture
def store(original, tmp_path):
    return copy(original, tmp_path / "record")


def findings(exit_code: int, report: dict) -> dict:
    """What the two must agree on. Where the first verifier only fails there is no more than the exit code."""
    if not report:
        return {"exit_code": exit_code}
    first = report["faults"][0]["seq"] if report["faults"] else "none"
    claims = {claim["claim"]: claim["verdict"] for claim in report["claims"] if claim["detail"]}
    counts = {name: report[name] for name in ("events", "signed_events", "unsigned_tail", "root", "bodies", "body_bytes",
                                              "gaps", "open_calls", "odd_ends", "ended")}
    return {"exit_code": exit_code, "verdict": report["verdict"], "first": first, "claims": claims, "counts": counts, "brackets": brackets(report),
            "tail": [report["unanchored_tail"][name] for name in ("from", "events", "verified")]}


def brackets(report: dict) -> list:
    """Where the times between which events were recorded change, and to which."""
    found: list = []
    for one in report["brackets"]:
        sides = [one["not_before"], one["not_after"]]
        times = [side["time"] if isinstance(side, dict) else side for side in sides]
        if not found or found[-1][1:] != times:
            found.append([one["from"], *times])
    return found


def compare(store: pathlib.Path, what: str, *options: str) -> int:
    """The exit code of both. `options` are those of either command line."""
    exit_code, report = first_verifier(store, *options)
    second = verify(store, tacho_verify.read([str(store), *options])[1]).as_json()
    theirs, ours = alike(exit_code, report, second)
    assert ours == theirs, (what, report.get("faults", [])[:3], second["faults"][:3], second["missing"])
    return exit_code


def alike(exit_code: int, report: dict, second: dict) -> tuple[dict, dict]:
    """The findings of both, as far as they can be compared."""
    theirs, ours = findings(exit_code, report), findings(second["exit_code"], second)
    ours = {name: ours[name] for name in theirs}
    if "claims" in theirs:
        # Of what one of them says nothing at all they cannot disagree.
        ours["claims"] = {name: verdict for name, verdict in ours["claims"].items() if name in theirs["claims"]}
    return theirs, ours


def test_an_untouched_store_verifies(store, original):
    assert compare(store, "untouched") in (0, 11)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in GOLDEN.glob("*/format")))
def test_stores_of_every_version(name, tmp_path):
    assert compare(copy(GOLDEN / name, tmp_path / "record"), name) in (0, 11, 12)


def test_blind_changes(store, figure):
    found: dict[int, int] = {}
    if ASKED == "all":
        changes = (change for path in forging.files(store) for change in forging.flips(path))
    else:
        changes = forging.blind(store, int(ASKED), seed=1)
    for what, path, new in changes:
        old = path.read_bytes()
        path.unlink() if new is None else path.write_bytes(new)
        try:
            exit_code = compare(store, what)
        finally:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(old)
        found[exit_code] = found.get(exit_code, 0) + 1
    figure(f"second verifier: {sum(found.values())} blind changes judged alike, by exit code {dict(sorted(found.items()))}")


@pytest.mark.parametrize("depth", forging.DEPTHS)
@pytest.mark.parametrize("change", forging.CHANGES)
def test_forged_events(traffic, tmp_path, change, depth):
    original = traffic["stopped"]
    events = forging.read_events(original)
    for at in (1, 100, len(events) - 2):
        store = copy(original, tmp_path / str(at))
        forging.rewrite(store, forging.CHANGES[change](events, at), *forging.DEPTHS[depth])
        exit_code = compare(store, f"{change} at {at}, {depth}")
        # A whole log rewritten under its own key and numbered anew is what only an anchor outside shows.
        undetectable = depth in list(forging.DEPTHS)[2:] and change in ("an event is edited", "the tail is cut off")
        assert undetectable or exit_code == 10, (change, at, depth)
        shutil.rmtree(store)


@pytest.mark.parametrize("before, after", [(b"", b"\x50\x2a\x4d\x18\4\0\0\0more"), (b"\x50\x2a\x4d\x18\0\0\0\0", b""),
                                           (b"", forging.stored(b"")), (b"", b"\0")], ids=["skippable", "before", "empty", "zero"])
def test_bytes_that_a_library_would_skip(demo, tmp_path, before, after):
    store = copy(demo, tmp_path / "record")
    [path] = (store / "log/tile/entries").rglob("*.zst")
    frame = before + path.read_bytes()[:-12] + after
    path.write_bytes(frame + b"\x5c\x2a\x4d\x18\4\0\0\0" + forging.crc32c(frame).to_bytes(4, "little"))
    assert compare(store, "more than one frame in a bundle") == 10


KINDS = ["a pipe", "a directory", "a loop", "a socket", "/dev/zero", "/dev/null", "/proc/self/mem"]


def put(path: pathlib.Path, kind: str) -> None:
    """What is no file, in the place of one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a file":
        path.write_text("no directory")
    elif kind == "a socket":
        with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    else:
        path.symlink_to(path if kind == "a loop" else kind)


#: Where something may stand, the claim that it speaks against, and the exit code. A key is no evidence.
PLACES = [("format", "content", 10), ("state", "sequence", 10), ("log/checkpoint", "signature", 10), ("log/vkey", "epoch", 10),
          ("log/tile/0/000", "content", 10), ("log/tile/entries/000.zst", "content", 10), ("vault/0000000001.vol", "bodies", 10),
          ("vault/0000000001.key", "bodies", 10), ("vault/salts/00000000.seed", "bodies", 10),
          (f"anchors/{50:020}/checkpoint", "signature", 10), (f"anchors/{50:020}/cosigned", "witnesses", 10),
          (f"anchors/{50:020}/tsa.tsr", "time", 10), ("keys/vault.key", None, 0)]


@pytest.fixture(scope="module")
def published(traffic, tmp_path_factory):
    store = copy(traffic["stopped"], tmp_path_factory.mktemp("published") / "record")
    forging.cosign(forging.publish(store, 50), "example.com/w1", 1, 1_700_000_000)
    return store


@pytest.mark.parametrize("place, claim, expected", PLACES, ids=[place for place, *_ in PLACES])
def test_what_is_no_file(published, tmp_path, place, claim, expected):
    store = copy(published, tmp_path / "record")
    for kind in KINDS:
        put(store / place, kind)
        exit_code = compare(store, f"{kind} as {place}")
        assert exit_code == expected or expected == 0 and exit_code == 11, (kind, exit_code)
        word = "tile" if place.startswith("log/tile/0/") else "corrupt" if kind == "/proc/self/mem" else "altered"
        for fault in first_verifier(store)[1]["faults"][:1] + [vars(one) for one in verify(store, Options()).faults[:1]]:
            assert (fault["claim"], fault["what"]) == (claim, word), (kind, fault)


@pytest.mark.parametrize("place, claim", [("anchors", "time"), (f"anchors/{50:020}", "time"), (f"anchors/{7:020}", "time"),
                                          ("wal", "content"), ("vault", "bodies"), ("vault/salts", "bodies"), ("log", "epoch"),
                                          ("log/tile/entries", "content")])
def test_what_is_no_directory(published, tmp_path, place, claim):
    store = copy(published, tmp_path / "record")
    for kind in ("a file", "a pipe", "a loop", "/dev/zero"):
        put(store / place, kind)
        assert compare(store, f"{kind} as {place}") == 10, kind
        for fault in verify(store, Options()).faults[:1]:
            assert (fault.claim, fault.what) == (claim, "altered"), (kind, fault)


def test_what_is_no_file_in_the_tail(traffic, tmp_path):
    store = copy(traffic["killed"], tmp_path / "record")
    for segment in sorted((store / "wal").iterdir())[:1]:
        for kind in KINDS:
            put(segment, kind)
            assert compare(store, f"{kind} as {segment.name}") == 10


def test_what_may_not_be_read_weighs_as_much_as_what_is_missing(published, tmp_path, monkeypatch):
    """As another user; whoever runs the tests may read everything, perhaps, so it is feigned."""
    opened = os.open
    for place, *_ in PLACES:
        store = copy(published, tmp_path / "record")

        def refuse(path, *more, place=store / place, **named):
            if pathlib.Path(path) == place:
                raise PermissionError(errno.EACCES, "Permission denied")
            return opened(path, *more, **named)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            report = verify(store, Options())
        (store / place).unlink(missing_ok=True)
        assert report.exit_code == verify(store, Options()).exit_code, place
        shutil.rmtree(store)


BROKEN = "DAMAGED: broken by a failing disk, or on purpose"


def flip(path: pathlib.Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["demo", "stopped", "published"])
def test_a_broken_bundle_has_no_false_consequences(request, traffic, tmp_path, name):
    original = traffic[name] if name in traffic else request.getfixturevalue(name)
    for bundle in (path.relative_to(original) for path in sorted(original.glob("log/tile/entries/**/*.zst"))):
        store = copy(original, tmp_path / "record")
        flip(store / bundle, (store / bundle).stat().st_size // 2)
        assert compare(store, f"{bundle} is broken") == 10
        report = first_verifier(store)[1]
        assert (report["verdict"], [fault["what"] for fault in report["faults"]]) == (BROKEN, ["corrupt"])
        verdicts = {claim["claim"]: claim["verdict"] for claim in report["claims"]}
        invalid = [claim for claim, verdict in verdicts.items() if verdict == "invalid"]
        assert (invalid, verdicts["sequence"], verdicts["epoch"]) == (["content"], "unverifiable", "unverifiable"), verdicts
        # A head that the auditor holds cannot be judged, and a false one says nothing more.
        head = tmp_path / "head"
        head.write_text(forging.head(store, len(forging.read_events(original)), bytes(32)))
        assert compare(store, "and a head", "--head", str(head)) == 10
        shutil.rmtree(store)


def verdicts(report: dict) -> dict:
    return {claim["claim"]: claim["verdict"] for claim in report["claims"]}


def both_reports(store: pathlib.Path, *options: str) -> list[dict]:
    """What either verifier says, where they agree."""
    compare(store, str(options), *options)
    return [first_verifier(store, *options)[1], verify(store, tacho_verify.read([str(store), *options])[1]).as_json()]


def words(report: dict) -> list[str]:
    return [fault["what"] for fault in report["faults"]]


def test_a_broken_bundle_hides_no_tail_that_was_cut_off(published, tmp_path):
    """Who cuts the end off and then breaks a bundle of what is left gains nothing by the second."""
    store, head = copy(published, tmp_path / "record"), tmp_path / "head"
    events = forging.read_events(store)
    head.write_text(forging.head(store, len(events) - 1, forging.root_of(events[:-1])))
    forging.publish(store, len(events) - 2)
    forging.rewrite(store, events[:300], tiles=True, signed=False)
    for break_it in (False, True):
        if break_it:
            flip(sorted(store.glob("log/tile/entries/**/*.zst"))[-1], 40)
        for report in both_reports(store, "--head", str(head)):
            assert words(report) == ["corrupt"] * break_it + ["removed"] * 3, report["faults"]
            assert (report["verdict"], verdicts(report)["sequence"]) == ("ALTERED", "invalid")
            assert {fault["seq"] for fault in report["faults"] if fault["what"] == "removed"} == {300}


def test_a_broken_bundle_excuses_no_strangers_signature_on_what_was_read(published, tmp_path):
    """Nor one on more than the log says it has: the key may be told of only by events that are there and could not be read."""
    store, head = copy(published, tmp_path / "record"), tmp_path / "head"
    events = forging.read_events(store)
    flip(sorted(store.glob("log/tile/entries/**/*.zst"))[-1], 40)
    own = (store / "log/checkpoint").read_text()
    read = len(events) // 256 * 256
    for size, found in ((50, "invalid"), (read, "invalid"), (read + 1, "unverifiable"), (len(events), "unverifiable"),
                        (len(events) + 1, "invalid")):
        head.write_text(forging.head(store, size, bytes(32), forging.private_key(9)))
        for place in ("held", "own"):
            (store / "log/checkpoint").write_text(own if place == "held" else head.read_text())
            for report in both_reports(store, *(["--head", str(head)] if place == "held" else [])):
                assert verdicts(report)["signature"] == found, (place, size)
                assert (report["verdict"] == BROKEN) == (found == "unverifiable"), (place, size, report["faults"])
    # A head with the log's own cosignature alone is no stranger's, and no signature.
    checkpoint = store / f"anchors/{50:020}/checkpoint"
    text, lines = checkpoint.read_text().split("\n\n")
    checkpoint.write_text(text + "\n\n" + lines.split("\n")[1] + "\n")
    (store / "log/checkpoint").write_text(own)
    far = forging.publish(copy(published, tmp_path / "whole"), read + 1)
    text, lines = (far / "checkpoint").read_text().split("\n\n")
    head.write_text(text + "\n\n" + lines.split("\n")[1] + "\n")
    for options in ([], ["--head", str(head)]):
        for report in both_reports(store, *options):
            assert words(report) == ["corrupt"] + ["signature"] * (1 + bool(options)), report["faults"]
            assert (report["verdict"], verdicts(report)["signature"]) == ("ALTERED", "invalid")


def test_a_volume_that_is_gone_hides_no_alteration(published, tmp_path):
    store = copy(published, tmp_path / "record")
    (store / "vault/0000000001.vol").unlink()
    for report in both_reports(store):
        assert (report["exit_code"], words(report), report["missing"]) == (12, [], ["vault/0000000001.vol"])
        assert (verdicts(report)["content"], verdicts(report)["bodies"]) == ("valid", "unverifiable")
    events = forging.read_events(store)
    forging.rewrite(store, forging.CHANGES["an event is edited"](events, 100), tiles=False, signed=False)
    for report in both_reports(store):
        assert (report["exit_code"], report["faults"][0]["what"]) == (10, "altered"), report["faults"]
        assert report["missing"][-1] == "vault/0000000001.vol"


def test_where_nothing_is_signed_no_signature_is_valid(traffic, tmp_path):
    store = copy(traffic["stopped"], tmp_path / "record")
    (store / "log/checkpoint").unlink()
    path = store / "vault/0000000001.vol"
    flip(path, path.stat().st_size // 2)
    for report in both_reports(store):
        found = verdicts(report)
        assert (found["signature"], found["content"], report["verdict"]) == ("unverifiable", "unverifiable", BROKEN)
        assert report["missing"] == ["a signed checkpoint (log/checkpoint)"]
        assert all(claim["detail"] for claim in report["claims"])


def test_a_head_of_another_log_may_be_a_mistake_and_may_be_a_forgery(published, tmp_path, capsys):
    """Who rewrites everything under another name and key is not told apart from who named the wrong head, and neither is usage."""
    store, head = copy(published, tmp_path / "record"), tmp_path / "head"
    origin = (store / "log/vkey").read_text().partition("+")[0]
    head.write_text(forging.head(store, 50, bytes(32)).replace(origin, "example.com/true", 1))
    assert compare(store, "a head of another log", "--head", str(head)) == 12
    said = subprocess.run([TACHO, "verify", "--data", store, "--head", head], capture_output=True, text=True)
    assert tacho_verify.main([str(store), "--head", str(head)]) == 12
    for told in (said.stderr, capsys.readouterr().err):
        assert all(word in told for word in (origin, "example.com/true", "in this one's place", "--policy")), told
        assert "a head of this one" not in told


def test_what_is_altered_as_well_is_called_so(published, tmp_path):
    """Breaking a bundle hides no alteration that can still be seen."""
    store = copy(published, tmp_path / "record")
    bundles = sorted(store.glob("log/tile/entries/**/*.zst"))
    flip(bundles[-1], 40)
    assert first_verifier(store)[1]["verdict"] == BROKEN
    checkpoint = store / f"anchors/{50:020}/checkpoint"
    checkpoint.write_text(forging.head(store, 50, bytes(32)))
    assert compare(store, "a bundle is broken and a head is another") == 10
    assert first_verifier(store)[1]["verdict"] == "ALTERED"
    (store / "log/checkpoint").write_text(forging.head(store, 50, bytes(32), forging.private_key(9)))
    assert compare(store, "and the checkpoint is a stranger's") == 10
    assert verdicts(first_verifier(store)[1])["signature"] == "invalid"


@pytest.mark.parametrize("place", ["vault/0000000001.vol", "state", "vault/0000000001.key"])
def test_what_else_is_broken_is_called_so(published, tmp_path, place):
    store = copy(published, tmp_path / "record")
    flip(store / place, (store / place).stat().st_size // 2)
    assert compare(store, f"{place} is broken") == 10
    assert first_verifier(store)[1]["verdict"] == BROKEN


@pytest.fixture(scope="module")
def write_only(tmp_path_factory):
    """What a recorder wrote that cannot read it; the investigator's key and a stranger's."""
    folder = tmp_path_factory.mktemp("write-only")
    for name in ("investigator", "stranger"):
        made = subprocess.run([TACHO, "keys", "recipient", "--out", folder / f"{name}.key"], capture_output=True, check=True)
        (folder / f"{name}.pub").write_bytes(made.stdout)
    config = '[vault]\nrecipient = "investigator.pub"\n[upstream.raw]\nbase_url = "http://127.0.0.1:1"\napi = "raw"\n'
    recorder = Recorder(folder, config)
    for session in range(2):
        for number in range(5):
            body = f"{session} {number} ".encode() * (1 + 900 * number)
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(urllib.request.Request(recorder.agent("a", "raw/x"), data=body), timeout=20)
        recorder.stop()
        if session == 0:
            recorder.start()
    return copy(recorder.data, folder / "copy"), folder / "investigator.key", folder / "stranger.key"


def test_bodies_that_only_an_investigator_reads(write_only, tmp_path):
    original, investigator, stranger = write_only
    for keys in (True, False):
        store = copy(original, tmp_path / f"record-{keys}")
        if not keys:
            shutil.rmtree(store / "keys")
        for key, exit_code, verdict in ((None, 0, "unverifiable"), (stranger, 12, "unverifiable"), (investigator, 0, "valid")):
            options = ["--vault-key", str(key)] if key else []
            assert compare(store, f"{key}, keys {keys}", *options) == exit_code
            report = first_verifier(store, *options)[1]
            assert {claim["claim"]: claim["verdict"] for claim in report["claims"]}["bodies"] == verdict
    # What needs no key is found without one, and what does with the investigator's.
    found = {}
    for what, path, new in forging.blind(store, 40, seed=2):
        old = path.read_bytes()
        path.unlink() if new is None else path.write_bytes(new)
        for options in ([], ["--vault-key", str(investigator)]):
            exit_code = compare(store, what, *options)
            found[exit_code] = found.get(exit_code, 0) + 1
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(old)
    assert set(found) >= {10}, found


EMPTIED = b"sha256 " + hashlib.sha256(b"").hexdigest().encode() + b"\n"


@pytest.mark.parametrize("path", ["vault/0000000001.key", "vault/salts/00000000.seed"])
def test_a_key_that_opens_for_nobody_weighs_as_much_as_one_that_is_gone(traffic, write_only, tmp_path, path):
    for at, new in enumerate((None, EMPTIED, (write_only[0] / path).read_bytes())):
        for keys in (True, False):
            store = copy(traffic["stopped"], tmp_path / f"{at}-{keys}")
            if not keys:
                shutil.rmtree(store / "keys")
            (store / path).unlink() if new is None else (store / path).write_bytes(new)
            assert compare(store, f"{path} {new}, keys {keys}") == 12


def test_a_recorder_that_ends_meanwhile(traffic, tmp_path):
    """What it signs and publishes after the first look is looked at again, and is no alteration."""
    store = copy(traffic["stopped"], tmp_path / "record")
    events = forging.read_events(store)
    forging.publish(store, 50)
    earlier = {"log/checkpoint": forging.head(store, 100, forging.root_of(events[:100])).encode(), "anchors": []}

    class Earlier(Directory):
        def read(self, path):
            return earlier.pop(path, None) or super().read(path)

        def names(self, path):
            return earlier.pop(path, None) or [] if path in earlier else super().names(path)

    report = Report()
    Verification(Earlier(store), Options(), report).run()
    assert not earlier and (report.exit_code, report.faults) == (verify(store, Options()).exit_code, [])
    assert report.signed_events == len(events)


def test_a_body_is_read_no_further_than_its_event_says(traffic):
    """A few bytes of recipe name petabytes; the event's length bounds what is read of them."""
    vault = Verification(Directory(traffic["stopped"]), Options(), Report()).vault
    # One run of 2^32 chunks from chunk 0 on.
    recipe = bytes([1, 0, 0x80, 0x80, 0x80, 0x80, 0x10])
    assert runs(recipe) == [(0, 1 << 32)]
    vault._pieces = lambda *_: pytest.fail("it is read")
    for says, length in ((1000, 1000), (1000, 1 << 52)):
        vault._record = lambda _, length=length: (length, recipe)
        with pytest.raises(Fault):
            vault.check(Body("request", 0, says, "00" * 32))


def test_everything_signed_anew_with_another_key(store):
    events = forging.read_events(store)
    forging.sign(store, len(events), forging.write_tiles(store, events), private=forging.private_key(9))
    assert compare(store, "signed by another key") == 10


def test_an_earlier_checkpoint_is_put_back(traffic, tmp_path):
    """A recorder that has ended in order has signed all of its events, so this is not its last checkpoint."""
    store = copy(traffic["stopped"], tmp_path / "record")
    events = forging.read_events(store)
    forging.sign(store, 100, forging.write_tiles(tmp_path, events[:100]))
    assert compare(store, "an earlier checkpoint") == 10
    assert verify(store, Options()).unsigned_tail == len(events) - 100


def test_two_stores_spliced(demo, traffic, tmp_path):
    for part in ("log/checkpoint", "log/vkey", "log/tile", "vault", "state"):
        store = copy(traffic["stopped"], tmp_path / part.replace("/", "-"))
        ours, theirs = store / part, demo / part
        shutil.rmtree(ours) if ours.is_dir() else ours.unlink()
        shutil.copytree(theirs, ours) if theirs.is_dir() else shutil.copy(theirs, ours)
        assert compare(store, f"{part} of another store") in (10, 12)


@pytest.mark.parametrize("path", ["vault/salts/00000000.seed", "vault/0000000001.key"])
def test_a_key_of_another_store(demo, traffic, tmp_path, path):
    store = copy(traffic["stopped"], tmp_path / "store")
    shutil.copy(demo / path, store / path)
    assert compare(store, f"{path} of another store") == 10
    assert any(path in fault.detail for fault in verify(store, Options()).faults)
    # With the other store's keyring key, nothing tells which of the two is in the wrong place.
    shutil.copy(demo / "keys/vault.key", store / "keys/vault.key")
    compare(store, f"{path} and keys/vault.key of another store")
    # With that alone nothing opens, nothing is verified, and that is said.
    store = copy(traffic["stopped"], tmp_path / "keyring")
    shutil.copy(demo / "keys/vault.key", store / "keys/vault.key")
    compare(store, "keys/vault.key of another store")
    [bodies] = [claim for claim in verify(store, Options()).claims if claim["claim"] == "bodies"]
    assert bodies["verdict"] != "valid"


@pytest.mark.parametrize("changes", [
    {"size": 0}, {"size": 1}, {"size": 1 << 40}, {"volume_len": 0}, {"volume_len": 16}, {"volume_len": 1 << 40}, {"volume": 2},
    {"segment": 1, "offset": 32}, {"phase": "running"}, {"phase": "recovering"}, {"phase": "gone"}, {"version": 99},
    {"size": -1}, {"size": "1"}, {"next_chunk": None}, {"open_calls": []},
], ids=str)
def test_a_position_that_is_not_true(store, changes):
    forging.edit_state(store, **changes)
    compare(store, str(changes))
