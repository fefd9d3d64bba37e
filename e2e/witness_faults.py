"""The ways through a witness, with one system call of each failed at a time, and what must hold afterwards: it has agreed to
no second history, and forgets nothing that it agreed to."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

from faults import ELSEWHERE, FAULTS, SYNCS, Case, Violation, first_line, occurrences, spelled, traced, traced_child, tracing
from forked_log import COMMON, ORIGIN, Key, add_checkpoint, add_key_epoch, head_of, leaves, root
from tacho import TACHO

#: Longest that a witness may take to answer, or to end.
PATIENCE = 20

#: The log's keys, one an epoch. The second takes over at `HANDED_OVER`.
FIRST, SECOND = Key(1), Key(2)
HANDED_OVER = 5

#: Sizes at which the log asks, and what it does in between.
GROWS = (COMMON, HANDED_OVER, "hands over", 8, 11)


class Witness:
    """A witness's life on `data`: what it was asked, and what it agreed to."""

    def __init__(self, data: pathlib.Path, scratch: pathlib.Path):
        self.data = data
        self.scratch = scratch
        self.log = (scratch / "witness.log").open("ab")
        self.process: subprocess.Popen | None = None
        self.tracer: subprocess.Popen | None = None
        self.code: int | None = None
        self.url = self.key = ""
        #: Heads that it cosigned, as whoever asked or looked was told: history and size.
        self.agreed: list[tuple[str, int]] = []
        #: Answers that were none: the request's size.
        self.silent: list[int] = []

    def start(self, before: list[str] | None = None) -> bool:
        """Whether it got ready."""
        command = [TACHO, "witness", "serve", "--data", str(self.data), "--listen", "127.0.0.1:0", "--log", FIRST.vkey]
        self.process = subprocess.Popen((before or []) + command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        ready = re.fullmatch(r"ready witness=(\S+) key=(\S+)\n", first_line(self.process))
        if ready:
            self.url, self.key = ready.groups()
        return bool(ready)

    def trace(self, case: Case | None) -> None:
        """Attaches to every thread that is there and comes."""
        words = tracing(self.scratch / "all.strace", case)
        self.tracer = subprocess.Popen([*words, "-f", "-p", str(self.process.pid)], stderr=subprocess.PIPE, text=True)
        line = self.tracer.stderr.readline()
        if "attached" not in line:
            raise Violation(f"strace could not attach: {line}")

    def end(self, how: int = signal.SIGTERM) -> int:
        """Ends what still runs; returns how it ended."""
        inside = None if self.tracer else traced_child(self.process)
        try:
            os.kill(inside or self.process.pid, how)
        except ProcessLookupError:
            pass
        try:
            self.code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.kill(inside or self.process.pid, signal.SIGKILL)
            self.process.kill()
            raise Violation(f"it did not end within {PATIENCE} s") from None
        finally:
            if self.tracer:
                self.tracer.communicate(timeout=PATIENCE)
            self.process.stdout.close()
            self.log.close()
        return self.code

    def owns(self, line: str) -> bool:
        """Whether a traced call is on a file of its memory."""
        return str(self.data) in line

    # --- the log

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and answer; 0 where there was none."""
        address = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=PATIENCE)
        try:
            connection.request(method, "/" + path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def submit(self, history: str, old: int, size: int) -> int:
        """Asks for a cosignature; returns the status."""
        key = FIRST if size <= HANDED_OVER else SECOND
        status, answer = self.ask("POST", "add-checkpoint", add_checkpoint(history, old, size, key))
        if status == 200 and answer:
            self.agreed.append((history, size))
        return status

    def seen(self) -> int | None:
        """The size of the head that anybody may read; `None` where none may."""
        status, note = self.ask("GET", hashlib.sha256(ORIGIN.encode()).hexdigest() + "/checkpoint")
        if status != 200:
            return None
        size, stated = head_of(note.decode())
        histories = [history for history in "ab" if root(leaves(history, size)) == stated]
        if not histories:
            raise Violation(f"it shows a head of {size} that nobody asked it for")
        self.agreed.append((histories[0], size))
        return size

    def grow(self, known: int = 0) -> None:
        """The log grows from what is known of it, and where that fails, the other history is tried in its place."""
        for step in GROWS:
            if step == "hands over":
                self.ask("POST", "add-key-epoch", add_key_epoch(2, HANDED_OVER, FIRST, SECOND))
            elif step > known:
                if self.submit("a", known, step) == 200:
                    known = step
                else:
                    self.silent.append(step)
                    self.submit("b", known, step)
                    self.seen()


@dataclasses.dataclass(frozen=True)
class Path:
    """A way through the witness. `attached`: strace looks at it once it is ready; else it starts it and sees the first
    thread alone, which reads and writes until then."""

    #: How far the log was when it is played.
    grown: int
    attached: bool
    #: Names that must be among those that the calls to fail are made on.
    touches: tuple[str, ...]
    cost: float = 1.0


PATHS = {
    "witness-first-start": Path(0, False, ("/keys", "/vkey", "/recorder.tmp")),
    "witness-restart": Path(HANDED_OVER, False, ("/checkpoint", "/vkey", "/recorder.tmp")),
    "witness-first": Path(0, True, ("/checkpoint", "/epochs", "/recorder.tmp")),
    "witness-update": Path(COMMON, True, ("/checkpoint", "/epochs", "/recorder.tmp")),
}


class Driver:
    """Plays cases, each in a directory of its own under `root`."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.prepared: dict[int, tuple[pathlib.Path, str]] = {}
        for grown in {path.grown for path in PATHS.values()}:
            self.prepared[grown] = self.prepare(grown)

    def scratch(self) -> pathlib.Path:
        return pathlib.Path(tempfile.mkdtemp(dir=self.root))

    def prepare(self, grown: int) -> tuple[pathlib.Path, str]:
        """A memory to begin from, with what a killed witness leaves lying about, and the witness's key."""
        here = self.scratch()
        first = Witness(here / "memory", here)
        if grown == 0:
            return first.data, ""
        assert first.start(), (here / "witness.log").read_text()
        known = 0
        for size in (COMMON, HANDED_OVER):
            if size <= grown:
                assert first.submit("a", known, size) == 200
                known = size
        assert first.end() == 0
        (first.data / "recorder.tmp").mkdir(exist_ok=True)
        (first.data / "recorder.tmp/1-0").write_text("half a he")
        return first.data, first.key

    def begin(self, name: str) -> Witness:
        here = self.scratch()
        template, _ = self.prepared[PATHS[name].grown]
        if template.exists():
            shutil.copytree(template, here / "memory")
        return Witness(here / "memory", here)

    def close(self) -> None:
        for template, _ in self.prepared.values():
            shutil.rmtree(template.parent)

    def run(self, witness: Witness, name: str, case: Case | None) -> None:
        path = PATHS[name]
        if not path.attached:
            if witness.start(tracing(witness.scratch / f"{spelled('main')}.strace", case)):
                witness.grow(path.grown)
        else:
            # The first start is another path's.
            assert witness.start(), "an untraced witness starts"
            witness.trace(case)
            witness.grow(path.grown)
        witness.end()

    def list(self, name: str) -> list[Case]:
        """Every fault of a path."""
        witness = self.begin(name)
        self.run(witness, name, None)
        well = witness.code == 0 and not witness.silent and witness.agreed
        assert well, f"without a fault {name} ends well: {witness.code}, {witness.silent}, {witness.agreed}"
        thread = "*" if PATHS[name].attached else "main"
        lines = traced(witness.scratch / f"{spelled(thread)}.strace")
        touched = "\n".join(filter(witness.owns, lines))
        untouched = [file for file in PATHS[name].touches if file not in touched]
        assert not untouched, f"{name} does not come past {untouched}: nothing of that would be failed"
        shutil.rmtree(witness.scratch)
        return [Case(name, thread, syscall, nth, fault)
                for syscall, nth in occurrences(lines, witness.owns) for fault in FAULTS]

    def play(self, case: Case) -> bool:
        """Plays one fault and what follows. `False`: this time the call was not made. Raises `Violation`."""
        witness = self.begin(case.path)
        try:
            hit = self.meet(witness, case)
            if hit is not ELSEWHERE:
                self.judge(witness, case, hit)
        except (Violation, AssertionError) as violation:
            log = (witness.scratch / "witness.log").read_text(errors="replace")[-2000:]
            raise Violation(f"{case}: {violation}\n  kept: {witness.scratch}\n  its log: {log}") from violation
        shutil.rmtree(witness.scratch)
        return hit is True

    def meet(self, witness: Witness, case: Case) -> bool | float:
        """Whether the fault was made; `ELSEWHERE` where it is none of ours, whatever it did: a waker of the runtime."""
        refused = None
        try:
            self.run(witness, case.path, case)
        except Violation as violation:
            refused = violation
        lines = traced(witness.scratch / f"{spelled(case.thread)}.strace")
        made = [line for line in lines if "(INJECTED)" in line]
        # Each thread counts for itself, so that the number may fall on a file and on a waker.
        if made and not all(witness.owns(line) for line in made):
            return ELSEWHERE
        if refused:
            raise refused
        return witness.code == -signal.SIGKILL if case.fault == "KILL" else bool(made)

    def judge(self, witness: Witness, case: Case, hit: bool) -> None:
        if not hit and (witness.code != 0 or witness.silent):
            raise Violation(f"it ended with {witness.code}, silent on {witness.silent}, though nothing was done to it")
        if hit and case.fault == "EIO" and case.syscall in SYNCS and witness.code in (0, -signal.SIGKILL):
            raise Violation(f"a failed {case.syscall} did not end it: {witness.code}")
        self.one_history(witness.agreed)
        _, key = self.prepared[PATHS[case.path].grown]
        key = witness.key or key
        again = Witness(witness.data, witness.scratch)
        if not again.start():
            again.end()
            raise Violation(f"the next witness does not start: {again.code}")
        # Twice: what it found at its start is what it goes by ever after.
        for _ in range(2):
            self.holds(again, witness.agreed, key)
            if again.end(signal.SIGKILL) != -signal.SIGKILL:
                raise Violation(f"the next witness ended by itself: {again.code}")
            last = again
            again = Witness(witness.data, witness.scratch)
            if not again.start():
                raise Violation("the witness after the next does not start")
            witness.agreed += last.agreed
        self.holds(again, witness.agreed, key)
        self.goes_on(again)
        if again.end() != 0:
            raise Violation(f"the next witness ended with {again.code}")
        self.one_history(witness.agreed + again.agreed)

    def holds(self, again: Witness, agreed: list[tuple[str, int]], key: str) -> None:
        """What was agreed to stands: no smaller size, and no other history of it."""
        if key and again.key != key:
            raise Violation(f"it had the key {key} and has {again.key}")
        most = max((size for _, size in agreed), default=0)
        size = again.seen() or 0
        if size < most:
            raise Violation(f"it agreed to {most} events and remembers {size}")
        self.one_history(agreed + again.agreed)
        mine = next((history for history, of in reversed(again.agreed) if of == size), "a")
        other = "b" if mine == "a" else "a"
        for old in (0, COMMON, HANDED_OVER, 8, 11):
            # Both a rollback and a fork, from where it is and from where it was.
            for history, to in ((mine, old), (other, old + 1), (other, size + 1)):
                forks = history != mine and to > COMMON and size > COMMON
                back = to < size or old < size
                if to >= old and (forks or back) and again.submit(history, old, to) == 200:
                    raise Violation(f"at {size} of {mine} it cosigned {to} of {history}, said to follow on {old}")

    def goes_on(self, again: Witness) -> None:
        """It serves the log as before."""
        size = again.seen() or 0
        mine = again.agreed[-1][0] if again.agreed else "a"
        if size >= HANDED_OVER or mine == "a":
            again.ask("POST", "add-key-epoch", add_key_epoch(2, HANDED_OVER, FIRST, SECOND))
        to = max(size + 1, COMMON)
        if again.submit(mine, size, to) != 200:
            raise Violation(f"it does not go on from {size} of {mine}")

    def one_history(self, agreed: list[tuple[str, int]]) -> None:
        told = {history for history, size in agreed if size > COMMON}
        if len(told) > 1:
            raise Violation(f"it agreed to two histories: {agreed}")
