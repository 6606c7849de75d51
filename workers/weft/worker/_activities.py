"""The activity worker of one task queue: tasks in, results out, at least once.

Two threads: one polls the queue and commits (`TaskFeed`), the loop that called `start` runs the attempts and hands
their results to the log itself, on the partition number that the task came from. The offset of a task is committed once
its result is durable, so a worker that dies loses nothing: whoever takes over runs what was under way again. An attempt
that takes long is leased: from then on its workflow's owner watches over it, and its offset is done with.
"""

from __future__ import annotations

import asyncio
import logging

from weft.host import HOST, Host
from weft.log import Log
from weft.metrics import WorkerMetrics
from weft.topics import Namespace
from weft.worker._activity_clock import LoopClocks
from weft.worker._activity_feed import TaskFeed
from weft.worker._activity_leases import LEASE_S
from weft.worker._activity_results import TakenTask
from weft.worker._attempt import AttemptRunner

logger = logging.getLogger("weft.worker")

_CANCEL_S = 1.0
"""What a cancelled attempt gets to clean up."""
_CLOSE_S = 20.0


class ActivityWorker:
    """Runs the tasks of `queue` with up to `concurrency` attempts at once. Lives on the loop that calls `start`."""

    def __init__(
        self,
        log: Log,
        namespace: Namespace,
        queue: str,
        runner: AttemptRunner,
        metrics: WorkerMetrics,
        *,
        instance_id: str,
        concurrency: int = 100,
        session_timeout_s: float = 6.0,
        lease_s: float = LEASE_S,
        partition_count: int = 1,
        host: Host = HOST,
    ) -> None:
        """Owners answer on one of the `partition_count` partitions of the replies."""
        self.queue = queue
        self._runner = runner
        self._feed = TaskFeed(
            log,
            namespace,
            queue,
            metrics,
            instance_id=instance_id,
            concurrency=concurrency,
            session_timeout_s=session_timeout_s,
            begin=self._begin_soon,
            lease_s=lease_s,
            partition_count=partition_count,
            host=host,
        )
        self._thread = host.thread(self._feed.run, f"weft-tasks-{queue}")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clocks: LoopClocks | None = None
        self._attempts: dict[TakenTask, asyncio.Task[None]] = {}
        self._wake_planned = False

    @property
    def ready(self) -> bool:
        """The queue is served."""
        return self._feed.ready

    @property
    def error(self) -> BaseException | None:
        """What ended this worker; None while it serves."""
        return self._feed.error

    @property
    def running_count(self) -> int:
        return len(self._attempts)

    def start(self) -> None:
        """Begin to serve, from now on, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._clocks = LoopClocks(self._loop, lasting=True)
        self._thread.start()

    async def drain(self, timeout_s: float) -> None:
        """Take nothing more, let running attempts end, write their results, leave the group.

        Attempts that are not done after `timeout_s` are cancelled without a result: another worker runs them again.
        """
        if self._loop is None:
            return
        loop = self._loop
        deadline_s = loop.time() + timeout_s
        stopped = asyncio.Event()

        def on_stopped() -> None:
            loop.call_soon_threadsafe(stopped.set)

        self._feed.stop(on_stopped)
        try:
            if self._thread.is_alive():
                await _wait_until(stopped, deadline_s)
            await self._end_attempts(deadline_s)
        finally:
            self._feed.finish()
        await asyncio.to_thread(self._thread.join, _CLOSE_S)
        if self._thread.is_alive():
            logger.error("queue %s: its thread did not end within %g s", self.queue, _CLOSE_S)

    async def _end_attempts(self, deadline_s: float) -> None:
        assert self._loop is not None, "attempts run after start"
        if self._attempts and self.error is None:
            timeout_s = max(0.0, deadline_s - self._loop.time())
            await asyncio.wait(self._attempts.values(), timeout=timeout_s)
        if not self._attempts:
            return
        logger.warning(
            "queue %s: %s attempts did not end in time; another worker will run them again",
            self.queue,
            len(self._attempts),
        )
        for attempt in self._attempts.values():
            attempt.cancel()
        await asyncio.wait(self._attempts.values(), timeout=_CANCEL_S)
        for taken, attempt in list(self._attempts.items()):
            if attempt.done():  # cancelled before its first step, it could not say so itself
                self._note_ended(taken)

    def _begin_soon(self, batch: list[TakenTask]) -> None:
        assert self._loop is not None, "tasks come after start"
        self._loop.call_soon_threadsafe(self._begin, batch)

    def _begin(self, batch: list[TakenTask]) -> None:
        assert self._loop is not None, "tasks come after start"
        create_task = self._loop.create_task
        for taken in batch:
            attempt = create_task(self._attempt(taken), name=taken.task.activity)
            # A loop may have a factory of tasks that begins them at once: then it may be over by now.
            if not attempt.done():
                self._attempts[taken] = attempt

    async def _attempt(self, taken: TakenTask) -> None:
        try:
            result = await self._runner.run(
                taken.task, taken.workflow_id, taken.pulse, self._clocks
            )
            if result is None:
                self._feed.note_dropped()
            else:
                self._feed.write(taken, result)
        except asyncio.CancelledError:
            self._feed.leases.release(taken)
            raise
        except Exception:
            logger.exception("queue %s: an attempt has no result", self.queue)
        finally:
            if taken.lease is not None:
                self._feed.leases.forget(taken.lease)
            self._note_ended(taken)

    def _note_ended(self, taken: TakenTask) -> None:
        self._attempts.pop(taken, None)
        self._feed.note_ended()
        if self._feed.waits and not self._wake_planned:
            # Once a round of the loop: all that ends in this round makes room together.
            self._wake_planned = True
            assert self._loop is not None, "attempts run after start"
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._wake_planned = False
        self._feed.wake()


async def _wait_until(event: asyncio.Event, deadline_s: float) -> None:
    try:
        async with asyncio.timeout_at(deadline_s):
            await event.wait()
    except TimeoutError:
        pass
