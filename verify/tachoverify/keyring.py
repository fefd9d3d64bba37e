"""The keys of an encrypted vault: the keyring key, an investigator's key, and what is wrapped under them.

AES-256-GCM as `cryptography` gives it; HPKE (RFC 9180) base mode, single shot, with DHKEM(X25519, HKDF-SHA256),
HKDF-SHA256 and AES-256-GCM, from its parts.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .directory import Directory
from .faults import Fault, Malformed, Missing, altered, corrupt

_KEM = b"KEM\x00\x20"
_SUITE = b"HPKE\x00\x20\x00\x01\x00\x02"


class Locked(Exception):
    """Something is encrypted and its key is not here, or has been destroyed."""


def hkdf(ikm: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """HKDF-SHA-256 (RFC 5869)."""
    return _expand(hmac.digest(salt or bytes(32), ikm, "sha256"), info, length)


def _expand(prk: bytes, info: bytes, length: int) -> bytes:
    out = block = b""
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def open_gcm(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Decrypts; `Malformed` when it is not what was encrypted under that key and for that place."""
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except (InvalidTag, ValueError) as error:
        raise Malformed("it does not decrypt under its key") from error


@dataclass(frozen=True)
class Recipient:
    """An investigator's private key: `tachograph-vault-key/v1 ID HEX64`."""

    id: str
    private: bytes

    @classmethod
    def parse(cls, data: bytes) -> "Recipient":
        found = re.fullmatch(rb"tachograph-vault-key/v1 ([0-9a-f]{16}) ([0-9a-f]{64})\n", data)
        if not found:
            raise Malformed("not a vault key: one line `tachograph-vault-key/v1 ID HEX`")
        private = bytes.fromhex(found[2].decode())
        public = _public(private)
        if hashlib.sha256(public).hexdigest()[:16] != found[1].decode():
            raise Malformed("a vault key whose id is not its own")
        return cls(found[1].decode(), private)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Opens `enc || ciphertext || tag` (RFC 9180, sections 4.1 and 5.1)."""
        enc, ciphertext = sealed[:32], sealed[32:]
        try:
            shared = X25519PrivateKey.from_private_bytes(self.private).exchange(X25519PublicKey.from_public_bytes(enc))
        except ValueError as error:
            raise Malformed("it is not encrypted to a key") from error
        prk = _labeled_extract(_KEM, b"", b"eae_prk", shared)
        secret = _labeled_expand(_KEM, prk, b"shared_secret", enc + _public(self.private), 32)
        context = (b"\0" + _labeled_extract(_SUITE, b"", b"psk_id_hash", b"")
                   + _labeled_extract(_SUITE, b"", b"info_hash", info))
        secret = _labeled_extract(_SUITE, secret, b"secret", b"")
        key = _labeled_expand(_SUITE, secret, b"key", context, 32)
        return open_gcm(key, _labeled_expand(_SUITE, secret, b"base_nonce", context, 12), ciphertext, b"")


def _public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return _expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)


class Keyring:
    """The keys at hand: the recorder's own, where it lies in the store, and an investigator's."""

    def __init__(self, store: Directory, origin: str, recipient: Recipient | None):
        self._store = store
        self._origin = origin
        self._recipient = recipient
        self._own = self._read_own()
        self._id = hashlib.sha256(b"tachograph vault key v1" + self._own).hexdigest()[:16] if self._own else None
        # Whether the keyring key at hand has opened anything here, and the files under another.
        self.fits = False
        self._strangers: set[str] = set()
        #: Files that hold no key for anybody, and those to whom alone others hold one, with the first such file.
        self.emptied: set[str] = set()
        self.wrapped_to: dict[tuple[str, ...], str] = {}

    def _read_own(self) -> bytes | None:
        try:
            data = self._store.read("keys/vault.key")
        except (Fault, Missing):
            # As one that is not there, or not whole.
            return None
        if data is None:
            return None
        found = re.fullmatch(rb"v2 ([0-9a-f]{64}) ([0-9a-f]{16})\n", data)
        key = bytes.fromhex(found[1].decode()) if found else b""
        if not found or hashlib.sha256(key).hexdigest()[:16] != found[2].decode():
            # A key is no evidence: without it bodies cannot be opened, and nothing speaks against them.
            return None
        return key

    def unwrap(self, path: str, data: bytes, what: str, number: int) -> bytes:
        """The 32 bytes that a file of wrapped keys holds; `Locked` without a key to it."""
        context = f"tachograph {what} {number} {self._origin}".encode()
        wraps = _wraps(path, data)
        if not wraps:
            self.emptied.add(path)
            raise Locked(f"the key in {path} has been destroyed")
        for kind, key_id, sealed in wraps:
            try:
                if kind == "local" and key_id == self._id:
                    key = open_gcm(self._own, sealed[:12], sealed[12:], context)
                    self.fits = True
                    return key
                if kind == "hpke" and self._recipient and key_id == self._recipient.id:
                    return self._recipient.open(sealed, context)
            except Malformed as error:
                raise altered(path, str(error)) from error
        if self._own and any(kind == "local" for kind, _, _ in wraps):
            self._strangers.add(path)
        if all(kind == "hpke" for kind, _, _ in wraps):
            self.wrapped_to.setdefault(tuple(key_id for _, key_id, _ in wraps), path)
        raise Locked(f"none of the keys at hand opens {path}")

    def strangers(self) -> list[str]:
        """Files under another keyring key than the one at hand: a store has one all its life."""
        return sorted(self._strangers)

    def open_chunk(self, number: int, raw_len: int, codec: int, data: bytes) -> bytes:
        """A chunk of the write-ahead log, of codec 2 or 3."""
        if self._own is None:
            raise Locked("keys/vault.key, under which the write-ahead log is encrypted, is not here")
        if len(data) < 16 + 12 + 16:
            raise corrupt(f"chunk {number}", "it is cut short")
        key = hkdf(self._own, data[:16], b"tachograph wal v1")
        aad = b"tachograph wal chunk v1\n" + self._origin.encode() + b"\n" + raw_len.to_bytes(4, "little") + bytes([codec])
        try:
            plain = open_gcm(key, data[16:28], data[28:], aad)
        except Malformed as error:
            raise corrupt(f"chunk {number}", str(error)) from error
        self.fits = True
        return plain


_WRAP = re.compile(r"v1 (local|hpke) ([0-9a-f]{16}) ((?:[0-9a-f]{2})+)")
_SEALED_BYTES = {"local": 12 + 32 + 16, "hpke": 32 + 32 + 16}


def _wraps(path: str, data: bytes) -> list[tuple[str, str, bytes]]:
    head, last = data[:-72], data[-72:]
    if last != b"sha256 " + hashlib.sha256(head).hexdigest().encode() + b"\n":
        raise corrupt(path, "its checksum is wrong")
    wraps = []
    for line in head.decode("ascii", "replace").splitlines():
        found = _WRAP.fullmatch(line)
        if not found or len(found[3]) != 2 * _SEALED_BYTES[found[1]]:
            raise corrupt(path, "a line is not a wrapped key")
        wraps.append((found[1], found[2], bytes.fromhex(found[3])))
    if "".join(f"v1 {kind} {key} {sealed.hex()}\n" for kind, key, sealed in wraps).encode() != head:
        raise corrupt(path, "its lines are not as they are written")
    if len({wrap[:2] for wrap in wraps}) != len(wraps):
        raise corrupt(path, "it holds two wraps for one key")
    return wraps
