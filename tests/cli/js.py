#!/usr/bin/env python3
"""js.py EXPRESSION: evaluates it over the JSON result on standard input: r is the document, s its
scalars, tab(name) a table as a list of dicts."""
import json
import sys

r = json.load(sys.stdin)
s = r["scalars"]


def tab(name):
    table = [t for t in r["tables"] if t["name"] == name][0]
    return [dict(zip(table["columns"], row)) for row in table["rows"]]


print(eval(sys.argv[1]))
