"""Giving memory back."""

from __future__ import annotations

import subprocess
import sys

from weft.worker._allocator import _trim

_MEASURE = """
from pathlib import Path
from weft.worker._allocator import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

before = resident()
kept = [bytes(2000) for _ in range(100_000)]
full = resident() - before
kept = [one for number, one in enumerate(kept) if number % 20 == 0]
left = resident() - before
give_back()
print(left / full, (resident() - before) / full)
"""


def test_memory_between_what_stays_goes_back_to_the_system() -> None:
    command = [sys.executable, "-c", _MEASURE]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    left, given_back = map(float, run.stdout.split())
    assert left > 0.8, "it would stay"
    most = 0.3 if _trim is not None else left + 0.1  # without glibc nothing is given back
    assert given_back < most
