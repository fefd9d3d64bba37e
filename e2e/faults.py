"""Faults at system calls of a real process: which there are, and one of them at a time.

strace(1) does both. A reference run lists the calls that touch the data directory, thread by thread. Then the same
happens again, with the n-th call of one name in one thread refused (EIO, ENOSPC) or with the process killed as it makes
it. Counting by thread is what makes one fault one fault: strace counts so.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Callable

from outside import Outside
from tacho import TACHO, until

#: What touches files. What is made of them decides at run time: only what named the data directory is failed.
SYSCALLS = ("openat", "read", "pread64", "write", "pwrite64", "fsync", "fdatasync", "syncfs", "rename", "renameat",
            "renameat2", "link", "linkat", "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir", "ftruncate", "fallocate",
            "getdents64", "statx", "flock", "chmod", "fchmod", "close")

#: An error of these leaves unknown what is on the disk: the recorder has to end.
SYNCS = ("fsync", "fdatasync", "syncfs")

FAULTS = ("EIO", "ENOSPC", "KILL")

#: The fault fell on something that is no file of the record.
ELSEWHERE = float("nan")

#: Longest a recorder under trace may take to be ready, or to end.
PATIENCE = 60


@dataclasses.dataclass(frozen=True, order=True)
class Case:
    """One fault. `thread` is `main`, the name of a thread, or `*`: each thread that comes so far."""

    path: str
    thread: str
    syscall: str
    nth: int
    fault: str

    def __str__(self) -> str:
        return ":".join((self.path, self.thread, self.syscall, str(self.nth), self.fault))

    @classmethod
    def parse(cls, text: str) -> Case:
        path, thread, syscall, nth, fault = text.split(":")
        return cls(path, thread, syscall, int(nth), fault)

    def inject(self) -> str:
        what = "signal=KILL" if self.fault == "KILL" else f"error={self.fault}"
        return f"inject={self.syscall}:{what}:when={self.nth}"


class Violation(AssertionError):
    """What a fault did that it must not."""


class Play:
    """A recorder's life on `data`, from its start to its end, with what an agent was told meanwhile."""

    def __init__(self, data: pathlib.Path, upstream: str, scratch: pathlib.Path, outside: Outside | None = None):
        self.data = data
        self.scratch = scratch
        self.upstream = upstream
        self.outside = outside
        self.config = scratch / "tacho.toml"
        #: The second place of heads.
        self.place = scratch / "place"
        self.place.mkdir(exist_ok=True)
        self.config.write_text(f'[upstream.raw]\nbase_url = "{upstream}"\napi = "raw"\n'
                               '[recorder]\nenvironment_interval = "1h"\n[limits]\ndrain_timeout = "1s"\n'
                               f'[copy]\ndirectory = "{self.place}"\n' + (outside.config if outside else ""))
        #: Calls that were answered in full, and those that were not.
        self.answered: list[str] = []
        self.refused: list[str] = []
        #: Orders of the operator, and the exit code of each.
        self.orders: list[tuple[str, int]] = []
        #: When each of the answered ones began, and its name.
        self.begun: list[tuple[float, str]] = []
        self.process: subprocess.Popen | None = None
        self.tracers: list[subprocess.Popen] = []
        self.gateway = self.console = ""
        self.log = (scratch / "recorder.log").open("ab")
        self.code: int | None = None

    # --- the recorder

    def command(self) -> list[str]:
        return [TACHO, "serve", "--data", str(self.data), "--config", str(self.config),
                "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]

    def start(self, before: list[str] | None = None) -> bool:
        """Whether it got ready."""
        self.process = subprocess.Popen((before or []) + self.command(), stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = first_line(self.process)
        ready = re.fullmatch(r"ready gateway=(http://\S+) console=(http://\S+)\n", line)
        if ready:
            self.gateway, self.console = ready.groups()
        elif self.process.poll() is None and (self.data / "address").exists():
            # It is ready, and what failed was to say so.
            told = json.loads((self.data / "address").read_text())
            self.gateway, self.console = told["gateway"], told["console"]
        return bool(self.gateway)

    def trace(self, threads: list[str], case: Case | None) -> None:
        """Attaches to threads of the running recorder; each is counted for itself."""
        wanted = [t for t in threads if case is None or t == case.thread]
        for thread in wanted:
            follow = ["-f"] if thread == "*" else []
            words = tracing(self.scratch / f"{spelled(thread)}.strace", case)
            number = str(self.process.pid) if thread == "*" else self.number_of(thread)
            tracer = subprocess.Popen([*words, *follow, "-p", number], stderr=subprocess.PIPE, text=True)
            line = tracer.stderr.readline()
            if "attached" not in line:
                raise Violation(f"strace could not attach to {thread}: {line}")
            self.tracers.append(tracer)

    def number_of(self, thread: str) -> str:
        """A thread's number. A new thread gives itself its name, which takes a moment."""

        def found() -> str | None:
            tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
            return next((task.name for task in tasks if (task / "comm").read_text().strip() == thread), None)

        return until(f"the thread {thread} is there", found, PATIENCE)

    def end(self, how: int = signal.SIGTERM) -> int:
        """Ends what still runs; returns how it ended."""
        traced = not self.tracers and traced_child(self.process)
        try:
            os.kill(traced or self.process.pid, how)
        except ProcessLookupError:
            pass
        try:
            self.code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            if traced:
                os.kill(traced, signal.SIGKILL)
            self.process.kill()
            raise Violation(f"it did not end within {PATIENCE} s") from None
        finally:
            for tracer in self.tracers:
                tracer.wait(PATIENCE)
                tracer.stderr.close()
            self.process.stdout.close()
            self.log.close()
        return self.code

    def owns(self, line: str) -> bool:
        """Whether a traced call is on a file of the record or of its second place."""
        return str(self.data) in line or str(self.place) in line

    # --- an agent

    def call(self, name: str, body: bytes, stream: bool = False) -> bool:
        """Whether it was answered in full."""
        path = f"/agent/faults/raw/echo/{name}"
        headers = {"content-type": "application/octet-stream"}
        if stream:
            path = f"/agent/faults/raw/v1/messages?{name}"
            body = json.dumps({"model": "scripted-text", "max_tokens": 9, "stream": True,
                               "messages": [{"role": "user", "content": name}]}).encode()
            headers = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
        began = time.time()
        address = urllib.parse.urlsplit(self.gateway)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=40)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            whole = answer.read()
            good = answer.status == 200 and (stream or whole == body)
        except (OSError, http.client.HTTPException):
            good = False
        finally:
            connection.close()
        if good:
            self.answered.append(name)
            self.begun.append((began, name))
        else:
            self.refused.append(name)
        return good

    def order(self, *words: str) -> int:
        """What the operator asks of it, by a command of its own."""
        done = subprocess.run([TACHO, *words, "--data", str(self.data)], capture_output=True, timeout=2 * PATIENCE)
        self.orders.append((" ".join(words), done.returncode))
        return done.returncode

    def status(self) -> dict | None:
        address = urllib.parse.urlsplit(self.console)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        try:
            token = json.loads((self.data / "address").read_text())["token"]
            connection.request("GET", "/status", headers={"authorization": f"Bearer {token}"})
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def signed(self) -> None:
        """Waits until a checkpoint covers everything, or nobody answers any more."""

        def done() -> bool:
            status = self.status()
            return status is None or status["signed_events"] >= status["durable_events"]

        until("a checkpoint over everything", done, PATIENCE)


def first_line(process: subprocess.Popen) -> str:
    """What it says first; nothing where that was lost on its way and it goes on all the same."""
    readable, _, _ = select.select([process.stdout], [], [], PATIENCE)
    return process.stdout.readline() if readable else ""


def traced_child(process: subprocess.Popen) -> int | None:
    """What strace started."""
    try:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except FileNotFoundError:
        return None
    return int(children[0]) if children else None


def tracing(output: pathlib.Path, case: Case | None) -> list[str]:
    words = ["strace", "-o", str(output), "-ttt", "-y", "-s", "0", "-e", "signal=none"]
    if case is None:
        return [*words, "-e", "trace=" + ",".join(SYSCALLS)]
    return [*words, "-e", f"trace={case.syscall}", "-e", case.inject()]


def spelled(thread: str) -> str:
    return thread.replace("*", "all")


def traced(output: pathlib.Path) -> list[str]:
    """The calls as strace tells of them."""
    return output.read_text(errors="replace").splitlines() if output.exists() else []


def occurrences(lines: list[str], owns: Callable[[str], bool], beside: bool = False) -> list[tuple[str, int]]:
    """The calls on files that matter, each with its number among all of its name in its thread. `beside`: only those that
    the first thread does not make."""
    counts: dict[tuple[str, str], int] = {}
    found: set[tuple[str, int]] = set()
    first = ""
    for line in lines:
        call = re.match(r"(?:(\d+) +)?[\d.]+ (\w+)\(", line)
        if not call:
            continue
        thread, name = call.group(1) or "", call.group(2)
        nth = counts[thread, name] = counts.get((thread, name), 0) + 1
        first = first or thread
        if owns(line) and not (beside and thread == first):
            found.add((name, nth))
    return sorted(found)
