"""`format` and `state`: which version the store has, and how far it is settled into tiles and volumes."""

import hashlib
import json
import re
from dataclasses import dataclass

from .directory import Directory
from .faults import Missing, Newer, corrupt

STORE_FORMAT = 2
STATE_VERSION = 2


def check_format(store: Directory) -> None:
    data = store.read("format")
    if data is None:
        raise Missing("a Tachograph store (the file `format`)")
    found = re.fullmatch(rb"tachograph ([1-9][0-9]{0,9})\n", data)
    if not found:
        raise corrupt("format", "it does not name a version")
    if int(found[1]) > STORE_FORMAT:
        raise Newer(f"the store is of format {int(found[1])}, this program reads up to {STORE_FORMAT}")


@dataclass(frozen=True)
class State:
    """A position, not evidence: what lies before it is in tiles and volumes, what lies after in the write-ahead log."""

    segment: int = 1
    offset: int = 0
    size: int = 0
    volume: int = 1
    volume_len: int = 0
    phase: str = "ended"


def read_state(store: Directory) -> State:
    data = store.read("state")
    if data is None:
        if store.names("log/tile"):
            raise Missing("state")
        return State()
    line, feed, rest = data.partition(b"\n")
    if not feed or rest != b"sha256:" + hashlib.sha256(line).hexdigest().encode() + b"\n":
        raise corrupt("state", "its checksum is wrong")
    try:
        fields = json.loads(line)
        version = fields["version"]
        if isinstance(version, int) and version > STATE_VERSION:
            raise Newer(f"`state` is of version {version}, this program reads up to {STATE_VERSION}")
        state = State(*(fields[name] for name in ("segment", "offset", "size", "volume", "volume_len")),
                      fields.get("phase", "ended"))
        complete = isinstance(fields["open_calls"], dict) and isinstance(fields["open_bodies"], dict)
        numbers = [version, *(fields[name] for name in ("next_chunk", "next_body")), fields.get("sealed", 0)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise corrupt("state", "it is not a state") from error
    numbers += [state.segment, state.offset, state.size, state.volume, state.volume_len]
    if not complete or not all(type(number) is int and 0 <= number < 1 << 64 for number in numbers):
        raise corrupt("state", "a position is not a number")
    if state.phase not in ("ended", "recovering", "running"):
        raise corrupt("state", "it is of an unknown phase")
    return state
