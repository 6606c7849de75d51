"""The activity worker of an environment: production's `AttemptRunner` on the virtual loop, one task an attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from weft.activity import Activity
from weft.metrics import WorkerMetrics
from weft.payloads import Payloads
from weft.records import ActivityTask, AttemptStarted, ResultsRecord
from weft.testing._fakes import Fakes
from weft.testing._loop import VirtualHost, VirtualLoop
from weft.worker import LEASE_S, AttemptPulse, AttemptRunner


class _Running:
    __slots__ = ("has_begun", "is_inline", "payloads", "pulse", "task", "workflow_id")

    def __init__(
        self,
        workflow_id: str,
        task: ActivityTask,
        pulse: AttemptPulse,
        payloads: Payloads,
        *,
        is_inline: bool,
    ) -> None:
        self.payloads = payloads
        self.workflow_id = workflow_id
        self.task = task
        self.pulse = pulse
        self.is_inline = is_inline
        self.has_begun = False


class Attempts:
    """Attempts under way. `done` gets (workflow ID, record) of what is to be told to the owner."""

    def __init__(
        self,
        loop: VirtualLoop,
        host: VirtualHost,
        fakes: Fakes,
        done: Callable[[str, ResultsRecord], None],
        refuse: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self._host = host
        self._fakes = fakes
        self._done = done
        self._refuse = refuse
        self._metrics = WorkerMetrics()
        self._runners: dict[tuple[str, int], tuple[Activity[..., Any], AttemptRunner]] = {}
        """By activity and namespace, whose payloads are its own."""
        self._running: dict[asyncio.Task[None], _Running] = {}
        loop.is_at_work = lambda: bool(self._running)

    def begin(
        self,
        workflow_id: str,
        task: ActivityTask,
        is_inline: bool,  # noqa: FBT001  # as the owner calls it
        payloads: Payloads,
    ) -> None:
        """Start an attempt; its code runs with the loop."""
        report = None if is_inline else partial(self._report_start, workflow_id, task)
        pulse = AttemptPulse(self._host, report)
        running = _Running(workflow_id, task, pulse, payloads, is_inline=is_inline)
        attempt = self._loop.create_task(self._run(running))
        self._running[attempt] = running
        attempt.add_done_callback(self._running.pop)

    def cancel_stale(
        self, workflow_id: str, is_awaited: Callable[[str, ActivityTask], bool]
    ) -> None:
        """Tell the attempts that their run does not wait for any more. Production does so by the next heartbeat."""
        for running in list(self._running.values()):
            if running.workflow_id == workflow_id and not is_awaited(workflow_id, running.task):
                running.pulse.cancel()

    def crash_inline(self, is_lost: Callable[[ActivityTask], bool]) -> bool:
        """An owner has died, and its inline attempts with it; returns whether one had begun, and runs again."""
        lost = [
            attempt
            for attempt, running in self._running.items()
            if running.is_inline and is_lost(running.task)
        ]
        for attempt in lost:
            attempt.cancel()
        return any(self._running[attempt].has_begun for attempt in lost)

    def close(self) -> None:
        """End what runs still; its `finally` blocks run."""
        for attempt in self._running:
            attempt.cancel()

    async def _run(self, running: _Running) -> None:
        task = running.task
        running.has_begun = True
        try:
            runner = self._runner(task.activity, running.payloads)
            result = await runner.run(task, running.workflow_id, running.pulse)
        except Exception as error:  # noqa: BLE001  # the test's own mistake, or the kit's: it must not go unseen
            self._refuse(error)
        else:
            if result is not None:
                self._done(running.workflow_id, result)

    def _runner(self, name: str, payloads: Payloads) -> AttemptRunner:
        activity = self._fakes.get(name)
        key = (name, id(payloads))
        known = self._runners.get(key)
        if known is None or known[0] is not activity:
            runner = AttemptRunner(
                {name: activity}, self._metrics, payloads=payloads, host=self._host
            )
            known = self._runners[key] = (activity, runner)
        return known[1]

    def _report_start(self, workflow_id: str, task: ActivityTask, started_ms: int) -> None:
        """A long attempt is held under a lease, which lasts: the workers of a test do not die."""
        started = AttemptStarted(
            task.run_id,
            task.activity_id,
            task.attempt,
            started_ms,
            round(LEASE_S * 1000),
            f"{task.run_id}/{task.activity_id}/{task.attempt}",
        )
        self._done(workflow_id, started)
