#!/usr/bin/env python3
"""tally.py must see every kind of failure."""

import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lint"))

from tap import Tap  # noqa: E402

# name, tests as (result, stdout), meson's exit status, expected counts
CASES = [
    ("cases of a test are counted", [("OK", "1..3\nok 1 - a\nok 2 - b\nok 3 - c\n")], 0, "3 0 0"),
    ("several tests add up", [("OK", "1..1\nok 1 - a\n"), ("OK", "1..1\nok 1\n")], 0, "2 0 0"),
    ("a failing case", [("FAIL", "1..2\nok 1 - a\nnot ok 2 - b\n")], 1, "1 1 0"),
    ("a skipped case", [("OK", "1..2\nok 1 - a\nok 2 # SKIP b\n")], 0, "1 0 1"),
    ("a skipped case marked not ok", [("OK", "1..2\nok 1 - a\nnot ok 2 # SKIP b\n")], 0, "1 0 1"),
    ("a crash after good cases", [("ERROR", "1..3\nok 1 - a\n")], 1, "1 1 0"),
    ("a timeout", [("TIMEOUT", "")], 1, "0 1 0"),
    ("a plain test", [("OK", "hello\n"), ("FAIL", "hello\n"), ("SKIP", "")], 1, "1 1 1"),
    ("a comment is no case", [("OK", "1..1\nok 1 - a\n# not ok - tests\n")], 0, "1 0 0"),
    ("words that begin like a case", [("OK", "okay\nok 1 - a\nnot okay\n")], 0, "1 0 0"),
    ("meson fails alone", [("OK", "ok 1 - a\n")], 2, "1 1 0"),
    ("no tests", [], 0, "0 0 0"),
]


def tally(tests, status):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "testlog.json")
        with open(path, "w", encoding="utf-8") as stream:
            for result, stdout in tests:
                entry = {"name": "t", "result": result, "stdout": stdout, "command": ["t"]}
                stream.write(json.dumps(entry) + "\n")
        done = subprocess.run([sys.executable, os.path.join(HERE, "tally.py"), path, str(status)],
                              capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[-2] if done.returncode == 0 else done.stderr


def main():
    tap = Tap()
    for name, tests, status, expected in CASES:
        found = tally(tests, status)
        tap.case(name, [] if found == expected else [f"found {found}, expected {expected}"])
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
