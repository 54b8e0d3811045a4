#!/usr/bin/env python3
"""Rules that can be read off the sources: the layer law, third-party headers, names, lengths, text.

usage: lint_sources.py ROOT
"""

import os
import re
import sys

from law import Law, project_files
from tap import Tap

LINES_MAX = 700
COLUMNS_MAX = 100
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# What C17 and POSIX bring along, and compilers' own headers.
SYSTEM = set("""
assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h
setjmp.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
stdnoreturn.h string.h tgmath.h threads.h time.h uchar.h wchar.h wctype.h
arpa/inet.h dirent.h dlfcn.h fcntl.h fnmatch.h ftw.h getopt.h glob.h langinfo.h libgen.h net/if.h
netdb.h netinet/in.h netinet/tcp.h poll.h pthread.h pwd.h regex.h sched.h semaphore.h spawn.h
strings.h sys/file.h sys/ioctl.h sys/mman.h sys/resource.h sys/select.h sys/socket.h sys/stat.h
sys/statvfs.h sys/time.h sys/types.h sys/un.h sys/utsname.h sys/wait.h termios.h unistd.h
cpuid.h immintrin.h malloc.h sanitizer/asan_interface.h
""".split())

# Files that are data: they are what they must be, whatever their text looks like.
DATA = ("tests/fuzz/corpus/", "tests/golden/", "tests/cli/help/", "tools/models/")
CODE = (".c", ".h", ".cc", ".py", ".sh")
# The lint's own words for what it looks for.
SELF = ("tests/lint/lint_sources.py", "tests/lint/lint_selftest.py")


def is_data(path):
    return path.startswith(DATA) and not path.endswith(CODE)


def is_script(path, text):
    return path.endswith((".py", ".sh")) or text.startswith("#!")


class Project:
    def __init__(self, root):
        self.law = Law(os.path.join(root, "tests/lint/layers.txt"))
        self.paths = project_files(root)
        self.all_paths = set(self.paths)
        self.texts = {}
        for path in self.paths:
            if is_data(path):
                continue
            with open(os.path.join(root, path), "rb") as stream:
                data = stream.read()
            if b"\0" not in data:
                self.texts[path] = data.decode("utf-8", "replace")

    def includes(self):
        """(path, line number, '<' or '"', header) for every include line of C sources."""
        for path, text in self.texts.items():
            if not path.endswith((".c", ".h", ".cc")):
                continue
            for number, line in enumerate(text.split("\n"), 1):
                match = INCLUDE.match(line)
                if match:
                    yield path, number, match.group(1), match.group(2)


def layer_law(project):
    for path, number, kind, header in project.includes():
        if kind != '"':
            continue
        if header not in project.all_paths:
            yield f"{path}:{number}: \"{header}\" is no file of the project, seen from its root"
            continue
        layer, used = project.law.layer_of(path), project.law.layer_of(header)
        if layer is None:
            if not path.startswith("tests/"):
                yield f"{path}:{number}: lies in no layer of tests/lint/layers.txt"
        elif used is None:
            yield f"{path}:{number}: includes {header}, which belongs to no layer"
        elif used != layer and used not in project.law.layers[layer]:
            yield f"{path}:{number}: {layer} must not include {header} of {used}"


def third_party(project):
    for path, number, kind, header in project.includes():
        if kind != "<" or header in SYSTEM or path.startswith("tests/"):
            continue
        places = [p for name, p in project.law.third_party.items() if header.startswith(name)]
        if not places:
            yield f"{path}:{number}: <{header}> is neither the system's nor in tests/lint/layers.txt"
        elif not any(path == place or path.startswith(place + "/")
                     for some in places for place in some):
            allowed = " ".join(place for some in places for place in some)
            yield f"{path}:{number}: <{header}> may be included by {allowed} only"


def own_header_first(project):
    first = {}
    for path, number, _, header in project.includes():
        first.setdefault(path, (number, header))
    for path, (number, header) in first.items():
        own = path[:-2] + ".h"
        if path.endswith(".c") and own in project.all_paths and header != own:
            yield f"{path}:{number}: includes {header} before its own header {own}"


