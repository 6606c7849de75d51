"""Steps that are undone, last first, when what follows them fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, overload

from weft.activity import Activity
from weft.errors import Failure, UsageError
from weft.workflow._continue import is_continued

if TYPE_CHECKING:
    from weft.workflow._context import Context

P = ParamSpec("P")


class Saga:
    """Made by `Context.saga`; used as `async with ctx.saga() as saga`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._steps: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        """(what it is called, how it is undone), in the order in which they were done."""

    @overload
    def on_failure(self, undo: Activity[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def on_failure(
        self, undo: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...
    @overload
    def on_failure(self, undo: str, /, *args: Any) -> None: ...
    def on_failure(self, undo: Any, /, *args: Any, **kwargs: Any) -> None:
        """How a step is undone: an activity (or its name), or an async function of the workflow's own.

        Say so before the step when it may have happened without its result coming back, and after it otherwise.
        """
        if isinstance(undo, Activity | str):
            name = undo if isinstance(undo, str) else undo.name
            self._steps.append(
                (name, lambda: self._context.execute_activity(undo, *args, **kwargs))
            )
        elif asyncio.iscoroutinefunction(undo):
            self._steps.append((undo.__name__, lambda: undo(*args, **kwargs)))
        else:
            raise UsageError(
                f"saga.on_failure takes an activity, its name, or an async function, not {undo!r}"
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Undo after any error, cancellation included; the error goes on. `GeneratorExit` is none: the code is dropped.

        Nor is it one to continue as a new run: what was done stands then, and the next run has no way to undo it.

        Raises Failure of type CompensationError instead when a step could not be undone; the others are.
        """
        if error is None or isinstance(error, GeneratorExit) or is_continued(error):
            return
        undoing = asyncio.ensure_future(self._undo())
        while not undoing.done():
            try:
                await asyncio.shield(undoing)
            except asyncio.CancelledError:
                continue  # being asked to end (once more) is no reason to stop half-way
        failures = undoing.result()
        if failures:
            told = "; ".join(f"{name}: {failure}" for name, failure in failures)
            raise Failure(
                f"{len(failures)} of {len(self._steps)} steps could not be undone ({told}) after "
                f"{type(error).__name__}: {error}",
                type="CompensationError",
                details={"not_undone": [name for name, _ in failures]},
            ) from error

    async def _undo(self) -> list[tuple[str, BaseException]]:
        failures: list[tuple[str, BaseException]] = []
        for name, undo in reversed(self._steps):
            try:
                await undo()
            except (Exception, asyncio.CancelledError) as failure:  # noqa: BLE001  # the others are undone all the same
                failures.append((name, failure))
        return failures
