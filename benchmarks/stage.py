"""What every workload stands on: one log for the whole run, namespaces and workers of its own, and a meter."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from benchmarks import processes
from benchmarks.processes import BenchmarkError, CpuMeter, Process
from deploy.kafka.broker import start_broker
from tests.support.proxy import Proxy

from weft.client import Client
from weft.errors import LogUnavailableError
from weft.log import Log, open_log
from weft.topics import Namespace, catalogue, create, partition_of

PAYLOAD = '{"order":"A-000001","note":"' + "x" * 70 + '"}'
PARTITIONS = 4
QUEUED, INLINE = "queued", "inline"
WAIT_S = 120.0
PAIR: Mapping[str, Sequence[str]] = {
    "workflow_worker": ("--workflows-only",),
    "activity_worker": ("--activities-only", "--concurrency", "2000"),
}
"""The processes of most workloads, by name, with their options."""
_FLUSH_S = 60.0

Line = dict[str, Any]


class Where(TypedDict, total=False):
    """How to open the log: the keyword arguments of `open_log`."""

    kafka: str
    embedded: str


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Span:
    """What a measured stretch took; filled in at its end."""

    seconds: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    others_cores: float = 0.0

    def noise(self) -> Line:
        """The keys that end every line."""
        return {"cpu_s": self.cpu_s, "others_cores": round(self.others_cores, 2)}

    def per_1000_activities(self, count: int) -> float:
        """CPU seconds of all processes together."""
        return round(sum(self.cpu_s.values()) / count * 1000, 3)


@dataclass
class Stage:
    """The log of a run. `proxy`, where there is one, stands in front of the broker and counts requests."""

    backend: str
    log: Log
    where: Where
    scale: float = 1.0
    broker_pid: int = 0
    proxy: Proxy | None = None
    lines: list[Line] = field(default_factory=list)
    """What the workloads of this run have given so far."""

    def count(self, full: int, least: int = 1) -> int:
        """So many at full scale; `least` at any."""
        return max(least, round(full * self.scale))

    def new_namespace(
        self, partitions: int = PARTITIONS, state_config: Mapping[str, str] | None = None
    ) -> str:
        """Topics of its own for a workload. `state_config` are further settings of the state topic."""
        namespace = Namespace(f"bench-{secrets.token_hex(4)}")
        specs = [
            replace(spec, config={**spec.config, **(state_config or {})})
            if spec.name == namespace.state
            else spec
            for spec in catalogue(namespace, partitions=partitions, queues=["default"])
        ]
        admin = self.log.admin()
        create(admin, specs)
        admin.close()
        return namespace.name

    def options(self, namespace: str, *, through_proxy: bool = False) -> list[str]:
        """What points a worker at a namespace of this log."""
        if "kafka" in self.where:
            proxy = self.proxy if through_proxy else None
            address = proxy.address if proxy is not None else self.where["kafka"]
            return ["--namespace", namespace, "--kafka", address]
        return ["--namespace", namespace, "--file", self.where["embedded"]]

    @contextmanager
    def measured(self, workers: Mapping[str, Process]) -> Iterator[Span]:
        """Time and CPU of what is done inside: of these workers, of the client (this process), of the broker."""
        pids = {name: worker.pid for name, worker in workers.items()} | {"client": os.getpid()}
        if self.broker_pid:
            pids["broker"] = self.broker_pid
        meter, span = CpuMeter(pids, self.broker_pid), Span()
        meter.start()
        began_s = time.perf_counter()
        try:
            yield span
        finally:
            span.seconds = time.perf_counter() - began_s
            span.cpu_s = meter.stop()
            span.others_cores = meter.others_s / span.seconds

    @asynccontextmanager
    async def serving(
        self,
        workers: Mapping[str, Sequence[str]] = PAIR,
        *,
        through_proxy: bool = False,
    ) -> AsyncIterator[Bench]:
        """A new namespace, these workers on it, ready, and a client."""
        namespace = self.new_namespace()
        options = self.options(namespace, through_proxy=through_proxy)
        ports = {name: processes.free_port() for name in workers}
        running = {
            name: processes.start_worker(options, *more, "--metrics-port", str(ports[name]))
            for name, more in workers.items()
        }
        try:
            for name, worker in running.items():
                await processes.wait_until_ready(worker, ports[name], WAIT_S)
            async with Client(self.log, namespace=namespace) as client:
                yield Bench(self, namespace, client, running, ports)
        finally:
            processes.stop(running.values())

    async def bulk(self, topic: str, partitions: int, records: Iterable[tuple[str, bytes]]) -> None:
        """Write (workflow ID, value) in order as fast as a plain producer can, until all are durable."""
        await asyncio.to_thread(self._write, topic, partitions, records)

    def _write(self, topic: str, partitions: int, records: Iterable[tuple[str, bytes]]) -> None:
        producer = self.log.producer()
        failed: list[object] = []

        def note(error: object, _partition: int, _offset: int) -> None:
            if error is not None:
                failed.append(error)

        try:
            for workflow_id, value in records:
                key = workflow_id.encode()
                record = (topic, partition_of(key, partitions), key, value, (), note)
                while True:
                    try:
                        producer.produce(*record)
                        break
                    except LogUnavailableError:  # its queue is full
                        producer.poll(0.1)
            if producer.flush(_FLUSH_S) or failed:
                raise BenchmarkError(f"records for {topic} could not be written: {failed[:1]}")
        finally:
            producer.close()


@dataclass
class Bench:
    """A namespace with its workers, ready to be measured."""

    stage: Stage
    namespace: str
    client: Client
    workers: dict[str, Process]
    ports: dict[str, int]
    """Where the workers serve their metrics."""

    @contextmanager
    def measured(self) -> Iterator[Span]:
        with self.stage.measured(self.workers) as span:
            yield span

    async def in_flight(self, workflow: str, count: int, width: int) -> None:
        """Run `count` workflows, `width` of them at a time, each checked to return its input."""
        run = secrets.token_hex(4)

        async def one(number: int) -> None:
            result = await self.client.execute(
                workflow, PAYLOAD, id=f"{run}-{number}", wait_s=WAIT_S
            )
            if result != PAYLOAD:
                raise BenchmarkError(f"workflow {run}-{number} returned {result!r}")

        await lanes(count, width, one)

    async def bulk_signals(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Write records for these workflows to the signals topic, as any producer may."""
        await self.stage.bulk(Namespace(self.namespace).signals, PARTITIONS, records)


