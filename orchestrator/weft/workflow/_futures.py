"""What a workflow awaits: ordinary asyncio futures that know how to be cancelled durably."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from weft.codec import decode_payload
from weft.errors import SignalPayloadError, UsageError
from weft.records import Payload, SignalReceived

if TYPE_CHECKING:
    from weft.workflow._loop import WorkflowLoop
    from weft.workflow._machine import Machine

T = TypeVar("T")


class WorkflowFuture(asyncio.Future[Any]):
    """A future that every replay finds at the same place of a set.

    It has Dapr's names for `result()` and `done()`, so that generator workflows read as they do there.
    """

    _hash = 0

    def __hash__(self) -> int:
        if not self._hash:  # most are never asked
            self._hash = next_hash(self)
        return self._hash

    def get_result(self) -> Any:
        return self.result()

    @property
    def is_complete(self) -> bool:
        return self.done()


class Shield(Protocol):
    """A block of a task's code that is not to be cancelled from outside."""

    def holds_back(self, msg: Any) -> bool:
        """Whether it keeps this request, which the code makes that runs now, until its end."""

    @property
    def holds_request(self) -> bool:
        """Whether it keeps any."""


class WorkflowTask(asyncio.Task[T]):
    """A task that every replay finds at the same place of a set: a `TaskGroup` cancels its tasks in a set's order.

    While it is in blocks that are shielded, these hold back requests to cancel it.
    """

    _hash = 0

    shields: tuple[Shield, ...] = ()
    """The shielded blocks that it is in, outermost first."""

    @property
    def holds_request(self) -> bool:
        """Whether it was asked to end and has not heard of it yet."""
        return any(shield.holds_request for shield in self.shields)

    def cancel(self, msg: Any | None = None) -> bool:
        if self.shields and any(shield.holds_back(msg) for shield in self.shields):
            return True
        return super().cancel(msg)

    def __hash__(self) -> int:
        if not self._hash:
            self._hash = next_hash(self)
        return self._hash

    def get_result(self) -> T:
        return self.result()

    @property
    def is_complete(self) -> bool:
        return self.done()


def next_hash(future: asyncio.Future[Any]) -> int:
    """The next number, in the order of asking, from where the run's ID says: the same in every replay."""
    loop = cast("WorkflowLoop", future.get_loop())
    loop.last_hash += 1
    return loop.last_hash


class ActivityFuture(WorkflowFuture):
    """An activity's result. Cancelling it tells the owner that nobody waits any more."""

    def __init__(
        self, machine: Machine, activity_id: int, name: str, decode: Callable[[Payload], Any]
    ) -> None:
        super().__init__(loop=machine.loop)
        self._machine = machine
        self._activity_id = activity_id
        self._name = name
        self._decode = decode

    def complete(self, result: Payload) -> None:
        if self.done():
            return
        try:
            value = self._decode(result)
        except UsageError as error:
            self.set_exception(UsageError(f"the result of activity {self._name}: {error}"))
        else:
            self.set_result(value)

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self._machine.cancel_activity(self._activity_id)
        return cancelled


class PatientFuture(WorkflowFuture):
    """One that may be given up after a while."""

    def __init__(self, machine: Machine, awaited: str) -> None:
        """`awaited` ends the text of its TimeoutError: "no <awaited> in time"."""
        super().__init__(loop=machine.loop)
        self._machine = machine
        self._awaited = awaited
        self._timeout: asyncio.TimerHandle | None = None

    def give_up_after(self, seconds: float) -> None:
        """Fail with TimeoutError when it is not done in time."""
        if not self.done():
            self._timeout = self._machine.loop.call_later(seconds, self._time_out)

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self._stop_waiting()
            self._stop_timeout()
        return cancelled

    def _stop_waiting(self) -> None:
        """Nobody waits for it any more."""

    def _time_out(self) -> None:
        self._timeout = None
        if not self.done():
            self._stop_waiting()
            self.set_exception(TimeoutError(f"no {self._awaited} in time"))

    def _stop_timeout(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None


class ConditionFuture(PatientFuture):
    """Done once a condition of the code's own is true."""

    def __init__(self, machine: Machine, condition: Callable[[], object]) -> None:
        super().__init__(machine, "condition became true")
        self._condition = condition

    def look(self) -> bool:
        """Whether it is done by now. What the condition raises is told where it is awaited."""
        if self.done():
            return True
        try:
            is_met = bool(self._condition())
        except Exception as error:  # noqa: BLE001  # it is the user's code
            self._stop_timeout()
            self.set_exception(error)
            return True
        if is_met:
            self._stop_timeout()
            self.set_result(None)
        return is_met


class SignalFuture(PatientFuture):
    """The next signal of one name."""

    def __init__(self, machine: Machine, name: str, decode: Callable[[Payload], Any]) -> None:
        super().__init__(machine, f"signal {name!r} came")
        self.name = name
        self.event_id = 0
        """Of the signal, once it has one."""
        self._decode = decode

    def result(self) -> Any:
        """Whoever takes what is in it has taken the signal."""
        self._machine.untaken.take(self.event_id)
        return super().result()

    def exception(self) -> BaseException | None:
        self._machine.untaken.take(self.event_id)
        return super().exception()

    def __await__(self) -> Generator[Any, None, Any]:
        # As asyncio's own, in Python: that one does not ask `result`.
        if not self.done():
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    __iter__ = __await__

    def resolve(self, signal: SignalReceived) -> None:
        """A payload that does not fit is told at the receive call: who sent it may not be who wrote the workflow."""
        self._stop_timeout()
        try:
            value = self._decode(signal.payload)
        except Exception as error:  # noqa: BLE001  # a user's type may check its values in any way
            self.set_exception(unfit_signal(signal, error))
        else:
            self.set_result(value)

    def _stop_waiting(self) -> None:
        self._machine.stop_receiving(self)


def unfit_signal(signal: SignalReceived, error: Exception) -> SignalPayloadError:
    """The error for a signal whose payload is not what its receiver takes."""
    which = f"signal {signal.name!r}" + (
        f" with ID {signal.signal_id!r}" if signal.signal_id else ""
    )
    why = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
    try:
        payload = decode_payload(signal.payload)
    except UsageError:  # nobody has looked into it before
        payload = None
    return SignalPayloadError(
        f"{which}: {why}", signal=signal.name, signal_id=signal.signal_id, payload=payload
    )


class TimerFuture(WorkflowFuture):
    """Done after a duration."""

    def __init__(self, machine: Machine, seconds: float) -> None:
        loop = machine.loop
        super().__init__(loop=loop)
        self._machine = machine
        # No handle of the loop's: it would hold this future as this holds it, for Python's search for cycles to find.
        due_ms = loop.due_ms(loop.time() + seconds)
        self._timer_id = machine.start_timer(due_ms, self._fire_soon)

    def cancel(self, msg: Any | None = None) -> bool:
        self._machine.cancel_timer(self._timer_id)
        return super().cancel(msg)

    def _fire_soon(self) -> None:
        self._machine.loop.call_soon(self._fire)

    def _fire(self) -> None:
        if not self.done():
            self.set_result(None)
