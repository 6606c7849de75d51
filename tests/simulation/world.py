"""The processes of one simulated system: workers that are restarted when they die, and users with their clients."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random

from tests.simulation.crashes import CrashingLog
from tests.simulation.facts import Facts
from tests.simulation.faults import Faults, fault
from tests.simulation.host import EPOCH_S, SimulatedHost
from tests.simulation.log import Cluster
from tests.simulation.plain import PlainProducer
from tests.simulation.recorder import Recorder
from tests.simulation.scheduler import Process, Scheduler, Task
from tests.simulation.users import User
from tests.simulation.workflows import (
    ACTIVITIES,
    NEWS,
    NEWS_PARTITIONS,
    OLD_WORKFLOWS,
    WORKFLOWS,
    Odds,
)
from tests.simulation.workloads import Workload
from weft.client import Client
from weft.errors import InvariantViolation, LogError, LogUnavailableError
from weft.log import TopicSpec
from weft.metrics import WorkerMetrics
from weft.topics import Namespace, catalogue
from weft.worker import Worker
from weft.worker._partition import Partition

OLD_CODE = fault("old_code", 0.5, "a worker of a former release, which lacks a workflow")

NAMESPACE = "sim"
DRAIN_S = 5.0
SESSION_TIMEOUT_S = 6.0
LEASE_S = 4.0
MEMORY_BYTES_MAX = (None, None, 0, 8_000, 60_000)
"""Bounds to choose from: none, next to nothing, a few workflows, most of them."""


class WorkerProcess:
    """One worker of the deployment, over all of its lives. `roles`: which of workflows and activities it serves."""

    def __init__(self, world: World, name: str, *, workflows: bool, activities: bool) -> None:
        self.name = name
        self.workflows = workflows
        self.activities = activities
        self.clock_offset_s = 0.0
        self.life = 0
        self.wanted = True
        self.is_old = False
        """Runs a former release."""
        self.process: Process | None = None
        self.worker: Worker | None = None
        self.host: SimulatedHost | None = None
        self._world = world
        self._task: Task | None = None

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done

    def start(self) -> None:
        world = self._world
        self.life += 1
        process = self.process = Process(world.scheduler, f"{self.name}.{self.life}")
        self.host = SimulatedHost(process, world.scheduler, clock_offset_s=self.clock_offset_s)
        log = CrashingLog(world.cluster.connect(process), process, world.faults)
        self.is_old = world.faults.fires(OLD_CODE)
        known = OLD_WORKFLOWS if self.is_old else WORKFLOWS
        worker = self.worker = Worker(
            log,
            namespace=NAMESPACE,
            workflows=known if self.workflows else (),
            activities=ACTIVITIES if self.activities or self.workflows else (),
            queues=None if self.activities else (),
            instance_id=self.name,
            concurrency=20,
            drain_s=DRAIN_S,
            session_timeout_s=SESSION_TIMEOUT_S,
            turn_s_max=None,  # user code takes no time here, and the watchdog's thread would be none
            lease_s=LEASE_S,
            hot_max=world.hot_max,
            memory_bytes_max=world.memory_bytes_max,
            metrics=WorkerMetrics(),
            host=self.host,
        )
        world.metrics.append(worker.metrics)
        self._task = self.host.run(worker.run, process.name)
        self._task.on_done.append(self._ended)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def stop(self) -> None:
        """As SIGTERM does."""
        if self.worker is not None and self.running:
            self.worker.stop()

    def jump(self, seconds: float) -> None:
        """The wall clock of its machine is wrong by so much from now on."""
        self.clock_offset_s = seconds
        if self.host is not None:
            self.host.clock_offset_s = seconds

    def _ended(self) -> None:
        """By its supervisor's rule: whatever ended it, it comes back as long as it is wanted."""
        task, world = self._task, self._world
        assert task is not None, "it was started"
        assert self.process is not None, "it was started"
        error = task.error
        self.process.kill()
        if error is not None:
            world.exits[type(error).__name__] += 1
            if not world.may_exit(error):
                world.problems.append(
                    f"{self.process.name} ended with {type(error).__name__}: {error}"
                )
        if self.wanted:
            delay_s = world.random.choice([0.1, 0.5, 2.0, 8.0]) if not world.faults.healed else 0.1
            world.scheduler.call_later(delay_s, self._restart, f"restart {self.name}")

    def _restart(self) -> None:
        if self.wanted and not self.running:
            self.start()


