"""Middleware that stands around any executor: hooks, and spans of OpenTelemetry around each call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from weft.executor._contract import (
    DurableExecutor,
    Middleware,
    WorkflowFunction,
    WorkflowHandle,
)
from weft.executor._hooks import Hooks
from weft.executor._types import Signal, WorkflowOptions
from weft.host import HOST

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class Passing:
    """Hands every call on; for middleware of one's own that changes only some of them."""

    def __init__(self, executor: DurableExecutor) -> None:
        self.executor = executor

    async def execute(
        self, fn: WorkflowFunction, options: WorkflowOptions | None = None
    ) -> WorkflowHandle:
        return await self.executor.execute(fn, options)

    async def signal(self, workflow_id: str, signal: Signal) -> None:
        await self.executor.signal(workflow_id, signal)

    async def query(self, workflow_id: str, query_type: str) -> Any:
        return await self.executor.query(workflow_id, query_type)

    async def cancel(self, workflow_id: str) -> None:
        await self.executor.cancel(workflow_id)


class _Hooked(Passing):
    def __init__(self, executor: DurableExecutor, hooks: Hooks) -> None:
        super().__init__(executor)
        self._hooks = hooks

    async def execute(
        self, fn: WorkflowFunction, options: WorkflowOptions | None = None
    ) -> WorkflowHandle:
        options = with_id(options)
        self._hooks.call("on_workflow_start", options.id, options.input)
        return await self.executor.execute(fn, options)

    async def signal(self, workflow_id: str, signal: Signal) -> None:
        self._hooks.call("on_signal", workflow_id, signal)
        await self.executor.signal(workflow_id, signal)


def with_hooks(hooks: Hooks) -> Middleware:
    """Call `on_workflow_start` and `on_signal` before each such call, whatever comes of it.

    The other hooks see what only the executor knows: give them to it (`DefaultExecutor(hooks=...)`).
    """
    return lambda executor: _Hooked(executor, hooks)


class _Traced(Passing):
    def __init__(self, executor: DurableExecutor, provider: TracerProvider | None) -> None:
        from opentelemetry import trace  # noqa: PLC0415  # for those who trace

        super().__init__(executor)
        self._trace = trace
        self._tracer = (provider or trace.get_tracer_provider()).get_tracer("weft")

    @contextmanager
    def _span(self, name: str, workflow_id: str, **attributes: str) -> Iterator[None]:
        trace = self._trace
        told = {"gen_ai.operation.name": name, "workflow.id": workflow_id, **attributes}
        with self._tracer.start_as_current_span(name, attributes=told) as span:
            yield
            span.set_status(trace.Status(trace.StatusCode.OK))

    async def execute(
        self, fn: WorkflowFunction, options: WorkflowOptions | None = None
    ) -> WorkflowHandle:
        options = with_id(options)
        with self._span("workflow.execute", options.id):
            return await self.executor.execute(fn, options)

    async def signal(self, workflow_id: str, signal: Signal) -> None:
        names = {"workflow.signal.name": signal.name}
        with self._span("workflow.signal", workflow_id, **names):
            await self.executor.signal(workflow_id, signal)

    async def query(self, workflow_id: str, query_type: str) -> Any:
        names = {"workflow.query.type": query_type}
        with self._span("workflow.query", workflow_id, **names):
            return await self.executor.query(workflow_id, query_type)

    async def cancel(self, workflow_id: str) -> None:
        with self._span("workflow.cancel", workflow_id):
            await self.executor.cancel(workflow_id)


def with_tracing(provider: TracerProvider | None = None) -> Middleware:
    """A span around each call: `workflow.execute`, `workflow.signal`, `workflow.query`, `workflow.cancel`.

    It ends with the call. The run that is started within it belongs to its trace, and `weft.tracing.RunTracing` adds
    the run's own spans to that. Without `provider` it is OpenTelemetry's global one.
    """
    return lambda executor: _Traced(executor, provider)


def with_id(options: WorkflowOptions | None) -> WorkflowOptions:
    """The options with the ID that the workflow is going to have."""
    options = options or WorkflowOptions()
    return options if options.id else msgspec.structs.replace(options, id=f"wf-{HOST.token()}")
