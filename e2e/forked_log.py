"""A log that tells two histories of itself, as a witness is asked about it: RFC 6962, C2SP signed-note and tlog-witness."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

ORIGIN = "example.com/forked"

#: Leaves with which both histories begin.
COMMON = 3

ED25519, ML_DSA_44 = 1, 6


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def leaves(history: str, size: int) -> list[bytes]:
    told = [f"{n}" if n < COMMON else f"{history}{n}" for n in range(size)]
    return [_sha256(b"\0" + one.encode()) for one in told]


def root(hashes: list[bytes]) -> bytes:
    """RFC 6962, 2.1."""
    if len(hashes) < 2:
        return hashes[0] if hashes else _sha256(b"")
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return _sha256(b"\1" + root(hashes[:split]) + root(hashes[split:]))


def consistency(old: int, hashes: list[bytes], whole: bool = True) -> list[bytes]:
    """RFC 6962, 2.1.2: SUBPROOF(old, hashes, whole)."""
    if old == len(hashes):
        return [] if whole else [root(hashes)]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    if old <= split:
        return [*consistency(old, hashes[:split], whole), root(hashes[split:])]
    return [*consistency(old - split, hashes[split:], False), root(hashes[:split])]


class Key:
    """One epoch's key of the log."""

    def __init__(self, number: int):
        seed = bytes([number]) * 32
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        public = bytes([ED25519]) + self.private.public_key().public_bytes_raw()
        self.id, self.vkey = _named(public)
        cosigns = bytes([ML_DSA_44]) + MLDSA44PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
        self.second = _named(cosigns)[1]

    def line(self, text: str) -> str:
        signature = base64.b64encode(self.id + self.private.sign(text.encode())).decode()
        return f"\u2014 {ORIGIN} {signature}\n"


def _named(public: bytes) -> tuple[bytes, str]:
    key_id = _sha256(ORIGIN.encode() + b"\n" + public)[:4]
    return key_id, f"{ORIGIN}+{key_id.hex()}+{base64.b64encode(public).decode()}"


def add_checkpoint(history: str, old: int, size: int, key: Key) -> bytes:
    """What the log sends that was at `old` and is at `size`."""
    hashes = leaves(history, size)
    proof = consistency(old, hashes) if old else []
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(root(hashes)).decode()}\n"
    lines = "".join(base64.b64encode(one).decode() + "\n" for one in proof)
    return f"old {old}\n{lines}\n{text}\n{key.line(text)}".encode()


def add_key_epoch(number: int, size: int, before: Key, after: Key) -> bytes:
    """The note by which a key hands over."""
    closed = base64.b64encode(root(leaves("a", size))).decode()
    text = f"tachograph/key-epoch/v1\n{ORIGIN}\nepoch {number}\nsize {size}\nroot {closed}\nkey {after.vkey}\nkey {after.second}\n"
    return f"{text}\n{after.line(text)}{before.line(text)}".encode()


def head_of(note: str) -> tuple[int, bytes]:
    """Size and root that a checkpoint states."""
    origin, size, stated = note.split("\n")[:3]
    assert origin == ORIGIN, note
    return int(size), base64.b64decode(stated)
