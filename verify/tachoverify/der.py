"""DER (X.690), read strictly: definite lengths in their shortest form, every byte accounted for."""

from collections.abc import Iterator
from dataclasses import dataclass

from .faults import Malformed

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, GENERALIZED_TIME, SEQUENCE, SET = 0x0C, 0x18, 0x30, 0x31


@dataclass(frozen=True)
class Value:
    """One value: its identifier octet, its content, and all of its bytes."""

    tag: int
    content: bytes
    encoded: bytes

    def expect(self, tag: int) -> "Value":
        if self.tag != tag:
            raise Malformed(f"tag 0x{self.tag:02x} where 0x{tag:02x} must stand")
        return self

    def fields(self, tag: int = SEQUENCE) -> "Fields":
        return Fields(self.expect(tag).content)

    def integer(self) -> int:
        content = self.expect(INTEGER).content
        if not content or len(content) > 1 and content[0] == (0xFF if content[1] & 0x80 else 0):
            raise Malformed("an integer that is not in its shortest form")
        return int.from_bytes(content, "big", signed=True)

    def boolean(self) -> bool:
        content = self.expect(BOOLEAN).content
        if content not in (b"\0", b"\xff"):
            raise Malformed("a boolean that is neither")
        return content != b"\0"

    def oid(self) -> str:
        content = self.expect(OID).content
        if not content or content[-1] & 0x80 or len(content) > 40:
            raise Malformed("an object identifier that is none")
        arcs, arc, begins = [], 0, True
        for byte in content:
            if begins and byte == 0x80:
                raise Malformed("an object identifier that is none")
            arc, begins = arc << 7 | byte & 0x7F, not byte & 0x80
            if begins:
                arcs.append(arc)
                arc = 0
        top = min(arcs[0] // 40, 2)
        return ".".join(map(str, [top, arcs[0] - 40 * top, *arcs[1:]]))


class Fields:
    """The values of a constructed one, taken from the front."""

    def __init__(self, data: bytes):
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def peek(self) -> int | None:
        return self._data[self._at] if self else None

    def next(self) -> Value:
        data, at = self._data, self._at
        if at + 2 > len(data) or data[at] & 0x1F == 0x1F:
            raise Malformed("a value that is cut short or of a long tag")
        length, start = data[at + 1], at + 2
        if length >= 0x80:
            octets = length & 0x7F
            start += octets
            length = int.from_bytes(data[at + 2 : start], "big")
            if not 1 <= octets <= 4 or start > len(data) or length < 0x80 or data[at + 2] == 0:
                raise Malformed("a length that is not in its shortest form")
        end = start + length
        if end > len(data):
            raise Malformed("a value that is cut short")
        self._at = end
        return Value(data[at], data[start:end], data[at:end])

    def optional(self, tag: int) -> Value | None:
        return self.next() if self.peek() == tag else None

    def end(self) -> None:
        if self:
            raise Malformed("something follows the last field")

    def rest(self, limit: int) -> Iterator[Value]:
        for count in range(limit + 1):
            if not self:
                return
            if count == limit:
                raise Malformed(f"more than {limit} values")
            yield self.next()


def one(data: bytes) -> Value:
    """The one value that `data` is."""
    fields = Fields(data)
    value = fields.next()
    fields.end()
    return value


def sorted_set(value: Value, limit: int) -> list[Value]:
    """The elements of a SET OF: in the order of DER, none twice."""
    found = list(Fields(value.content).rest(limit))
    if any(a.encoded >= b.encoded for a, b in zip(found, found[1:])):
        raise Malformed("a SET OF that is not in the order of DER")
    return found
