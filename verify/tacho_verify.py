#!/usr/bin/env python3
"""Verifies a Tachograph store without any of its code: see README.md beside this file."""

import argparse
import json
import pathlib
import sys

from tachoverify.verify import Options, verify


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, epilog="exit: 0 verified, 10 altered, 11 verified with "
                                     "recorded gaps, 12 not verifiable, 1 and 2 this program failed or was misused")
    parser.add_argument("dir", metavar="DIR", type=pathlib.Path, help="the store, or a copy of it")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("--quiet", "-q", action="store_true", help="print nothing, only end with the exit code")
    asked = parser.parse_args(arguments)
    report = verify(asked.dir, Options())
    if not asked.quiet:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n" if asked.json else report.as_text())
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
