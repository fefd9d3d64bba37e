"""Who vouches for a log from outside: a witness of `tacho`, an authority of `openssl`, a second place."""

from __future__ import annotations

import pathlib
import re
import subprocess

from tacho import TACHO, Upstream


class Authority(Upstream):
    """A time-stamping authority; see crates/testkit."""

    def __init__(self):
        super().__init__("authority")
        #: Its root certificate.
        self.roots = self.ready[2]


class Witness:
    """`tacho witness serve` on a free port, for one log."""

    def __init__(self, data: pathlib.Path, vkey: str, before: tuple[str, ...] = ()):
        command = [TACHO, "witness", "serve", "--data", str(data), "--listen", "127.0.0.1:0", "--name", "w", "--log", vkey]
        self.log = data.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*before, *command], stdout=subprocess.PIPE, stderr=log, text=True)
        ready = re.fullmatch(r"ready witness=(\S+) key=(\S+)\n", self.process.stdout.readline())
        self.url, self.key = ready.groups() if ready else (None, None)

    def stop(self) -> int:
        self.process.terminate()
        self.process.stdout.close()
        return self.process.wait(60)


class Outside:
    """All of them for one log, whose key lies in `data`; what is theirs lies in `scratch`."""

    def __init__(self, scratch: pathlib.Path, data: pathlib.Path, authority: Authority, place: pathlib.Path):
        vkey = (data / "log/vkey").read_text().strip()
        self.witness = Witness(scratch / "witness", vkey)
        assert self.witness.url, f"the witness does not start: {self.witness.log.read_text()}"
        self.roots = authority.roots
        self.place = place
        self.policy = scratch / "trust.policy"
        self.policy.write_text(f"log {vkey}\nwitness w {self.witness.key} {self.witness.url}\nquorum w\n")
        #: For the recorder's configuration.
        self.config = (f'[witness]\npolicy = "{self.policy}"\n'
                       f'[timestamp.tsa]\nurl = "{authority.url}"\nroots = "{self.roots}"\n')

    def trusted(self) -> list[str]:
        """What an auditor says to `tacho verify`."""
        words = ["--policy", str(self.policy), "--roots", self.roots]
        for head in self.place.glob("*/head"):
            words += ["--head", str(head)]
        return words

    def stop(self) -> None:
        self.witness.stop()
