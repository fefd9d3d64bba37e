"""Reading what somebody else may have put at a path, or named: a regular file, up to a bound."""

import errno
import os
import pathlib
import stat
from typing import BinaryIO

#: Opening fails so because of what stands there.
_OF_NO_FILE = {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENAMETOOLONG, errno.EISDIR}


class NoFile(Exception):
    """What stands there is a pipe, a device, a directory, a socket or links in a circle."""


class TooLong(Exception):
    """There is more in it than a reader of it takes."""


def open_regular(path: pathlib.Path) -> BinaryIO:
    """Opens a regular file, or a link to one, without waiting for whoever writes into a pipe; `OSError`, `ValueError`, `NoFile`."""
    try:
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError as error:
        if error.errno in _OF_NO_FILE:
            raise NoFile("it is not a regular file") from error
        raise
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise NoFile("it is not a regular file")


def read_regular(path: pathlib.Path, limit: int) -> bytes:
    """A regular file of at most `limit` bytes; as `open_regular`, and `TooLong`."""
    with open_regular(path) as file:
        # It may grow while it is read, and one that is longer is not read at all.
        data = file.read(limit + 1) if os.fstat(file.fileno()).st_size <= limit else None
    if data is None or len(data) > limit:
        raise TooLong(f"it has more than {limit} bytes")
    return data
