"""Between which times each event was recorded, by what outsiders say."""

import datetime
import re
from dataclasses import dataclass, field

from .faults import Malformed

UTC = datetime.timezone.utc
#: By how much the clocks of two outsiders may differ before they are said to contradict each other.
CLOCKS_DIFFER = datetime.timedelta(seconds=5)


@dataclass
class Outside:
    """The head of `size` events existed by `latest`; events behind each of those in `told` came after the time beside it."""

    kind: str
    name: str
    size: int
    latest: datetime.datetime
    told: list[tuple[int, datetime.datetime]] = field(default_factory=list)
    verified: bool = False


def parse_time(text: str) -> datetime.datetime:
    """RFC 3339; what is finer than a microsecond is cut off, and a leap second is the one before it."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?([Zz]|[+-]\d\d:\d\d)", text, re.ASCII)
    if not found:
        raise Malformed(f"not a time of RFC 3339: {text!r}")
    clock = re.sub(r":60$", ":59", found[2])
    zone = "+00:00" if found[4] in "Zz" else found[4]
    try:
        return datetime.datetime.fromisoformat(f"{found[1]}T{clock}.{(found[3] or '0').ljust(6, '0')[:6]}{zone}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Malformed(f"not a time of the calendar: {text!r}") from error


def rfc3339(time: datetime.datetime) -> str:
    text = time.astimezone(UTC).isoformat().replace("+00:00", "")
    return (text.rstrip("0") if "." in text else text) + "Z"


def brackets(outside: list[Outside], events: int) -> list[dict]:
    """Between which times each event was recorded, whatever the recorder's clock said: after the anchors that events
    before it hold the bytes of, and before the anchors of the heads that cover it."""
    trusted = any(one.verified for one in outside)
    counted = [one for one in outside if one.verified or not trusted]
    before = sorted((bound for one in counted for bound in one.told), key=lambda bound: bound[0])
    after = sorted(((one.size, one.latest) for one in counted), key=lambda one: -one[0])
    cuts = sorted({0, events, *(seq + 1 for seq, _ in before), *(size for size, _ in after)})
    cuts = [cut for cut in cuts if cut <= events]
    ranges, at, newest = [], 0, None
    for begin, end in zip(cuts, cuts[1:]):
        while at < len(before) and before[at][0] < begin:
            newest = max(newest, before[at][1]) if newest else before[at][1]
            at += 1
        ranges.append({"from": begin, "to": end, "not_before": rfc3339(newest) if newest else None, "not_after": None})
    at, oldest = 0, None
    for one in reversed(ranges):
        while at < len(after) and after[at][0] >= one["to"]:
            oldest = min(oldest, after[at][1]) if oldest else after[at][1]
            at += 1
        one["not_after"] = rfc3339(oldest) if oldest else None
    joined: list[dict] = []
    for one in ranges:
        if joined and all(joined[-1][side] == one[side] for side in ("not_before", "not_after")):
            joined[-1]["to"] = one["to"]
        else:
            joined.append(one)
    return joined


def is_empty(bracket: dict) -> bool:
    """Whether no moment lies in it, because outsiders contradict each other."""
    after, before = bracket["not_before"], bracket["not_after"]
    return bool(after and before) and parse_time(after) - parse_time(before) > CLOCKS_DIFFER
