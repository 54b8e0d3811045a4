#!/usr/bin/env python3
"""Each lint must be able to fail: a small project that breaks one rule at a time.

usage: lint_selftest.py "CC ..."
"""

import os
import subprocess
import sys
import tempfile

import lint_format
import lint_globals
import lint_headers
import lint_link
import lint_sources

from law import Law
from tap import Tap

LAW = """# The law of the small project.
low:
high: low
top: high
third-party jansson.h low/a.c
libraries low: m
"""

GUARD = "#ifndef SONDE_{0}\n#define SONDE_{0}\nint {1}(void);\n#endif\n"

CLEAN = {
    "tests/lint/layers.txt": LAW,
    "low/a.h": GUARD.format("LOW_A_H", "low_a"),
    "low/a.c": '#include "low/a.h"\n\n#include <stdio.h>\n\n#include <jansson.h>\n',
    "high/b.c": '#include "low/a.h"\n',
    "tests/test_a.c": '#include <cmocka.h>\n\n#include "low/a.h"\n',
}

# rule, path, text, what the problem must say
BROKEN = [
    ("layer law", "low/c.c", '#include "high/h.h"\n', "low must not include high/h.h"),
    ("layer law", "low/c.c", '  #  include "high/h.h"\n', "low must not include high/h.h"),
    ("layer law", "high/c.c", '#include "a.h"\n', "is no file of the project"),
    ("layer law", "other/c.c", '#include "low/a.h"\n', "lies in no layer"),
    ("layer law", "high/c.c", '#include "tests/x.h"\n', "belongs to no layer"),
    ("third-party headers", "high/c.c", "#include <jansson.h>\n", "low/a.c only"),
    ("third-party headers", "low/c.h", "#include <png.h>\n", "neither the system's"),
    ("own header first", "low/a.c", '#include <stdio.h>\n#include "low/a.h"\n', "before its own"),
    ("include guards", "low/c.h", "int c(void);\n", "SONDE_LOW_C_H"),
    ("unique file names", "high/a.c", '#include "low/a.h"\n', "file name of"),
    ("lengths of files", "low/c.c", "\n" * 700 + "int c;\n", "701 lines"),
    ("plain text", "low/c.c", "int\tc;\n", "tab"),
    ("plain text", "low/c.c", "int c; \n", "trailing blank"),
    ("plain text", "low/c.c", "int c;", "no newline"),
    ("plain text", "low/c.c", "int c;\n\n", "blank lines"),
    ("plain text", "low/c.c", "/* \u200b */\n", "invisible"),
    ("plain text", "low/c.c", "/* " + "x" * 100 + " */\n", "columns"),
    ("plain text", "README.md", "a \n", "trailing blank"),
    ("no paths of one machine", "low/c.c", 'const char *c = "/home/x/y";\n', "/home/x"),
    ("no paths of one machine", "run", "#!/bin/sh\ncd /root/x\n", "/root/x"),
    ("nothing unfinished", "low/c.c", "/* TODO: more */\n", "TODO"),
    ("nothing unfinished", "low/c.c", "/* not yet implemented */\n", "not yet"),
    ("no prints or exits in libraries", "low/c.c", 'void c(void)\n{\n    printf("x");\n}\n', "printf"),
    ("no prints or exits in libraries", "low/c.c", "void c(void)\n{\n    abort();\n}\n", "abort"),
    ("no prints or exits in libraries", "low/c.c", "int x = fprintf(stderr, y);\n", "fprintf"),
]

# Text that a rule must leave alone: a lint that cries wolf gets ignored.
ALLOWED = [
    ("no prints or exits in libraries", "low/c.c",
     '/* never exit() here */\nint my_exit(int);\nint c = my_exit(snprintf(0, 0, "abort()"));\n'),
    ("no prints or exits in libraries", "low/c.h", "__attribute__((format(printf, 2, 3)))\n"),
    ("no paths of one machine", "low/c.c", 'const char *c = "$ROOT/tmp/x a/home/b";\n'),
    ("layer law", "tests/test_c.c", '#include "high/h.h"\n'),
]


