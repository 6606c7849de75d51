"""What other workflows are to hear of a run: each event that concerns one becomes a message in the same transaction.

To children their start, their end, and what becomes of them when this run ends; to the parent how this run began and
ended; to any workflow a signal. A message has its payload with it: what is encoded, and a reference to what lies in the
payload store, is made anew for the workflow that it goes to, which may outlive this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from weft.codec import encode, is_sealed
from weft.core import Command, OpenChild, Run, ScheduleChild, SendSignal
from weft.payloads import Payloads
from weft.records import (
    ENDINGS,
    Caller,
    ChildCancelRequested,
    ChildDone,
    ChildRestarted,
    ChildRunning,
    ChildScheduled,
    FailureInfo,
    HistoryEvent,
    MessagesRecord,
    Payload,
    SignalFrom,
    SignalOutcome,
    SignalSent,
    StartChild,
    StopChild,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from weft.topics import partition_of
from weft.tracing import trace_below
from weft.worker._batch import Batch
from weft.worker._bounds import Refused
from weft.worker._directory import Directory

TELLING = frozenset(
    {WorkflowStarted, ChildScheduled, ChildRestarted, ChildCancelRequested, SignalSent, *ENDINGS}
)
"""Events that another workflow may have to hear of."""
_FOR_OTHERS = frozenset({ScheduleChild, SendSignal})
_OWN_ENDS = (WorkflowCompleted, WorkflowContinued, WorkflowFailed, WorkflowCancelled)
"""Ends that the run's code came to."""
_ENDED_BY = {
    WorkflowCompleted: "completed",
    WorkflowContinued: "continued as a new run",
    WorkflowFailed: "failed",
    WorkflowCancelled: "was cancelled",
    WorkflowTerminated: "was terminated",
    WorkflowTimedOut: "timed out",
}


