#!/usr/bin/env python3
"""Makes a wrong or differently spelt copy of a float32 safetensors reference.

    edit_reference.py IN OUT NAME DELTA          adds DELTA (or writes nan) to the first value
    edit_reference.py IN OUT rename OLD=NEW..    gives tensors other names
    edit_reference.py IN OUT reshape NAME        swaps the two axes' sizes
"""
import json
import math
import struct
import sys

source, target, what = sys.argv[1:4]
raw = open(source, "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
header, data = json.loads(raw[8:8 + size]), bytearray(raw[8 + size:])
if what == "rename":
    for pair in sys.argv[4:]:
        old, new = pair.split("=")
        header[new] = header.pop(old)
elif what == "reshape":
    header[sys.argv[4]]["shape"].reverse()
else:
    at = header[what]["data_offsets"][0]
    delta = float(sys.argv[4])
    value = delta if math.isnan(delta) else struct.unpack("<f", data[at:at + 4])[0] + delta
    data[at:at + 4] = struct.pack("<f", value)
text = json.dumps(header).encode()
with open(target, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + data)
