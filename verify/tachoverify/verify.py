"""The verification of a store: every event and every body re-hashed, every signature checked."""

import base64
import pathlib
from dataclasses import dataclass

from . import event as events
from .anchors import Anchors, Told, Trust, published, told_by
from .brackets import Outside
from .directory import Directory
from .epochs import Epochs, WrongEpoch
from .faults import Fault, Malformed, Missing, Newer, corrupt
from .heads import Heads
from .keyring import Keyring, Locked, Recipient
from .log import Log
from .note import BadSignature, Checkpoint, Key, Note, Unsigned
from .report import CLAIMS, UNVERIFIABLE, VALID, MAX_FAULTS, Report
from .state import check_format, read_state
from .tlog import Tree, WIDTH, tile_name
from .vault import Vault
from .wal import read_tail


@dataclass
class Options(Trust):
    """What the auditor brings: whom to trust, what to hold the store against. Nothing of it lies in the store."""

    vault_key: Recipient | None = None


def verify(root: pathlib.Path, options: Options) -> Report:
    """The report on the store at `root`. Whatever is wrong with it is in the report."""
    report = Report()
    try:
        if not root.is_dir():
            raise Missing(f"a record in {root}")
        Verification(Directory(root), options, report).run()
    except Fault as fault:
        refuted = _resting_on(fault.where)
        report.fault(refuted, fault.what, None, fault.detail)
        for claim in CLAIMS:
            if claim != refuted:
                report.say(claim, UNVERIFIABLE, f"nothing was read, for {fault.detail}")
    except (Missing, Newer) as error:
        report.lacks("content", str(error)) if isinstance(error, Missing) else report.miss(str(error))
    report.sort()
    return report


def _resting_on(path: str) -> str:
    """The claim that cannot be verified without that file."""
    files = {"log/checkpoint": "signature", "log/vkey": "epoch", "state": "sequence", "vault/": "bodies", "anchors": "time"}
    return next((claim for file, claim in files.items() if path.startswith(file)), "content")


def _read_key(store: Directory) -> Key:
    data = store.need("log/vkey")
    try:
        key = Key.parse(data.decode().removesuffix("\n"))
    except (UnicodeDecodeError, Malformed) as error:
        raise corrupt("log/vkey", f"it is not a verifier key: {error}") from error
    if f"{key}\n".encode() != data:
        raise corrupt("log/vkey", "it is not a verifier key")
    return key


