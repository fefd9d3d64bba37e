"""Ways to change a copy of a store, with and without its checksums put right: what both verifiers must see alike."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import socket
import struct
import time
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tachoverify import tlog
from tachoverify.crc32c import crc32c
from tachoverify.directory import Directory
from tachoverify.keyring import hkdf
from tachoverify.log import Log
from tachoverify.note import Key
from tachoverify.state import read_state
from tachoverify.wal import read_tail


def files(store: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in sorted(store.rglob("*")) if path.is_file() and path.stat().st_size]


#: A key for tests, from a seed that anybody can see is no secret.
def private_key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def public_key(name: str, kind: int, private: Ed25519PrivateKey) -> Key:
    return Key.of(name, kind, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


# --- blind changes to one file


def blind(store: pathlib.Path, count: int, seed: int) -> Iterator[tuple[str, pathlib.Path, bytes | None]]:
    """`count` changes: what it is, the file, its new bytes (`None`: removed)."""
    chance = random.Random(seed)
    paths = files(store)
    for _ in range(count):
        path = chance.choice(paths)
        old = path.read_bytes()
        at, kind = chance.randrange(len(old)), chance.randrange(10)
        new = bytearray(old)
        if kind < 5:
            bit = chance.randrange(8)
            new[at] ^= 1 << bit
            what = f"bit {bit} of byte {at} flipped"
        elif kind == 5:
            del new[at:]
            what = f"cut to {at} bytes"
        elif kind == 6:
            new, what = None, "removed"
        elif kind == 7:
            more = chance.randbytes(chance.choice([1, 4, 12, 40]))
            new[at:at] = more
            what = f"{len(more)} bytes put in at {at}"
        elif kind == 8:
            other, length = chance.randrange(len(old)), chance.randrange(1, 64)
            new[at : at + length], new[other : other + length] = old[other : other + length], old[at : at + length]
            what = f"{length} bytes at {at} and {other} swapped"
        else:
            other = chance.choice(paths)
            new = bytearray(other.read_bytes())
            what = f"replaced by {other.relative_to(store)}"
        yield f"{path.relative_to(store)}: {what}", path, None if new is None else bytes(new)


def flips(path: pathlib.Path) -> Iterator[tuple[str, pathlib.Path, bytes]]:
    """Every bit of a file."""
    old = path.read_bytes()
    for at in range(len(old)):
        for bit in range(8):
            new = bytearray(old)
            new[at] ^= 1 << bit
            yield f"{path.name}: bit {bit} of byte {at} flipped", path, bytes(new)


# --- a store as somebody rewrites it who knows the formats


def stored(content: bytes) -> bytes:
    """A zstd frame that stores its content as it is (RFC 8878, 3.1.1)."""
    out = bytearray(b"\x28\xb5\x2f\xfd" + bytes([0xA0]) + struct.pack("<I", len(content)))
    pieces = [content[at : at + (1 << 17)] for at in range(0, len(content), 1 << 17)] or [b""]
    for number, piece in enumerate(pieces):
        out += (len(piece) << 3 | (number == len(pieces) - 1)).to_bytes(3, "little") + piece
    return bytes(out)


def read_events(store: pathlib.Path) -> list[bytes]:
    directory = Directory(store)
    state = read_state(directory)
    return list(Log(directory, state.size, read_tail(directory, state)).events())


def edit_state(store: pathlib.Path, **changes) -> None:
    line = (store / "state").read_bytes().split(b"\n")[0]
    line = json.dumps(json.loads(line) | changes, separators=(",", ":")).encode()
    (store / "state").write_bytes(line + b"\nsha256:" + hashlib.sha256(line).hexdigest().encode() + b"\n")


def write_bundles(store: pathlib.Path, events: list[bytes]) -> None:
    """The entry bundles of `events`, with right checksums, in the place of those that are there."""
    for path in (store / "log/tile/entries").rglob("*.zst"):
        path.unlink()
    for index in range(0, len(events), tlog.WIDTH):
        some = events[index : index + tlog.WIDTH]
        frame = stored(b"".join(struct.pack(">H", len(entry)) + entry for entry in some))
        path = store / f"log/{tlog.tile_name('entries', index // tlog.WIDTH, len(some))}.zst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(frame + b"\x5c\x2a\x4d\x18\4\0\0\0" + crc32c(frame).to_bytes(4, "little"))


def write_tiles(store: pathlib.Path, events: list[bytes]) -> bytes:
    """The hash tiles of `events` in the place of those that are there; returns the root."""
    for path in (store / "log/tile").rglob("*"):
        if path.is_file() and path.suffix != ".zst":
            path.unlink()

    def write(level: int, index: int, hashes: list[bytes]) -> None:
        path = store / f"log/{tlog.tile_name(level, index, len(hashes))}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(hashes))

    tree = tlog.Tree(write)
    for event in events:
        tree.push(event)
    for tile in tree.partial():
        write(*tile)
    return tree.root()


def own_key(store: pathlib.Path) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex((store / "keys/log.key").read_text().split()[1]))


def signature_line(key: Key, signature: bytes) -> str:
    return f"\u2014 {key.name} {base64.b64encode(key.id + signature).decode()}\n"


def head(store: pathlib.Path, size: int, root: bytes, private: Ed25519PrivateKey | None = None) -> str:
    """A checkpoint by the store's own key, or by another of the same name."""
    origin = (store / "log/vkey").read_text().partition("+")[0]
    private = private or own_key(store)
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    return f"{text}\n{signature_line(public_key(origin, 1, private), private.sign(text.encode()))}"


