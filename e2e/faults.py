"""Faults at system calls of a real recorder: which there are, one of them at a time, and what must hold afterwards.

strace(1) does both. A reference run of a path of the recorder lists the calls that touch its data directory, thread by
thread. Then the same path runs again, with the n-th call of one name in one thread refused (EIO, ENOSPC) or with the
process killed as it makes it. Counting by thread is what makes one fault one fault: strace counts so.
"""

from __future__ import annotations

import dataclasses
import functools
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

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

    def __init__(self, data: pathlib.Path, upstream: str, scratch: pathlib.Path):
        self.data = data
        self.scratch = scratch
        self.config = scratch / "tacho.toml"
        #: The second place of heads.
        self.place = scratch / "place"
        config = (f'[upstream.raw]\nbase_url = "{upstream}"\napi = "raw"\n'
                  '[recorder]\nenvironment_interval = "1h"\n[limits]\ndrain_timeout = "1s"\n')
        if knows("anchor"):
            self.place.mkdir(exist_ok=True)
            config += f'[copy]\ndirectory = "{self.place}"\n'
        self.config.write_text(config)
        #: Calls that were answered in full, and those that were not.
        self.answered: list[str] = []
        self.refused: list[str] = []
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
        line = self.process.stdout.readline()
        ready = re.fullmatch(r"ready gateway=(http://\S+) console=(http://\S+)\n", line)
        if ready:
            self.gateway, self.console = ready.groups()
        return bool(ready)

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
        traced = not self.tracers and self.traced_child()
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

    def traced_child(self) -> int | None:
        """The recorder, where strace started it."""
        try:
            children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        return int(children[0]) if children else None

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


def tracing(output: pathlib.Path, case: Case | None) -> list[str]:
    words = ["strace", "-o", str(output), "-ttt", "-y", "-s", "0", "-e", "signal=none"]
    if case is None:
        return [*words, "-e", "trace=" + ",".join(SYSCALLS)]
    return [*words, "-e", f"trace={case.syscall}", "-e", case.inject()]


def spelled(thread: str) -> str:
    return thread.replace("*", "all")


def occurrences(output: pathlib.Path, play: Play, beside: bool) -> list[tuple[str, int]]:
    """The calls on files of the record and of its second place, each with its number among all of its name in its thread. `beside`: only those that
    the first thread does not make."""
    counts: dict[tuple[str, str], int] = {}
    found = set()
    first = ""
    for line in output.read_text(errors="replace").splitlines():
        call = re.match(r"(?:(\d+) +)?[\d.]+ (\w+)\(", line)
        if not call:
            continue
        thread, name = call.group(1) or "", call.group(2)
        counts[thread, name] = counts.get((thread, name), 0) + 1
        first = first or thread
        if play.owns(line) and not (beside and thread == first):
            found.add((name, counts[thread, name]))
    return sorted(found)


# --- the paths of the recorder


def fresh(data: pathlib.Path, play) -> None:
    """Nothing is there yet."""


def stopped(data: pathlib.Path, play) -> None:
    first = play()
    assert first.start()
    first.call("before-0", b"before")
    first.call("before-1", b"", stream=True)
    assert first.end() == 0
    return first


def crashed(data: pathlib.Path, play) -> None:
    first = stopped(data, play)
    again = play()
    assert again.start()
    again.call("before-2", b"again")
    again.end(signal.SIGKILL)
    again.answered += first.answered
    return again


def calls(play: Play) -> None:
    play.call("a", b"first")
    play.call("b", os.urandom(70_000))
    play.call("c", b"", stream=True)
    play.call("d", b"last")


def sealing(play: Play) -> None:
    play.call("a", b"first")
    play.signed()
    play.call("b", os.urandom(70_000))
    play.call("c", b"", stream=True)


def segments(play: Play) -> None:
    """More than a segment of the write-ahead log holds."""
    for n in range(3):
        play.call(f"big-{n}", os.urandom(11 << 20))
    play.signed()
    play.call("small", b"small")


def rotating(play: Play) -> None:
    play.call("a", b"first")
    subprocess.run([TACHO, "keys", "rotate", "--data", str(play.data)], capture_output=True, timeout=PATIENCE)
    play.call("b", b"second")


