"""What outsiders vouch for: the published heads under `anchors/`, the time-stamps and cosignatures on them, and the
events that tell of them. Files, events and log are held against each other; whether an outsider counts is the
auditor's choice."""

import base64
import contextlib
import datetime
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from . import timestamp
from .algorithms import NotTrusted, OutsideChain, Refused, Unsupported
from .brackets import UTC, Outside, brackets, is_empty, parse_time, rfc3339
from .directory import Directory
from .epochs import Epochs, WrongEpoch
from .event import Event
from .faults import Fault, Malformed, Missing
from .note import BadSignature, Key, MAX_NOTE_BYTES, Note, Signature, Unsigned
from .policy import Policy
from .report import INVALID, UNVERIFIABLE, VALID, Report

_MAX_FILES = 256
#: A time that is stated in whole seconds may be any of its second.
SECOND = datetime.timedelta(seconds=1)


@dataclass
class Trust:
    """What the auditor brings; `None`: not said."""

    policy: Policy | None = None
    roots: list | None = None
    heads: list[bytes] = field(default_factory=list)
    at: datetime.datetime | None = None


@dataclass
class Told:
    """An anchor that an event tells of."""

    seq: int
    kind: str
    name: str
    size: int
    root: bytes
    checkpoint_sha256: str | None = None
    token_sha256: str | None = None
    time: datetime.datetime | None = None
    line: str | None = None

    @property
    def claim(self) -> str:
        return "time" if self.kind == "timestamp" else "witnesses"


@dataclass(frozen=True)
class Cosignature:
    """A line of a cosigned head: what it states and what it is worth."""

    line: str
    name: str
    #: Whose it is, if it is of somebody who counts.
    key: Key | None
    time: datetime.datetime | None
    verdict: str
    detail: str


def told_by(seq: int, event: Event) -> Told | None:
    """What an event tells of an anchor; `Malformed` when its facts are not those of its kind."""
    kind = event.kind.removeprefix("anchor.")
    if kind not in ("timestamp", "witness", "copy") or kind == event.kind:
        return None
    facts = event.facts

    def text(name: str) -> str:
        if not isinstance(facts.get(name), str):
            raise Malformed(f"its facts lack `{name}`")
        return facts[name]

    size = facts.get("size")
    if type(size) is not int or not 0 <= size < 1 << 64:
        raise Malformed("its facts lack `size`")
    told = Told(seq, kind, "", size, base64.b64decode(text("root")) if _is_root(text("root")) else b"")
    if not told.root:
        raise Malformed("its root is none")
    if kind == "timestamp":
        told.name, told.token_sha256, told.time = text("authority"), text("token_sha256"), parse_time(text("gen_time"))
    elif kind == "witness":
        told.name, told.line = text("witness"), text("signature")
        if isinstance(facts.get("key"), str):
            told.name = facts["key"].partition("+")[0]
        stated = _stated(Note.parse(f"-\n\n{told.line}\n".encode()).signatures[0].bytes)
        said = parse_time(text("time")) if facts.get("time") is not None else None
        if (said.replace(microsecond=0) if said else None) != stated:
            raise Malformed("the time of the cosignature is not the one told")
    else:
        told.name = text("place")
    if kind != "witness":
        told.checkpoint_sha256 = text("checkpoint_sha256")
    return told


def _is_root(text: str) -> bool:
    return re.fullmatch("[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=", text, re.ASCII) is not None


def _stated(signature: bytes) -> datetime.datetime | None:
    """The time in a cosignature; one beyond the calendar states none."""
    seconds = int.from_bytes(signature[:8], "big")
    try:
        return datetime.datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


def published(store: Directory) -> list[int]:
    """Sizes of the heads of which something has been published. An empty directory is what is left of a publication that
    broke off."""
    sizes = [name for name in store.names("anchors") if re.fullmatch("[0-9]{20}", name, re.ASCII)]
    return [int(name) for name in sizes if int(name) < 1 << 64 and not _is_empty(store, f"anchors/{name}")]


def _is_empty(store: Directory, path: str) -> bool:
    try:
        return not store.names(path)
    except (Fault, Missing):
        # What cannot be listed is not empty: whoever reads it says why.
        return False


