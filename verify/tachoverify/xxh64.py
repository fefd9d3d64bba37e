"""XXH64 with seed 0, of which the low 32 bits end a zstd frame (RFC 8878, 3.1.1)."""

import struct

_MASK = (1 << 64) - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def _rotl(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & _MASK


def _round(lane: int, word: int) -> int:
    return (_rotl((lane + word * _P2) & _MASK, 31) * _P1) & _MASK


def xxh64(data: bytes) -> int:
    length = len(data)
    at = 0
    if length >= 32:
        lanes = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
        stop = length - length % 32
        for words in struct.iter_unpack("<4Q", memoryview(data)[:stop]):
            lanes = [_round(lane, word) for lane, word in zip(lanes, words)]
        at = stop
        digest = sum(_rotl(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18))) & _MASK
        for lane in lanes:
            digest = ((digest ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        digest = _P5
    digest = (digest + length) & _MASK
    while at + 8 <= length:
        digest = (_rotl(digest ^ _round(0, int.from_bytes(data[at : at + 8], "little")), 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= length:
        word = int.from_bytes(data[at : at + 4], "little")
        digest = (_rotl(digest ^ (word * _P1 & _MASK), 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        digest = (_rotl(digest ^ (byte * _P5 & _MASK), 11) * _P1) & _MASK
    digest = ((digest ^ (digest >> 33)) * _P2) & _MASK
    digest = ((digest ^ (digest >> 29)) * _P3) & _MASK
    return digest ^ (digest >> 32)
