"""The event line: the fields that verification acts on."""

import json
import re
from dataclasses import dataclass

from .faults import Malformed

VERSION = 1
MAX_EVENT_BYTES = 16 << 10
ROLES = {"request.head", "request", "response.head", "response", "trailers", "message", "stderr", "detail"}
_REQUIRED = {"v": int, "seq": int, "time": str, "boot_ns": int, "boot": str, "stream": int, "n": int, "kind": str,
             "source": str, "basis": str}


@dataclass(frozen=True)
class Body:
    role: str
    id: int
    len: int
    commitment: str


@dataclass(frozen=True)
class Event:
    seq: int
    time: str
    stream: int
    n: int
    kind: str
    source: str
    bodies: tuple[Body, ...]
    fields: dict

    @property
    def is_gap(self) -> bool:
        return self.kind == "gap"

    @property
    def opens(self) -> bool:
        return self.kind == "process.start" or self.kind.endswith(".request")

    @property
    def closes(self) -> bool:
        return self.kind == "process.exit" or self.kind.endswith(".response")

    @property
    def call(self) -> int | None:
        """`seq` of the event that opened the call which this one closes."""
        exchange = self.fields.get("exchange")
        call = exchange.get("call") if isinstance(exchange, dict) else None
        return call if _is_number(call) else None

    @property
    def facts(self) -> dict:
        facts = self.fields.get("facts")
        return facts if isinstance(facts, dict) else {}


def _is_number(value) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def _once(pairs: list) -> dict:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Malformed("a field stands there twice")
    return fields


def _no_such_number(text: str):
    raise Malformed(f"{text} is not JSON")


def parse(line: bytes) -> Event:
    """Reads one line; `Malformed` when it is not an event, or of a later version."""
    if len(line) > MAX_EVENT_BYTES:
        raise Malformed(f"{len(line)} bytes is over the limit of {MAX_EVENT_BYTES} for an event line")
    try:
        fields = json.loads(line.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_such_number)
    except Malformed:
        raise
    except (ValueError, RecursionError) as error:
        raise Malformed("not an event line") from error
    if not isinstance(fields, dict):
        raise Malformed("not an event line")
    if b"\\ud" in line.lower():
        try:
            json.dumps(fields, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise Malformed("not an event line: half a character") from error
    if _is_number(fields.get("v")) and fields["v"] > VERSION:
        raise Malformed(f"event format {fields['v']} is newer than this reader ({VERSION})")
    for name, kind in _REQUIRED.items():
        value = fields.get(name)
        if type(value) is not kind or (kind is int and not _is_number(value)):
            raise Malformed(f"not an event line: no field `{name}`")
    if fields["basis"] not in ("observed", "reported"):
        raise Malformed("not an event line: an unknown basis")
    bodies = fields.get("bodies", [])
    if not isinstance(bodies, list):
        raise Malformed("not an event line: `bodies` is not a list")
    return Event(fields["seq"], fields["time"], fields["stream"], fields["n"], fields["kind"], fields["source"],
                 tuple(map(_body, bodies)), fields)


def _body(fields) -> Body:
    if not isinstance(fields, dict):
        raise Malformed("not an event line: a body that is none")
    body = Body(fields.get("role"), fields.get("id"), fields.get("len"), fields.get("commitment"))
    if body.role not in ROLES or not _is_number(body.id) or not _is_number(body.len):
        raise Malformed("not an event line: a body that is none")
    if not isinstance(body.commitment, str) or not re.fullmatch("[0-9a-f]{64}", body.commitment):
        raise Malformed("not an event line: a body without its commitment")
    return body
