"""Worker processes are killed, stopped and told to end, with the timings that a user sees."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deploy.kafka.broker import start_broker

from tests.integration.faults_kit import (
    PARTITIONS,
    Load,
    Stage,
    check,
    seconds_since,
    served_by,
    serving,
)
from tests.support.flows import three_steps
from tests.support.proxy import Fault, Proxies, Proxy, Request
from tests.support.workers import lines, wait_until, worker
from weft.client import Client
from weft.codec import decode_claim
from weft.log import FROM_START

pytestmark = pytest.mark.kafka

SESSION_S = 6.0
LONG_TRANSACTION = ["--kafka-config", "transaction.timeout.ms=120000"]
"""So that whoever waits for it to time out is seen to wait."""


@pytest.fixture(scope="module")
def proxied() -> Iterator[tuple[Proxy, Callable[[str], Stage]]]:
    """A broker with a proxy in front of it, and what makes a namespace there."""
    proxies = Proxies(1)
    with start_broker(proxy_ports=proxies.ports) as cluster:
        proxies.forward_to([broker.proxied_port for broker in cluster.brokers])
        yield proxies.each[0], lambda namespace: Stage(cluster.address, namespace, proxies)
        proxies.close()


@pytest.fixture
def proxy(proxied: tuple[Proxy, Callable[[str], Stage]]) -> Iterator[Proxy]:
    yield proxied[0]
    proxied[0].resume()


@pytest.fixture
def stage(proxied: tuple[Proxy, Callable[[str], Stage]], namespace: str) -> Stage:
    return proxied[1](namespace)


def test_all_ends_right_when_a_worker_is_killed_at_random_moments(stage: Stage) -> None:
    chance = random.Random(stage.namespace.name)
    served_s = []

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with worker(*stage.options, "--instance-id", "w1") as running:
                for _ in range(5):
                    await load.start(client, 4)
                    await asyncio.sleep(chance.uniform(0.5, 3.0))
                    running.kill()
                    running.restart()
                    began_s = time.monotonic()
                    await client.start("open_end", id=f"after-{began_s}", wait_s=60)
                    served_s.append(seconds_since(began_s))
                await load.finish(client)
                running.kill()
        with serving(stage) as rebuilt:
            served_by(rebuilt)
            check(stage, rebuilt)

    asyncio.run(run())
    print(f"from process start to a confirmed workflow, same instance ID: {served_s} s")


def test_partitions_are_served_by_another_soon_when_their_worker_is_killed(stage: Stage) -> None:
    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage, instance_id="survivor") as survivor:
                with worker(*stage.options, "--instance-id", "victim") as victim:
                    await asyncio.to_thread(served_by, survivor, 1)
                    await load.start(client, 10)
                    await asyncio.sleep(0.5)
                    victim.kill()
                    began_s = time.monotonic()
                    await asyncio.to_thread(served_by, survivor, PARTITIONS)
                    print(f"from kill -9 to all served by the other: {seconds_since(began_s)} s")
                    assert time.monotonic() - began_s < SESSION_S + 5.0
                await load.finish(client)
                check(stage, survivor)

    asyncio.run(run())


def test_dead_owners_transaction_is_ended_at_once_when_another_takes_over(
    stage: Stage, proxy: Proxy
) -> None:
    """It would stay open for two minutes, with records on the state and offsets that nobody may read past."""

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            options = [*stage.options, *LONG_TRANSACTION]
            with worker(*options, "--instance-id", "dead") as dead:
                await load.start(client, 5)
                await load.finish(client)
                trap = proxy.at(Request.END_TXN, Fault.SILENT_BEFORE)
                await load.start(client, 5)
                await asyncio.to_thread(trap.wait)
                dead.kill()
                began_s = time.monotonic()
                with serving(stage, instance_id="heir") as heir:
                    await asyncio.to_thread(served_by, heir, PARTITIONS)
                    print(f"from kill -9 in a transaction to served: {seconds_since(began_s)} s")
                    assert time.monotonic() - began_s < SESSION_S + 8.0
                    await load.finish(client)
                    check(stage, heir)

    asyncio.run(run())


def test_zombie_commits_nothing_when_it_is_continued_after_its_session(
    stage: Stage, proxy: Proxy
) -> None:
    """It is stopped in the middle of a commit, which arrives when others have gone on for long."""

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            options = [*stage.options, *LONG_TRANSACTION]
            with (
                worker(*options, "--instance-id", "zombie") as zombie,
                serving(stage, instance_id="heir", direct=True) as heir,
            ):
                await asyncio.to_thread(served_by, heir, 1)
                await load.start(client, 5)
                await load.finish(client)
                trap = proxy.at(Request.END_TXN, Fault.DELAY, delay_s=SESSION_S + 4.0)
                await load.start(client, 10)
                await asyncio.to_thread(trap.wait)
                os.kill(zombie.process.pid, signal.SIGSTOP)
                await load.finish(client)
                assert len(heir.owner._serving.partitions) == PARTITIONS
                await asyncio.sleep(SESSION_S)  # its commit has arrived, and was refused
                check(stage, heir)
                assert unread(stage), "what it had written is on the log, and nobody sees it"
                before = claims(stage, "zombie")
                os.kill(zombie.process.pid, signal.SIGCONT)
                await asyncio.to_thread(
                    wait_until, lambda: claims(stage, "zombie") > before, "it serves again", 60
                )
                await load.start(client, 10)
                await load.finish(client)
                assert zombie.stop() == 0
                await asyncio.to_thread(served_by, heir, 1)
        with serving(stage, instance_id="heir") as heir:
            await asyncio.to_thread(served_by, heir, PARTITIONS)
            check(stage, heir)

    asyncio.run(run())


def claims(stage: Stage, instance_id: str) -> int:
    """How often this instance has taken the state of a partition over."""
    found = [
        decode_claim(record.value)
        for record in stage.read(stage.namespace.state)
        if record.key == b"\0claim"
    ]
    return sum(claim.instance_id == instance_id for claim in found)


def unread(stage: Stage) -> set[tuple[int, int]]:
    """(partition, offset) of records of the state topic that were written and never committed."""
    reader = stage.log.reader(committed=False)
    state = stage.namespace.state
    wanted = {(state, number): FROM_START for number in range(stage.partitions)}
    written = {(one.partition, one.offset) for one in reader.read_to_end(wanted, 30)}
    reader.close()
    return written - {(one.partition, one.offset) for one in stage.read(state)}


def test_worker_ends_within_its_limit_when_an_activity_does_not(
    stage: Stage, tmp_path: Path
) -> None:
    hold, notes = tmp_path / "hold", tmp_path / "notes"
    hold.touch()
    env = {"FLOWS_LOG": str(notes), "FLOWS_HOLD": str(hold)}
    options = [*stage.options, "--instance-id", "w1", "--drain", "2s"]

    async def run() -> None:
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            handle = await client.start(three_steps, "order", id="held", confirm=False)
            with worker(*options, env=env) as running:
                await asyncio.to_thread(
                    wait_until, lambda: "held C begun" in lines(notes), "C has begun", 60
                )
                began_s = time.monotonic()
                status = await asyncio.to_thread(running.stop)
                print(f"ended {seconds_since(began_s)} s after SIGTERM with a limit of 2 s")
                assert status == 0
                assert time.monotonic() - began_s < 2.0 + 5.0
                hold.unlink()
                running.restart()
                assert await handle.result(timeout=60) == ["A done", "B done", "C done"]

    asyncio.run(run())
