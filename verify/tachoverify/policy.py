"""C2SP tlog-policy: which logs and witnesses the auditor believes, and how many witnesses must vouch."""

import re
from dataclasses import dataclass, field

from .faults import Malformed
from .note import Key, Signer, decimal

MAX_BYTES = 512 << 10
_MAX_EACH = 64


@dataclass
class Group:
    threshold: int
    members: list[bytes]


@dataclass
class Policy:
    logs: list[Key] = field(default_factory=list)
    #: Witnesses and groups by name, in the order of the file: a group refers only to earlier ones.
    definitions: dict[bytes, Key | Group] = field(default_factory=dict)
    #: What must have cosigned; `None`: no witness is asked for.
    quorum: bytes | None = None

    @property
    def witnesses(self) -> list[Key]:
        return [one for one in self.definitions.values() if isinstance(one, Key)]

    @classmethod
    def parse(cls, data: bytes) -> "Policy":
        if len(data) > MAX_BYTES:
            raise Malformed("the policy is too long")
        if data and not data.endswith(b"\n"):
            raise Malformed("the policy does not end in a line feed")
        reader = _Reader()
        for number, line in enumerate(data.split(b"\n")[:-1], 1):
            try:
                reader.line(line)
            except Malformed as error:
                raise Malformed(f"the policy's line {number}: {error}") from error
        if not reader.ended:
            raise Malformed("the policy ends without a quorum; `quorum none` asks for no witness")
        return reader.policy

    def meets_quorum(self, cosigned: set[Key]) -> bool:
        """Whether the witnesses in `cosigned` are enough."""
        met: dict[bytes, bool] = {}
        for name, one in self.definitions.items():
            if isinstance(one, Key):
                met[name] = one in cosigned
            else:
                met[name] = sum(met[member] for member in one.members) >= one.threshold
        return self.quorum is None or met[self.quorum]

    def in_time(self, signers: list[Signer], now: int | None) -> dict[Key, int | None]:
        """The witnesses among `signers`, with the newest time that each states, if that is not after `now`."""
        found: dict[Key, int | None] = {}
        for witness in self.witnesses:
            times = [signer.time for signer in signers if signer.key == witness
                     and (now is None or signer.time is None or signer.time <= now)]
            if times:
                found[witness] = max((time for time in times if time is not None), default=None)
        return found


class _Reader:
    def __init__(self):
        self.policy = Policy()
        self.ended = False
        self._grouped: set[bytes] = set()

    def line(self, line: bytes) -> None:
        if any(byte < 0x20 and byte != 9 or byte == 0x7F for byte in line):
            raise Malformed("it holds a control character")
        items = [item for item in re.split(rb"[ \t]", line) if item]
        if not items or items[0].startswith(b"#"):
            return
        word, rest = items[0], items[1:]
        if word == b"log" and len(rest) in (1, 2):
            self._log(_key(rest[0]))
        elif word == b"witness" and len(rest) in (2, 3):
            self._witness(rest[0], _key(rest[1]))
        elif word == b"group" and len(rest) >= 2:
            self._group(*rest[:2], rest[2:])
        elif word == b"quorum" and len(rest) == 1:
            self._quorum(rest[0])
        else:
            raise Malformed("it is none of log, witness, group and quorum with what belongs to them")

    def _log(self, key: Key) -> None:
        if any(log.public == key.public for log in self.policy.logs):
            raise Malformed("the key of this log is an earlier log's")
        _check_count(len(self.policy.logs))
        self.policy.logs.append(key)

    def _witness(self, name: bytes, key: Key) -> None:
        if not key.cosigns:
            raise Malformed("a witness cosigns with a key of type 0x04 or 0x06")
        if any(witness.public == key.public for witness in self.policy.witnesses):
            raise Malformed("the key of this witness is an earlier one's")
        _check_count(len(self.policy.witnesses))
        self._define(name, key)

    def _group(self, name: bytes, count: bytes, members: list[bytes]) -> None:
        _check_count(sum(isinstance(one, Group) for one in self.policy.definitions.values()))
        words = {b"any": 1, b"all": len(members)}
        threshold = words[count] if count in words else decimal(count.decode("utf-8", "replace"))
        if not 1 <= threshold <= len(members):
            raise Malformed("a number of members that can never be met, or always is")
        for member in members:
            if member not in self.policy.definitions:
                raise Malformed("a member that no earlier line defines")
            # Each name in one group only: no witness counts twice.
            if member in self._grouped:
                raise Malformed("a member that is one already")
            self._grouped.add(member)
        self._define(name, Group(threshold, members))

    def _quorum(self, name: bytes) -> None:
        if self.ended:
            raise Malformed("a second quorum")
        if name != b"none" and name not in self.policy.definitions:
            raise Malformed("a quorum that no earlier line defines")
        self.ended = True
        self.policy.quorum = None if name == b"none" else name

    def _define(self, name: bytes, one: Key | Group) -> None:
        if name == b"none" or name in self.policy.definitions:
            raise Malformed("a name that is taken")
        self.policy.definitions[name] = one


def _key(text: bytes) -> Key:
    try:
        return Key.parse(text.decode())
    except UnicodeDecodeError as error:
        raise Malformed("a key that is not UTF-8") from error


def _check_count(count: int) -> None:
    if count >= _MAX_EACH:
        raise Malformed(f"more than {_MAX_EACH} of a kind")