def anchoring(play: Play) -> None:
    play.call("a", b"first")
    subprocess.run([TACHO, "anchor", "--data", str(play.data)], capture_output=True, timeout=PATIENCE)
    play.call("b", b"second")


@dataclasses.dataclass(frozen=True)
class Path:
    """A way through the recorder. With `threads` strace attaches to them once it is ready; without, it starts it."""

    before: object
    load: object
    threads: tuple[str, ...] = ()
    #: Threads to look at in a recorder that strace started: the first, or each for itself but counted together.
    from_start: str = "main"
    #: How much rather than others its cases are left out: a run of it takes long.
    cost: float = 1.0


PATHS = {
    "first-start": Path(fresh, calls),
    "first-start-beside": Path(fresh, calls, from_start="*"),
    "start-after-stop": Path(stopped, calls),
    "start-after-crash": Path(crashed, calls),
    "append": Path(fresh, calls, ("sequencer",)),
    "seal": Path(fresh, sealing, ("settler",)),
    "segment": Path(fresh, segments, ("settler", "sequencer", "wal-allocator"), cost=4.0),
}


def paths() -> dict[str, Path]:
    """Those of this program: what it cannot do yet has no path."""
    known = dict(PATHS)
    if knows("keys"):
        known["rotate"] = Path(fresh, rotating, ("*",))
    if knows("anchor"):
        known["anchor"] = Path(fresh, anchoring, ("*",))
    return known


@functools.cache
def knows(command: str) -> bool:
    """Whether the program has this command."""
    said = subprocess.run([TACHO, "--help"], capture_output=True, text=True, timeout=PATIENCE).stdout
    return bool(re.search(rf"^ +{command}\b", said, re.MULTILINE))


