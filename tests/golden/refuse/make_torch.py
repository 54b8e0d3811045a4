#!/usr/bin/env python3
"""Writes PyTorch checkpoints that must be read and such that must be refused.

usage: make_torch.py FOLDER

FOLDER/values.tsv: file, tensor, dtype, sizes, values (hexadecimal floats) of the good ones, known
because they are written here; FOLDER/refused.tsv: file, message, in which @ stands for the file's
path; FOLDER/*.pkl: bare pickles. Standard library only: Python's own pickle and zipfile modules
write the good files (with stand-ins for torch's names), hand-made bytes the bad ones."""
import collections
import io
import math
import os
import pickle
import struct
import sys
import types
import zipfile
import zlib

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
values, refused = [], []


def write(name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


# --- A zip writer that can lie. Each member: (name, bytes, changes). --------------------------------
def make_zip(members, zip64=True, descriptor=True, tail=b"", n=None, end=None, end64=None,
             locator_shift=0, disk=0, magic=b"PK\x03\x04"):
    out, central = b"", b""
    for member in members:
        name, data = member[0].encode(), member[1]
        lie = dict(member[2]) if len(member) > 2 else {}
        crc = zlib.crc32(data)
        flags = lie.get("flags", 0x808 if descriptor else 0x800)
        method = lie.get("method", 0)
        size = lie.get("size", len(data))
        packed = lie.get("packed", size)
        place = lie.get("header", len(out))
        pad = b"" if lie.get("bare") else b"FB" + struct.pack("<H", 5) + b"ZZZZZ"
        local_sizes = lie.get("local", (0, 0, 0) if descriptor else (crc, packed, size))
        out += struct.pack("<4sHHHHHIIIHH", magic if not out else b"PK\x03\x04", 0,
                           lie.get("local_flags", flags), lie.get("local_method", method), 0, 0,
                           *[x & 0xffffffff for x in local_sizes],
                           len(lie.get("local_name", name)), lie.get("local_extra", len(pad)))
        out += lie.get("local_name", name) + pad + data
        if descriptor:
            out += struct.pack("<4sIII", b"PK\x07\x08", crc, len(data), len(data))
        extra = lie.get("extra", b"")
        central += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 0, 0, flags, method, 0, 0, crc,
                               packed & 0xffffffff, size & 0xffffffff, len(name), len(extra), 0, 0,
                               0, 0, place & 0xffffffff) + name + extra
    start = len(out)
    n = len(members) if n is None else n
    out += central
    if zip64:
        record = len(out)
        fields = [n, n, len(central), start]
        for i, v in (end64 or {}).items():
            fields[i] = v
        out += struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, disk, 0, *fields)
        out += struct.pack("<4sIQI", b"PK\x06\x07", 0, record + locator_shift, 1)
    fields = [n, n, len(central), start]
    for i, v in (end or {}).items():
        fields[i] = v
    return out + struct.pack("<4sHHHHIIH", b"PK\x05\x06", disk, disk, *fields, 0) + tail


# --- Good files: Python's own pickler with stand-ins for torch's names. ------------------------------
def stand_in(module, name):
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[:i + 1]), types.ModuleType(parts[i]))
    made = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, made)
    return made


def function(module, name):
    stand_in(module, name)

    def made(*args):
        raise AssertionError
    made.__module__, made.__name__, made.__qualname__ = module, name, name
    setattr(sys.modules[module], name, made)
    return made


rebuild = function("torch._utils", "_rebuild_tensor_v2")
parameter = function("torch._utils", "_rebuild_parameter")
Voc = stand_in("src.utils.helper", "Voc")
KINDS = {"F32": ("Float", "f"), "F64": ("Double", "d"), "F16": ("Half", "e"), "I64": ("Long", "q"),
         "I32": ("Int", "i"), "I16": ("Short", "h"), "I8": ("Char", "b"), "U8": ("Byte", "B"),
         "BOOL": ("Bool", "?"), "BF16": ("BFloat16", None)}
storage_type = {k: stand_in("torch", v[0] + "Storage") for k, v in KINDS.items()}


class Storage:
    def __init__(self, key, dtype, numbers):
        self.key, self.dtype, self.numbers = str(key), dtype, list(numbers)

    def bytes(self):
        if self.dtype == "BF16":
            return b"".join(struct.pack("<f", v)[2:] for v in self.numbers)
        return struct.pack("<%d%s" % (len(self.numbers), KINDS[self.dtype][1]), *self.numbers)


