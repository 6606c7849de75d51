"""Which attempts of a partition workers hold under leases, and how long ago each was last heard of.

Memory only: after a takeover every leased attempt gets a whole lease anew, and says by its next heartbeat where it can
be told something. Time passes here only as far as the owner keeps up with the log (`pass_time`): a heartbeat that lies
unread in it must not count as missing.
"""

from __future__ import annotations

import heapq

from weft.core import OpenActivity, Run
from weft.records import ReplyTo


class RunningAttempt:
    """One that a worker holds."""

    __slots__ = ("activity_id", "attempt", "due_s", "lease", "lease_s", "reply_to", "run_id")

    def __init__(self, run_id: str, activity_id: int, attempt: int) -> None:
        self.run_id = run_id
        self.activity_id = activity_id
        self.attempt = attempt
        self.lease = ""
        self.lease_s = 0.0
        self.due_s = 0.0
        """When it counts as lost."""
        self.reply_to: ReplyTo | None = None


class RunningAttempts:
    """Of one partition, by workflow ID and activity ID."""

    def __init__(self) -> None:
        self.by_workflow: dict[str, dict[int, RunningAttempt]] = {}
        self._heap: list[tuple[float, str, int, str]] = []
        """(due, workflow ID, activity ID, lease); one entry a lease, looked at again when it is due."""
        self._now_s = 0.0

    def begin_lease(
        self,
        workflow_id: str,
        run_id: str,
        activity: OpenActivity,
        reply_to: ReplyTo | None = None,
    ) -> None:
        """A worker holds the attempt from now on."""
        attempt = RunningAttempt(run_id, activity.activity_id, activity.attempt)
        attempt.lease = activity.lease
        attempt.lease_s = activity.lease_ms / 1000
        attempt.due_s = self._now_s + attempt.lease_s
        attempt.reply_to = reply_to
        self.by_workflow.setdefault(workflow_id, {})[activity.activity_id] = attempt
        entry = (attempt.due_s, workflow_id, activity.activity_id, activity.lease)
        heapq.heappush(self._heap, entry)

    def hear(self, workflow_id: str, activity_id: int, lease: str, to: ReplyTo | None) -> None:
        """The worker that holds the lease is there."""
        attempt = self.by_workflow.get(workflow_id, {}).get(activity_id)
        if attempt is not None and attempt.lease == lease:
            attempt.due_s = self._now_s + attempt.lease_s
            attempt.reply_to = to

    def end(
        self, workflow_id: str, activity_id: int, attempt: int, lease: str | None = None
    ) -> None:
        """The attempt has a result: it runs no more. With a lease, only its holder does not: another may have one."""
        running = self.by_workflow.get(workflow_id)
        if running is not None and activity_id in running:
            held = running[activity_id]
            if held.attempt == attempt and lease in {None, held.lease}:
                del running[activity_id]
            if not running:
                del self.by_workflow[workflow_id]

    def take_stale(self, workflow_id: str, run: Run | None) -> list[RunningAttempt]:
        """Attempts that the workflow does not wait for any more; they are forgotten here."""
        running = self.by_workflow.get(workflow_id)
        if running is None:
            return []
        stale = [attempt for attempt in running.values() if not _is_waited_for(attempt, run)]
        for attempt in stale:
            del running[attempt.activity_id]
        if not running:
            del self.by_workflow[workflow_id]
        return stale

    def pass_time(self, seconds: float) -> bool:
        """So long later; whether `next_silent` is to be asked."""
        self._now_s += seconds
        return bool(self._heap) and self._heap[0][0] <= self._now_s

    def next_silent(self) -> tuple[str, RunningAttempt] | None:
        """The next attempt whose worker has been silent for too long, with its workflow's ID; None when no more are.

        What comes of it is told by `begin_lease` or `take_stale`; else it has another lease's time.
        """
        while self._heap and self._heap[0][0] <= self._now_s:
            _due_s, workflow_id, activity_id, lease = heapq.heappop(self._heap)
            attempt = self.by_workflow.get(workflow_id, {}).get(activity_id)
            if attempt is None or attempt.lease != lease:
                continue
            is_lost = attempt.due_s <= self._now_s
            if is_lost:
                attempt.due_s = self._now_s + attempt.lease_s
            heapq.heappush(self._heap, (attempt.due_s, workflow_id, activity_id, lease))
            if is_lost:
                return workflow_id, attempt
        return None


def _is_waited_for(attempt: RunningAttempt, run: Run | None) -> bool:
    if run is None or run.ended or run.run_id != attempt.run_id:
        return False
    activity = run.activities.get(attempt.activity_id)
    return (
        activity is not None
        and activity.attempt == attempt.attempt
        and not activity.waiting
        and activity.lease == attempt.lease
    )
