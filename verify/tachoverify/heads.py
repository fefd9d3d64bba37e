"""The heads that the auditor holds: whatever else the store says, the log must extend them."""

import datetime
from collections.abc import Callable

from .epochs import Epochs, WrongEpoch
from .faults import Malformed
from .note import BadSignature, Checkpoint, Note, Unsigned, decimal, unbase64
from .policy import Policy
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
                report.lacks("witnesses", f"a head that can be read, in a file that was given for one ({error}),")

    def judge(self, epochs: Epochs, root_at: Callable[[int], bytes], policy: Policy | None,
              known_by: Callable[[int], datetime.datetime | None]) -> None:
        """`known_by` says by when outsiders that the auditor trusts had seen an event, if not after the time judged as of."""
        for note, head in self._held:
            self._one(note, head, epochs, root_at, policy, known_by)

    def _one(self, note: bytes, head: Checkpoint, epochs: Epochs, root_at: Callable[[int], bytes], policy: Policy | None,
             known_by: Callable[[int], datetime.datetime | None]) -> None:
        report, size = self._report, head.size
        if head.origin != epochs.origin:
            report.of_another_log(head.origin)
            return
        try:
            revoked = epochs.open(note).revoked
        except WrongEpoch as error:
            report.fault("epoch", "epoch", error.seq, f"the head of {size} events that you hold: {error}")
            return
        except (Malformed, BadSignature, Unsigned) as error:
            detail = f"the head of {size} events that you hold is not signed by this log's key"
            if isinstance(error, Unsigned) and report.is_out_of_reach(size):
                report.say("signature", UNVERIFIABLE, f"{detail} that is known so far: {report.unread}")
            else:
                report.fault("signature", "signature", None, detail)
            return
        if size <= report.events and root_at(size) == head.root:
            report.say("witnesses", VALID, f"the log extends the head of {size} events that you hold")
        elif report.is_out_of_reach(size):
            report.say("witnesses", UNVERIFIABLE, f"the log could not be read up to the {size} events of your head")
        elif revoked and not _is_vouched_for(note, head, epochs, policy, known_by(revoked[1])):
            report.lacks("witnesses", f"the head of {size} events that you hold is not of this log, and its key was revoked for it: "
                         "word of somebody outside, from before the revocation, that it was the log's (--policy FILE)")
        elif size > report.has:
            report.fault("sequence", "removed", report.has,
                         f"you hold a head of {size} events, and the log has {report.has}: its end was cut off")
        else:
            report.fault("content", "altered", None,
                         f"the first {size} events are not those of the head that you hold: it is another history")


def _is_vouched_for(data: bytes, head: Checkpoint, epochs: Epochs, policy: Policy | None, latest: datetime.datetime | None) -> bool:
    """Whether those whom the policy names cosigned a head, whose key was revoked for it, while the key was still good.

    Whoever writes the log can revoke its keys and state any time for that. So a cosignature counts for nothing only
    where it states a time by which outsiders had seen the revocation: a thief of the key could have asked for it.
    """
    if policy is None or not epochs.are_known_to(policy):
        return False
    try:
        signers = Note.parse(data).verify(epochs.keys_of(head.size) + policy.witnesses).signers
    except BadSignature:
        return False
    cosigned = policy.in_time(signers, int(latest.timestamp()) if latest else None)
    return bool(cosigned) and policy.meets_quorum(set(cosigned))
