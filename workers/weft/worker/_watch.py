"""What an owner knows of the attempts that run for its workflows, and what it tells whoever runs them."""

from __future__ import annotations

from weft.core import Run
from weft.records import (
    ENDINGS,
    HELD,
    NULL,
    ActivityCancelled,
    ActivityFailed,
    AttemptFailed,
    AttemptHeartbeat,
    AttemptReleased,
    AttemptStarted,
    HistoryEvent,
    Payload,
    ResultsRecord,
)
from weft.worker import _answers as answers
from weft.worker._batch import AttemptKey, Batch
from weft.worker._cell import Cell
from weft.worker._progress import ProgressBook
from weft.worker._running import RunningAttempts

OF_ONE = (ActivityCancelled, ActivityFailed)
GIVES_UP = frozenset({*OF_ONE, *ENDINGS})
"""Events with which a run may stop waiting for attempts that are under way."""
NOT_WAITED_FOR = "the run does not wait for this attempt"
_NULL_BYTES = bytes(NULL)


class AttemptWatch:
    """Of one partition. Heartbeats change nothing here that a history tells."""

    def __init__(self, partition: int) -> None:
        self.running = RunningAttempts()
        self.progress = ProgressBook()
        self._partition = partition
        self._given_up: dict[str, list[AttemptKey]] = {}
        """Inline attempts that may be under way and not waited for, by workflow."""

    @property
    def is_busy(self) -> bool:
        """Whether `settle` has anything to look at. Most of the time it has not."""
        return bool(self.running.by_workflow or self.progress.by_workflow or self._given_up)

    def begin(self, workflow_id: str, run: Run) -> None:
        """A run was taken over: the workers that hold its attempts are given time to be heard of."""
        if run.leased_count:
            for activity in run.activities.values():
                if activity.lease_ms:
                    self.running.begin_lease(workflow_id, run.run_id, activity)

    def grant(self, workflow_id: str, run: Run, started: AttemptStarted, batch: Batch) -> None:
        """Watch over the attempt from now on, unless nobody waits for it or another worker holds it."""
        if run.status in HELD or not started.lease_ms:
            return
        activity = run.activities.get(started.activity_id)
        if (
            activity is not None
            and (activity.attempt, activity.lease) == (started.attempt, started.lease)
            and activity.lease_ms
        ):
            self.running.begin_lease(workflow_id, run.run_id, activity, started.reply_to)
        else:
            self.answer_stale(started, NOT_WAITED_FOR, batch)

    def hear(self, workflow_id: str, run: Run, beat: AttemptHeartbeat) -> bool:
        """A heartbeat; False when the run does not wait for that attempt by that worker."""
        activity = run.activities.get(beat.activity_id)
        if (
            activity is None
            or (activity.attempt, activity.waiting) != (beat.attempt, False)
            or (activity.lease_ms and activity.lease != beat.lease)
        ):
            return False
        self.running.hear(workflow_id, beat.activity_id, beat.lease, beat.reply_to)
        self._note(workflow_id, run, beat, beat.details)
        return True

    def end(self, workflow_id: str, run: Run, result: AttemptFailed | AttemptReleased) -> None:
        """An attempt ended without success; what it said last is for the next one."""
        self._note(workflow_id, run, result, result.heartbeat_details)

    def give_up(self, workflow_id: str, run: Run, event: HistoryEvent) -> None:
        """Before this event: the run will not wait for what it ends. Inline attempts are stopped when that is sure."""
        for activity in run.activities.values():
            is_meant = not isinstance(event, OF_ONE) or event.activity_id == activity.activity_id
            if is_meant and activity.inline and not activity.waiting:
                key = (run.run_id, activity.activity_id, activity.attempt)
                self._given_up.setdefault(workflow_id, []).append(key)

    def answer_stale(self, result: ResultsRecord, reason: str, batch: Batch) -> None:
        """Whoever still runs the attempt that this speaks of may stop."""
        if isinstance(result, AttemptStarted | AttemptHeartbeat) and result.reply_to is not None:
            to = result.reply_to
            batch.reply(to, answers.cancelled(to, result.run_id, reason))

    def changed(self) -> list[str]:
        """Workflows whose activities have said how far they are."""
        return list(self.progress.changed)

    def settle(self, cell: Cell, batch: Batch) -> None:
        """Stop what runs and is not waited for any more, and bring the progress of the rest on the log."""
        workflow_id = cell.workflow_id
        run = None if cell.ended else cell.run
        for attempt in self.running.take_stale(workflow_id, run):
            to = attempt.reply_to
            if to is not None:
                batch.reply(to, answers.cancelled(to, attempt.run_id, f"{NOT_WAITED_FOR} any more"))
        for key in self._given_up.pop(workflow_id, ()):
            if not _is_waited_for(key, run):
                batch.inline_stale.append((self._partition, key))
        for progress_key, value in self.progress.settle(workflow_id, run):
            batch.state(self._partition, progress_key, value)

    def _note(self, workflow_id: str, run: Run, result: ResultsRecord, details: Payload) -> None:
        activity = run.activities.get(result.activity_id)
        is_current = activity is not None and activity.attempt == result.attempt
        if is_current and bytes(details) != _NULL_BYTES:
            self.progress.note(workflow_id, run.run_id, result.activity_id, details)


def _is_waited_for(key: AttemptKey, run: Run | None) -> bool:
    run_id, activity_id, attempt = key
    activity = run.activities.get(activity_id) if run is not None and run.run_id == run_id else None
    return activity is not None and activity.attempt == attempt and not activity.waiting