class World:
    """Everything there is in one run."""

    def __init__(self, seed: int, faults: Faults, scheduler: Scheduler) -> None:
        self.seed = seed
        self.scheduler = scheduler
        self.random: Random = scheduler.random
        self.faults = faults
        self.cluster = Cluster(
            scheduler,
            faults,
            is_cooperative=self.random.random() < 0.7,
            wall_start_s=EPOCH_S,
        )
        self.namespace = Namespace(NAMESPACE)
        self.partition_count = self.random.choice([1, 2, 4])
        self.hot_max = self.random.choice([0, 2, 100])
        self.memory_bytes_max = Random(f"memory {seed}").choice(MEMORY_BYTES_MAX)
        self.facts = Facts()
        self.problems: list[str] = []
        self.exits: Counter[str] = Counter()
        self.metrics: list[WorkerMetrics] = []
        self.workers: list[WorkerProcess] = []
        self.user_tasks: list[Task] = []
        self.clock_ahead_s_max = 0.0
        """The most that any machine's wall clock was ahead of the true time."""
        self.recorder = Recorder(scheduler, self.namespace)
        self.cluster.observers.append(self.recorder)
        Odds.random = self.random
        Odds.ran = Counter()
        Odds.climbed = {}
        Odds.began_s = {}
        Odds.now = lambda: scheduler.now

    def deploy(self) -> None:
        """Topics and workers."""
        specs = catalogue(self.namespace, partitions=self.partition_count, queues=("default",))
        specs.append(TopicSpec(NEWS, NEWS_PARTITIONS))
        self._outside(lambda: self._create(specs), "topics")
        for number in range(self.random.choice([1, 2, 3])):
            self.add_worker(
                f"worker-{number}", workflows=True, activities=self.random.random() < 0.5
            )
        if not any(worker.activities for worker in self.workers) or self.random.random() < 0.3:
            self.add_worker("activities-0", workflows=False, activities=True)

    def add_worker(self, name: str, *, workflows: bool, activities: bool) -> WorkerProcess:
        worker = WorkerProcess(self, name, workflows=workflows, activities=activities)
        self.workers.append(worker)
        worker.start()
        return worker

    def add_user(self, workloads: Sequence[tuple[str, Workload]]) -> None:
        """A process that does all of this at once, and ends when it is done."""
        name = f"user-{len(self.user_tasks)}"
        process = Process(self.scheduler, name)
        host = SimulatedHost(process, self.scheduler)
        log = self.cluster.connect(process)

        async def main() -> None:
            client = Client(log, namespace=NAMESPACE, host=host)
            await _open(client)
            try:
                user = User(client, self.facts, self.random)
                plain = PlainProducer(log, self.namespace, self.partition_count, self.random)

                async def do(id: str, workload: Workload) -> None:
                    await user.pause(4.0)
                    await workload(user, plain, id)

                async with asyncio.TaskGroup() as group:
                    for workflow_id, workload in workloads:
                        group.create_task(do(workflow_id, workload))
            finally:
                await client.close()

        self.user_tasks.append(host.run(main, name))

    @property
    def users_are_done(self) -> bool:
        return all(task.done for task in self.user_tasks)

    def may_exit(self, error: BaseException) -> bool:
        """Whether a worker may end with this error while things go wrong; what breaks a rule of ours never may."""
        return not isinstance(error, InvariantViolation | AssertionError | TypeError | KeyError)

    def heal(self) -> None:
        """Whatever is stopped goes on, whatever is dead comes back, and nothing more goes wrong."""
        for worker in self.workers:
            if worker.process is not None and worker.process.stopped:
                worker.process.go_on()
            worker.jump(0.0)
            if worker.is_old:
                worker.stop()  # and comes back with the new release

    def is_quiet(self) -> bool:
        """Everything that came in has been taken, and the workers that are wanted serve."""
        wanted = [worker for worker in self.workers if worker.wanted]
        ready = all(
            worker.running and worker.worker is not None and worker.worker.ready
            for worker in wanted
        )
        return ready and next(self.lag(), None) is None

    def waiting(self) -> list[str]:
        """What seems to hold things up, for the report."""
        lines = [f"{task.name} still waits" for task in self.user_tasks if not task.done]
        lines += [
            f"{worker.name}: running={worker.running}, ready={worker.worker is not None and worker.worker.ready}"
            for worker in self.workers
            if worker.wanted
        ]
        return [*lines, *self.lag()]

    def lag(self) -> Iterator[str]:
        """Input partitions that are not read to their end, as the group's offsets say."""
        names = self.namespace
        committed = self.cluster.inspect.committed_offsets(names.workflow_group)
        for topic in (names.signals, names.results, names.messages):
            last: dict[int, int] = {}
            for record in self.recorder.facts(topic):
                last[record.partition] = record.offset
            for partition, offset in last.items():
                if committed.get((topic, partition), 0) <= offset:
                    yield f"{topic}-{partition} is done up to {committed.get((topic, partition))}, not {offset}"

    def live_partitions(self) -> Iterator[tuple[str, Partition]]:
        """(process, partition) of all that is served now, by whom the group says that it is: no zombie's."""
        members = self.cluster.inspect.members(self.namespace.workflow_group)
        for worker in self.workers:
            if worker.running and worker.worker is not None and worker.worker._owner is not None:
                for partition in worker.worker._owner._serving.partitions.values():
                    if partition.number in members.get(worker.name, ()):
                        yield worker.name, partition

    def compacted_state(self) -> dict[int, dict[bytes, bytes]]:
        """What a stranger reads from the state topic, after a thorough cleaning."""
        self.cluster.compact()
        found: dict[int, dict[bytes, bytes]] = {}
        for number in range(self.partition_count):
            live = found[number] = {}
            for record in self.cluster.inspect.committed_records(self.namespace.state, number):
                if record.value is None:
                    live.pop(record.key or b"", None)
                else:
                    live[record.key or b""] = record.value
        return found

    def end(self) -> None:
        """Nothing goes on after this."""
        for worker in self.workers:
            worker.wanted = False
        self.scheduler.end()

    def _create(self, specs: Sequence[object]) -> None:
        admin = self.cluster.connect(self.scheduler.outside).admin()
        while True:
            try:
                admin.create_topics(specs)  # type: ignore[arg-type]
            except LogUnavailableError:
                self.scheduler.sleep(0.5)
            else:
                return

    def _outside(self, function: Callable[[], object], name: str) -> None:
        task = self.scheduler.spawn(self.scheduler.outside, function, name)
        self.scheduler.run(lambda: task.done, self.scheduler.now + 60)
        if task.error is not None:
            raise task.error


async def _open(client: Client) -> None:
    while True:
        try:
            await client.open()
        except LogError:
            await asyncio.sleep(0.5)
        else:
            return
