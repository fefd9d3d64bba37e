"""Reading files of a store by their paths within it. Never writes, follows no link out of it."""

import mmap
import pathlib

from .faults import Missing, corrupt


class Directory:
    """A store as a tree of files, each read whole and at most `MAX_FILE_BYTES` long."""

    #: Larger than any file of the format but a volume, which is mapped and not read.
    MAX_FILE_BYTES = 256 << 20

    def __init__(self, root: pathlib.Path):
        self.root = root

    def read(self, path: str) -> bytes | None:
        """The file's bytes; `None` where there is none."""
        try:
            with (self.root / path).open("rb") as file:
                data = file.read(self.MAX_FILE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise corrupt(path, f"it cannot be read: {error.strerror}") from error
        if len(data) > self.MAX_FILE_BYTES:
            raise corrupt(path, "it is longer than any file of a store")
        return data

    def need(self, path: str) -> bytes:
        data = self.read(path)
        if data is None:
            raise Missing(path)
        return data

    def map(self, path: str) -> bytes | mmap.mmap | None:
        """A large file without reading it into memory; `None` where there is none."""
        try:
            with (self.root / path).open("rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError:
            return b""
        except OSError as error:
            raise corrupt(path, f"it cannot be read: {error.strerror}") from error

    def names(self, path: str) -> list[str]:
        """What lies in a directory, in the order of their names; nothing where there is no directory."""
        try:
            return sorted(entry.name for entry in (self.root / path).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise corrupt(path, f"it cannot be listed: {error.strerror}") from error
