"""AG-066, test 8.2: a hostile agent of another user cannot stop, rewrite, delay, flood, read or starve its recorder.

Where an attempt passes the recorder, the event that it leaves is asserted. What the kernel refuses (a signal to another
user's process, a file in a closed directory) never reaches the recorder, and is by nature no event in its log: there the
refusal itself is asserted. After each attack an honest agent's calls are all in the record, and at the end it verifies.
"""

import hashlib
import http.client
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import urllib.parse

import pytest
from faults import Play
from installed import AGENT, PACKAGING, RECORDER, Installed, as_user, install, needs
from recorder_faults import segments
from tacho import TACHO, until

CONFIG = """
[upstream.raw]
base_url = "{url}"
api = "raw"
[limits]
request_body = "16MiB"
request_idle_timeout = "1s"
drain_timeout = "2s"
connections = 256
[recorder]
environment_interval = "1s"
"""

#: Stands in every honest call: nobody but the recorder's user and root may read it back.
SECRET = "the-honest-agent-said-this-in-confidence"

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def place():
    """A directory that other users may pass through, which pytest's own are not."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="tacho-independence-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def recorder(place, model):
    needs("unshare", "prlimit", "mount")
    recorder = Installed(place / "installed", CONFIG.format(url=model.url), "--no-head-copy")
    recorder.told = []
    yield recorder
    recorder.stop()
    report = recorder.verify()
    assert report["faults"] == [], report
    honest_is_recorded(recorder)


@pytest.fixture(autouse=True)
def nothing_is_lost(request):
    """Before and after each attack an honest agent is served, and what it was told is in the record."""
    if "recorder" not in request.fixturenames:
        yield
        return
    recorder = request.getfixturevalue("recorder")
    honest(recorder)
    yield
    honest(recorder)
    assert recorder.process.poll() is None
    honest_is_recorded(recorder)
    assert list(recorder.temporary.iterdir()) == [], "nothing of the recorder lies where everybody may write"


def honest(recorder) -> int:
    """A call of an honest agent, noted where it was answered in full; its status."""
    name = f"honest-{next(NUMBERS)}"
    body = f"{SECRET} {name}".encode()
    address = urllib.parse.urlsplit(recorder.gateway)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    try:
        connection.request("POST", f"/agent/honest/raw/echo/{name}", body)
        answer = connection.getresponse()
        whole = answer.read()
    finally:
        connection.close()
    if answer.status == 200:
        assert whole == body
        recorder.told.append(name)
    return answer.status


def honest_is_recorded(recorder) -> None:
    calls = {call.request["http"]["path"].split("/")[-1]: call for call in recorder.calls("honest")}
    for name in recorder.told:
        assert calls[name].state == "completed", name
    newest = recorder.told[-1]
    assert calls[newest].sent == calls[newest].answered == f"{SECRET} {newest}".encode()


def outcomes(recorder, path: str) -> list[dict]:
    """How the hostile agent's calls to a path ended, each with its event."""

    def closed():
        events = recorder.events(agent="hostile")
        calls = [e for e in events if e["kind"].endswith(".request") and path in e["http"]["path"]]
        ends = {e["exchange"]["call"]: e for e in events if e["kind"].endswith(".response")}
        return [ends[call["seq"]]["outcome"] for call in calls] if calls and all(c["seq"] in ends for c in calls) else None

    return until(f"calls to {path} are closed", closed, 40)


def all_refused(results: dict) -> None:
    succeeded = [what for what, error in results.items() if error is None]
    assert results and not succeeded, succeeded


# --- what the kernel refuses: no event, by nature


def test_it_cannot_stop_trace_or_slow_the_process(recorder):
    results = recorder.hostile("stop").ends()
    all_refused(results)
    assert set(results.values()) <= {"EPERM", "EACCES"}, results
    status = pathlib.Path(f"/proc/{recorder.process.pid}/status").read_text()
    assert re.search(rf"^Uid:\s+{RECORDER}\s+{RECORDER}", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE) and re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)


def test_it_cannot_touch_or_read_a_file_of_the_installation(recorder):
    # Live files come and go; which they are is looked up while nothing is on its way.
    data = [path for path in recorder.data.rglob("*") if "recorder.tmp" not in path.parts]
    files = [str(path) for path in data if path.is_file()]
    assert len(files) > 8, files
    secret = [*files, str(recorder.config)]
    system = [str(recorder.root / "etc/systemd/system/tachograph.service"), str(recorder.program)]
    directories = [str(recorder.data), *(str(path) for path in data if path.is_dir())]
    before = {path: hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() for path in (*system, str(recorder.config))}
    results = recorder.hostile("files", files=[*secret, *system], secret=secret, directories=directories).ends()
    all_refused(results)
    denied = [error for error in results.values() if error in ("EACCES", "EPERM")]
    assert len(denied) > len(results) * 0.95, {what: e for what, e in results.items() if e not in ("EACCES", "EPERM")}
    for path, digest in before.items():
        assert hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() == digest
    for path in (*data, recorder.data):
        if path.exists():
            status = path.lstat()
            assert (status.st_uid, status.st_mode & 0o077) == (RECORDER, 0), path
    assert not list(recorder.data.rglob("planted"))