class Anchors:
    def __init__(self, store: Directory, trust: Trust, epochs: Epochs, root_at: Callable[[int], bytes], report: Report):
        self._store, self._trust, self._epochs, self._root_at, self._report = store, trust, epochs, root_at, report
        self.outside: list[Outside] = []
        #: Published heads that cover events which could not be read.
        self._out_of_reach = 0

    def judge(self, sizes: list[int], told: list[Told]) -> None:
        by_size: dict[int, list[Told]] = {size: [] for size in sizes}
        for one in told:
            by_size.setdefault(one.size, []).append(one)
        # The last head that is the log's: where a later one is not, the change lies between.
        good = 0
        for size in sorted(by_size):
            data = self._head(size, by_size[size], good)
            if data is not None:
                good = size
                self._of_head(size, data, by_size[size])
        if self._out_of_reach:
            for claim in ("time", "witnesses"):
                self._report.say(claim, UNVERIFIABLE,
                                 f"{self._report.unread}, and {self._out_of_reach} published heads are of more")
        self._conclude()

    def _dir(self, size: int) -> str:
        return f"anchors/{size:020}"

    def _read(self, path: str, limit: int) -> bytes | None:
        """A small file, if there is one that may be read."""
        with contextlib.suppress(Missing):
            return self._store.read(path, limit)
        return None

    def _head(self, size: int, told: list[Told], good: int) -> bytes | None:
        """The published head's bytes, if it is the log's."""
        report, path = self._report, f"{self._dir(size)}/checkpoint"
        if report.is_out_of_reach(size):
            self._out_of_reach += 1
            return None
        if size > report.has:
            report.fault("sequence", "removed", report.has, f"a head of {size} events was published ({path}), and the log "
                         f"has {report.has}: its end was cut off")
            return None
        try:
            with contextlib.suppress(Missing):
                self._store.names(self._dir(size))
        except Fault as fault:
            report.fault(told[0].claim if told else "time", fault.what, None, fault.detail)
            return None
        try:
            data = self._read(path, MAX_NOTE_BYTES)
        except Fault as fault:
            report.fault("signature", fault.what, None, fault.detail)
            return None
        if data is None:
            report.lacks(told[0].claim if told else "time", _as_told(path, told))
            return None
        try:
            signed = self._epochs.open(data)
        except WrongEpoch as error:
            report.fault("epoch", "epoch", error.seq, f"{path}: {error}")
            return None
        except (Malformed, BadSignature, Unsigned) as error:
            if isinstance(error, Unsigned) and report.is_out_of_reach(size):
                report.say("signature", UNVERIFIABLE, f"{path}: no key of the log signed it that is known so far: {report.unread}")
            else:
                report.fault("signature", "signature", None, f"{path}: {error or 'no key of the log signed it'}")
            return None
        if signed.cosigned is None:
            report.say("signature", UNVERIFIABLE, "this machine has no code for the log's ML-DSA-44 signatures on published heads")
        # A log from before there were epochs names no such key.
        if signed.cosigned is False and self._epochs.of_size(size).ml_dsa:
            report.fault("signature", "signature", None, f"{path}: the signature of the log's ML-DSA-44 key is missing")
        elif signed.checkpoint.size != size:
            report.fault("signature", "altered", None, f"{path} is the head of {signed.checkpoint.size} events")
        elif self._root_at(size) != signed.checkpoint.root:
            report.fault("content", "altered", good, f"the head of {size} events that was published ({path}) is not that of "
                         f"these events: the change lies at event {good} or behind it, before event {size}")
        else:
            return data
        return None

    def _of_head(self, size: int, data: bytes, told: list[Told]) -> None:
        digest = hashlib.sha256(data).hexdigest()
        for one in told:
            if one.root != self._root_at(size) or one.checkpoint_sha256 not in (None, digest):
                self._report.fault(one.claim, "altered", one.seq,
                                   f"event {one.seq} tells of an anchor of {size} events that is not on this log's head")
        try:
            names = [name.removesuffix(".tsr") for name in self._store.names(self._dir(size)) if name.endswith(".tsr")][:_MAX_FILES]
        except Missing as error:
            self._report.lacks("time", str(error))
            names = []
        names += dict.fromkeys(one.name for one in told if one.kind == "timestamp" and one.name not in names)
        for name in names:
            self._stamp(size, data, name, [one for one in told if one.kind == "timestamp" and one.name == name])
        self._cosigned(size, data, [one for one in told if one.kind == "witness"])
        for one in told:
            if one.kind == "copy":
                self._list("copy", one.name, size, None, one.seq, UNVERIFIABLE,
                           "the head lies at that place: fetch it and hold it against the log (--head FILE)")

    def _list(self, kind, name, size, time, told_at, verdict, detail) -> None:
        self._report.anchors.append({"kind": kind, "name": name, "size": size, "time": rfc3339(time) if time else None,
                                     "told_at": told_at, "verdict": verdict, "detail": detail})

    # --- time-stamps

    def _stamp(self, size: int, checkpoint: bytes, name: str, told: list[Told]) -> None:
        report, path = self._report, f"{self._dir(size)}/{name}.tsr"
        first = told[0].seq if told else None
        if "/" in name or "\0" in name or not name:
            report.fault("time", "format", first, f"an authority cannot be called {name!r}")
            return
        try:
            data = self._read(path, timestamp.MAX_RESPONSE_BYTES)
        except Fault as fault:
            report.fault("time", fault.what, first, fault.detail)
            return
        if data is None:
            report.lacks("time", _as_told(path, told))
            return
        verdict, claims, detail = self._judge_stamp(data, checkpoint)
        digest = hashlib.sha256(data).hexdigest()
        other = next((one for one in told if one.token_sha256 != digest or claims and claims.gen_time != one.time), None)
        if other:
            verdict, detail = INVALID, f"it is not the one that event {other.seq} tells of"
        if verdict == INVALID:
            report.fault("time", "altered", first, f"{path}: {detail}")
        elif claims:
            # An accuracy that is not stated is the authority's policy (RFC 3161, 2.4.2), and most state whole seconds.
            around = SECOND if claims.accuracy_s is None else datetime.timedelta(seconds=claims.accuracy_s)
            earliest, latest = claims.gen_time - around, claims.gen_time + around
            if self._trust.at is None or earliest <= self._trust.at:
                self.outside.append(Outside("timestamp", name, size, latest, [(one.seq, earliest) for one in told], verdict == VALID))
        self._list("timestamp", name, size, claims.gen_time if claims else None, first, verdict, detail)

    def _judge_stamp(self, data: bytes, checkpoint: bytes):
        try:
            token = timestamp.parse_response(data)
        except (Malformed, Refused) as error:
            return INVALID, None, str(error)
        claims, at, imprint = token.claims, self._trust.at, hashlib.sha256(checkpoint).digest()
        if self._trust.roots is None:
            broken = _broken(token, imprint)
            if broken:
                return INVALID, claims, broken
            if at is not None and claims.gen_time > at:
                return UNVERIFIABLE, claims, "its time lies after the time judged as of"
            return UNVERIFIABLE, claims, ("it is a time-stamp of this head; without the authority's root (--roots FILE) nobody "
                                          "vouches for it")
        try:
            verified = timestamp.verify(token, "sha256", imprint, self._trust.roots)
        except NotTrusted as error:
            # Under no root of the auditor's: only what it carries itself can still speak against it.
            broken = _broken(token, imprint)
            return (INVALID, claims, broken) if broken else (UNVERIFIABLE, claims, str(error))
        except Unsupported as error:
            return UNVERIFIABLE, claims, str(error)
        except (Malformed, Refused) as error:
            return INVALID, claims, str(error)
        if at is not None and claims.gen_time > at:
            return UNVERIFIABLE, claims, "its time lies after the time judged as of"
        names = [one.subject.rfc4514_string() for one in (verified.chain[0], verified.chain[-1])]
        return VALID, claims, f"signed by {names[0]} under the root {names[1]}"

    # --- witnesses

    def _cosigned(self, size: int, checkpoint: bytes, told: list[Told]) -> None:
        report, path = self._report, f"{self._dir(size)}/cosigned"
        first = told[0].seq if told else None
        try:
            data = self._read(path, MAX_NOTE_BYTES)
        except Fault as fault:
            report.fault("witnesses", fault.what, first, fault.detail)
            return
        if data is None:
            if told:
                report.lacks("witnesses", _as_told(path, told))
            return
        try:
            if not data.startswith(checkpoint):
                raise Malformed("it does not begin with the checkpoint that was published")
            note = Note.parse(data)
            own = len(Note.parse(checkpoint).signatures)
            lines = data.decode().removesuffix("\n").split("\n")[-len(note.signatures):][own:]
            by = self._judge_cosigned(note, list(zip(lines, note.signatures[own:])), size)
        except (Malformed, BadSignature) as error:
            report.fault("witnesses", "signature", first, f"{path}: {error}")
            return
        for one in told:
            if one.line not in lines:
                report.lacks("witnesses", f"the cosignature by {one.name} in {path}, which event {one.seq} tells of,")
        policy = self._trust.policy
        # Without a policy everybody counts, and is worth nothing.
        counting = [one for one in by if one.verdict == VALID or policy is None and not (
            one.time and self._trust.at and one.time > self._trust.at)]
        enough = policy is not None and bool(counting) and self._enough({one.key for one in counting})
        times = [one.time for one in counting if one.time]
        if times and (enough or policy is None):
            # Of each witness the newest.
            newest = {one.key or one.line: one.name for one in counting}
            self.outside.append(Outside("witness", ", ".join(newest.values()), size, max(times) + SECOND, self._not_before(counting, told), enough))
        for one in by:
            told_at = next((event.seq for event in told if event.line == one.line), None)
            self._list("witness", one.name, size, one.time, told_at, one.verdict, one.detail)

    def _enough(self, keys: set[Key]) -> bool:
        policy = self._trust.policy
        return policy is None or policy.meets_quorum(keys)

    def _not_before(self, counting: list[Cosignature], told: list[Told]) -> list[tuple[int, datetime.datetime]]:
        """From which events on which times hold: nobody knows a cosignature before it is made, and when it was made is the
        witness's word. So a time counts once the quorum has given it, in lines that events have told of; each by the time
        in its own line."""
        lines = {one.line: one for one in counting if one.time}
        newest: dict[Key | None, datetime.datetime] = {}
        bounds: list[tuple[int, datetime.datetime]] = []
        for event in told:
            line = lines.get(event.line)
            if line is None or line.key in newest and newest[line.key] >= line.time:
                continue
            newest[line.key] = line.time
            reached = [time for time in newest.values()
                       if self._enough({key for key, other in newest.items() if other >= time})]
            if reached and (not bounds or max(reached) > bounds[-1][1]):
                bounds.append((event.seq, max(reached)))
        return bounds

    def _judge_cosigned(self, note: Note, lines: list[tuple[str, Signature]], size: int) -> list[Cosignature]:
        """What each of the witnesses' lines is worth."""
        policy, at = self._trust.policy, self._trust.at
        if policy is None:
            why = "without a policy (--policy FILE) nobody says that this witness counts"
            return [Cosignature(line, one.name, None, _stated(one.bytes), UNVERIFIABLE, why) for line, one in lines]
        if not self._epochs.are_known_to(policy):
            return []
        # Any line that is false in the name of a key which the policy knows speaks against the file.
        verified = note.verify(self._epochs.keys_of(size) + policy.witnesses)
        found = []
        for line, one in lines:
            key = next((witness for witness in policy.witnesses if (witness.name, witness.id) == (one.name, one.id)), None)
            time, verdict, why = _stated(one.bytes), VALID, "the policy names this witness"
            if key is None:
                verdict, why = UNVERIFIABLE, "the policy does not name this witness"
            elif key in verified.unverifiable:
                time, verdict, why = None, UNVERIFIABLE, "this machine has no code for its signature"
            elif at is not None and time and time > at:
                time, verdict, why = None, UNVERIFIABLE, "its time lies after the time judged as of"
            found.append(Cosignature(line, one.name, key, time, verdict, why))
        return found

    # --- what they come to

    def known_by(self, seq: int) -> datetime.datetime | None:
        """By when outsiders that the auditor trusts had seen a head with event `seq`, and no later than the time judged as of."""
        times = [one.latest for one in self.outside if one.verified and one.size > seq]
        return min(times + ([self._trust.at] if self._trust.at else []), default=None)

    def _newest(self, kind: str) -> Outside | None:
        return max((one for one in self.outside if one.verified and one.kind == kind), key=lambda one: one.size, default=None)

    def _conclude(self) -> None:
        report, events = self._report, self._report.events
        stamp, witness = self._newest("timestamp"), self._newest("witness")
        for anchor, word in ((stamp, "time-stamped"), (witness, "cosigned")):
            if anchor:
                report.say("time", VALID, f"{anchor.size} of {events} events were {word} by {rfc3339(anchor.latest)} ({anchor.name})")
        if self._trust.roots is not None and not stamp:
            report.lacks("time", "a time-stamp that verifies under the roots given")
        elif not stamp and not witness:
            report.say("time", UNVERIFIABLE, "no outsider has vouched for a time" if not self.outside else
                       "time-stamps or cosignatures are there; whom to trust was not said (--roots, --policy)")
        report.brackets = brackets(self.outside, events)
        if any(is_empty(one) for one in report.brackets):
            report.say("time", UNVERIFIABLE, "outsiders contradict each other: an event lies behind an anchor and before an earlier one")
            if self._trust.roots is not None:
                report.lacks("time", "a time that the outsiders agree on")
        trusted = any(one.verified for one in self.outside)
        reached = max((one.size for one in self.outside if one.verified == trusted), default=0)
        report.unanchored_tail = {"from": min(reached, events), "events": events - min(reached, events), "verified": trusted}
        policy = self._trust.policy
        if witness:
            report.say("witnesses", VALID, f"{witness.size} of {events} events are cosigned ({witness.name})")
        elif policy and policy.quorum is not None:
            report.lacks("witnesses", "a head cosigned by the quorum that the policy asks for")
        elif not self._trust.heads:
            report.say("witnesses", UNVERIFIABLE, "no witness that was named (--policy FILE) has vouched for it")


def _as_told(what: str, told: list[Told]) -> str:
    return f"{what}, which event {told[0].seq} tells of," if told else what


def _broken(token: timestamp.Token, imprint: bytes) -> str | None:
    """What speaks against a token when its own certificates are believed, which shows damage and nothing more."""
    try:
        timestamp.verify(token, "sha256", imprint, token.certificates)
    except (NotTrusted, Unsupported, OutsideChain):
        # Every certificate is a root then and the chain ends at the signer: what else the signature binds cannot be in it.
        return None
    except (Malformed, Refused) as error:
        return str(error)
    return None
