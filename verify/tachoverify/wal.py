"""The write-ahead log's tail: what is durable and not yet in tiles and volumes. Format 1.

    segment := header frame* zero*
    header  := "TACHOWAL" version:u32 reserved:u32 number:u64 crc32c:u32 reserved:u32     (32 bytes)
    frame   := len:u32 crc32c:u32 batch:u32 kind:u8 flags:u8 reserved:u16 payload[len]    (16 + len)

Integers are little-endian. A frame's checksum covers segment number, offset, the rest of its header and its
payload. Batches are numbered without holes; a batch's last frame carries flag 1.
"""

import re
import struct
from dataclasses import dataclass, field

from .crc32c import crc32c
from .directory import Directory
from .faults import Fault, Missing, corrupt
from .keyring import Keyring
from .state import State
from .zstd import ZstdError, decompress

_HEADER_BYTES = 32
_FRAME_HEADER = struct.Struct("<IIIBBH")
MAX_FRAME_BYTES = 1 << 20
_EVENT, _CHUNK, _BODY, _PART, _END, _PART_2, _BODY_2 = range(1, 8)
#: Bytes that are checksummed in search of frames behind a broken place, before it is believed to be damage.
_SEARCH_BYTES = 64 << 20


@dataclass
class Frame:
    kind: int
    batch: int
    last: bool
    payload: bytes
    end: int


@dataclass
class Tail:
    events: list[bytes] = field(default_factory=list)
    chunks: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    bodies: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    #: Bytes at the very end that are no whole record: a write in progress, or torn.
    torn_bytes: int = 0

    def chunk(self, number: int, keyring: Keyring) -> bytes | None:
        """The plaintext of a chunk; `None` where the tail does not have it, `Locked` without its key."""
        if number not in self.chunks:
            return None
        raw_len, codec, data = self.chunks[number]
        if raw_len > MAX_FRAME_BYTES or codec > 3:
            raise corrupt(f"chunk {number}", "it does not decode")
        if codec > 1:
            data = keyring.open_chunk(number, raw_len, codec, data)
        try:
            raw = decompress(data, raw_len) if codec & 1 else data
        except ZstdError as error:
            raise corrupt(f"chunk {number}", str(error)) from error
        if len(raw) != raw_len:
            raise corrupt(f"chunk {number}", "it has another length than it says")
        return raw


def segment_path(number: int) -> str:
    return f"wal/{number:016}.wal"


def read_tail(store: Directory, state: State) -> Tail:
    """Everything behind the settled position."""
    names = (re.fullmatch(r"([0-9]{1,19})\.wal", name) for name in store.names("wal"))
    segments = {int(name[1]) for name in names if name}
    first = state.segment
    if segments and min(segments) > first or state.phase == "running" and first not in segments:
        raise Missing(segment_path(first))
    if segments:
        for number in range(first, max(segments)):
            if number not in segments:
                raise Missing(segment_path(number))
    tail = Tail()
    newest: tuple[int, bool] | None = None
    number, offset = first, state.offset
    while number in segments:
        data = store.need(segment_path(number))
        if offset == 0:
            if not _is_begun(number, data):
                break
            offset = _HEADER_BYTES
        newest, reached = _read_segment(number, data, offset, newest, tail)
        end = _end(number, data, reached, newest)
        if end == "damaged":
            raise corrupt(segment_path(number), f"broken at offset {reached}, before records that were written later")
        following = number + 1 in segments and _is_begun(number + 1, store.need(segment_path(number + 1)))
        if not following:
            tail.torn_bytes = end
            break
        if end:
            raise corrupt(segment_path(number), f"broken at offset {reached} although a later segment exists")
        if newest and not newest[1]:
            raise corrupt(segment_path(number), f"the end of batch {newest[0]} is missing")
        number, offset = number + 1, 0
    return tail