def test_it_cannot_reach_the_control_side(recorder):
    commands = [["keys", "rotate"], ["anchor"]]
    all_refused(recorder.hostile("control", commands=commands).ends())
    assert not (recorder.root / "agent/ran").exists(), "what `tacho run` wraps does not begin without a recorder"


def program_in(place: pathlib.Path) -> str:
    """The program where another user may run it."""
    copy = place / "tacho"
    shutil.copy(TACHO, copy)
    return str(copy)


# --- what passes the recorder: an event each


def test_the_operators_listener_tells_it_nothing_and_records_that_it_asked(recorder):
    requests = [("console", f"{method} {path} HTTP/1.1\r\nHost: HOST\r\n{more}Connection: close\r\n\r\n")
                for method, path, more in (("GET", "/status", ""), ("GET", "/", ""), ("POST", "/stop", ""), ("GET", "/events", ""),
                                           ("GET", "/status", "Authorization: Bearer \r\n"),
                                           ("GET", "/status?token=", f"Authorization: Bearer {'0' * 64}\r\n"))]
    for answer in recorder.hostile("send", requests=requests).ends():
        assert answer.startswith("HTTP/1.1 401 "), answer
        assert str(recorder.data) not in answer and "durable" not in answer and "pid" not in answer, answer

    def told():
        events = [e for e in recorder.events(kind="http.request") if e.get("facts", {}).get("listener") == "console"]
        return sum(e["facts"]["count"] for e in events) >= len(requests) and events

    assert len(until("each attempt is counted", told)) <= 3, "and all of them are few events"
    done = recorder.run("status", "--json")
    assert b'"running":true' in done.stdout.replace(b" ", b""), "who may read the record may ask"


