"""Points in time as people type them."""

import datetime
import re

from .brackets import parse_time
from .faults import Malformed

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def since(text: str, now: datetime.datetime) -> datetime.datetime:
    """RFC 3339, the same without its zone (then UTC), a date alone (its first instant), or how long before `now`: `15m`, `-2h`, `90d`."""
    ago = re.fullmatch(r"-?([0-9]+)(s|m|min|h|d|w)", text)
    try:
        if ago:
            return now - datetime.timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    except (ValueError, OverflowError) as error:
        raise Malformed(f"not a time of the calendar: {text!r}") from error
    for form in ("{}", "{}T00:00:00Z", "{}Z"):
        try:
            return parse_time(form.format(text))
        except Malformed:
            continue
    raise Malformed(f"{text!r} is no time: write it as 2026-11-21T09:30:00Z, or as an age: 90d, -15m")
