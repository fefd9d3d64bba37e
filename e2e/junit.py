"""Tells a shell script what a JUnit file says: one line a fact, the fields separated by a tab."""

import sys
import xml.etree.ElementTree as ElementTree


def main(path: str) -> None:
    passed = failed = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is not None:
            print(f"skipped\t{name}: {' '.join((skip.get('message') or '').split())}")
        else:
            passed += 1
        for fact in case.iter("property"):
            if fact.get("name") == "figure":
                print(f"figure\t{fact.get('value')}")
    print(f"passed\t{passed}\nfailed\t{failed}")


if __name__ == "__main__":
    main(sys.argv[1])
