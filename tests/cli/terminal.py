#!/usr/bin/env python3
"""What is seen on a terminal, and signals. TAP.

    terminal.py SONDE
"""
import os
import pty
import re
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
ENV = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "OPENBLAS_NUM_THREADS")}
ENV.update(TERM="xterm", LC_ALL="C.UTF-8")


def record(store, *more, model=MODEL, text=TEXT):
    return [SONDE, "record", model, "--jsonl", text, "--sites", "resid,attn", "-o", store, *more]


class NoTerminal(Exception):
    pass


def open_terminal():
    try:
        return pty.openpty()
    except OSError as problem:
        raise NoTerminal() from problem


def on_terminal(command, out=False, err=False, env=ENV):
    """Runs with standard output or error on a terminal; returns what that terminal was sent."""
    leader, follower = open_terminal()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=env,
                               stdout=follower if out else subprocess.DEVNULL,
                               stderr=follower if err else subprocess.DEVNULL)
    os.close(follower)
    seen = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(leader)
    return seen.decode("utf-8", "replace"), process.wait()


def wait_for(path, size, process):
    while process.poll() is None:
        if os.path.exists(path) and os.path.getsize(path) >= size:
            return True
        time.sleep(0.002)
    return False


def progress_comes_and_goes(folder):
    seen, status = on_terminal(record(os.path.join(folder, "s.db"), "--max-tokens", "40000",
                                      "--threads", "1"), err=True)
    lines = [line for line in re.split(r"\r", seen) if line.strip()]
    assert status == 0, seen
    shown = [line for line in lines if re.match(r"\S+ \d+(/\d+)? \w+.*/s", line)]
    assert shown, f"no line with a rate: {lines[:5]}"
    assert all(line.endswith("\033[K") or "warning" in line for line in lines), lines[:5]
    assert all(len(line) <= 80 + len("\033[K") for line in shown), "a line is wider than the screen"
    last = lines.index(shown[-1])
    assert lines[last + 1].startswith("\033[K"), f"the last line stays: {lines[last:]}"


def quiet_is_quiet(folder):
    seen, status = on_terminal(record(os.path.join(folder, "s.db"), "--max-tokens", "20000", "-q"),
                               err=True)
    assert status == 0 and seen == "", seen


def colors_only_on_a_terminal(_):
    command = [SONDE, "models"]
    assert "\033[" in on_terminal(command, out=True)[0]
    assert "\033[" not in on_terminal(command, out=True, env=dict(ENV, NO_COLOR="1"))[0]
    assert "\033[" not in on_terminal(command, out=True, env=dict(ENV, TERM="dumb"))[0]
    piped = subprocess.run(command, capture_output=True, text=True, env=ENV).stdout
    assert "\033[" not in piped


def interrupt_stops_cleanly(folder):
    store = os.path.join(folder, "s.db")
    process = subprocess.Popen(record(store), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True, env=ENV)
    assert wait_for(store, 60 << 20, process), "the recording was over before the signal"
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 2, (process.returncode, message)
    assert "--resume goes on from here" in message, message
    check = subprocess.run([SONDE, "check", store, "--full", "-q"], capture_output=True, env=ENV)
    assert check.returncode == 0, check.stdout


def truncated_weights_are_one_line(folder):
    model = os.path.join(folder, "model")
    shutil.copytree(MODEL, model)
    for base, _, files in os.walk(model):
        for name in [base] + [os.path.join(base, f) for f in files]:
            os.chmod(name, 0o755)
    store = os.path.join(folder, "s.db")
    process = subprocess.Popen(record(store, "--threads", "1", model=model), env=ENV,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert wait_for(store, 1 << 20, process), "the recording was over before the file was cut"
    os.truncate(os.path.join(model, "model.safetensors"), 4096)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 2, (process.returncode, message)
    assert message == "sonde: a mapped file was truncated while in use\n", message


CASES = [progress_comes_and_goes, quiet_is_quiet, colors_only_on_a_terminal,
         interrupt_stops_cleanly, truncated_weights_are_one_line]


def main():
    failed = 0
    print(f"1..{len(CASES)}", flush=True)
    for number, case in enumerate(CASES, 1):
        name = case.__name__.replace("_", " ")
        if case is not colors_only_on_a_terminal and not os.path.exists(TEXT):
            print(f"ok {number} - {name} # SKIP the shared data are not here")
            continue
        folder = tempfile.mkdtemp(prefix="sonde-terminal-")
        try:
            case(folder)
            print(f"ok {number} - {name}", flush=True)
        except NoTerminal:
            print(f"ok {number} - {name} # SKIP no terminal can be had here")
        except AssertionError as problem:
            failed += 1
            print("# " + str(problem).replace("\n", "\n# "))
            print(f"not ok {number} - {name}", flush=True)
        finally:
            shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