def _is_begun(number: int, data: bytes) -> bool:
    """Whether anything was ever written to a segment."""
    header = data[:_HEADER_BYTES]
    if len(header) < _HEADER_BYTES or not any(header):
        return False
    path = segment_path(number)
    if header[:8] != b"TACHOWAL":
        raise corrupt(path, "the segment header is not one")
    version = int.from_bytes(header[8:12], "little")
    if version > 1:
        raise Fault("corrupt", f"{path}: segment format {version} is newer than this program (1)")
    fields = b"TACHOWAL" + struct.pack("<IIQ", 1, 0, number)
    if header != fields + struct.pack("<II", crc32c(fields), 0):
        raise corrupt(path, "the segment header is damaged or belongs to another segment")
    return True


def _frame(segment: int, data: bytes, at: int) -> Frame | None:
    if at + 16 > len(data):
        return None
    length, crc, batch, kind, flags, reserved = _FRAME_HEADER.unpack_from(data, at)
    end = at + 16 + length
    if not 0 < length <= MAX_FRAME_BYTES or kind > 15 or flags > 1 or reserved or end > len(data):
        return None
    payload = data[at + 16 : end]
    if crc32c(payload, crc32c(data[at + 8 : at + 16], crc32c(struct.pack("<QQ", segment, at)))) != crc:
        return None
    return Frame(kind, batch, flags == 1, payload, end)


def _read_segment(number: int, data: bytes, at: int, newest, tail: Tail):
    while frame := _frame(number, data, at):
        if newest and frame.batch != (newest[0] + newest[1]) & 0xFFFFFFFF:
            raise corrupt(segment_path(number), f"batches before {frame.batch} are missing")
        newest = frame.batch, frame.last
        try:
            _record(frame, tail)
        except struct.error as error:
            raise corrupt(segment_path(number), f"a record at offset {at} is malformed") from error
        at = frame.end
    return newest, at


def _record(frame: Frame, tail: Tail) -> None:
    """event := flags:u8 call:u64 line · chunk := number:u64 raw_len:u32 codec:u8 bytes · body := id:u64 len:u64 recipe
    · body2 := id:u64 len:u64 commitment[32] recipe · part := id:u64 call:u64 role_len:u8 role count:u32
    chunk:u64*count tail · part2 := the same with flags:u8 total:u32 len:u64 commitment[32] before the count"""
    payload = frame.payload
    if frame.kind == _EVENT:
        struct.unpack_from("<BQ", payload)
        tail.events.append(payload[9:])
    elif frame.kind == _CHUNK:
        number, raw_len, codec = struct.unpack_from("<QIB", payload)
        tail.chunks[number] = raw_len, codec, payload[13:]
    elif frame.kind == _BODY:
        number, length = struct.unpack_from("<QQ", payload)
        tail.bodies[number] = length, payload[16:]
    elif frame.kind == _BODY_2:
        number, length, _ = struct.unpack_from("<QQ32s", payload)
        tail.bodies[number] = length, payload[48:]
    elif frame.kind in (_PART, _PART_2):
        _, _, role = struct.unpack_from("<QQB", payload)
        at = 17 + role + (45 if frame.kind == _PART_2 else 0)
        (count,) = struct.unpack_from("<I", payload, at)
        if len(payload) < at + 4 + 8 * count:
            raise struct.error("a part is cut short")
    elif frame.kind != _END:
        raise struct.error("a record of an unknown kind")


def _end(number: int, data: bytes, at: int, newest) -> int | str:
    """Why no frame follows at `at`: 0 when nothing does, how many bytes of a torn write do, or "damaged" when
    frames of a later batch do, which can only have been written after the broken place was durable."""
    rest = data[at:].rstrip(b"\0")
    if not rest:
        return 0
    broken = None if newest is None else newest[0] + newest[1] & 0xFFFFFFFF
    budget = _SEARCH_BYTES
    first = None
    for place in range(at + 1, at + len(rest)):
        length = int.from_bytes(data[place : place + 4], "little")
        if not 0 < length <= MAX_FRAME_BYTES or data[place + 14 : place + 16] != b"\0\0":
            continue
        budget -= length
        if budget < 0:
            return "damaged"
        frame = _frame(number, data, place)
        if not frame:
            continue
        if broken is None:
            if first is not None and frame.batch != first:
                return "damaged"
            first = frame.batch
        elif 0 < (frame.batch - broken & 0xFFFFFFFF) < 1 << 31:
            return "damaged"
    return len(rest)
