"""This project's engine behind the contract of executors: a client, and a worker in this process."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self

from weft.activity import Activity
from weft.client import Client, Handle
from weft.errors import (
    DeadlineError,
    LogError,
    RefusedError,
    UnknownWorkflowError,
    UsageError,
)
from weft.executor import (
    ActivityFunction,
    Config,
    ExecutorError,
    FunctionWorkflow,
    Hooks,
    Observer,
    Signal,
    WorkflowFunction,
    WorkflowOptions,
    WorkflowStatus,
    as_activity,
    as_workflow,
    register,
    status_of,
)
from weft.log import Log, open_log
from weft.payloads import CodecsOption, StoreOption, to_codecs
from weft.records import PAYLOAD_BYTES_MAX
from weft.topics import Namespace, catalogue, create
from weft.worker import Worker
from weft.workflow import Workflow

logger = logging.getLogger("weft.executor")

_CONFIRM_S = 60.0
"""A worker that has just been started must first be given its partitions."""
_STOP_S = 40.0
_LOOK_S = 0.02


class KafkaHandle:
    """One run on the log."""

    def __init__(self, handle: Handle[Any]) -> None:
        self._handle = handle

    @property
    def id(self) -> str:
        return self._handle.id

    @property
    def run_id(self) -> str:
        return self._handle.run_id

    async def status(self) -> WorkflowStatus:
        """As it is committed."""
        return status_of(await self._handle.status())

    async def result(self) -> Any:
        """Raises WorkflowFailedError when the run did not complete."""
        return await self._handle.result()


class KafkaExecutor:
    """Runs workflows on a Kafka cluster (`kafka="host:port"`), or on an embedded log (`embedded="FILE"`).

    Opened and closed by `async with`, on one event loop. With `worker` (the default) this process also serves the
    namespace's workflows: those in `workflows` and every one that is executed here, with `activities` and the plain
    functions that they call. What a crash leaves behind goes on in any process whose worker knows the workflow, so give
    `workflows` in each of them. Two functions of one name are one activity to the log: keep to functions at the top of
    a module. Missing topics are made with so many `partitions`, if it has a worker. Without one it is a client of
    workers elsewhere.

    `payload_codecs` compress and encrypt what goes to the log, in their order, and `payload_store` is the folder or URL
    where payloads of more than `payload_bytes_max` go: for this process's client and worker alike, and every other
    process of the namespace needs the same. A process without a key reads nothing of what that encrypted: a run is
    blocked until a worker has it, `result` and `query` raise PayloadDecodeError where only the caller lacks it. Further
    options are the worker's. Raises UsageError for what are no codecs.
    """

    def __init__(
        self,
        *,
        kafka: str | None = None,
        embedded: str | os.PathLike[str] | None = None,
        log: Log | None = None,
        kafka_config: Mapping[str, Any] | None = None,
        namespace: str = "default",
        workflows: Iterable[WorkflowFunction] = (),
        activities: Iterable[Activity[..., Any] | ActivityFunction] = (),
        hooks: Hooks | None = None,
        observers: Sequence[Observer] = (),
        worker: bool = True,
        partitions: int = 8,
        replication: int = 1,
        payload_store: StoreOption = None,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        payload_codecs: CodecsOption = (),
        **worker_options: Any,
    ) -> None:
        self._open_log = lambda: (
            log or open_log(kafka=kafka, embedded=embedded, kafka_config=kafka_config)
        )
        self._owns_log = log is None
        self._log: Log | None = None
        self._namespace = Namespace(namespace)
        self._has_worker = worker
        self._partitions = partitions
        self._replication = replication
        self._payload_options: Any = {
            "payload_store": payload_store,
            "payload_bytes_max": payload_bytes_max,
            "payload_codecs": to_codecs(payload_codecs),
        }
        self._worker_options = {**worker_options, "hooks": hooks, "observers": observers}
        self._activities = [as_activity(one) for one in activities]
        self._functions: dict[Any, Workflow[Any, Any]] = {}
        for function in workflows:
            self._workflow(function)
        self._client: Client | None = None
        self._worker: Worker | None = None
        self._serving: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect, and serve `workflows`. Raises LogUnavailableError, TopicError, UsageError."""
        self._log = await asyncio.to_thread(self._open_log)
        try:
            if self._has_worker:
                await asyncio.to_thread(self._make_topics, self._log)
            self._client = Client(
                self._log, namespace=self._namespace.name, **self._payload_options
            )
            await self._client.open()
            if self._functions:
                await self._serve()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop serving and disconnect. Workflows stay on the log as they are, and go on where they are served."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        if self._worker is not None and self._serving is not None:
            self._worker.stop()
            await asyncio.wait([self._serving], timeout=_STOP_S)
        log, self._log = self._log, None
        if log is not None and self._owns_log:
            await asyncio.to_thread(log.close)

    # The contract.

    async def execute(
        self, fn: WorkflowFunction, options: WorkflowOptions | None = None
    ) -> KafkaHandle:
        """Start a workflow. It is durable and confirmed by its owner when this returns.

        Raises UsageError for an input that the function could not take, AlreadyStartedError when a workflow with this
        ID is running, ExecutorError (`provider_unavailable`) when the log or the worker does not answer.
        """
        options = options or WorkflowOptions()
        client = self._connected()
        workflow = self._workflow(fn)
        if self._has_worker:
            await self._serve(workflow)
        with _told_as("execute", options.id):
            handle = await client.start(
                workflow,
                options.input,
                id=options.id or None,
                timeout=_timeout(options.timeout),
                wait_s=_CONFIRM_S,
            )
        return KafkaHandle(handle)

    async def signal(self, workflow_id: str, signal: Signal) -> None:
        """It is durable and in the workflow's history when this returns."""
        if not signal.name:
            raise ExecutorError("invalid_input", "workflow signal: signal name cannot be empty")
        handle = self._connected().handle(workflow_id)
        with _told_as("signal", workflow_id):
            await self._check_open(handle)
            await handle.signal(signal.name, signal.payload)

    async def query(self, workflow_id: str, query_type: str) -> Any:
        """`status` of any workflow, `result` of one that has ended, and what a running one's code answers."""
        handle = self._connected().handle(workflow_id)
        with _told_as("query", workflow_id):
            status = status_of(await handle.status())
            if query_type == "status":
                return str(status)
            if status == WorkflowStatus.RUNNING:
                return await _asked(handle, query_type)
            if query_type != "result":
                raise _unknown_query(query_type)
            return await handle.result() if status == WorkflowStatus.COMPLETED else None

    async def cancel(self, workflow_id: str) -> None:
        """Returns when that is durable; the workflow ends as `canceled` when its code has cleaned up."""
        handle = self._connected().handle(workflow_id)
        with _told_as("cancel", workflow_id):
            await self._check_open(handle)
            await handle.cancel()

    # Serving.

    def _connected(self) -> Client:
        if self._client is None:
            raise UsageError("the executor is not open: use it in `async with`")
        if self._serving is not None and self._serving.done() and not self._serving.cancelled():
            error = self._serving.exception()
            text = f"workflow: the worker of this executor has ended: {error}"
            raise ExecutorError("provider_unavailable", text) from error
        return self._client

    async def _check_open(self, handle: Handle[Any]) -> None:
        """While nothing is served here there may be no worker to refuse a request: see on the log what it is for.

        Raises UnknownWorkflowError, and RefusedError for a run that has ended.
        """
        if not self._has_worker or self._worker is not None:
            return
        status = await handle.status()
        if status_of(status) != WorkflowStatus.RUNNING:
            raise RefusedError(f"workflow {handle.id!r} has ended ({status})")

    def _workflow(self, function: Any) -> Workflow[Any, Any]:
        known = self._functions.get(function)
        if known is None:
            known = self._functions[function] = as_workflow(function)
            if isinstance(known, FunctionWorkflow):
                known.on_activity = self._add_activity
        return known

    def _add_activity(self, activity: Activity[..., Any]) -> None:
        """A workflow's code calls it, in the worker's thread."""
        if self._worker is not None and activity.inline:
            self._worker.add_activity(activity)

    async def _serve(self, workflow: Workflow[Any, Any] | None = None) -> None:
        """Start the worker with the first workflow; later ones are added to it."""
        async with self._starting:
            if self._worker is not None:
                if workflow is not None:
                    self._worker.add_workflow(workflow)
                return
            assert self._log is not None, "opened by open()"
            self._worker = Worker(
                self._log,
                namespace=self._namespace.name,
                workflows=self._functions.values(),
                activities=self._activities,
                **self._payload_options,
                **self._worker_options,
            )
            self._serving = asyncio.create_task(self._worker.run())
            while not (self._worker.ready or self._serving.done()):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)

    def _make_topics(self, log: Log) -> None:
        queues = ["default", *(one.queue for one in self._activities if not one.inline)]
        admin = log.admin()
        signals = self._namespace.signals
        try:
            there = admin.describe_topics([signals]).get(signals)
            topics = catalogue(
                self._namespace,
                queues=queues,
                partitions=there.partitions if there is not None else self._partitions,
                replication=self._replication,
            )
            create(admin, topics)
        finally:
            admin.close()


