"""Signed notes, verifier keys and checkpoints: C2SP signed-note, tlog-checkpoint and tlog-cosignature."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from . import signatures
from .faults import Malformed

MAX_NOTE_BYTES = 512 << 10
MAX_SIGNATURES = 64

ED25519, COSIGNATURE, ML_DSA = 0x01, 0x04, 0x06
_PUBLIC_BYTES = {ED25519: 32, COSIGNATURE: 32, ML_DSA: 1312}
_SIGNATURE_BYTES = {ED25519: 64, COSIGNATURE: 64, ML_DSA: 2420}


class BadSignature(Exception):
    """A signature in the name of a known key that is not that key's."""


class Unsigned(Exception):
    """No known key signed."""


class UnknownAlgorithm(Malformed):
    """A key of a signature type that is not read here."""


def unbase64(text: str) -> bytes:
    """Canonical base64 with padding, nothing else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise Malformed("not canonical base64")
    return data


def decimal(text: str) -> int:
    """A canonical decimal number of 64 bits."""
    if not re.fullmatch("0|[1-9][0-9]{0,19}", text, re.ASCII) or int(text) >= 1 << 64:
        raise Malformed("not a canonical decimal number")
    return int(text)


def _check_name(name: str) -> None:
    if not name or "+" in name or any(letter.isspace() or letter < " " for letter in name):
        raise Malformed("not a key name")


@dataclass(frozen=True)
class Key:
    """A verifier key: `name+id+base64(type || public)`."""

    name: str
    id: bytes
    type: int
    public: bytes

    @classmethod
    def of(cls, name: str, kind: int, public: bytes) -> "Key":
        _check_name(name)
        if kind not in _PUBLIC_BYTES:
            raise UnknownAlgorithm(f"a key of the unknown type 0x{kind:02x}")
        if len(public) != _PUBLIC_BYTES[kind]:
            raise Malformed("a key of the wrong length")
        if kind == ML_DSA and len(name.encode()) > 255:
            raise Malformed("a name longer than 255 bytes")
        if kind != ML_DSA and signatures.is_of_low_order(public):
            raise Malformed("a key of low order, under which everything is signed")
        return cls(name, hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4], kind, public)

    @classmethod
    def parse(cls, text: str) -> "Key":
        fields = text.split("+", 2)
        if len(fields) != 3:
            raise Malformed("not a verifier key")
        typed = unbase64(fields[2])
        if not typed:
            raise Malformed("an empty key")
        key = cls.of(fields[0], typed[0], typed[1:])
        if key.id.hex() != fields[1]:
            raise Malformed("a key whose id is not its own")
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.type]) + self.public).decode()}"

    @property
    def cosigns(self) -> bool:
        return self.type in (COSIGNATURE, ML_DSA)

    def verify(self, text: str, signature: bytes) -> int | None:
        """The time that the signature states, if any; `BadSignature` when it is not this key's."""
        time = None
        try:
            if self.cosigns:
                seconds = int.from_bytes(signature[:8], "big")
                time, signature = seconds or None, signature[8:]
                if seconds >= 1 << 63 or len(signature) != _SIGNATURE_BYTES[self.type]:
                    raise BadSignature(self.name)
                message = self._cosigned(text, seconds)
            else:
                message = text.encode()
        except Malformed as error:
            raise BadSignature(self.name) from error
        check = signatures.ml_dsa_44 if self.type == ML_DSA else signatures.ed25519
        if len(signature) != _SIGNATURE_BYTES[self.type] or not check(self.public, message, signature):
            raise BadSignature(self.name)
        return time

    def _cosigned(self, text: str, seconds: int) -> bytes:
        checkpoint = Checkpoint.parse(text)
        if self.type == COSIGNATURE:
            if not seconds:
                raise Malformed("an Ed25519 cosignature states a time")
            return f"cosignature/v1\ntime {seconds}\n{text}".encode()
        name, origin = self.name.encode(), checkpoint.origin.encode()
        if len(origin) > 255:
            raise Malformed("an origin longer than 255 bytes")
        return b"".join([
            b"subtree/v1\n\0", bytes([len(name)]), name, seconds.to_bytes(8, "big"), bytes([len(origin)]), origin,
            bytes(8), checkpoint.size.to_bytes(8, "big"), checkpoint.root,
        ])


