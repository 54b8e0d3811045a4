#!/usr/bin/env python3
"""The table of targets and what was measured, as Markdown on standard output.

usage: targets.py --build FOLDER    measures everything (a quarter of an hour), then prints
       targets.py FILE.json..       prints what `sonde bench PART --json` and
                                    `tests/bench/peers/compare --json` have written into these files
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# (part, measure) of sonde bench, and what is asked of the ratio, or of the value where there is no
# limit. A measure of the Llama shape has "llama " before its part.
TARGETS = {
    ("forward", "256 tokens"): ">= 0.85",
    ("forward", "256, with logits"): ">= 0.85",
    ("forward", "8 to 32 tokens"): ">= 0.75",
    ("forward", "one of 1,024 tokens"): ">= 0.75",
    ("llama forward", "256 tokens"): ">= 0.85",
    ("llama forward", "256, with logits"): ">= 0.85",
    ("record", "resid over nothing"): ">= 0.95",
    ("store", "write"): ">= 0.75",
    ("store", "read"): ">= 1",
    ("store", "one row anywhere"): "<= 100",
    ("store", "open 1M tokens"): "<= 50",
    ("probe", "17 classes, streamed"): ">= 0.6",
    ("lens", "all layers, top 5"): ">= 0.85",
    ("kv", "one layer, top 10"): ">= 0.85",
    ("figure", "2,048^2 noise"): ">= 3.3",
    ("figure", "2,048^2 pattern"): ">= 3.3",
}


def met(value, target):
    sign, number = target.split()
    return value >= float(number) if sign == ">=" else value <= float(number)


def row(what, unit, limit, achieved, ratio, target, answer=""):
    """ratio: median, least, largest, or None."""
    value = ratio[0] if ratio else achieved
    verdict = "" if not target else "yes" if met(value, target) else "no"
    spread = "%.2f (%.2f to %.2f)" % tuple(ratio) if ratio else ""
    numbers = ["" if x is None else "%.4g" % x for x in (limit, achieved)]
    print("| %s |" % " | ".join([what, *numbers, unit, spread, target, verdict + answer]))


def from_bench(result, seen):
    table, = [t for t in result["tables"] if t["name"] == "bench"]
    llama = "llama " if result["parameters"]["model"] == "llama" else ""
    for cells in table["rows"]:
        r = dict(zip(table["columns"], cells))
        key = (llama + r["part"], r["measure"])
        seen.add(key)
        ratio = None if r["ratio"] is None else (r["ratio"], r["low"], r["high"])
        row("%s: %s" % key, r["unit"], r["limit"], r["achieved"], ratio, TARGETS.get(key, ""))


def from_peers(result):
    for r in result["comparisons"]:
        row("%s, of %s" % (r["name"], r["peer"]), "s", r["theirs_seconds"], r["ours_seconds"],
            (r["ratio"], r["low"], r["high"]), r["target"],
            "" if r["same_answer"] else " (NOT the same answer: %s)" % r["answer"])


def measured(build):
    sonde = os.path.join(build, "tools", "sonde")
    compare = os.path.join(HERE, "peers", "compare")
    for command in ([sonde, "bench", "all", "--json", "-q"],
                    [sonde, "bench", "forward", "--shape", "llama", "--json", "-q"],
                    [compare, "--build", build, "--json"]):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.stdout:
            yield json.loads(done.stdout)


def saved(paths):
    for path in paths:
        with open(path) as file:
            yield json.load(file)


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--build":
        results = measured(arguments[1])
    elif arguments and not arguments[0].startswith("-"):
        results = saved(arguments)
    else:
        sys.stderr.write(__doc__)
        return 2
    seen = set()
    print("| what | limit or peer | achieved | unit | ratio | target | met |")
    print("|---|---|---|---|---|---|---|")
    for result in results:
        if "comparisons" in result:
            from_peers(result)
        else:
            from_bench(result, seen)
    for key in sorted(set(TARGETS) - seen):
        sys.stderr.write("targets.py: nothing was measured as '%s: %s'\n" % key)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
