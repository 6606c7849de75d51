"""Long attempts: each is held under a lease, so that it keeps neither its partition nor its task's offset.

A lease begins with an `AttemptStarted` on the results topic. Once that is durable the owner of the workflow watches
over the attempt and its task is done with. From then on a heartbeat goes out every so often, all leases' together,
until the result is durable. They are written by the thread that polls the queue, so that code which blocks the event
loop does not lose its lease. The owner answers what it does not wait for with `cancelled`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque

from weft.errors import LogError, UsageError
from weft.host import HOST, Host
from weft.log import Log
from weft.metrics import WorkerMetrics
from weft.records import NULL, AttemptHeartbeat, AttemptReleased, AttemptStarted, ReplyTo
from weft.topics import partition_of
from weft.worker._activity_answers import OwnerAnswers
from weft.worker._activity_results import ResultWriter, TakenTask

LEASE_S = 10.0
"""How long an owner waits for a worker that it does not hear of."""
LEASE_S_MIN = 1.0
"""A shorter lease would be lost to any pause of the network."""
_BEATS_PER_LEASE = 3.3
"""Two may go astray."""
_TOGETHER = 0.25
"""A heartbeat goes out with the others when it is due within this part of its interval."""


def check_lease(lease_s: float) -> None:
    """Raises UsageError for a lease that a worker could lose by taking breath."""
    if not LEASE_S_MIN <= lease_s < float("inf"):
        raise UsageError(f"lease_s must be at least {LEASE_S_MIN:g} s, not {lease_s!r}")


class Lease:
    """One attempt that is held. Except for `ended`, only the thread that polls looks at it."""

    __slots__ = (
        "beat_due_s",
        "beat_s",
        "ended",
        "lease_ms",
        "started_ms",
        "taken",
        "to",
        "written",
    )

    def __init__(self, taken: TakenTask, started_ms: int, lease_s: float, to: ReplyTo) -> None:
        limit_s = taken.task.heartbeat_timeout_ms / 1000
        if limit_s:  # then its owner should know as soon when the whole worker is gone
            lease_s = max(LEASE_S_MIN, min(lease_s, limit_s))
        self.taken = taken
        self.started_ms = started_ms
        self.lease_ms = int(lease_s * 1000)
        self.to = to
        self.beat_s = lease_s / _BEATS_PER_LEASE
        self.beat_due_s = 0.0
        self.written = False
        """Its beginning is on its way to the log, or there."""
        self.ended = False

    @property
    def id(self) -> str:
        return self.to.request

    def on_begun(self, error: LogError | None, _partition: int, _offset: int) -> None:
        """Until its beginning is durable the task is not given out of hand."""
        if error is None:
            self.taken.release()
        else:
            self.written = False

    def on_details(self, error: LogError | None, _partition: int, _offset: int) -> None:
        if error is not None:
            self.taken.pulse.put_news_back()


class LeaseKeeper:
    """`hold`, `release` and `cancel` are for the attempts' loop, `serve` is for the thread that polls."""

    def __init__(
        self,
        writer: ResultWriter,
        metrics: WorkerMetrics,
        log: Log,
        replies_topic: str,
        *,
        partition_count: int,
        lease_s: float = LEASE_S,
        host: Host = HOST,
    ) -> None:
        self._writer = writer
        self._metrics = metrics
        self._client_id = host.token()
        self._replies_partition = partition_of(self._client_id.encode(), partition_count)
        self._answers = OwnerAnswers(
            log, replies_topic, self._replies_partition, self._client_id, self._on_cancelled, host
        )
        self._lease_s = lease_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._host = host
        self._numbers = itertools.count(1)
        self._by_id: dict[str, Lease] = {}
        self._new: deque[Lease] = deque()
        self._held: list[Lease] = []
        self._counted = 0
        """Of these, in the gauge, which other queues of this process share."""
        self._look_at_s = 0.0
        writer.on_long = self.hold

    def hold(self, taken: TakenTask, started_ms: int) -> None:
        """The attempt counts as long: from now on, until `release` or until its result is durable."""
        to = ReplyTo(
            self._client_id, f"{self._client_id}-{next(self._numbers)}", self._replies_partition
        )
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._answers.start()
        lease = taken.lease = Lease(taken, started_ms, self._lease_s, to)
        self._by_id[lease.id] = lease
        self._new.append(lease)

    def cancel(self, lease_id: str) -> None:
        """Its owner does not wait for the attempt any more."""
        lease = self._by_id.get(lease_id)
        if lease is not None and not lease.ended:
            lease.ended = True
            lease.taken.pulse.cancel()

    def release(self, taken: TakenTask) -> None:
        """The attempt was given up without a result: tell its owner, which need not wait until the lease expires.

        Nothing is said when the task is still on the queue as far as anybody knows: then another worker reads it again.
        """
        lease = taken.lease
        if lease is not None and taken.released and not lease.ended:
            lease.ended = True
            task = taken.task
            released = AttemptReleased(
                task.run_id, task.activity_id, task.attempt, lease.id, taken.pulse.take_news()
            )
            self._writer.write_note(taken, released)

    def forget(self, lease: Lease) -> None:
        """The attempt is over here, however it ended."""
        self._by_id.pop(lease.id, None)

    def close(self) -> None:
        """No more answers are read."""
        self._answers.close()

    def _on_cancelled(self, lease_id: str) -> None:
        assert self._loop is not None, "answers are read once there are leases"
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing runs any more
            self._loop.call_soon_threadsafe(self.cancel, lease_id)

    # In the thread that polls.

    def serve(self) -> None:
        """Begin what is to be held, and write the heartbeats that are due. Cheap when nothing is."""
        if self._new:
            while self._new:
                self._held.append(self._new.popleft())
            self._look_at_s = 0.0
        if not self._held:
            return
        now_s = self._host.monotonic()
        if now_s < self._look_at_s:
            return
        self._held = [lease for lease in self._held if not lease.ended]
        self._metrics.leases.inc(len(self._held) - self._counted)
        self._counted = len(self._held)
        for lease in self._held:
            if lease.beat_due_s - lease.beat_s * _TOGETHER <= now_s:
                self._beat(lease)
                lease.beat_due_s = now_s + lease.beat_s
        # Ended ones are noticed soon, also when no heartbeat is due: the gauge is about now.
        self._look_at_s = now_s + min([0.5, *(lease.beat_due_s - now_s for lease in self._held)])

    def _beat(self, lease: Lease) -> None:
        taken, task = lease.taken, lease.taken.task
        if not lease.written:
            lease.written = True
            started = AttemptStarted(
                task.run_id,
                task.activity_id,
                task.attempt,
                lease.started_ms,
                lease.lease_ms,
                lease.id,
                lease.to,
            )
            self._writer.write_note(taken, started, lease.on_begun)
            return
        details = taken.pulse.take_news()
        beat = AttemptHeartbeat(
            task.run_id, task.activity_id, task.attempt, lease.id, details, lease.to
        )
        self._metrics.heartbeats.inc()
        self._writer.write_note(taken, beat, None if details is NULL else lease.on_details)
