"""Several worker processes under one command: one a core, each with partitions and tasks of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess

SETTLED_S = 10.0
"""A process that ends sooner than this after its start will end again: something is wrong with how it was started."""
_POLL_S = 0.1


class Processes:
    """Keeps `count` processes running until it is stopped. `start` starts the one with that number, from 1 on."""

    def __init__(
        self, count: int, start: Callable[[int], BaseProcess], say: Callable[[str], None]
    ) -> None:
        self._start = start
        self._say = say
        self._count = count
        self._children: dict[int, tuple[BaseProcess, float]] = {}
        self._stopping = False

    async def run(self) -> bool:
        """Whether all went well until the end. SIGTERM and SIGINT drain the processes; the second one kills them."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for one in numbers:
            loop.add_signal_handler(one, self._stop)
        try:
            for number in range(1, self._count + 1):
                self._children[number] = (self._start(number), loop.time())
            return await self._watch()
        finally:
            for one in numbers:
                loop.remove_signal_handler(one)
            for child, _ in self._children.values():
                child.kill()

    async def _watch(self) -> bool:
        loop = asyncio.get_running_loop()
        went_well = True
        while self._children:
            await asyncio.sleep(_POLL_S)
            for number, (child, started_s) in list(self._children.items()):
                if child.exitcode is None:
                    continue
                del self._children[number]
                if self._stopping:
                    # Stopped by the signal itself: it had nothing to drain yet.
                    went_well = went_well and child.exitcode in (0, -signal.SIGTERM)
                elif loop.time() - started_s < SETTLED_S:
                    self._say(f"process {number} could not be started: {_how(child.exitcode)}")
                    went_well = False
                    self._stop()
                else:
                    self._say(
                        f"process {number} ended ({_how(child.exitcode)}) and is started again"
                    )
                    self._children[number] = (self._start(number), loop.time())
        return went_well

    def _stop(self) -> None:
        again, self._stopping = self._stopping, True
        for child, _ in self._children.values():
            if again:
                child.kill()
            else:
                child.terminate()


def _how(exit_code: int) -> str:
    return f"exit status {exit_code}" if exit_code >= 0 else f"signal {-exit_code}"
