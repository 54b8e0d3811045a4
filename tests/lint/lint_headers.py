#!/usr/bin/env python3
"""Every header compiles alone, twice in a row, as C17; the headers that a plugin needs as C++17 too.

usage: lint_headers.py ROOT "CC ..." ["CXX ..."]
"""

import os
import subprocess
import sys

from concurrent.futures import ThreadPoolExecutor

from law import project_files
from tap import Tap

FLAGS = ["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wstrict-prototypes", "-Werror",
         "-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE"]
PLUGIN = ("probes/probe.h",)


def compile_alone(compiler, language, root, header):
    """Problems of compiling a file that includes nothing but the header, twice."""
    flags = [flag for flag in FLAGS if language == "c" or flag != "-Wstrict-prototypes"]
    standard = "-std=c17" if language == "c" else "-std=c++17"
    text = f'#include "{header}"\n#include "{header}"\nint lint_alone(void);\n'
    done = subprocess.run(compiler + [standard, "-x", language] + flags + [f"-I{root}", "-"],
                          input=text, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else done.stderr.strip().split("\n")


def main():
    root, c_compiler = sys.argv[1], sys.argv[2].split()
    cxx_compiler = sys.argv[3].split() if len(sys.argv) > 3 else []
    headers = [path for path in project_files(root) if path.endswith(".h")]
    tap = Tap()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda header: compile_alone(c_compiler, "c", root, header), headers)
        for header, problems in zip(headers, found):
            tap.case(f"{header} as C17", problems)
    for header in PLUGIN:
        if not os.path.exists(os.path.join(root, header)):
            continue
        if cxx_compiler:
            tap.case(f"{header} as C++17", compile_alone(cxx_compiler, "c++", root, header))
        else:
            tap.skip(f"{header} as C++17", "no C++ compiler is here")
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
