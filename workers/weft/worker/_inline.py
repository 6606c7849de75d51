"""Inline activities: run in the workflow worker's own process, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from weft.host import HOST, Host
from weft.records import NULL, ActivityTask, AttemptHeartbeat, Payload, ResultsRecord
from weft.worker._activity_clock import LoopClocks
from weft.worker._activity_pulse import AttemptPulse
from weft.worker._attempt import AttemptRunner
from weft.worker._batch import AttemptKey

_BEAT_S = 3.0
"""How often the details of an attempt's heartbeats are handed over, at most."""


class InlineRunner:
    """`submit` starts attempts, `take` hands over what has come of them since. One caller's thread."""

    def __init__(self, runner: AttemptRunner, host: Host = HOST) -> None:
        self._runner = runner
        self.host = host
        self._loop = host.event_loop()
        self._clocks = LoopClocks(self._loop, lasting=True)
        self._thread = host.thread(self._serve, "weft-inline")
        self._attempts: dict[asyncio.Task[None], _InlinePulse] = {}
        self.results: deque[tuple[object, str, ResultsRecord | None, bool]] = deque()
        """(owner, workflow ID, what came of an attempt, whether that is a checkpoint); None for a cancelled one."""
        self.running = 0
        self._news = host.event()

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

    def wait(self, timeout_s: float) -> None:
        """Until there are results, or for so long."""
        self._news.clear()
        if not self.results:
            self._news.wait(timeout_s)

    def take(self) -> list[tuple[object, str, ResultsRecord, bool]]:
        results = []
        while self.results:
            owner, workflow_id, result, is_checkpoint = self.results.popleft()
            if not isinstance(result, AttemptHeartbeat):
                self.running -= 1
            if result is not None:
                results.append((owner, workflow_id, result, is_checkpoint))
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
        attempts = list(self._attempts)
        for attempt in attempts:
            attempt.cancel()
        self._loop.run_until_complete(asyncio.gather(*attempts, return_exceptions=True))

    def _begin(self, attempts: Sequence[tuple[object, str, ActivityTask]]) -> None:
        for owner, workflow_id, task in attempts:
            pulse = _InlinePulse(self, owner, workflow_id, task)
            attempt = self._loop.create_task(self._run(pulse))
            self._attempts[attempt] = pulse
            attempt.add_done_callback(self._attempts.pop)

    async def _run(self, pulse: _InlinePulse) -> None:
        result = await self._runner.run(pulse.task, pulse.workflow_id, pulse, self._clocks)
        is_checkpoint = self._runner.makes_checkpoint(pulse.task.activity)
        self.results.append((pulse.owner, pulse.workflow_id, result, is_checkpoint))
        self._news.set()

    def _cancel(self, attempts: Sequence[tuple[object, AttemptKey]]) -> None:
        wanted = {(id(owner), key) for owner, key in attempts}
        for pulse in list(self._attempts.values()):
            if (id(pulse.owner), pulse.key) in wanted:
                pulse.cancel()


class _InlinePulse(AttemptPulse):
    """Hands over what its code says of its progress, every so often: each time is a record on the log."""

    _told_s = 0.0

    def __init__(
        self, runner: InlineRunner, owner: object, workflow_id: str, task: ActivityTask
    ) -> None:
        super().__init__(runner.host)
        self.owner = owner
        self.workflow_id = workflow_id
        self.task = task
        self._runner = runner

    @property
    def key(self) -> AttemptKey:
        return self.task.run_id, self.task.activity_id, self.task.attempt

    def beat(self, details: Payload | None) -> None:
        """In whichever thread the code runs."""
        super().beat(details)
        if not self._told_s or self.last_s - self._told_s >= _BEAT_S:
            self._told_s = self.last_s
            news = self.take_news()
            if news is not NULL:
                beat = AttemptHeartbeat(*self.key, details=news)
                self._runner.results.append((self.owner, self.workflow_id, beat, True))
