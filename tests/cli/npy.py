#!/usr/bin/env python3
"""Small work with .npy files and the standard library alone.

    npy.py ids FILE N..            writes int64 ids
    npy.py shape FILE              prints dtype and shape
    npy.py compare F32 F16 F32     whether the second and third are the first, rounded to f16 and bf16
    npy.py csv FILE CSV            whether the CSV's value columns are the matrix
"""
import ast
import csv
import struct
import sys


def read(path):
    raw = open(path, "rb").read()
    size = struct.unpack("<H", raw[8:10])[0]
    header = ast.literal_eval(raw[10:10 + size].decode())
    code = {"<f4": "f", "<f2": "e"}[header["descr"]]
    data = raw[10 + size:]
    return header, [x[0] for x in struct.iter_unpack("<" + code, data)]


def round_bf16(x):
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    bits += 0x7fff + (bits >> 16 & 1)
    return struct.unpack("<f", struct.pack("<I", bits & 0xffff0000))[0]


what, files = sys.argv[1], sys.argv[2:]
if what == "ids":
    ids = [int(x) for x in files[1:]]
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({len(ids)},), }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    with open(files[0], "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        f.write(struct.pack(f"<{len(ids)}q", *ids))
elif what == "shape":
    header, values = read(files[0])
    print(header["descr"], header["fortran_order"], header["shape"], len(values))
elif what == "compare":
    (h0, full), (h1, half), (h2, brain) = (read(f) for f in files)
    print(h1["descr"], half == [struct.unpack("<e", struct.pack("<e", x))[0] for x in full])
    print(h2["descr"], brain == [round_bf16(x) for x in full])
elif what == "csv":
    header, values = read(files[0])
    rows = list(csv.reader(open(files[1], newline="")))
    flat = [struct.unpack("<f", struct.pack("<f", float(x)))[0] for r in rows[1:] for x in r[2:]]
    print(rows[0][:3], len(rows) - 1, flat == values)
