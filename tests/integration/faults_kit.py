"""What the tests of faults share: a workload, workers in this process that can be looked into, and what must hold."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.flows import double, double_inline, nap, open_end, step, tally
from tests.support.proxy import Proxies
from tests.support.workers import wait_until
from weft.client import Client
from weft.core import rebuild
from weft.errors import UnknownWorkflowError
from weft.host import HOST, Host
from weft.log import FROM_START, LogRecord, open_log
from weft.records import (
    ENDED,
    ActivityCompleted,
    ActivityScheduled,
    Event,
    Head,
    SignalReceived,
)
from weft.topics import Namespace, catalogue, create, partition_of
from weft.worker import Worker
from weft.worker._partition import Partition
from weft.workflow import Workflow

PARTITIONS = 2
PATIENCE_S = 60.0
UNDECIDED_S = 5.0
"""How long what was confirmed may take to be shown to readers; a dead worker's transaction stays open for longer."""
STEPS = 4
WORKFLOWS: list[Workflow[Any, Any]] = [tally, open_end, nap]
_SIGNALS = ("first", "second")
IMPATIENT = {"transaction.timeout.ms": "3000", "socket.timeout.ms": "3000"}
"""A worker that waits 3 s for an answer instead of 10, so that tests need not either."""
IMPATIENT_TO_JOIN = IMPATIENT | {"max.poll.interval.ms": "6000", "session.timeout.ms": "6000"}
"""And 9 s instead of 63 for the answer to a join."""


class Stage:
    """A namespace on a broker, the tests' own way to it, and the way of the worker under test (through the proxies)."""

    def __init__(
        self,
        address: str,
        namespace: str,
        proxies: Proxies | None = None,
        *,
        partitions: int = PARTITIONS,
    ) -> None:
        self.address = address
        self.worker_address = proxies.address if proxies else address
        self.namespace = Namespace(namespace)
        self.log = open_log(kafka=address)
        self.partitions = partitions
        admin = self.log.admin()
        replication = min(3, address.count(",") + 1)
        create(admin, catalogue(self.namespace, partitions=partitions, replication=replication))
        admin.close()

    @property
    def options(self) -> list[str]:
        return ["--kafka", self.worker_address, "--namespace", self.namespace.name]

    def read(self, topic: str) -> list[LogRecord]:
        """All that is committed on it."""
        reader = self.log.reader()
        wanted = {(topic, number): FROM_START for number in range(self.partitions)}
        records = list(reader.read_to_end(wanted, PATIENCE_S, undecided_s=UNDECIDED_S))
        reader.close()
        return records

    def read_by_partition(self, topic: str) -> dict[int, list[LogRecord]]:
        by_partition: dict[int, list[LogRecord]] = {number: [] for number in range(self.partitions)}
        for record in self.read(topic):
            by_partition[record.partition].append(record)
        return by_partition


class Serving:
    """A worker in a thread of this process. `error` is what ended it."""

    def __init__(
        self,
        stage: Stage,
        *,
        instance_id: str = "w1",
        direct: bool = False,
        host: Host = HOST,
        config: Mapping[str, str] = IMPATIENT,
    ) -> None:
        address = stage.address if direct else stage.worker_address
        self._log = open_log(kafka=address, kafka_config=config)
        self.worker = Worker(
            self._log,
            namespace=stage.namespace.name,
            workflows=WORKFLOWS,
            activities=[double, double_inline, step],
            instance_id=instance_id,
            drain_s=10.0,
            host=host,
        )
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=instance_id, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            asyncio.run(self.worker.run())
        except BaseException as error:  # noqa: BLE001 - for the test to look at
            self.error = error

    @property
    def owner(self) -> Any:
        assert self.worker._owner is not None, "ready before it is looked into"
        return self.worker._owner

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def wait_until_ready(self, timeout_s: float = PATIENCE_S) -> None:
        wait_until(lambda: self.worker.ready or not self.alive, "the worker serves", timeout_s)
        assert self.alive, f"the worker ended: {self.error!r}"

    def stop(self) -> None:
        """May be called twice."""
        self.worker.stop()
        self._thread.join(PATIENCE_S)
        assert not self.alive, "the worker did not stop"
        self._log.close()


@contextmanager
def serving(
    stage: Stage,
    *,
    instance_id: str = "w1",
    direct: bool = False,
    host: Host = HOST,
    config: Mapping[str, str] = IMPATIENT,
) -> Iterator[Serving]:
    """A worker that is stopped afterwards. Raises what ended it before. `direct`: it passes the proxies by."""
    running = Serving(stage, instance_id=instance_id, direct=direct, host=host, config=config)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()
    if running.error is not None:
        raise running.error


def served_by(running: Serving, count: int = PARTITIONS) -> None:
    """Wait until it serves so many partitions."""
    wait_until(
        lambda: running.owner.ready and len(running.owner._serving.partitions) == count,
        f"{count} are served",
        PATIENCE_S,
    )


