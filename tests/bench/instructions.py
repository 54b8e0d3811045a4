#!/usr/bin/env python3
"""Instruction counts of five small fixed workloads, held against those in instructions.txt.

usage: instructions.py BUILD_FOLDER            prints measured against committed counts; exit status
                                               1 where one is more than 3 % off
       instructions.py BUILD_FOLDER --update   writes the counts into instructions.txt instead

Counted by valgrind's callgrind, whose processor is the same everywhere (it has AVX2 and no
AVX-512), in one thread, with OpenBLAS's kernels fixed and a fixed environment. What else the counts
depend on (compiler, libraries, whether the machine has AVX2) is in the head of instructions.txt;
where it differs nothing is compared, and a line says so. The last line is "PASSED FAILED SKIPPED".
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
FIGURES = os.path.join(HERE, "instructions.txt")
LIMIT = 0.03
PACKAGES = ("libc6", "libopenblas0-pthread", "liblapacke", "libsqlite3-0", "zlib1g", "libpng16-16",
            "libjansson4", "liblbfgs0")
ONE_THREAD = ("--threads", "1", "-q")
RECORD = ("SONDE", "record", "tiny", "--formal", "dyck-1:n=100,len=2..40,ids=T()", "--sites",
          "resid", *ONE_THREAD, "-o")
# Made before anything is counted: models of random weights, and a store with labels.
PREPARE = (
    ("MAKE_MODEL", "tiny", "tiny"),
    ("MAKE_MODEL", "lens", "lens"),
    RECORD + ("s.db",),
    ("SONDE", "label", "s.db", "--set", "depth", "--builtin", "depth", "-q"),
)
WORKLOADS = (
    ("record", RECORD + ("counted.db",)),
    ("read", ("SONDE", "export", "s.db", "--streams", "blocks.*.hook_resid_post", "-o",
              "x.safetensors", *ONE_THREAD)),
    ("fit", ("SONDE", "probe", "linear", "s.db", "--streams", "blocks.1.hook_resid_post",
             "--labels", "depth", "--l2", "1", "--max-iterations", "20", "--bootstrap", "0",
             "--no-store", *ONE_THREAD)),
    ("lens", ("SONDE", "probe", "logit-lens", "lens", "--formal",
              "dyck-1:n=4,len=20..30,ids=T()", "--sequence", "all", *ONE_THREAD)),
    ("png", ("COUNT_PNG", "x.png")),
)


def first_line(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True).stdout.partition("\n")[0]
    except OSError:
        return "none"


def conditions(build):
    """What the counts depend on besides the program's own text, as `key: value` lines."""
    with open("/proc/cpuinfo") as file:
        avx2 = re.search(r"^flags.*\bavx2\b", file.read(), re.M) is not None
    with open(os.path.join(build, "meson-info", "intro-buildoptions.json")) as file:
        options = {option["name"]: option["value"] for option in json.load(file)}
    with open(os.path.join(build, "compile_commands.json")) as file:
        compiler = first_line(json.load(file)[0]["command"].split()[0], "--version")
    lines = ["compiler: %s, %s" % (compiler, options["buildtype"]),
             "valgrind: " + first_line("valgrind", "--version"),
             "processor: %s, %s AVX2" % (os.uname().machine, "with" if avx2 else "without")]
    for package in PACKAGES:
        version = first_line("dpkg-query", "-W", "-f", "${Version}\n", package) or "none"
        lines.append("%s: %s" % (package, version))
    return lines


def read_figures():
    """The conditions, and the counts by name."""
    lines, counts = [], {}
    with open(FIGURES) as file:
        for line in file.read().splitlines():
            name, _, count = line.partition(" ")
            if line.startswith("#") and ": " in line:
                lines.append(line[2:])
            elif not line.startswith("#"):
                counts[name] = int(count.replace(",", ""))
    return lines, counts


def write_figures(lines, counts):
    with open(FIGURES, "w") as file:
        file.write("# Instructions of the workloads of instructions.py, which writes this file.\n")
        file.writelines("# %s\n" % line for line in lines)
        file.writelines("%s %s\n" % (name, format(count, ",")) for name, count in counts.items())


class Failed(Exception):
    pass


class Counter:
    def __init__(self, build, folder):
        build = os.path.abspath(build)
        self.programs = {"SONDE": os.path.join(build, "tools", "sonde"),
                         "MAKE_MODEL": os.path.join(build, "tests", "bench", "make_model"),
                         "COUNT_PNG": os.path.join(build, "tests", "bench", "count_png")}
        self.folder = folder
        # Nothing of the caller's: even its length would count.
        self.environment = {"PATH": os.defpath, "HOME": folder, "LC_ALL": "C", "TZ": "UTC",
                            "OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}

    def run(self, words, *before):
        command = [*before, self.programs[words[0]], *words[1:]]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0:
            raise Failed("%s: %s" % (" ".join(words[:3]), done.stderr.strip()[-300:]))
        return done.stderr

    def count(self, words):
        text = self.run(words, "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
        return int(re.search(r"Collected\s*:\s*(\d+)", text).group(1))


def compare(name, count, committed):
    if committed is None:
        print("%-8s %14s instructions, none committed" % (name, format(count, ",")))
        return False
    off = count / committed - 1
    ok = abs(off) <= LIMIT
    print("%-8s %14s instructions, committed %14s, %+.2f %%%s" % (
        name, format(count, ","), format(committed, ","), 100 * off, "" if ok else ": more than 3"))
    return ok


def skip(words):
    print("instruction counts skipped: " + words)
    print("0 0 %d" % len(WORKLOADS))
    return 0


def main(arguments):
    update = arguments[1:] == ["--update"]
    if len(arguments) != 1 and not update:
        sys.stderr.write(__doc__)
        return 2
    if not shutil.which("valgrind"):
        return skip("valgrind is not installed")
    if not os.path.exists(FIGURES) and not update:
        return skip("tests/bench/instructions.txt is not there")
    known, committed = read_figures() if os.path.exists(FIGURES) else ([], {})
    here = conditions(arguments[0])
    other = [line for line in here if line not in known]
    if other and not update:
        return skip("counted where other versions are installed; here: " + "; ".join(other))
    folder = tempfile.mkdtemp(prefix="sonde-count-")
    try:
        counter = Counter(arguments[0], folder)
        for name in ("tiny", "lens"):
            os.mkdir(os.path.join(folder, name))
        for words in PREPARE:
            counter.run(words)
        counts = {name: counter.count(words) for name, words in WORKLOADS}
    except Failed as error:
        print("instruction counts: %s" % error)
        print("0 1 0")
        return 1
    finally:
        shutil.rmtree(folder)
    if update:
        write_figures(here, counts)
        committed = counts
    good = [compare(name, count, committed.get(name)) for name, count in counts.items()]
    if not all(good):
        print("if that is meant: tests/bench/instructions.py %s --update, and say why in the commit"
              % arguments[0])
    print("%d %d 0" % (sum(good), len(good) - sum(good)))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
