"""The connections of a worker fail, in each phase of a transaction: it never guesses, and nothing is lost or doubled.

The worker under test reaches the broker through a proxy; the tests' own clients do not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator

import pytest
from deploy.kafka.broker import start_broker

from tests.integration.faults_kit import (
    IMPATIENT_TO_JOIN,
    PARTITIONS,
    PATIENCE_S,
    Load,
    Serving,
    Stage,
    check,
    seconds_since,
    served_by,
    serving,
)
from tests.support.proxy import Fault, Proxies, Proxy, Request
from tests.support.workers import wait_until
from weft.client import Client
from weft.worker import _commits

pytestmark = pytest.mark.kafka

IN_A_TRANSACTION = [
    Request.ADD_PARTITIONS_TO_TXN,
    Request.PRODUCE,
    Request.ADD_OFFSETS_TO_TXN,
    Request.TXN_OFFSET_COMMIT,
    Request.END_TXN,
]


@pytest.fixture(scope="module")
def proxied() -> Iterator[tuple[Proxy, Callable[[str], Stage]]]:
    """A broker with a proxy in front of it, and what makes a namespace there."""
    proxies = Proxies(1)
    with start_broker(proxy_ports=proxies.ports) as cluster:
        proxies.forward_to([broker.proxied_port for broker in cluster.brokers])
        yield proxies.each[0], lambda namespace: Stage(cluster.address, namespace, proxies)
        proxies.close()


@pytest.fixture(autouse=True)
def passing(proxied: tuple[Proxy, Callable[[str], Stage]]) -> Iterator[None]:
    """Whatever a test did to the connections, the next one finds them up."""
    yield
    proxied[0].resume()


def is_repeated(kind: Request, fault: Fault) -> bool:
    """Whether Kafka's client may ask again within its time, and learn what became of the request."""
    return kind == Request.END_TXN or fault in (Fault.CUT_BEFORE, Fault.CUT_AFTER)


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
def test_transaction_is_never_guessed_about_when_a_connection_fails_in_any_phase_of_it(
    proxied: tuple[Proxy, Callable[[str], Stage]], namespace: str, fault: Fault
) -> None:
    proxy, make_stage = proxied
    stage = make_stage(namespace)

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage) as running:
                for kind in IN_A_TRANSACTION:
                    # Held up for longer than the worker waits: it arrives when all has been given up.
                    producer = running.owner._commits.producers
                    trap = proxy.at(kind, fault, delay_s=4.0)
                    began_s = time.monotonic()
                    await load.start(client, 4)
                    await asyncio.to_thread(trap.wait)
                    await load.finish(client)
                    if not is_repeated(kind, fault):
                        assert running.owner._commits.producers is not producer, (
                            "undecided, so replaced"
                        )
                    print(f"{kind.name} {fault.name}: {seconds_since(began_s)} s")
                await asyncio.sleep(1.0)  # what was held up has come
                check(stage, running)

    asyncio.run(run())


