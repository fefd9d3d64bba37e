"""The log as it lies in a store: bundles and hash tiles, and the tail of the write-ahead log behind them."""

from collections.abc import Iterator

from . import tlog
from .crc32c import crc32c
from .directory import Directory
from .faults import Malformed, Missing, altered, corrupt
from .wal import Tail
from .zstd import ZstdError, decompress

#: A skippable frame (RFC 8878, 3.1.2) of four bytes, the CRC-32C of what stands before it.
_CHECK_HEADER = bytes([0x5C, 0x2A, 0x4D, 0x18, 4, 0, 0, 0])


class Log:
    def __init__(self, store: Directory, settled: int, tail: Tail):
        self._store = store
        self.settled = settled
        self._tail = tail

    @property
    def size(self) -> int:
        return self.settled + len(self._tail.events)

    def events(self) -> Iterator[bytes]:
        """Every event in order; `Fault` or `Missing` at the first that cannot be read."""
        following = 0
        while following < self.settled:
            index = following // tlog.WIDTH
            needed = min(tlog.WIDTH, self.settled - following)
            data, width = self._bundle(index, needed)
            held = 0
            try:
                for entry in tlog.entries(data):
                    held += 1
                    if held <= needed:
                        yield entry
            except Malformed as error:
                raise corrupt(f"event {following + min(held, needed)}", f"its entry bundle {error}") from error
            if held < needed:
                raise altered(f"event {following + held}", "its entry bundle is cut short")
            following += needed
            if held != width:
                raise altered(f"event {following}", f"its entry bundle holds {held} entries where its name says {width}")
        yield from self._tail.events

    def tile(self, level: int, index: int, width: int) -> list[bytes]:
        """The hashes of a tile on disk, at least so many; none where it is not there or has the wrong length."""
        data, found = self._widest(level, index, width, "")
        if data is None or len(data) != found * 32:
            return []
        return [data[at : at + 32] for at in range(0, len(data), 32)]

    def _bundle(self, index: int, width: int) -> tuple[bytes, int]:
        path = f"log/{tlog.tile_name('entries', index)}.zst"
        stored, found = self._widest("entries", index, width, ".zst")
        if stored is None:
            # A log of another tool keeps its bundles plain.
            plain, found = self._widest("entries", index, width, "")
            if plain is None:
                raise Missing(f"log/{tlog.tile_name('entries', index, width)}.zst")
            return plain, found
        frame, check = stored[:-12], stored[-12:]
        if len(check) != 12:
            raise corrupt(path, "it is cut short")
        if check != _CHECK_HEADER + crc32c(frame).to_bytes(4, "little"):
            raise corrupt(path, "its checksum is wrong")
        try:
            return decompress(frame, tlog.MAX_BUNDLE_BYTES), found
        except ZstdError as error:
            raise corrupt(path, f"it does not decompress: {error}") from error

    def _widest(self, level: int | str, index: int, width: int, suffix: str) -> tuple[bytes | None, int]:
        """The file of exactly that width, which was synced when it was settled; else the full one, else a wider one."""
        full = f"log/{tlog.tile_name(level, index)}"
        if width < tlog.WIDTH and (data := self._store.read(f"{full}.p/{width}{suffix}")) is not None:
            return data, width
        if (data := self._store.read(full + suffix)) is not None:
            return data, tlog.WIDTH
        found = [int(name.removesuffix(suffix)) for name in self._store.names(f"{full}.p")
                 if name.endswith(suffix) and name.removesuffix(suffix).isascii() and name.removesuffix(suffix).isdigit()]
        for wider in sorted((one for one in found if width <= one < tlog.WIDTH), reverse=True):
            if (data := self._store.read(f"{full}.p/{wider}{suffix}")) is not None:
                return data, wider
        return None, 0
