#!/usr/bin/env python3
"""Vectors for edits, and what edited runs must hold, with the standard library alone.

    edit_check.py vector FILE N..              writes float32 values
    edit_check.py spread FILE N                N values that are no special direction
    edit_check.py ids FILE RESULT.json N..     the ids N.. and then those of a generation
    edit_check.py greedy LOGITS.npy RESULT.json  whether each generated id is the argmax of its row
    edit_check.py mean ALL.npy GOT.npy         whether every row of GOT is the mean row of ALL
    edit_check.py along ROWS.npy V.npy         whether no row has anything left along v
    edit_check.py beside NOW.json TABLE COLUMN EDITED.json CONTROL.json..
                                               whether NOW's table TABLE.edit_control holds what the
                                               other results say, each made for itself
    edit_check.py slope LOW.npy HIGH.npy ID STEP GRADIENT.npy V.npy
                                               whether the gradient of the last row's logit ID along
                                               v is its difference between x - STEP v and x + STEP v
"""
import ast
import json
import struct
import sys


def read(path):
    raw = open(path, "rb").read()
    size = struct.unpack("<H", raw[8:10])[0]
    shape = ast.literal_eval(raw[10:10 + size].decode())["shape"]
    data = [x[0] for x in struct.iter_unpack("<f", raw[10 + size:])]
    width = shape[-1]
    return [data[i:i + width] for i in range(0, len(data), width)]


def write(path, descr, code, values):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({len(values)},), }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        f.write(struct.pack(f"<{len(values)}{code}", *values))


def generated(path):
    tables = json.load(open(path))["tables"]
    table = [t for t in tables if t["name"] == "tokens"][0]
    return [row[table["columns"].index("id")] for row in table["rows"]]


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


what, args = sys.argv[1], sys.argv[2:]
if what == "vector":
    write(args[0], "<f4", "f", [float(x) for x in args[1:]])
elif what == "spread":
    write(args[0], "<f4", "f", [(i * 37 % 101) / 50 - 1 for i in range(int(args[1]))])
elif what == "ids":
    write(args[0], "<i8", "q", [int(x) for x in args[2:]] + generated(args[1]))
elif what == "greedy":
    rows, ids = read(args[0]), generated(args[1])
    first = len(rows) - len(ids)
    best = [row.index(max(row)) for row in rows[first - 1:-1]]
    print(len(ids), best == ids)
elif what == "mean":
    rows, got = read(args[0]), read(args[1])
    mean = [f32(sum(column) / len(rows)) for column in zip(*rows)]
    print(all(row == mean for row in got))
elif what == "along":
    v = read(args[1])[0]
    for row in read(args[0]):
        left = sum(a * b for a, b in zip(row, v))
        # Half an ulp of every value is what rounding leaves.
        assert abs(left) <= sum(abs(a * b) for a, b in zip(row, v)) * 2 ** -23, left
    print(True)
elif what == "slope":
    low, high = read(args[0])[-1][int(args[2])], read(args[1])[-1][int(args[2])]
    v = read(args[5])[0]
    along = sum(g * x for row in read(args[4]) for g, x in zip(row, v))
    difference = (high - low) / (2 * float(args[3]))
    # The logits' rounding over the step, and the cubic term, are below a hundredth here.
    print(abs(along - difference) <= 0.01 * abs(along), abs(along) > 0.02)
elif what == "beside":
    def column(path, table, name):
        t = [t for t in json.load(open(path))["tables"] if t["name"] == table][0]
        return [row[t["columns"].index(name)] for row in t["rows"]]

    now, table, name = args[:3]
    runs = [column(path, table, name) for path in args[3:]]
    beside = table + ".edit_control"
    expected = {"": lambda own, x: own, ".control.mean": lambda own, x: sum(x) / len(x),
                ".control.low": lambda own, x: min(x), ".control.high": lambda own, x: max(x)}
    for suffix, of in expected.items():
        got = column(now, beside, name + suffix)
        wanted = [of(row[0], row[1:]) for row in zip(*runs)]
        assert len(got) == len(wanted) and all(abs(a - b) <= 1e-7 * (1 + abs(b))
                                               for a, b in zip(got, wanted)), (suffix, got, wanted)
    print(True, any(a != b for a, b in zip(runs[0], runs[1])))
