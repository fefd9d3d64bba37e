"""The ways through a recorder, with one system call of each failed at a time, and what must hold afterwards."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from faults import ELSEWHERE, FAULTS, PATIENCE, SYNCS, Case, Play, Violation, occurrences, spelled, traced, tracing
from outside import Authority, Outside
from tacho import TACHO

# --- the paths of the recorder


def fresh(data: pathlib.Path, play) -> None:
    """Nothing is there yet."""


def begun(data: pathlib.Path, play) -> None:
    """A record that was never used: its key is what a witness has to know."""
    first = play()
    assert first.start()
    assert first.end() == 0
    return first


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
    play.order("keys", "rotate")
    play.call("b", b"second")


def anchoring(play: Play) -> None:
    play.call("a", b"first")
    play.order("anchor")
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
    #: Whether a witness and an authority vouch for it.
    outside: bool = False
    #: Names that must be among those that the calls to fail are made on.
    touches: tuple[str, ...] = ()


PATHS = {
    "first-start": Path(fresh, calls),
    "first-start-beside": Path(fresh, calls, from_start="*"),
    "start-after-stop": Path(stopped, calls),
    "start-after-crash": Path(crashed, calls),
    "append": Path(fresh, calls, ("sequencer",)),
    "seal": Path(fresh, sealing, ("settler",)),
    "segment": Path(fresh, segments, ("settler", "sequencer", "wal-allocator"), cost=4.0),
    "rotate": Path(fresh, rotating, ("*",), touches=("/keys/log.next.key", "/keys/log.key")),
    "anchor": Path(begun, anchoring, ("*",), outside=True,
                   touches=("/checkpoint", "/cosigned", "/tsa.tsr", "/standing.json", "/place/", "/head")),
}


class Driver:
    """Plays cases, each in a directory of its own under `root`."""

    def __init__(self, root: pathlib.Path, upstream: str):
        self.root = root
        self.upstream = upstream
        self.authority = Authority()
        self.prepared: dict[str, tuple[pathlib.Path, list[str]]] = {}
        for name, path in PATHS.items():
            if path.before is not fresh:
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
        outside = Outside(here, data, self.authority, here / "place") if PATHS[path].outside else None
        return Play(data, self.upstream, here, outside), answered

    def close(self) -> None:
        """Removes the prepared stores."""
        self.authority.stop()
        for template, _ in self.prepared.values():
            shutil.rmtree(template.parent)

    def run(self, play: Play, name: str, case: Case | None) -> None:
        path = PATHS[name]
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
        try:
            self.run(play, name, None)
        finally:
            if play.outside:
                play.outside.stop()
        well = play.code == 0 and not play.refused and all(code == 0 for _, code in play.orders)
        assert well, f"without a fault {name} ends well: {play.code}, {play.refused}, {play.orders}"
        path = PATHS[name]
        cases = []
        touched = ""
        for thread in path.threads or (path.from_start,):
            lines = traced(play.scratch / f"{spelled(thread)}.strace")
            touched += "\n".join(filter(play.owns, lines))
            beside = thread == "*" and not path.threads
            for syscall, nth in occurrences(lines, play.owns, beside):
                cases += [Case(name, thread, syscall, nth, fault) for fault in FAULTS]
        untouched = [file for file in path.touches if file not in touched]
        assert not untouched, f"{name} does not come past {untouched}: nothing of that would be failed"
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
        finally:
            if play.outside:
                play.outside.stop()
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
        """Whether the number fell on something that is no file of the record: a socket, a waker of the runtime. Where each
        thread counts for itself it may fall on several."""
        return any(not play.owns(line) for line in self.made(play, case))

    def made(self, play: Play, case: Case) -> list[str]:
        """The calls that were refused."""
        lines = traced(play.scratch / f"{spelled(case.thread)}.strace")
        return [line for line in lines if "(INJECTED)" in line]

    def hit(self, play: Play, case: Case) -> float | None:
        """When the fault was made."""
        if case.fault == "KILL":
            return float("inf") if play.code == -signal.SIGKILL else None
        line = re.match(r"(?:\d+ +)?([\d.]+) ", "".join(self.made(play, case)[:1]))
        return float(line.group(1)) if line else None

    def judge(self, play: Play, case: Case, hit: float | None, answered: list[str]) -> None:
        if hit is None and play.code != 0:
            raise Violation(f"it ended with {play.code} though nothing was done to it")
        # A second place that fails is tried again; the record is not.
        on_record = str(play.data) in "".join(self.made(play, case))
        if hit is not None and case.fault == "EIO" and case.syscall in SYNCS and on_record:
            if play.code in (0, -signal.SIGKILL):
                raise Violation(f"a failed {case.syscall} did not end it: {play.code}")
            late = [name for began, name in play.begun if began > hit]
            if case.thread == "sequencer" and late:
                raise Violation(f"answered after a failed {case.syscall}: {late}")
        # Whatever the fault left is not taken for somebody's doing.
        if (play.data / "log/vkey").exists() and self.verify(play)[0] == 10:
            raise Violation(f"called altered before recovery: {self.verify(play)[1]}")
        again = Play(play.data, self.upstream, play.scratch, play.outside)
        if not again.start():
            again.end()
            raise Violation(f"the next recorder does not start: {again.code}")
        for n in range(2):
            again.call(f"after-{n}", b"after")
        # What the operator asked for comes in the end.
        for order, _ in play.orders:
            if again.order(*order.split()) != 0:
                raise Violation(f"the next recorder is told in vain to {order}")
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
        """As everybody can who trusts whoever vouches for it."""
        trusted = play.outside.trusted() if play.outside else []
        words = [TACHO, "verify", "--json", "--data", str(play.data), *trusted]
        done = subprocess.run(words, capture_output=True, timeout=PATIENCE)
        try:
            report = json.loads(done.stdout)
            said = {name: report[name] for name in ("faults", "missing", "error") if report.get(name)}
        except ValueError:
            said = (done.stdout + done.stderr).decode(errors="replace")
        return done.returncode, str(said)[:2000]

    def recorded(self, play: Play) -> set[str]:
        """The names of the calls that the record has as completed."""
        done = subprocess.run([TACHO, "events", "--json", "--data", str(play.data)], capture_output=True, timeout=PATIENCE, check=True)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        requests = {e["seq"]: e["http"]["path"] for e in events if e["kind"] in ("http.request", "model.request")}
        ended = [e["exchange"]["call"] for e in events
                 if e["kind"] in ("http.response", "model.response") and e["outcome"]["state"] == "completed"]
        return {re.split(r"[/?]", requests[call])[-1] for call in ended}