def write(root, files):
    for path, text in files.items():
        place = os.path.join(root, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as stream:
            stream.write(text)


def source_problems(files, rule):
    with tempfile.TemporaryDirectory() as root:
        write(root, files)
        return list(lint_sources.RULES[rule](lint_sources.Project(root)))


def test_sources(tap):
    for rule in lint_sources.RULES:
        tap.case(f"{rule}: a clean project passes", source_problems(CLEAN, rule))
    extra = {"high/h.h": GUARD.format("HIGH_H_H", "h"), "tests/x.h": GUARD.format("TESTS_X_H", "x")}
    for rule, path, text, says in BROKEN:
        problems = source_problems({**CLEAN, **extra, path: text}, rule)
        good = len(problems) == 1 and says in problems[0]
        tap.case(f"{rule}: finds {says}", [] if good else [f"found {problems}"])
    for rule, path, text in ALLOWED:
        tap.case(f"{rule}: allows {path}", source_problems({**CLEAN, **extra, path: text}, rule))
    covered = {rule for rule, *_ in BROKEN}
    tap.case("every rule is seen failing", sorted(set(lint_sources.RULES) - covered))


def compile_object(compiler, root, name, text, flags=()):
    write(root, {f"{name}.c": text})
    path = os.path.join(root, f"{name}.o")
    subprocess.run(compiler + ["-c", *flags, os.path.join(root, f"{name}.c"), "-o", path], check=True)
    return path


def test_link(tap, compiler):
    texts = {
        "low": "#include <math.h>\nextern volatile double x;\nvolatile double x;\n"
               "int low(void);\nint low(void) { return (int)cos(x); }\n",
        "high": "int low(void);\nint high(void);\nint high(void) { return low(); }\n",
    }
    upward = "int high(void);\nint low(void);\nint low(void) { return high(); }\n"
    library = "int png_access_version_number(void);\nint low(void);\n" \
              "int low(void) { return png_access_version_number(); }\n"
    top = "int high(void);\nint top(void);\nint top(void) { return high(); }\n"
    cases = [("a layer on those below", texts, "high", True),
             ("a layer on those below these", {**texts, "top": top}, "top", True),
             ("a layer on nothing", texts, "low", True),
             ("a call upwards", {**texts, "low": upward}, "low", False),
             ("a library that is not named", {**texts, "low": library}, "low", False)]
    for name, sources, layer, good in cases:
        with tempfile.TemporaryDirectory() as root:
            write(root, {"layers.txt": LAW})
            archives = {}
            for part, text in sources.items():
                archives[part] = os.path.join(root, f"lib{part}.a")
                subprocess.run(["ar", "rcs", archives[part],
                                compile_object(compiler, root, part, text)], check=True)
            problems = lint_link.link(compiler, Law(os.path.join(root, "layers.txt")), archives,
                                      layer)
            tap.case(f"link alone: {name} {'passes' if good else 'fails'}",
                     [] if bool(problems) != good else [f"found {problems}"])


def test_globals(tap, compiler):
    cases = [
        ("int counter = 1;\n", ["counter"]),
        ("int counter;\n", ["counter"]),
        ("static int counter;\nint next(void);\nint next(void) { return ++counter; }\n", ["counter"]),
        ("int next(void);\nint next(void) { static long n = 5; return (int)++n; }\n", ["n"]),
        ("static _Thread_local int t;\nint next(void);\nint next(void) { return ++t; }\n", ["t"]),
        ("static const char *names[] = { \"a\" };\nconst char *next(int i);\n"
         "const char *next(int i) { return names[i]++; }\n", ["names"]),
        ("const int table[] = { 1, 2 };\nconst char *const names[] = { \"a\", \"b\" };\n"
         "int next(void);\nint next(void) { static const int k[] = { 3 }; return k[0]; }\n", []),
    ]
    for i, (text, expected) in enumerate(cases):
        for flags in (["-O0", "-fPIC"], ["-O2", "-fPIC"], ["-O2", "-fcommon"]):
            with tempfile.TemporaryDirectory() as root:
                path = compile_object(compiler, root, "unit", text, flags)
                found = [name for _, name in lint_globals.mutable_symbols(path)]
            # Compilers name a static of a function "n.0" or "next.n".
            good = len(found) == len(expected) and all(
                want in name.split(".") for want, name in zip(expected, found))
            tap.case(f"mutable globals: case {i} {' '.join(flags)}",
                     [] if good else [f"found {found}, expected {expected}"])


def test_headers(tap, compiler):
    cases = [
        ("#ifndef A\n#define A\n#include <stdint.h>\nint64_t a(void);\n#endif\n", True),
        ("#ifndef A\n#define A\nint64_t a(void);\n#endif\n", False),
        ("#ifndef A\n#define A\nint a();\n#endif\n", False),
        ("struct a {\n    int b;\n};\n", False),
    ]
    for i, (text, good) in enumerate(cases):
        with tempfile.TemporaryDirectory() as root:
            write(root, {"low/a.h": text})
            problems = lint_headers.compile_alone(compiler, "c", root, "low/a.h")
        tap.case(f"headers alone: case {i} {'passes' if good else 'fails'}",
                 [] if bool(problems) != good else [f"found {problems}"])


def test_format(tap):
    """A stand-in for clang-format that dislikes files with the word ugly."""
    script = "#!/bin/sh\nfor last; do :; done\n! grep -l ugly \"$last\" >&2\n"
    with tempfile.TemporaryDirectory() as root:
        write(root, {"fmt": script, "a.c": "int ugly;\n", "b.c": "int fine;\n"})
        program = os.path.join(root, "fmt")
        os.chmod(program, 0o755)
        found = [lint_format.differs(program, root, path) for path in ("a.c", "b.c")]
    tap.case("format: finds what clang-format would change",
             [] if found == [["a.c"], []] else [f"found {found}"])


def main():
    compiler = sys.argv[1].split()
    tap = Tap()
    test_sources(tap)
    test_link(tap, compiler)
    test_globals(tap, compiler)
    test_headers(tap, compiler)
    test_format(tap)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