@pytest.mark.parametrize(
    "fault", [Fault.SILENT_BEFORE, Fault.SILENT_AFTER], ids=lambda one: one.name
)
def test_commit_is_not_guessed_about_when_its_answer_never_comes(
    proxied: tuple[Proxy, Callable[[str], Stage]],
    namespace: str,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of `SILENT_BEFORE` nothing is committed, of `SILENT_AFTER` all; the worker sees the same."""
    monkeypatch.setattr(_commits, "_COMMIT_TIMEOUT_S", 2.0)
    proxy, make_stage = proxied
    stage = make_stage(namespace)

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage) as running:
                producer = running.owner._commits.producers
                trap = proxy.at(Request.END_TXN, fault)
                await load.start(client, 10)
                await asyncio.to_thread(trap.wait)
                await load.finish(client)
                assert running.owner._commits.producers is not producer, "undecided, so replaced"
                aborts = running.worker.metrics.registry.get_sample_value(
                    "weft_transaction_aborts_total", {"reason": "unknown"}
                )
                assert aborts
                check(stage, running)

    asyncio.run(run())


TAKING_OVER = [
    Request.INIT_PRODUCER_ID,
    Request.JOIN_GROUP,
    Request.SYNC_GROUP,
    Request.OFFSET_FETCH,
    Request.FETCH,
]


@pytest.mark.parametrize("fault", [Fault.CUT_AFTER, Fault.SILENT_AFTER], ids=lambda one: one.name)
@pytest.mark.parametrize("kind", TAKING_OVER, ids=lambda one: one.name)
def test_partitions_are_served_when_a_connection_fails_while_they_are_taken_over(
    proxied: tuple[Proxy, Callable[[str], Stage]], namespace: str, kind: Request, fault: Fault
) -> None:
    proxy, make_stage = proxied
    stage = make_stage(namespace)

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage):
                await load.start(client, 4)
                await load.finish(client)
            trap = proxy.at(kind, fault)
            began_s = time.monotonic()
            with serving(stage, config=IMPATIENT_TO_JOIN) as running:
                await asyncio.to_thread(trap.wait)
                await load.start(client, 4)
                await load.finish(client)
                print(f"{kind.name} {fault.name}: {seconds_since(began_s)} s")
                check(stage, running)

    asyncio.run(run())


def test_all_ends_right_when_connections_are_cut_again_and_again(
    proxied: tuple[Proxy, Callable[[str], Stage]], namespace: str
) -> None:
    proxy, make_stage = proxied
    stage = make_stage(namespace)
    chance = random.Random(namespace)

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage) as running:
                for _ in range(10):
                    await load.start(client, 3)
                    await asyncio.sleep(chance.uniform(0.1, 1.2))
                    proxy.cut()
                await load.finish(client)
                check(stage, running)

    asyncio.run(run())


def test_all_ends_right_when_every_answer_is_slow(
    proxied: tuple[Proxy, Callable[[str], Stage]], namespace: str
) -> None:
    proxy, make_stage = proxied
    stage = make_stage(namespace)

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage) as running:
                producer = running.owner._commits.producers
                proxy.delay(0.05)
                await load.start(client, 10)
                await load.finish(client)
                assert running.owner._commits.producers is producer, "slow is not broken"
                proxy.resume()
                check(stage, running)

    asyncio.run(run())


@pytest.mark.parametrize("how", ["refuse", "swallow"])
def test_worker_waits_and_serves_again_when_the_log_cannot_be_reached_for_longer_than_a_session(
    proxied: tuple[Proxy, Callable[[str], Stage]], namespace: str, how: str
) -> None:
    proxy, make_stage = proxied
    stage = make_stage(namespace)

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage) as running:
                registry = running.worker.metrics.registry
                await load.start(client, 5)
                (proxy.refuse if how == "refuse" else proxy.swallow)()
                await load.start(client, 5)
                await asyncio.sleep(12.0)
                assert running.alive
                assert running.worker.healthy, "a restart would not help"
                assert not running.worker.ready
                assert (registry.get_sample_value("weft_unserved_seconds") or 0) > 1
                proxy.resume()
                began_s = time.monotonic()
                await load.finish(client)
                print(f"served again {seconds_since(began_s)} s after the log was back")
                assert registry.get_sample_value("weft_unserved_seconds") == 0
                check(stage, running)

    asyncio.run(run())


def test_idle_worker_says_that_the_log_cannot_be_reached(
    proxied: tuple[Proxy, Callable[[str], Stage]], namespace: str
) -> None:
    """It has nothing to commit that could fail."""
    proxy, make_stage = proxied
    with serving(make_stage(namespace)) as running:
        proxy.refuse()
        wait_until(lambda: running.owner.unserved_s() > 0, "its owner has noticed", PATIENCE_S)
        assert not running.worker.ready
        assert running.worker.healthy
        time.sleep(8.0)  # its session ends
        assert not running.worker.ready
        proxy.resume()
        served_by(running)
        wait_until(lambda: running.worker.ready, "it serves again", PATIENCE_S)
        assert running.owner.unserved_s() == 0


def test_worker_stops_in_time_when_the_log_cannot_be_reached(
    proxied: tuple[Proxy, Callable[[str], Stage]], namespace: str
) -> None:
    proxy, make_stage = proxied
    stage = make_stage(namespace)

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage) as running:
                await load.start(client, 5)
                proxy.refuse()
                await load.start(client, 5)
                await asyncio.sleep(3.0)
                began_s = time.monotonic()
                await asyncio.to_thread(running.stop)
                assert seconds_since(began_s) < 10.0 + 25.0, "the drain, and what cannot be written"
            proxy.resume()
            with serving(stage) as running:
                await load.finish(client)
                check(stage, running)

    asyncio.run(run())


def test_nothing_is_doubled_when_partitions_move_while_a_commit_is_undecided(
    proxied: tuple[Proxy, Callable[[str], Stage]], namespace: str
) -> None:
    proxy, make_stage = proxied
    stage = make_stage(namespace)

    async def run() -> None:
        load = Load(stage)
        async with Client(stage.log, namespace=stage.namespace.name) as client:
            with serving(stage, instance_id="undecided") as first:
                trap = proxy.at(Request.END_TXN, Fault.DELAY, delay_s=6.0)
                await load.start(client, 10)
                await asyncio.to_thread(trap.wait)
                with serving(stage, instance_id="other", direct=True) as second:
                    await asyncio.to_thread(second.wait_until_ready)
                    await load.finish(client)
                    await load.start(client, 10)
                    await load.finish(client)
                    await asyncio.to_thread(both_serve, first, second)
                    check(stage, first, second)

    asyncio.run(run())


def both_serve(*workers: Serving) -> None:
    wait_until(
        lambda: [len(one.owner._serving.partitions) for one in workers] == [1] * PARTITIONS,
        "one each",
        30,
    )