def guards(project):
    for path, text in project.texts.items():
        if not path.endswith(".h"):
            continue
        guard = "SONDE_" + re.sub(r"[^A-Z0-9]", "_", path.upper())
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            yield f"{path}: lacks the include guard {guard}"


def unique_names(project):
    seen = {}
    for path in project.paths:
        name = os.path.basename(path)
        if is_data(path) or name in ("meson.build", "README.md") or name.startswith("."):
            continue
        if name in seen:
            yield f"{path}: has the file name of {seen[name]}"
        seen.setdefault(name, path)


def lengths(project):
    for path, text in project.texts.items():
        n = text.count("\n")
        if path.endswith(CODE) and n > LINES_MAX:
            yield f"{path}: {n} lines, {LINES_MAX} at most"


def plain_text(project):
    for path, text in project.texts.items():
        if not (path.endswith(CODE + (".md", ".build", ".txt", ".json", ".sql", ".html", ".css"))
                or is_script(path, text)):
            continue
        if text and not text.endswith("\n"):
            yield f"{path}: no newline at the end"
        if text.endswith("\n\n"):
            yield f"{path}: blank lines at the end"
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line:
                yield f"{path}:{number}: tab"
            if line != line.rstrip():
                yield f"{path}:{number}: trailing blank"
            if "\ufffd" in line:
                yield f"{path}:{number}: not UTF-8"
            if re.search("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]", line):
                yield f"{path}:{number}: invisible character"
            if path.endswith((".c", ".h", ".cc")) and len(line) > COLUMNS_MAX:
                yield f"{path}:{number}: {len(line)} columns, {COLUMNS_MAX} at most"


def machine_paths(project):
    pattern = re.compile(r"(?<![\w.$}/])/(work|root|home|tmp|mnt|Users)/[\w.]")
    for path, text in project.texts.items():
        if path in SELF or path == "LICENSE":
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if pattern.search(line):
                yield f"{path}:{number}: path of one machine: {line.strip()[:80]}"


def unfinished(project):
    pattern = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|not (yet )?implemented|\bplaceholder\b",
                         re.IGNORECASE)
    for path, text in project.texts.items():
        if path in SELF or not (path.endswith(CODE) or is_script(path, text)):
            continue
        for number, line in enumerate(text.split("\n"), 1):
            match = pattern.search(line)
            if match and not (match.group(1) and match.group(1).islower()):
                yield f"{path}:{number}: {line.strip()[:80]}"


# What stops a process or prints does not belong into a library.
CALLS = re.compile(r"(?<![\w.>])(?:(exit|_exit|abort|printf|puts|putchar|perror|alloca|system|popen|"
                   r"strcpy|strcat|sprintf|vsprintf|gets|strtok|setlocale)\s*\(|"
                   r"(fprintf)\s*\(\s*std(?:out|err)\s*,)")


def library_calls(project):
    for path, text in project.texts.items():
        layer = project.law.layer_of(path)
        if not path.endswith((".c", ".h")) or layer in (None, "tools"):
            continue
        text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
        for number, line in enumerate(text.split("\n"), 1):
            line = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
            match = CALLS.search(line)
            if match:
                yield f"{path}:{number}: {match.group(1) or match.group(2)} in a library"


RULES = {
    "layer law": layer_law,
    "third-party headers": third_party,
    "own header first": own_header_first,
    "include guards": guards,
    "unique file names": unique_names,
    "lengths of files": lengths,
    "plain text": plain_text,
    "no paths of one machine": machine_paths,
    "nothing unfinished": unfinished,
    "no prints or exits in libraries": library_calls,
}


def main():
    project = Project(sys.argv[1])
    tap = Tap()
    for name, rule in RULES.items():
        tap.case(name, list(rule(project)))
    tap.case("there are sources", [] if project.texts else ["no files found"])
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
