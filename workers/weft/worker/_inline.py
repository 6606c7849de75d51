"""Inline activities: run in the workflow worker's own process, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from weft.host import HOST, Host
from weft.records import NULL, ActivityTask, AttemptHeartbeat, ResultsRecord
from weft.worker._activity_pulse import AttemptPulse
from weft.worker._attempt import AttemptRunner
from weft.worker._batch import AttemptKey

_BEAT_S = 3.0
"""How often the details of an attempt's heartbeats are handed over, at most."""


class InlineRunner:
    """`submit` starts attempts, `take` hands over what has come of them since. One caller's thread."""

    def __init__(self, runner: AttemptRunner, host: Host = HOST) -> None:
        self._runner = runner
        self._host = host
        self._loop = host.event_loop()
        self._thread = host.thread(self._serve, "weft-inline")
        self._results: deque[tuple[object, str, ResultsRecord | None]] = deque()
        self._pulses: dict[tuple[int, AttemptKey], AttemptPulse] = {}
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

    def cancel(self, attempts: Sequence[tuple[object, AttemptKey]]) -> None:
        """Nobody waits for these (owner, attempt) any more; those that have ended are passed over."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel, attempts)

    def take(self) -> list[tuple[object, str, ResultsRecord]]:
        results = []
        while self._results:
            owner, workflow_id, result = self._results.popleft()
            if not isinstance(result, AttemptHeartbeat):
                self.running -= 1
            if result is not None:
                results.append((owner, workflow_id, result))
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
            pulse = AttemptPulse(self._host)
            pulse.on_beat = partial(self._hand_over_details, owner, workflow_id, task, pulse)
            self._pulses[id(owner), (task.run_id, task.activity_id, task.attempt)] = pulse
            attempt = self._loop.create_task(self._run(owner, workflow_id, task, pulse))
            self._tasks.add(attempt)
            attempt.add_done_callback(self._tasks.discard)

    async def _run(
        self, owner: object, workflow_id: str, task: ActivityTask, pulse: AttemptPulse
    ) -> None:
        result = await self._runner.run(task, workflow_id, pulse)
        self._pulses.pop((id(owner), (task.run_id, task.activity_id, task.attempt)), None)
        self._results.append((owner, workflow_id, result))

    def _cancel(self, attempts: Sequence[tuple[object, AttemptKey]]) -> None:
        for owner, key in attempts:
            pulse = self._pulses.get((id(owner), key))
            if pulse is not None:
                pulse.cancel()

    def _hand_over_details(
        self, owner: object, workflow_id: str, task: ActivityTask, pulse: AttemptPulse
    ) -> None:
        """In whichever thread the code runs; every so often, because each is a record on the log."""
        now_s = self._host.monotonic()
        if pulse.told_s and now_s - pulse.told_s < _BEAT_S:
            return
        pulse.told_s = now_s
        details = pulse.take_news()
        if details is not NULL:
            beat = AttemptHeartbeat(task.run_id, task.activity_id, task.attempt, details=details)
            self._results.append((owner, workflow_id, beat))
