"""Updates: values that a workflow's code checks, takes up, and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weft.activity import to_failure
from weft.codec import encode_payload
from weft.core import CompleteUpdate, FailUpdate
from weft.errors import UpdateRejectedError, UsageError
from weft.records import Payload, UpdateAccepted
from weft.workflow._continue import ContinuedAsNew
from weft.workflow._handler import Handler

if TYPE_CHECKING:
    from weft.workflow._machine import Machine


class UpdateHandler:
    """A function of the workflow's code that takes up one update, and the one that says whether it should."""

    __slots__ = ("_handler", "_machine", "_name", "_validator")

    def __init__(
        self,
        machine: Machine,
        name: str,
        function: Callable[..., Any],
        validator: Callable[..., Any] | None,
    ) -> None:
        """Raises UsageError for what takes more than one value, and for a validator that cannot answer at once."""
        self._name = name
        self._machine = machine
        self._handler = Handler("update", name, function)
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

    def begin(self, event: UpdateAccepted) -> None:
        """Call the function, as a task."""
        self._machine.handlers.begin(self._handler.what)
        self._machine.loop.create_task(self._run(event), name=self._handler.what)

    async def _run(self, event: UpdateAccepted) -> None:
        command: CompleteUpdate | FailUpdate
        try:
            result = await self._handler.run(self._handler.arguments(event.payload))
            command = CompleteUpdate(self._name, event.update_id, encode_payload(result))
        except ContinuedAsNew:
            problem = UsageError(
                f"{self._handler.what} called ctx.continue_as_new: only the main code can"
            )
            command = FailUpdate(self._name, event.update_id, to_failure(problem))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # it is the user's code
            command = FailUpdate(self._name, event.update_id, to_failure(error))
        finally:
            self._machine.handlers.end(self._handler.what)
        self._machine.end_update(command)
