#!/usr/bin/env python3
"""No mutable globals: no object file of the project may have data that a program can change.

Constant data that only needs relocation (.data.rel.ro) is allowed, and the variables that layers.txt
names.

usage: lint_globals.py LAYERS.TXT BUILD_FOLDER ROOT FOLDER...
"""

import json
import os
import re
import subprocess
import sys

from law import Law
from tap import Tap

MUTABLE = re.compile(r"^\.(data|bss|tdata|tbss|ldata|lbss|sdata|sbss)(\.|$)")
CONSTANT = re.compile(r"^\.data\.rel\.ro(\.|$)")


def is_mutable(section):
    return section == "*COM*" or bool(MUTABLE.match(section) and not CONSTANT.match(section))


def mutable_symbols(path):
    """(section, symbol) for each variable of an object file that can change."""
    text = subprocess.run(["objdump", "-h", "-t", "-w", path], check=True, capture_output=True,
                          text=True, env=dict(os.environ, LC_ALL="C")).stdout
    found, named = [], set()
    for line in text.split("\n"):
        # "0000000000000000 l     O .bss 0000000000000004 name", a tab after the section
        match = re.match(r"^[0-9a-f]+ .{7} (\S+)\t([0-9a-f]+)\s+(?:\.\w+ )?(\S+)$", line)
        if match and is_mutable(match.group(1)) and int(match.group(2), 16) > 0:
            found.append((match.group(1), match.group(3)))
            named.add(match.group(1))
    for line in text.split("\n"):
        # "  2 .bss          00000000  ..."
        match = re.match(r"^\s*\d+\s+(\.\S+)\s+([0-9a-f]+)\s", line)
        if match and is_mutable(match.group(1)) and int(match.group(2), 16) > 0:
            if match.group(1) not in named:
                found.append((match.group(1), "data without a name"))
    return found


def objects(build, folders):
    """Object files of the sources below the folders, by the build's own list."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as stream:
        commands = json.load(stream)
    for entry in commands:
        source = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
        if any(source.startswith(os.path.realpath(folder) + os.sep) for folder in folders):
            yield source, os.path.join(entry["directory"], entry["output"])


def main():
    law, build, root = Law(sys.argv[1]), sys.argv[2], os.path.realpath(sys.argv[3])
    folders = [os.path.join(root, folder) for folder in sys.argv[4:]]
    problems, missing, count, met = [], [], 0, set()
    for source, path in objects(build, folders):
        count += 1
        if not os.path.exists(path):
            missing.append(f"{path}: not built")
            continue
        source = os.path.relpath(source, root)
        for section, name in mutable_symbols(path):
            met.add((name, source))
            if (name, source) not in law.variables:
                problems.append(f"{source}: {name} in {section}")
    tap = Tap()
    tap.case("there are objects", missing or ([] if count else ["no object files found"]))
    tap.case(f"no mutable globals in {count} objects", problems)
    tap.case("the exceptions are needed", [f"{name} is not in {source}" for name, source in
                                           sorted(law.variables - met)])
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
