"""What stands in the place of a file, or of a directory, and is none weighs alike wherever it stands."""

import errno
import os
import pathlib
import shutil

import pytest

import forging
from agreement import compare
from conftest import copy, first_verifier
from forging import KINDS, put
from tachoverify.verify import Options, verify

#: Where something may stand, the claim that it speaks against, and the exit code. A key is no evidence.
PLACES = [("format", "content", 10), ("state", "sequence", 10), ("log/checkpoint", "signature", 10), ("log/vkey", "epoch", 10),
          ("log/tile/0/000", "content", 10), ("log/tile/entries/000.zst", "content", 10), ("vault/0000000001.vol", "bodies", 10),
          ("vault/0000000001.key", "bodies", 10), ("vault/salts/00000000.seed", "bodies", 10),
          (f"anchors/{50:020}/checkpoint", "signature", 10), (f"anchors/{50:020}/cosigned", "witnesses", 10),
          (f"anchors/{50:020}/tsa.tsr", "time", 10), ("keys/vault.key", None, 0)]


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


@pytest.mark.parametrize("place", ["vault", "vault/0000000001.vol"])
def test_what_stands_in_the_vaults_place_hides_no_alteration(published, tmp_path, place):
    for kind in ("a file", "a pipe"):
        store = copy(published, tmp_path / kind.replace(" ", "-"))
        put(store / place, kind)
        assert compare(store, f"{kind} as {place}") == 10
        assert {claim["claim"]: claim["verdict"] for claim in first_verifier(store)[1]["claims"]}["content"] == "valid"
        events = forging.read_events(store)
        forging.rewrite(store, forging.CHANGES["an event is edited"](events, 100), tiles=False, signed=False)
        assert compare(store, f"{kind} as {place}, and an event is edited") == 10
        assert first_verifier(store)[1]["faults"][0]["seq"] == 100


def test_where_no_record_can_be_there_is_none(tmp_path):
    (tmp_path / "file").write_text("no record")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("file", "file/below", "loop", "gone"):
        assert compare(tmp_path / name, name) == 12


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
