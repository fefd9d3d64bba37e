"""The Merkle tree of RFC 6962 and its tiles as C2SP tlog-tiles lays them out."""

import hashlib
from collections.abc import Callable, Iterator, Sequence

from .faults import Malformed

WIDTH = 256
MAX_ENTRY_BYTES = 65535
MAX_BUNDLE_BYTES = (MAX_ENTRY_BYTES + 2) * WIDTH
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over `hashes`, all but the last of which stand for equally large, complete subtrees."""
    level = list(hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        odd = [level.pop()] if len(level) & 1 else []
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)] + odd
    return level[0]


class Tree:
    """A tree that grows leaf by leaf; `tile` is told of every hash tile that becomes full."""

    def __init__(self, tile: Callable[[int, int, list[bytes]], None]):
        self.size = 0
        self._tile = tile
        self._leaves = bytearray()
        #: Roots of the full tiles of leaves.
        self._tiles: list[bytes] = []
        #: For each level of tiles the hashes of the tile that is not full, and how many are.
        self._open: list[list[bytes]] = [[]]
        self._full: list[int] = [0]

    def push(self, entry: bytes) -> None:
        self.size += 1
        level, one = 0, leaf_hash(entry)
        self._leaves += one
        while True:
            if level == len(self._open):
                self._open.append([])
                self._full.append(0)
            self._open[level].append(one)
            if len(self._open[level]) < WIDTH:
                return
            full = self._open[level]
            self._open[level] = []
            self._tile(level, self._full[level], full)
            self._full[level] += 1
            one = root_of(full)
            if level == 0:
                self._tiles.append(one)
            level += 1

    def partial(self) -> list[tuple[int, int, list[bytes]]]:
        """Level, index and hashes of the tiles that are not full, as far as they hold something."""
        return [(level, self._full[level], hashes) for level, hashes in enumerate(self._open) if hashes]

    def root_at(self, size: int) -> bytes:
        """The root that the tree had when it was of `size` leaves."""
        full, rest = divmod(size, WIDTH)
        leaves = self._leaves[full * WIDTH * 32 : size * 32]
        last = [root_of([bytes(leaves[at : at + 32]) for at in range(0, rest * 32, 32)])] if rest else []
        return root_of(self._tiles[:full] + last)

    def root(self) -> bytes:
        """The root of the tree as it stands: each level's open tile, and what the levels below it leave over."""
        right: list[bytes] = []
        for hashes in self._open:
            if hashes or right:
                right = [root_of(hashes + right)]
        return right[0] if right else EMPTY_ROOT


def tile_name(level: int | str, index: int, width: int = WIDTH) -> str:
    """`tile/LEVEL/INDEX[.p/WIDTH]`; the level `entries` is the bundles'."""
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    path = f"tile/{level}/{'/'.join(groups)}"
    return path if width == WIDTH else f"{path}.p/{width}"


def entries(bundle: bytes) -> Iterator[bytes]:
    """The entries of a bundle; `Malformed` when one is cut off or there are more than a bundle can have."""
    at = count = 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        if at + 2 > len(bundle) or end > len(bundle):
            raise Malformed("ends inside an entry")
        if count == WIDTH:
            raise Malformed("has more than 256 entries")
        yield bundle[at + 2 : end]
        at, count = end, count + 1


# --- proofs (RFC 9162, 2.1.3.2 and 2.1.4.2)


def inclusion_holds(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    if not 0 <= index < size or any(len(one) != 32 for one in (leaf, root, *proof)):
        return False
    first, last, found = index, size - 1, leaf
    for step in proof:
        if not last:
            return False
        if first & 1 or first == last:
            found = node_hash(step, found)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            found = node_hash(found, step)
        first, last = first >> 1, last >> 1
    return not last and found == root


def consistency_holds(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    if old == new:
        return not proof and old_root == new_root and (old > 0 or old_root == EMPTY_ROOT)
    if not 0 <= old < new or any(len(one) != 32 for one in (old_root, new_root, *proof)):
        return False
    if not old:
        return not proof and old_root == EMPTY_ROOT
    steps = list(proof)
    if not old & (old - 1):
        steps.insert(0, old_root)
    if not steps:
        return False
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    small = large = steps[0]
    for step in steps[1:]:
        if not last:
            return False
        if first & 1 or first == last:
            small, large = node_hash(step, small), node_hash(step, large)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            large = node_hash(large, step)
        first, last = first >> 1, last >> 1
    return not last and small == old_root and large == new_root
