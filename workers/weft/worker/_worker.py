"""A worker process: owns workflow partitions, runs activities, or both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from weft.activity import Activity
from weft.errors import CommitUnknownError, LogError, UsageError
from weft.executor import HookObserver, Hooks, Observer
from weft.host import HOST, Host, Thread
from weft.log import Log
from weft.metrics import WorkerMetrics
from weft.payloads import CodecsOption, Payloads, StoreOption
from weft.records import PAYLOAD_BYTES_MAX
from weft.topics import Namespace, queues
from weft.worker._activities import ActivityWorker
from weft.worker._activity_leases import LEASE_S, check_lease
from weft.worker._activity_processes import core_count, refuse_in_a_process_of_activities
from weft.worker._attempt import AttemptRunner
from weft.worker._cells import HOT_MAX
from weft.worker._inline import InlineRunner
from weft.worker._instance import InstanceSlot
from weft.worker._owner import PartitionOwner
from weft.worker._process_calls import place_of
from weft.worker._topic_watch import TopicWatch
from weft.workflow import Workflow, Workflows

logger = logging.getLogger("weft.worker")

_STUCK_S = 60.0
"""A loop that has not come round for so long is reported as unhealthy."""
_WATCH_S = 0.1
_CLEAN_S = 30.0
_TOPICS_S = 10.0
"""How often the topics are looked at again."""


class Worker:
    """Runs `workflows` and `activities` on a log until it is stopped.

    With workflows it is a member of the namespace's workflow group and owns partitions; with activities it serves
    their task queues. Both scale by starting more processes. `turn_s_max` is how long a workflow's code may run
    without coming to an `await` before it is interrupted and its run blocked; None never interrupts. Keep it below
    `session_timeout_s`. An activity that runs for long is leased: when its worker has not been heard of for `lease_s`,
    it is run again elsewhere. Activities with `process=True` run in up to `activity_processes` processes beside it
    (None: as many as it may use cores), which are started when they are needed. Of each partition, `hot_max` workflows
    are kept ready in memory; the others cost little more than their bytes on the log there, and are replayed when
    something happens to them. `memory_bytes_max` bounds what is kept of all workflows together: beyond it, their state
    is left on the log and read back when something happens to them (None: no bound). `payload_store` is the folder or
    URL where payloads of more than `payload_bytes_max` go; clients and all workers need the same one (default: none
    with Kafka, the folder `FILE.payloads` with an embedded log). `payload_codecs` compress and encrypt what goes to the
    log, in their order; clients and all workers need the same. `hooks` are called with what happens to the workflows
    that it serves, once that is committed; `observers` are told the same as records. Raises UsageError when two of a
    kind share a name, and for a `process=True` that no other process could find.
    """

    def __init__(
        self,
        log: Log,
        *,
        namespace: str = "default",
        workflows: Iterable[Workflow[Any, Any]] = (),
        activities: Iterable[Activity[..., Any]] = (),
        queues: Sequence[str] | None = None,
        instance_id: str | None = None,
        concurrency: int = 100,
        activity_processes: int | None = None,
        metrics: WorkerMetrics | None = None,
        drain_s: float = 30.0,
        session_timeout_s: float = 6.0,
        turn_s_max: float | None = 5.0,
        lease_s: float = LEASE_S,
        hot_max: int = HOT_MAX,
        memory_bytes_max: int | None = None,
        payload_store: StoreOption = None,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        payload_codecs: CodecsOption = (),
        hooks: Hooks | None = None,
        observers: Sequence[Observer] = (),
        host: Host = HOST,
    ) -> None:
        self.metrics = metrics or WorkerMetrics()
        self._observers = [*observers, *([HookObserver(hooks)] if hooks is not None else [])]
        if hooks is not None:
            hooks.failures.counters.append(self.metrics.hook_failures.inc)
        self._payloads = Payloads.open(
            namespace,
            payload_store,
            log.payload_store,
            bytes_max=payload_bytes_max,
            codecs=payload_codecs,
            host=host,
        )
        self.metrics.watch(self._payloads)
        self._log = log
        self._host = host
        self._namespace = Namespace(namespace)
        self._workflows = Workflows(workflows)
        self._activities = _by_name("activity", activities)
        self._queues = (
            tuple(queues) if queues is not None else _queues_of(self._activities.values())
        )
        self._instance_id = instance_id
        self._concurrency = concurrency
        self._activity_processes = _checked(activity_processes, self._activities.values())
        self._drain_s = drain_s
        self._session_timeout_s = session_timeout_s
        self._turn_s_max = turn_s_max
        check_lease(lease_s)
        self._lease_s = lease_s
        self._hot_max = hot_max
        if memory_bytes_max is not None and memory_bytes_max < 0:
            raise UsageError(f"{memory_bytes_max} bytes cannot bound a memory: None is no bound")
        self._memory_bytes_max = memory_bytes_max
        self._runner: AttemptRunner | None = None
        self._stopping = host.event()
        self._owner: PartitionOwner | None = None
        self._owner_thread: Thread | None = None
        self._owner_error: BaseException | None = None
        self._activity_workers: list[ActivityWorker] = []
        if not self._workflows and not self._activities:
            raise UsageError("a worker needs at least one workflow or one activity")
        if turn_s_max is not None and not turn_s_max > 0:
            raise UsageError(
                f"workflow code cannot run for {turn_s_max:g} s at most: give more, or None for no limit"
            )

    def add_workflow(self, workflow: Workflow[Any, Any]) -> None:
        """From now on it has this one too, in place of any other of its name and version.

        Raises UsageError if it has none so far: a worker without any workflow is no member of the group that serves
        them.
        """
        if not self._workflows:
            raise UsageError("a worker that was made without a workflow cannot be given one")
        self._workflows.add(workflow)

    def add_activity(self, activity: Activity[..., Any]) -> None:
        """From now on, while it runs, it runs this inline activity too, in place of any other of the name."""
        if not activity.inline:
            raise UsageError(
                f"activity {activity.name} goes over a queue: give it to the worker as it is made"
            )
        if self._runner is not None:
            self._runner.add(activity)

    @property
    def ready(self) -> bool:
        """Every owned partition is rebuilt, every queue is served."""
        if self._owner is None and not self._activity_workers:
            return False
        owner_ready = self._owner is None or self._owner.ready
        return owner_ready and all(worker.ready for worker in self._activity_workers)

    @property
    def healthy(self) -> bool:
        """The loops run, and there are threads for plain functions."""
        if self._runner is not None and self._runner.is_stuck:
            return False
        if self._owner_error is not None or any(worker.error for worker in self._activity_workers):
            return False
        return self._owner is None or self._host.monotonic() - self._owner.last_step < _STUCK_S

    def stop(self) -> None:
        """Drain and return from `run`. May be called from any thread and from a signal handler."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until `stop`. Raises TopicError for topics that are not as they should be, and what ended a loop.

        Raises UsageError in a process that runs activities, which has imported the script that started the worker.
        """
        refuse_in_a_process_of_activities()
        watch = TopicWatch(self._log, self._namespace, self._queues)
        partition_count = await asyncio.to_thread(self._check_topics, watch)
        slot = InstanceSlot(self._namespace.name, self._instance_id)
        runner = self._runner = AttemptRunner(
            self._activities,
            self.metrics,
            threads_max=self._concurrency,
            processes_max=self._activity_processes or core_count(),
            payloads=self._payloads,
            host=self._host,
        )
        inline = InlineRunner(runner, self._host)
        try:
            if self._workflows:
                self._start_owner(inline, slot.instance_id, partition_count)
            self._start_activities(runner, slot.instance_id, partition_count)
            chores = [
                asyncio.create_task(self._clean()),
                asyncio.create_task(self._watch_topics(watch, partition_count)),
            ]
            try:
                await self._watch(chores)
            finally:
                for chore in chores:
                    chore.cancel()
        finally:
            await self._drain()
            inline.close()
            runner.close()
            slot.release()
        self._raise_errors(chores)

    def _check_topics(self, watch: TopicWatch) -> int:
        admin = self._log.admin()
        try:
            count = watch.check_at_start(admin)
            self._known_queues = frozenset(queues(admin, self._namespace))
            return count
        finally:
            admin.close()

    def _start_owner(self, inline: InlineRunner, instance_id: str, partition_count: int) -> None:
        self._owner = PartitionOwner(
            self._log,
            self._namespace,
            workflows=self._workflows,
            queues=self._known_queues,
            partition_count=partition_count,
            inline=inline,
            metrics=self.metrics,
            instance_id=instance_id,
            payloads=self._payloads,
            session_timeout_s=self._session_timeout_s,
            turn_s_max=self._turn_s_max,
            hot_max=self._hot_max,
            memory_bytes_max=self._memory_bytes_max,
            observers=self._observers,
            host=self._host,
        )
        self.metrics.unserved_seconds.set_function(self._owner.unserved_s)
        self._owner_thread = self._host.thread(self._own, "weft-owner")
        self._owner_thread.start()

    def _own(self) -> None:
        assert self._owner is not None, "started by _start_owner"
        try:
            self._owner.run()
        except BaseException as error:  # noqa: BLE001  # carried to run(), which raises it
            self._owner_error = error

    def _start_activities(
        self, runner: AttemptRunner, instance_id: str, partition_count: int
    ) -> None:
        for queue in self._queues:
            worker = ActivityWorker(
                self._log,
                self._namespace,
                queue,
                runner,
                self.metrics,
                instance_id=instance_id,
                concurrency=self._concurrency,
                session_timeout_s=self._session_timeout_s,
                lease_s=self._lease_s,
                partition_count=partition_count,
                host=self._host,
            )
            worker.start()
            self._activity_workers.append(worker)

    async def _watch(self, chores: Sequence[asyncio.Task[None]]) -> None:
        while not self._stopping.is_set():
            owner_died = self._owner_thread is not None and not self._owner_thread.is_alive()
            if (
                owner_died
                or any(chore.done() for chore in chores)
                or any(worker.error for worker in self._activity_workers)
            ):
                return
            await asyncio.sleep(_WATCH_S)

    async def _clean(self) -> None:
        """The embedded log has no broker that would clean it. Raises LogError when the log turns out to be damaged."""
        while True:
            await asyncio.sleep(_CLEAN_S)
            try:
                await asyncio.to_thread(self._log.compact)
            except LogError as error:
                if not (error.retriable or isinstance(error, CommitUnknownError)):
                    raise
                logger.warning("the log could not be cleaned: %s", error)

    async def _watch_topics(self, watch: TopicWatch, partition_count: int) -> None:
        """Somebody may change the topics while they are served. Raises TopicError then, before harm is done."""
        admin = self._log.admin()
        try:
            while True:
                await asyncio.sleep(_TOPICS_S)
                await asyncio.to_thread(watch.check_again, admin, partition_count)
        finally:
            admin.close()

    async def _drain(self) -> None:
        if self._owner is not None:
            self._owner.stop(self._drain_s)
        await asyncio.gather(*(worker.drain(self._drain_s) for worker in self._activity_workers))
        if self._owner_thread is not None:
            await asyncio.to_thread(self._owner_thread.join, self._drain_s + _STUCK_S)

    def _raise_errors(self, chores: Sequence[asyncio.Task[None]]) -> None:
        for chore in chores:
            if chore.done() and not chore.cancelled():
                chore.result()
        if self._owner_error is not None:
            raise self._owner_error
        for worker in self._activity_workers:
            if worker.error is not None:
                raise worker.error


def _by_name(kind: str, definitions: Iterable[Any]) -> dict[str, Any]:
    by_name: dict[str, Any] = {}
    for definition in definitions:
        other = by_name.setdefault(definition.name, definition)
        if other is not definition:
            raise UsageError(
                f"two {kind} definitions are called {definition.name!r}: give one of them another name "
                f'with @{kind}.define(name="...")'
            )
    return by_name


def _checked(count: int | None, activities: Iterable[Activity[..., Any]]) -> int | None:
    """The number of processes for activities. Raises UsageError for none, and for a function that none would find."""
    if count is not None and count < 1:
        raise UsageError(f"activity_processes must be at least 1, not {count}")
    for activity in activities:
        if activity.process:
            place_of(activity)  # refuses what would fail at every call
    return count


def _queues_of(activities: Iterable[Activity[..., Any]]) -> tuple[str, ...]:
    return tuple(sorted({activity.queue for activity in activities if not activity.inline}))
