"""The client: starts workflows, waits for them and steers them, from code that blocks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from weft.client import Client, Handle
from weft.dapr._connection import LoopThread, namespace_name, open_there
from weft.dapr._context import event_name
from weft.dapr._definitions import name_of
from weft.dapr._state import WorkflowState, state_of
from weft.errors import RefusedError, UnknownWorkflowError, UsageError, WorkflowFailedError

_LOOK_S = 0.05


class DaprWorkflowClient:
    """Of any process: the log alone is asked. Dapr's `host` and `port` are those of a sidecar, and mean nothing."""

    def __init__(
        self, host: str | None = None, port: str | None = None, logger_options: object = None
    ) -> None:
        """Raises LogUnavailableError."""
        self._log = open_there()
        self._loop = LoopThread("weft-dapr-client")
        self._client = Client(self._log, namespace=namespace_name())
        self._loop.run(self._client.open())

    def schedule_new_workflow(
        self,
        workflow: Any,
        *,
        input: Any = None,
        instance_id: str | None = None,
        start_at: datetime | None = None,
    ) -> str:
        """Start a workflow, a function that was registered or its name; returns its ID once that is durable.

        Raises AlreadyStartedError when one with this ID runs, UsageError for a `start_at` that is still to come: let
        the workflow begin with a timer.
        """
        if start_at is not None:
            at = start_at if start_at.tzinfo else start_at.replace(tzinfo=UTC)
            if at > datetime.now(UTC):
                raise UsageError(
                    "start_at is not here yet: begin the workflow with ctx.create_timer(start_at)"
                )
        started = self._loop.run(self._client.start(name_of(workflow), input, id=instance_id))
        return started.id

    def get_workflow_state(
        self, instance_id: str, *, fetch_payloads: bool = True
    ) -> WorkflowState | None:
        """How it stands; None when there is none."""
        return self._loop.run(self._state(instance_id, fetch_payloads))

    def wait_for_workflow_start(
        self, instance_id: str, *, fetch_payloads: bool = False, timeout_in_seconds: float = 0
    ) -> WorkflowState | None:
        """Wait until there is one with this ID. 0 is without end; then, or later, raises TimeoutError."""

        async def there() -> WorkflowState:
            async with asyncio.timeout(timeout_in_seconds or None):
                while True:
                    state = await self._state(instance_id, fetch_payloads)
                    if state is not None:
                        return state
                    await asyncio.sleep(_LOOK_S)

        return self._loop.run(there())

    def wait_for_workflow_completion(
        self, instance_id: str, *, fetch_payloads: bool = True, timeout_in_seconds: float = 0
    ) -> WorkflowState | None:
        """Wait until it has ended, however; None when there is none. Raises TimeoutError after that many seconds."""

        async def ended() -> WorkflowState | None:
            try:
                await self._handle(instance_id).result(timeout_in_seconds or None)
            except WorkflowFailedError:
                pass  # the state says how
            except UnknownWorkflowError:
                return None
            return await self._state(instance_id, fetch_payloads)

        return self._loop.run(ended())

    def raise_workflow_event(
        self, instance_id: str, event_name: str, *, data: Any | None = None
    ) -> None:
        """Tell a workflow. One that is not there, or has ended, is told nothing."""
        self._loop.run(self._tell(instance_id, event_name, data))

    def terminate_workflow(
        self, instance_id: str, *, output: Any | None = None, recursive: bool = True
    ) -> None:
        """End it at once, and its children, if they are not to be abandoned."""
        reason = output if isinstance(output, str) else ""
        self._loop.run(self._handle(instance_id).terminate(reason))

    def pause_workflow(self, instance_id: str) -> None:
        """Hold it where it is; what comes meanwhile is kept."""
        self._loop.run(self._handle(instance_id).suspend())

    def resume_workflow(self, instance_id: str) -> None:
        """Let it go on."""
        self._loop.run(self._handle(instance_id).resume())

    def purge_workflow(self, instance_id: str, recursive: bool = True) -> None:  # noqa: FBT001, FBT002  # as there
        """Forget one that has ended. Raises RefusedError when it has not, UnknownWorkflowError when there is none."""
        self._loop.run(self._client.purge(instance_id))

    def close(self) -> None:
        """Let go of the log."""
        self._loop.run(self._client.close())
        self._loop.close()
        self._log.close()

    def _handle(self, instance_id: str) -> Handle[Any]:
        return self._client.handle(instance_id)

    async def _state(self, instance_id: str, fetch_payloads: bool) -> WorkflowState | None:  # noqa: FBT001  # as asked
        try:
            found = await self._handle(instance_id).describe()
        except UnknownWorkflowError:
            return None
        return state_of(found, fetch_payloads=fetch_payloads)

    async def _tell(self, instance_id: str, name: str, data: Any) -> None:
        try:
            await self._handle(instance_id).signal(event_name(name), data)
        except (RefusedError, UnknownWorkflowError):
            return
