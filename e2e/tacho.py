"""The recorder under test: the real binary in a process of its own, and its reading commands."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable

ROOT = pathlib.Path(__file__).resolve().parent.parent
TACHO = os.environ.get("TACHO", str(ROOT / "target/debug/tacho"))
TESTKIT_UPSTREAM = os.environ.get("TESTKIT_UPSTREAM", str(ROOT / "target/debug/testkit-upstream"))

#: What a request event says it was closed by.
OPENS = {"model.request", "tool.request", "mcp.request", "http.request", "process.start"}


def until(what: str, condition: Callable[[], object], seconds: float = 20.0):
    """The condition's first true value; fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.01)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Upstream:
    """A scripted upstream with its own ledger; see crates/testkit."""

    def __init__(self, *arguments: str):
        self.process = subprocess.Popen(
            [TESTKIT_UPSTREAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ready = self.process.stdout.readline().split()
        self.url = self.ready[1]

    def ledger(self, **headers: str) -> list[dict]:
        """The entries whose request carried these header fields (`_` stands for `-`)."""
        import urllib.request

        with urllib.request.urlopen(self.url + "/ledger") as answer:
            entries = [json.loads(line) for line in answer.read().splitlines()]
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        return [e for e in entries if wanted.items() <= {k.lower(): v for k, v in e["headers"]}.items()]

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)


class Recorder:
    """`tacho serve` on free ports, over a directory that outlives the process."""

    def __init__(self, directory: pathlib.Path, config: str = ""):
        self.data = directory / "record"
        self.config = directory / "tacho.toml"
        self.config.write_text(config)
        self.log = directory / "recorder.log"
        self.process: subprocess.Popen | None = None
        self.gateway = ""
        self.start()

    def start(self) -> None:
        command = [TACHO, "serve", "--data", str(self.data), "--config", str(self.config)]
        command += ["--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        ready = re.fullmatch(r"ready gateway=(http://\S+) console=(http://\S+)\n", line)
        assert ready, f"the recorder said {line!r}; its log: {self.log.read_text()}"
        self.gateway, self.console = ready.groups()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log.read_text()
        assert "panicked" not in self.log.read_text(), self.log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def agent(self, name: str, rest: str) -> str:
        return f"{self.gateway}/agent/{name}/{rest}"

    def run(self, *arguments: str, check: bool = True, **more) -> subprocess.CompletedProcess:
        command = [TACHO, *arguments, "--data", str(self.data)]
        done = subprocess.run(command, capture_output=True, timeout=120, **more)
        assert not check or done.returncode == 0, (command, done.returncode, done.stderr.decode())
        return done

    def events(self, **filters: str) -> list[dict]:
        arguments = [word for name, value in filters.items() for word in (f"--{name}", value)]
        return [json.loads(line) for line in self.run("events", "--json", *arguments).stdout.splitlines()]

    def body(self, event: dict, role: str) -> bytes | None:
        """The stored bytes; `None` where the event refers to none of that role."""
        if not any(body["role"] == role for body in event.get("bodies", [])):
            return None
        return self.run("show", str(event["seq"]), "--body", role).stdout

    def verify(self) -> dict:
        done = self.run("verify", "--json", check=False)
        assert done.returncode in (0, 11), (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def calls(self, agent: str, count: int | None = None) -> list[Call]:
        """The agent's calls in their order, each with the event that closed it."""

        def settled() -> list[Call] | None:
            events = self.events(agent=agent)
            closes = {e["exchange"]["call"]: e for e in events if e.get("exchange", {}).get("call") is not None
                      and e["kind"] not in OPENS}
            calls = [Call(self, e, closes.get(e["seq"])) for e in events if e["kind"] in OPENS]
            whole = all(call.response for call in calls) and (count is None or len(calls) >= count)
            return calls if whole and calls else None

        return until(f"every call of {agent} is closed", settled)


class Call:
    """A request event and the one that closed it."""

    def __init__(self, recorder: Recorder, request: dict, response: dict | None):
        self.recorder, self.request, self.response = recorder, request, response

    @property
    def state(self) -> str:
        return self.response["outcome"]["state"]

    @property
    def sent(self) -> bytes:
        return self.recorder.body(self.request, "request") or b""

    @property
    def answered(self) -> bytes:
        return self.recorder.body(self.response, "response") or b""


def matches_ledger(calls: Iterable[Call], ledger: list[dict]) -> None:
    """Each call is one ledger entry, byte for byte, none missing and none extra."""
    calls = sorted(calls, key=lambda call: call.request["seq"])
    assert len(calls) == len(ledger), ([c.request["http"]["path"] for c in calls], [e["path"] for e in ledger])
    for call, entry in zip(calls, ledger, strict=True):
        assert call.request["http"]["method"] == entry["method"]
        assert sha256(call.sent) == entry["request"]["sha256"], "stored request bytes are those the upstream got"
        answer = entry["response"]
        if answer is None or call.state == "client_aborted":
            continue
        assert call.response["http"]["status"] == answer["status"]
        assert sha256(call.answered) == answer["body"]["sha256"], "stored response bytes are those the upstream sent"