async def _asked(handle: Handle[Any], query_type: str) -> Any:
    try:
        return await handle.query(query_type)
    except RefusedError as error:
        if "answers no query" in str(error):
            raise _unknown_query(query_type) from None
        raise ExecutorError("provider_unavailable", f"workflow/query: {error}") from error


def _unknown_query(query_type: str) -> ExecutorError:
    return ExecutorError("invalid_input", f'workflow/query: unknown query type "{query_type}"')


@contextmanager
def _told_as(operation: str, workflow_id: str) -> Iterator[None]:
    """What the client raises, as an executor's error."""
    try:
        yield
    except (UnknownWorkflowError, RefusedError) as error:
        text = f'workflow/{operation}: workflow "{workflow_id}" not found'
        if operation != "query":
            text += " or not running"
        raise ExecutorError("not_found", text) from error
    except (LogError, DeadlineError) as error:
        raise ExecutorError("provider_unavailable", f"workflow/{operation}: {error}") from error


def _timeout(timeout: timedelta | float | None) -> timedelta | None:
    """Nothing, and nothing that is not positive, is no limit."""
    if timeout is None:
        return None
    limit = timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)
    return limit if limit > timedelta(0) else None


def make_executor(config: Config) -> KafkaExecutor:
    """The factory of the executor `kafka`: `extra` holds KafkaExecutor's further options (`kafka` or `embedded`, ...).

    Raises UsageError for a store: the log is where its workflows are.
    """
    if config.store is not None:
        raise UsageError("the kafka executor keeps workflows on its log: it takes no store")
    return KafkaExecutor(workflows=config.workflows, hooks=config.hooks, **config.extra)


register("kafka", make_executor)
