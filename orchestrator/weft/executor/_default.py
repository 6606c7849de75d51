"""The executor in this process: durable over any store, without a broker and without a worker."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self

from weft.activity import Activity
from weft.client import failed_error
from weft.codec import decode_payload, encode_payload
from weft.core import rebuild
from weft.errors import AlreadyStartedError, QueryError, UsageError, WeftError
from weft.executor._contract import WorkflowFunction, WorkflowStore
from weft.executor._errors import ExecutorError
from weft.executor._facts import HookObserver, Observer
from weft.executor._functions import ActivityFunction, as_activity, as_workflow
from weft.executor._history import read_events
from weft.executor._hooks import Hooks
from weft.executor._local_run import LocalRun
from weft.executor._registry import Config, register
from weft.executor._types import (
    Signal,
    WorkflowFilter,
    WorkflowOptions,
    WorkflowState,
    WorkflowStatus,
)
from weft.host import HOST, Host
from weft.records import CancelWorkflow, Reply, SignalWorkflow, StartWorkflow
from weft.tracing import current_traceparent
from weft.workflow import Workflow

logger = logging.getLogger("weft.executor")

_PAGE = 200


class LocalHandle:
    """One run of a DefaultExecutor."""

    def __init__(self, run: LocalRun) -> None:
        self._run = run

    @property
    def id(self) -> str:
        return self._run.run.workflow_id

    @property
    def run_id(self) -> str:
        return self._run.run.run_id

    async def status(self) -> WorkflowStatus:
        """As it is durable."""
        return self._run.status

    async def result(self) -> Any:
        """Raises WorkflowFailedError when the run did not complete, ExecutorError when the executor is closed first."""
        return await self._run.result()


class DefaultExecutor:
    """Runs workflows in this process, each step saved in `store` before anything follows from it.

    After a crash, `recover` (which `async with` does first) goes on with what the store says is running, by replay of
    its history; the workflows it needs for that are `workflows`, and every one that was executed before. An activity
    whose result was not saved is run again. One process at a time serves a store. Without a store nothing is kept.
    Belongs to the event loop that uses it; whatever its workflows' activities do must not block that.
    """

    def __init__(
        self,
        store: WorkflowStore | None = None,
        *,
        hooks: Hooks | None = None,
        workflows: Iterable[WorkflowFunction] = (),
        activities: Iterable[Activity[..., Any] | ActivityFunction] = (),
        observers: Sequence[Observer] = (),
        host: Host = HOST,
    ) -> None:
        """`activities` are those that workflows call by their names. Raises UsageError for two of one name."""
        self._store = store
        self._host = host
        self._observers = [*observers, *([HookObserver(hooks)] if hooks is not None else [])]
        self._workflows: dict[str, Workflow[Any, Any]] = {}
        self._activities: dict[str, Activity[..., Any]] = {}
        self._runs: dict[str, LocalRun] = {}
        self.held: dict[str, str] = {}
        """Why, by workflow ID, a workflow that the store says is running is not served here."""
        for function in workflows:
            workflow = as_workflow(function)
            if self._workflows.setdefault(workflow.name, workflow) is not workflow:
                raise UsageError(f"two workflows are called {workflow.name!r}: rename one of them")
        for one in activities:
            activity = as_activity(one)
            if self._activities.setdefault(activity.name, activity) is not activity:
                raise UsageError(f"two activities are called {activity.name!r}: rename one of them")

    async def __aenter__(self) -> Self:
        await self.recover()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop serving. What runs stays in the store as it is, and goes on when it is recovered."""
        runs, self._runs = list(self._runs.values()), {}
        for run in runs:
            await run.close()

    # The contract.

    async def execute(
        self, fn: WorkflowFunction, options: WorkflowOptions | None = None
    ) -> LocalHandle:
        """Start a workflow. It is durable when this returns.

        Raises UsageError for an input that the function could not take, AlreadyStartedError when a workflow with this
        ID is running, ExecutorError (`provider_unavailable`) when the store does not take it.
        """
        options = options or WorkflowOptions()
        workflow = as_workflow(fn)
        record = StartWorkflow(
            workflow.name,
            "",
            workflow.encode_input(options.input),
            _timeout_ms(options.timeout),
            traceparent=current_traceparent(),
        )
        workflow_id = options.id or f"wf-{self._host.token()}"
        if self._served(workflow_id) is not None:
            raise _already_running(workflow_id)
        self._workflows[workflow.name] = workflow
        run = self._runs[workflow_id] = self._new_run(workflow, workflow_id)
        try:
            if options.id:
                await self._check_free(workflow_id)
            with _told_as("execute"):
                await run.start(record)
        except BaseException:
            if self._runs.get(workflow_id) is run:
                del self._runs[workflow_id]
            run.machine.close()
            raise
        self._watch_end(workflow_id, run)
        return LocalHandle(run)

    async def _check_free(self, workflow_id: str) -> None:
        """It may run without being served here: nobody has recovered it yet."""
        if self._store is None:
            return
        with _told_as("execute"):
            found = await self._store.load(workflow_id)
        if found is not None and found.status == WorkflowStatus.RUNNING:
            raise _already_running(workflow_id)

    async def signal(self, workflow_id: str, signal: Signal) -> None:
        """It is durable when this returns, also if the workflow does not receive it yet."""
        if not signal.name:
            raise ExecutorError("invalid_input", "workflow signal: signal name cannot be empty")
        run = self._running(workflow_id, "signal")
        record = SignalWorkflow(signal.name, encode_payload(signal.payload))
        if await run.take(record):
            raise _not_running("signal", workflow_id)

    async def query(self, workflow_id: str, query_type: str) -> Any:
        """`status` of any workflow, `result` of one that has ended, and what a running one's code answers."""
        run = self._served(workflow_id)
        if run is not None:
            return self._asked(run, query_type)
        state = await self._load(workflow_id)
        if query_type == "status":
            return str(state.status)
        if query_type == "result":
            return state.result
        raise _unknown_query(query_type)

    async def cancel(self, workflow_id: str) -> None:
        """Returns when that is durable; the workflow ends as `canceled` when its code has cleaned up."""
        run = self._running(workflow_id, "cancel")
        await run.take(CancelWorkflow())

    # Beyond the contract.

    def register(self, fn: WorkflowFunction) -> None:
        """Make a workflow known for `recover`."""
        workflow = as_workflow(fn)
        self._workflows[workflow.name] = workflow

    async def handle(self, workflow_id: str) -> LocalHandle | StoredHandle:
        """Of a workflow that was started before. Raises ExecutorError (`not_found`)."""
        run = self._served(workflow_id)
        if run is not None:
            return LocalHandle(run)
        return StoredHandle(await self._load(workflow_id, "handle"))

    async def recover(self) -> list[str]:
        """Go on with what the store says is running and is not served here; returns the IDs that go on.

        One that cannot go on (its workflow is not known here, its code does not fit its history, its state is not
        whole) is logged and stays in the store as it is; `held` says why. Raises ExecutorError when the store cannot
        be read.
        """
        with _told_as("recover"):
            states = await self._running_in_store()
        return [
            state.workflow_id
            for state in states
            if state.workflow_id not in self._runs and self._resume(state)
        ]

    async def _running_in_store(self) -> list[WorkflowState]:
        if self._store is None:
            return []
        found: list[WorkflowState] = []
        page = WorkflowFilter(status="running", limit=_PAGE)
        seen: set[str] = set()
        while True:
            states = await self._store.list(page)
            # A store that knows no cursor gives the same page again.
            fresh = [state for state in states if state.workflow_id not in seen]
            found += fresh
            seen.update(state.workflow_id for state in fresh)
            if len(states) < _PAGE:
                return found
            if not fresh:
                every = await self._store.list(WorkflowFilter(status="running"))
                return [*found, *(state for state in every if state.workflow_id not in seen)]
            page = page.after(states[-1])

    def _resume(self, state: WorkflowState) -> bool:
        workflow_id = state.workflow_id
        try:
            events = read_events(state)
            workflow = self._known(rebuild(workflow_id, events).workflow)
            run = self._new_run(workflow, workflow_id)
            try:
                run.resume(events)
            except BaseException:
                run.machine.close()
                raise
        except Exception as error:
            self.held[workflow_id] = str(error)
            logger.exception("workflow %s does not go on here", workflow_id)
            return False
        self.held.pop(workflow_id, None)
        self._runs[workflow_id] = run
        self._watch_end(workflow_id, run)
        return True

    def _known(self, name: str) -> Workflow[Any, Any]:
        workflow = self._workflows.get(name)
        if workflow is None:
            known = ", ".join(sorted(self._workflows)) or "none"
            raise UsageError(f"this executor has no workflow {name!r} (it has: {known})")
        return workflow

    def _new_run(self, workflow: Workflow[Any, Any], workflow_id: str) -> LocalRun:
        return LocalRun(
            workflow,
            workflow_id,
            store=self._store,
            activities=self._activities,
            observers=self._observers,
            host=self._host,
        )

    def _watch_end(self, workflow_id: str, run: LocalRun) -> None:
        def forget(_: object) -> None:
            if self._runs.get(workflow_id) is run:
                del self._runs[workflow_id]

        if run.ended.done():
            forget(None)
        else:
            run.ended.add_done_callback(forget)

    def _served(self, workflow_id: str) -> LocalRun | None:
        run = self._runs.get(workflow_id)
        return None if run is None or run.ended.done() else run

    def _running(self, workflow_id: str, operation: str) -> LocalRun:
        run = self._served(workflow_id)
        if run is None:
            raise _not_running(operation, workflow_id)
        return run

    def _asked(self, run: LocalRun, query_type: str) -> Any:
        if query_type == "status":
            return str(run.status)
        try:
            return decode_payload(run.query(query_type))
        except QueryError:
            raise _unknown_query(query_type) from None

    async def _load(self, workflow_id: str, operation: str = "query") -> WorkflowState:
        with _told_as(operation):
            state = await self._store.load(workflow_id) if self._store is not None else None
        if state is None:
            raise ExecutorError(
                "not_found", f'workflow/{operation}: workflow "{workflow_id}" not found'
            )
        return state


