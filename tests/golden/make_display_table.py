#!/usr/bin/env python3
"""Prints analysis/display_table.c: code points that take no column or two on a terminal.

Made from Python's unicodedata: no column for the categories Mn, Me and Cf (but not the soft hyphen) and
for Hangul vowel and final jamo; two columns for East Asian Width W and F. Unassigned code points between
two of a kind join them, so that the table stays short.

    python3 tests/golden/make_display_table.py > analysis/display_table.c
"""
import unicodedata


def kind(c):
    if 0xD800 <= c <= 0xDFFF:
        return 1
    char = chr(c)
    category = unicodedata.category(char)
    if category == "Cn":
        return None
    if c != 0xAD and (category in ("Mn", "Me", "Cf") or 0x1160 <= c <= 0x11FF):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def ranges(wanted):
    out, begin, end = [], None, None
    for c in range(0x300, 0xE0200):
        k = kind(c)
        if k == wanted:
            begin = c if begin is None else begin
            end = c
        elif k is not None and begin is not None:
            out.append((begin, end))
            begin = None
    if begin is not None:
        out.append((begin, end))
    return out


def show(name, items):
    print("const struct sonde_display_range %s[] = {" % name)
    line = "   "
    for begin, end in items:
        part = " { 0x%x, 0x%x }," % (begin, end)
        if len(line) + len(part) > 100:
            print(line)
            line = "   "
        line += part
    print(line)
    print("};")
    print("const int %s_count = %d;" % (name, len(items)))


print("/* Made by tests/golden/make_display_table.py from Unicode %s. */" % unicodedata.unidata_version)
print('#include "analysis/display_table.h"')
print()
show("sonde_display_zero", ranges(0))
print()
show("sonde_display_wide", ranges(2))
