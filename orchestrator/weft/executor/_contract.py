"""The contract: what an executor, a handle and a store are. Whoever keeps it can stand in for any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from weft.executor._types import (
    Signal,
    WorkflowFilter,
    WorkflowOptions,
    WorkflowState,
    WorkflowStatus,
)

WorkflowFunction = Callable[..., Awaitable[Any]]
"""`async def workflow(ctx, input)`, plain or made with `workflow.define`."""


@runtime_checkable
class WorkflowHandle(Protocol):
    """One run that was started."""

    @property
    def id(self) -> str:
        """The workflow's ID."""

    @property
    def run_id(self) -> str:
        """Which run of it this is."""

    async def status(self) -> WorkflowStatus:
        """How the run stands now."""

    async def result(self) -> Any:
        """Wait for the end. Raises WorkflowFailedError when it did not complete.

        Whoever does not want to wait for ever wraps it in `asyncio.timeout`; the workflow goes on all the same.
        """


@runtime_checkable
class DurableExecutor(Protocol):
    """Runs workflows. Every call returns when what it did is durable, as far as the provider can know."""

    async def execute(
        self, fn: WorkflowFunction, options: WorkflowOptions | None = None
    ) -> WorkflowHandle:
        """Start a workflow and return while it runs."""

    async def signal(self, workflow_id: str, signal: Signal) -> None:
        """Raises ExecutorError (`not_found`) when the workflow is not running."""

    async def query(self, workflow_id: str, query_type: str) -> Any:
        """`status`, `result`, or what a handler of the workflow's code answers. Raises ExecutorError."""

    async def cancel(self, workflow_id: str) -> None:
        """Ask the workflow to end: its code sees CancelledError. Raises ExecutorError (`not_found`)."""


@runtime_checkable
class WorkflowStore(Protocol):
    """Keeps workflows' states. May be used by several tasks at once.

    What it gives out and what it keeps are never the same object: changing one does not change the other.
    """

    async def save(self, state: WorkflowState) -> None:
        """Keep this state instead of any former one; durable when it returns. Raises StoreError."""

    async def load(self, workflow_id: str) -> WorkflowState | None:
        """The state as JSON kept it; None when there is none. Raises StoreError."""

    async def list(self, filter: WorkflowFilter | None = None) -> Sequence[WorkflowState]:
        """Oldest first. Raises StoreError."""

    async def delete(self, workflow_id: str) -> None:
        """Nothing happens when there is none. Raises StoreError."""


Middleware = Callable[[DurableExecutor], DurableExecutor]
"""An executor around another one."""


def apply_middleware(executor: DurableExecutor, *middleware: Middleware) -> DurableExecutor:
    """The executor within all of them; the first is the outermost."""
    for wrap in reversed(middleware):
        executor = wrap(executor)
    return executor
