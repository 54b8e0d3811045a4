#!/usr/bin/env python3
"""Counts test cases in meson's testlog.json: each line of a TAP test, each other test as one.

Prints the logs of tests that failed, then "PASSED FAILED SKIPPED" as the last line. A test that
failed without a failing line of its own (a crash, a timeout, a plan that does not fit) counts as one
failure, and so does a run that failed although no test did.

usage: tally.py TESTLOG.JSON EXIT_CODE_OF_MESON
"""

import json
import re
import sys

CASE = re.compile(r"^(not ok|ok)\b(.*)$")
DIRECTIVE = re.compile(r"#\s*(skip|todo)", re.IGNORECASE)
PASSED = ("OK", "EXPECTEDFAIL")
LOG_LINES_MAX = 120


def count(test):
    """(passed, failed, skipped) of one entry of the log."""
    passed = failed = skipped = 0
    for line in test.get("stdout", "").split("\n"):
        match = CASE.match(line)
        if not match:
            continue
        directive = DIRECTIVE.search(match.group(2))
        if directive:
            skipped += 1
        elif match.group(1) == "ok":
            passed += 1
        else:
            failed += 1
    result = test.get("result")
    if passed + failed + skipped == 0:
        if result == "SKIP":
            return 0, 0, 1
        return (1, 0, 0) if result in PASSED else (0, 1, 0)
    if result not in PASSED + ("SKIP",) and failed == 0:
        failed = 1
    return passed, failed, skipped


def last_lines(text):
    lines = text.rstrip("\n").split("\n")
    if len(lines) > LOG_LINES_MAX:
        lines = [f"... {len(lines) - LOG_LINES_MAX} lines"] + lines[-LOG_LINES_MAX:]
    return "\n".join("    " + line for line in lines)


def main():
    tests = []
    with open(sys.argv[1], encoding="utf-8", errors="replace") as stream:
        for line in stream:
            tests.append(json.loads(line))
    total = [0, 0, 0]
    for test in tests:
        counts = count(test)
        total = [a + b for a, b in zip(total, counts)]
        if counts[1]:
            print(f"--- {test['name']}: {test['result']}, exit status {test.get('returncode')}")
            print(f"    {' '.join(test.get('command', []))}")
            for part in ("stdout", "stderr"):
                text = "\n".join(line for line in test.get(part, "").split("\n")
                                 if not line.startswith("ok "))
                if text.strip():
                    print(last_lines(text))
        for line in test.get("stderr", "").split("\n"):
            if line.startswith("# SKIP"):
                print(f"--- {test['name']}: {line[2:]}")
    if int(sys.argv[2]) != 0 and total[1] == 0:
        print(f"--- meson test ended with status {sys.argv[2]}")
        total[1] += 1
    print(*total)


if __name__ == "__main__":
    main()
