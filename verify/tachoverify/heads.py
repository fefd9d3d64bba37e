"""The heads that the auditor holds: whatever else the store says, the log must extend them."""

from collections.abc import Callable

from .epochs import Epochs, WrongEpoch
from .faults import Malformed
from .note import BadSignature, Checkpoint, Note, Unsigned, decimal, unbase64
from .report import UNVERIFIABLE, VALID, Report

_RECEIPT = b"c2sp.org/tlog-proof@v1\n"
_MAX_HASHES = 64


def receipt_note(data: bytes) -> bytes:
    """The checkpoint in a receipt (C2SP tlog-proof)."""
    head, blank, note = data.partition(b"\n\n")
    lines = head.decode("utf-8", "replace").split("\n")[1:]
    if not blank:
        raise Malformed("a receipt without a checkpoint")
    if lines and lines[0].startswith("extra "):
        unbase64(lines.pop(0).removeprefix("extra "))
    if not lines or not lines[0].startswith("index "):
        raise Malformed("a receipt without an index")
    decimal(lines.pop(0).removeprefix("index "))
    if len(lines) > _MAX_HASHES or any(len(unbase64(line)) != 32 for line in lines):
        raise Malformed("a receipt whose proof is none")
    return note


class Heads:
    def __init__(self, files: list[bytes], report: Report):
        self._report = report
        self._held: list[tuple[bytes, Checkpoint]] = []
        for data in files:
            try:
                note = receipt_note(data) if data.startswith(_RECEIPT) else data
                self._held.append((note, Checkpoint.parse(Note.parse(note).text)))
            except Malformed as error:
                report.lacks("witnesses", f"a head of the log in the file given ({error})")

    def judge(self, epochs: Epochs, root_at: Callable[[int], bytes]) -> None:
        for note, head in self._held:
            self._one(note, head, epochs, root_at)

    def _one(self, note: bytes, head: Checkpoint, epochs: Epochs, root_at: Callable[[int], bytes]) -> None:
        report, size = self._report, head.size
        if head.origin != epochs.origin:
            report.fault("signature", "altered", None, f"the head that you hold is of the log {head.origin}, and this is {epochs.origin}")
            return
        try:
            revoked = epochs.open(note).revoked
        except WrongEpoch as error:
            report.fault("epoch", "epoch", error.seq, f"the head of {size} events that you hold: {error}")
            return
        except (Malformed, BadSignature, Unsigned):
            report.fault("signature", "signature", None, f"the head of {size} events that you hold is not signed by this log's key")
            return
        if revoked and (size > report.events or root_at(size) != head.root):
            report.say("witnesses", UNVERIFIABLE, f"the head of {size} events that you hold is not of this log, but the key that "
                       "signed it was revoked")
        elif size > report.events:
            report.fault("sequence", "removed", report.events,
                         f"you hold a head of {size} events, and the log has {report.events}: its end was cut off")
        elif root_at(size) == head.root:
            report.say("witnesses", VALID, f"the log extends the head of {size} events that you hold")
        else:
            report.fault("content", "altered", None,
                         f"the first {size} events are not those of the head that you hold: it is another history")
