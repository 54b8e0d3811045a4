#!/usr/bin/env python3
"""kill -9 at many moments of a recording, resume, and compare with an uninterrupted run. TAP.

    kill.py SONDE

The moments are sizes that the store's file has reached, not times, so that they hit the middle of
the writing on any machine.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SONDE = os.path.abspath(sys.argv[1])
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.environ.get("SONDE_SHARED", os.path.join(ROOT, "..", "shared"))
MODEL = os.path.join(SHARED, "models", "tinystories-656k")
TEXT = os.path.join(SHARED, "data", "text", "tinystories-600.jsonl")
VALUES = "resid,attn"
GRADIENTS = "hook_embed,grad:resid,grad:attn"
CASES = [("none", share, VALUES) for share in (0.05, 0.3, 0.6, 0.95)]
CASES += [("zlib", 0.5, VALUES), ("none", 0.4, GRADIENTS)]


def run(*args):
    return subprocess.run([SONDE, *args, "-q"], capture_output=True, text=True)


def record(store, codec, sites):
    return ["record", MODEL, "--jsonl", TEXT, "--sites", sites, "--max-tokens", "12000",
            "--compress", codec, "--mem", "300M", "-o", store]


def export(folder, store, name, gradients):
    out = os.path.join(folder, name)
    done = run("export", store, "--streams", "all,grad:all" if gradients else "all", "-o", out)
    assert done.returncode == 0, done.stderr
    with open(out, "rb") as f:
        return f.read()


def kill_at(command, store, size):
    """Starts the recording and kills it when the file has the size. False where it was over first."""
    process = subprocess.Popen([SONDE, *command, "-q"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if os.path.exists(store) and os.path.getsize(store) >= size:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.002)
    return False


def check(folder, whole, codec, share, sites):
    store = os.path.join(folder, "killed.db")
    for name in os.listdir(folder):
        if name.startswith("killed.db"):
            os.remove(os.path.join(folder, name))
    size = int(share * os.path.getsize(whole))
    if not kill_at(record(store, codec, sites), store, size):
        return "the recording was over before the moment came", True
    between = run("check", store, "--full")
    if between.returncode not in (0,):
        return f"check after the kill: {between.stdout}{between.stderr}", False
    done = run(*record(store, codec, sites), "--resume")
    if done.returncode != 0:
        return f"resume: {done.stderr}", False
    if run("check", store, "--full").returncode != 0:
        return "the resumed store is damaged", False
    exports = [export(folder, s, "x.safetensors", sites == GRADIENTS) for s in (store, whole)]
    if exports[0] != exports[1]:
        return "the resumed store holds other values", False
    rows = [run("export", s, "--rows", "-o", "-").stdout for s in (store, whole)]
    return ("the resumed store holds other rows", False) if rows[0] != rows[1] else (None, False)


def main():
    if not (os.path.exists(MODEL) and os.path.exists(TEXT)):
        print("1..0 # SKIP the shared models are not here")
        return 0
    print(f"1..{len(CASES)}", flush=True)
    failed = 0
    folder = tempfile.mkdtemp(prefix="sonde-kill-")
    try:
        whole = {}
        for number, (codec, share, sites) in enumerate(CASES, 1):
            key = (codec, sites)
            if key not in whole:
                whole[key] = os.path.join(folder, f"whole-{len(whole)}.db")
                done = run(*record(whole[key], codec, sites))
                assert done.returncode == 0, done.stderr
            problem, missed = check(folder, whole[key], codec, share, sites)
            name = f"killed at {share:.0%} of the file, compression {codec}"
            name += ", gradients" if sites == GRADIENTS else ""
            if missed:
                print(f"ok {number} - {name} # SKIP {problem}", flush=True)
                continue
            if problem:
                failed += 1
                print("# " + problem.replace("\n", "\n# "))
            print(f"{'not ok' if problem else 'ok'} {number} - {name}", flush=True)
    finally:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
