"""Every system call fails, or is the process's last. Of the recorder: nothing that was acknowledged is lost, nothing is called
altered. Of the witness: it agrees to no second history of a log, and forgets nothing that it agreed to.

A fault costs a second or less, so that a run takes a seeded sample, at least one of each kind; what did not fit is said.
  TACHO_FAULTS=all          plays every one
  TACHO_FAULTS=90           seconds to spend on either (default 60 and 25)
  TACHO_FAULTS_SEED=7       another sample
  TACHO_FAULTS_ONLY=CASE    one alone, as a failure names it, e.g. seal:settler:fsync:3:EIO
"""

import concurrent.futures
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

import pytest
import recorder_faults
import witness_faults
from faults import Case, Violation

#: Most of a case is waiting.
AT_A_TIME = 4 * (os.cpu_count() or 1)


@pytest.fixture
def root(tmp_path):
    """In memory where there is such a place: what fails is what strace says, not the disk."""
    memory = pathlib.Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    root = pathlib.Path(tempfile.mkdtemp(prefix="tacho-faults-", dir=memory))
    yield root
    # What a failure kept to be looked at stays.
    if not any(root.iterdir()):
        root.rmdir()


@pytest.mark.timeout(6 * 3600)
def test_no_fault_loses_what_was_acknowledged(root, model, figure):
    needs_strace()
    driver = recorder_faults.Driver(root, model.url)
    sample("recorder", driver, recorder_faults.PATHS, 60, figure)


@pytest.mark.timeout(6 * 3600)
def test_no_fault_makes_a_witness_forget_or_agree_twice(root, figure):
    needs_strace()
    sample("witness", witness_faults.Driver(root), witness_faults.PATHS, 25, figure)


def sample(name, driver, paths, seconds, figure):
    """Plays as many of a driver's cases as there is time for; fails for each that did harm."""
    only = os.environ.get("TACHO_FAULTS_ONLY")
    budget = os.environ.get("TACHO_FAULTS", str(seconds))
    seed = int(os.environ.get("TACHO_FAULTS_SEED", "1"))
    if only:
        case = Case.parse(only)
        assert case.path in {**recorder_faults.PATHS, **witness_faults.PATHS}, f"TACHO_FAULTS_ONLY: there is no path {case.path}"
        if case.path in paths:
            driver.play(case)
        driver.close()
        return
    listed = [case for path in paths for case in driver.list(path)]
    played = plan(listed, random.Random(seed), paths)
    began = time.monotonic()
    deadline = began + (float("inf") if budget == "all" else float(budget))
    done = hit = 0
    kinds = set()
    violations = []

    def play(case):
        if time.monotonic() > deadline:
            return None
        return driver.play(case)

    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for case, future in [(case, pool.submit(play, case)) for case in played]:
            try:
                was_hit = future.result()
            except Violation as violation:
                violations.append(str(violation))
                was_hit = True
            if was_hit is not None:
                done, hit = done + 1, hit + was_hit
            if was_hit:
                kinds.add(kind(case))
            if "TACHO_FAULTS" in os.environ and done % 100 == 0:
                print(f"{name}: {hit} of {len(played)} faults, {len(violations)} did harm", flush=True)
    driver.close()
    figure(f"{name} faults: {hit} of {len(listed)} made, of {len(kinds)} kinds of {len(set(map(kind, listed)))}; "
           f"{done - hit} not met again; seed {seed}; {time.monotonic() - began:.0f} s")
    assert not violations, f"{len(violations)} of {hit} faults did harm:\n" + "\n".join(violations[:20])
    assert hit > done // 2, "most of what was listed is met again"


def needs_strace() -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    if why := may_not_attach():
        pytest.skip(f"strace may not look into a running process here: {why}")


def may_not_attach() -> str | None:
    """What keeps strace from a process that it did not start, as a machine may be set to."""
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        tracer = subprocess.Popen(["strace", "-o", "/dev/null", "-p", str(sleeper.pid)], stderr=subprocess.PIPE, text=True)
        said = tracer.stderr.readline()
        sleeper.kill()
        tracer.communicate(timeout=20)
        return None if "attached" in said else said.strip()
    finally:
        sleeper.kill()
        sleeper.wait()


def kind(case):
    return case.path, case.thread, case.syscall, case.fault


def plan(listed, chance, paths):
    """All cases in the order of playing: one of each kind first, then the rest, the cheap rather before the dear."""
    listed = sorted(listed)
    chance.shuffle(listed)
    kinds = {}
    for case in listed:
        kinds.setdefault(kind(case), case)
    first = list(kinds.values())
    chance.shuffle(first)
    chosen = set(first)
    rest = [case for case in listed if case not in chosen]
    rest.sort(key=lambda case: chance.random() * paths[case.path].cost)
    return first + rest
