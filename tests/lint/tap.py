"""Test Anything Protocol for the lints: one numbered line a rule, problems as comments."""

import sys


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def case(self, name, problems):
        """Passes where the list of problems is empty."""
        self.count += 1
        for problem in problems:
            print(f"# {problem}", file=sys.stderr)
        self.failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.count} - {name}")

    def skip(self, name, why):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {why}")

    def finish(self):
        print(f"1..{self.count}")
        return 1 if self.failed or self.count == 0 else 0
