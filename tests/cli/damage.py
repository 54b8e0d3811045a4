#!/usr/bin/env python3
"""Flips one byte in the middle of the largest blob of a store, past SQLite."""
import sqlite3
import sys

store = sqlite3.connect(sys.argv[1])
data = store.execute("SELECT data FROM chunk ORDER BY length(data) DESC, id LIMIT 1").fetchone()[0]
store.close()
raw = bytearray(open(sys.argv[1], "rb").read())
piece = bytes(data[len(data) // 2:len(data) // 2 + 64])
at = raw.find(piece)
assert at > 0
raw[at] ^= 1
open(sys.argv[1], "wb").write(raw)
