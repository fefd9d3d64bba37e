"""Which key may sign for which part of the log.

Epoch n covers the entries from start(n) to start(n + 1): its key may sign a checkpoint of size M only if
start(n) < M <= start(n + 1). An old key over a larger tree and a new key over a smaller one count for nothing. The
chain begins at the key in `log/vkey` and goes on through the log's own events `key.epoch` and `key.revoked`.
"""

from dataclasses import dataclass

from .event import Event
from .faults import Malformed
from .note import BadSignature, Checkpoint, Key, ML_DSA, ED25519, Note, Unsigned, decimal, unbase64
from .policy import Policy
from .tlog import EMPTY_ROOT

_EPOCH = "tachograph/key-epoch/v1"
_REVOKED = "tachograph/key-revoked/v1"


class WrongEpoch(Exception):
    """A key of this log signed what is not its epoch's; `seq` is the first entry that it had no say about."""

    def __init__(self, seq: int, detail: str):
        super().__init__(detail)
        self.seq = seq


@dataclass
class Epoch:
    number: int
    start: int
    root: bytes
    ed25519: Key
    ml_dsa: Key | None = None
    event: int | None = None
    #: The largest size for which its signatures count, where it was revoked, and the event that says so.
    revoked: tuple[int, int] | None = None


@dataclass(frozen=True)
class Signed:
    """A checkpoint that the key of its epoch signed."""

    checkpoint: Checkpoint
    epoch: int
    #: Where the key was revoked for this size: the largest for which it counts, and the event that says so.
    revoked: tuple[int, int] | None
    #: The ML-DSA-44 signature: True when it verified, False when there is none, None when this machine cannot tell.
    cosigned: bool | None


