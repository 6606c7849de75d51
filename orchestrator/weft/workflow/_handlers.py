"""What a workflow's code does when it is called from outside: its handlers, and which of them are under way.

Each call of a handler of a signal or an update is a task of its own on the workflow's loop, begun in the order in which
they came. The main code and the handlers of signals belong together as the tasks of an `asyncio.TaskGroup` do: when one
fails, the main code is cancelled, cleans up, and the run fails with what the handler raised. (What an update's handler
raises goes to whoever sent the update.) When the main code ends first, the run has ended, and what its handlers still
wait for does not happen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weft.errors import UpdateRejectedError, UsageError
from weft.records import Payload, SignalReceived, UpdateAccepted
from weft.workflow._continue import ContinuedAsNew
from weft.workflow._futures import unfit_signal
from weft.workflow._handler import Handler
from weft.workflow._logger import WorkflowLogger
from weft.workflow._queries import QueryHandler
from weft.workflow._updates import UpdateHandler

if TYPE_CHECKING:
    from weft.workflow._machine import Machine


class Handlers:
    """Of one run, for its machine."""

    __slots__ = ("_machine", "_under_way", "failure", "queries", "signals", "updates")

    def __init__(self, machine: Machine) -> None:
        self.queries: dict[str, QueryHandler] = {}
        self.signals: dict[str, SignalHandler] = {}
        self.updates: dict[str, UpdateHandler] = {}
        self.failure: Exception | None = None
        """What the first handler that failed has raised."""
        self._machine: Machine | None = machine
        self._under_way: dict[str, int] = {}
        """How often each handler was called and has not ended yet."""

    def on_query(self, name: str, function: Callable[..., Any]) -> None:
        self.queries[name] = QueryHandler(name, function)

    def on_signal(self, name: str, function: Callable[..., Any]) -> SignalHandler:
        assert self._machine is not None, "no code runs once it is closed"
        handler = self.signals[name] = SignalHandler(self._machine, name, function)
        return handler

    def on_update(
        self, name: str, function: Callable[..., Any], validator: Callable[..., Any] | None
    ) -> None:
        assert self._machine is not None, "no code runs once it is closed"
        self.updates[name] = UpdateHandler(self._machine, name, function, validator)

    def validate(self, name: str, payload: Payload) -> None:
        """Raises UpdateRejectedError for what its handler would not take."""
        handler = self.updates.get(name)
        if handler is None:
            known = ", ".join(sorted(self.updates)) or "none"
            why = f"its code takes no update {name!r} (it takes: {known})"
            raise UpdateRejectedError(why, update=name, reason=why)
        handler.validate(payload)

    def begin_update(self, event: UpdateAccepted) -> None:
        """Its validator has let it pass. Code that has changed since may not have its handler any more."""
        handler = self.updates.get(event.update)
        if handler is not None:
            handler.begin(event)

    @property
    def are_finished(self) -> bool:
        return not self._under_way

    def begin(self, what: str) -> None:
        """A call of this handler is owed to somebody."""
        self._under_way[what] = self._under_way.get(what, 0) + 1

    def end(self, what: str) -> None:
        """One call of it is over."""
        self._under_way[what] -= 1
        if not self._under_way[what]:
            del self._under_way[what]

    def fail(self, error: Exception) -> None:
        """A handler let this through: the run is to fail with it."""
        if self.failure is None and self._machine is not None:
            self.failure = error
            self._machine.cancel_main(f"a handler failed with {type(error).__name__}: {error}")

    def ended(self) -> None:
        """The main code has ended. Whoever wrote it may have forgotten that handlers are under way."""
        if self._under_way and self.failure is None and self._machine is not None:
            names = ", ".join(f"{what} ({count})" for what, count in self._under_way.items())
            WorkflowLogger(self._machine).warning(
                "the workflow ended while handlers were under way, which go no further: %s. To let them end first: "
                "await ctx.wait_condition(ctx.all_handlers_finished)",
                names,
            )

    def part(self) -> None:
        """Once the machine is closed, forget it and the code: they hold each other."""
        self.queries.clear()
        self.signals.clear()
        self.updates.clear()
        self._machine = None


class SignalHandler:
    """A function of the workflow's code that is called for every signal of one name.

    It takes signals as a future does that waits for one; only, it is never done.
    """

    __slots__ = ("_handler", "_machine", "name")

    def __init__(self, machine: Machine, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self._machine = machine
        self._handler = Handler("signal", name, function)

    def done(self) -> bool:
        return False

    def expect(self) -> None:
        """A signal is on its way to it."""
        self._machine.handlers.begin(self._handler.what)

    def take(self, signal: SignalReceived) -> None:
        self.expect()
        self.resolve(signal)

    def resolve(self, signal: SignalReceived) -> None:
        """Call the function, as a task. Was expected before."""
        self._machine.loop.create_task(self._run(signal), name=self._handler.what)

    async def _run(self, signal: SignalReceived) -> None:
        handlers, handler = self._machine.handlers, self._handler
        try:
            try:
                arguments = handler.arguments(signal.payload)
            except Exception as error:  # noqa: BLE001  # a user's type may check its values in any way
                raise unfit_signal(signal, error) from None
            await handler.run(arguments)
        except ContinuedAsNew:
            handlers.fail(
                UsageError(
                    f"{handler.what} called ctx.continue_as_new: only the main code can; let it wait for a condition"
                )
            )
        except Exception as error:  # noqa: BLE001  # it is the user's code
            handlers.fail(error)
        finally:
            handlers.end(handler.what)


def refuse_two_ways(name: str) -> UsageError:
    """One signal cannot go to both."""
    return UsageError(
        f"signal {name!r} has a handler (ctx.on_signal) and is received in line (ctx.receive_signal): each signal goes "
        "to one of them. Use one of the two, or two names."
    )
