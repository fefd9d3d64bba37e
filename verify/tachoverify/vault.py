"""The vault: volumes of blocks, recipes of bodies, and the salts of their commitments. Formats 1 and 2.

    volume := "TACHOVOL" version:u32 reserved:u32 block*
    block  := "TBLK" kind:u8 codec:u8 cipher:u8 0:u8 first:u64 last:u64 count:u32 raw_len:u32
              stored_len:u32 crc32c:u32 stored[stored_len]                                (40 + stored_len)
    chunks := len:u32*count bytes                                  kind 1, chunks first..=last
    bodies := (id:varint len:varint recipe_len:varint recipe)*     kind 2
    recipe := runs:varint (zigzag(first - end of previous run):varint length:varint)*

`stored` is a zstd frame; in a volume of version 2 cipher is 1 and stored := nonce[12] ciphertext tag[16] of it, under
the key that lies wrapped beside the volume.
"""

import bisect
import contextlib
import hashlib
import mmap
import struct
from collections import OrderedDict
from dataclasses import dataclass

from .crc32c import crc32c
from .directory import Directory
from .event import Body
from .faults import Fault, Malformed, Missing, Newer, altered, corrupt
from .keyring import Keyring, Locked, open_gcm
from .state import State
from .wal import Tail
from .zstd import ZstdError, decompress

_BLOCK = struct.Struct("<4sBBBBQQIIII")
_HEADER_BYTES = 16
_MAX_BLOCK_BYTES = 64 << 20
_CHUNKS, _BODIES = 1, 2
_BODIES_PER_SEED = 1 << 20
_CACHED_BYTES = 64 << 20
#: Volumes that may be missing: that many never were, however far a position claims to be.
_MAX_MISSING = 1 << 16


@dataclass(frozen=True)
class Block:
    volume: int
    offset: int
    kind: int
    cipher: int
    first: int
    last: int
    count: int
    raw_len: int
    stored_len: int