class StoredHandle:
    """A run that is not served here, as the store has it."""

    def __init__(self, state: WorkflowState) -> None:
        self._state = state
        self.id = state.workflow_id
        self.run_id = state.run_id

    async def status(self) -> WorkflowStatus:
        return self._state.status

    async def result(self) -> Any:
        """Raises WorkflowFailedError, and ExecutorError for a run that has not ended and is not served here."""
        state = self._state
        if state.status == WorkflowStatus.COMPLETED:
            return state.result
        if state.status == WorkflowStatus.RUNNING:
            text = f'workflow "{self.id}" is running and not served here: recover() it'
            raise ExecutorError("not_found", text)
        try:
            run = rebuild(self.id, read_events(state))
        except WeftError:  # another executor's
            raise failed_error(
                self.id, Reply("", "ended", self.run_id, "terminated", reason=state.error)
            ) from None
        raise failed_error(
            self.id,
            Reply("", "ended", self.run_id, run.status, failure=run.failure, reason=run.reason),
        )


def _timeout_ms(timeout: timedelta | float | None) -> int:
    """Nothing, and nothing that is not positive, is no limit."""
    if timeout is None:
        return 0
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    return max(1, round(seconds * 1000)) if seconds > 0 else 0


def _not_running(operation: str, workflow_id: str) -> ExecutorError:
    text = f'workflow/{operation}: workflow "{workflow_id}" not found or not running'
    return ExecutorError("not_found", text)


def _unknown_query(query_type: str) -> ExecutorError:
    return ExecutorError("invalid_input", f'workflow/query: unknown query type "{query_type}"')


@contextmanager
def _told_as(operation: str) -> Iterator[None]:
    """What a store raises, as an executor's error."""
    try:
        yield
    except Exception as error:
        raise ExecutorError("provider_unavailable", f"workflow/{operation}: {error}") from error


def _already_running(workflow_id: str) -> AlreadyStartedError:
    return AlreadyStartedError(f'workflow/execute: workflow "{workflow_id}" is running already')


def _make(config: Config) -> DefaultExecutor:
    """`extra` may hold `activities`."""
    return DefaultExecutor(
        config.store,
        hooks=config.hooks,
        workflows=config.workflows,
        activities=config.extra.get("activities", ()),
    )


register("default", _make)
