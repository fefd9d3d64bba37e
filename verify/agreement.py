"""What the two verifiers must agree on."""

import pathlib

import tacho_verify
from conftest import first_verifier
from tachoverify.verify import verify


def findings(exit_code: int, report: dict) -> dict:
    """What the two must agree on. Where the first verifier only fails there is no more than the exit code."""
    if not report:
        return {"exit_code": exit_code}
    first = report["faults"][0]["seq"] if report["faults"] else "none"
    claims = {claim["claim"]: claim["verdict"] for claim in report["claims"]}
    counts = {name: report[name] for name in ("events", "signed_events", "unsigned_tail", "root", "bodies", "body_bytes",
                                              "gaps", "incidents", "open_calls", "odd_ends", "ended")}
    return {"exit_code": exit_code, "verdict": report["verdict"], "first": first, "claims": claims, "counts": counts, "brackets": brackets(report),
            "tail": [report["unanchored_tail"][name] for name in ("from", "events", "verified")]}


def brackets(report: dict) -> list:
    """Where the times between which events were recorded change, and to which."""
    found: list = []
    for one in report["brackets"]:
        sides = [one["not_before"], one["not_after"]]
        times = [side["time"] if isinstance(side, dict) else side for side in sides]
        if not found or found[-1][1:] != times:
            found.append([one["from"], *times])
    return found


def compare(store: pathlib.Path, what: str, *options: str) -> int:
    """The exit code of both. `options` are those of either command line."""
    exit_code, report = first_verifier(store, *options)
    second = verify(store, tacho_verify.read([str(store), *options])[1]).as_json()
    theirs, ours = alike(exit_code, report, second)
    assert ours == theirs, (what, report.get("faults", [])[:3], second["faults"][:3], second["missing"])
    return exit_code


def alike(exit_code: int, report: dict, second: dict) -> tuple[dict, dict]:
    """The findings of both, as far as they can be compared."""
    theirs, ours = findings(exit_code, report), findings(second["exit_code"], second)
    return theirs, {name: ours[name] for name in theirs}
