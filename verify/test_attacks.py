"""Every attack of `./x attack`, judged by the second verifier: what it says to each auditor is what the first one says.

`TACHO_ATTACKS` names the directory that `attack --export` left; without it, the program beside `TACHO` is asked for one.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess

import pytest
import tacho_verify
from conftest import TACHO
from tachoverify.verify import verify
from agreement import alike


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    if directory := os.environ.get("TACHO_ATTACKS"):
        return pathlib.Path(directory)
    program = pathlib.Path(TACHO).with_name("attack")
    if not program.exists():
        pytest.skip(f"{program} is not built, and TACHO_ATTACKS names no attacked stores")
    directory = tmp_path_factory.mktemp("attacks")
    command = [program, "--tacho", TACHO, "--flips", "1", "--untouched", "0", "--export", directory]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return directory


def test_both_verifiers_say_the_same_of_every_attack(exported, figure):
    cases = json.loads((exported / "cases.json").read_text())
    looks = [(exported, case, look) for case in cases for look in case["looks"]]
    with concurrent.futures.ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        apart = [difference for difference in pool.map(judge, looks, chunksize=8) if difference]
    figure(f"second verifier: {len(looks)} looks at {len(cases)} attacked stores, {len(apart)} judged otherwise")
    assert not apart, "\n".join(apart)
    assert len(cases) > 50 and len(looks) == 4 * len(cases)


def judge(look) -> str | None:
    """Where the two differ, in words."""
    folder, case, said = look
    options = [word if word.startswith("--") else str(folder / word) for word in said["options"]]
    store = folder / case["store"]
    second = verify(store, tacho_verify.read([str(store), *options])[1]).as_json()
    report = said["report"] if "faults" in said["report"] else {}
    theirs, ours = alike(said["exit_code"], report, second)
    if ours == theirs:
        return None
    apart = {name: (theirs[name], ours[name]) for name in theirs if theirs[name] != ours[name]}
    return f"{case['attack']}, with {said['view']}: {apart}; {report.get('faults', [])[:2]}; {second['faults'][:2]} {second['missing'][:2]}"
