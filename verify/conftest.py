"""Stores to verify, made by the real recorder, and the first verifier to agree with."""

import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

import forging
import tachoverify.log
import tachoverify.vault
import tachoverify.zstd

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from tacho import ROOT, TACHO, Recorder, Upstream  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def remembering():
    """Most of a store is the same after most changes: what was decompressed once need not be again."""
    patch = pytest.MonkeyPatch()
    for module in (tachoverify.log, tachoverify.vault):
        patch.setattr(module, "decompress", functools.lru_cache(maxsize=4096)(tachoverify.zstd.decompress))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def shared():
    directory = pathlib.Path(os.environ.get("TACHO_SHARED", ROOT / ".." / "shared"))
    if not (directory / "vectors").is_dir():
        pytest.skip(f"the shared data is not at {directory} (TACHO_SHARED)")
    return directory


def copy(store: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
    """A copy as an auditor gets it: no sockets."""
    sockets = lambda folder, names: [name for name in names if (pathlib.Path(folder) / name).is_socket()]  # noqa: E731
    return shutil.copytree(store, to, ignore=sockets)


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    store = tmp_path_factory.mktemp("demo") / "record"
    done = subprocess.run([TACHO, "demo", "--data", store], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return store


@pytest.fixture(scope="session")
def traffic(tmp_path_factory):
    """Two sessions and more than a full tile of events, stopped in order; and what a killed one leaves behind."""
    upstream = Upstream("model")
    config = f'[upstream.raw]\nbase_url = "{upstream.url}"\napi = "raw"\n'
    recorder = Recorder(tmp_path_factory.mktemp("traffic"), config)

    def ask(number: int) -> None:
        text = json.dumps({"number": number, "text": " ".join(f"word{at * number % 977}" for at in range(number % 90))})
        request = urllib.request.Request(recorder.agent(f"agent-{number % 7}", "raw/v1/echo"), data=text.encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=20).read()
        except urllib.error.HTTPError as error:
            error.read()

    for number in range(90):
        ask(number)
    recorder.stop()
    recorder.start()
    for number in range(90, 180):
        ask(number)
    stopped = tmp_path_factory.mktemp("stopped") / "record"
    recorder.stop()
    copy(recorder.data, stopped)
    recorder.start()
    for number in range(20):
        ask(number)
    recorder.kill()
    killed = copy(recorder.data, tmp_path_factory.mktemp("killed") / "record")
    for segment in (killed / "wal").iterdir():
        # Only zeros follow: the end of a segment is where nothing but they are left.
        segment.write_bytes(segment.read_bytes().rstrip(b"\0") + bytes(64))
    upstream.stop()
    return {"stopped": stopped, "killed": killed}


@pytest.fixture(scope="session")
def published(traffic, tmp_path_factory):
    store = copy(traffic["stopped"], tmp_path_factory.mktemp("published") / "record")
    forging.cosign(forging.publish(store, 50), "example.com/w1", 1, 1_700_000_000)
    return store


@pytest.fixture
def figure(record_property):
    """Publishes a line that `./x test` shows."""
    return lambda text: record_property("figure", text)


def first_verifier(store: pathlib.Path, *options: str) -> tuple[int, dict]:
    """Exit code and report of `tacho verify --json`; an empty report where it only failed."""
    command = [TACHO, "verify", "--json", "--data", str(store), *options]
    done = subprocess.run(command, capture_output=True, timeout=60)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = {}
    return done.returncode, report if "faults" in report else {}