@dataclass(frozen=True)
class Served:
    """A workload that the usual pair of workers serves, freshly started: called with a stage, it sees to that."""

    measure: Callable[[Bench], AsyncIterator[Line]]

    async def __call__(self, stage: Stage) -> AsyncIterator[Line]:
        async with stage.serving() as bench:
            async for figures in self.measure(bench):
                yield figures


async def lanes(count: int, width: int, one: Callable[[int], Awaitable[object]]) -> None:
    """Do `one` for each number below `count`, `width` of them at a time."""
    remaining = iter(range(count))

    async def lane() -> None:
        for number in remaining:
            await one(number)

    await asyncio.gather(*(lane() for _ in range(min(width, count))))


def line(workload: str, variant: str, span: Span, **figures: object) -> Line:
    """What a workload gives. `seconds` is the span's unless the figures have their own."""
    return {
        "workload": workload,
        "variant": variant,
        "seconds": round(span.seconds, 3),
        **figures,
        **span.noise(),
    }


@contextmanager
def open_stage(backend: str, scale: float) -> Iterator[Stage]:
    """An embedded log in a folder that goes with it; the broker that WEFT_KAFKA names; or one started for the run."""
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        if backend == "embedded":
            with _opened(Where(embedded=str(Path(folder) / "bench.weft"))) as (log, where):
                yield Stage(backend, log, where, scale)
        elif address := os.environ.get("WEFT_KAFKA"):
            with _opened(Where(kafka=address)) as (log, where):
                broker_pid = int(os.environ.get("WEFT_KAFKA_PID", "0"))
                yield Stage(backend, log, where, scale, broker_pid)
        else:
            with _started_broker(scale) as stage:
                yield stage


@contextmanager
def _started_broker(scale: float) -> Iterator[Stage]:
    say("starting a broker")
    with Proxy() as proxy, start_broker(proxy_ports=[proxy.port]) as cluster:
        (broker,) = cluster.brokers
        proxy.forward_to(broker.proxied_port)
        with _opened(Where(kafka=cluster.address)) as (log, where):
            yield Stage("kafka", log, where, scale, broker.pid or 0, proxy)


@contextmanager
def _opened(where: Where) -> Iterator[tuple[Log, Where]]:
    log = open_log(**where)
    try:
        yield log, where
    finally:
        log.close()
