"""What a workflow awaits: ordinary asyncio futures that know how to be cancelled durably."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from weft.workflow._loop import WorkflowLoop

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Awaited(Protocol[T_co]):
    """What futures and tasks have in common here."""

    def result(self) -> T_co: ...
    def done(self) -> bool: ...


class Repeatable:
    """What every replay finds at the same place of a set.

    It has Dapr's names for `result()` and `done()`, so that generator workflows read as they do there.
    """

    _hash = 0

    if TYPE_CHECKING:

        def get_loop(self) -> WorkflowLoop: ...

    def __hash__(self) -> int:
        """The next number, in the order of asking, from where the run's ID says: the same in every replay."""
        if not self._hash:  # most are never asked
            loop = self.get_loop()
            loop.last_hash += 1
            self._hash = loop.last_hash
        return self._hash

    def get_result(self: _Awaited[T]) -> T:
        return self.result()

    @property
    def is_complete(self: _Awaited[Any]) -> bool:
        return self.done()


class WorkflowFuture(Repeatable, asyncio.Future[Any]):
    """A future of a workflow's loop."""


class Shield(Protocol):
    """A block of a task's code that is not to be cancelled from outside."""

    def holds_back(self, msg: Any) -> bool:
        """Whether it keeps this request, which the code makes that runs now, until its end."""

    @property
    def holds_request(self) -> bool:
        """Whether it keeps any."""


class WorkflowTask(Repeatable, asyncio.Task[T]):
    """A task of a workflow's loop. A `TaskGroup` cancels its tasks in a set's order, which every replay finds again.

    While it is in blocks that are shielded, these hold back requests to cancel it.
    """

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


class PatientFuture(WorkflowFuture):
    """One that may be given up after a while."""

    def __init__(self, loop: asyncio.AbstractEventLoop, awaited: str) -> None:
        """`awaited` ends the text of its TimeoutError: "no <awaited> in time"."""
        super().__init__(loop=loop)
        self._awaited = awaited
        self._timeout: asyncio.TimerHandle | None = None

    def give_up_after(self, seconds: float) -> None:
        """Fail with TimeoutError when it is not done in time."""
        if not self.done():
            self._timeout = self.get_loop().call_later(seconds, self._time_out)

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