def volume_path(number: int) -> str:
    return f"vault/{number:010}.vol"


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of 64 bits, seven bits a byte, lowest first, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("a number that is cut short or too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if value >= 1 << 64:
                raise Malformed("a number of more than 64 bits")
            return value, at


def runs(recipe: bytes) -> list[tuple[int, int]]:
    """Runs of consecutive chunks: the first, and how many."""
    count, at = varint(recipe, 0)
    found, end, total = [], 0, 0
    for _ in range(count):
        zigzag, at = varint(recipe, at)
        length, at = varint(recipe, at)
        first = end + ((zigzag >> 1) ^ -(zigzag & 1)) & (1 << 64) - 1
        end = first + length
        total += length
        if not length or total > 1 << 32 or end >= 1 << 64:
            raise Malformed("a run that cannot be")
        found.append((first, length))
    if at != len(recipe):
        raise Malformed("something follows the last run")
    return found


class Vault:
    """What the volumes and the tail of the write-ahead log hold of bodies."""

    def __init__(self, store: Directory, state: State, tail: Tail, keyring: Keyring, origin: str):
        self._store = store
        self._tail = tail
        self._keyring = keyring
        self._origin = origin
        self._keys: dict[str, bytes | Locked] = {}
        self._files: dict[int, bytes | mmap.mmap] = {}
        self.chunk_blocks: list[Block] = []
        self.body_blocks: list[Block] = []
        self._newest_end = 0
        self._cache: OrderedDict[tuple[int, int], object] = OrderedDict()
        self._cached = 0
        self._read: set[tuple[int, int]] = set()
        self._seeds: dict[int, bytes] = {}
        self._halfway: dict[int, bytes] = {}
        #: What events say of complete volumes: the event, number, length and SHA-256.
        self.sealed: list[tuple[int, int, int, str]] = []
        #: Volumes that should be there and are not, or may not be read.
        self.missing: dict[int, str] = {}
        #: What stands in the place of volumes and is none, or whose blocks do not follow each other.
        self.unusable: dict[int, Fault] = {}
        #: Files of which something is broken.
        self.broken: set[str] = set()
        for number in range(1, state.volume + 1):
            if len(self.missing) > _MAX_MISSING:
                raise corrupt("state", f"it tells of {state.volume} volumes, and {_MAX_MISSING} and more of them are missing")
            newest = number == state.volume
            try:
                data = store.map(volume_path(number))
            except Missing:
                data = None
                self.missing[number] = volume_path(number)
            except Fault as fault:
                self.unusable[number] = fault
                continue
            if data is None:
                if newest and not state.volume_len and number not in self.missing:
                    break
                self.missing[number] = volume_path(number)
                continue
            end = state.volume_len if newest else len(data)
            try:
                blocks = self._scan(number, data, end)
            except Fault as fault:
                self.unusable[number] = fault
                continue
            for block in blocks:
                (self.chunk_blocks if block.kind == _CHUNKS else self.body_blocks).append(block)
            self._files[number] = data
            self._newest_end = end
        self._firsts = [block.first for block in self.chunk_blocks]

    # --- blocks

    def _scan(self, volume: int, data: bytes, end: int) -> list[Block]:
        path = volume_path(volume)
        if not end:
            return []
        magic, version, reserved = struct.unpack_from("<8sII", data[:_HEADER_BYTES].ljust(_HEADER_BYTES, b"\0"))
        if magic != b"TACHOVOL":
            raise corrupt(path, "the volume's header is not one")
        if version > 2:
            raise Newer(f"{path} is of version {version}, this program reads up to 2")
        if not version or reserved:
            raise corrupt(path, "the volume's header is not one")
        offset, blocks = _HEADER_BYTES, []
        while offset < end:
            block = self._header(volume, data, offset)
            if block is None or block.cipher != version - 1 or offset + _BLOCK.size + block.stored_len > end:
                raise corrupt(path, f"no block at offset {offset}")
            blocks.append(block)
            offset += _BLOCK.size + block.stored_len
        return blocks

    @staticmethod
    def _header(volume: int, data: bytes, offset: int) -> Block | None:
        header = data[offset : offset + _BLOCK.size].ljust(_BLOCK.size, b"\0")
        magic, kind, codec, cipher, zero, first, last, count, raw_len, stored_len, _ = _BLOCK.unpack(header)
        if magic != b"TBLK" or kind not in (_CHUNKS, _BODIES) or (codec, zero) != (1, 0) or cipher > 1:
            return None
        if max(raw_len, stored_len) > _MAX_BLOCK_BYTES or first > last:
            return None
        return Block(volume, offset, kind, cipher, first, last, count, raw_len, stored_len)

    def _stored(self, block: Block) -> bytes:
        """What is stored of a block, its checksum checked."""
        where = _where(block)
        data = self._files[block.volume]
        start = block.offset + _BLOCK.size
        stored = data[start : start + block.stored_len]
        if len(stored) != block.stored_len:
            raise corrupt(where, "the block is cut short")
        (crc,) = struct.unpack_from("<I", data, start - 4)
        if crc32c(stored, crc32c(data[block.offset : start - 4])) != crc:
            raise corrupt(where, "the block's checksum is wrong")
        return stored

    def _plaintext(self, block: Block) -> bytes:
        stored, where = self._stored(block), _where(block)
        if block.cipher:
            if len(stored) < 12 + 16:
                raise corrupt(where, "the block is cut short")
            header = self._files[block.volume][block.offset : block.offset + _BLOCK.size - 4]
            aad = header + struct.pack("<QQ", block.volume, block.offset) + self._origin.encode()
            key = self._key(f"vault/{block.volume:010}.key", "volume", block.volume)
            try:
                stored = open_gcm(key, stored[:12], stored[12:], aad)
            except Malformed as error:
                raise altered(where, str(error)) from error
        try:
            raw = decompress(stored, block.raw_len)
        except ZstdError as error:
            raise corrupt(where, f"the block does not decompress: {error}") from error
        if len(raw) != block.raw_len:
            raise corrupt(where, "the block has another length than it says")
        return raw

    def _key(self, path: str, what: str, number: int) -> bytes:
        """The 32 bytes that are wrapped in `path`; `Locked` without a key to them."""
        if path not in self._keys:
            try:
                self._keys[path] = self._keyring.unwrap(path, self._store.need(path), what, number)
            except Locked as locked:
                self._keys[path] = locked
        key = self._keys[path]
        if isinstance(key, Locked):
            raise key
        return key

    def strangers(self) -> list[str]:
        """Files of keys that are of another store, where the keyring key is known to be this one's."""
        found = self._keyring.strangers()
        if found and not self._keyring.fits:
            for path, what, number in (("vault/salts/00000000.seed", "seed", 0), ("vault/0000000001.key", "volume", 1)):
                # What matters is whether one of them opened.
                with contextlib.suppress(Locked, Fault, Missing):
                    self._key(path, what, number)
        return found if self._keyring.fits else []

    def _contents(self, block: Block):
        """A block's chunks as a list, or its bodies by id; blocks of `_CACHED_BYTES` are kept."""
        key = block.volume, block.offset
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        contents = (_chunks if block.kind == _CHUNKS else _bodies)(block, self._plaintext(block))
        self._read.add(key)
        self._cache[key] = contents
        self._cached += block.raw_len
        while self._cached > _CACHED_BYTES and len(self._cache) > 1:
            (volume, offset), _ = self._cache.popitem(last=False)
            self._cached -= self._header(volume, self._files[volume], offset).raw_len
        return contents

    def faults_of_the_rest(self, ended: bool) -> list[Fault]:
        """What is wrong with what no event led to."""
        faults, following, last = [], 0, 0
        for block in self.chunk_blocks:
            # What lay in a volume that is missing or broken is gone with it.
            is_gone = any(last < number < block.volume for number in (*self.missing, *self.unusable))
            last = block.volume
            if block.first != following and not is_gone:
                faults.append(corrupt(volume_path(block.volume), f"chunk {following} is missing, or a block was put in before it"))
            following = block.last + 1
        if ended and self._files:
            number = max(self._files)
            data = self._files[number]
            # It may go on for as long as a file can: no more of it is read than tells a volume that is only begun.
            if len(data) > self._newest_end and (self._newest_end or not _is_only_begun(data[: _HEADER_BYTES + 1])):
                faults.append(corrupt(volume_path(number), "it goes on behind its last block"))
        for block in self.chunk_blocks + self.body_blocks:
            if (block.volume, block.offset) not in self._read:
                try:
                    try:
                        self._contents(block)
                    except (Locked, Missing):
                        self._stored(block)
                except Fault as fault:
                    faults.append(fault)
        return faults

    def told(self, seq: int, facts: dict) -> None:
        """Keeps what an event says of a volume that is complete."""
        number, length, digest = (facts.get(name) for name in ("volume", "bytes", "sha256"))
        if type(number) is not int or type(length) is not int or not isinstance(digest, str):
            raise Malformed("its facts are not those of a sealed volume")
        self.sealed.append((seq, number, length, digest))

    def note(self, fault: Fault) -> None:
        """Remembers which file is broken."""
        if fault.what == "corrupt":
            self.broken.add(fault.where.partition(" ")[0])

    def check_sealed(self, number: int, length: int, digest: str) -> None:
        """Whether a volume is the file that an event said was complete; needs no key."""
        data = self._files.get(number)
        if number in self.missing or number in self.unusable:
            return
        if data is None:
            raise Fault("removed", f"{volume_path(number)}, which is said to be complete, is not there")
        if len(data) != length:
            raise Fault("altered", f"{volume_path(number)} is not the file that was sealed: it is of another length")
        if hashlib.sha256(data).hexdigest() != digest:
            # What is broken in it has been said, and it is another file for that.
            what = "corrupt" if volume_path(number) in self.broken else "altered"
            raise Fault(what, f"{volume_path(number)} is not the file that was sealed")

    # --- bodies

    def check(self, body: Body) -> None:
        """Re-computes a body's commitment; `Fault` or `Missing` when it does not hold."""
        try:
            length, recipe = self._record(body.id)
        except Locked:
            # That the seed is not there, or not as it was written, shows without a key.
            with contextlib.suppress(Locked):
                self._salt(body.id)
            raise
        digest = hashlib.sha256(self._salt(body.id))
        found = 0
        try:
            chunks = runs(recipe)
        except Malformed as error:
            raise corrupt(f"body {body.id}", f"its recipe is malformed: {error}") from error
        what = f"body {body.id} ({body.role})"
        # No chunk is empty.
        if length != body.len or sum(count for _, count in chunks) > body.len:
            raise Fault("altered", f"{what}: it is not of the {body.len} bytes that the event says")
        for first, count in chunks:
            number = first
            while number < first + count:
                for piece in self._pieces(number, first + count):
                    digest.update(piece)
                    found += len(piece)
                    number += 1
                if found > body.len:
                    raise Fault("altered", f"{what}: more bytes than the {body.len} that the event says")
        if found != body.len:
            raise Fault("altered", f"{what}: {found} bytes where the event says {body.len}")
        if digest.hexdigest() != body.commitment:
            raise Fault("altered", f"{what}: its bytes do not match the event's commitment")

    def _record(self, number: int) -> tuple[int, bytes]:
        if number in self._tail.bodies:
            return self._tail.bodies[number]
        for block in reversed(self.body_blocks):
            if block.first <= number <= block.last:
                found = self._contents(block).get(number)
                if found:
                    return found
        raise Missing(f"body {number}")

    def _pieces(self, number: int, end: int) -> list[bytes]:
        """The chunk `number`, and those up to `end` that lie beside it."""
        chunk = self._tail.chunk(number, self._keyring)
        if chunk is not None:
            return [chunk]
        at = bisect.bisect_right(self._firsts, number) - 1
        if at < 0 or number > self.chunk_blocks[at].last:
            raise Missing(f"chunk {number}")
        block = self.chunk_blocks[at]
        return self._contents(block)[number - block.first : end - block.first]

    def _salt(self, number: int) -> bytes:
        """The leaf of a body in the binary tree of SHA-256 over its seed."""
        index = number // _BODIES_PER_SEED
        if index not in self._seeds:
            path = f"vault/salts/{index:08}.seed"
            seed = self._store.need(path)
            self._seeds[index] = seed if len(seed) == 32 else self._key(path, "seed", index)
        # Neighbours share the upper half of the way.
        above = number >> 10
        if above not in self._halfway:
            self._halfway[above] = _descend(self._seeds[index], above)
        return _descend(self._halfway[above], number)[:16]


def _descend(node: bytes, number: int) -> bytes:
    """Ten levels down the tree of salts, as the lowest ten bits say, highest first."""
    for level in range(9, -1, -1):
        node = hashlib.sha256(b"tachograph salt v1" + bytes([number >> level & 1]) + node).digest()
    return node


def _where(block: Block) -> str:
    return f"{volume_path(block.volume)} at offset {block.offset}"


def _is_only_begun(data: bytes) -> bool:
    """Whether that is a volume as its writer leaves it before the first block, or as much of it as reached the disk."""
    return any((b"TACHOVOL" + struct.pack("<II", version, 0)).startswith(data) for version in (1, 2))


def _chunks(block: Block, raw: bytes) -> list[bytes]:
    wrong = corrupt(volume_path(block.volume), "a block's chunk lengths are wrong")
    if block.last - block.first + 1 != block.count or block.count * 4 > len(raw):
        raise wrong
    lengths = struct.unpack_from(f"<{block.count}I", raw)
    found, at = [], block.count * 4
    for length in lengths:
        found.append(raw[at : at + length])
        at += length
    if at != len(raw):
        raise wrong
    return found


def _bodies(block: Block, raw: bytes) -> dict[int, tuple[int, bytes]]:
    found, at = {}, 0
    try:
        while at < len(raw):
            number, at = varint(raw, at)
            length, at = varint(raw, at)
            size, at = varint(raw, at)
            if at + size > len(raw):
                raise Malformed("a recipe is cut short")
            found[number] = length, raw[at : at + size]
            at += size
    except Malformed as error:
        raise corrupt(volume_path(block.volume), f"a block's bodies are malformed: {error}") from error
    return found
