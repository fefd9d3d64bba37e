"""A recorder and its scripted upstreams for each module; an agent name for each test."""

import itertools
import os
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from tacho import ROOT, Recorder, Upstream  # noqa: E402


NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def model():
    upstream = Upstream("model")
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def recorder(model, request, tmp_path_factory):
    """Records everything of one module, and must verify when the module is done: without a gap,
    unless the module says that it makes some (`GAPS`)."""
    config = "".join(
        f'[upstream.{name}]\nbase_url = "{model.url}"\napi = "{api}"\n'
        for name, api in [("anthropic", "anthropic"), ("openai", "openai"), ("gemini", "gemini"), ("raw", "raw")]
    )
    recorder = Recorder(tmp_path_factory.mktemp("recorder"), config)
    yield recorder
    recorder.stop()
    report = recorder.verify()
    assert report["exit_code"] == 0 or getattr(request.module, "GAPS", False), report


@pytest.fixture
def agent(request):
    """The test's own name as an agent's name, with a number that makes it unique."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name).strip("-")[:100]
    return f"{name}-{next(NUMBERS)}"


@pytest.fixture
def figure(record_property):
    """Publishes a line that `./x test` shows."""
    return lambda text: record_property("figure", text)


@pytest.fixture(scope="session")
def shared():
    directory = pathlib.Path(os.environ.get("TACHO_SHARED", ROOT / ".." / "shared"))
    if not (directory / "data").is_dir():
        pytest.skip(f"the shared data is not at {directory} (TACHO_SHARED)")
    return directory
