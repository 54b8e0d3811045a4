#!/usr/bin/env python3
"""The counts of a study, made again from logits with the standard library alone.

    study_check.py ids FILE.npy STRINGS.txt ORDER        the strings as rows of ids, padded with -1
    study_check.py count LOGITS.npy STRINGS.txt SYMBOLS  strings with every output right, all and
        without the last one; the mean over batches of 32 of the latter. SYMBOLS are pairs, and a
        closing one may follow where its own counter is above 0
    study_check.py share STRINGS.txt OTHER.txt           padding share of the first file, share of
        the second file's strings that are in the first
"""
import ast
import struct
import sys

BATCH = 32


def strings(path):
    return [line for line in open(path).read().split("\n") if line]


def write_ids(path, rows):
    width = max(len(r) for r in rows)
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({len(rows)}, {width}), }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        for r in rows:
            f.write(struct.pack(f"<{width}q", *r, *[-1] * (width - len(r))))


def read(path):
    raw = open(path, "rb").read()
    size = struct.unpack("<H", raw[8:10])[0]
    shape = ast.literal_eval(raw[10:10 + size].decode())["shape"]
    flat = struct.unpack(f"<{shape[0] * shape[1]}f", raw[10 + size:])
    return [flat[i:i + shape[1]] for i in range(0, len(flat), shape[1])]


def right(text, logits, symbols):
    count = {}
    for t, symbol in enumerate(text):
        place = symbols.index(symbol)
        kind = place // 2
        count[kind] = count.get(kind, 0) + (1 if place % 2 == 0 else -1)
        for k in range(len(symbols)):
            may = k % 2 == 0 or count.get(k // 2, 0) > 0
            if (logits[t][k] > 0) != may:
                return False
    return True


what, args = sys.argv[1], sys.argv[2:]
if what == "ids":
    write_ids(args[0], [[args[2].index(c) for c in s] for s in strings(args[1])])
elif what == "count":
    logits, answers, row = read(args[0]), [], 0
    for text in strings(args[1]):
        answers.append(right(text, logits[row:row + len(text)], args[2]))
        row += len(text)
    assert row == len(logits), (row, len(logits))
    scored = answers[:-1]
    batches = [scored[i:i + BATCH] for i in range(0, len(scored), BATCH)]
    mean = sum(sum(b) / len(b) for b in batches) / len(batches)
    print(sum(answers), len(answers), sum(scored), len(scored), f"{mean:.6f}")
elif what == "share":
    train, other = strings(args[0]), strings(args[1])
    longest = max(len(s) for s in train)
    known = set(train)
    print(f"{1 - sum(len(s) for s in train) / (longest * len(train)):.6f}",
          f"{sum(s in known for s in other) / len(other):.6f}")