class Tensor:
    def __init__(self, storage, size, stride=None, first=0, wrap=False):
        self.storage, self.size, self.first, self.wrap = storage, tuple(size), first, wrap
        if stride is None:
            stride, step = [], 1
            for d in reversed(size):
                stride.insert(0, step)
                step *= d
        self.stride = tuple(stride)

    def __reduce_ex__(self, protocol):
        if self.wrap:
            inner = Tensor(self.storage, self.size, self.stride, self.first)
            return parameter, (inner, True, collections.OrderedDict())
        return rebuild, (self.storage, self.first, self.size, self.stride, False,
                         collections.OrderedDict())

    def elements(self):
        at = [self.first]
        for d, s in zip(self.size, self.stride):
            at = [a + i * s for a in at for i in range(d)]
        return [self.storage.numbers[a] for a in at]


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", storage_type[value.dtype], value.key, "cpu", len(value.numbers))
        return None


def dump(tree, protocol):
    out = io.BytesIO()
    Pickler(out, protocol).dump(tree)
    return out.getvalue()


def storages(tensors):
    return {t.storage.key: t.storage for t in tensors}.values()


def good(name, tree, tensors, protocol, own_zip=True):
    data = dump(tree, protocol)
    write(name + ".pkl", data)
    members = [("archive/data.pkl", data), ("archive/byteorder", b"little")]
    members += [("archive/data/" + s.key, s.bytes()) for s in storages(tensors.values())]
    members += [("archive/version", b"3\n")]
    if own_zip:
        write(name + ".pt", make_zip(members))
    else:
        with zipfile.ZipFile(os.path.join(folder, name + ".pt"), "w") as f:
            for member in members:
                f.writestr(member[0], member[1])
    for key, t in tensors.items():
        values.append((name + ".pt", key, t.storage.dtype, ",".join(map(str, t.size)),
                       " ".join(float(v).hex() for v in t.elements())))


shared = Storage(0, "F32", [i * 0.25 - 3 for i in range(24)])
plain = {
    "whole": Tensor(shared, [4, 6]),
    "transposed": Tensor(shared, [6, 4], [1, 6]),
    "column": Tensor(shared, [4], [6], 2),
    "corner": Tensor(shared, [2, 3], [6, 1], 7),
    "middle": Tensor(shared, [2, 1, 6], [6, 99, 1], 12),
    "every other": Tensor(shared, [2, 2, 3], [12, 6, 2]),
    "scalar": Tensor(shared, [], [], 23),
    "empty": Tensor(shared, [3, 0, 2], [0, 2, 1], 24),
    "parameter": Tensor(shared, [24], wrap=True),
}
for kind, n in (("F64", 3), ("F16", 3), ("BF16", 4), ("I64", 3), ("I32", 3), ("I16", 3), ("I8", 3),
                ("U8", 3), ("BOOL", 2)):
    numbers = {"BOOL": [True, False], "U8": [0, 7, 255], "I64": [-2**40, 0, 2**40],
               "BF16": [1.5, -2.0, 0.0078125, 3.0]}.get(kind, [-3, 0, 5])
    plain[kind] = Tensor(Storage("k_" + kind, kind, numbers), [n])
for protocol in (2, 3, 4, 5):
    good("plain%d" % protocol, collections.OrderedDict(plain), plain, protocol, protocol % 2 == 0)

voc = Voc()
voc.w2id = {"T": 0, "(": 1, ")": 2}
checkpoint = {"epoch": 19, "negative": -70000, "large": 2**40, "lr": 0.005, "none": None, "yes": True,
              "list": [1, [2, (3, 4.5)], "f\u00fcnf"], "voc": voc,
              "model_state_dict": collections.OrderedDict(whole=plain["whole"]),
              "optimizer_state_dict": {"state": {0: {"step": plain["scalar"]}}}}
good("nested", checkpoint, {"whole": plain["whole"]}, 2)
good("state_dict", {"state_dict": {"t": plain["column"]}}, {"t": plain["column"]}, 4)

