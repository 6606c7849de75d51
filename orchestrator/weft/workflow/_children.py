"""The children of a run, and its signals to other workflows, as its code waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Generic, TypeVar

from weft.activity import to_cause
from weft.codec import decode_payload, encode_payload
from weft.core import CancelChild, ScheduleChild, SendSignal
from weft.errors import ChildWorkflowError, SignalNotDeliveredError, UsageError
from weft.records import ChildCompleted, ChildFailed, ChildStarted, Payload, SignalDelivered
from weft.workflow._child import Child
from weft.workflow._commands import Commands
from weft.workflow._futures import WorkflowFuture

Out_co = TypeVar("Out_co", covariant=True)

_ENDS = {
    "failed": "failed with {type}",
    "cancelled": "was cancelled",
    "terminated": "was terminated",
    "timed_out": "timed out",
    "not_started": "could not be started",
}


class ChildHandle(Generic[Out_co]):
    """A child that runs; `await handle` is its result."""

    def __init__(
        self, children: Children, child_id: int, child: Child[Any, Out_co], id: str
    ) -> None:
        self.workflow_id = id
        self.namespace = child.namespace
        """Empty where it is the parent's own."""
        self.run_id = ""
        """Of its present run: a retry has another one."""
        self._children = children
        self._child_id = child_id
        self._child = child
        self._result = ChildFuture(children, child_id)

    def __repr__(self) -> str:
        return f"<child {self.workflow_id!r}, run {self.run_id!r}>"

    def __await__(self) -> Generator[Any, None, Out_co]:
        return self.result().__await__()

    def result(self) -> asyncio.Future[Out_co]:
        """The child's result. Raises ChildWorkflowError, when awaited, if it does not complete.

        It is one future: whoever is cancelled while waiting for it asks the child to end. `asyncio.shield` spares it.
        """
        return self._result

    def signal(self, name: str, payload: object = None) -> asyncio.Future[None]:
        """Send the child a signal, once. Raises SignalNotDeliveredError, when awaited, if it does not run any more."""
        return self._children.signal(
            self.workflow_id, name, payload, self.namespace, self._child_id
        )

    def cancel(self, reason: str = "") -> None:
        """Ask the child to end; it may clean up first. `result()` tells how it ended."""
        self._children.cancel(self._child_id, reason)

    # What its history tells.

    def _complete(self, payload: Payload) -> None:
        if self._result.done():
            return
        try:
            value = self._child.decode_result(payload)
        except UsageError as error:
            self._result.set_exception(
                UsageError(
                    f"the result of child {self.workflow_id!r} ({self._child.name}): {error}"
                )
            )
        else:
            self._result.set_result(value)

    def _fail(self, error: ChildWorkflowError) -> None:
        if not self._result.done():
            self._result.set_exception(error)


class ChildFuture(WorkflowFuture):
    """A child's result, or its start. Cancelling it asks the child to end."""

    def __init__(self, children: Children, child_id: int) -> None:
        super().__init__(loop=children.loop)
        self._children = children
        self._child_id = child_id

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self._children.cancel(self._child_id, msg if isinstance(msg, str) else "")
        return cancelled