@dataclass(frozen=True)
class Signature:
    name: str
    id: bytes
    bytes: bytes


@dataclass(frozen=True)
class Signer:
    """A signature that verified, and when it says it was made."""

    key: Key
    time: int | None


@dataclass
class Verified:
    signers: list[Signer]
    #: Keys whose algorithm this machine lacks: their signatures say nothing, for or against.
    unverifiable: list[Key]


@dataclass(frozen=True)
class Note:
    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, data: bytes) -> "Note":
        if len(data) > MAX_NOTE_BYTES:
            raise Malformed("a note that is too long")
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("a note that is not UTF-8") from error
        if any(byte < 0x20 and byte != 0x0A for byte in data):
            raise Malformed("a note with a control character")
        text, blank, rest = whole.rpartition("\n\n")
        if not blank or not rest.endswith("\n"):
            raise Malformed("a note without signature lines")
        lines = rest[:-1].split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise Malformed("a note with too many signatures")
        return cls(text + "\n", tuple(_signature(line) for line in lines))

    def verify(self, known: list[Key]) -> Verified:
        """Who of `known` signed.

        `BadSignature` when a signature in the name and id of a known key is not its own, whatever else signed;
        `Unsigned` when none of them did.
        """
        verified = Verified([], [])
        for signature in self.signatures:
            claimed = [key for key in known if (key.name, key.id) == (signature.name, signature.id)]
            failure = None
            for key in claimed:
                try:
                    signer = Signer(key, key.verify(self.text, signature.bytes))
                except BadSignature as error:
                    failure = error
                except signatures.Unverifiable:
                    failure = None
                    verified.unverifiable.append(key)
                    break
                else:
                    failure = None
                    if signer not in verified.signers:
                        verified.signers.append(signer)
                    break
            if failure:
                raise failure
        if not verified.signers and not verified.unverifiable:
            raise Unsigned()
        return verified


def _signature(line: str) -> Signature:
    fields = line.split(" ", 2)
    if len(fields) != 3 or fields[0] != "\u2014":
        raise Malformed("a signature line that is not one")
    blob = unbase64(fields[2])
    _check_name(fields[1])
    if len(blob) < 5:
        raise Malformed("a signature that is too short")
    return Signature(fields[1], blob[:4], blob[4:])


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        if not text.endswith("\n"):
            raise Malformed("a checkpoint that does not end in a line feed")
        lines = text[:-1].split("\n")
        if len(lines) < 3 or not all(lines):
            raise Malformed("a checkpoint of fewer lines than three, or with an empty one")
        root = unbase64(lines[2])
        if len(root) != 32:
            raise Malformed("a root that is not 32 bytes")
        return cls(lines[0], decimal(lines[1]), root, tuple(lines[3:]))

    @classmethod
    def open(cls, note: Note, origin: str, keys: list[Key]) -> tuple["Checkpoint", Verified]:
        """The checkpoint, if a key of the log signed all of it. `Malformed` also for another log's."""
        verified = note.verify(keys)
        checkpoint = cls.parse(note.text)
        if checkpoint.origin != origin:
            raise Malformed(f"a checkpoint of the log {checkpoint.origin!r}")
        if not checkpoint.size and checkpoint.root != hashlib.sha256(b"").digest():
            raise Malformed("a root that is not that of the empty tree")
        if checkpoint.extensions and not any(signer.key.type != ML_DSA for signer in verified.signers):
            raise Malformed("a checkpoint with lines that no signature of the log covers")
        return checkpoint, verified