# --- Models: a post-norm encoder, with and without a table of positions. -----------------------------
def encoder(name, table):
    D, F, V, outputs, made = 4, 6, 5, 3, collections.OrderedDict()

    def add(key, *size):
        n, first = math.prod(size), len(made)
        numbers = [((i * 37 + first * 11 + 5) % 29 - 14) / 16 for i in range(n)]
        made[key] = Tensor(Storage("e%d" % first, "F32", numbers), size)
    add("encoder.weight", V, D)
    layer = "transformer_encoder.layers.0."
    for key, size in (("self_attn.in_proj_weight", (3 * D, D)), ("self_attn.in_proj_bias", (3 * D,)),
                      ("self_attn.out_proj.weight", (D, D)), ("self_attn.out_proj.bias", (D,)),
                      ("linear1.weight", (F, D)), ("linear1.bias", (F,)),
                      ("linear2.weight", (D, F)), ("linear2.bias", (D,)),
                      ("norm1.weight", (D,)), ("norm1.bias", (D,)),
                      ("norm2.weight", (D,)), ("norm2.bias", (D,))):
        add(layer + key, *size)
    add("decoder.weight", outputs, D)
    add("decoder.bias", outputs)
    if table:
        made["pos_encoder.pe"] = Tensor(Storage("pe", "F32", table), [len(table) // D, 1, D])
    made = collections.OrderedDict(("model." + k, v) for k, v in made.items())
    good(name, {"model_state_dict": made}, made, 2)


def single(v):
    return struct.unpack("<f", struct.pack("<f", v))[0]


encoder("encoder", None)
encoder("encoder_sin", [single((math.cos if d % 2 else math.sin)(t / 10000 ** ((d - d % 2) / 4)))
                        for t in range(9) for d in range(4)])
encoder("encoder_cos", [(-1.0) ** t for t in range(9) for d in range(4)])

# --- What must be refused. ----------------------------------------------------------------------------
P2, STOP = b"\x80\x02", b"."
STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu%st" + b"Q"


def integer(v):
    return b"J" + struct.pack("<i", v) if -2**31 <= v < 2**31 else b"\x8a\x08" + struct.pack("<q", v)


def numbers(items):
    return b"(" + b"".join(map(integer, items)) + b"t"


def tensor(first=0, size=(2, 3), stride=(3, 1), n=6, storage=None, rest=b"\x89ccollections\nOrderedDict\n)R"):
    storage = STORAGE.replace(b"%s", integer(n)) if storage is None else storage
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(first) + numbers(size) +
            numbers(stride) + rest + b"tR")


def state(*tensors):
    return P2 + b"}(" + b"".join(b"X\x01\0\0\0w" + t for t in tensors) + b"u" + STOP


DATA = struct.pack("<6f", *range(6))


def members(data, storage=DATA, **lie):
    return [("a/data.pkl", data, lie), ("a/data/0", storage)]


def refuse(name, data, message):
    write("bad_" + name + ".pt", data)
    refused.append(("bad_" + name + ".pt", "@: " + message))


def refuse_pickle(name, data, message):
    refuse(name, make_zip(members(data)), "data.pkl: " + message)


def refuse_value(name, value, message, at=None):
    """The value as the root of a pickle; `at` is counted from its first byte."""
    refuse_pickle(name, P2 + value + STOP, "byte %d: %s" % (2 + (at or 0), message))


fine = state(tensor())
write("fine.pt", make_zip(members(fine)))
write("fine.pkl", fine)
values.append(("fine.pt", "w", "F32", "2,3", " ".join(float(i).hex() for i in range(6))))
DIR = len(make_zip(members(fine))) - 98  # where the end records begin

# The container.
refuse("empty", b"", "0 bytes, too short for a checkpoint")
refuse("short", b"PK\x03\x04", "4 bytes, too short for a checkpoint")
refuse("legacy", b"\x80\x02\x8a\x0a" + b"l" * 100,
       "is no zip file (PyTorch before 1.6 wrote others: load it there and save it anew)")
refuse("tail", make_zip(members(fine), tail=b"x"),
       "does not end with a zip file's end record (cut off?)")
refuse("disk", make_zip(members(fine), disk=1), "the zip file is spread over several disks")
whole = make_zip(members(fine))
start = whole.index(b"PK\x01\x02")
central = DIR - start
refuse("directory_far", make_zip(members(fine), zip64=False, end={3: 2**31}),
       "a zip directory of %d bytes at offset 2147483648 in a file of %d bytes"
       % (central, len(whole) - 76))
refuse("directory_size", make_zip(members(fine), zip64=False, end={2: central - 1}),
       "a zip directory of %d bytes at offset %d in a file of %d bytes"
       % (central - 1, start, len(whole) - 76))
refuse("directory_wraps", make_zip(members(fine), end={2: 2**32 - 1, 3: 2**32 - 1},
                                   end64={2: 2**64 - 16, 3: 64}),
       "a zip directory of %d bytes at offset 64 in a file of %d bytes" % (2**64 - 16, len(whole)))
refuse("zip64_differs", make_zip(members(fine), end64={3: start + 1}),
       "the two end records of the zip file differ")
refuse("zip64_far", make_zip(members(fine), locator_shift=2**40),
       "the zip64 end record does not lie before its locator")
refuse("count_huge", make_zip(members(fine), end={0: 65535, 1: 65535}, end64={0: 2**62, 1: 2**62}),
       "%d members in a zip directory of %d bytes" % (2**62, central))
refuse("count_low", make_zip(members(fine), n=1), "the zip directory has more members than it says")
refuse("count_zero", make_zip([], zip64=True, n=0),
       "is no zip file (PyTorch before 1.6 wrote others: load it there and save it anew)")
refuse("deflated", make_zip(members(fine, method=8)),
       "member a/data.pkl: is compressed (method 8); torch.save stores its members as they are")
refuse("encrypted", make_zip(members(fine, flags=0x809)),
       "member a/data.pkl: zip flags 0x809 are not supported (encrypted)")
refuse("patched", make_zip(members(fine, flags=0x828)),
       "member a/data.pkl: zip flags 0x828 are not supported")
refuse("packed", make_zip(members(fine, packed=len(fine) - 1)),
       "member a/data.pkl: %d bytes stored for %d" % (len(fine) - 1, len(fine)))
refuse("size_far", make_zip(members(fine, size=2**31)),
       "member a/data.pkl: 2147483648 bytes at offset 0 in a file of %d bytes" % len(whole))
refuse("size_past", make_zip(members(fine, size=start)),
       "member a/data.pkl: %d bytes at offset 49, the members end at %d" % (start, start))
refuse("zip64_size", make_zip(members(fine, size=2**32 - 1, packed=2**32 - 1,
                                      extra=struct.pack("<HHQQ", 1, 16, 2**63, 2**63))),
       "member a/data.pkl: %d bytes at offset 0 in a file of %d bytes" % (2**63, len(whole) + 20))
refuse("zip64_missing", make_zip(members(fine, size=2**32 - 1, packed=2**32 - 1)),
       "member a/data.pkl: its zip64 sizes are cut off")
refuse("zip64_half", make_zip(members(fine, size=2**32 - 1, packed=2**32 - 1,
                                      extra=struct.pack("<HHQ", 1, 8, 5))),
       "member a/data.pkl: its zip64 sizes are cut off")
refuse("extra_long", make_zip(members(fine, size=2**32 - 1, packed=2**32 - 1,
                                      extra=struct.pack("<HH", 7, 60000))),
       "member a/data.pkl: its zip64 sizes are cut off")
refuse("header_past", make_zip(members(fine, header=start)),
       "member a/data.pkl: its header at offset %d lies past the members" % start)
refuse("header_wrong", make_zip(members(fine, header=1)),
       "member a/data.pkl: its header at offset 1 is not what the zip directory says")
refuse("local_name", make_zip(members(fine, local_name=b"a/data.pkx")),
       "member a/data.pkl: its header at offset 0 is not what the zip directory says")
refuse("local_deflated", make_zip(members(fine, local_method=8)),
       "member a/data.pkl: its header at offset 0 is not what the zip directory says")
refuse("local_size", make_zip(members(fine, local=(0, 5, 5))),
       "member a/data.pkl: its header at offset 0 is not what the zip directory says")
refuse("same_bytes", make_zip([("a/data.pkl", fine), ("a/data/0", DATA), ("a/data.pkl", fine,
                                                                          {"header": 0})]),
       "members a/data.pkl and a/data.pkl lie on the same bytes")
refuse("twice", make_zip([("a/data.pkl", fine), ("a/data.pkl", fine), ("a/data/0", DATA)]),
       "member a/data.pkl is there twice")
inner = make_zip([("a/data.pkl", fine)], zip64=False)
refuse("overlap", make_zip([("a/data.pkl", fine), ("a/x", inner), ("a/data/0", DATA),
                            ("a/data.pkl", b"", {"header": whole.index(b"PK\x03\x04", 4) + 42,
                                                 "size": len(fine)})]),
       "members a/x and a/data.pkl lie on the same bytes")
refuse("name_control", make_zip([("a/\x01", b"")]), "a member of the zip file has no plain name")
refuse("name_long", make_zip([("a/" + "n" * 510, b"")]), "a member of the zip file has no plain name")
refuse("no_pickle", make_zip([("a/other", b"")]), "a zip file without FOLDER/data.pkl, no checkpoint")
refuse("no_folder", make_zip([("data.pkl", fine)]),
       "a zip file without FOLDER/data.pkl, no checkpoint")
refuse("two_folders", make_zip(members(fine) + [("b/x", b"")]),
       "member b/x does not lie in folder a/")
refuse("script", make_zip(members(fine) + [("a/constants.pkl", b"")]),
       "a TorchScript program, which is code; save its state_dict()")
refuse("big_endian", make_zip(members(fine) + [("a/byteorder", b"big")]),
       "byte order 'big', only 'little' is supported")

# The pickle: opcodes.
refuse_pickle("empty_pickle", b"", "byte 0: the pickle is cut off")
refuse_pickle("protocol_0", b"(lp0\n.", "byte 0: is no pickle of protocol 2 to 5")
refuse_pickle("protocol_6", b"\x80\x06N.", "byte 0: pickle protocol 6, 2 to 5 are supported")
for code, name in ((b"ios\nsystem\n", "INST"), (b"(o", "OBJ"), (b"\x82\x01", "EXT1"),
                   (b"I1\n", "INT"), (b"Pid\n", "PERSID"), (b"\x92", "NEWOBJ_EX"), (b"0", "POP"),
                   (b"p0\n", "PUT"), (b"\x97", "NEXT_BUFFER"), (b"\x8f", "EMPTY_SET"),
                   (b"\x8b\0\0\0\0", "LONG4"), (b"\x8d" + b"\xff" * 8, "BINUNICODE8")):
    refuse_value("op_" + name.lower(), code, "opcode %s is not allowed" % name, code == b"(o")
refuse_value("op_unknown", b"\xff", "0xff is no opcode")
refuse_value("op_zero", b"\0", "0x00 is no opcode")
refuse_pickle("trailing", P2 + b"N.N", "byte 3: 1 bytes after the end")
refuse_pickle("two_values", P2 + b"NN.", "byte 4: more than one value at the end")
refuse_pickle("open_mark", P2 + b"(N.", "byte 4: more than one value at the end")
refuse_pickle("nothing", P2 + b".", "byte 2: the stack is empty")
refuse_value("no_mark", b"t", "there is no mark")
refuse_value("tuple_short", b"N\x86", "the stack is empty", 1)
refuse_value("through_mark", b"N(\x85", "the stack is empty", 2)
refuse_value("append_none", b"NNa", "1 values put into None", 2)
refuse_value("append_tuple", b")Na", "1 values put into a tuple", 2)
refuse_value("odd_items", b"}(Nu", "1 values put into a dict", 3)
refuse_value("text_huge", b"X\xff\xff\xff\xff", "the pickle is cut off")
refuse_value("text_bad", b"X\x01\0\0\0\xff", "a text that is not UTF-8")
refuse_value("bytes_huge", b"B\xff\xff\xff\x7f", "the pickle is cut off")
refuse_value("long_huge", b"\x8a\x09" + b"\1" * 9, "a whole number of 9 bytes, at most 8")
refuse_value("frame_huge", b"\x95" + b"\xff" * 8,
             "a frame of 18446744073709551615 bytes, 1 are left")
refuse_value("memo_empty", b"h\x07", "slot 7 of the memo is empty")
refuse_value("memo_huge", b"Nr\xff\xff\xff\x7f",
             "slot 2147483647 of the memo, at most 1048576 are allowed", 1)
refuse_value("marks", b"(" * 100000, "more than 64 levels", 64)
deep = b"]" * 1000 + b"a" * 999
refuse_value("deep", deep, "more than 64 levels", len(deep))
refuse_value("deep_tuple", b")" + b"\x85" * 100000, "more than 64 levels", 100001)
refuse_value("holds_itself", b"]q\0h\0a", "a list that holds itself", 6)
refuse_value("ring", b"]q\0}q\1X\1\0\0\0kh\0sah\1", "more than one value at the end", 18)
refuse_value("ring_closed", b"]q\0}q\1X\1\0\0\0kh\0sa", "a list that holds itself", 16)

# The pickle: globals and what is done with them.
for module, name in (("os", "system"), ("posix", "system"), ("builtins", "eval"),
                     ("__builtin__", "exec"), ("nt", "system"), ("subprocess", "Popen"),
                     ("torch", "load"), ("torch._utils", "_rebuild_tensor"),
                     ("collections", "OrderedDict.fromkeys"), ("numpy", "load"),
                     ("torch.storage", "_load_from_bytes")):
    refuse_value("global_%s_%s" % (module, name), b"c%s\n%s\n" % (module.encode(), name.encode()),
                 "global '%s.%s' is not allowed" % (module, name))
refuse_pickle("stack_global", b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
              "byte 14: global 'os.system' is not allowed")
refuse_value("global_nul", b"ctorch\0x\nSize\n", "global 'torch' is not allowed")
refuse_value("global_long", b"c" + b"m" * 300 + b"\nx\n",
             "a global's name of 302 bytes, at most 255 are allowed")
refuse_value("global_cut", b"ctorch\nSize", "the pickle is cut off")
refuse_value("global_split", b"X\1\0\0\0oN\x93", "a global whose name is no text", 7)
refuse_value("call_text", b"X\1\0\0\0o)R", "a call of a text with a tuple", 7)
refuse_value("call_list", b"ctorch\nSize\n]R", "a call of a global with a list", 13)
refuse_value("call_storage", b"ctorch\nFloatStorage\n)R",
             "torch.FloatStorage is called, which is not allowed", 21)
refuse_value("call_class", b"csrc.utils.helper\nVoc\n)R",
             "src.utils.helper.Voc is called, which is not allowed", 23)
refuse_value("dict_args", b"ccollections\nOrderedDict\nN\x85R",
             "collections.OrderedDict is called with 1 values", 27)
refuse_value("new_storage", b"ctorch\nFloatStorage\n)\x81", "a new object of torch.FloatStorage", 21)
refuse_value("build_text", b"X\1\0\0\0o}b", "a text gets a dict as its state", 7)
refuse_value("build_list", b"csrc.utils.helper\nVoc\n)\x81]b", "an object gets a list as its state",
             25)
refuse_value("dtype_object", b"cnumpy\ndtype\nX\2\0\0\0O8\x85R", "numpy dtype 'O8' is not supported",
             21)
refuse_value("dtype_swapped", b"cnumpy\ndtype\nX\2\0\0\0f8\x85RK\3X\1\0\0\0>\x86b",
             "a numpy dtype of byte order '>', only '<' is supported", 31)
refuse_value("scalar_size", b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\2\0\0\0f8\x85R"
             b"c_codecs\nencode\nX\1\0\0\0xX\6\0\0\0latin1\x86R\x86R",
             "numpy.core.multiarray.scalar: 1 bytes for a 'f8'", 88)
refuse_value("encode_long", b"c_codecs\nencode\nX\x41\0\0\0" + b"x" * 65 + b"X\6\0\0\0latin1\x86R",
             "_codecs.encode: 65 bytes, at most 64", 98)
refuse_value("encode_wide", b"c_codecs\nencode\nX\2\0\0\0\xc4\x80X\6\0\0\0latin1\x86R",
             "_codecs.encode: a character that is no byte", 35)

# Tensors. The message names the byte of the call.
def refuse_tensor(name, message, **changes):
    t = tensor(**changes)
    refuse("tensor_" + name, make_zip(members(state(t))),
           "data.pkl: byte %d: %s" % (2 + 2 + 6 + len(t) - 1, message))


refuse_tensor("storage_small", "a tensor reaches element 5 of storage '0', which has 5", n=5)
refuse_tensor("offset", "a tensor reaches element 6 of storage '0', which has 6", first=1)
refuse_tensor("offset_negative", "a tensor: its offset is -1, expected 0 or more", first=-1)
refuse_tensor("size_negative", "a tensor: a size is -2, expected 0 or more", size=(-2, 3))
refuse_tensor("stride_negative", "a tensor: a stride is -3, expected 0 or more", stride=(-3, 1),
              first=3)
refuse_tensor("size_huge", "a tensor: the product of its sizes overflows", size=(2**40, 2**40))
refuse_tensor("stride_huge", "a tensor: its strides overflow", stride=(2**62, 2**62))
refuse_tensor("reach_wraps", "a tensor: its strides overflow", size=(3, 3), stride=(2**61, 2**61),
              first=2**62)
refuse_tensor("repeated", "a tensor of 1000000000 elements repeats those of storage '0', which has 6",
              size=(10**9,), stride=(0,))
refuse_tensor("empty_past", "a tensor reaches element 7 of storage '0', which has 6", size=(0,),
              stride=(1,), first=7)
refuse_tensor("rank", "a tensor: rank 9, at most 8", size=(1,) * 9, stride=(1,) * 9)
refuse_tensor("ranks_differ", "a tensor: 2 sizes and 1 strides", stride=(1,))
refuse_tensor("no_storage", "a tensor: its storage is None", storage=b"N")
refuse_tensor("few_args", "torch._utils._rebuild_tensor_v2 is called with 4 values", rest=b"")


def refuse_storage(name, storage, message):
    t = tensor(storage=storage)
    at = 2 + 2 + 6 + t.index(storage) + len(storage) - 1
    refuse("storage_" + name, make_zip(members(state(t))), "data.pkl: byte %d: %s" % (at, message))


good_storage = STORAGE.replace(b"%s", integer(6))
refuse_storage("id_text", b"X\1\0\0\0xQ", "a persistent id that does not name a storage")
refuse_storage("id_module", good_storage.replace(b"storagec", b"modulexc"),
               "a persistent id that does not name a storage")
refuse_storage("type", good_storage.replace(b"FloatStorage", b"Size"),
               "a storage's type is torch.Size")
refuse_storage("type_text", good_storage.replace(b"ctorch\nFloatStorage\n", b"X\1\0\0\0f"),
               "a storage's type is a text")
refuse_storage("key_path", good_storage.replace(b"X\1\0\0\0000", b"X\4\0\0\0../0"),
               "a storage's key is not a plain name")
refuse_storage("count_negative", STORAGE.replace(b"%s", integer(-6)),
               "storage '0': its count is no whole number >= 0")
refuse("storage_missing", make_zip([("a/data.pkl", fine)]), "tensor w: no member data/0")
refuse("storage_short", make_zip(members(fine, DATA[:20])),
       "tensor w: member data/0 has 20 bytes, expected 6 elements of 4")
refuse("storage_long", make_zip(members(fine, DATA + b"\0")),
       "tensor w: member data/0 has 25 bytes, expected 6 elements of 4")
refuse("storage_huge", make_zip(members(state(tensor(n=2**62)))),
       "tensor w: member data/0 has 24 bytes, expected 4611686018427387904 elements of 4")
refuse("no_state", make_zip(members(P2 + b"}X\1\0\0\0aK\1s.")),
       "holds a dict and no state dict (a dict from names to tensors, at the root or as "
       "model_state_dict, state_dict or model)")
refuse("root_list", make_zip(members(P2 + b"].")),
       "holds a list and no state dict (a dict from names to tensors, at the root or as "
       "model_state_dict, state_dict or model)")
refuse("name_number", make_zip(members(P2 + b"}K\1" + tensor() + b"s.")),
       "a tensor's name is no text of 1 to 511 bytes")
refuse("name_nul", make_zip(members(P2 + b"}X\2\0\0\0w\0" + tensor() + b"s.")),
       "a tensor's name is no text of 1 to 511 bytes")
refuse("name_wide", make_zip(members(P2 + b"}X\0\2\0\0" + b"w" * 512 + tensor() + b"s.")),
       "a tensor's name is no text of 1 to 511 bytes")

with open(os.path.join(folder, "values.tsv"), "w", encoding="utf-8") as f:
    f.writelines("\t".join(row) + "\n" for row in values)
with open(os.path.join(folder, "refused.tsv"), "w", encoding="utf-8") as f:
    f.writelines("\t".join(row) + "\n" for row in refused)