def test_no_request_reads_evidence_and_each_is_an_event(recorder):
    honest(recorder)
    data = str(recorder.data)
    paths = ["/agent/hostile/log/checkpoint", "/agent/hostile/../../log/checkpoint", f"/agent/hostile/{data}/log/checkpoint",
             f"/agent/hostile/file://{data}/log/vkey", "/agent/hostile/..%2f..%2flog%2fcheckpoint",
             "/agent/hostile/events", "/agent/hostile/status", "/agent/hostile/keys/log.key", "/agent/hostile/recorder.sock",
             "/agent/hostile/mcp/../log/checkpoint", "/agent/hostile/run/honest"]
    requests = [("gateway", f"{method} {path} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
                for path in paths for method in ("GET", "DELETE", "PUT")]
    recorded = len(requests)
    console = recorder.console.removeprefix("http://")
    requests += [("gateway", f"CONNECT {console} HTTP/1.1\r\nHost: {console}\r\nConnection: close\r\n\r\n"),
                 ("gateway", f"GET http://{console}/status HTTP/1.1\r\nHost: {console}\r\nConnection: close\r\n\r\n"),
                 ("gateway", "GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")]
    before = len(recorder.events(kind="http.request"))
    answers = recorder.hostile("send", requests=requests).ends()
    vkey = (recorder.data / "log/vkey").read_text().split("+")[0]
    for (_, request), answer in zip(requests, answers, strict=True):
        assert answer.startswith("HTTP/1.1 4"), (request, answer)
        assert SECRET not in answer and vkey not in answer and "durable" not in answer, (request, answer)
    events = until("every attempt is an event", lambda: (e := recorder.events(kind="http."))
                   and len([x for x in e if x["kind"] == "http.request"]) >= before + len(requests) and e)
    closed = [e for e in events if e["kind"] == "http.response" and e["outcome"]["state"] == "denied"]
    errors = {e["outcome"]["error"] for e in closed}
    assert {"unknown_upstream", "tunnel", "foreign_host"} <= errors, errors
    assert len(closed) >= recorded


def test_a_request_that_trickles_in_is_refused_and_recorded(recorder):
    answer = recorder.hostile("dribble").ends()
    assert answer is not None, "it was cut off in time"
    [outcome] = outcomes(recorder, "/dribble")
    assert (outcome["state"], outcome["error"]) == ("denied", "request_timeout"), outcome


def test_half_open_requests_hold_up_nobody_and_are_counted(recorder):
    attack = recorder.hostile("hold", connections=150)
    assert attack.says() == 150
    for _ in range(20):
        assert honest(recorder) == 200
    until("the figures show them", lambda: max(
        (e["facts"].get("connections", 0) for e in recorder.events(kind="environment")), default=0) >= 150)
    attack.ends()

    def counted():
        gaps = [e for e in recorder.events(kind="gap") if e["gap"]["cause"] == "malformed-http"]
        return sum(e["gap"]["count"] for e in gaps) >= 150 and gaps

    gaps = until("each is counted in the record", counted)
    assert len(gaps) <= 20, "a flood of them is few events"
    assert any("within a request's head" in finding for e in gaps for finding in e["facts"]["findings"])


def test_answers_that_nobody_reads_hold_up_nobody(recorder):
    attack = recorder.hostile("deaf", connections=4)
    assert attack.says() == 4
    for _ in range(20):
        assert honest(recorder) == 200
    attack.ends()
    for outcome in outcomes(recorder, "/echo/deaf"):
        assert outcome["state"] in ("client_aborted", "completed"), outcome


def test_a_flood_is_recorded_request_by_request(recorder):
    attack = recorder.hostile("flood", connections=400)
    for _ in range(20):
        assert honest(recorder) == 200
    assert attack.ends() == {"200": 400}
    assert [o["state"] for o in outcomes(recorder, "/echo/flood-")] == ["completed"] * 400


def test_its_own_sudden_death_is_recorded(recorder):
    attack = recorder.hostile("vanish")
    attack.process.communicate(timeout=30)
    [outcome] = outcomes(recorder, "vanish")
    assert outcome["state"] == "client_aborted", outcome


def test_names_it_gives_itself_stay_its_own(recorder):
    """A name in the address is a claim. What headers claim beside it changes nothing, and who joins another's run is seen."""
    run = "the-honest-run"
    honest_run = f"POST /agent/honest/raw/echo/a HTTP/1.1\r\nHost: HOST\r\nX-Tacho-Run: {run}\r\nConnection: close\r\n" \
                 "Content-Length: 1\r\n\r\nx"
    forged = (f"POST /agent/hostile/raw/echo/forged HTTP/1.1\r\nHost: HOST\r\nX-Tacho-Run: {run}\r\nX-Tacho-Agent: honest\r\n"
              "X-Agent: honest\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-User: honest\r\nForwarded: for=honest\r\n"
              "Connection: close\r\nContent-Length: 1\r\n\r\nx")
    recorder.hostile("send", requests=[("gateway", honest_run), ("gateway", forged)]).ends()
    until("it is recorded", lambda: outcomes(recorder, "/echo/forged"))
    events = recorder.events(run=run)
    [call] = [e for e in events if e["kind"] == "http.request" and e["http"]["path"].endswith("forged")]
    assert call["agent"]["name"] == "hostile"
    agents = {e["agent"]["name"] for e in events if "agent" in e}
    assert agents == {"honest", "hostile"}, "the run shows that two took part"


# --- the disk


def test_a_disk_it_fills_stops_agents_and_loses_nothing(place, model):
    needs("unshare", "prlimit", "mount")
    full = Installed(place / "full", CONFIG.format(url=model.url), "--no-head-copy", tmpfs="100m")
    try:
        full.told = []
        assert honest(full) == 200
        statuses = full.hostile("fill", sizes=[8 << 20, 256 << 10, 8 << 10, 16]).ends()
        assert statuses[-1] == "503", statuses
        took = statuses.count("200")
        assert honest(full) == 503, "what cannot be recorded is not forwarded"
        subprocess.run(["mount", "-o", "remount,size=400m", str(full.data)], check=True)
        until("there is room again", lambda: honest(full) == 200, 60)
        [gap, *_] = until("the refusals are told", lambda: [
            e for e in full.events(kind="gap") if e["gap"]["cause"] == "disk-full"])
        assert gap["gap"]["of"] == "recorder" and gap["gap"]["unit"] == "events"
        refused = sum(e["gap"]["count"] for e in full.events(kind="gap") if e["gap"]["cause"] == "disk-full")
        assert refused >= len(statuses) - took
        honest_is_recorded(full)
        assert [o["state"] for o in outcomes(full, "/echo/fill-")].count("completed") >= took
        full.stop()
        report = full.verify()
        assert report["faults"] == [] and report["gaps"], report
        honest_is_recorded(full)
    finally:
        if full.process.poll() is None:
            full.kill()
        full.unmount()


# --- what sets it up


def test_a_directory_that_is_another_users_is_warned_about(place):
    """The one way to give a recorder's files away: to let an agent own the directory that they lie in."""
    needs()
    theirs = place / "theirs"
    theirs.mkdir()
    os.chown(theirs, AGENT, AGENT)
    theirs.chmod(0o777)
    command = [*as_user(RECORDER), program_in(place), "serve", "--data", str(theirs), "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")
    assert process.stdout.readline().startswith("ready ")
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert f"belongs to another user ({AGENT})" in said


def test_installing_again_changes_nothing_and_taking_it_away_leaves_the_evidence(place, model):
    needs()
    root = place / "again"
    owner = ("--owner", f"{RECORDER}:{RECORDER}")
    assert install(root, *owner, "--head-copy", "/srv/heads").returncode == 0
    config = root / "etc/tachograph/tacho.toml"
    config.write_text(config.read_text() + "# mine\n")
    evidence = root / "var/lib/tachograph"
    (evidence / "record").write_bytes(b"evidence")

    def tree():
        return {path.relative_to(root): (path.lstat().st_mode, path.lstat().st_uid, path.read_bytes() if path.is_file() else b"")
                for path in root.rglob("*")}

    before = tree()
    assert install(root, *owner, "--head-copy", "/srv/heads").returncode == 0
    assert tree() == before
    assert '[copy]\ndirectory = "/srv/heads"\n' in config.read_text()
    assert "ReadWritePaths=/srv/heads" in (root / "etc/systemd/system/tachograph.service.d/head-copy.conf").read_text()
    assert (evidence.stat().st_uid, evidence.stat().st_mode & 0o777) == (RECORDER, 0o700)
    assert (config.stat().st_uid, config.stat().st_gid, config.stat().st_mode & 0o777) == (0, RECORDER, 0o640)
    other = install(root, *owner, "--head-copy", "/srv/other")
    assert other.returncode == 1 and "another second place" in other.stderr
    assert install(root, "--uninstall").returncode == 0
    left = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert left == {"etc/tachograph/tacho.toml", "var/lib/tachograph/record"}


@pytest.mark.parametrize("options", [("--head-copy", "relative"), ("--head-copy", "/a b"), ("--head-copy", "/x\nReadWritePaths=/"),
                                     ("--head-copy", "/var/lib/tachograph/heads"), ("--binary", "/nowhere"), ("--what",)])
def test_a_mistake_installs_nothing(tmp_path, options):
    done = install(tmp_path / "root", *options)
    assert done.returncode in (1, 2) and done.stderr
    assert not (tmp_path / "root").exists()


def test_without_a_second_place_it_says_what_that_means(tmp_path):
    done = install(tmp_path / "root")
    assert done.returncode == 0 and "no second place" in done.stdout


def test_the_unit_is_sound(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    assert install(tmp_path / "root").returncode == 0
    staged = tmp_path / "root/etc/systemd/system/tachograph.service"
    staged.write_text(staged.read_text().replace("/usr/local/bin/tacho", str(tmp_path / "root/usr/local/bin/tacho")))
    verified = subprocess.run(["systemd-analyze", "verify", str(staged)], capture_output=True, text=True)
    assert verified.returncode == 0 and not verified.stderr.strip(), verified.stderr
    rated = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(staged)],
                           capture_output=True, text=True)
    if "unrecognized option" in rated.stderr:
        pytest.skip("this systemd-analyze cannot rate a file")
    assert rated.returncode == 0, rated.stdout[-400:] + rated.stderr