def sign(store: pathlib.Path, size: int, root: bytes, private: Ed25519PrivateKey | None = None) -> None:
    (store / "log/checkpoint").write_text(head(store, size, root, private))


def root_of(events: list[bytes]) -> bytes:
    tree = tlog.Tree(lambda *_: None)
    for event in events:
        tree.push(event)
    return tree.root()


# --- what outsiders add, and the events that tell of it


def publish(store: pathlib.Path, size: int) -> pathlib.Path:
    """The head of the first `size` events as the recorder publishes it; returns its directory."""
    folder = store / f"anchors/{size:020}"
    folder.mkdir(parents=True, exist_ok=True)
    root = root_of(read_events(store)[:size])
    note = head(store, size, root)
    # The log's own cosignature, by the key that comes of the same seed (C2SP tlog-cosignature, subtree/v1).
    origin, now = note.partition("\n")[0].encode(), int(time.time()).to_bytes(8, "big")
    seed = hkdf(own_key(store).private_bytes_raw(), b"", b"tachograph ml-dsa-44 v1")
    private = MLDSA44PrivateKey.from_seed_bytes(seed)
    name = bytes([len(origin)]) + origin
    message = b"subtree/v1\n\0" + name + now + name + bytes(8) + size.to_bytes(8, "big") + root
    key = Key.of(origin.decode(), 6, private.public_key().public_bytes_raw())
    (folder / "checkpoint").write_text(note + signature_line(key, now + private.sign(message)))
    return folder


def cosign(folder: pathlib.Path, name: str, number: int, seconds: int) -> str:
    """The cosignature of a witness on a published head, added to the file of those; returns its line."""
    file, private = folder / "cosigned", private_key(number)
    note = (file if file.exists() else folder / "checkpoint").read_text()
    text = note.partition("\n\n")[0] + "\n"
    message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
    line = signature_line(public_key(name, 4, private), seconds.to_bytes(8, "big") + private.sign(message))
    file.write_text(note + line)
    return line.removesuffix("\n")


def tell(store: pathlib.Path, *told: tuple[str, dict]) -> None:
    """Events of the recorder at the end of the log: kind and facts of each; everything is signed anew."""
    events = read_events(store)
    for kind, facts in told:
        fields = json.loads(events[-1])
        fields |= {"seq": len(events), "n": fields["n"] + 1, "kind": kind, "facts": facts}
        for name in ("bodies", "outcome"):
            fields.pop(name, None)
        events.append(json.dumps(fields, separators=(",", ":")).encode())
    rewrite(store, events, tiles=True, signed=True)


def rewrite(store: pathlib.Path, events: list[bytes], tiles: bool, signed: bool) -> None:
    write_bundles(store, events)
    if tiles or signed:
        root = write_tiles(store, events)
        if signed:
            sign(store, len(events), root)
    edit_state(store, size=len(events))


def _edited(events: list[bytes], at: int) -> list[bytes]:
    line = events[at].replace(b'"time":"2', b'"time":"1', 1)
    assert line != events[at]
    return events[:at] + [line] + events[at + 1 :]


def _renumbered(events: list[bytes], first: int) -> list[bytes]:
    """The events with a `seq` that fits their place, as a careful forger writes them."""
    fixed = []
    for place, event in enumerate(events):
        fields = json.loads(event)
        if place >= first:
            fields["seq"] = place
            event = json.dumps(fields, separators=(",", ":")).encode()
        fixed.append(event)
    return fixed


Change = Callable[[list[bytes], int], list[bytes]]
CHANGES: dict[str, Change] = {
    "an event is edited": _edited,
    "an event is cut out": lambda events, at: events[:at] + events[at + 1 :],
    "an event is cut out and the rest renumbered": lambda events, at: _renumbered(events[:at] + events[at + 1 :], at),
    "an event stands there twice": lambda events, at: events[: at + 1] + events[at:],
    "two events change places": lambda events, at: events[:at] + [events[at + 1], events[at]] + events[at + 2 :],
    "an event is replaced by another": lambda events, at: events[:at] + [events[at - 1]] + events[at + 1 :],
    "an event is not JSON": lambda events, at: events[:at] + [b"{" + events[at]] + events[at + 1 :],
    "an event is empty": lambda events, at: events[:at] + [b""] + events[at + 1 :],
    "an event is of a later version": lambda events, at: events[:at] + [events[at].replace(b'"v":1', b'"v":2', 1)] + events[at + 1 :],
    "the tail is cut off": lambda events, at: events[:at],
}
#: How far a forger goes: bundles alone, hash tiles as well, a new checkpoint under the stolen key as well.
DEPTHS = {"bundles": (False, False), "bundles and tiles": (True, False), "everything, signed with the stolen key": (True, True)}


#: What may stand in the place of a file and is none.
KINDS = ["a pipe", "a directory", "a loop", "a socket", "/dev/zero", "/dev/null", "/proc/self/mem"]


def put(path: pathlib.Path, kind: str) -> None:
    """What is no file, in the place of one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a file":
        path.write_text("no directory")
    elif kind == "a socket":
        with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    else:
        path.symlink_to(path if kind == "a loop" else kind)