class Driver:
    """Plays cases, each in a directory of its own under `root`."""

    def __init__(self, root: pathlib.Path, upstream: str):
        self.root = root
        self.upstream = upstream
        self.paths = paths()
        self.prepared: dict[str, tuple[pathlib.Path, list[str]]] = {}
        for name, path in self.paths.items():
            if path.before in (stopped, crashed):
                self.prepared[name] = self.prepare(path)

    def scratch(self) -> pathlib.Path:
        return pathlib.Path(tempfile.mkdtemp(dir=self.root))

    def prepare(self, path: Path) -> tuple[pathlib.Path, list[str]]:
        """A store to begin from, and the calls that it must hold for ever."""
        here = self.scratch()
        data = here / "record"
        last = path.before(data, lambda: Play(data, self.upstream, here))
        assert not last.refused
        return data, last.answered

    def begin(self, path: str) -> tuple[Play, list[str]]:
        here = self.scratch()
        data = here / "record"
        answered: list[str] = []
        if path in self.prepared:
            template, answered = self.prepared[path]
            subprocess.run(["cp", "-a", "--sparse=always", str(template), str(data)], check=True)
        return Play(data, self.upstream, here), answered

    def close(self) -> None:
        """Removes the prepared stores."""
        for template, _ in self.prepared.values():
            shutil.rmtree(template.parent)

    def run(self, play: Play, name: str, case: Case | None) -> None:
        path = self.paths[name]
        if path.threads:
            assert play.start(), "an untraced recorder starts"
            play.trace(list(path.threads), case)
            path.load(play)
        else:
            output = play.scratch / f"{spelled(path.from_start)}.strace"
            follow = ["-f"] if path.from_start == "*" else []
            if play.start([*tracing(output, case), *follow]):
                path.load(play)
        play.end()

    def list(self, name: str) -> list[Case]:
        """Every fault of a path."""
        play, _ = self.begin(name)
        self.run(play, name, None)
        assert play.code == 0 and not play.refused, f"without a fault {name} ends well: {play.code}, {play.refused}"
        path = self.paths[name]
        cases = [
            Case(name, thread, syscall, nth, fault)
            for thread in path.threads or (path.from_start,)
            for syscall, nth in occurrences(play.scratch / f"{spelled(thread)}.strace", play, thread == "*")
            for fault in FAULTS
        ]
        shutil.rmtree(play.scratch)
        return cases

    def play(self, case: Case) -> bool:
        """Plays one fault and what follows. `False`: this time the call was not made. Raises `Violation`."""
        play, answered = self.begin(case.path)
        try:
            hit = self.meet(play, case)
            if hit is not ELSEWHERE:
                self.judge(play, case, hit, answered + play.answered)
        except (Violation, AssertionError) as violation:
            log = (play.scratch / "recorder.log").read_text(errors="replace")[-2000:]
            raise Violation(f"{case}: {violation}\n  kept: {play.scratch}\n  its log: {log}") from violation
        shutil.rmtree(play.scratch)
        return hit is not None and hit is not ELSEWHERE

    def meet(self, play: Play, case: Case) -> float | None:
        """When the fault was made; `ELSEWHERE` where it is none of ours, whatever it did."""
        try:
            self.run(play, case.path, case)
        except Violation:
            if self.is_elsewhere(play, case):
                return ELSEWHERE
            raise
        return ELSEWHERE if self.is_elsewhere(play, case) else self.hit(play, case)

    def is_elsewhere(self, play: Play, case: Case) -> bool:
        """Whether the number fell on something that is no file of the record: a socket, a waker of the runtime."""
        made = [line for line in self.traced(play, case).splitlines() if "(INJECTED)" in line]
        return bool(made) and not any(play.owns(line) for line in made)

    def traced(self, play: Play, case: Case) -> str:
        output = play.scratch / f"{spelled(case.thread)}.strace"
        return output.read_text(errors="replace") if output.exists() else ""

    def hit(self, play: Play, case: Case) -> float | None:
        """When the fault was made."""
        text = self.traced(play, case)
        if case.fault == "KILL":
            return float("inf") if play.code == -signal.SIGKILL else None
        line = re.search(r"^(?:\d+ +)?([\d.]+) .*\(INJECTED\)", text, re.MULTILINE)
        return float(line.group(1)) if line else None

    def judge(self, play: Play, case: Case, hit: float | None, answered: list[str]) -> None:
        if hit is None and play.code != 0:
            raise Violation(f"it ended with {play.code} though nothing was done to it")
        # A second place that fails is tried again; the record is not.
        on_record = str(play.data) in "".join(line for line in self.traced(play, case).splitlines() if "(INJECTED)" in line)
        if hit is not None and case.fault == "EIO" and case.syscall in SYNCS and on_record:
            if play.code in (0, -signal.SIGKILL):
                raise Violation(f"a failed {case.syscall} did not end it: {play.code}")
            late = [name for began, name in play.begun if began > hit]
            if case.thread == "sequencer" and late:
                raise Violation(f"answered after a failed {case.syscall}: {late}")
        # Whatever the fault left is not taken for somebody's doing.
        if (play.data / "log/vkey").exists() and self.verify(play)[0] == 10:
            raise Violation(f"called altered before recovery: {self.verify(play)[1]}")
        again = Play(play.data, self.upstream, play.scratch)
        if not again.start():
            again.end()
            raise Violation(f"the next recorder does not start: {again.code}")
        for n in range(2):
            again.call(f"after-{n}", b"after")
        code = again.end()
        if code != 0 or again.refused:
            raise Violation(f"the next recorder ended with {code} and refused {again.refused}")
        code, said = self.verify(play)
        if code not in (0, 11):
            raise Violation(f"verify ends with {code}: {said}")
        missing = set(answered + again.answered) - self.recorded(play)
        if missing:
            raise Violation(f"answered and not in the record: {sorted(missing)}")

    def verify(self, play: Play) -> tuple[int, str]:
        done = subprocess.run([TACHO, "verify", "--json", "--data", str(play.data)], capture_output=True, timeout=PATIENCE)
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")[:2000]

    def recorded(self, play: Play) -> set[str]:
        """The names of the calls that the record has as completed."""
        done = subprocess.run([TACHO, "events", "--json", "--data", str(play.data)], capture_output=True, timeout=PATIENCE, check=True)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        requests = {e["seq"]: e["http"]["path"] for e in events if e["kind"] in ("http.request", "model.request")}
        ended = [e["exchange"]["call"] for e in events
                 if e["kind"] in ("http.response", "model.response") and e["outcome"]["state"] == "completed"]
        return {re.split(r"[/?]", requests[call])[-1] for call in ended}