class Load:
    """Runs that do a bit of everything. They are started and signalled past the proxy, each signal twice."""

    def __init__(self, stage: Stage, *, prefix: str = "run") -> None:
        self._stage = stage
        self._prefix = prefix
        self._producer = stage.log.producer()
        self.ids: list[str] = []
        self._open_ids: list[str] = []

    async def start(self, client: Client, count: int, *, signals: bool = True) -> None:
        """Start so many more and one that stays open, without waiting for the worker.

        Without `signals` they come to rest in the middle, until `signal` sends them.
        """
        new = [f"{self._prefix}-{len(self.ids) + index}" for index in range(count)]
        self.ids += new
        for workflow_id in new:
            await client.start(tally, STEPS, id=workflow_id, confirm=False, wait_s=PATIENCE_S)
        await client.start(open_end, id=f"{new[0]}-open", confirm=False, wait_s=PATIENCE_S)
        self._open_ids.append(f"{new[0]}-open")
        if signals:
            self.signal(new)

    def signal(self, workflow_ids: Sequence[str]) -> None:
        """Send these the signals that they wait for, past the client."""
        for workflow_id in workflow_ids:
            for name in _SIGNALS:
                self._signal(workflow_id, name)
        assert self._producer.flush(PATIENCE_S) == 0

    def is_at_rest(self) -> bool:
        """Whether each of them has come to where it waits for its signals, and no commit is under way."""
        histories = state_on_the_log(self._stage)[1]
        wanted = dict.fromkeys(self.ids, 2 * STEPS) | dict.fromkeys(self._open_ids, 1)
        return all(
            sum(isinstance(event, ActivityCompleted) for event in histories.get(workflow_id, ()))
            == count
            for workflow_id, count in wanted.items()
        )

    def _signal(self, workflow_id: str, name: str) -> None:
        number = partition_of(workflow_id.encode(), self._stage.partitions)
        value = json.dumps({"signal": "word", "payload": name, "id": name}).encode()
        for _ in range(2):
            self._producer.produce(
                self._stage.namespace.signals, number, workflow_id.encode(), value
            )

    async def finish(self, client: Client) -> None:
        """All end, and right."""
        wanted = [2 * sum(range(STEPS)) * 2, *_SIGNALS]
        for workflow_id in self.ids:
            assert await _result(client, workflow_id) == wanted, workflow_id


async def _result(client: Client, workflow_id: str) -> object:
    """A start that nobody was to confirm may be behind the question."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await client.handle(workflow_id).result(timeout=PATIENCE_S)
        except UnknownWorkflowError:
            assert time.monotonic() < deadline_s, f"{workflow_id} was never started"
            await asyncio.sleep(0.1)


def check(stage: Stage, *workers: Serving) -> None:
    """What must hold when all is quiet, whatever went wrong before. The workers serve all partitions between them."""
    if workers:
        # What ends no run, as the start of one that stays open, may still be on its way to the log.
        wait_until(
            lambda: _heads_held(workers) == state_on_the_log(stage)[0],
            "what the workers hold is what the log says",
            PATIENCE_S,
        )
    heads, histories = state_on_the_log(stage)
    for workflow_id, events in histories.items():
        _check_history(workflow_id, events)
    _check_endings(stage, heads)
    for running in workers:
        for partition in list(running.owner._serving.partitions.values()):
            _check_memory(partition)


def state_on_the_log(stage: Stage) -> tuple[dict[str, Head | None], dict[str, list[Event]]]:
    """The state topic folded from its start: the head and the history of each workflow."""
    heads: dict[str, Head | None] = {}
    histories: dict[str, list[Event]] = {}
    for number, records in stage.read_by_partition(stage.namespace.state).items():
        partition = rebuilt(stage, number, records)
        for workflow_id, cell in partition.cells.items():
            heads[workflow_id] = cell.head
            histories[workflow_id] = cell.history()
    return heads, histories


def rebuilt(stage: Stage, number: int, records: Sequence[LogRecord]) -> Partition:
    partition = Partition(
        number,
        namespace=stage.namespace,
        partition_count=stage.partitions,
        workflows={one.name: one for one in WORKFLOWS},
        queues=frozenset({"default"}),
    )
    for record in records:
        partition.load(record)
    partition.loaded()
    return partition


def _check_history(workflow_id: str, events: Sequence[Event]) -> None:
    assert [event.event_id for event in events] == list(range(1, len(events) + 1)), workflow_id
    completed = [event.activity_id for event in events if isinstance(event, ActivityCompleted)]
    scheduled = {event.activity_id for event in events if isinstance(event, ActivityScheduled)}
    assert len(set(completed)) == len(completed), f"{workflow_id}: a result was applied twice"
    assert set(completed) <= scheduled, workflow_id
    signals = Counter(event.signal_id for event in events if isinstance(event, SignalReceived))
    assert set(signals.values()) <= {1}, f"{workflow_id}: a signal was applied twice: {signals}"


def _check_endings(stage: Stage, heads: dict[str, Head | None]) -> None:
    ended = {name for name, head in heads.items() if head is not None and head.status in ENDED}
    endings = Counter(
        event["subject"]
        for record in stage.read(stage.namespace.events)
        if (event := json.loads(record.value or b"{}"))["type"].rpartition(".")[2] in ENDED
    )
    assert endings == Counter(ended), "one event for the end of each run"


def _heads_held(workers: Sequence[Serving]) -> dict[str, Head | None]:
    return {
        workflow_id: cell.head
        for running in workers
        for partition in list(running.owner._serving.partitions.values())
        for workflow_id, cell in list(partition.cells.items())
    }


def _check_memory(partition: Partition) -> None:
    for workflow_id, cell in partition.cells.items():
        if cell.run is not None:
            fresh = rebuild(workflow_id, cell.history())
            assert fresh == cell.run, f"{workflow_id}: its run is not what its history says"


def seconds_since(began_s: float) -> float:
    return round(time.monotonic() - began_s, 2)
