"""An activity worker in a process of its own.

`python -m tests.integration.activity_child BACKEND ADDRESS NAMESPACE NOTES HOLD CONCURRENCY LONG_S`. Attempts that take
longer than LONG_S are leased.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from tests.integration.activity_kit import Place
from weft import activity
from weft.worker import _activity_clock


async def serve(place: Place, notes: Path, hold: Path, concurrency: int) -> None:
    """Until standard input closes."""

    @activity.define
    def note(name: str) -> str:
        """Waits, under the name `slow`, for as long as the file HOLD exists."""
        fd = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(fd, f"{name}\n".encode())
        os.close(fd)
        while name == "slow" and hold.exists():
            time.sleep(0.01)
        return name

    async with place.worker(note, concurrency=concurrency, lease_s=1.0):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    backend, address, namespace, notes, hold, concurrency, long_s = sys.argv[1:]
    _activity_clock.LONG_S = float(long_s)
    asyncio.run(
        serve(Place(backend, address, namespace), Path(notes), Path(hold), int(concurrency))
    )


if __name__ == "__main__":
    main()
