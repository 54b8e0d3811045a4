#!/usr/bin/env python3
"""Runs command-line transcripts and prints TAP.

    run.py SONDE FILE.t [--update]

A transcript holds cases. A case begins with a line "== name" and has

    need PATH        skipped unless ../shared/PATH is there ($SONDE_SHARED)
    require COMMAND  skipped unless the shell command succeeds in the scratch folder
    $ COMMAND        run by bash in the case's own scratch folder
    > LINE           expected standard output, exactly; "~ LINE" is a glob, where * is any text
    ! LINE           expected standard error, exactly; "!~ LINE" is a glob
    << FILE          expected standard output is this file beside the transcript
    ? N              expected exit status (0 where the line is missing)

"..." as a whole expected line stands for any lines. In what is compared the paths of the shared
folder and of the scratch folder read $SHARED and $SCRATCH. --update writes what was seen into the
transcript in the place of exact lines; read the difference before you commit it.
"""
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile

PREFIXES = ("> ", "~ ", "! ", "!~ ", "<< ", "? ")


class Step:
    def __init__(self, command):
        self.command, self.out, self.err, self.status, self.file = command, [], [], 0, None


class Case:
    def __init__(self, name):
        self.name, self.needs, self.requires, self.steps = name, [], [], []


def parse(path):
    cases = []
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        line = line.rstrip("\n")
        if line.startswith("== "):
            cases.append(Case(line[3:]))
        elif not line.strip() or line.startswith("#"):
            continue
        elif line.startswith("need "):
            cases[-1].needs.append(line[5:])
        elif line.startswith("require "):
            cases[-1].requires.append(line[8:])
        elif line.startswith("$ "):
            cases[-1].steps.append(Step(line[2:]))
        elif line.startswith("\\ "):
            cases[-1].steps[-1].command += "\n" + line[2:]
        elif line.startswith(("> ", "~ ")) or line in (">", "~"):
            cases[-1].steps[-1].out.append((line[0], line[2:]))
        elif line.startswith("!~ "):
            cases[-1].steps[-1].err.append(("~", line[3:]))
        elif line.startswith("! "):
            cases[-1].steps[-1].err.append((">", line[2:]))
        elif line.startswith("<< "):
            cases[-1].steps[-1].file = line[3:]
        elif line.startswith("? "):
            cases[-1].steps[-1].status = int(line[2:])
        else:
            sys.exit(f"{path}:{number}: not a transcript line: {line}")
    return cases


def line_matches(kind, expected, seen):
    if kind == ">":
        return expected == seen
    return fnmatch.fnmatchcase(seen, expected.replace("[", "[[]").replace("?", "[?]"))


def lines_match(expected, seen):
    if not expected:
        return not seen
    if expected[0][1] == "...":
        return any(lines_match(expected[1:], seen[i:]) for i in range(len(seen) + 1))
    return bool(seen) and line_matches(*expected[0], seen[0]) and lines_match(expected[1:], seen[1:])


