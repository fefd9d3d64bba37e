#!/usr/bin/env python3
"""Verifies a Tachograph store without any of its code: see README.md beside this file."""

import argparse
import datetime
import json
import pathlib
import sys

from tachoverify.certificates import read_pem
from tachoverify.faults import Malformed
from tachoverify.keyring import Recipient
from tachoverify.policy import Policy
from tachoverify.regular import NoFile, TooLong, read_regular
from tachoverify.report import printable
from tachoverify.verify import Options, verify
from tachoverify.when import since

EXIT_CODES = """\
exit codes:
   0  everything verified
  10  evidence was altered or damaged: the first bad record is named
  11  everything verified, and the record itself says what is missing from it (gaps), or that
      somebody outside knew another history of it (incidents)
  12  something that verification needs is missing
   1  this program could not do its work
   2  wrong usage"""

#: Longest file of an auditor that is read.
MAX_FILE_BYTES = 1 << 20


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        """One line, whatever a file is called."""
        self.exit(2, printable(f"{self.prog}: error: {message}") + "\n")


class Once(argparse.Action):
    """Whom to trust does not depend on which of two comes last."""

    def __call__(self, parser, namespace, value, option_string=None):
        if getattr(namespace, self.dest) is not None:
            parser.error(f"argument {option_string}: it cannot be used multiple times")
        setattr(namespace, self.dest, value)


def of_file(parse):
    """An argument that names a file, read and parsed."""

    def read(path: str):
        try:
            return parse(read_regular(pathlib.Path(path), MAX_FILE_BYTES))
        except OSError as error:
            raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error
        except (Malformed, NoFile, TooLong) as error:
            raise argparse.ArgumentTypeError(f"{path}: {error}") from error

    return read


def time(text: str) -> datetime.datetime:
    try:
        return since(text, datetime.datetime.now(datetime.timezone.utc))
    except Malformed as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def read(arguments: list[str] | None) -> tuple[argparse.Namespace, Options]:
    """The command line, and what the auditor brings."""
    parser = Parser(description=__doc__, epilog=EXIT_CODES, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", metavar="DIR", type=pathlib.Path, help="the store, or a copy of it")
    parser.add_argument("--policy", metavar="FILE", type=of_file(Policy.parse), action=Once,
                        help="whom to trust, as a C2SP tlog-policy: the log's key, witnesses, a quorum")
    parser.add_argument("--roots", metavar="FILE", type=of_file(read_pem), action="append",
                        help="roots of time-stamp authorities, PEM; may be repeated")
    parser.add_argument("--head", metavar="FILE", type=of_file(bytes), action="append", default=[],
                        help="a checkpoint or receipt that you hold, which the log must extend; may be repeated")
    parser.add_argument("--at", metavar="TIME", type=time, action=Once, help="judge as of this time (RFC 3339, or how long ago: -15m, 2h, 90d)")
    parser.add_argument("--vault-key", metavar="FILE", type=of_file(Recipient.parse), action=Once,
                        help="an investigator's private key, for a vault whose keys are wrapped to it")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("--quiet", "-q", action="store_true", help="print nothing, only end with the exit code")
    asked = parser.parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    roots = None if asked.roots is None else [root for file in asked.roots for root in file]
    return asked, Options(asked.policy, roots, asked.head, asked.at, asked.vault_key)


def _joined(arguments: list[str]) -> list[str]:
    """`--at -2h` as `--at=-2h`: what begins with a hyphen would be taken for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--at":
            joined[-1] = f"--at={argument}"
        else:
            joined.append(argument)
    return joined


def main(arguments: list[str] | None = None) -> int:
    asked, options = read(arguments)
    report = verify(asked.dir, options)
    if report.other_log:
        print(printable(f"--head: a head of another log: it is of the log {report.other_log}, and this is the log {report.origin}"),
              file=sys.stderr)
        print("either the wrong head or the wrong record was named, or another log was put in this one's place: whoever holds the log's"
              " key from elsewhere can tell (--policy FILE)", file=sys.stderr)
        return report.exit_code
    if not asked.quiet:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n" if asked.json else report.as_text())
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
