"""Inline activities: run in the workflow worker's own process, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from weft.host import HOST, Host
from weft.records import ActivityTask, ResultsRecord
from weft.worker._attempt import AttemptRunner


class InlineRunner:
    """`submit` starts attempts, `take` hands over the results that have come since. One caller's thread."""

    def __init__(self, runner: AttemptRunner, host: Host = HOST) -> None:
        self._runner = runner
        self._loop = host.event_loop()
        self._thread = host.thread(self._serve, "weft-inline")
        self._results: deque[tuple[object, str, ResultsRecord]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.running = 0

    def submit(self, attempts: Sequence[tuple[object, str, ActivityTask]]) -> None:
        """Start attempts: (owner, workflow ID, task). The owner comes back with the result, so a stale one can be told.

        All at once, because waking the other thread costs more than an attempt does.
        """
        if not self._thread.is_alive():
            self._thread.start()
        self.running += len(attempts)
        self._loop.call_soon_threadsafe(self._begin, attempts)

    def take(self) -> list[tuple[object, str, ResultsRecord]]:
        results = []
        while self._results:
            results.append(self._results.popleft())
        self.running -= len(results)
        return results

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5.0)
        if not self._loop.is_running():
            self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))

    def _begin(self, attempts: Sequence[tuple[object, str, ActivityTask]]) -> None:
        for owner, workflow_id, task in attempts:
            attempt = self._loop.create_task(self._run(owner, workflow_id, task))
            self._tasks.add(attempt)
            attempt.add_done_callback(self._tasks.discard)

    async def _run(self, owner: object, workflow_id: str, task: ActivityTask) -> None:
        result = await self._runner.run(task, workflow_id)
        self._results.append((owner, workflow_id, result))