class Runner:
    def __init__(self, sonde, path):
        self.path = path
        self.folder = os.path.dirname(os.path.abspath(path))
        root = os.path.dirname(os.path.dirname(self.folder))
        shared = os.environ.get("SONDE_SHARED", os.path.join(root, "..", "shared"))
        self.shared = os.path.realpath(shared)
        self.environment = dict(os.environ, SONDE=os.path.abspath(sonde), SHARED=self.shared,
                                CLI=self.folder, TERM="dumb", LC_ALL="C.UTF-8")
        for name in ("NO_COLOR", "OPENBLAS_NUM_THREADS"):
            self.environment.pop(name, None)

    def shell(self, command, scratch):
        script = 'sonde() { "$SONDE" "$@"; }\n' + command
        done = subprocess.run(["bash", "-c", script], cwd=scratch, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
        texts = []
        for raw in (done.stdout, done.stderr):
            text = raw.decode("utf-8", "backslashreplace")
            text = text.replace(self.shared, "$SHARED").replace(scratch, "$SCRATCH")
            texts.append(text.split("\n")[:-1] if text.endswith("\n") else
                         text.split("\n")[:-1] + [text.split("\n")[-1] + "\\"] if text else [])
        return texts[0], texts[1], done.returncode

    def skip_reason(self, case, scratch):
        for need in case.needs:
            if not os.path.exists(os.path.join(self.shared, need)):
                return f"{need} is not here"
        for command in case.requires:
            if self.shell(command, scratch)[2] != 0:
                return f"this machine cannot: {command}"
        return None

    def expected_out(self, step):
        if step.file:
            with open(os.path.join(self.folder, step.file), encoding="utf-8") as f:
                return [(">", line.rstrip("\n")) for line in f]
        return step.out

    def check(self, step, scratch):
        out, err, status = self.shell(step.command, scratch)
        problems = []
        if not lines_match(self.expected_out(step), out):
            problems += ["standard output:"] + ["  " + line for line in out[:60]]
        if not lines_match(step.err, err):
            problems += ["standard error:"] + ["  " + line for line in err[:20]]
        if status != step.status:
            problems.append(f"exit status {status}, expected {step.status}")
        return [f"$ {step.command}"] + problems if problems else []

    def run(self):
        cases = parse(self.path)
        failed = 0
        print(f"1..{len(cases)}")
        for number, case in enumerate(cases, 1):
            scratch = os.path.realpath(tempfile.mkdtemp(prefix="sonde-cli-"))
            try:
                reason = self.skip_reason(case, scratch)
                problems = []
                for step in [] if reason else case.steps:
                    problems = self.check(step, scratch)
                    if problems:
                        break
            finally:
                shutil.rmtree(scratch)
            for problem in problems:
                print("# " + problem)
            failed += bool(problems)
            print(f"{'not ok' if problems else 'ok'} {number} - {case.name}" +
                  (f" # SKIP {reason}" if reason else ""), flush=True)
        return failed

    def seen_lines(self, step, scratch):
        out, err, status = self.shell(step.command, scratch)
        lines = ["$ " + step.command.replace("\n", "\n\\ ")]
        if step.file:
            with open(os.path.join(self.folder, step.file), "w", encoding="utf-8") as f:
                f.writelines(line + "\n" for line in out)
            lines.append("<< " + step.file)
        elif any(kind == "~" or text == "..." for kind, text in step.out):
            lines += [(kind + " " + text).rstrip() for kind, text in step.out]
        else:
            lines += [("> " + line).rstrip() if not line else "> " + line for line in out]
        if any(kind == "~" or text == "..." for kind, text in step.err):
            lines += [("!~ " if kind == "~" else "! ") + text for kind, text in step.err]
        else:
            lines += ["! " + line for line in err]
        return lines + ([f"? {status}"] if status else [])

    def update(self):
        text = open(self.path, encoding="utf-8").read()
        head = re.match(r"(?:#[^\n]*\n)*", text).group(0)
        blocks = [head.rstrip("\n")] if head else []
        for case in parse(self.path):
            scratch = os.path.realpath(tempfile.mkdtemp(prefix="sonde-cli-"))
            try:
                lines = [f"== {case.name}"]
                lines += [f"need {need}" for need in case.needs]
                lines += [f"require {command}" for command in case.requires]
                if self.skip_reason(case, scratch):
                    sys.exit(f"{case.name}: cannot be updated here")
                for step in case.steps:
                    lines += self.seen_lines(step, scratch)
                blocks.append("\n".join(lines))
            finally:
                shutil.rmtree(scratch)
        with open(self.path, "w", encoding="utf-8") as f:
            f.write("\n\n".join(blocks) + "\n")


def main():
    runner = Runner(sys.argv[1], sys.argv[2])
    if "--update" in sys.argv:
        runner.update()
        return 0
    return 1 if runner.run() else 0


if __name__ == "__main__":
    sys.exit(main())
