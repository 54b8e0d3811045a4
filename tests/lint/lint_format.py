#!/usr/bin/env python3
"""The C sources are as clang-format leaves them. Versions differ in taste, so only 14 is asked.

usage: lint_format.py ROOT [CLANG_FORMAT]
"""

import os
import subprocess
import sys

from concurrent.futures import ThreadPoolExecutor

from law import project_files
from tap import Tap

VERSION = "version 14."


def differs(program, root, path):
    """Problems of one file."""
    done = subprocess.run([program, "--dry-run", "-Werror", "--ferror-limit=1", path], cwd=root,
                          capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else done.stderr.strip().split("\n")[:1]


def main():
    root, program = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    tap = Tap()
    name = "sources are formatted"
    version = subprocess.run([program, "--version"], capture_output=True, text=True,
                             check=False).stdout if program else ""
    if VERSION not in version:
        tap.skip(name, "no clang-format 14 is here")
        return tap.finish()
    paths = [path for path in project_files(root) if path.endswith((".c", ".h"))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda path: differs(program, root, path), paths)
        tap.case(name, [problem for problems in found for problem in problems])
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
