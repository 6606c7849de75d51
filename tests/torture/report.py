"""The report: one JSON document a line, on standard output and in a file; the sums come last."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def say(text: str) -> None:
    print(f"torture: {text}", file=sys.stderr, flush=True)


@dataclass
class Report:
    """What was found so far."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def check(self, name: str, problems: list[str]) -> None:
        """A check holds when it found no problem."""
        self.lines.append({"check": name, "holds": not problems, "problems": problems})
        say(f"{'holds' if not problems else 'DOES NOT HOLD'}: {name}")
        for problem in problems:
            say(f"    {problem}")
        if problems:
            self.failed.append(name)

    def note(self, what: str, value: object) -> None:
        self.lines.append({what: value})

    def write(self, file: Path, sums: dict[str, Any]) -> None:
        """To standard output and to the file."""
        text = "".join(f"{json.dumps(line)}\n" for line in [*self.lines, sums])
        file.write_text(text, encoding="utf-8")
        print(text, end="", flush=True)


class Progress:
    """Says how it goes, every few seconds."""

    def __init__(self, every_s: float = 10.0) -> None:
        self._every_s = every_s
        self._began_s = time.monotonic()
        self._next_s = self._began_s + every_s

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self._began_s

    def maybe(self, text: str) -> None:
        if time.monotonic() >= self._next_s:
            self._next_s += self._every_s
            say(f"{self.passed_s:.0f} s: {text}")
