"""Updates: values that a workflow's code checks, takes up, and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from weft.activity import to_failure
from weft.codec import encode_payload
from weft.core import CompleteUpdate, FailUpdate
from weft.errors import UpdateRejectedError, UsageError
from weft.records import Payload, UpdateAccepted
from weft.workflow._commands import Commands
from weft.workflow._continue import ContinuedAsNew
from weft.workflow._handler import Handler
from weft.workflow._handler_calls import HandlerCalls

if TYPE_CHECKING:
    from weft.workflow._loop import WorkflowLoop


class UpdateHandler:
    """A function of the workflow's code that takes up one update, and the one that says whether it should."""

    __slots__ = ("_handler", "_name", "_validator", "what")

    def __init__(
        self, name: str, function: Callable[..., Any], validator: Callable[..., Any] | None
    ) -> None:
        """Raises UsageError for what takes more than one value, and for a validator that cannot answer at once."""
        self._name = name
        self._handler = Handler("update", name, function)
        self.what = self._handler.what
        self._validator: Handler | None = None
        if validator is not None:
            self._validator = Handler(
                "update", name, validator, role="validator", answers_at_once=True
            )

    def validate(self, payload: Payload) -> None:
        """Raises UpdateRejectedError."""
        validator = self._validator
        try:
            self._handler.arguments(payload)
            takes_value = validator is not None and validator.takes_value
            arguments = validator.arguments(payload) if validator and takes_value else ()
        except Exception as error:
            why = f"the value of update {self._name!r} does not fit: {error}"
            raise self._rejected(why, error) from error
        if validator is None:
            return
        try:
            validator.call(arguments)
        except Exception as error:
            raise self._rejected(str(error) or type(error).__name__, error) from error

    def _rejected(self, why: str, error: Exception) -> UpdateRejectedError:
        kind = getattr(error, "type", "") or type(error).__name__
        return UpdateRejectedError(why, update=self._name, reason=why, type=str(kind))

    def run(self, payload: Payload) -> Coroutine[Any, Any, Any]:
        """Call the function: what it returns in the end. Raises UsageError for a value that does not fit any more."""
        return self._handler.run(self._handler.arguments(payload))


class Updates:
    """Of one run: the updates that its code takes."""

    def __init__(self, commands: Commands, calls: HandlerCalls, loop: WorkflowLoop) -> None:
        self.handlers: dict[str, UpdateHandler] = {}
        self._commands = commands
        self._calls = calls
        self._loop = loop

    def add(
        self, name: str, function: Callable[..., Any], validator: Callable[..., Any] | None
    ) -> None:
        """From now on this function takes up updates of that name that `validator` lets pass."""
        self._commands.refuse_onlooker("take updates")
        self.handlers[name] = UpdateHandler(name, function, validator)

    def validate(self, name: str, payload: Payload) -> None:
        """Raises UpdateRejectedError for what its handler would not take."""
        handler = self.handlers.get(name)
        if handler is None:
            known = ", ".join(sorted(self.handlers)) or "none"
            why = f"its code takes no update {name!r} (it takes: {known})"
            raise UpdateRejectedError(why, update=name, reason=why)
        handler.validate(payload)

    def accepted(self, event: UpdateAccepted) -> None:
        """Its validator has let it pass. Code that has changed since may not have its handler any more."""
        handler = self.handlers.get(event.update)
        if handler is not None:
            self._calls.begin(handler.what)
            self._loop.create_task(self._take_up(handler, event), name=handler.what)

    async def _take_up(self, handler: UpdateHandler, event: UpdateAccepted) -> None:
        """Whatever it raises goes to whoever sent the update."""
        command: CompleteUpdate | FailUpdate
        try:
            result = await handler.run(event.payload)
            command = CompleteUpdate(event.update, event.update_id, encode_payload(result))
        except ContinuedAsNew:
            problem = UsageError(
                f"{handler.what} called ctx.continue_as_new: only the main code can"
            )
            command = FailUpdate(event.update, event.update_id, to_failure(problem))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # it is the user's code
            command = FailUpdate(event.update, event.update_id, to_failure(error))
        finally:
            self._calls.end(handler.what)
        if not self._commands.ended:
            self._commands.ask(command, f"\0{event.update_id}")