class Messenger:
    """Of one partition."""

    def __init__(self, partition: int, directory: Directory, payloads: Payloads) -> None:
        self.sent_count = 0
        self._partition = partition
        self._directory = directory
        self._payloads = payloads

    def unreachable(self, commands: Sequence[Command]) -> list[Refused]:
        """Those among the commands that are for a namespace which is not there, and why they cannot be met."""
        return [
            (command, failure)
            for command in commands
            if type(command) in _FOR_OTHERS  # nearly none are
            and isinstance(command, ScheduleChild | SendSignal)
            and (failure := self._refusal(command.namespace, command.workflow_id)) is not None
        ]

    def _refusal(self, namespace: str, workflow_id: str) -> FailureInfo | None:
        if self._directory.find(namespace) is not None:
            return None
        text = (
            f"workflow {workflow_id!r} is to be in namespace {namespace!r}, which is not on this log. Make its topics "
            f"with `weft topics create --namespace {namespace}`, and start workers for it."
        )
        return FailureInfo("TopicError", text, non_retryable=True)

    def tell(self, run: Run, event: HistoryEvent, batch: Batch) -> None:
        """Before the event is folded into the run: what others are to hear of it."""
        if isinstance(event, ENDINGS):
            self._end(run, event, batch)
        elif isinstance(event, ChildScheduled):
            self._start(run, event, event.child_id, 1, batch)
        elif isinstance(event, ChildRestarted):
            self._start(run, run.children[event.child_id], event.child_id, event.attempt, batch)
        elif isinstance(event, ChildCancelRequested):
            child = run.children[event.child_id]
            if not child.waiting:
                self._stop(run.run_id, child, "cancel", event.reason, batch)
        elif isinstance(event, SignalSent):
            self._signal(run, event, batch)
        elif (
            isinstance(event, WorkflowStarted)
            and event.parent is not None
            and not event.continued_from
        ):
            to = event.parent
            running = ChildRunning(to.run_id, to.number, to.attempt, event.run_id)
            self.send(to.namespace, to.workflow_id, running, batch)

    def not_started(self, to: Caller, failure: FailureInfo, batch: Batch) -> None:
        """A child that could not be started: its parent hears why."""
        done = ChildDone(to.run_id, to.number, to.attempt, "not_started", failure=failure)
        self.send(to.namespace, to.workflow_id, done, batch)

    def answer_signal(self, to: Caller, problem: str, batch: Batch) -> None:
        """To the sender of a signal: it was taken, or why it was not."""
        outcome = SignalOutcome(to.run_id, to.number, problem)
        self.send(to.namespace, to.workflow_id, outcome, batch)

    def send(self, namespace: str, workflow_id: str, message: MessagesRecord, batch: Batch) -> None:
        """Write it for the owner of that workflow. A namespace that is gone hears nothing."""
        found = self._directory.find(namespace)
        if found is None:
            return
        target, count = found
        key = workflow_id.encode()
        batch.message(
            self._partition, target.messages, partition_of(key, count), key, encode(message)
        )
        self.sent_count += 1

    def _start(
        self,
        run: Run,
        child: ChildScheduled | OpenChild,
        child_id: int,
        attempt: int,
        batch: Batch,
    ) -> None:
        own = self._directory.own.name
        scope = f"{run.run_id}-{child_id}-{attempt}"
        traceparent, trace = trace_below(run)
        message = StartChild(
            Caller(own, run.workflow_id, run.run_id, child_id, attempt),
            child.workflow,
            self._moved(run, child.input, child.namespace, child.workflow_id, scope),
            child.timeout_ms,
            child.version or run.version,
            bool(child.version),
            traceparent,
            trace,
        )
        self.send(child.namespace, child.workflow_id, message, batch)

    def _stop(
        self,
        run_id: str,
        child: OpenChild,
        how: Literal["cancel", "terminate"],
        reason: str,
        batch: Batch,
    ) -> None:
        message = StopChild(run_id, child.child_id, how, reason)
        self.send(child.namespace, child.workflow_id, message, batch)

    def _signal(self, run: Run, event: SignalSent, batch: Batch) -> None:
        sender = Caller(self._directory.own.name, run.workflow_id, run.run_id, event.send_id)
        scope = f"{run.run_id}-{event.send_id}"
        payload = self._moved(run, event.payload, event.namespace, event.workflow_id, scope)
        message = SignalFrom(sender, event.name, payload, event.child_id)
        self.send(event.namespace, event.workflow_id, message, batch)

    def _end(self, run: Run, event: HistoryEvent, batch: Batch) -> None:
        if run.children:
            self._close(run, event, batch)
        if run.parent is not None and not isinstance(event, WorkflowContinued):
            to = run.parent
            self.send(to.namespace, to.workflow_id, self._done(run, to, event), batch)

    def _close(self, run: Run, event: HistoryEvent, batch: Batch) -> None:
        """What becomes of the children that are still there. Whoever was asked to end has time for that.

        Not when the run did not come to its end by itself: then nobody looks after them.
        """
        reason = f"its parent {run.workflow_id!r} {_ENDED_BY.get(type(event), 'ended')}"
        for child in run.children.values():
            leaves = child.cancel_requested and isinstance(event, _OWN_ENDS)
            if child.parent_close != "abandon" and not child.waiting and not leaves:
                self._stop(run.run_id, child, child.parent_close, reason, batch)

    def _done(self, run: Run, to: Caller, event: HistoryEvent) -> ChildDone:
        place = (to.run_id, to.number, to.attempt)
        if isinstance(event, WorkflowCompleted):
            result = self._moved(run, event.result, to.namespace, to.workflow_id, to.run_id)
            return ChildDone(*place, "completed", run.run_id, result)
        if isinstance(event, WorkflowFailed):
            failure = self._payloads.moved_failure(
                event.failure,
                owner_id=run.workflow_id,
                namespace=to.namespace or self._directory.own.name,
                workflow_id=to.workflow_id,
            )
            return ChildDone(*place, "failed", run.run_id, failure=failure)
        if isinstance(event, WorkflowTimedOut):
            late = FailureInfo("TimeoutError", f"not done within {event.timeout_ms} ms")
            return ChildDone(*place, "timed_out", run.run_id, failure=late)
        assert isinstance(event, WorkflowCancelled | WorkflowTerminated), "no other end"
        if isinstance(event, WorkflowCancelled):
            failure = FailureInfo("CancelledError", event.reason)
            return ChildDone(*place, "cancelled", run.run_id, failure=failure)
        failure = FailureInfo("TerminatedError", event.reason)
        return ChildDone(*place, "terminated", run.run_id, failure=failure)

    def _moved(
        self, run: Run, payload: Payload, namespace: str, workflow_id: str, scope: str
    ) -> Payload:
        """The payload as that workflow may keep it: encoded for it, and stored again as its own."""
        if not is_sealed(payload):
            return payload
        return self._payloads.moved(
            payload,
            owner_id=run.workflow_id,
            namespace=namespace or self._directory.own.name,
            workflow_id=workflow_id,
            scope=scope,
        )
