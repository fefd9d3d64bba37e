"""What is broken is called so, has no false consequences, and hides nothing else."""

import pathlib
import shutil
import subprocess

import pytest

import forging
import tacho_verify
from agreement import compare
from conftest import TACHO, copy, first_verifier
from tachoverify.verify import verify

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
