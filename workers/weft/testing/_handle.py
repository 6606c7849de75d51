"""One workflow of an environment, from its test's side."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

import msgspec
from typing_extensions import TypeForm

from weft.client import (
    UpdateDescription,
    failed_error,
    open_updates,
    outcome_of,
    reply_of,
    update_error,
)
from weft.codec import decode_payload, encode_payload
from weft.records import (
    ENDED,
    CancelWorkflow,
    ChildScheduled,
    Event,
    Reply,
    ResetWorkflow,
    ResumeWorkflow,
    Status,
    SuspendWorkflow,
    TerminateWorkflow,
    UpdateWorkflow,
)
from weft.testing._errors import StuckError
from weft.testing._owner import ASKED_BY, Owner
from weft.testing._replay import History, untaken_signals
from weft.workflow import Workflow

if TYPE_CHECKING:
    from weft.testing._environment import Environment

Out_co = TypeVar("Out_co", covariant=True)
T = TypeVar("T")
Duration = timedelta | float
"""A timedelta, or seconds."""


class Handle(Generic[Out_co]):
    """A workflow by its ID; made by `Environment.start`. `after` is virtual time from now."""

    def __init__(
        self,
        environment: Environment,
        workflow: Workflow[Any, Out_co],
        workflow_id: str,
        owner: Owner,
    ) -> None:
        self.id = workflow_id
        self._environment = environment
        self._workflow = workflow
        self._owner = owner

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"

    def wait(self) -> Status:
        """Let time pass until the run has ended or is blocked; returns which.

        Raises StuckError when it waits for what never comes, NondeterminismError when its code does not repeat itself,
        UsageError for a mistake in a fake.
        """
        self._environment._run_until(self._has_stopped, self._stuck)
        return self._status()

    def result(self) -> Out_co:
        """Let time pass until the run has ended.

        Raises WorkflowFailedError when it did not complete, StuckError when it is blocked, and what `wait` raises.
        """
        if self.wait() == "blocked":
            raise StuckError(f"Workflow {self.id!r} is blocked: {self.reason}")
        payloads = self._owner.payloads
        reply = reply_of(self._owner.head(self.id), "")
        if reply.status != "completed":
            if reply.failure is not None:
                failure = payloads.decode_failure(reply.failure, self.id)
                reply = msgspec.structs.replace(reply, failure=failure)
            raise failed_error(self.id, reply)
        return self._workflow.decode_result(payloads.decode(reply.result, self.id))

    @property
    def status(self) -> Status:
        """How the run stands, once all has happened that takes no time."""
        self._environment.settle()
        return self._status()

    @property
    def reason(self) -> str:
        """Why it is blocked, or was cancelled or terminated."""
        return self._owner.head(self.id).reason

    @property
    def custom_status(self) -> Any:
        """What its code last gave to `ctx.set_status`, as JSON; None when it said nothing."""
        self._environment.settle()
        custom_status = self._owner.head(self.id).custom_status
        return decode_payload(self._owner.payloads.decode(custom_status, self.id))

    @property
    def run_id(self) -> str:
        """The ID of the newest run."""
        return self._owner.head(self.id).run_id

    @property
    def history(self) -> list[Event]:
        """Every event of the run so far, oldest first."""
        return self._owner.history(self.id)

    @property
    def children(self) -> list[Handle[Any]]:
        """The children that this run has started so far, in their order; not those that are faked."""
        self._environment.settle()
        starts = [event for event in self.history if isinstance(event, ChildScheduled)]
        places = [
            (event.workflow_id, event.namespace or self._owner.namespace.name) for event in starts
        ]
        return [
            self._environment.handle(workflow_id, namespace=namespace)
            for workflow_id, namespace in places
            if self._environment._has(workflow_id, namespace)
        ]

    @property
    def untaken_signals(self) -> list[str]:
        """The names of signals that came and that the code has not received (so far)."""
        version = self._owner.head(self.id).version
        workflow = self._environment._original(self._workflow.name, version)
        return untaken_signals(History.of(self.id, self.history), workflow)

    @property
    def updates(self) -> list[UpdateDescription]:
        """The updates in flight, as a client's `describe()` tells them; `since` is virtual time."""
        self._environment.settle()
        return list(open_updates(self.history))

    @property
    def former_histories(self) -> list[History]:
        """Of the runs that the present one continues, oldest first; in production nobody keeps them."""
        return [
            History.of(self.id, events)
            for workflow_id, events in self._owner.continued
            if workflow_id == self.id
        ]

    def save_history(self, path: str | os.PathLike[str]) -> None:
        """Write the history to a file that `replay` and `weft replay` read."""
        History.of(self.id, self.history).save(path)

    def signal(
        self, name: str, payload: object = None, *, after: Duration = 0, id: str = ""
    ) -> None:
        """Send a signal, now or after some virtual time. One `id` is received once.

        Raises RefusedError when the run has ended; one that comes `after` is then noted in `Environment.refused`.
        """
        record = self._environment._signal_record(self._owner, self.id, name, payload, id)
        self._environment._send(
            self._owner, self.id, record, after, f"Signal {name!r} to workflow {self.id!r}"
        )

    @overload
    def query(self, name: str, value: object = ..., *, hint: TypeForm[T]) -> T: ...
    @overload
    def query(self, name: str, value: object = ...) -> Any: ...
    def query(self, name: str, value: object = None, *, hint: Any = Any) -> Any:
        """Ask the run's code, once all has happened that takes no time. Raises like a client's `Handle.query`."""
        what = f"Query {name!r} of workflow {self.id!r}"
        return decode_payload(self._environment._ask(self._owner, self.id, name, value, what), hint)

    @overload
    def update(self, name: str, value: object = ..., *, hint: TypeForm[T], id: str = ...) -> T: ...
    @overload
    def update(
        self,
        name: str,
        value: object = ...,
        *,
        id: str = ...,
        wait: Literal["accepted", "completed"] = ...,
        after: Duration = ...,
    ) -> Any: ...
    def update(
        self,
        name: str,
        value: object = None,
        *,
        id: str = "",
        hint: Any = Any,
        wait: Literal["accepted", "completed"] = "completed",
        after: Duration = 0,
    ) -> Any:
        """Send an update and let time pass until the code has answered it: its answer, as `hint`.

        With `wait="accepted"` no time passes, and its ID is returned; with `after` too, before it is sent. Sent again
        under that `id`, it tells what came of it. Raises like a client's `Handle.update`, and StuckError for an answer
        that never comes; a rejection that comes `after` is noted in `Environment.refused`.
        """
        update_id = id or self._environment._request_id()
        known = self._outcome(id) if id and wait == "completed" else None
        if known is not None and known.outcome != "refused":
            return self._value_of(name, id, known, hint)
        data = self._owner.payloads.encode(encode_payload(value), self.id)
        record = UpdateWorkflow(name, update_id, data, ASKED_BY)
        what = f"Update {name!r} of workflow {self.id!r}"
        self._environment._send(self._owner, self.id, record, after, what)
        if after or wait == "accepted":
            return update_id
        self._environment._run_until(lambda: self._outcome(update_id) is not None, self._stuck)
        reply = self._outcome(update_id)
        assert reply is not None, "that was waited for"
        return self._value_of(name, update_id, reply, hint)

    def cancel(self, reason: str = "", *, after: Duration = 0) -> None:
        """Ask the workflow to end; it may clean up first. Raises like `signal`."""
        record = CancelWorkflow(reason, ASKED_BY)
        self._environment._send(
            self._owner, self.id, record, after, f"Cancelling workflow {self.id!r}"
        )

    def terminate(self, reason: str = "", *, after: Duration = 0) -> None:
        """End the run at once, without asking its code. Raises like `signal`."""
        record = TerminateWorkflow(reason, ASKED_BY)
        self._environment._send(
            self._owner, self.id, record, after, f"Terminating workflow {self.id!r}"
        )

    def suspend(self, reason: str = "", *, after: Duration = 0) -> None:
        """Hold the run until `resume`; what comes in meanwhile is kept. Raises like `signal`."""
        record = SuspendWorkflow(reason, ASKED_BY)
        self._environment._send(
            self._owner, self.id, record, after, f"Suspending workflow {self.id!r}"
        )

    def resume(self, *, after: Duration = 0) -> None:
        """Let a suspended run go on with what came meanwhile. Raises like `signal`."""
        record = ResumeWorkflow(ASKED_BY)
        self._environment._send(
            self._owner, self.id, record, after, f"Resuming workflow {self.id!r}"
        )

    def reset(self, to_event: int, reason: str = "", *, after: Duration = 0) -> None:
        """Let the workflow go on as it was after that event of the present run, as a client's `Handle.reset` does.

        Raises like `signal`, and RefusedError when it cannot go on from there.
        """
        request_id = self._environment._request_id()
        record = ResetWorkflow(self.run_id, to_event, request_id, reason, ASKED_BY)
        self._environment._send(
            self._owner, self.id, record, after, f"Resetting workflow {self.id!r}"
        )

    def _value_of(self, name: str, update_id: str, reply: Reply, hint: Any) -> Any:
        if reply.outcome != "answered":
            raise update_error(self.id, name, update_id, reply)
        return decode_payload(reply.result, hint)

    def _outcome(self, update_id: str) -> Reply | None:
        """What has come of an update so far."""
        owner = self._owner
        head = owner.head(self.id)
        if head.status not in ENDED:
            cell = owner.partition.cells[self.id]
            if not cell.warm().updates.get(update_id):
                return None
        reply = Reply("", "refused", head.run_id, head.status)
        return outcome_of(owner.chain(self.id), update_id, reply) or reply

    def _status(self) -> Status:
        return self._owner.head(self.id).status

    def _has_stopped(self) -> bool:
        return self._status() in {*ENDED, "blocked"}

    def _stuck(self) -> str:
        if self._status() == "blocked":
            return f"Workflow {self.id!r} is blocked: {self.reason}"
        if self._status() == "suspended":
            return (
                f"Workflow {self.id!r} is suspended, and nobody resumes it: run.resume(after=...)."
            )
        cell = self._owner.partition.cells[self.id]
        machine = cell.machine
        line = f" ({machine.code_line()})" if machine is not None else ""
        signals = machine.awaited_signals if machine is not None else []
        if signals:
            names = " and ".join(map(repr, signals))
            return (
                f"Workflow {self.id!r} waits for signal {names}{line}, and nobody sends it: "
                f"run.signal({signals[0]!r}, PAYLOAD, after=...) before its result is asked for."
            )
        return f"Workflow {self.id!r} waits{line}, and nothing is left that could wake it."
