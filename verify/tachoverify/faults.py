"""How the modules of this package say that something is wrong."""


class Fault(Exception):
    """Bytes are there, and are not what they must be. `what` is the kind of fault, in a report's words; `where` begins with the
    path of the file concerned, if it is one file's."""

    def __init__(self, what: str, detail: str, where: str = ""):
        super().__init__(detail)
        self.what = what
        self.detail = detail
        self.where = where


class Missing(Exception):
    """Something that verification needs is not there."""


class Newer(Exception):
    """A format of a later version than this program reads."""


class Malformed(ValueError):
    """Bytes that are not of the format they are read as."""


def corrupt(where: str, detail: str) -> Fault:
    """Broken, as a failing disk breaks it."""
    return Fault("corrupt", f"{where} is damaged: {detail}", where)


def altered(where: str, detail: str) -> Fault:
    """Whole, and not what was written."""
    return Fault("altered", f"{where} is altered: {detail}", where)