class Epochs:
    def __init__(self, pinned: Key):
        self.origin = pinned.name
        self.all = [Epoch(1, 0, EMPTY_ROOT, pinned)]

    @property
    def in_force(self) -> Epoch:
        return self.all[-1]

    def of_size(self, size: int) -> Epoch:
        return next((epoch for epoch in reversed(self.all) if epoch.start < size), self.all[0])

    def keys_of(self, size: int) -> list[Key]:
        """The keys that may sign a checkpoint of `size`."""
        epoch = self.of_size(size)
        return [epoch.ed25519] + ([epoch.ml_dsa] if epoch.ml_dsa else [])

    def are_known_to(self, policy: Policy) -> bool:
        """Whether the policy names one of the log's keys. Any of them will do: the one before a key signed its hand-over,
        and the key itself signed the tree that it took over."""
        return any(epoch.ed25519 in policy.logs for epoch in self.all)

    # --- the log's own account of its keys

    def take(self, seq: int, event: Event) -> None:
        """Takes an event about keys into the chain; `Malformed` when its place, keys or signatures do not allow it."""
        if event.source != "recorder":
            raise Malformed("only the recorder itself tells of its keys")
        text = event.facts.get("note")
        if not isinstance(text, str):
            raise Malformed("it has no note")
        note = Note.parse(text.encode("utf-8", "surrogatepass"))
        try:
            (self._begin if event.kind == "key.epoch" else self._revoke)(seq, event.facts, note)
        except (BadSignature, Unsigned) as error:
            raise Malformed("its note is not signed by the keys that must have signed it") from error

    def _begin(self, seq: int, facts: dict, note: Note) -> None:
        first, origin, number, size, root, ed25519, ml_dsa = _fields(note.text, _EPOCH, ("epoch ", "size ", "root ", "key ", "key "))
        number, size, root = decimal(number), decimal(size), unbase64(root)
        keys = Key.parse(ed25519), Key.parse(ml_dsa)
        if [key.type for key in keys] != [ED25519, ML_DSA] or any(key.name != self.origin for key in keys):
            raise Malformed("its keys are not one of Ed25519 and one of ML-DSA-44 in the log's name")
        if origin != self.origin or len(root) != 32 or facts.get("epoch") != number:
            raise Malformed("it is not about an epoch of this log, or not the one it says")
        if not number or (number == 1) != (size == 0) or size == 0 and root != EMPTY_ROOT:
            raise Malformed("the first epoch, and no other, begins at size 0")
        last = self.in_force
        signers = [signer.key for signer in note.verify([keys[0], last.ed25519]).signers]
        if keys[0] not in signers or last.ed25519 not in signers:
            raise Malformed("its note is not signed by both keys")
        if number == 1:
            if last.number != 1 or last.event is not None or keys[0] != last.ed25519:
                raise Malformed("the first epoch began long ago, or with another key")
            last.ml_dsa, last.event = keys[1], seq
            return
        if number != last.number + 1:
            raise Malformed(f"epoch {number} does not follow epoch {last.number}")
        # The key that ends has signed its own beginning, and nothing that is still to come.
        if size <= (last.start if last.event is None else last.event) or size > seq:
            raise Malformed(f"epoch {number} cannot begin at size {size}")
        if any(keys[0] == epoch.ed25519 or keys[1] == epoch.ml_dsa for epoch in self.all):
            raise Malformed(f"epoch {number} uses a key of an earlier one")
        self.all.append(Epoch(number, size, root, *keys, seq))

    def _revoke(self, seq: int, facts: dict, note: Note) -> None:
        _, origin, number, size, reason = _fields(note.text, _REVOKED, ("epoch ", "size ", "reason "))
        number, size = decimal(number), decimal(size)
        if origin != self.origin or (facts.get("epoch"), facts.get("size"), facts.get("reason")) != (number, size, reason):
            raise Malformed("it does not say what its note says")
        if not reason or len(reason.encode()) > 1000:
            raise Malformed("the reason is not a line of 1 to 1,000 bytes")
        note.verify([self.in_force.ed25519])
        epoch = next((epoch for epoch in self.all if epoch.number == number), None)
        if epoch is None or epoch is self.in_force:
            raise Malformed(f"there is no epoch {number} that could be revoked")
        if not epoch.start <= size < self.all[number].start:
            raise Malformed(f"epoch {number} does not cover size {size}")
        if epoch.revoked is None or size < epoch.revoked[0]:
            epoch.revoked = size, seq

    # --- heads

    def open(self, data: bytes) -> Signed:
        """Reads a head, believing it only when the key that was in force at its size signed it.

        `Malformed`, `Unsigned`, `BadSignature`; `WrongEpoch` when it was another key of this log.
        """
        note = Note.parse(data)
        claimed = Checkpoint.parse(note.text)
        epoch = self.of_size(claimed.size)
        try:
            checkpoint, verified = Checkpoint.open(note, self.origin, self.keys_of(claimed.size))
        except Unsigned:
            self._by_another(note, claimed.size, epoch)
            raise
        signers = [signer.key for signer in verified.signers]
        if epoch.ed25519 not in signers:
            # The other key of the epoch did, so that it is no stranger's.
            raise BadSignature("the Ed25519 signature is missing")
        cosigned = True if epoch.ml_dsa in signers else None if epoch.ml_dsa in verified.unverifiable else False
        revoked = epoch.revoked if epoch.revoked and checkpoint.size > epoch.revoked[0] else None
        return Signed(checkpoint, epoch.number, revoked, cosigned)

    def _by_another(self, note: Note, size: int, right: Epoch) -> None:
        for epoch in self.all:
            try:
                note.verify([epoch.ed25519])
            except (Unsigned, BadSignature):
                continue
            end = self.all[epoch.number].start if epoch.number < len(self.all) else None
            if end is not None and end < size:
                raise WrongEpoch(end, f"the key of epoch {epoch.number} signed {size} events, but it ended at {end}")
            raise WrongEpoch(right.start, f"the key of epoch {epoch.number}, which began at {epoch.start}, signed the {size} "
                             f"events of epoch {right.number}")


def _fields(text: str, first: str, prefixes: tuple[str, ...]) -> list[str]:
    lines = text.split("\n")
    if len(lines) != len(prefixes) + 3 or lines[0] != first or lines.pop() or not lines[1]:
        raise Malformed(f"its note is not of the form {first}")
    for line, prefix in zip(lines[2:], prefixes):
        if not line.startswith(prefix):
            raise Malformed(f"its note has no line `{prefix.strip()}`")
    return lines[:2] + [line.removeprefix(prefix) for line, prefix in zip(lines[2:], prefixes)]
