#!/usr/bin/env python3
"""Links each layer alone: the whole of its archive, against the archives of the layers below it (those
that the law lets it use, and what these use in turn) and the libraries named for those layers. What is
undefined then breaks the law.

usage: lint_link.py LAYERS.TXT "CC ..." LAYER=ARCHIVE...
"""

import os
import subprocess
import sys
import tempfile

from law import Law
from tap import Tap


def layers_below(law, layer):
    """What `layer` may use, and what that may use."""
    found = []
    waiting = list(law.layers[layer])
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found.append(name)
            waiting += law.layers[name]
    return found


def link(compiler, law, archives, layer):
    """Problems of linking `layer` alone."""
    below = [name for name in layers_below(law, layer) if name in archives]
    libraries = []
    for name in [layer] + below:
        libraries += [f"-l{lib}" for lib in law.libraries.get(name, []) if f"-l{lib}" not in libraries]
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "main.c")
        with open(source, "w", encoding="utf-8") as stream:
            stream.write("int main(void)\n{\n    return 0;\n}\n")
        command = compiler + [source, "-o", os.path.join(folder, "main"),
                              "-Wl,--whole-archive", archives[layer], "-Wl,--no-whole-archive",
                              "-Wl,--start-group"] + [archives[name] for name in below] + [
                                  "-Wl,--end-group"] + libraries + ["-pthread"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    lines = [line for line in done.stderr.split("\n") if "undefined reference" in line]
    return sorted(set(lines)) or done.stderr.strip().split("\n")


def main():
    law = Law(sys.argv[1])
    compiler = sys.argv[2].split()
    archives = dict(argument.split("=", 1) for argument in sys.argv[3:])
    tap = Tap()
    for layer in law.layers:
        if layer in archives:
            tap.case(f"{layer} links alone", link(compiler, law, archives, layer))
        elif layer not in ("core/train", "tools"):
            tap.case(f"{layer} links alone", ["has no archive"])
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
