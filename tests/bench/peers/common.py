"""What the comparisons share: running sonde, safetensors files, medians and spread."""
import json
import os
import shutil
import struct
import subprocess
import time

import numpy as np

DTYPES = {"F64": np.float64, "F32": np.float32}


class Failed(Exception):
    """A comparison that cannot be made."""


class Setting:
    """Where the programs and the temporary folder are, and how many threads both sides get."""

    def __init__(self, build, folder, threads):
        self.build = build
        self.folder = folder
        self.threads = threads

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def run(self, *words):
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed("%s: %s" % (" ".join(words[:3]), done.stderr.strip()))
        return done.stdout

    def sonde(self, *words):
        """The command's result and its wall time, the start of the process included."""
        begin = time.perf_counter()
        text = self.run(os.path.join(self.build, "tools", "sonde"), *words, "--json", "--quiet",
                        "--threads", str(self.threads))
        return json.loads(text), time.perf_counter() - begin

    def make_model(self, shape):
        folder = self.path(shape)
        if not os.path.exists(folder):
            os.mkdir(folder)
            self.run(os.path.join(self.build, "tests", "bench", "make_model"), shape, folder)
        return folder

    def fresh(self, name):
        """A path in the temporary folder where nothing is."""
        path = self.path(name)
        for at in (path, path + "-wal", path + "-shm", path + "-journal"):
            if os.path.isdir(at):
                shutil.rmtree(at)
            elif os.path.exists(at):
                os.remove(at)
        return path


def read_safetensors(path):
    """Arrays by name, and the metadata."""
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(data[begin:end],
                                     DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays, metadata


def write_safetensors(path, arrays):
    """float32 and int32 arrays."""
    names = {"float32": "F32", "int32": "I32"}
    header, at = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": names[str(array.dtype)], "shape": list(array.shape),
                        "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())


def write_ids(path, sequences):
    """Token ids as `sonde record --ids` reads them: a row a sequence, -1 behind its end."""
    table = np.full((len(sequences), max(map(len, sequences))), -1, np.int32)
    for row, ids in zip(table, sequences):
        row[:len(ids)] = ids
    np.save(path, table)


class Comparison:
    """One line of the table. `ours` and `theirs` return seconds for the same work; `check` returns
    (ok, words) after the last round: whether both came to the same answer."""

    def __init__(self, name, target, peer, ours, theirs, check):
        self.name, self.target, self.peer = name, target, peer
        self.ours, self.theirs, self.check = ours, theirs, check

    def measure(self, rounds):
        ours, theirs = [], []
        self.theirs()  # the first call of either side finds nothing prepared
        self.ours()
        for number in range(rounds):
            # Whoever comes first finds the caches of the other: take turns at that too.
            for side, call in ((ours, self.ours), (theirs, self.theirs))[::1 - 2 * (number % 2)]:
                side.append(call())
        ok, words = self.check()
        ratios = np.sort(np.array(theirs) / np.array(ours))
        return {"name": self.name, "peer": self.peer, "target": self.target, "rounds": rounds,
                "ours_seconds": float(np.median(ours)), "theirs_seconds": float(np.median(theirs)),
                "ratio": float(np.median(ratios)), "low": float(ratios[0]),
                "high": float(ratios[-1]), "same_answer": bool(ok), "answer": words}
