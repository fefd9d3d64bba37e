"""Reading files of a store by their paths within it. Never writes; reads nothing but regular files, of whatever a link leads to."""

import mmap
import os
import pathlib
import stat

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
            with self._open(path) as file:
                data = file.read(self.MAX_FILE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise corrupt(path, f"it cannot be read: {error.args[-1]}") from error
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
            with self._open(path) as file:
                if os.fstat(file.fileno()).st_size == 0:
                    return b""
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise corrupt(path, f"it cannot be read: {error.args[-1]}") from error

    def _open(self, path: str):
        """Opens without waiting for whoever writes into a pipe, and refuses what is no regular file."""
        file = open(self.root / path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY))
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
        raise OSError("it is no regular file")

    def names(self, path: str) -> list[str]:
        """What lies in a directory, in the order of their names; nothing where there is no directory."""
        try:
            return sorted(entry.name for entry in (self.root / path).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, ValueError) as error:
            raise corrupt(path, f"it cannot be listed: {error.args[-1]}") from error
