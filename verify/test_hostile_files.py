"""What an option names and what a store holds may be no file, or one without end: it is refused, in bounded time and memory."""

import datetime
import resource
import shutil
import subprocess
import sys

import pytest

import tacho_verify
from conftest import HERE, TACHO, copy
from forging import KINDS, put
from tachoverify.certificates import read_pem
from tachoverify.faults import Malformed
from tachoverify.when import since

OPTIONS = ["--policy", "--roots", "--head", "--vault-key"]
MEMORY_BYTES = 1 << 30


def both(*arguments) -> tuple[int, int, str]:
    """The exit code of each verifier, as they are called from a shell, and what ours says on standard error."""
    store, *options = map(str, arguments)
    first = subprocess.run([TACHO, "verify", "--data", store, *options], capture_output=True, timeout=60)
    second = subprocess.run([sys.executable, HERE / "tacho_verify.py", store, *options], capture_output=True, text=True, timeout=60,
                            preexec_fn=bounded)
    return first.returncode, second.returncode, second.stderr


def bounded() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_option_that_names_no_file(demo, tmp_path, option, kind):
    put(tmp_path / "named", kind)
    first, second, said = both(demo, option, tmp_path / "named")
    assert (first, second) == (2, 2), said
    assert said.startswith(f"tacho_verify.py: error: argument {option}: {tmp_path}") and said.count("\n") == 1, said


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_names_what_it_is_not(demo, tmp_path, option):
    files = {"empty": b"", "garbage": b"garbage\n", "binary": bytes(range(256)), "long": bytes(tacho_verify.MAX_FILE_BYTES + 1),
             "a\nname": b"garbage"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        first, second, said = both(demo, option, tmp_path / name)
        # A head that is none leaves unanswered what was asked; every other file is wrong usage.
        asked = option == "--head" and name != "long"
        assert (first, second) == ((12, 12) if asked else (2, 2)), (name, said)
        assert said.count("\n") == (0 if asked else 1), said
    first, second, said = both(demo, option, tmp_path / "none")
    assert (first, second, said.count("\n")) == (2, 2, 1), said


def test_an_option_takes_a_file_of_the_longest_length(demo, tmp_path):
    (tmp_path / "longest").write_bytes(bytes(tacho_verify.MAX_FILE_BYTES))
    assert both(demo, "--head", tmp_path / "longest")[:2] == (12, 12)


def test_roots_are_looked_through_once():
    with pytest.raises(Malformed):
        read_pem(b"-----BEGIN CERTIFICATE-----" * 38_000)


@pytest.mark.parametrize("name", ["stopped", "killed"])
def test_a_file_as_long_as_one_can_be(traffic, tmp_path, name):
    original = traffic[name]
    places = ["format", "state", "log/checkpoint", "log/vkey", "log/tile/0/000", "log/tile/entries/000.zst", "vault/0000000001.vol",
              "vault/0000000001.key", "vault/salts/00000000.seed", "keys/vault.key"]
    for place in (place for place in places if (original / place).exists()):
        store = copy(original, tmp_path / "record")
        with (store / place).open("r+b") as file:
            # Nothing of it is on the disk.
            file.truncate(100 << 30)
        exit_code, ours, said = both(store)
        assert (ours, said) == (exit_code, ""), place
        # A recorder that was killed may have left more in its volume than its position says.
        assert exit_code == 10 or place == "keys/vault.key" or (place, name) == ("vault/0000000001.vol", "killed"), place
        shutil.rmtree(store)


NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc)
TIMES = {
    "-15m": "2026-11-21T11:45:00Z", "15m": "2026-11-21T11:45:00Z", "5min": "2026-11-21T11:55:00Z", "2h": "2026-11-21T10:00:00Z",
    "1d": "2026-11-20T12:00:00Z", "1w": "2026-11-14T12:00:00Z", "30s": "2026-11-21T11:59:30Z",
    "2026-11-21T03:07:41Z": "2026-11-21T03:07:41Z", "2026-11-21T03:07:41.5+02:00": "2026-11-21T01:07:41.5Z",
    "2026-11-21T03:07:41": "2026-11-21T03:07:41Z", "2026-11-21": "2026-11-21T00:00:00Z",
    "2026-12-31T23:59:60Z": "2026-12-31T23:59:59Z",
    "yesterday": None, "": None, "-": None, "15": None, "15 parsecs": None, "+2h": None, "--json": None, "٢h": None,
    "99999999999999999999d": None, "9999999999999999d": None, "9" * 5000 + "s": None,
}


@pytest.mark.parametrize("text", TIMES, ids=lambda text: text[:30])
def test_times_as_people_type_them(demo, text):
    if TIMES[text] is None:
        with pytest.raises(Malformed):
            since(text, NOW)
    else:
        assert since(text, NOW) == datetime.datetime.fromisoformat(TIMES[text])
    first, second, said = both(demo, "--at", text)
    assert first == second == (2 if TIMES[text] is None else 0), said
    assert said.count("\n") == (1 if TIMES[text] is None else 0), said


def test_an_age_counts_from_now(demo):
    asked = tacho_verify.read([str(demo), "--at", "-2h", "--json"])
    ago = datetime.datetime.now(datetime.timezone.utc) - asked[1].at
    assert asked[0].json and datetime.timedelta(hours=2) <= ago < datetime.timedelta(hours=3)
