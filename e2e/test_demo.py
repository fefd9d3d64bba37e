"""`tacho demo` as somebody without a terminal sees it."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

from tacho import TACHO


def demo(*arguments, **more):
    return subprocess.run([TACHO, "demo", *arguments], capture_output=True, text=True, timeout=120, **more)


def test_the_demo_tells_the_incident(tmp_path):
    record = tmp_path / "record"
    done = demo("--data", str(record), env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    for word in ("read_ticket", "query_customers", "send_email", "backup-audit@collect.example.net",
                 "tacho timeline", "tacho verify", "verified"):
        assert word in done.stdout, word
    assert "\x1b" not in done.stdout
    verified = subprocess.run([TACHO, "verify", "--json", "--data", str(record)], capture_output=True, timeout=60)
    assert verified.returncode == 0, verified
    events = subprocess.run([TACHO, "events", "--json", "--data", str(record)], capture_output=True, timeout=60)
    kinds = [json.loads(line)["kind"] for line in events.stdout.splitlines()]
    assert kinds.count("model.request") == kinds.count("model.response") == 4
    assert kinds.count("tool.request") == kinds.count("tool.response") == 3
    assert kinds[-1] == "recorder.stop"


def test_the_demo_does_not_touch_a_record_that_is_there(tmp_path):
    (tmp_path / "something").write_text("x")
    done = demo("--data", str(tmp_path))
    assert done.returncode == 2 and "hint:" in done.stderr


def test_tampering_is_shown(tmp_path):
    done = demo("--tamper", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "ALTERED" in done.stdout and "exit 10" in done.stdout
    named = int(re.search(r"first bad record: .*event (\d+)", done.stdout).group(1))
    [record] = tmp_path.glob("tachograph-demo-*/record")
    shown = subprocess.run([TACHO, "show", str(named), "--json", "--data", str(record)], capture_output=True, timeout=60)
    event = json.loads(shown.stdout)
    assert "send_email" in shown.stdout.decode() and event["kind"] in ("model.response", "tool.request"), event


def test_at_a_terminal_the_recorder_goes_on(tmp_path):
    master, slave = pty.openpty()
    process = subprocess.Popen([TACHO, "demo"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                               env={**os.environ, "TMPDIR": str(tmp_path)})
    os.close(slave)
    seen, deadline = b"", time.monotonic() + 60
    while b"Ctrl-C stops it" not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([master], [], [], 1)[0]:
            seen += os.read(master, 65536)
    gateway = re.search(rb"(http://[\d.:]+)/agent/mine/anthropic", seen).group(1)
    assert gateway and process.poll() is None
    process.send_signal(signal.SIGINT)
    while process.poll() is None:
        assert time.monotonic() < deadline
        if select.select([master], [], [], 0.1)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:
                break
    assert process.wait(20) == 0
    os.close(master)
