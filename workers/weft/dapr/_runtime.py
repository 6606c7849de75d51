"""The runtime: functions are registered with it, and it serves them in this process until it is shut down."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from weft.activity import Activity
from weft.dapr._connection import LoopThread, namespace_name, open_there
from weft.dapr._definitions import DaprWorkflow, note_name, to_activity
from weft.errors import DeadlineError, UsageError
from weft.host import HOST
from weft.log import Log
from weft.worker import Worker

logger = logging.getLogger("weft.dapr")

F = TypeVar("F", bound=Callable[..., Any])

_LOOK_S = 0.02


class WorkflowRuntime:
    """Where workflows and activities are registered and run: `start()` returns once they are served.

    Dapr's `host` and `port` are those of a sidecar, of which there is none: they are taken, and mean nothing.
    """

    def __init__(
        self,
        host: str | None = None,
        port: str | None = None,
        logger_options: object = None,
        *,
        maximum_concurrent_activity_work_items: int | None = None,
        worker_ready_timeout: float | None = None,
    ) -> None:
        self.workflows: dict[str, Any] = {}
        """By name; for a worker of your own, or for `weft.testing`."""
        self.activities: dict[str, Activity[..., Any]] = {}
        self._concurrency = maximum_concurrent_activity_work_items or 100
        self._ready_timeout_s = worker_ready_timeout or 30.0
        self._log: Log | None = None
        self._loop: LoopThread | None = None
        self._worker: Worker | None = None
        self._running: Future[None] | None = None

    def register_workflow(self, fn: Callable[..., Any], *, name: str | None = None) -> None:
        """Raises UsageError when the name is taken, or the function cannot be a workflow."""
        known = note_name(fn, name)
        if known in self.workflows:
            raise UsageError(f"a workflow {known!r} is registered already")
        self.workflows[known] = DaprWorkflow(fn, known, self)

    def register_activity(self, fn: Callable[..., Any], *, name: str | None = None) -> None:
        """Raises UsageError when the name is taken, or the function cannot be an activity."""
        known = note_name(fn, name)
        if known in self.activities:
            raise UsageError(f"an activity {known!r} is registered already")
        self.activities[known] = to_activity(fn, known)

    def workflow(self, fn: Any = None, *, name: str | None = None) -> Any:
        """`@runtime.workflow`, or `@runtime.workflow(name="...")`: the function stays what it is."""
        return self._registering(self.register_workflow, fn, name)

    def activity(self, fn: Any = None, *, name: str | None = None) -> Any:
        """`@runtime.activity`, or `@runtime.activity(name="...")`: the function stays what it is."""
        return self._registering(self.register_activity, fn, name)

    def _registering(self, register: Callable[..., None], fn: Any, name: str | None) -> Any:
        def decorate(function: F) -> F:
            register(function, name=name)
            return function

        return decorate if fn is None else decorate(fn)

    def start(self) -> None:
        """Serve what is registered, in threads of this process.

        Raises LogUnavailableError, DeadlineError when it is not served in time, and what a worker raises.
        """
        if self._loop is not None:
            raise UsageError("the runtime is started already")
        self._log = open_there()
        self._loop = LoopThread("weft-dapr-runtime")
        self._worker = Worker(
            self._log,
            namespace=namespace_name(),
            workflows=self.workflows.values(),
            activities=self.activities.values(),
            concurrency=self._concurrency,
        )
        self._running = self._loop.begin(self._worker.run())
        is_ready = False
        try:
            is_ready = self.wait_for_worker_ready(self._ready_timeout_s)
        finally:
            if not is_ready:
                self.shutdown()
        if not is_ready:
            raise DeadlineError(f"the runtime was not ready within {self._ready_timeout_s:g} s")

    def wait_for_worker_ready(self, timeout: float = 30.0) -> bool:
        """Whether all is served within that many seconds. Raises what ended the worker."""
        assert self._worker is not None, "started"
        assert self._running is not None, "started"
        until = HOST.monotonic() + timeout
        waiting = HOST.event()
        while not self._worker.ready and HOST.monotonic() < until:
            if self._running.done():
                self._running.result()
            waiting.wait(_LOOK_S)
        return self._worker.ready

    def shutdown(self) -> None:
        """Let what runs come to its end, for a while, and stop. What is left goes on when a runtime starts again."""
        worker, running, loop = self._worker, self._running, self._loop
        self._worker = self._running = self._loop = None
        if worker is not None:
            worker.stop()
        if running is not None:
            running.exception()
        if loop is not None:
            loop.close()
        if self._log is not None:
            self._log.close()
            self._log = None


def alternate_name(name: str | None = None) -> Callable[[F], F]:
    """`@alternate_name("...")` below `@runtime.workflow` or `@runtime.activity` gives the function that name."""

    def decorate(function: F) -> F:
        note_name(function, name)
        return function

    return decorate
