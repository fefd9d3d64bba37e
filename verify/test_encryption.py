"""The encrypted vault: read with the keyring key or an investigator's, told apart from altered where there is no key."""

import hashlib
import json
import os
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import forging
from conftest import HERE, copy
from tachoverify.crc32c import crc32c
from tachoverify.faults import Malformed
from tachoverify.keyring import Recipient, hkdf
from tachoverify.verify import Options, verify

hpke = pytest.importorskip("cryptography.hazmat.primitives.hpke", reason="this `cryptography` has no HPKE to encrypt with")

GOLDEN = HERE.parent / "crates/evidence/tests/golden"
KEYRING, DATA, SEED_PATH = b"\7" * 32, b"\1" * 32, "vault/salts/00000000.seed"


def test_hkdf_is_rfc_5869():
    okm = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert okm.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"


@pytest.fixture(scope="module")
def investigator():
    """Private key file and public key."""
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    line = f"tachograph-vault-key/v1 {hashlib.sha256(public).hexdigest()[:16]} {raw.hex()}\n"
    return line.encode(), private.public_key()


def gcm(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def wrap(path, what: str, key: bytes, origin: str, local: bool, public) -> None:
    context, lines = f"tachograph {what} {origin}".encode(), ""
    if local:
        key_id = hashlib.sha256(b"tachograph vault key v1" + KEYRING).hexdigest()[:16]
        lines += f"v1 local {key_id} {gcm(KEYRING, key, context).hex()}\n"
    if public:
        suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
        recipient = hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]
        lines += f"v1 hpke {recipient} {suite.encrypt(key, public, info=context).hex()}\n"
    path.write_text(lines + f"sha256 {hashlib.sha256(lines.encode()).hexdigest()}\n")


def encrypted(store, local: bool, public):
    """The store with its volume and its seed as format 2 keeps them."""
    origin = (store / "log/vkey").read_text().partition("+")[0]
    volume = store / "vault/0000000001.vol"
    old, at = volume.read_bytes(), 16
    new = bytearray(b"TACHOVOL" + struct.pack("<II", 2, 0))
    while at < len(old):
        header, length = bytearray(old[at : at + 36]), struct.unpack_from("<I", old, at + 32)[0]
        header[6] = 1
        header[32:36] = struct.pack("<I", length + 28)
        aad = bytes(header) + struct.pack("<QQ", 1, len(new)) + origin.encode()
        stored = gcm(DATA, old[at + 40 : at + 40 + length], aad)
        new += header + struct.pack("<I", crc32c(stored, crc32c(bytes(header)))) + stored
        at += 40 + length
    volume.write_bytes(new)
    (store / "format").write_text("tachograph 2\n")
    forging.edit_state(store, version=2, volume_len=len(new))
    (store / "keys/vault.key").write_text(f"v2 {KEYRING.hex()} {hashlib.sha256(KEYRING).hexdigest()[:16]}\n")
    wrap(store / "vault/0000000001.key", "volume 1", DATA, origin, local, public)
    wrap(store / SEED_PATH, "seed 0", (store / SEED_PATH).read_bytes(), origin, local, public)
    return store


def bodies(store, key: bytes | None = None) -> tuple[int, str, int]:
    report = verify(store, Options(vault_key=key and Recipient.parse(key)))
    [verdict] = [claim["verdict"] for claim in report.claims if claim["claim"] == "bodies"]
    return report.exit_code, verdict, report.bodies


@pytest.fixture
def store(tmp_path):
    """One from before the vault was encrypted."""
    store = copy(GOLDEN / "store.v1", tmp_path / "record")
    private, events = forging.private_key(5), forging.read_events(store)
    (store / "keys").mkdir(exist_ok=True)
    (store / "keys/log.key").write_text(f"v2 {private.private_bytes_raw().hex()} -\n")
    origin = (store / "log/vkey").read_text().partition("+")[0]
    (store / "log/vkey").write_text(f"{forging.public_key(origin, 1, private)}\n")
    forging.sign(store, len(events), forging.root_of(events))
    return store


PLAIN = bodies(GOLDEN / "store.v1")


def test_with_the_keyring_key(store, investigator):
    assert bodies(encrypted(store, True, None)) == PLAIN


def test_with_an_investigators_key(store, investigator):
    private, public = investigator
    encrypted(store, False, public)
    assert bodies(store)[1:] == ("unverifiable", 0)
    assert bodies(store, private) == PLAIN
    (store / "keys/vault.key").unlink()
    assert bodies(store, private) == PLAIN


def test_a_destroyed_key_is_no_alteration(store):
    exit_code, verdict, _ = bodies(encrypted(store, False, None))
    assert exit_code != 10 and verdict == "unverifiable"


def test_ciphertext_is_bound_to_its_place_and_key(store, investigator):
    encrypted(store, True, investigator[1])
    volume, key = store / "vault/0000000001.vol", store / "vault/0000000001.key"
    old, wrapped = volume.read_bytes(), key.read_bytes()
    broken = bytearray(old)
    broken[60] ^= 1
    volume.write_bytes(broken)
    assert bodies(store)[:2] == (10, "invalid")
    # The same with the checksum put right.
    length = struct.unpack_from("<I", old, 16 + 32)[0]
    broken[52:56] = struct.pack("<I", crc32c(bytes(broken[56 : 56 + length]), crc32c(bytes(broken[16:52]))))
    volume.write_bytes(broken)
    assert bodies(store)[:2] == (10, "invalid")
    volume.write_bytes(old)
    wrap(key, "volume 2", DATA, (store / "log/vkey").read_text().partition("+")[0], True, None)
    assert bodies(store)[:2] == (10, "invalid")
    key.write_bytes(wrapped[:-1])
    assert bodies(store)[:2] == (10, "invalid")


def test_a_sealed_volume_is_checked_without_a_key(store, investigator):
    encrypted(store, False, investigator[1])
    volume = store / "vault/0000000001.vol"
    data = volume.read_bytes()
    facts = {"volume": 1, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    forging.tell(store, ("vault.sealed", facts))
    seq = len(forging.read_events(store)) - 1
    assert bodies(store)[1] == "unverifiable"
    # A block that is changed with its checksum put right shows only here.
    broken, length = bytearray(data), struct.unpack_from("<I", data, 16 + 32)[0]
    broken[80] ^= 1
    broken[52:56] = struct.pack("<I", crc32c(bytes(broken[56 : 56 + length]), crc32c(bytes(broken[16:52]))))
    volume.write_bytes(broken)
    report = verify(store, Options())
    assert report.exit_code == 10 and report.faults[0].seq == seq, json.dumps(report.as_json()["faults"])


@pytest.mark.parametrize("data", [b"", b"tachograph-vault-key/v1 0 0\n", b"tachograph-vault-key/v1 " + b"0" * 16 + b" " + b"1" * 64 + b"\n"])
def test_vault_keys_are_strict(data):
    with pytest.raises(Malformed):
        Recipient.parse(data)
