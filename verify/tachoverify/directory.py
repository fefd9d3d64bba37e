"""Reading files of a store by their paths within it. Never writes; reads nothing but regular files, of whatever a link leads to.

One rule for all of them. What is not there is missing, and so is what may not be read. What stands in the place of a file and
is none (a pipe, a device, a directory, links in a circle), or in the place of a directory on the way to it, is that file,
altered; one that is longer than any can be, or that the medium does not give back, is that file, damaged.
"""

import errno
import mmap
import os
import pathlib

from .faults import Fault, Missing, altered, corrupt
from .regular import NoFile, TooLong, open_regular, read_regular

#: Listing fails so because of what stands there.
_OF_NO_DIRECTORY = {errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR}


class Directory:
    """A store as a tree of files, each read whole and at most `MAX_FILE_BYTES` long."""

    #: Larger than any file of the format but a volume, which is mapped and not read.
    MAX_FILE_BYTES = 256 << 20

    def __init__(self, root: pathlib.Path):
        self.root = root

    def read(self, path: str, limit: int = MAX_FILE_BYTES) -> bytes | None:
        """The file's bytes, at most `limit` if it is what it should be; `None` where there is none."""
        try:
            return read_regular(self.root / path, limit)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, NoFile, TooLong) as error:
            raise _refused(path, error) from error

    def need(self, path: str) -> bytes:
        data = self.read(path)
        if data is None:
            raise Missing(path)
        return data

    def map(self, path: str) -> bytes | mmap.mmap | None:
        """A large file without reading it into memory; `None` where there is none."""
        try:
            with open_regular(self.root / path) as file:
                if os.fstat(file.fileno()).st_size == 0:
                    return b""
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, NoFile) as error:
            raise _refused(path, error) from error

    def names(self, path: str) -> list[str]:
        """What lies in a directory, in the order of their names; nothing where it is not there."""
        try:
            return sorted(entry.name for entry in (self.root / path).iterdir())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _OF_NO_DIRECTORY:
                raise altered(path, "it is not a directory") from error
            raise _refused(path, error) from error


def _refused(path: str, error: Exception) -> Fault | Missing:
    if isinstance(error, PermissionError):
        return Missing(f"permission to read {path}")
    if isinstance(error, NoFile):
        return altered(path, str(error))
    if isinstance(error, NotADirectoryError):
        return altered(path, "what it should lie in is not a directory")
    if isinstance(error, TooLong):
        return corrupt(path, "it is longer than it can be")
    return corrupt(path, f"it cannot be read: {error.args[-1]}")