def test_the_units_filter_lets_through_what_the_recorder_calls(tmp_path, model):
    """One refusal in a place that is seldom reached would end a recorder in the night."""
    if not shutil.which("systemd-analyze") or not shutil.which("strace"):
        pytest.skip("needs systemd-analyze and strace")
    allowed = allowed_by((PACKAGING / "tachograph.service").read_text())
    if not allowed:
        pytest.skip("this systemd-analyze does not say what its filters hold")
    play = Play(tmp_path / "record", model.url, tmp_path)
    output = tmp_path / "calls.strace"
    assert play.start(["strace", "-f", "-o", str(output), "-e", "signal=none"])
    segments(play)
    assert play.end() == 0
    called = set(re.findall(r"^\d+ +(\w+)\(", output.read_text(errors="replace"), re.MULTILINE))
    assert {"fdatasync", "syncfs", "accept4", "setpriority"} <= called
    assert called - allowed == set(), "called and not allowed"


def allowed_by(text: str) -> set[str]:
    def expand(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        said = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], capture_output=True, text=True).stdout
        words = [line.strip() for line in said.splitlines()[1:] if line.startswith("    ") and not line.strip().startswith("#")]
        return set().union(*(expand(word) for word in words)) if words else set()

    # The base that every filter holds.
    allowed = expand("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", text, re.MULTILINE):
        names = set().union(*(expand(name) for name in line.removeprefix("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed
