"""Children that a test only pretends to run: their parents are told of a start and an end, and nothing else happens."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from weft.activity import to_failure
from weft.codec import decode_payload, encode_payload
from weft.errors import UsageError
from weft.records import (
    Caller,
    ChildDone,
    ChildRunning,
    FailureInfo,
    MessagesRecord,
    Payload,
    SignalFrom,
    SignalOutcome,
    StartChild,
    StopChild,
)
from weft.testing._fakes import is_exception
from weft.workflow import Workflow

Send = Callable[[str, str, MessagesRecord], None]
"""(namespace, workflow ID, message)"""


@dataclass(frozen=True, slots=True)
class ChildCall:
    """One run of a faked child, as it began. `input` is as the workflow declares it; by its name alone, plain JSON."""

    workflow: str
    input: Any
    workflow_id: str
    namespace: str
    parent_id: str
    attempt: int
    time: datetime


@dataclass(slots=True)
class _Fake:
    definition: Workflow[Any, Any] | None
    outcomes: Sequence[Any]
    left: Iterator[Any] | None
    takes_s: float


@dataclass(slots=True)
class _Running:
    parent: Caller
    run_id: str
    task: asyncio.Task[None] | None = None


class FakeChildren:
    """Of one environment. `refuse` is called with a mistake of the test's own."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], datetime],
        send: Send,
        refuse: Callable[[Exception], None],
    ) -> None:
        self.calls: list[ChildCall] = []
        self._loop = loop
        self._now = now
        self._send = send
        self._refuse = refuse
        self._fakes: dict[str, _Fake] = {}
        self._running: dict[tuple[str, str], _Running] = {}
        """By namespace and workflow ID."""

    def fake(
        self, workflow: Workflow[Any, Any] | str, outcomes: Sequence[Any], takes_s: float
    ) -> None:
        """Raises UsageError for what is no workflow."""
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        if not (name and isinstance(name, str)):
            raise UsageError(f"{workflow!r} is no workflow: give one, or its name.")
        definition = workflow if isinstance(workflow, Workflow) else None
        left = iter(outcomes) if len(outcomes) > 1 else None
        self._fakes[name] = _Fake(definition, outcomes, left, takes_s)

    def takes(self, namespace: str, workflow_id: str, message: MessagesRecord) -> bool:
        """Whether this is for a faked child, and done with."""
        if isinstance(message, StartChild) and message.workflow in self._fakes:
            self._start(namespace, workflow_id, message)
            return True
        running = self._running.get((namespace, workflow_id))
        if running is None:
            return False
        if isinstance(message, StopChild):
            self._stop(namespace, workflow_id, running, message)
            return True
        if isinstance(message, SignalFrom):
            to = message.sender
            self._send(to.namespace, to.workflow_id, SignalOutcome(to.run_id, to.number))
            return True
        return False

    def close(self) -> None:
        """Those that still run end unheard."""
        for running in self._running.values():
            if running.task is not None:
                running.task.cancel()

    def _start(self, namespace: str, workflow_id: str, message: StartChild) -> None:
        fake, parent = self._fakes[message.workflow], message.parent
        self.calls.append(
            ChildCall(
                message.workflow,
                _input(fake, message.input),
                workflow_id,
                namespace,
                parent.workflow_id,
                parent.attempt,
                self._now(),
            )
        )
        running = _Running(parent, f"fake-{len(self.calls)}")
        self._running[namespace, workflow_id] = running
        begun = ChildRunning(parent.run_id, parent.number, parent.attempt, running.run_id)
        self._send(parent.namespace, parent.workflow_id, begun)
        running.task = self._loop.create_task(
            self._run(namespace, workflow_id, running, fake, self.calls[-1])
        )

    async def _run(
        self, namespace: str, workflow_id: str, running: _Running, fake: _Fake, call: ChildCall
    ) -> None:
        if fake.takes_s:
            await asyncio.sleep(fake.takes_s)
        parent = running.parent
        place = (parent.run_id, parent.number, parent.attempt)
        try:
            result = await self._outcome(fake, call)
        except Exception as error:  # noqa: BLE001  # the fake's outcome
            done = ChildDone(*place, "failed", running.run_id, failure=to_failure(error))
        else:
            done = ChildDone(*place, "completed", running.run_id, result)
        self._end(namespace, workflow_id, running, done)

    def _stop(
        self, namespace: str, workflow_id: str, running: _Running, message: StopChild
    ) -> None:
        if running.task is not None:
            running.task.cancel()
        parent = running.parent
        place = (parent.run_id, parent.number, parent.attempt)
        if message.how == "cancel":
            failure = FailureInfo("CancelledError", message.reason)
            done = ChildDone(*place, "cancelled", running.run_id, failure=failure)
        else:
            failure = FailureInfo("TerminatedError", message.reason)
            done = ChildDone(*place, "terminated", running.run_id, failure=failure)
        self._end(namespace, workflow_id, running, done)

    def _end(self, namespace: str, workflow_id: str, running: _Running, done: ChildDone) -> None:
        if self._running.get((namespace, workflow_id)) is running:
            del self._running[namespace, workflow_id]
        self._send(running.parent.namespace, running.parent.workflow_id, done)

    async def _outcome(self, fake: _Fake, call: ChildCall) -> Payload:
        outcome = fake.outcomes[0] if fake.outcomes else None
        if fake.left is not None:
            outcome = next(fake.left, _NOTHING_LEFT)
        if outcome is _NOTHING_LEFT:
            raise self._mistake(
                f"The fake of child {call.workflow} has {len(fake.outcomes)} outcomes, and was started once more."
            )
        if is_exception(outcome):
            raise outcome
        if callable(outcome):
            outcome = outcome(call.input)
            if inspect.isawaitable(outcome):
                outcome = await outcome
        return self._encoded(fake, call.workflow, outcome)

    def _encoded(self, fake: _Fake, name: str, outcome: Any) -> Payload:
        """A fake must give what the workflow could: a test with another result proves nothing."""
        try:
            data = encode_payload(outcome)
            if fake.definition is not None:
                fake.definition.decode_result(data)
        except UsageError as error:
            raise self._mistake(
                f"The fake of child {name} gave what the workflow never does: {error}"
            ) from None
        return data

    def _mistake(self, text: str) -> UsageError:
        error = UsageError(text)
        self._refuse(error)
        return error


_NOTHING_LEFT = object()


def _input(fake: _Fake, data: Payload) -> Any:
    return decode_payload(data) if fake.definition is None else fake.definition.decode_input(data)
