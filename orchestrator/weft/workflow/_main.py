"""The main code of a run: asked to end, continued as a new run, and what the run ends with when it has ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

from weft.activity import to_failure
from weft.core import (
    CancelWorkflowDone,
    Command,
    CompleteWorkflow,
    ContinueWorkflow,
    FailWorkflow,
)
from weft.errors import UsageError
from weft.records import CancelRequested, Payload
from weft.workflow._commands import Commands
from weft.workflow._continue import ContinuedAsNew, is_continued
from weft.workflow._futures import WorkflowTask

if TYPE_CHECKING:
    from weft.workflow._definition import Workflow


class MainCode:
    """The task that a workflow's function runs in, and what it has asked to end with."""

    def __init__(self, workflow: Workflow[Any, Any], commands: Commands) -> None:
        self.task: asyncio.Task[Any] | None = None
        """None before it begins, and once it is dropped."""
        self._workflow = workflow
        self._commands = commands
        self._cancel_requested = False
        self._continuation: ContinueWorkflow | None = None

    def cancel_requested(self, event: CancelRequested) -> None:
        """The history tells that somebody has asked the workflow to end."""
        self._cancel_requested = True
        self.cancel(event.reason or "the workflow was cancelled")

    def cancel(self, why: str) -> None:
        """Ask the code to end; it may clean up first."""
        if self.task is not None and not self._commands.ended:
            self.task.cancel(why)

    def continue_as_new(self, data: Payload, *, keep_signals: bool) -> NoReturn:
        """End the code: the run goes on as a new one. Raises ContinuedAsNew."""
        self._commands.refuse_onlooker("continue as a new run")
        is_unheard = (
            self._cancel_requested
            and isinstance(self.task, WorkflowTask)
            and self.task.holds_request
        )
        self._continuation = ContinueWorkflow(data, keep_signals, is_unheard)
        raise ContinuedAsNew

    def outcome(self, failure: Exception | None) -> Command:
        """What the run ends with, now that the code has ended. `failure` is what a handler of a signal has raised."""
        task = self.task
        assert task is not None, "it has ended, so it began"
        if failure is not None:
            return FailWorkflow(to_failure(_with_cleanup(failure, task)))
        if task.cancelled():
            if self._cancel_requested:
                return CancelWorkflowDone()
            return FailWorkflow(to_failure(asyncio.CancelledError("the workflow cancelled itself")))
        error = task.exception()
        if error is not None and self._continuation is not None and is_continued(error):
            return self._continuation
        if error is not None:
            return FailWorkflow(to_failure(error))
        try:
            return CompleteWorkflow(self._workflow.encode_result(task.result()))
        except UsageError as problem:
            return FailWorkflow(to_failure(problem))


def _with_cleanup(failure: Exception, task: asyncio.Task[Any]) -> BaseException:
    """What a handler raised; or what the main code raised while it cleaned up because of that, with it as the cause."""
    error = None if task.cancelled() else task.exception()
    if error is None:
        return failure
    if error.__cause__ is None and error is not failure:
        error.__cause__ = failure
    return error