class Verification:
    def __init__(self, store: Directory, options: Options, report: Report):
        check_format(store)
        self.store = store
        self.options = options
        self.report = report
        self.key = _read_key(store)
        report.origin, report.verifier_key = self.key.name, str(self.key)
        self.epochs = Epochs(self.key)
        self.told: list[Told] = []
        self._look()
        if self.ended and self._claimed() != self.log.size:
            # Of a recorder that has ended everything is signed, if it had not ended only just now.
            self._look()
        # What events tell of was published before them, and maybe after the first look.
        since = (size for size in published(store) if size <= self.log.size)
        self.published = sorted({*self.published, *since})
        self.keyring = Keyring(store, self.key.name, options.vault_key)
        self.vault = Vault(store, self.state, self.tail, self.keyring, self.key.name)
        report.ended = self.ended
        self.tree = Tree(self._compare_full)
        #: Hash tiles that differ from the events, and the first event at which they do.
        self.bad_tiles: list[tuple[str, int | None]] = []
        self.streams: dict[int, int] = {}
        self.open_calls: set[int] = set()
        #: Events with bodies that could not be decrypted, by why.
        self.locked: dict[str, list[int]] = {}
        #: The same by the file of a key that is missing.
        self.keyless: dict[str, list[int]] = {}
        #: To whom the starts of the recorder say that keys are wrapped; None where one of them does not say.
        self.recipients: set[str] | None = set()
        self.starts = 0

    def _look(self) -> None:
        """What is there, as it goes together: a recorder may be at work."""
        # First what was signed: no head that is looked at may be newer than the events.
        self.checkpoint = self.store.read("log/checkpoint")
        self.published = published(self.store)
        self.state = read_state(self.store)
        self.tail = read_tail(self.store, self.state)
        self.log = Log(self.store, self.state.size, self.tail)
        self.ended = self.state.phase == "ended" and not self.tail.events

    def _claimed(self) -> int | None:
        """The size that the checkpoint claims to sign; believed only once its signature is."""
        try:
            return Checkpoint.parse(Note.parse(self.checkpoint or b"").text).size
        except Malformed:
            return None

    def run(self) -> None:
        report = self.report
        report.says(self.log.size)
        heads = Heads(self.options.heads, report)
        try:
            for line in self.log.events():
                self._event(line)
        except (Fault, Missing) as error:
            what, detail = (error.what, error.detail) if isinstance(error, Fault) else ("removed", f"{error} is missing")
            report.fault("content", what, report.events, detail)
            report.cut()
        self._judge_epochs()
        self._pin(not report.unread)
        self._judge_checkpoint()
        for fault in self.vault.faults_of_the_rest(report.ended):
            self._body_fault(fault, None)
        anchors = Anchors(self.store, self.options, self.epochs, self.tree.root_at, report)
        anchors.judge(self.published, self.told)
        heads.judge(self.epochs, self.tree.root_at, self.options.policy, anchors.known_by)
        self._finish(anchors.outside)

    def _finish(self, outside: list[Outside]) -> None:
        report = self.report
        report.open_calls = sorted(self.open_calls)
        report.unsigned_tail = report.events - min(report.signed_events, report.events)
        report.say("order", VALID, f"{report.events} events stand at the places they name")
        report.say("sequence", VALID, f"the counters of {len(self.streams)} streams have no hole")
        for fault in self.vault.unusable.values():
            self._body_fault(fault, None)
        for seq, *told in self.vault.sealed:
            try:
                self.vault.check_sealed(*told)
            except Fault as fault:
                report.fault("bodies", fault.what, seq, fault.detail)
        for path in self.vault.missing.values():
            report.lacks("bodies", path)
        for path in self.vault.strangers():
            report.fault("bodies", "altered", None, f"{path} holds a key under another keyring key than the one that opens"
                                                    " the others: it is of another store")
        for path in sorted(self.keyring.emptied):
            report.lacks("bodies", f"the key in {path}, which holds none for anybody,")
        for to, path in self.keyring.wrapped_to.items():
            # Events that could not be read may name more.
            if self.starts and self.recipients is not None and not self.recipients & set(to) and not report.unread:
                report.lacks("bodies", f"the key in {path}, which is for {', '.join(to)} and for nobody whom the log names,")
        for why, seqs in self.locked.items():
            detail = f"{why}: {len(seqs)} bodies, from event {seqs[0]} on"
            report.say("bodies", UNVERIFIABLE, detail)
            # Asked for: the auditor brought a key, and it does not open them.
            if self.options.vault_key:
                report.miss(f"a key that fits ({detail})")
        for path, seqs in self.keyless.items():
            report.lacks("bodies", f"{path}, to open {len(seqs)} bodies from event {seqs[0]} on,")
        report.say("bodies", VALID, f"{report.bodies} bodies match what their events commit to")
        report.not_proven = self._not_proven(outside)

    # --- events

    def _event(self, line: bytes) -> None:
        seq = self.report.events
        self.tree.push(line)
        if self.tree.size == self.log.settled:
            for level, index, hashes in self.tree.partial():
                self._compare(level, index, hashes)
        self.report.events += 1
        try:
            event = events.parse(line)
        except Malformed as error:
            self.report.fault("content", "format", seq, str(error))
            return
        self._place(seq, event)
        self._of_the_log(seq, event)
        for body in event.bodies:
            try:
                self.vault.check(body)
            except Fault as fault:
                self._body_fault(fault, seq)
            except Locked as locked:
                self.locked.setdefault(str(locked), []).append(seq)
            except Missing as error:
                # Without a key bodies cannot be opened, and nothing speaks against them.
                if str(error).endswith((".key", ".seed")):
                    self.keyless.setdefault(str(error), []).append(seq)
                # That volume is named once.
                elif not (self.vault.missing or self.vault.unusable):
                    self.report.fault("bodies", "removed", seq, f"{error} is missing")
            else:
                self.report.bodies += 1
                self.report.body_bytes += body.len

    def _body_fault(self, fault: Fault, seq: int | None) -> None:
        self.vault.note(fault)
        self.report.fault("bodies", fault.what, seq, fault.detail)

    def _of_the_log(self, seq: int, event: events.Event) -> None:
        """What an event tells of the log itself: its keys, its sealed volumes, its anchors."""
        try:
            if event.kind in ("key.epoch", "key.revoked"):
                try:
                    self.epochs.take(seq, event)
                except Malformed as error:
                    self.report.fault("epoch", "epoch", seq, f"event {seq}: {error}")
            elif event.kind == "recorder.start" and event.source == "recorder":
                self._started(seq, event.facts)
            elif event.kind == "vault.sealed":
                self.vault.told(seq, event.facts)
            elif event.kind == "anchor.failed" and event.source == "recorder" and event.facts.get("incident") is True:
                self.report.incidents.append(seq)
            else:
                told = told_by(seq, event)
                self.told += [told] if told else []
        except Malformed as error:
            self.report.fault("content", "format", seq, str(error))

    def _started(self, seq: int, facts: dict) -> None:
        self.starts += 1
        recipient = facts.get("vault_recipient")
        if recipient is not None and not isinstance(recipient, str):
            raise Malformed(f"event {seq}: vault_recipient is no name")
        if "vault_recipient" not in facts:
            self.recipients = None
        elif recipient and self.recipients is not None:
            self.recipients.add(recipient)

    def _place(self, seq: int, event: events.Event) -> None:
        """Whether an event follows those before it, in the log and in its stream, and what it is to a call."""
        report = self.report
        if event.seq != seq:
            report.fault("order", "order", seq, f"event {event.seq} stands at place {seq} of the log")
        expected = self.streams.get(event.stream)
        self.streams[event.stream] = event.n + 1
        begins = expected is None and event.n == 0 and event.stream == seq
        if not begins and expected != event.n:
            report.fault("sequence", "order", seq, f"number {event.n} of stream {event.stream} does not follow")
        if event.is_gap:
            report.gaps.append(seq)
        elif event.opens:
            self.open_calls.add(seq)
        elif event.closes:
            if event.call in self.open_calls:
                self.open_calls.remove(event.call)
            else:
                report.odd_ends.append(seq)

    # --- tiles

    def _compare_full(self, level: int, index: int, hashes: list[bytes]) -> None:
        if self.log.settled >= (index + 1) * WIDTH ** (level + 1):
            self._compare(level, index, hashes)

    def _compare(self, level: int, index: int, hashes: list[bytes]) -> None:
        """Notes a tile that is missing or differs from the hashes of the events."""
        try:
            told = self.log.tile(level, index, len(hashes))
        except (Fault, Missing):
            told = []
        if told[: len(hashes)] == hashes or len(self.bad_tiles) >= MAX_FAULTS:
            return
        seq = None
        if level == 0:
            seq = next((index * WIDTH + at for at, (here, there) in enumerate(zip(hashes, told)) if here != there), None)
        self.bad_tiles.append((f"log/{tile_name(level, index, len(hashes))}", seq))

    # --- keys and the checkpoint

    def _pin(self, whole: bool) -> None:
        """Holds the log's keys against those that the auditor's policy names for it: whoever can write there can put
        another key and another log. The key of a later epoch does as well as the first. `whole`: all events were read."""
        policy, epochs, report = self.options.policy, self.epochs, self.report
        if policy is None:
            report.say("signature", VALID, "under the key that lies beside the log: compare log/vkey with your own copy")
        elif not any(log.name == epochs.origin for log in policy.logs):
            report.lacks("signature", f"a key of the log {epochs.origin} in the policy")
        elif epochs.are_known_to(policy):
            number = next(epoch.number for epoch in epochs.all if epoch.ed25519 in policy.logs)
            report.say("signature", VALID, "under the key that the policy names" if number == 1 else
                       f"under the key of epoch {number}, which the policy names, and which signed what it took over")
        elif any(epoch.ml_dsa in policy.logs for epoch in epochs.all):
            report.lacks("signature", f"the Ed25519 key of the log {epochs.origin} in the policy (its ML-DSA-44 key, which is "
                         "there, hands nothing over)")
        elif whole:
            report.fault("signature", "altered", None,
                         "log/vkey is not the key that the policy names for this log, and no later one of its keys is")
        else:
            report.say("signature", UNVERIFIABLE,
                       "the key that the policy names is not among those that the readable part of the log tells of")

    def _judge_epochs(self) -> None:
        """Whether each key began where the log had the root that it and the key before it signed."""
        report = self.report
        for epoch in self.epochs.all:
            if self.tree.root_at(epoch.start) != epoch.root:
                detail = f"the first {epoch.start} events are not those that the key of epoch {epoch.number} took over"
                report.fault("epoch", "epoch", epoch.event, detail)
        count = len(self.epochs.all)
        report.say("epoch", VALID, "one key has been in force from the beginning" if count == 1 else
                   f"{count} keys followed each other, each handed over by the one before")
        for epoch in self.epochs.all:
            if epoch.revoked:
                size, event = epoch.revoked
                report.say("epoch", VALID, f"the key of epoch {epoch.number} was revoked by event {event}: it counts for heads of"
                           f" up to {size} events")

    def _judge_checkpoint(self) -> None:
        """Holds the events against the log's own newest checkpoint."""
        report, data = self.report, self.checkpoint
        if data is None:
            # Whatever else is amiss, nobody has signed anything that is there.
            if report.has:
                report.lacks("signature", "a signed checkpoint (log/checkpoint)")
                report.say("content", UNVERIFIABLE, "no checkpoint signs the events")
            return
        try:
            signed = self.epochs.open(data)
        except WrongEpoch as error:
            report.fault("epoch", "epoch", error.seq, f"log/checkpoint: {error}")
            report.say("content", UNVERIFIABLE, "no valid checkpoint signs the events")
            return
        except (Malformed, BadSignature, Unsigned) as error:
            detail = {BadSignature: "the signature in the log's name is not the log's",
                      Unsigned: "the log's key did not sign it"}.get(type(error), str(error))
            # A key signs nothing before its own event can be read back.
            if isinstance(error, Unsigned) and report.is_out_of_reach(self._claimed() or 0):
                report.say("signature", UNVERIFIABLE, f"log/checkpoint: {detail}, as far as keys are known: {report.unread}")
            else:
                report.fault("signature", "signature", None, f"log/checkpoint: {detail}")
            report.say("content", UNVERIFIABLE, "no valid checkpoint signs the events")
            return
        if signed.revoked:
            report.fault("signature", "signature", signed.revoked[0],
                         f"log/checkpoint: the key of epoch {signed.epoch}, which signed it, was revoked")
            report.say("content", UNVERIFIABLE, "no valid checkpoint signs the events")
            return
        report.say("signature", VALID, "the log's key signed the checkpoint")
        self._hold_against(signed.checkpoint)

    def _hold_against(self, checkpoint: Checkpoint) -> None:
        report, signed = self.report, checkpoint.size
        if report.is_out_of_reach(signed):
            # It has been said that they could not be read.
            return
        if signed > report.events:
            detail = f"the checkpoint signs {signed} events, the log has {report.has}"
            report.fault("sequence", "removed", report.has, detail)
            report.say("content", UNVERIFIABLE, "not all of the events that the checkpoint signs are there")
        elif self.tree.root_at(signed) != checkpoint.root:
            seq = min((seq for _, seq in self.bad_tiles if seq is not None), default=None)
            detail = (f"event {seq} is not the one that was signed" if seq is not None else
                      f"the first {signed} events are not those that the checkpoint signs; which was changed cannot be "
                      "told, because the hash tiles agree with the events")
            report.fault("content", "altered", seq, detail)
        else:
            report.signed_events, report.root = signed, base64.b64encode(checkpoint.root).decode()
            report.say("content", VALID, f"{signed} events are those that the checkpoint signs")
            if report.ended and signed < report.events:
                detail = (f"log/checkpoint signs {signed} events, but a recorder that has ended in order has signed all of its "
                          f"{report.events}: an earlier checkpoint was put in its place")
                report.fault("signature", "signature", signed, detail)
            # The events are what was signed, so it is the tiles that are wrong.
            for path, seq in self.bad_tiles:
                report.fault("content", "tile", seq, f"{path} does not hold the hashes of its events")

    def _not_proven(self, outside: list[Outside]) -> list[str]:
        report = self.report
        sentences = [
            "That what the upstreams and agents sent is true: the record shows what passed, not whether it was right.",
            "That everything passed the recorder: traffic that went around it is not in this log.",
        ]
        witnessed = max((one.size for one in outside if one.verified and one.kind == "witness"), default=0)
        if witnessed < report.events:
            sentences.append(f"That this is the only log from event {witnessed} on: whoever holds the signing key could have "
                             "written another one behind what witnesses that you trust have vouched for.")
        sentences.append("When an event happened, within its bracket: inside it the time is the recorder's own word."
                         if any(one.verified for one in outside) else
                         "When it happened, beyond the recorder's own clock: nobody that you trust has vouched for it.")
        # Where the checkpoint is not of these events, the fault says so.
        if report.unsigned_tail and (report.root or not report.fault_count):
            sentences.append(f"The last {report.unsigned_tail} events: they are durable but no checkpoint signs them yet.")
        if self.tail.torn_bytes:
            sentences.append(f"The last {self.tail.torn_bytes} bytes of the write-ahead log, which are no whole record: a "
                             "write in progress, or one that was cut off before it was acknowledged.")
        if not report.ended:
            sentences.append("That this is all of it: the recorder has not ended in order, and what it recorded behind the "
                             f"{report.signed_events} events that a checkpoint signs could have been changed or cut off.")
        return sentences
