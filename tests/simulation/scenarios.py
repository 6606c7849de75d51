"""Runs that are told step by step, for what chance meets too seldom. Each is for a process of its own."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import nullcontext

from tests.simulation.faults import Faults
from tests.simulation.host import SimulatedHost
from tests.simulation.mutants import broken
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.workflows import inbox
from tests.simulation.world import NAMESPACE, SESSION_TIMEOUT_S, World
from weft.client import Client
from weft.topics import catalogue


def zombie_is_asked_for_what_was_started_since() -> str:
    """A worker that stood still for longer than its session gets a question before it hears that it is replaced."""
    scheduler = Scheduler(3)
    world = World(3, Faults(scheduler.random, armed=frozenset()), scheduler)
    specs = catalogue(world.namespace, partitions=world.partition_count, queues=("default",))
    world._outside(lambda: world._create(specs), "topics")
    former = world.add_worker("former", workflows=True, activities=True)
    scheduler.run(lambda: former.worker is not None and former.worker.ready, 30.0)
    assert former.process is not None, "it was started"
    former.process.stop()
    world.add_worker("present", workflows=True, activities=True)
    scheduler.run(lambda: False, scheduler.now + 2 * SESSION_TIMEOUT_S)

    process = Process(scheduler, "user")
    host = SimulatedHost(process, scheduler)
    told: list[str] = []

    async def use() -> None:
        async with Client(world.cluster.connect(process), namespace=NAMESPACE, host=host) as client:
            handle = await client.start(inbox, 1, id="order-1")
            assert former.process is not None, "it was started"
            # Else it would read of the start as well, and fail to commit that; or hear at once that it is replaced.
            for partition in world.cluster.topics.by_name[world.namespace.signals].partitions:
                partition.leader.go(2.0)
            world.cluster.group(world.namespace.workflow_group).availability.go(1.0)
            former.process.go_on()
            waiting = asyncio.create_task(handle.result())
            await asyncio.sleep(3.0)
            await handle.signal("number", 7)
            try:
                told.append(f"{await waiting}")
            except Exception as error:  # noqa: BLE001  # that is what is looked for
                told.append(type(error).__name__)

    task = host.run(use, "user")
    scheduler.run(lambda: task.done, scheduler.now + 120.0)
    world.end()
    gc.collect()
    return told[0] if told else f"nothing ({task.error!r})"


if __name__ == "__main__":
    with broken(sys.argv[1]) if len(sys.argv) > 1 else nullcontext():
        print(zombie_is_asked_for_what_was_started_since())