class Children:
    """Of one run."""

    def __init__(
        self,
        commands: Commands,
        loop: asyncio.AbstractEventLoop,
        *,
        parent_id: str,
        run_id: str,
    ) -> None:
        """`parent_id` is the workflow ID of the run, from which those of its children are made."""
        self.loop = loop
        self._commands = commands
        self._parent_id = parent_id
        self.run_id = run_id
        self._open: dict[int, ChildHandle[Any]] = {}
        self._starting: dict[int, ChildFuture] = {}
        """Those whose code waits for their start."""
        self._cancelled: set[int] = set()
        """Those that were asked to end."""
        self._sends: dict[int, tuple[WorkflowFuture, str]] = {}
        """Signals whose outcome is not known, and what to call them."""

    # What the context asks for.

    def execute(self, child: Child[Any, Any], data: Payload) -> WorkflowFuture:
        """Start a child; its result is waited for."""
        return self.schedule(child, data)._result

    def start(self, child: Child[Any, Any], data: Payload) -> WorkflowFuture:
        """Start a child; its handle is waited for."""
        handle = self.schedule(child, data)
        future = ChildFuture(self, handle._child_id)
        if handle._child_id in self._open:
            self._starting[handle._child_id] = future
        return future

    def schedule(self, child: Child[Any, Any], data: Payload) -> ChildHandle[Any]:
        number = self._commands.next_number("start a child")
        workflow_id = child.id_of(self._parent_id, self.run_id, number)
        handle = ChildHandle(self, number, child, workflow_id)
        if not self._commands.ended:
            self._open[number] = handle
            command = ScheduleChild(
                number,
                child.name,
                workflow_id,
                data,
                child.namespace,
                child.timeout_ms,
                child.policy,
                child.parent_close,
                child.version,
            )
            self._commands.ask(command, number)
        return handle

    def cancel(self, child_id: int, reason: str) -> None:
        """Ask a child to end, unless it has, or was asked before. One that is not on its way yet is not started."""
        if child_id not in self._open or child_id in self._cancelled:
            return
        self._cancelled.add(child_id)
        if self._commands.withdraw(child_id):
            del self._open[child_id]
            self._starting.pop(child_id, None)
        elif not self._commands.ended:
            self._commands.ask(CancelChild(child_id, reason), -child_id)

    def signal(
        self, workflow_id: str, name: str, payload: object, namespace: str, child_id: int = 0
    ) -> WorkflowFuture:
        """Send a signal; what became of it is waited for."""
        data = encode_payload(payload)
        number = self._commands.next_number("send a signal")
        future = WorkflowFuture(loop=self.loop)
        if not self._commands.ended:
            where = f" in namespace {namespace!r}" if namespace else ""
            self._sends[number] = (future, f"signal {name!r} to workflow {workflow_id!r}{where}")
            command = SendSignal(number, workflow_id, name, data, namespace, child_id)
            self._commands.ask(command, number)
        return future

    # What the history tells.

    def is_waited_for(self, child_id: int) -> bool:
        """Whether the code is told what comes of it."""
        handle = self._open.get(child_id)
        return handle is not None and not handle._result.done()

    def started(self, event: ChildStarted) -> None:
        handle = self._open.get(event.child_id)
        starting = self._starting.pop(event.child_id, None)
        if handle is not None:
            handle.run_id = event.run_id
            if starting is not None and not starting.done():
                starting.set_result(handle)

    def completed(self, event: ChildCompleted) -> None:
        handle = self._open.pop(event.child_id, None)
        if handle is not None:
            handle._complete(event.result)

    def failed(self, event: ChildFailed) -> None:
        handle = self._open.pop(event.child_id, None)
        starting = self._starting.pop(event.child_id, None)
        if handle is None:
            return
        error = _error(handle, event)
        if starting is None:
            handle._fail(error)
        elif not starting.done():
            starting.set_exception(error)

    def delivered(self, event: SignalDelivered) -> None:
        future, what = self._sends.pop(event.send_id, (None, ""))
        if future is None or future.done():
            return
        if event.problem:
            future.set_exception(SignalNotDeliveredError(f"{what}: {event.problem}"))
        else:
            future.set_result(None)

    def clear(self) -> None:
        """Once the code is dropped: it and what it waited for hold each other."""
        self._open.clear()
        self._starting.clear()
        self._sends.clear()


def _error(handle: ChildHandle[Any], event: ChildFailed) -> ChildWorkflowError:
    """What the parent sees when its child did not complete. Its `message` is what the child's own failure said."""
    failure = event.failure
    how = _ENDS[event.status].format(type=failure.type)
    run = f", run {event.run_id}" if event.run_id else ""
    text = f"Child {handle.workflow_id!r} ({event.workflow}{run}) {how}"
    error = ChildWorkflowError(
        f"{text}: {failure.message}" if failure.message else f"{text}.",
        workflow=event.workflow,
        workflow_id=handle.workflow_id,
        run_id=event.run_id,
        namespace=handle.namespace,
        status=event.status,
        attempts=event.attempt,
        type=failure.type,
        details=decode_payload(failure.details),
        non_retryable=failure.non_retryable,
    )
    error.message = failure.message
    error.__cause__ = to_cause(failure.cause)
    return error
