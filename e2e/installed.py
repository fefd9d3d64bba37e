"""A recorder as `packaging/install.sh` sets it up, run as its own user the way its unit says, and an agent of another user."""

from __future__ import annotations

import configparser
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess

import pytest
from tacho import ROOT, TACHO, Recorder

#: Users that exist nowhere: who they are does not matter, only that they are two and neither is root.
RECORDER = 64211
AGENT = 64212

PACKAGING = ROOT / "packaging"
HOSTILE = pathlib.Path(__file__).with_name("hostile.py").read_text()

#: A Python that everybody may run; the tests' own may lie in somebody's home.
PYTHON = "/usr/bin/python3"


def needs(*programs: str) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to run a recorder and an agent as two other users")
    for program in (*programs, "setpriv", "install"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    if subprocess.run([*as_user(AGENT), PYTHON, "-c", ""], capture_output=True, cwd="/").returncode != 0:
        pytest.skip(f"another user cannot run {PYTHON}")


def as_user(user: int) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs",
            "--bounding-set=-all", "--inh-caps=-all"]


def install(root: pathlib.Path, *options: str, binary: str = TACHO) -> subprocess.CompletedProcess:
    return subprocess.run([str(PACKAGING / "install.sh"), "--root", str(root), "--binary", binary, *options],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)


def unit(path: pathlib.Path) -> configparser.SectionProxy:
    """The unit's [Service]; of a setting that is given more than once, the last."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str
    parser.read(path)
    return parser["Service"]


class Installed(Recorder):
    """The staged recorder. What the unit asks of systemd is done here as far as a plain process can do it: user, no
    privileges, limits, umask, and a file system that is read-only but for the evidence."""

    def __init__(self, root: pathlib.Path, config: str, *options: str, tmpfs: str | None = None):
        self.root = root
        done = install(root, "--owner", f"{RECORDER}:{RECORDER}", *options)
        assert done.returncode == 0, done.stderr
        self.data = root / "var/lib/tachograph"
        if tmpfs:
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={tmpfs},mode=0700,uid={RECORDER},gid={RECORDER}",
                                      "none", str(self.data)], capture_output=True, text=True)
            if mounted.returncode != 0:
                pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
        self.config = root / "etc/tachograph/tacho.toml"
        with self.config.open("a") as file:
            file.write(config)
        self.program = root / "usr/local/bin/tacho"
        self.log = root / "recorder.log"
        self.unit = unit(root / "etc/systemd/system/tachograph.service")
        #: Where the recorder would put temporary files if it put any outside its directory; everybody may write there.
        self.temporary = root / "tmp"
        self.temporary.mkdir(mode=0o1777)
        self.temporary.chmod(0o1777)
        self.process, self.gateway, self.console = None, "", ""
        self.start()

    def start(self) -> None:
        words = []
        for word in self.unit["ExecStart"].split():
            word = f"{self.root}{word}" if word.startswith("/") else re.sub(r"^127\.0\.0\.1:\d+$", "127.0.0.1:0", word)
            words.append(word)
        # Not every machine lets root raise a limit.
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limits = ["prlimit", f"--nofile={min(int(self.unit['LimitNOFILE']), most)}", f"--core={self.unit['LimitCORE']}"]
        script = 'umask "$1"; mount --bind "$2" "$2" && mount -o remount,bind,ro / && shift 2 && exec "$@"'
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", self.unit["UMask"], str(self.data), *limits, *as_user(RECORDER), *words]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(self.temporary)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd="/",
                                            env=environment, start_new_session=True)
        line = self.process.stdout.readline()
        ready = re.fullmatch(r"ready gateway=(http://\S+) console=(http://\S+)\n", line)
        assert ready, f"the recorder said {line!r}; its log: {self.log.read_text()}"
        self.gateway, self.console = ready.groups()

    def hostile(self, attack: str, **given) -> Attack:
        return Attack(self, attack, given)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.data)], capture_output=True)


class Attack:
    """A hostile agent at work."""

    def __init__(self, recorder: Installed, attack: str, given: dict):
        mine = recorder.root / "agent"
        if not mine.exists():
            mine.mkdir()
            os.chown(mine, AGENT, AGENT)
        given |= {"pid": recorder.process.pid, "data": str(recorder.data), "root": str(recorder.root), "mine": str(mine),
                  "gateway": recorder.gateway, "console": recorder.console, "program": str(recorder.program)}
        self.process = subprocess.Popen(
            [*as_user(AGENT), PYTHON, "-c", HOSTILE, attack], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd="/", start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "HOSTILE": json.dumps(given)})

    def says(self):
        """Its next word; `None` where it ended without one."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def ends(self):
        """Lets it go, and its last word."""
        out, err = self.process.communicate(timeout=120)
        assert "Traceback" not in err, err
        return json.loads(out.splitlines()[-1]) if out else None


