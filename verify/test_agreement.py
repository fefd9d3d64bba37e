"""The two verifiers agree: the exit code, the first bad record and the verdict on every claim, whatever was done to a store.

`TACHO_MUTATIONS` says how many blind changes a store gets (default 60); `all` flips every bit of every file.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

import forging
from agreement import compare
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
        def read(self, path, *limit):
            return earlier.pop(path, None) or super().read(path, *limit)

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
    {"volume": 1 << 40}, {"volume": (1 << 64) - 1}, {"size": -1}, {"size": "1"}, {"next_chunk": None}, {"open_calls": []},
], ids=str)
def test_a_position_that_is_not_true(store, changes):
    forging.edit_state(store, **changes)
    compare(store, str(changes))
