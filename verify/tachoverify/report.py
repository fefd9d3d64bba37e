"""What a verification found: faults, verdicts on each claim, and the exit code they come to.

A claim that something speaks against is invalid. One that nothing speaks against is valid only if something
speaks for it: what was not looked at, or could not be, is unverifiable, and says why.
"""

from dataclasses import dataclass, field

CLAIMS = ("content", "order", "sequence", "signature", "epoch", "time", "witnesses", "bodies")
VALID, INVALID, UNVERIFIABLE = "valid", "invalid", "unverifiable"

#: Faults that are listed, and things that are missing; the rest is counted.
MAX_FAULTS = MAX_MISSING = 100
_MAX_REASONS = 4


@dataclass(frozen=True)
class Found:
    """One thing that is wrong: the claim it refutes, its kind, the first event concerned, a sentence."""

    claim: str
    what: str
    seq: int | None
    detail: str


@dataclass
class Report:
    origin: str = ""
    verifier_key: str = ""
    events: int = 0
    signed_events: int = 0
    unsigned_tail: int = 0
    root: str | None = None
    bodies: int = 0
    body_bytes: int = 0
    gaps: list[int] = field(default_factory=list)
    open_calls: list[int] = field(default_factory=list)
    odd_ends: list[int] = field(default_factory=list)
    #: Events which tell that somebody outside knew another history of the log.
    incidents: list[int] = field(default_factory=list)
    ended: bool = False
    faults: list[Found] = field(default_factory=list)
    fault_count: int = 0
    missing: list[str] = field(default_factory=list)
    missing_count: int = 0
    not_proven: list[str] = field(default_factory=list)
    anchors: list[dict] = field(default_factory=list)
    brackets: list[dict] = field(default_factory=list)
    #: Whether the log could not be read to its end.
    _is_cut: bool = False
    #: Events that the log says it has, whether they could be read or not.
    _said_events: int = 0
    #: Faults in another word than `corrupt`.
    _other_faults: int = 0
    #: The logs that heads are of which the auditor holds and which are not of this one.
    _other_logs: list[str] = field(default_factory=list)
    unanchored_tail: dict = field(default_factory=lambda: {"from": 0, "events": 0, "verified": False})
    #: By claim and verdict: the first reasons, and how many more there were.
    _said: dict[tuple[str, str], tuple[list[str], int]] = field(default_factory=dict)

    # --- what was found

    def fault(self, claim: str, what: str, seq: int | None, detail: str) -> None:
        self.fault_count += 1
        self._other_faults += what != "corrupt"
        self.say(claim, INVALID, detail)
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Found(claim, what, seq, detail))

    def lacks(self, claim: str, what: str) -> None:
        """Something that a claim needs, or that the caller asked for, is not there."""
        self.say(claim, UNVERIFIABLE, f"{what} is missing")
        self.miss(what)

    def miss(self, what: str) -> None:
        self.missing_count += 1
        if len(self.missing) < MAX_MISSING:
            # A clause that goes on where it stands in the sentence of the claim.
            self.missing.append(what.rstrip(","))

    def says(self, events: int) -> None:
        """The log says that it has so many events."""
        self._said_events = events

    @property
    def has(self) -> int:
        """Events that the log has, read or not."""
        return max(self.events, self._said_events)

    def is_out_of_reach(self, size: int) -> bool:
        """Whether a head of `size` events covers some that are there and could not be read. One that is of more than the log
        says it has is of events that are gone, whatever could be read."""
        return self._is_cut and self.events < size <= self._said_events

    def cut(self) -> None:
        """The log could be read no further."""
        self._is_cut = True
        for claim in ("order", "sequence", "epoch", "bodies"):
            self.say(claim, UNVERIFIABLE, self.unread)

    @property
    def unread(self) -> str | None:
        """Why nothing can be said of what lies behind the events that could be read; `None` where all of them were."""
        if not self._is_cut:
            return None
        return f"only the first {self.events} events could be read" if self.events else "none of the events could be read"

    def of_another_log(self, theirs: str) -> None:
        """A head that the auditor holds is of another log."""
        self.lacks("witnesses", f"a head of the log {self.origin} (the one that you hold is of the log {theirs})")
        self._other_logs.append(theirs)

    @property
    def other_log(self) -> str | None:
        """The log that a head is of which the auditor holds, where that it is another is all that is wrong."""
        alone = not self.fault_count and self.missing_count == len(self._other_logs)
        return self._other_logs[0] if self._other_logs and alone else None

    def say(self, claim: str, verdict: str, detail: str) -> None:
        told, more = self._said.get((claim, verdict), ([], 0))
        few = len(told) < _MAX_REASONS
        self._said[claim, verdict] = (told + [detail], more) if few else (told, more + 1)

    # --- what it comes to

    def sort(self) -> None:
        self.faults.sort(key=lambda found: (found.seq is None, found.seq))

    @property
    def claims(self) -> list[dict]:
        return [self._claim(claim) for claim in CLAIMS]

    def _claim(self, claim: str) -> dict:
        for verdict in (INVALID, UNVERIFIABLE, VALID):
            reasons, more = self._said.get((claim, verdict), ([], 0))
            if reasons:
                break
        else:
            verdict, reasons = UNVERIFIABLE, ["nothing that was found speaks for it"]
        detail = "; ".join(reasons) + (f"; and {more} more" if more else "")
        return {"claim": claim, "verdict": verdict, "detail": detail}

    @property
    def exit_code(self) -> int:
        if self.fault_count:
            return 10
        if self.missing_count:
            return 12
        if self.gaps or self.incidents or self.odd_ends or self.ended and self.open_calls:
            return 11
        return 0

    @property
    def verdict(self) -> str:
        verdicts = {claim["claim"]: claim["verdict"] for claim in self.claims}
        outside = VALID in (verdicts.pop("time"), verdicts.pop("witnesses"))
        # Who has only the store can be shown another one that is as consistent: that is not all that "verified" means.
        how, but = (("verified in part", "; what is UNVERIFIABLE could not be told") if set(verdicts.values()) != {VALID} else
                    ("verified", "") if outside else ("verified in itself", "; nobody outside vouches for it"))
        bad = "ALTERED" if self._other_faults else "DAMAGED: broken by a failing disk, or on purpose"
        told = "verified, but somebody outside knew another history of this log" if self.incidents else f"{how}, with recorded gaps{but}"
        return {0: how + but, 10: bad, 11: told, 12: "NOT VERIFIABLE"}[self.exit_code]

    def as_json(self) -> dict:
        fields = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        fields["faults"] = [vars(found) for found in self.faults]
        return fields | {"claims": self.claims, "verdict": self.verdict, "exit_code": self.exit_code}

    def as_text(self) -> str:
        lines = [self.verdict, "", f"  log         {self.origin}", f"  events      {self.events} re-hashed",
                 f"  bodies      {self.bodies} re-hashed, {self.body_bytes} bytes"]
        if self.root:
            lines.append(f"  checkpoint  {self.signed_events} events signed, root {self.root}")
        lines += [f"  key         {self.verifier_key}", ""]
        for claim in self.claims:
            lines.append(f"  {claim['claim']:<10} {claim['verdict'].upper():<13} {claim['detail']}".rstrip())
        if self.faults:
            first = self.faults[0]
            place = "the log" if first.seq is None else f"event {first.seq}"
            lines += ["", f"first bad record: {place}", f"  {first.what}: {first.detail}"]
            lines += [f"  {'the log' if one.seq is None else f'event {one.seq}'}: {one.what}: {one.detail}"
                      for one in self.faults[1:10]]
            if self.fault_count > 10:
                lines.append(f"  and {self.fault_count - 10} more")
        for heading, sentences in (("missing", self.missing), ("this does not prove", self.not_proven)):
            if sentences:
                lines += ["", f"{heading}:"] + [f"  - {sentence}" for sentence in sentences]
            if sentences is self.missing and self.missing_count > len(sentences):
                lines.append(f"  and {self.missing_count - len(sentences)} more")
        if self.gaps:
            lines += ["", f"{len(self.gaps)} recorded gaps: {', '.join(f'#{seq}' for seq in self.gaps[:10])}"]
        # What a hostile store put into a sentence must not move the cursor of whoever reads it, nor begin a line.
        return "".join(printable(line) + "\n" for line in lines)


def printable(line: str) -> str:
    """On one line, whatever it holds, and without commands to a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
