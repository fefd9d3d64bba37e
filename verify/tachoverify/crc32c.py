"""CRC-32C (Castagnoli; RFC 3720 appendix B.4): reflected polynomial 0x82F63B78, all ones before and after."""

from array import array
from functools import cache
import sys

_POLYNOMIAL = 0x82F63B78


def _step(crc: int) -> int:
    for _ in range(8):
        crc = (crc >> 1) ^ _POLYNOMIAL if crc & 1 else crc >> 1
    return crc


_BYTE = [_step(value) for value in range(256)]


@cache
def _pairs() -> list[int]:
    """What two bytes at once do. Made only when there is much to check."""
    firsts = (_BYTE[value & 0xFF] ^ (value >> 8) for value in range(1 << 16))
    return [_BYTE[first & 0xFF] ^ (first >> 8) for first in firsts]


def crc32c(data: bytes, crc: int = 0) -> int:
    """The checksum of `data`, going on from `crc`."""
    crc ^= 0xFFFFFFFF
    even = len(data) & ~1
    if even >= 1 << 14:
        words = array("H", bytes(data[:even]))
        if sys.byteorder == "big":
            words.byteswap()
        table = _pairs()
        for word in words:
            crc = table[(crc ^ word) & 0xFFFF] ^ (crc >> 16)
        data = data[even:]
    table = _BYTE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF
