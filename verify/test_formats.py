"""The parts against what their specifications' own projects publish, and against bytes that are wrong."""

import base64
import functools
import hashlib
import json
import pathlib
import random
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import forging
from tachoverify import signatures, tlog, vault
from tachoverify.crc32c import crc32c
from tachoverify.faults import Malformed
from tachoverify.note import BadSignature, Checkpoint, Key, Note, Unsigned
from tachoverify.xxh64 import xxh64
from tachoverify.zstd import ZstdError, decompress

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "crates/tlog/tests/golden"


# --- checksums and compression


def test_crc32c():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    long = random.Random(1).randbytes(100_001)
    assert crc32c(long) == crc32c(long[33_333:], crc32c(long[:33_333]))
    assert crc32c(long) == functools.reduce(lambda crc, at: crc32c(long[at : at + 1000], crc), range(0, len(long), 1000), 0)


def test_xxh64():
    assert xxh64(b"") == 0xEF46DB3751D8E999
    assert xxh64(b"abc") == 0x44BC2CF5AD770999


def contents() -> list[bytes]:
    chance = random.Random(2)
    text = b"".join(path.read_bytes() for path in sorted(HERE.rglob("*.py")))
    skewed = bytes(chance.choices(range(256), weights=[1 / (at + 1) for at in range(256)], k=60_000))
    return [b"", b"a", b"a" * 300_000, text[:10], text[:500], text, skewed, chance.randbytes(5_000),
            bytes(chance.choices(b"ab", k=40_000)), (text[:7_000] + chance.randbytes(300)) * 20]


def zstd(content: bytes, *options: str) -> bytes:
    return subprocess.run(["zstd", "-q", "-c", *options], input=content, capture_output=True, check=True).stdout


@pytest.mark.parametrize("options", [("-1",), ("-9", "--no-check"), ("-19", "--long=22"), ("-3", "--no-content-size"), ("--fast=5",)],
                         ids=" ".join)
def test_what_zstd_compresses_is_read(options):
    for content in contents():
        assert decompress(zstd(content, *options), len(content)) == content


def test_a_frame_may_not_hold_more_than_is_allowed():
    for content in contents()[1:]:
        for options in (("-3",), ("-3", "--no-content-size")):
            with pytest.raises(ZstdError):
                decompress(zstd(content, *options), len(content) - 1)


def test_one_frame_and_nothing_else():
    frame = zstd(b"text" * 100)
    for wrong in (frame + b"\0", frame + frame, frame + b"\x50\x2a\x4d\x18\0\0\0\0", frame[:-1], b"", b"\0" * 40):
        with pytest.raises(ZstdError):
            decompress(wrong, 10_000)


def test_a_broken_frame_is_an_error_and_never_anything_else():
    """Every change to a frame with a checksum is an error or leaves the content as it was; none hangs or crashes."""
    chance = random.Random(3)
    for content in contents()[3:]:
        content = content[:20_000]
        frame = zstd(content, "-5", "--check")
        for _ in range(250):
            broken = bytearray(frame)
            for _ in range(chance.choice([1, 1, 1, 3, 10])):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            if chance.random() < 0.1:
                del broken[chance.randrange(len(broken)) :]
            try:
                assert decompress(bytes(broken), 1 << 20) == content
            except ZstdError:
                pass


def test_both_verifiers_store_frames_alike():
    for content in contents():
        assert decompress(forging.stored(content), len(content)) == content


# --- proofs and the tree


def b64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def vectors(shared, kind: str) -> list[dict]:
    cases = [json.loads(path.read_text()) for path in sorted((shared / "vectors/merkle/testdata" / kind).rglob("*.json"))]
    assert len(cases) > 50
    return cases


def test_inclusion_proofs(shared):
    for case in vectors(shared, "inclusion"):
        proof = [b64(step) for step in case["proof"] or []]
        holds = tlog.inclusion_holds(case["leafIdx"], case["treeSize"], b64(case["leafHash"]), proof, b64(case["root"]))
        assert holds == (not case["wantErr"]), case


def test_consistency_proofs(shared):
    for case in vectors(shared, "consistency"):
        proof = [b64(step) for step in case["proof"] or []]
        holds = tlog.consistency_holds(case["size1"], case["size2"], b64(case["root1"]), b64(case["root2"]), proof)
        assert holds == (not case["wantErr"]), case


def by_definition(hashes: list[bytes]) -> bytes:
    """RFC 6962, 2.1, as it stands there."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return tlog.node_hash(by_definition(hashes[:split]), by_definition(hashes[split:]))


def test_roots_are_those_of_the_definition():
    tree, leaves = tlog.Tree(lambda *_: None), []
    for number in range(700):
        if number < 40 or number % 37 == 0 or 250 < number < 260 or 510 < number < 515:
            assert tree.root() == by_definition(leaves), number
        entry = str(number).encode()
        leaves.append(tlog.leaf_hash(entry))
        tree.push(entry)
    big = tlog.Tree(lambda *_: None)
    for number in range(65_536 + 300):
        big.push(b"")
    assert big.root() == by_definition([tlog.leaf_hash(b"")] * big.size)


def test_the_log_of_another_tool(shared):
    log = shared / "vectors/tessera/testdata/log"
    key = Key.parse("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
    for size in range(16):
        checkpoint, _ = Checkpoint.open(Note.parse((log / f"checkpoint.{size}").read_bytes()), key.name, [key])
        assert checkpoint.size == size
        tree = tlog.Tree(lambda *_: None)
        if size:
            for entry in tlog.entries((log / tlog.tile_name("entries", 0, size)).read_bytes()):
                tree.push(entry)
            tiles = (log / tlog.tile_name(0, 0, size)).read_bytes()
            assert b"".join(tree.partial()[0][2]) == tiles
        assert tree.root() == checkpoint.root


def test_names_of_tiles():
    assert [tlog.tile_name(0, 0), tlog.tile_name("entries", 1234067, 7), tlog.tile_name(3, 1000)] == [
        "tile/0/000", "tile/entries/x001/x234/067.p/7", "tile/3/x001/000"]


@pytest.mark.parametrize("wrong", [b"\0", b"\0\2a", b"\0\1", b"\0\0" * 257])
def test_bundles_are_whole(wrong):
    with pytest.raises(Malformed):
        list(tlog.entries(wrong))


# --- signatures and notes


def test_edge_cases_of_ed25519(shared):
    """Refused: keys of low order, encodings that are not canonical, and what only verifies times the cofactor."""
    refused = {"low_order_A", "non_canonical_A", "non_canonical_R", "low_order_residue", "reencoded_k"}
    for case in json.loads((shared / "vectors/cctv/ed25519/ed25519vectors.json").read_text()):
        try:
            key = Key.of("key", 1, bytes.fromhex(case["key"]))
            key.verify(case["msg"], bytes.fromhex(case["sig"]))
            accepted = True
        except (Malformed, BadSignature):
            accepted = False
        assert accepted == (not refused & set(case["flags"] or [])), case


needs_ml_dsa = pytest.mark.skipif(signatures.MLDSA44PublicKey is None, reason="this `cryptography` has no ML-DSA-44")


def golden_key() -> Key:
    public = Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key()
    return Key.of("example.com/tachograph", 1, public.public_bytes(Encoding.Raw, PublicFormat.Raw))


def test_notes_as_they_are_persisted():
    key = golden_key()
    checkpoint, verified = Checkpoint.open(Note.parse((GOLDEN / "checkpoint.txt").read_bytes()), key.name, [key])
    assert [signer.key for signer in verified.signers] == [key] and checkpoint.origin == key.name
    for line in (GOLDEN / "vkey.txt").read_text().splitlines():
        assert str(Key.parse(line)) == line


@pytest.mark.parametrize("note", [
    b"", b"text\n", b"text\n\n", b"text\n\n\xe2\x80\x94 name AAAA\n", b"text\n\n\xe2\x80\x94 name AAAAAAA=\nmore\n",
    b"te\txt\n\n\xe2\x80\x94 name AAAAAAA=\n", b"text\n\n\xe2\x80\x94 na+me AAAAAAA=\n", b"text\n\n- name AAAAAAA=\n",
    b"text\n\n\xe2\x80\x94 name AAAAAAB=\n", b"\xff\n\n\xe2\x80\x94 name AAAAAAA=\n", b"text\n\n\xe2\x80\x94 name AAAAAAA=",
    b"text\n\n" + b"\xe2\x80\x94 name AAAAAAA=\n" * 65, b"x" * (513 << 10),
])
def test_notes_are_strict(note):
    with pytest.raises(Malformed):
        Note.parse(note)


@pytest.mark.parametrize("text", ["", "origin\n", "origin\n1\n", "origin\n01\n" + "A" * 43 + "=\n", "origin\n-1\n" + "A" * 43 + "=\n",
                                  "origin\n1\nAAAA\n", "origin\n1\n" + "A" * 43 + "=", "\n1\n" + "A" * 43 + "=\n",
                                  "origin\n18446744073709551616\n" + "A" * 43 + "=\n"])
def test_checkpoints_are_strict(text):
    with pytest.raises(Malformed):
        Checkpoint.parse(text)


def test_only_known_keys_count():
    data = (GOLDEN / "checkpoint.txt").read_bytes()
    key = golden_key()
    other = Key.of(key.name, key.type, bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
    with pytest.raises(Unsigned):
        Note.parse(data).verify([other])
    broken = Note.parse(data.replace(b"\n\n", b"x\n\n"))
    with pytest.raises(BadSignature):
        broken.verify([key])


# --- the vault's own formats


@pytest.mark.parametrize("recipe, runs", [("00", []), ("010003", [(0, 3)]), ("0202030102", [(1, 3), (3, 2)]),
                                          ("010000", None), ("01", None), ("000000", None), ("0101ff", None),
                                          ("01" + "ff" * 9 + "0201", None)])
def test_recipes(recipe, runs):
    if runs is None:
        with pytest.raises(Malformed):
            vault.runs(bytes.fromhex(recipe))
    else:
        assert vault.runs(bytes.fromhex(recipe)) == runs
